"""What the `run_*` commands share: flags, RunConfig, progress, stopping, records of a run."""

import contextlib
import ctypes
import fcntl
import io
import json
import logging
import os
import re
import resource
import signal
import sys
import time
import warnings

from absl import flags
import tensorflow.compat.v1 as tf
from tqdm import tqdm

from albert_zh.common import cpu_precision, files, path_rules, plotting, system_errors, validation
from albert_zh.common.errors import Interrupted, UserError, printable, stop_at_once
from albert_zh.common.progress import progress_bar
from albert_zh.model import checkpoints, modeling
from albert_zh.text import tokenization
from albert_zh.training import multi_worker

FLAGS = flags.FLAGS
DEFAULT_SEED = 12345
LARGEST_SEED = 2**31 - 1
LOGGED_EVERY = 100  # steps between values of the speed for TensorBoard
LOG_FILE = "train.log"
METRICS_FILE = "metrics.jsonl"
METRICS_RECORD = validation.record(
    {
        "step": validation.integer(0),
        "dev": validation.record(
            {"global_step": validation.integer(0)}, ["global_step"], validation.NUMBER_OR_NAN
        ),
        "thresholds": validation.list_of(validation.number(0, 1)),
        "stopped": validation.BOOLEAN,
    },
    ["step"],
    validation.NUMBER_OR_NAN,
)
RUN_SETTINGS_FILE = "run_settings.json"
RUN_SETTINGS = validation.record(
    {"fixed": validation.record(), "variable": validation.record()}, ["fixed", "variable"]
)
LEARNING_CURVE = "learning_curve.png"
# Values of the training graph that a progress line shows, and how.
_SHOWN = (
    ("loss", "loss %.4f"),
    ("masked_lm_accuracy", "masked LM %.4f"),
    ("next_sentence_accuracy", "order %.4f"),
    ("sentence_order_accuracy", "order %.4f"),
    ("replaced_token_loss", "replaced %.4f"),
    ("learning_rate", "rate %.2e"),
    ("skipped_steps", "skipped steps %d"),
)
_M_ARENA_MAX = -8  # of glibc's malloc.h
_MORE_MEMORY_THAN_THERE_IS = 1 << 24  # MiB; without a number TensorFlow stops at 64 GiB
_OF_TPU = ("tpu_name", "tpu_zone", "gcp_project", "num_tpu_cores", "iterations_per_loop")
_DIGEST = re.compile("[0-9a-f]{64}$")
PROGRESS_VALUES = "progress_values"  # collection of what `show_in_progress` was given
PLAIN_PROGRESS_SECONDS = 10  # between progress lines where the output is no terminal


def define_run_flags(**defaults):
    """Defines the flags that every `run_*` command has.

    Args:
        **defaults: defaults in place of those below.
    """
    table = [
        ("string", "output_dir", None, "Folder for checkpoints and results."),
        ("string", "init_checkpoint", None, "Checkpoint to start from: a prefix or its folder."),
        ("integer", "max_seq_length", 128, "Longest input in tokens; longer ones are cut."),
        ("boolean", "do_train", False, "Whether to train."),
        ("boolean", "do_eval", False, "Whether to evaluate."),
        ("integer", "train_batch_size", 32, "Examples in a training step."),
        ("integer", "eval_batch_size", 8, "Examples in an evaluation step."),
        ("float", "learning_rate", 5e-5, "Highest learning rate, at the end of the warm-up."),
        (
            "integer",
            "save_checkpoints_steps",
            1000,
            "Training steps between checkpoints; in fine-tuning those of an epoch, if fewer.",
        ),
        (
            "integer",
            "keep_checkpoint_max",
            5,
            "The most checkpoints to keep; 0 for all. Unless it is given, a fine-tuning that has "
            "ended leaves the newest alone, beside the best model (with --do_eval).",
        ),
        ("integer", "iterations_per_loop", 1000, "Training steps in a TPU's loop."),
        (
            "boolean",
            "recompute",
            False,
            "In training compute each layer again for the gradient: slower, in much less memory.",
        ),
        (
            "boolean",
            "plain",
            False,
            "Do without what saves time: batches by length, compiled and joint operations, leaving "
            "out what nobody asks for, memory that is kept.",
        ),
        ("integer", "num_threads", 0, "Threads of an operation; 0 for as many as there are cores."),
        ("integer", "seed", DEFAULT_SEED, "Seed of start values, shuffling and dropout."),
        ("boolean", "use_tpu", False, "Whether to run on a TPU."),
        ("string", "tpu_name", None, "Name or grpc address of the TPU."),
        ("string", "tpu_zone", None, "The TPU's zone; found out where it is left out."),
        ("string", "gcp_project", None, "The TPU's project; found out where it is left out."),
        ("string", "master", None, "Address of a TensorFlow master."),
        ("integer", "num_tpu_cores", 8, "Cores of the TPU."),
        ("list", "devices", [], "Devices of --distribution=mirrored; all GPUs if left out."),
    ]
    for kind, name, default, help_text in table:
        getattr(flags, "DEFINE_" + kind)(name, defaults.get(name, default), help_text)
    flags.DEFINE_enum(
        "precision",
        "float32",
        sorted(modeling.PRECISIONS),
        "What the encoder computes in; variables and losses are float32.",
    )
    flags.DEFINE_enum(
        "distribution",
        "none",
        ["none", "mirrored", "multi_worker"],
        "Who shares a step: nobody, the devices of this machine, or those of several machines, "
        "which TF_CONFIG lists.",
    )


def choose_allocator(plain):
    """Lets TensorFlow keep the memory of tensors for later ones, unless all is to be plain.

    By default each tensor is asked of the C library, which gives large arrays back to the system
    at once and loses room between arrays of many sizes: more time and memory. What is small stays
    with the C library, but in one heap for two cores: it would make one for each thread, and what
    is free in one is of no use to the others. For this process, and before its first session; what
    the environment says already is left as it is.

    Args:
        plain: bool.
    """
    c_library = ctypes.CDLL(None)
    if not plain and "MALLOC_ARENA_MAX" not in os.environ and hasattr(c_library, "mallopt"):
        c_library.mallopt(_M_ARENA_MAX, max(1, len(os.sched_getaffinity(0)) // 2))
    os.environ.setdefault("TF_CPU_ALLOCATOR_USE_BFC", "false" if plain else "true")
    os.environ.setdefault("TF_CPU_BFC_MEM_LIMIT_IN_MB", str(_MORE_MEMORY_THAN_THERE_IS))


def require_flags(names):
    """Raises `UserError` for the first required flag that was not given."""
    for name in names:
        if not FLAGS[name].value:
            raise UserError("--%s is required (%s)" % (name, FLAGS[name].help.strip().rstrip(".")))


def require_positive(names):
    """Raises `UserError` for the first flag whose value is not a number above 0."""
    for name in names:
        if not 0 < FLAGS[name].value < float("inf"):
            raise UserError(
                "--%s: %s makes no sense, expected more than 0" % (name, FLAGS[name].value)
            )


def require_at_least_0(names):
    """Raises `UserError` for the first flag that was given and is below 0."""
    for name in names:
        if FLAGS[name].value is not None and FLAGS[name].value < 0:
            raise UserError("--%s=%s: expected 0 or more" % (name, FLAGS[name].value))


def say_what_has_no_effect():
    """Names the flags of TPUs that were given without `--use_tpu`."""
    given = [name for name in _OF_TPU if FLAGS[name].present]
    if given and not FLAGS.use_tpu:
        say("note: without --use_tpu these flags have no effect: --%s", ", --".join(given))


def check_seed(seed):
    """Raises `UserError` for a seed that random generators don't take."""
    if not 0 <= seed <= LARGEST_SEED:
        raise UserError("--seed: %d makes no sense, expected 0 to %d" % (seed, LARGEST_SEED))


def make_run_config(save_checkpoints_steps, strategy=None):
    """The RunConfig of the flags, for CPU, GPU and TPU.

    Args:
        save_checkpoints_steps: steps between checkpoints.
        strategy: `tf.distribute.Strategy` that shares the steps, or None.

    Returns:
        `tf.estimator.tpu.RunConfig`.
    """
    cluster = None
    if FLAGS.use_tpu and FLAGS.tpu_name:
        cluster = tf.distribute.cluster_resolver.TPUClusterResolver(
            tpu=FLAGS.tpu_name, zone=FLAGS.tpu_zone, project=FLAGS.gcp_project
        )
    cpus = sum("cpu" in device.lower() for device in FLAGS.devices)
    session = tf.ConfigProto(
        allow_soft_placement=True,
        device_count={"CPU": cpus} if cpus else None,
        intra_op_parallelism_threads=FLAGS.num_threads,
    )
    session.gpu_options.allow_growth = True
    return tf.estimator.tpu.RunConfig(
        cluster=cluster,
        master=FLAGS.master,
        model_dir=FLAGS.output_dir,
        tf_random_seed=FLAGS.seed,
        save_checkpoints_steps=save_checkpoints_steps,
        keep_checkpoint_max=FLAGS.keep_checkpoint_max,
        log_step_count_steps=LOGGED_EVERY,
        session_config=session,
        train_distribute=strategy,
        tpu_config=tf.estimator.tpu.TPUConfig(
            iterations_per_loop=FLAGS.iterations_per_loop,
            num_shards=FLAGS.num_tpu_cores,
            per_host_input_for_training=tf.estimator.tpu.InputPipelineConfig.PER_HOST_V2,
        ),
    )


def make_strategy():
    """The `tf.distribute.Strategy` of --distribution, or None.

    Raises:
        UserError: when the flags or TF_CONFIG don't fit.
    """
    if FLAGS.devices and FLAGS.distribution != "mirrored":
        raise UserError(
            "--devices=%s and --distribution=%s: devices are named for --distribution=mirrored: "
            "give that, or leave --devices out" % (",".join(FLAGS.devices), FLAGS.distribution)
        )
    if FLAGS.distribution == "none":
        return None
    if FLAGS.use_tpu:
        raise UserError("--distribution=%s and --use_tpu: give one of them" % FLAGS.distribution)
    if FLAGS.distribution == "mirrored":
        _check_devices(FLAGS.devices)
        with tf.Graph().as_default():  # else it looks for devices that the session has, not eager
            return tf.distribute.MirroredStrategy(FLAGS.devices or None)
    if not multi_worker.cluster():
        raise UserError(
            "--distribution=multi_worker: the environment variable TF_CONFIG has no cluster; "
            'expected {"cluster": {"worker": ["HOST:PORT", ...]}, '
            '"task": {"type": "worker", "index": 0}}'
        )
    return tf.distribute.experimental.MultiWorkerMirroredStrategy()


def _check_devices(names):
    """Raises `UserError` for names of devices that are none, twice there or not on this machine."""
    num_gpus = len(tf.config.experimental.list_physical_devices("GPU"))
    seen = set()
    for name in names:
        try:
            device = tf.DeviceSpec.from_string(name)
        except ValueError:
            device = tf.DeviceSpec()
        place = ((device.device_type or "").upper() or None, device.device_index)
        if None in place:
            raise UserError("--devices=%s: expected names such as /gpu:0,/gpu:1" % name)
        if place in seen:
            raise UserError("--devices: %s is named twice" % name)
        if place[0] == "GPU" and place[1] >= num_gpus:
            raise UserError(
                "--devices=%s: TensorFlow finds %d GPUs on this machine (nvidia-smi lists them, "
                "and CUDA_VISIBLE_DEVICES hides some)" % (name, num_gpus)
            )
        seen.add(place)


def helper_name():
    """The name of a process that only helps the one that saves, None of that."""
    return multi_worker.helper_name() if FLAGS.distribution == "multi_worker" else None


def make_estimator(model_fn, save_checkpoints_steps, **batch_sizes):
    """The estimator of the flags: TPUEstimator, or Estimator where a strategy shares the steps.

    Args:
        model_fn: function (features, labels, mode, params) -> `TPUEstimatorSpec`.
        save_checkpoints_steps: steps between checkpoints.
        **batch_sizes: train_batch_size, eval_batch_size, predict_batch_size.

    Returns:
        `tf.estimator.Estimator`.

    Raises:
        UserError: for a batch that the replicas cannot share alike.
    """
    strategy = make_strategy()
    config = make_run_config(save_checkpoints_steps, strategy)
    message = "" if FLAGS.use_tpu else cpu_precision.slow_precision(FLAGS.precision)
    if message:
        say("warning: %s", message)
    if strategy is None:
        return tf.estimator.tpu.TPUEstimator(
            use_tpu=FLAGS.use_tpu, model_fn=model_fn, config=config, **batch_sizes
        )
    if batch_sizes["train_batch_size"] % strategy.num_replicas_in_sync:
        raise UserError(
            "--train_batch_size=%d is not a multiple of the %d replicas that share it: change it, "
            "or name fewer --devices"
            % (batch_sizes["train_batch_size"], strategy.num_replicas_in_sync)
        )

    def plain_model_fn(features, labels, mode, params):
        return model_fn(features, labels, mode, params).as_estimator_spec()

    return tf.estimator.Estimator(plain_model_fn, config=config, params={})


def train_with_checkpoints(estimator, input_fn, max_steps, save_steps, hooks, listeners=()):
    """Trains to a step; saves on the grid of `save_steps`, and at the end.

    Args:
        estimator: as of `make_estimator`.
        input_fn: input function.
        max_steps: the step to stop at.
        save_steps: steps between checkpoints.
        hooks: session hooks.
        listeners: `EvaluationListener`s; not used on TPU, whose estimator has its own saver, and
            with several workers, which would have to wait.
    """
    if FLAGS.use_tpu:
        listeners = ()
    elif not helper_name():
        hooks = hooks + [SaverHook(estimator.model_dir, save_steps)]
    if FLAGS.distribution == "multi_worker":
        hooks = hooks + [multi_worker.WatchHook(max_steps, say)]
        # Only this function brings the workers together; none of them has the role that evaluates.
        tf.estimator.train_and_evaluate(
            estimator,
            tf.estimator.TrainSpec(input_fn, max_steps=max_steps, hooks=hooks),
            tf.estimator.EvalSpec(input_fn),
        )
        return
    greeting = FirstStepHook()
    try:
        without_translation(estimator.train)(
            input_fn,
            max_steps=max_steps,
            hooks=hooks + [greeting],
            saving_listeners=list(listeners),
        )
    finally:
        greeting.restore()


def without_translation(function):
    """The function, such that TensorFlow leaves the Python of input pipelines within as it is.

    It would look for Python's own loops and conditions to make graphs of them, which takes most of
    a second. Here there are none.
    """
    return tf.autograph.experimental.do_not_convert(function)


def read_config(config_file):
    """The config of a file; its warnings are said in a line of ours."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        config = modeling.AlbertConfig.from_json_file(config_file)
    for warning in caught:
        say("warning: %s: %s", config_file, warning.message)
    return config


def check_sizes(config, vocab_file=None, num_entries=None):
    """Checks that config, vocabulary and sequence length belong together.

    Args:
        config: `AlbertConfig`.
        vocab_file: the vocabulary's file, or None where there is none.
        num_entries: its entries.

    Raises:
        UserError: if they do not.
    """
    if FLAGS.max_seq_length > config.max_position_embeddings:
        raise UserError(
            "--max_seq_length: %d is more than the config's max_position_embeddings, %d"
            % (FLAGS.max_seq_length, config.max_position_embeddings)
        )
    if vocab_file is not None:
        tokenization.check_num_entries(vocab_file, num_entries, config.vocab_size)


def say(message, *values):
    """A line for the user, on standard output and in the log."""
    line = printable(message % values if values else message)
    tqdm.write(line)
    sys.stdout.flush()
    tf.get_logger().info(line)


def open_output_folder(folder):
    """Makes the output folder and sends TensorFlow's log and Python's warnings to a file in it.

    The log file is locked, so that two runs in one folder don't mix.

    Raises:
        UserError: if the folder cannot be written to, or another run is at work in it.
    """
    target = path_rules.output_folder(folder, "--output_dir=%s" % folder)
    checkpoints.check_no_pattern(os.path.abspath(folder), "--output_dir=%s" % folder)
    worker = helper_name()
    path = os.path.join(folder, "train.%s.log" % worker if worker else LOG_FILE)
    try:
        os.makedirs(target, exist_ok=True)
        handler = logging.FileHandler(path, encoding="utf-8")
        handler.handleError = lambda record: None  # a full disk: what the run writes reports it
    except OSError as error:
        raise files.cannot_write(path, error) from error
    loggers = (tf.get_logger(), logging.getLogger("py.warnings"))
    for former in {handler for logger in loggers for handler in logger.handlers}:
        former.close()
    try:
        fcntl.flock(handler.stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise UserError("--output_dir=%s: another run is at work in it" % folder) from error
    except OSError:
        tf.get_logger().info("this file system has no locks")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logging.captureWarnings(True)
    for logger in loggers:
        logger.handlers = [handler]
        logger.propagate = False
    tf.logging.set_verbosity(tf.logging.INFO)


def check_same_run(folder, fixed, variable=None):
    """Keeps two different runs from mixing in one output folder.

    Args:
        folder: the output folder; looked at only if it holds a checkpoint.
        fixed: {name: value} of what makes a model (data, config, vocabulary, rate ...): a
            difference to the run that the folder holds is an error.
        variable: {name: value} of what may change when a run goes on (epochs): told.

    Raises:
        UserError: if the folder holds checkpoints of another run.
    """
    former = former_settings(folder)
    for name in sorted(set(fixed) & set(former["fixed"])):
        if former["fixed"][name] != fixed[name]:
            raise UserError(
                "%s holds a run with another %s%s: name another folder (--output_dir, OUTPUT_DIR "
                "for the scripts) or remove this one"
                % (folder, name, _from_to(former["fixed"][name], fixed[name]))
            )
    for name, value in sorted((variable or {}).items()):
        if former["variable"].get(name, value) != value:
            say(
                "note: the run in %s goes on with another %s: %s, formerly %s",
                folder,
                name,
                value,
                former["variable"][name],
            )


def former_settings(folder):
    """What `remember_settings` wrote of a folder's checkpoints; empty dicts without any."""
    path = os.path.join(folder, RUN_SETTINGS_FILE)
    has_checkpoint = bool(checkpoints.checkpoints_of_training(folder))
    if not (has_checkpoint and os.path.exists(path)):
        return {"fixed": {}, "variable": {}}
    return validation.read_json(path, RUN_SETTINGS, "put it back, or name another folder")


def remember_settings(folder, fixed, variable):
    """Writes down what a folder's checkpoints are made from."""
    fixed = dict(former_settings(folder)["fixed"], **fixed)
    files.write_json(
        os.path.join(folder, RUN_SETTINGS_FILE), {"fixed": fixed, "variable": variable}
    )


def _from_to(former, now):
    """ " (a, now b)", or nothing where that would not help a reader: digests, whole configs."""
    words = " (%s, now %s)" % (former, now)
    is_readable = len(words) < 100 and not isinstance(now, dict) and not _DIGEST.match(str(now))
    return words if is_readable else ""


class StopRequest:
    """Ctrl-C or SIGTERM, noted so that training can end with a checkpoint.

    Used as a context manager. Before training has begun, and at a second signal, it stops at once.
    """

    def __init__(self):
        self.is_made = False
        self.is_deferred = False  # until a step has run there is nothing to save
        self._former = {}

    def __enter__(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            self._former[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_):
        for number, handler in self._former.items():
            signal.signal(number, handler)

    def _note(self, number, frame):
        if self.is_made or not self.is_deferred:
            stop_at_once()
        self.is_made = True

    def raise_if_made(self, message):
        """Raises `Interrupted` with a message if a signal came."""
        if self.is_made:
            raise Interrupted(message)


class StopHook(tf.train.SessionRunHook):
    """Ends a session's loop after the step in which a stop was requested."""

    def __init__(self, stop):
        """Args:
        stop: `StopRequest`.
        """
        self._stop = stop

    def after_run(self, run_context, run_values):
        self._stop.is_deferred = True
        if self._stop.is_made:
            run_context.request_stop()


class GridTimer(tf.train.SecondOrStepTimer):
    """Triggers at the multiples of a number of steps, wherever a run began."""

    def __init__(self, every_steps):
        """Args:
        every_steps: the number of steps.
        """
        super().__init__(every_steps=every_steps)
        self._grid = every_steps

    def should_trigger_for_step(self, step):
        last = self.last_triggered_step()
        return last is None or step // self._grid > last // self._grid


class FirstStepHook(tf.train.SessionRunHook):
    """Sends what TensorFlow's C++ side prints in the first step to the log file.

    XLA announces there that it compiles, on standard error, whatever level of messages is set. What
    Python says, that the run is stopped for instance, still goes to the user.
    """

    def __init__(self):
        self._is_over = False
        self._redirection = contextlib.ExitStack()

    def before_run(self, run_context):
        logs = [h.stream for h in tf.get_logger().handlers if isinstance(h, logging.FileHandler)]
        if logs and not self._is_over:
            sys.stderr.flush()
            standard_error = os.dup(2)
            self._redirection.callback(os.close, standard_error)
            self._redirection.callback(os.dup2, standard_error, 2)
            os.dup2(logs[0].fileno(), 2)
            for_python = io.TextIOWrapper(
                io.FileIO(standard_error, "w", closefd=False), line_buffering=True
            )
            self._redirection.enter_context(contextlib.redirect_stderr(for_python))
        self._is_over = True

    def after_run(self, run_context, run_values):
        self.restore()

    def restore(self):
        """Ends the redirection; to be called also where a step has failed."""
        self._redirection.close()


class SaverHook(tf.train.CheckpointSaverHook):
    """Saves at the same steps whether a run was stopped in between or not, and never NaN."""

    def __init__(self, folder, save_steps):
        """Args:
        folder: where checkpoints go.
        save_steps: steps between them.
        """
        super().__init__(folder, save_steps=save_steps)
        self._timer = GridTimer(save_steps)  # in place of the one that counts from the last start

    def begin(self):
        super().begin()
        sums = [tf.reduce_sum(variable) for variable in tf.trainable_variables()]
        self._is_finite = tf.reduce_all(tf.is_finite(tf.stack(sums)))

    def after_create_session(self, session, coord):
        """Writes the graph and the first checkpoint, as the parent would in twice the time."""
        with files.atomic_write(os.path.join(self._checkpoint_dir, "graph.pbtxt")) as handle:
            handle.write(str(session.graph.as_graph_def(add_shapes=True)))
        self._summary_writer.add_graph(session.graph)
        step = session.run(self._global_step_tensor)
        self._save(session, step)
        self._timer.update_last_triggered_step(step)

    def _save(self, session, step):
        if not session.run(self._is_finite):
            raise tf.train.NanLossDuringTrainingError
        return super()._save(session, step)


def show_in_progress(name, value):
    """Has `ProgressHook` show and record a float scalar of the training graph."""
    tf.add_to_collection(
        PROGRESS_VALUES, tf.identity(value, name="%s/%s" % (PROGRESS_VALUES, name))
    )


class ProgressHook(tf.train.SessionRunHook):
    """Shows the progress of training and records it in `metrics.jsonl`.

    A bar on a terminal; elsewhere a line every `PLAIN_PROGRESS_SECONDS`.
    """

    def __init__(
        self,
        metrics,
        total_steps,
        batch_size,
        steps_per_run=1,
        record_every=1,
        dev_metric="accuracy",
    ):
        """Args:
        metrics: `Metrics` of the run.
        total_steps: the step at which training ends.
        batch_size: examples in a step.
        steps_per_run: steps in one session run (a TPU's loop).
        record_every: steps between records of the loss.
        dev_metric: name of what is measured on dev, recorded as `dev_NAME`.
        """
        self._metrics = metrics
        self._dev_metric = dev_metric
        self._total_steps = total_steps
        self._batch_size = batch_size
        self._steps_per_run = steps_per_run
        self._record_every = record_every

    def begin(self):
        losses = tf.get_collection(tf.GraphKeys.LOSSES)  # Estimator puts the total loss there
        self._fetches = {"loss": losses[-1]} if losses else {}
        for value in reversed(tf.get_collection(PROGRESS_VALUES)):  # the first replica's stay
            self._fetches[re.sub(r"(_\d+)?$", "", value.op.name.split("/")[-1])] = value
        self._global_step = tf.train.get_global_step()

    def after_create_session(self, session, coord):
        self._step = self._first_step = int(session.run(self._global_step))
        self._start = self._last_line = time.time()
        self._recent = {}  # moving averages
        self._num_tokens = 0
        self._bar = progress_bar(
            None,
            self._total_steps,
            "step",
            initial=self._step,
            unit_scale=False,
            disable=None,  # where there is no terminal, lines of ours also tell the examples' rate
        )

    def before_run(self, run_context):
        return tf.train.SessionRunArgs(self._fetches)

    def after_run(self, run_context, run_values):
        self._step = min(self._step + self._steps_per_run, self._total_steps)
        values = {name: float(value) for name, value in run_values.results.items()}
        self._num_tokens += self._steps_per_run * values.pop("tokens", 0)
        for name, value in values.items():
            self._recent[name] = 0.95 * self._recent.get(name, value) + 0.05 * value
        if values and self._step % self._record_every == 0:
            self._metrics.add(self._step, **values)
        self._show()

    def _show(self):
        state = [text % self._recent[name] for name, text in _SHOWN if name in self._recent]
        name = self._dev_metric
        state += self._metrics.last("dev_" + name, "dev " + name + " %.4f")
        self._bar.set_postfix_str(", ".join(state), refresh=False)
        self._bar.update(self._step - self._bar.n)
        is_due = time.time() - self._last_line >= PLAIN_PROGRESS_SECONDS
        if self._bar.disable and (is_due or self._step >= self._total_steps):
            self._last_line = time.time()
            seconds = self._last_line - self._start
            rate = (self._step - self._first_step) / seconds
            rates = "%.2f steps/s, %.0f examples/s" % (rate, rate * self._batch_size)
            if self._num_tokens:
                rates += ", %.0f tokens/s" % (self._num_tokens / seconds)
            say(
                "step %d of %d, %s, ETA %s, %s",
                self._step,
                self._total_steps,
                rates,
                readable_seconds((self._total_steps - self._step) / rate),
                ", ".join(state),
            )

    def end(self, session):
        self._bar.close()


class ExplosionHook(tf.train.SessionRunHook):
    """Ends training when the loss has left all bounds."""

    def __init__(self, highest_loss):
        """Args:
        highest_loss: a loss above it raises `Explosion`.
        """
        self._highest_loss = highest_loss

    def before_run(self, run_context):
        losses = tf.get_collection(tf.GraphKeys.LOSSES)
        return tf.train.SessionRunArgs(losses[-1:])

    def after_run(self, run_context, run_values):
        for loss in run_values.results:
            if loss > self._highest_loss:
                raise Explosion("the loss is %.4g" % loss)


class Explosion(Exception):
    """A loss far above that of guessing."""


class CountingHook(tf.train.SessionRunHook):
    """Shows how many of a known number of batches are done."""

    def __init__(self, what, num_batches):
        """Args:
        what: word for the bar.
        num_batches: all batches.
        """
        self._what = what
        self._num_batches = num_batches

    def begin(self):
        self._bar = progress_bar(self._what, self._num_batches, "batch", leave=False)

    def after_run(self, run_context, run_values):
        self._bar.update()

    def end(self, session):
        self._bar.close()


def time_and_memory(begin):
    """(time since `begin` in words, the most memory this process had, in MB)."""
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0
    return readable_seconds(time.time() - begin), megabytes


def readable_seconds(seconds):
    """A duration as people write it: 75 -> "1:15"."""
    minutes, seconds = divmod(int(round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return "%d:%02d:%02d" % (hours, minutes, seconds) if hours else "%d:%02d" % (minutes, seconds)


class EvaluationListener(tf.train.CheckpointSaverListener):
    """Calls a function with each checkpoint that training writes, except the untrained one."""

    def __init__(self, evaluate, stop):
        """Args:
        evaluate: function of a step; training ends if it returns True.
        stop: `StopRequest`; nothing is evaluated once a stop is requested.
        """
        self._evaluate = evaluate
        self._stop = stop

    def after_save(self, session, global_step_value):
        if global_step_value > 0 and not self._stop.is_made:
            return self._evaluate(int(global_step_value))
        return None


class Metrics:
    """What was measured at which step: `metrics.jsonl`, one JSON object a line.

    A resumed run drops what was recorded after the checkpoint it goes on from.
    """

    def __init__(self, folder, first_step):
        """Args:
        folder: the output folder.
        first_step: the step training goes on from.
        """
        worker = helper_name()
        name = "metrics.%s.jsonl" % worker if worker else METRICS_FILE
        self._path = os.path.join(folder, name)
        self.records = self.read(folder, first_step, name)
        with files.atomic_write(self._path) as handle:
            handle.writelines(json.dumps(record) + "\n" for record in self.records)

    @staticmethod
    def read(folder, last_step, name=METRICS_FILE):
        """The records of a folder up to a step.

        A line that a kill left unfinished is dropped, and so are damaged ones, with a note.
        """
        records, problems = [], []
        path = os.path.join(folder, name)
        lines = files.read_lines(path) if os.path.exists(path) else ()
        for number, line in enumerate(lines, start=1):
            place = "%s, line %d" % (path, number)
            try:
                record = files.parse_json(line, place)
                records.append(validation.checked(place, record, METRICS_RECORD))
            except UserError as error:
                if number < len(lines) or line.endswith("}"):
                    problems.append(str(error))
        if problems:
            say("note: %d damaged lines are left out: %s", len(problems), problems[0])
        return [record for record in records if record["step"] <= last_step]

    def add(self, step, **values):
        """Records values at a step."""
        record = dict(step=step, **values)
        self.records.append(record)
        try:
            with open(self._path, "a", encoding="utf-8") as handle:
                handle.write(json.dumps(record) + "\n")
        except OSError as error:
            raise files.cannot_write(self._path, error) from error

    def last(self, name, text):
        """[text % newest value of a name], or [] where there is none."""
        values = [record[name] for record in self.records if name in record]
        return [text % values[-1]] if values else []

    def series(self, name):
        """(steps, values) of a name, by step."""
        points = sorted((r["step"], r[name]) for r in self.records if name in r)
        return [step for step, _ in points], [value for _, value in points]


def draw_learning_curve(
    metrics, path, accuracies=(("dev_accuracy", "dev accuracy"),), axis_label="accuracy"
):
    """Draws training loss and accuracies over steps as a PNG.

    Args:
        metrics: `Metrics`.
        path: file to write.
        accuracies: (name in the metrics, label in the picture) of each accuracy.
        axis_label: what the accuracies' axis says.

    Returns:
        the path, or None where matplotlib is not installed.
    """
    pyplot = plotting.pyplot()
    if pyplot is None:
        say("no learning curve: matplotlib is not installed")
        return None
    figure, loss_axes = pyplot.subplots(figsize=(8, 4.5))
    steps, losses = metrics.series("loss")
    loss_axes.plot(steps, losses, color="tab:blue", alpha=0.25)
    loss_axes.plot(steps, _smooth(losses), color="tab:blue", label="training loss (smoothed)")
    loss_axes.set_xlabel("step")
    loss_axes.set_ylabel("loss")
    accuracy_axes = loss_axes.twinx()
    for (name, label), color in zip(accuracies, ("tab:red", "tab:green")):
        accuracy_axes.plot(*metrics.series(name), "o-", color=color, markersize=3, label=label)
    accuracy_axes.set_ylabel(axis_label)
    lines = loss_axes.get_lines()[1:] + accuracy_axes.get_lines()
    labels = [line.get_label() for line in lines]
    loss_axes.legend(lines, labels, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=len(lines))
    plotting.save(figure, path)
    return path


def _smooth(values, weight=0.95):
    """Exponential moving average, corrected for its start."""
    smoothed, average, norm = [], 0.0, 0.0
    for value in values:
        average = weight * average + (1 - weight) * value
        norm = weight * norm + (1 - weight)
        smoothed.append(average / norm)
    return smoothed


# What TensorFlow raises for things a user can mend: (type, words in it, what to say).
_EXPLANATIONS = (
    (
        tf.train.NanLossDuringTrainingError,
        "",
        "the loss or the weights are not finite numbers; the last good checkpoint is {checkpoint}: "
        "a smaller --learning_rate usually helps, with another --output_dir",
    ),
    (
        Explosion,
        "",
        "{error}, far above that of guessing; the last good checkpoint is {checkpoint}: a smaller "
        "--learning_rate or a longer warm-up usually helps, with another --output_dir",
    ),
    (
        tf.errors.OpError,
        "No space left",
        "{folder}: no space left on the disk: free some and run the same command again",
    ),
    *[
        (tf.errors.OpError, phrase, "{folder}: cannot be written ({error}): {advice}")
        for phrase in system_errors.PHRASES
    ],
    (
        tf.errors.ResourceExhaustedError,
        "",
        "out of memory: use a smaller --train_batch_size or --max_seq_length ({error})",
    ),
    (tf.errors.PermissionDeniedError, "", "{folder}: cannot be written ({error})"),
    (
        tf.errors.FailedPreconditionError,
        "; ",  # an operating system's error, as in "PATH; Is a directory"
        "{folder}: cannot be written ({error})",
    ),
    (
        tf.errors.DataLossError,
        "",
        "a file is damaged ({error}): remove the *.tf_record files, or the newest checkpoint, of "
        "{folder} and run the same command again",
    ),
    (RuntimeError, "Cannot find any TPU", "--use_tpu: {error}; --tpu_name names one"),
)


@contextlib.contextmanager
def explained_errors(folder):
    """Turns what TensorFlow raises for full disks, bad folders, NaN ... into `UserError`."""
    try:
        yield
    except Exception as error:  # re-raised unless it is one of the table
        for kind, words, explanation in _EXPLANATIONS:
            if isinstance(error, kind) and words in str(error):
                message = explanation.format(
                    folder=folder,
                    checkpoint=tf.train.latest_checkpoint(folder),
                    error=system_errors.reason(error),
                    advice=system_errors.advice(error),
                )
                raise UserError(message) from error
        raise
