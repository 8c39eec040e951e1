"""Training, evaluating and predicting with a classifier: what the `run_classifier*` commands do.

train -> at each checkpoint dev accuracy, the best one kept in OUTPUT_DIR/best
      -> eval_results_albert_zh.txt, eval_results.json, learning_curve.png
      -> test.* with the best checkpoint: test_results.tsv, predictions.tsv
"""

import math
import os
import resource
import shlex
import sys
import time
import warnings

from absl import flags
import numpy as np
import tensorflow.compat.v1 as tf

from errors import UserError
import checkpoints
import classification
import files
import modeling
import tokenization
import training

FLAGS = flags.FLAGS
BEST_FOLDER = "best"
EVAL_RESULTS = "eval_results_albert_zh.txt"
MACHINE_RESULTS = "eval_results.json"
PROBABILITIES = "test_results.tsv"
PREDICTIONS = "predictions.tsv"
SHORTEST_SEQUENCE = 8  # [CLS] A [SEP] B [SEP] with a few tokens in it
MAX_LOSS_RECORDS = 2000


def define_flags(config_flag="bert_config_file", **defaults):
    """Defines the flags of a classifier command.

    Args:
        config_flag: name of the flag that gives the config JSON.
        **defaults: defaults in place of the usual ones.
    """
    training.define_run_flags(**defaults)
    flags.DEFINE_string("data_dir", None, "Folder of the task's files.")
    flags.DEFINE_string(config_flag, None, "Config JSON of the model.")
    flags.DEFINE_string("task_name", None, "Task, such as lcqmc.")
    flags.DEFINE_string("vocab_file", None, "Vocabulary that the model was trained with.")
    flags.DEFINE_boolean("do_lower_case", True, "Whether to lower-case; False for cased models.")
    flags.DEFINE_boolean("do_predict", False, "Whether to predict the test file.")
    flags.DEFINE_integer("predict_batch_size", 8, "Examples in a prediction step.")
    flags.DEFINE_float("num_train_epochs", 3.0, "Passes over the training data.")
    flags.DEFINE_float("warmup_proportion", 0.1, "Share of the steps in which the rate rises.")
    flags.DEFINE_string("encoding", "utf-8", "Encoding of the task's files.")
    flags.DEFINE_boolean("skip_bad_rows", False, "Leave out rows that don't fit, and count them.")


def run(config_flag="bert_config_file"):
    """Does what the flags ask for."""
    _check_flags(config_flag)
    with training.StopRequest() as stop, training.explained_errors(FLAGS.output_dir):
        run_of_flags = FineTuning(FLAGS[config_flag].value)
        if FLAGS.do_train:
            run_of_flags.train(stop)
        if FLAGS.do_eval:
            run_of_flags.evaluate_all(stop)
        if FLAGS.do_predict:
            run_of_flags.predict(stop)
        run_of_flags.summarize()


def _check_flags(config_flag):
    training.require_flags(["data_dir", config_flag, "task_name", "vocab_file", "output_dir"])
    if not (FLAGS.do_train or FLAGS.do_eval or FLAGS.do_predict):
        raise UserError("nothing to do: give --do_train=true, --do_eval=true or --do_predict=true")
    training.require_positive(
        "train_batch_size eval_batch_size predict_batch_size learning_rate num_train_epochs "
        "save_checkpoints_steps iterations_per_loop num_tpu_cores".split()
    )
    if not 0 <= FLAGS.warmup_proportion < 1:
        raise UserError(
            "--warmup_proportion: %s makes no sense, expected 0 or more and below 1"
            % FLAGS.warmup_proportion
        )
    if FLAGS.max_seq_length < SHORTEST_SEQUENCE:
        raise UserError(
            "--max_seq_length: %d is too short, expected at least %d"
            % (FLAGS.max_seq_length, SHORTEST_SEQUENCE)
        )


def _check_model(config, tokenizer, task):
    """Checks that config, vocabulary, task and sequence length belong together."""
    if FLAGS.max_seq_length > config.max_position_embeddings:
        raise UserError(
            "--max_seq_length: %d is more than the config's max_position_embeddings, %d"
            % (FLAGS.max_seq_length, config.max_position_embeddings)
        )
    if len(tokenizer.inv_vocab) != config.vocab_size:
        raise UserError(
            "--vocab_file=%s has %d entries, but the config's vocab_size is %d: "
            "use the vocabulary that came with the config"
            % (FLAGS.vocab_file, len(tokenizer.inv_vocab), config.vocab_size)
        )
    if config.type_vocab_size < 2 and "text_b" in task.columns:
        raise UserError(
            "--task_name=%s has pairs of texts, but the config's type_vocab_size is %d: expected 2"
            % (FLAGS.task_name, config.type_vocab_size)
        )
    tokenization.validate_case_matches_checkpoint(FLAGS.do_lower_case, FLAGS.init_checkpoint)


def _read_config(config_file):
    """The config of a file; its warnings are said in a line of ours."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        config = modeling.AlbertConfig.from_json_file(config_file)
    for warning in caught:
        training.say("warning: %s: %s", config_file, warning.message)
    return config


class FineTuning:
    """One run of a classifier command: its data, model and results."""

    def __init__(self, config_file):
        """Reads and checks everything before the first step.

        Args:
            config_file: the model's config JSON.
        """
        self._folder = FLAGS.output_dir
        self._config_file = config_file
        self._task = classification.get_task(FLAGS.task_name)
        self._config = _read_config(config_file)
        self._tokenizer = tokenization.FullTokenizer(FLAGS.vocab_file, FLAGS.do_lower_case)
        _check_model(self._config, self._tokenizer, self._task)
        training.open_output_folder(self._folder)
        self._best_folder = os.path.join(self._folder, BEST_FOLDER)
        checkpoints.restore_model_folder(self._best_folder)
        self._shapes = checkpoints.expected_shapes(self._config, len(self._task.labels))
        self._init_checkpoint = self._checked_init_checkpoint()
        self._splits = self._read_splits()
        self._first_step = self._step_to_begin_with()
        self._evaluations = self._former_evaluations()  # {step: metrics}
        training.check_same_run(self._folder, *self._run_settings())
        self._features = {name: self._feature_file(split) for name, split in self._splits.items()}
        self._plan_steps()
        if FLAGS.do_train:
            training.remember_settings(self._folder, *self._run_settings())
        self._estimator = self._make_estimator()
        self._metrics = None
        self._test_accuracy = None
        self._begin = time.time()

    # What the run works with

    def _checked_init_checkpoint(self):
        if not FLAGS.init_checkpoint:
            if FLAGS.do_train:
                training.say(
                    "warning: no --init_checkpoint: training starts from random weights; expect an "
                    "accuracy far below that of a pre-trained model"
                )
            return None
        prefix = checkpoints.find_checkpoint(FLAGS.init_checkpoint)
        checkpoints.check_readable(prefix)
        assignment = checkpoints.assign(self._shapes, prefix)
        for line in checkpoints.report(assignment, prefix):
            training.say(line)
        return prefix

    def _step_to_begin_with(self):
        newest = checkpoints.newest_of_training(self._folder)
        return 0 if newest is None else checkpoints.checkpoint_step(newest)

    def _former_evaluations(self):
        """{step: metrics} of what the folder's checkpoints, also deleted ones, reached on dev."""
        former = training.former_settings(self._folder)["fixed"].get("dev data")
        if "dev" in self._splits and former not in (None, self._data_digest("dev")):
            return {}  # of another dev file
        records = training.Metrics.read(self._folder, self._first_step)
        return {record["step"]: record["dev"] for record in records if "dev" in record}

    def _data_digest(self, name):
        return files.sha256_of_file(self._splits[name].path)

    def _read_splits(self):
        wanted = [("train", FLAGS.do_train), ("dev", FLAGS.do_eval), ("test", FLAGS.do_predict)]
        splits = {}
        for name in (name for name, is_wanted in wanted if is_wanted):
            split = classification.read_split(
                self._task, FLAGS.data_dir, name, FLAGS.encoding, FLAGS.skip_bad_rows
            )
            for line in classification.describe(split, self._task):
                training.say(line)
            splits[name] = split
        return splits

    def _run_settings(self):
        """(fixed, variable) settings of the run, see `training.check_same_run`.

        Evaluation and prediction have only those that make a model what it is.
        """
        fixed = {
            "task": FLAGS.task_name.lower(),
            "config": self._config.to_dict(),
            "vocabulary": files.sha256_of_file(FLAGS.vocab_file),
            "do_lower_case": FLAGS.do_lower_case,
        }
        if not FLAGS.do_train:
            return fixed, {}
        names = (
            "train_batch_size learning_rate warmup_proportion max_seq_length seed encoding "
            "skip_bad_rows"
        )
        fixed.update((name, FLAGS[name].value) for name in names.split())
        fixed.update(
            (name + " data", self._data_digest(name)) for name in self._splits if name != "test"
        )
        fixed["init_checkpoint"] = "none"
        if self._init_checkpoint:  # the index holds the sums of all values
            fixed["init_checkpoint"] = files.sha256_of_file(self._init_checkpoint + ".index")
        names = ("num_train_epochs", "save_checkpoints_steps")
        return fixed, {name: FLAGS[name].value for name in names}

    def _feature_file(self, split):
        result = classification.feature_file(
            split,
            self._task,
            self._tokenizer,
            FLAGS.max_seq_length,
            self._folder,
            settings={
                "vocabulary": files.sha256_of_file(FLAGS.vocab_file),
                "do_lower_case": FLAGS.do_lower_case,
                "encoding": FLAGS.encoding,
                "skip_bad_rows": FLAGS.skip_bad_rows,
            },
        )
        if result.num_cut:
            training.say(
                "note: %d of %d rows of %s are longer than --max_seq_length=%d tokens and were cut",
                result.num_cut,
                result.num_examples,
                split.path,
                FLAGS.max_seq_length,
            )
        return result

    def _plan_steps(self):
        """Sets the numbers of steps: of the run, of its warm-up, between checkpoints."""
        self._total_steps = self._warmup_steps = 0
        self._save_steps = FLAGS.save_checkpoints_steps
        if not FLAGS.do_train:
            return
        count, batch = self._features["train"].num_examples, FLAGS.train_batch_size
        if count < batch:
            raise UserError(
                "--train_batch_size=%d is more than the %d training rows of %s"
                % (batch, count, self._splits["train"].path)
            )
        self._total_steps = int(count / batch * FLAGS.num_train_epochs)
        self._warmup_steps = int(self._total_steps * FLAGS.warmup_proportion)
        if self._total_steps == 0:
            raise UserError(
                "--num_train_epochs=%s: less than one step of %d rows"
                % (FLAGS.num_train_epochs, batch)
            )
        if not FLAGS["save_checkpoints_steps"].present:
            self._save_steps = min(self._save_steps, math.ceil(count / batch))
        training.say(
            "training: %d rows, batch %d, %g epochs: %d steps, %d of them warm-up; "
            "a checkpoint every %d steps",
            count,
            batch,
            FLAGS.num_train_epochs,
            self._total_steps,
            self._warmup_steps,
            self._save_steps,
        )

    def _make_estimator(self):
        return tf.estimator.tpu.TPUEstimator(
            use_tpu=FLAGS.use_tpu,
            model_fn=classification.model_fn_builder(
                self._config,
                len(self._task.labels),
                self._init_checkpoint,
                FLAGS.learning_rate,
                self._total_steps,
                self._warmup_steps,
                FLAGS.use_tpu,
                use_one_hot_embeddings=FLAGS.use_tpu,
                recompute=FLAGS.recompute,
            ),
            config=training.make_run_config(self._save_steps),
            train_batch_size=FLAGS.train_batch_size,
            eval_batch_size=FLAGS.eval_batch_size,
            predict_batch_size=FLAGS.predict_batch_size,
        )

    # Training

    def train(self, stop):
        """Trains to the last step, from the newest checkpoint of the output folder if it has one.

        Args:
            stop: `training.StopRequest`.

        Raises:
            Interrupted: if a stop was requested; a checkpoint is saved then.
        """
        first_step = self._first_step
        self._metrics = training.Metrics(self._folder, first_step)
        if 0 < first_step < self._total_steps:
            training.say("continuing from step %d of %d", first_step, self._total_steps)
        if first_step >= self._total_steps:
            training.say("training is complete (step %d): nothing to train", first_step)
            return
        listeners, hooks = [], [training.StopHook(stop), self._progress_hook()]
        if not FLAGS.use_tpu:  # TPUEstimator has its own saver, and evaluates only after training
            hooks.append(training.SaverHook(self._folder, self._save_steps))
            if FLAGS.do_eval:
                listeners.append(
                    training.EvaluationListener(lambda step: self._evaluate_new(step, stop), stop)
                )
        self._estimator.train(
            classification.train_input_fn(
                self._features["train"],
                FLAGS.max_seq_length,
                FLAGS.seed,
                first_step * FLAGS.train_batch_size,
                FLAGS.use_tpu,
            ),
            max_steps=self._total_steps,
            hooks=hooks,
            saving_listeners=listeners,
        )
        stop.raise_if_made(self._how_to_go_on())

    def _progress_hook(self):
        return training.ProgressHook(
            self._metrics,
            self._total_steps,
            FLAGS.train_batch_size,
            steps_per_run=FLAGS.iterations_per_loop if FLAGS.use_tpu else 1,
            record_every=max(1, self._total_steps // MAX_LOSS_RECORDS),
        )

    def _how_to_go_on(self):
        return "stopped at step %d of %d, checkpoint saved in %s; the same command goes on" % (
            self._step_to_begin_with(),
            self._total_steps,
            self._folder,
        )

    # Evaluation

    def evaluate_all(self, stop):
        """Evaluates every checkpoint of the output folder, by step; writes the result files.

        What training has evaluated already is not repeated. A folder without checkpoints has the
        `--init_checkpoint` evaluated, which then has to be a fine-tuned one.

        Args:
            stop: `training.StopRequest`.
        """
        prefixes = checkpoints.checkpoints_of_training(self._folder)
        if not prefixes:
            self._evaluate(self._fine_tuned_init_checkpoint(), stop)
        for prefix in prefixes:
            if FLAGS.do_train:
                self._evaluate_new(checkpoints.checkpoint_step(prefix), stop)
            else:
                self._evaluate(self._complete(prefix), stop)
        self._write_eval_results()

    def _evaluate_new(self, step, stop):
        """Evaluates the checkpoint of a step, unless that is done or a stop fell between two."""
        is_on_grid = step % self._save_steps == 0 or step == self._total_steps
        if is_on_grid and step not in self._evaluations:
            self._evaluate(os.path.join(self._folder, "model.ckpt-%d" % step), stop)

    def _fine_tuned_init_checkpoint(self):
        if not self._init_checkpoint:
            raise UserError(
                "%s holds no checkpoint: train first (--do_train=true), or name a fine-tuned one "
                "with --init_checkpoint" % self._folder
            )
        return self._complete(self._init_checkpoint)

    def _complete(self, prefix):
        return checkpoints.complete_checkpoint(prefix, self._shapes, self._folder)

    def _evaluate(self, prefix, stop):
        """Evaluates a checkpoint on dev; keeps it in the best folder if it is the best so far."""
        features = self._features["dev"]
        num_batches = math.ceil(features.num_examples / FLAGS.eval_batch_size)
        result = self._estimator.evaluate(
            classification.eval_input_fn(features, FLAGS.max_seq_length, FLAGS.use_tpu),
            steps=num_batches if FLAGS.use_tpu else None,
            hooks=[training.StopHook(stop), training.CountingHook("evaluating", num_batches)],
            checkpoint_path=prefix,
        )
        stop.raise_if_made(self._how_to_go_on())
        metrics = {name: float(value) for name, value in result.items()}
        step = metrics["global_step"] = int(result["global_step"])
        others = [former for at, former in self._evaluations.items() if at != step]
        is_best = all(_rank(metrics) > _rank(former) for former in others)
        if is_best and os.path.basename(prefix).startswith("model.ckpt-"):
            self._keep_best(prefix, metrics)
        self._evaluations[step] = metrics
        remark = " (best so far)" if is_best else ""
        training.say(
            "dev accuracy %.4f at step %d%s",
            metrics["eval_accuracy"],
            step,
            remark if step else " (before training)",
        )
        if self._metrics is not None:
            self._metrics.add(step, dev=metrics, dev_accuracy=metrics["eval_accuracy"])

    def _keep_best(self, prefix, metrics):
        labels = {label: number for number, label in enumerate(self._task.labels)}
        about = {
            "task": FLAGS.task_name.lower(),
            "do_lower_case": FLAGS.do_lower_case,
            "max_seq_length": FLAGS.max_seq_length,
            "dev": metrics,
        }
        checkpoints.write_model_folder(
            self._best_folder,
            prefix,
            copied_files={
                checkpoints.config_name(self._config_file): self._config_file,
                "vocab.txt": FLAGS.vocab_file,
            },
            json_files={"label_map.json": labels, "fine_tuning.json": about},
        )

    def _best(self):
        """Metrics of the best evaluated checkpoint, or None."""
        return max(self._evaluations.values(), key=_rank) if self._evaluations else None

    def _write_eval_results(self):
        is_of_training = bool(checkpoints.checkpoints_of_training(self._folder))
        with files.atomic_write(os.path.join(self._folder, EVAL_RESULTS)) as handle:
            for step, metrics in sorted(self._evaluations.items()):
                prefix = os.path.join(self._folder, "model.ckpt-%d" % step)
                handle.write(
                    "***** Eval results %s *****\n"
                    % (prefix if is_of_training else self._init_checkpoint)
                )
                for name in sorted(metrics):
                    handle.write("%s = %s\n" % (name, _printed(metrics[name])))

    # Prediction

    def predict(self, stop):
        """Predicts the test file with the best checkpoint and writes the result files.

        Args:
            stop: `training.StopRequest`.
        """
        split, features = self._splits["test"], self._features["test"]
        prefix = self._checkpoint_to_predict_with()
        training.say("predicting %s with %s", split.path, prefix)
        num_batches = math.ceil(features.num_examples / FLAGS.predict_batch_size)
        batches = self._estimator.predict(
            classification.eval_input_fn(features, FLAGS.max_seq_length, FLAGS.use_tpu),
            hooks=[training.StopHook(stop), training.CountingHook("predicting", num_batches)],
            checkpoint_path=prefix,
            yield_single_examples=False,
        )
        rows = [batch["probabilities"] for batch in batches]
        stop.raise_if_made("stopped; the same command starts the prediction again")
        probabilities = np.concatenate(rows)[: features.num_examples]  # [n, classes]
        self._write_predictions(split, probabilities)
        if split.has_labels:
            self._test_accuracy = classification.accuracy(
                split.examples, self._task.labels, probabilities
            )

    def _checkpoint_to_predict_with(self):
        if os.path.isdir(self._best_folder):
            return self._complete(checkpoints.find_checkpoint(self._best_folder))
        newest = checkpoints.newest_of_training(self._folder)
        return self._complete(newest) if newest else self._fine_tuned_init_checkpoint()

    def _write_predictions(self, split, probabilities):
        with files.atomic_write(os.path.join(self._folder, PROBABILITIES)) as handle:
            for row in probabilities:
                handle.write("\t".join(str(value) for value in row) + "\n")
        with files.atomic_write(os.path.join(self._folder, PREDICTIONS)) as handle:
            handle.write("text_a\ttext_b\tlabel\tprediction\tprobability\n")
            for example, row in zip(split.examples, probabilities):
                best = int(np.argmax(row))
                cells = (example.text_a, example.text_b, example.label, self._task.labels[best])
                handle.write("\t".join(cell or "" for cell in cells))
                handle.write("\t%.6f\n" % row[best])

    # The end

    def summarize(self):
        """Writes the machine-readable results and tells what was reached and where it lies."""
        best = self._best()
        files.write_json(
            os.path.join(self._folder, MACHINE_RESULTS),
            {
                "task": FLAGS.task_name.lower(),
                "best": best,
                "evaluations": [metrics for _, metrics in sorted(self._evaluations.items())],
                "test_accuracy": self._test_accuracy,
                "settings": training.former_settings(self._folder) or None,
            },
        )
        picture = None
        if self._metrics is not None:
            path = os.path.join(self._folder, training.LEARNING_CURVE)
            picture = training.draw_learning_curve(self._metrics, path)
        for title, text in self._summary_lines(best, picture):
            training.say("%-17s %s", title, text)

    def _summary_lines(self, best, picture):
        if best:
            yield (
                "dev accuracy",
                "%.4f (best, at step %d)" % (best["eval_accuracy"], best["global_step"]),
            )
        if self._test_accuracy is not None:
            count = len(self._splits["test"].examples)
            yield "test accuracy", "%.4f (%d rows)" % (self._test_accuracy, count)
        if os.path.isdir(self._best_folder):
            yield "best checkpoint", checkpoints.find_checkpoint(self._best_folder)
        names = [MACHINE_RESULTS] + ([EVAL_RESULTS] if FLAGS.do_eval else [])
        yield "results", ", ".join(os.path.join(self._folder, name) for name in names)
        if FLAGS.do_predict:
            names = (PREDICTIONS, PROBABILITIES)
            yield "predictions", ", ".join(os.path.join(self._folder, name) for name in names)
        if picture:
            yield "learning curve", picture
        seconds = training.readable_seconds(time.time() - self._begin)
        megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0
        yield "time, memory", "%s, at most %.0f MB" % (seconds, megabytes)
        if os.path.isdir(self._best_folder):
            yield "next", _similarity_command(self._best_folder)


def _similarity_command(model_dir):
    """The command line that compares two sentences, for the user's shell and folder."""
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "similarity.py")
    here = os.path.join(os.getcwd(), "")
    programs = [
        path[len(here) :] if path.startswith(here) else path for path in (sys.executable, script)
    ]
    words = programs + ["--model_dir=" + model_dir]
    return " ".join(shlex.quote(word) for word in words) + ' "怎么开户" "如何开通账户"'


def _rank(metrics):
    """What makes a checkpoint better: being trained at all, dev accuracy, a lower loss."""
    return metrics["global_step"] > 0, metrics["eval_accuracy"], -metrics["eval_loss"]


def _printed(value):
    """A number as the original prints it: float32 digits."""
    return value if isinstance(value, int) else np.float32(value)
