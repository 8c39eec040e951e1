"""Creates run configuration, distribution strategy and engine from the flags."""

import contextlib
import socket
from typing import TYPE_CHECKING, Any, Callable, ContextManager, Optional, Union
import urllib.parse

import tensorflow.compat.v1 as tf

from albert_zh.common import cores, cpu_precision
from albert_zh.common.errors import UserError
from albert_zh.common.messages import say
from albert_zh.model import sessions, xla
from albert_zh.training import model_spec, multi_worker, session_engine, tensorflow_internals

if TYPE_CHECKING:
    from albert_zh.model.config import AlbertConfig

AnyEngine = Union[session_engine.Engine, "tf.estimator.tpu.TPUEstimator"]
_CORES_OF_HOST = 8  # TPU cores per host


def takes_halves(options: Any, config: "AlbertConfig") -> bool:
    """Whether to compute the two halves of a batch in separate threads: on a CPU with two cores.

    Two threads that share an operation wait for each other at its end. In wide layers this wait is
    negligible, and halves would keep their gradients in memory twice. With dropout the batch is not
    halved, so that its random numbers depend only on seed, place and step, as on other machines.

    Args:
        options: the flags.
        config: config of the model.
    """
    num_threads = options.num_threads or cores.num_usable()
    is_shared_otherwise = options.use_tpu or options.distribution != "none"
    drops = config.hidden_dropout_prob or config.attention_probs_dropout_prob
    is_small = config.hidden_size <= cores.WIDEST_OF_ONE_THREAD
    is_refused = options.plain or is_shared_otherwise or drops
    return num_threads == 2 and xla.pays() and is_small and not is_refused


def session_settings(num_threads: int, in_halves: bool) -> tf.ConfigProto:
    """The settings of sessions for training.

    Args:
        num_threads: threads per operation; 0 for the number of cores.
        in_halves: whether the model computes the halves of a batch side by side.
    """
    return sessions.settings(1, 2) if in_halves else sessions.settings(num_threads)


def _session_config(options, in_halves=False):
    session = session_settings(options.num_threads, in_halves)
    session.allow_soft_placement = True
    cpus = sum("cpu" in device.lower() for device in options.devices)
    if cpus:
        session.device_count["CPU"] = cpus
    return session


def make_run_config(
    options: Any, strategy: Optional[tf.distribute.Strategy] = None, in_halves: bool = False
) -> session_engine.RunConfig:
    """Creates the run configuration from the flags, for CPUs and GPUs.

    Args:
        options: the flags.
        strategy: strategy that distributes the steps; None for one device.
        in_halves: whether the model computes the halves of a batch side by side.
    """
    return session_engine.RunConfig(
        model_dir=options.output_dir,
        seed=options.seed,
        keep_checkpoint_max=options.keep_checkpoint_max,
        session_config=_session_config(options, in_halves),
        strategy=strategy,
        master=options.master,
        is_multi_worker=options.distribution == "multi_worker",
    )


def _tpu_cluster(options):
    """Resolves the TPU of --tpu_name; raises `UserError` if it cannot be looked up."""
    try:
        return tf.distribute.cluster_resolver.TPUClusterResolver(
            tpu=options.tpu_name,
            zone=options.tpu_zone,
            project=options.gcp_project,
        )
    except (RuntimeError, ValueError) as error:  # a package is missing; no such TPU
        raise UserError("--tpu_name=%s: %s" % (options.tpu_name, error)) from error
    except OSError as error:  # outside Google Cloud
        reason = getattr(error, "reason", error)
        raise UserError(
            "--tpu_name=%s: cannot be looked up (%s): run this on a machine of Google Cloud, or "
            "give its address, grpc://HOST:PORT" % (options.tpu_name, reason)
        ) from error


def _check_answers(options):
    """Raises `UserError` if nothing listens at a TPU's address: sessions would wait forever."""
    for name in ("tpu_name", "master"):
        value = getattr(options, name) or ""
        if not value.startswith("grpc://"):
            continue
        try:
            address = urllib.parse.urlsplit(value.split(",")[0])
            socket.create_connection((address.hostname, address.port or 8470), 20).close()
        except (OSError, ValueError) as error:
            raise UserError(
                "--%s=%s: nothing answers there (%s): expected the address of a running TPU, "
                "grpc://HOST:PORT" % (name, value, error)
            ) from error


def make_tpu_config(options: Any, save_checkpoints_steps: int) -> "tf.estimator.tpu.RunConfig":
    """Creates the run configuration from the flags, for TPUs.

    Args:
        options: the flags.
        save_checkpoints_steps: steps between checkpoints.

    Raises:
        UserError: if TensorFlow has no TPUEstimator.
    """
    if not tensorflow_internals.has_estimators():
        raise UserError(
            "--use_tpu: TensorFlow %s has no TPUEstimator, 2.15 is the last with it: run this in "
            "an environment of requirements.txt (Python 3.9 to 3.11), or leave --use_tpu out"
            % tf.__version__
        )
    _check_answers(options)
    cluster = None
    if options.tpu_name:
        cluster = _tpu_cluster(options)
    return tf.estimator.tpu.RunConfig(
        cluster=cluster,
        master=options.master,
        model_dir=options.output_dir,
        tf_random_seed=options.seed,
        save_checkpoints_steps=save_checkpoints_steps,
        keep_checkpoint_max=options.keep_checkpoint_max,
        log_step_count_steps=session_engine.LOGGED_EVERY,
        session_config=_session_config(options),
        tpu_config=tf.estimator.tpu.TPUConfig(
            iterations_per_loop=options.iterations_per_loop,
            num_shards=options.num_tpu_cores,
            per_host_input_for_training=tf.estimator.tpu.InputPipelineConfig.PER_HOST_V2,
        ),
    )


def num_hosts(options: Any) -> int:
    """The number of machines that feed the devices of a run, from its flags and TF_CONFIG."""
    if options.distribution == "multi_worker":
        return max(1, multi_worker.num_machines())
    return max(1, options.num_tpu_cores // _CORES_OF_HOST) if options.use_tpu else 1


def make_strategy(options: Any) -> Optional[tf.distribute.Strategy]:
    """Creates the strategy of --distribution; None if steps are not distributed.

    Raises:
        UserError: if the flags or TF_CONFIG are invalid.
    """
    if options.devices and options.distribution != "mirrored":
        raise UserError(
            "--devices=%s and --distribution=%s: devices are named for --distribution=mirrored: "
            "give that, or leave --devices out" % (",".join(options.devices), options.distribution)
        )
    if options.distribution == "none":
        return None
    if options.use_tpu:
        raise UserError("--distribution=%s and --use_tpu: give one of them" % options.distribution)
    if options.distribution == "mirrored":
        _check_devices(options.devices)
        with tf.Graph().as_default():  # else it looks for devices of the session, not of eager mode
            return tf.distribute.MirroredStrategy(options.devices or None)
    if not multi_worker.cluster():
        raise UserError(
            "--distribution=multi_worker: the environment variable TF_CONFIG has no cluster; "
            'expected {"cluster": {"worker": ["HOST:PORT", ...]}, '
            '"task": {"type": "worker", "index": 0}}'
        )
    multi_worker.check_place()
    return tf.distribute.experimental.MultiWorkerMirroredStrategy()


def _check_devices(names):
    """Raises `UserError` for device names that are invalid, repeated or not on this machine."""
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


def make_engine(
    options: Any,
    model_fn: Callable[..., model_spec.Spec],
    save_checkpoints_steps: int,
    in_halves: bool = False,
    **batch_sizes: int,
) -> AnyEngine:
    """Creates what trains, evaluates and predicts: `Engine`, or TPUEstimator with --use_tpu.

    Args:
        options: the flags.
        model_fn: function (features, labels, mode, params) -> `Spec`.
        save_checkpoints_steps: steps between checkpoints on a TPU, where the estimator saves them.
        in_halves: whether the model computes the halves of a batch side by side.
        **batch_sizes: train_batch_size, eval_batch_size, predict_batch_size.

    Raises:
        UserError: if the replicas cannot share a batch equally, or if --use_tpu is set and
            TensorFlow has no TPUEstimator.
    """
    strategy = make_strategy(options)
    if options.use_tpu:
        config = make_tpu_config(options, save_checkpoints_steps)
        return tf.estimator.tpu.TPUEstimator(
            use_tpu=True,
            config=config,
            model_fn=model_spec.for_tpu_estimator(model_fn),
            **batch_sizes,
        )
    message = cpu_precision.slow_precision(options.precision)
    if message:
        say("warning: %s", message)
    num_replicas = strategy.num_replicas_in_sync if strategy else 1
    if batch_sizes["train_batch_size"] % num_replicas:
        raise UserError(
            "--train_batch_size=%d is not a multiple of the %d replicas that share it: change it, "
            "or name fewer --devices" % (batch_sizes["train_batch_size"], num_replicas)
        )
    return session_engine.Engine(model_fn, make_run_config(options, strategy, in_halves))


def one_prediction_graph(engine: AnyEngine) -> ContextManager[None]:
    """`Engine.one_prediction_graph`; TPUEstimator still builds one graph per checkpoint."""
    if isinstance(engine, session_engine.Engine):
        return engine.one_prediction_graph()
    return contextlib.nullcontext()
