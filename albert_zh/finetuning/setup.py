"""What a run of a classifier works with, read and checked before the first step.

Config, vocabulary, task and data, settings, features, numbers of steps, the Estimator.
"""

import math
import os
import types

from absl import flags

from albert_zh.common import files, path_rules, validation
from albert_zh.common.errors import UserError
from albert_zh.finetuning import flags as finetuning_flags
from albert_zh.finetuning import sweeps
from albert_zh.model import (
    checkpoint_files,
    checkpoint_matching,
    inference_graph,
    label_map,
    model_folder,
)
from albert_zh.tasks import datasets, dev_split, run_data, task_type
from albert_zh.tasks import reader as task_reader
from albert_zh.tasks.classification import features as classification
from albert_zh.tasks.classification import objectives
from albert_zh.text import tokenization
from albert_zh.training import engine, run_folder
from albert_zh.training import flags as run_flags
from albert_zh.training.messages import say

FLAGS = flags.FLAGS
BEST_FOLDER = "best"


class Setup:
    """A run's model, data and settings.

    Attributes:
        folder, best_folder: where checkpoints and results go, and the best checkpoint.
        config_file, config: the model's.
        vocab_file, tokenizer: path of the vocabulary, and its `FullTokenizer`.
        model_files: {name in a model folder: bytes} of config and vocabulary as they are now: they
            may be replaced before the best checkpoint is kept.
        init_checkpoint: prefix of `--init_checkpoint`, or None.
        data: `TaskData`.
        task, splits: of `data`.
        settings: `objectives.Settings`.
        shapes: {name: shape} of the model's variables.
        is_dev_of_training: whether the folder's best checkpoint is chosen by these dev rows.
        metric: name of the metric that chooses the best checkpoint.
        first_step, total_steps, warmup_steps, save_steps: ints.
        features: {name of a split: `FeatureFile`}.
        estimator: `TPUEstimator`.
    """

    def __init__(self, config_file):
        """Reads and checks everything, and writes the features.

        Args:
            config_file: the model's config JSON.

        Raises:
            UserError: for whatever does not fit.
        """
        self.folder = FLAGS.output_dir
        self.config_file = config_file
        self.config = run_flags.read_config(config_file)
        self.vocab_file = finetuning_flags.vocabulary_file()
        run_folder.open_output_folder(self.folder, run_flags.helper_name(FLAGS))
        run_flags.say_what_has_no_effect(FLAGS)
        self.best_folder = os.path.join(self.folder, BEST_FOLDER)
        model_folder.restore_model_folder(self.best_folder)
        if FLAGS.do_train:
            path_rules.check_not_replaced(self.best_folder)
        self.init_checkpoint = _found_init_checkpoint()
        self._check_is_no_folder_of_runs()
        folders = self._folders_of_model()
        _check_label_maps_agree(folders)
        labels, self._notes = label_map.notes_of_model(folders)
        self._take_flags_of_model()
        self.tokenizer = tokenization.FullTokenizer(
            FLAGS.vocab_file, FLAGS.do_lower_case, FLAGS.spm_model_file
        )
        run_flags.check_sizes(FLAGS, self.config, self.vocab_file, len(self.tokenizer.inv_vocab))
        self.model_files = {
            model_folder.config_name(config_file): files.read_bytes(config_file),
            self.tokenizer.name_in_folder: files.read_bytes(self.vocab_file),
        }
        tokenization.validate_case_matches_checkpoint(FLAGS.do_lower_case, FLAGS.init_checkpoint)
        self.settings = self._model_settings()
        self.data = run_data.TaskData(
            self._flags_of_data(), self.settings.objective, (labels, self._notes)
        )
        self.task, self.splits = self.data.task, self.data.splits
        self._check_data_fits()
        self.shapes = checkpoint_matching.expected_shapes(
            self.config, datasets.num_outputs(self.task)
        )
        self._report_init_checkpoint()
        self.settings = self.settings._replace(
            class_weights=self._class_weights(), initial_bias=self._initial_bias()
        )
        self.metric = FLAGS.best_metric or task_type.type_of(self.task).usual_metrics[0]
        self.first_step = self.newest_step()
        if FLAGS.do_train:
            finetuning_flags.take_default_epochs(len(self.splits["train"].examples))
        self._check_best_is_of_this_run()
        run_folder.check_same_run(self.folder, *self._run_settings())
        self.features = {name: self._feature_file(split) for name, split in self.splits.items()}
        self._plan_steps()
        if FLAGS.do_train:
            run_folder.remember_settings(self.folder, *self._run_settings())
            self._write_notes(self.folder)
        self.is_dev_of_training = self._compare_dev()
        self.estimator = self._make_estimator()

    def _folders_of_model(self):
        """Where it may be told what the classifier that is used as it is was trained for."""
        if checkpoint_files.checkpoints_of_training(self.folder):
            return [self.folder, self.best_folder]
        if self.uses_best_folder():
            return [self.best_folder]
        if FLAGS.do_train or not self.init_checkpoint:
            return []
        return [os.path.dirname(self.init_checkpoint)]

    def _check_is_no_folder_of_runs(self):
        """Raises `UserError` where a model is looked for that lies in a folder of --seeds."""
        has_own = checkpoint_files.checkpoints_of_training(self.folder) or self.uses_best_folder()
        if FLAGS.do_train or has_own or _is_fine_tuned(self.init_checkpoint):
            return
        runs = sweeps.folders_of_runs(self.folder)
        if runs:
            raise UserError(
                "--output_dir=%s holds no model itself: those of --seeds and --search lie in %s: "
                "name one of them with --output_dir" % (self.folder, ", ".join(runs))
            )

    def _flags_of_data(self):
        """The flags; dev rows are set aside as before in a run that goes on, if no flag differs.

        All runs of --seeds have one seed for it.
        """
        former = dict(run_folder.former_settings(self.folder)["fixed"])
        if not FLAGS.do_train:
            former.update(self._notes)
        values = FLAGS.flag_values_dict()
        recorded = dev_split.recorded(former.get("dev_share"))
        for name, value in zip(("dev_share", "dev_split"), recorded):
            if value is not None and not FLAGS[name].present:
                values[name] = value
        seed = int(FLAGS.seeds[0]) if FLAGS.seeds else FLAGS.seed
        if not (FLAGS.seeds and FLAGS.do_train):  # one of those runs alone keeps its dev rows
            seed = former.get("dev_seed", seed)
        chosen = finetuning_flags.chosen_columns()
        return types.SimpleNamespace(**dict(values, seed=seed, chosen_columns=chosen))

    def _take_flags_of_model(self):
        """Without training, how texts are prepared is the model's where no flag says otherwise."""
        if FLAGS.do_train:
            return
        for name in ("do_lower_case", "max_seq_length"):
            if name in self._notes and not FLAGS[name].present:
                FLAGS[name].value = self._notes[name]

    def _check_best_is_of_this_run(self):
        """Raises `UserError` where a new model would be trained and an older one predicted with."""
        if FLAGS.do_train and not FLAGS.do_eval and not self.first_step and self.uses_best_folder():
            raise UserError(
                "%s is the best checkpoint of an earlier training, whose other checkpoints are "
                "gone; it would be taken for this one's: remove it, name another --output_dir, or "
                "add --do_eval=true" % self.best_folder
            )

    def _model_settings(self):
        """The flags' settings; without training those of the model, which flags cannot change."""
        options = finetuning_flags.training_options()
        objective = finetuning_flags.objective()
        if not FLAGS.do_train:
            for name, given, is_given in (
                ("pooling", FLAGS.pooling, FLAGS["pooling"].present),
                ("objective", objective, objective != "single_label"),
                ("label_separator", FLAGS.label_separator, FLAGS["label_separator"].present),
                ("do_lower_case", FLAGS.do_lower_case, FLAGS["do_lower_case"].present),
            ):
                trained = self._notes.get(name, given)
                if is_given and trained != given:
                    raise UserError(
                        "the model was trained with %s %s, the flags ask for %s"
                        % (name, trained, given)
                    )
            options["pooling"] = self._notes.get("pooling", FLAGS.pooling)
            objective = self._notes.get("objective", objective)
        return objectives.Settings(objective=objective, **options)

    def _check_data_fits(self):
        if self.config.type_vocab_size < 2 and datasets.is_pair(self.task):
            raise UserError(
                "--task_name=%s has pairs of texts, but the config's type_vocab_size is %d: "
                "expected 2" % (FLAGS.task_name, self.config.type_vocab_size)
            )
        if FLAGS.swap_pairs and not datasets.is_pair(self.task):
            raise UserError("--swap_pairs: --task_name=%s has single texts" % FLAGS.task_name)
        finetuning_flags.check_best_metric(self.task.objective)
        if FLAGS.best_metric == "f1" and len(self.task.labels) != 2:
            raise UserError(
                "--best_metric=f1 needs two labels, here are %d: use macro_f1 or micro_f1"
                % len(self.task.labels)
            )
        if FLAGS.best_metric == "f1":
            say("note: --best_metric=f1 is that of the label %s", self.task.labels[1])

    def _report_init_checkpoint(self):
        """Tells what is taken from `--init_checkpoint`, where the folder has nothing newer."""
        has_own = checkpoint_files.checkpoints_of_training(self.folder) or (
            not FLAGS.do_train and self.uses_best_folder()
        )
        if self.init_checkpoint and not has_own:
            assignment = checkpoint_matching.assign(self.shapes, self.init_checkpoint)
            for line in checkpoint_matching.report(assignment, self.init_checkpoint):
                say(line)

    def _class_weights(self):
        if not (FLAGS.class_weights and FLAGS.do_train):
            return None
        if FLAGS.class_weights != "balanced":
            if not os.path.exists(FLAGS.class_weights):
                raise UserError(
                    "--class_weights=%s: expected balanced, or a JSON file {label: weight}, which "
                    "is not there" % FLAGS.class_weights
                )
            given = validation.read_json(FLAGS.class_weights, objectives.CLASS_WEIGHTS)
            weights = objectives.weights_of_labels(given, self.task.labels, FLAGS.class_weights)
            left_out = [label for label in self.task.labels if label not in given]
            if left_out:
                say("class weight 1 for: %s", ", ".join(left_out))
            return weights
        counts = task_reader.label_counts(self.task, self.splits["train"])
        return objectives.balanced_weights([counts[label] for label in self.task.labels])

    def _initial_bias(self):
        """Start values of the classifier's bias, or None for zeros."""
        if not (FLAGS.do_train and finetuning_flags.sums_over_labels()):
            return None
        counts = task_reader.label_counts(self.task, self.splits["train"])
        return objectives.prior_logits(
            [counts[label] for label in self.task.labels], len(self.splits["train"].examples)
        )

    def newest_step(self):
        """The step of the newest checkpoint of the output folder; 0 without any."""
        newest = checkpoint_files.newest_of_training(self.folder)
        return 0 if newest is None else checkpoint_files.checkpoint_step(newest)

    def data_digest(self, name):
        """Fingerprint of a split's file, as it was read."""
        return self.splits[name].sha256

    def _run_settings(self):
        """(fixed, variable) settings of the run, see `run_folder.check_same_run`.

        Evaluation and prediction have only those that make a model what it is.
        """
        fixed = {
            "task": FLAGS.task_name.lower(),
            "config": self.config.to_dict(),
            "vocabulary": self.tokenizer.sha256,
            "do_lower_case": FLAGS.do_lower_case,
        }
        if not FLAGS.do_train:
            fixed.update(self.data.fingerprint("dev"))
            return fixed, {}
        names = (
            "train_batch_size learning_rate warmup_proportion max_seq_length seed encoding "
            "skip_bad_rows swap_pairs"
        ).split() + list(finetuning_flags.TRAINING_OPTIONS)
        fixed.update((name, FLAGS[name].value) for name in names)
        fixed["objective"] = self.task.objective
        fixed["class_weights"] = self.settings.class_weights
        fixed["chosen columns"] = self.task.chosen
        for name in self.splits:
            if name != "test":
                fixed[name + " data"] = self.data_digest(name)
                fixed.update(self.data.fingerprint(name))
        fixed["init_checkpoint"] = "none"
        if self.init_checkpoint:
            fixed["init_checkpoint"] = checkpoint_files.fingerprint(self.init_checkpoint)
        names = (
            "num_train_epochs train_step warmup_step save_checkpoints_steps best_metric "
            "early_stopping threshold_rows precision plain"
        ).split()
        return fixed, {name: FLAGS[name].value for name in names}

    def _compare_dev(self):
        """Whether the dev rows are those that the folder's best checkpoint is chosen by.

        Those of the first evaluation are, if training had none.
        """
        if FLAGS.do_train or "dev" not in self.splits:
            return True
        if not checkpoint_files.checkpoints_of_training(self.folder):
            return False
        digest = self.data_digest("dev")
        former = run_folder.former_settings(self.folder)
        if "dev data" not in former["fixed"]:
            fixed = dict({"dev data": digest}, **self.data.fingerprint("dev"))
            run_folder.remember_settings(self.folder, fixed, former["variable"])
            return True
        return former["fixed"]["dev data"] == digest

    def uses_best_folder(self):
        """Whether the best folder is there, and what is predicted with."""
        return FLAGS.keep_best and os.path.isdir(self.best_folder)

    def notes_of_best(self):
        """What was written down of the checkpoint in the best folder; {} without one."""
        return label_map.notes_of_model([self.best_folder])[1]

    def _feature_file(self, split):
        settings = dict(
            vocabulary=self.tokenizer.sha256,
            do_lower_case=FLAGS.do_lower_case,
            encoding=FLAGS.encoding,
            skip_bad_rows=FLAGS.skip_bad_rows,
            chosen_columns=self.task.chosen,
            **self.data.fingerprint(split.name),
        )
        if FLAGS.swap_pairs and split.name == "train":
            split = task_reader.in_both_orders(split)
            settings["swap_pairs"] = True
        result = classification.feature_file(
            split,
            self.task,
            self.tokenizer,
            FLAGS.max_seq_length,
            FLAGS.cached_dir or self.folder,
            settings=settings,
            shared_as=FLAGS.task_name.lower() if FLAGS.cached_dir else None,
        )
        if result.num_cut:
            say(
                "note: %d of %d rows of %s are longer than --max_seq_length=%d tokens and were cut",
                result.num_cut,
                result.num_examples,
                split.path,
                FLAGS.max_seq_length,
            )
            self.data.remarks["cut_in_" + split.name] = result.num_cut
        return result

    def _plan_steps(self):
        """Sets the numbers of steps: of the run, of its warm-up, between checkpoints."""
        self.total_steps = self.warmup_steps = 0
        self.save_steps = FLAGS.save_checkpoints_steps
        if not FLAGS.do_train:
            return
        count, batch = self.features["train"].num_examples, FLAGS.train_batch_size
        if count < batch:
            raise UserError(
                "--train_batch_size=%d is more than the %d training rows of %s"
                % (batch, count, self.splits["train"].path)
            )
        self.total_steps = FLAGS.train_step
        if self.total_steps is None:
            self.total_steps = int(count / batch * FLAGS.num_train_epochs)
        self.warmup_steps = FLAGS.warmup_step
        if self.warmup_steps is None:
            self.warmup_steps = int(self.total_steps * FLAGS.warmup_proportion)
        if self.total_steps == 0:
            raise UserError(
                "--num_train_epochs=%s: less than one step of %d rows"
                % (FLAGS.num_train_epochs, batch)
            )
        if self.warmup_steps >= self.total_steps:
            raise UserError(
                "--warmup_step=%d: expected less than the %d steps of the training"
                % (self.warmup_steps, self.total_steps)
            )
        if not FLAGS["save_checkpoints_steps"].present:
            self.save_steps = min(self.save_steps, math.ceil(count / batch))
        say(
            "training: %d rows, batch %d, %.4g epochs: %d steps, %d of them warm-up; "
            "a checkpoint every %d steps",
            count,
            batch,
            self.total_steps * batch / count if FLAGS.train_step else FLAGS.num_train_epochs,
            self.total_steps,
            self.warmup_steps,
            self.save_steps,
        )

    def _write_notes(self, folder):
        """What whoever uses the checkpoints has to know of them, beside them."""
        files.write_json(os.path.join(folder, label_map.LABEL_MAP), run_data.label_map(self.task))
        files.write_json(os.path.join(folder, inference_graph.FINE_TUNING_FILE), self.notes())

    def notes(self):
        """What whoever uses the checkpoints has to know of them: `fine_tuning.json`."""
        trained = {} if FLAGS.do_train else self._notes
        return {
            "task": FLAGS.task_name.lower(),
            "do_lower_case": FLAGS.do_lower_case,
            "max_seq_length": trained.get("max_seq_length", FLAGS.max_seq_length),
            "objective": self.task.objective,
            "pooling": self.settings.pooling,
            "label_separator": self.task.separator,
            "columns": list(self.task.columns),
            "chosen_columns": self.task.chosen,
            "compares_sentences": datasets.compares_sentences(self.task),
            **self._rows_set_aside(),
            "header": None if self.task.header is None else list(self.task.header),
        }

    def _rows_set_aside(self):
        """What tells which rows of the training file the model has not seen, {name: value}."""
        told = self.data.fingerprint("train") if FLAGS.do_train else self._notes
        return {name: told[name] for name in ("dev_share", "dev_seed") if name in told}

    def _make_estimator(self):
        return engine.make_estimator(
            FLAGS,
            classification.model_fn_builder(
                self.config,
                datasets.num_outputs(self.task),
                self.init_checkpoint,
                FLAGS.learning_rate,
                self.total_steps,
                self.warmup_steps,
                FLAGS.use_tpu,
                use_one_hot_embeddings=FLAGS.use_tpu,
                settings=self.settings,
                recompute=FLAGS.recompute,
                precision=FLAGS.precision,
                plain=FLAGS.plain,
            ),
            self.save_steps,
            train_batch_size=FLAGS.train_batch_size,
            eval_batch_size=FLAGS.eval_batch_size,
            predict_batch_size=FLAGS.predict_batch_size,
        )


def _check_label_maps_agree(folders):
    """Raises `UserError` if the label maps of a folder and its best/ are of different runs."""
    paths = [os.path.join(folder, label_map.LABEL_MAP) for folder in folders]
    paths = [path for path in paths if os.path.exists(path)]
    maps = [label_map.labels_of_map(path) for path in paths]
    for path, labels in zip(paths[1:], maps[1:]):
        if labels != maps[0]:
            differing = sorted(set(labels) ^ set(maps[0]))
            raise UserError(
                "the label_map.json beside the checkpoint is of another run: %s has %d labels, %s "
                "%d (%s): name another folder with --output_dir, or put back the one that belongs "
                "there"
                % (
                    path,
                    len(labels),
                    paths[0],
                    len(maps[0]),
                    "differing: " + ", ".join(differing[:5]) if differing else "in another order",
                )
            )


def _is_fine_tuned(prefix):
    """Whether a checkpoint, or None, has a classifier."""
    if prefix is None:
        return False
    return "output_weights" in checkpoint_matching.with_canonical_names(
        checkpoint_files.read_shapes(prefix)
    )


def _found_init_checkpoint():
    if not FLAGS.init_checkpoint:
        if FLAGS.do_train:
            say(
                "warning: no --init_checkpoint: training starts from random weights; expect an "
                "accuracy far below that of a pre-trained model"
            )
        return None
    prefix = checkpoint_files.find_checkpoint(FLAGS.init_checkpoint)
    checkpoint_files.check_readable(prefix)
    return prefix
