"""Prepares and checks a fine-tuning run before its first step.

Reads config, vocabulary, task and data; derives settings, features, step counts and the engine.
"""

import hashlib
import os
import types
from typing import Any, Callable, Dict, NamedTuple, Optional

from albert_zh.common import files
from albert_zh.common.errors import UserError
from albert_zh.common.messages import say
from albert_zh.finetuning import flags as finetuning_flags
from albert_zh.finetuning import given_flags, steps
from albert_zh.finetuning.output_folder import OutputFolder
from albert_zh.model import start_checks
from albert_zh.model.checkpoints import (
    checkpoint_files,
    checkpoint_values,
    fine_tuning_notes,
    label_map,
    model_folder,
)
from albert_zh.model.checkpoints.label_map import check_label_maps_agree
from albert_zh.tasks import (
    counted_rows,
    datasets,
    dev_split,
    feature_files,
    head_notes,
    kind_interface,
    outputs_graph,
    registry,
    run_data,
    task_forms,
)
from albert_zh.text import tokenization
from albert_zh.text.vocabulary_files import check_is_of_checkpoint
from albert_zh.training import engine, run_folder
from albert_zh.training import flags as run_flags

# Settings that may change when a run is resumed; see `run_folder.check_same_run`.
_VARIABLE = (
    "num_train_epochs train_step warmup_step save_checkpoints_steps best_metric early_stopping "
    "precision plain"
).split()


class Parts(NamedTuple):
    """Functions that a run uses in addition to its setup."""

    make_model_fn: Callable[..., Any]  # such as `model_fn.model_fn_builder`
    write_model: Callable[..., None]  # such as `model_writer.replace_model_folder`
    # (`Setup`, `input_examples.Split` of the training rows) -> `teaching.Teaching`
    make_teaching: Optional[Callable[..., Any]] = None


class Setup:
    """A run's model, data and settings.

    Attributes:
        options: the flags.
        folder: `OutputFolder`.
        config_file, config: path of the model's config, and its `AlbertConfig`.
        vocab_file, tokenizer: path of the vocabulary, and its `FullTokenizer`.
        model_files: {name in a model folder: bytes} of config and vocabulary, read at the start:
            the files may be replaced before the best checkpoint is saved.
        further_files: {name: bytes} of the files that the kind of task adds to them.
        init_checkpoint: prefix of `--init_checkpoint`, or None.
        data, task, splits: `TaskData`, its task and its splits.
        kind, settings: the kind of task, and its `settings.Settings`.
        shapes: {name: shape} of the model's variables.
        is_dev_of_training: whether the folder's best checkpoint is chosen by these dev rows.
        metric: name of the metric that chooses the best checkpoint.
        teaching: `teaching.Teaching` if a run trains with teachers; else None.
        first_step: the step that training resumes from.
        changed: names of the settings that have changed since the run began.
        steps: `steps.Steps`.
        features: {name of a split: `FeatureFile`}.
        distiller: `Distiller` of a student's encoder, or None.
        engine: returned by `make_engine`.
    """

    def __init__(
        self, options: Any, family: str, parts: Parts, make_distiller: Optional[Callable] = None
    ) -> None:
        """Reads and checks everything, and writes the features.

        Args:
            options: the flags.
            family: name of a kind of task whose flags the command has.
            parts: `Parts`.
            make_distiller: see `runner.run`.

        Raises:
            UserError: if the flags, the files or the model do not fit together.
        """
        self.options, self._parts = options, parts
        self._open_model(registry.get(family))
        self.kind, self.settings = self._kind_and_settings(family)
        self.distiller = None
        if make_distiller and options.do_train:
            self.distiller = make_distiller(self.config, self.vocab_file)
        self._read_data()
        self.metric = options.best_metric or self.kind.usual_metrics[0]
        self.first_step = self.folder.newest_step()
        self.teaching = None
        if options.do_train:
            self._read_training_rows()
            num_rows = len(self._trained.examples)
            finetuning_flags.take_usual_epochs(options, self.kind, num_rows)
        self.folder.check_best_is_of_this_run()
        self.changed = run_folder.check_same_run(self.folder.path, *self._run_settings())
        self.features = {name: self._feature_file(split) for name, split in self.splits.items()}
        self.steps = steps.Steps(0, 0, options.save_checkpoints_steps)
        if options.do_train:
            num_rows = self.features["train"].num_examples
            self.steps = steps.plan(options, num_rows, _with_notes(self.splits["train"]))
            run_folder.remember_settings(self.folder.path, *self._run_settings())
            self.folder.write_notes(self.task, self.notes(), self.further_files)
        self.is_dev_of_training = self._compare_dev()
        self.engine = self._make_engine()

    def _open_model(self, family):
        """Reads config, vocabulary and the notes of a model that is used without training."""
        options = self.options
        self.config_file = options.bert_config_file
        self.config = run_flags.read_config(self.config_file)
        self.vocab_file = finetuning_flags.vocabulary_file(options)
        self.folder = OutputFolder(options, self._parts.write_model)
        run_flags.say_what_has_no_effect(options, family.flags.without_effect)
        self.init_checkpoint = _found_init_checkpoint(options)
        if self.init_checkpoint:
            self.init_checkpoint = family.flags.start_of(self.init_checkpoint, self.folder.path)
        self.folder.check_is_no_folder_of_runs(self.init_checkpoint)
        folders = self.folder.folders_of_model(self.init_checkpoint)
        check_label_maps_agree(folders)
        self._labels, self._notes = label_map.notes_of_model(folders)
        if self._labels is None and not options.do_train:
            notes = family.flags.notes_without_training(options, folders)
            if notes is not None:
                self._labels, self._notes = (), notes
        self._folders_of_model = folders
        self._take_flags_of_model()
        self.tokenizer = tokenization.FullTokenizer(
            options.vocab_file, options.do_lower_case, options.spm_model_file
        )
        num_entries = len(self.tokenizer.inv_vocab)
        run_flags.check_sizes(options, self.config, self.vocab_file, num_entries)
        if self.init_checkpoint:
            entries = list(self.tokenizer.inv_vocab.values())
            check_is_of_checkpoint(self.vocab_file, entries, self.init_checkpoint)
        self.model_files = {
            model_folder.config_name(self.config_file): files.read_bytes(self.config_file),
            self.tokenizer.name_in_folder: files.read_bytes(self.vocab_file),
        }
        tokenization.validate_case_matches_checkpoint(
            options.do_lower_case, options.init_checkpoint
        )

    def _take_flags_of_model(self):
        """Takes text-preparation settings from the model unless flags set them.

        In training this is the casing of the run so far, or of the initial checkpoint.
        """
        if self.options.do_train:
            former = run_folder.former_settings(self.folder.path)["fixed"]
            is_new = self.init_checkpoint and "do_lower_case" not in former
            of_start = os.path.dirname(self.init_checkpoint) if is_new else None
            known = fine_tuning_notes.notes_of_folder(of_start) if of_start else former
            is_cased = known.get("do_lower_case") is False and self.options.do_lower_case
            if is_cased and not self.options["do_lower_case"].present:
                say("note: letters keep their case, as in %s", of_start or "the run so far")
                self.options["do_lower_case"].value = False
            return
        for name in ("do_lower_case", "max_seq_length"):
            if name in self._notes and not self.options[name].present:
                self.options[name].value = self._notes[name]

    def _kind_and_settings(self, family):
        """Kind and settings: from the flags in training, otherwise fixed by the model."""
        kind = finetuning_flags.kind_of(self.options, family)
        if self.options.do_train:
            return kind, kind.settings(self.options, {})
        trained = self._notes.get("objective", kind.name)
        registry.check_family(trained, family, ", ".join(self._folders_of_model))
        trained = kind.flags.kind_in_use(self.options, trained)
        if kind.name != family and trained != kind.name:
            raise UserError(
                "the flags ask for a model of the kind %s, this one is of the kind %s: leave out "
                "the flags that choose another kind (--head, --objective)" % (kind.name, trained)
            )
        kind = registry.get(trained)
        head_notes.check_head(self._notes, ", ".join(self._folders_of_model))
        if "objective" in self._notes:
            self._notes = dict(self._notes, objective=trained)
        names = tuple(kind.flags.noted) + ("do_lower_case",)
        given_flags.check_noted(self.options, names, self._notes)
        settings = kind.settings(self.options, self._notes)
        given_flags.say_what_has_no_effect(self.options, settings.head, self._folders_of_model)
        return kind, settings

    def _read_data(self):
        """Reads the files of the run and derives task, settings and shapes from them."""
        self.data = run_data.TaskData(
            self._flags_of_data(), self.settings.objective, (self._labels, self._notes)
        )
        self.task, self.splits = self.data.task, self.data.splits
        finetuning_flags.say_what_sets_no_rows_aside(self.options, self.data)
        self.kind = registry.type_of(self.task)
        self._check_data_fits()
        self._take_further_files()
        if self.options.do_train:
            self.settings = self.kind.settings_of_data(
                self.settings, self.task, self.splits["train"], self.options
            )
            self.task = self.task._replace(head=self.settings.head)
        self.shapes = outputs_graph.expected_shapes(
            self.config, self.num_outputs(), self.settings, self.kind.columns(self.task)
        )
        self._report_init_checkpoint()

    def _take_further_files(self):
        """Reads the model's further files: from the flags in training, else from its folders."""
        if self.options.do_train:
            self.further_files = self.kind.flags.model_files(self.options)
        else:
            self.further_files = model_folder.files_in(
                self._folders_of_model, self.kind.flags.further_files
            )
        source = ", ".join(self._folders_of_model) or self.folder.path
        self.task = self.kind.flags.with_model_files(self.task, self.further_files, source)
        self.model_files.update(self.further_files)

    def _flags_of_data(self):
        """The flags for reading data; a resumed run sets aside the same dev rows by default.

        All runs of --seeds use the same seed for the dev rows.
        """
        options = self.options
        former = dict(run_folder.former_settings(self.folder.path)["fixed"])
        if not options.do_train:
            former.update(self._notes)
        values = options.flag_values_dict()
        recorded = dev_split.recorded(former.get("dev_share"))
        for name, value in zip(("dev_share", "dev_split"), recorded):
            if value is not None and not options[name].present:
                values[name] = value
        seed = int(options.seeds[0]) if options.seeds else options.seed
        if options.dev_seed is not None:
            seed = options.dev_seed
        elif not (options.seeds and options.do_train):  # a single resumed run keeps its dev rows
            seed = former.get("dev_seed", seed)
        chosen = finetuning_flags.chosen_columns(options)
        values.update(seed=seed, chosen_columns=chosen, head=self.settings.head)
        return types.SimpleNamespace(files=self.kind.flags.files(options), **values)

    def _check_data_fits(self):
        if self.config.type_vocab_size < 2 and task_forms.is_pair(self.task):
            raise UserError(
                "--task_name=%s has pairs of texts, but the config's type_vocab_size is %d: "
                "expected 2" % (self.options.task_name, self.config.type_vocab_size)
            )
        self.kind.flags.check_task(self.options, self.task)
        finetuning_flags.check_best_metric(self.options, self.kind)

    def num_outputs(self) -> int:
        """Number of outputs of the task's head."""
        return datasets.num_outputs(self.task)

    def _report_init_checkpoint(self):
        """Reports what is restored from `--init_checkpoint`, if the folder has no newer model."""
        has_own = self.folder.checkpoints() or (
            not self.options.do_train and self.folder.uses_best()
        )
        if self.init_checkpoint and not has_own:
            for line in start_checks.report(self.shapes, self.init_checkpoint, self.config):
                say(line)

    def _run_settings(self):
        """(fixed, variable) settings of the run, see `run_folder.check_same_run`.

        For evaluation and prediction only the settings that define the model are included.
        """
        options, flags = self.options, self.kind.flags
        fixed = {
            "task": options.task_name.lower(),
            "config": self.config.to_dict(),
            "vocabulary": self.tokenizer.sha256,
            "do_lower_case": options.do_lower_case,
        }
        if not options.do_train:
            fixed.update(self.data.fingerprint("dev"))
            return fixed, {}
        names = finetuning_flags.FIXED + list(flags.fixed)
        fixed.update((name, options[name].value) for name in names)
        fixed["objective"] = self.task.objective
        head = self.settings.head  # `loss`: a kind may have several
        fixed.update((name, head[name]) for name in ("loss", "ngram_length") if name in head)
        fixed["class_weights"] = self.settings.class_weights
        fixed["chosen columns"] = self.task.chosen
        for name, split in self.splits.items():
            if name != "test":
                fixed[name + " data"] = split.sha256
                fixed.update(self.data.fingerprint(name))
        for name, content in self.further_files.items():
            fixed[name] = hashlib.sha256(content).hexdigest()
        fixed.update((name, self._changes[name]) for name in self._changes if name != "teaching")
        fixed["teachers"] = self.teaching and self.teaching.fingerprint
        fixed["init_checkpoint"] = "none"
        if self.init_checkpoint:
            fixed["init_checkpoint"] = checkpoint_values.fingerprint(self.init_checkpoint)
        if self.distiller:
            fixed.update(self.distiller.run_settings())
        variable = {name: options[name].value for name in _VARIABLE + list(flags.variable)}
        return fixed, dict(variable, **run_folder.tensorflow_version())

    def _compare_dev(self):
        """Whether the folder's best checkpoint is chosen by these dev rows.

        If training had no dev rows, the rows of the first evaluation choose it.
        """
        if self.options.do_train or "dev" not in self.splits:
            return True
        if not self.folder.checkpoints():
            return False
        digest = self.splits["dev"].sha256
        former = run_folder.former_settings(self.folder.path)
        if former["fixed"].get("objective", self.kind.name) != self.kind.name:
            return False
        if "dev data" not in former["fixed"]:
            fixed = dict({"dev data": digest}, **self.data.fingerprint("dev"))
            run_folder.remember_settings(self.folder.path, fixed, former["variable"])
            return True
        return former["fixed"]["dev data"] == digest

    def _read_training_rows(self):
        """Collects the training rows; with teachers they include rows without labels."""
        options = self.options
        self._trained, self._changes = self.kind.training_split(self.splits["train"], options)
        if not options.teachers:
            return
        self.settings = self.settings._replace(
            distill_weight=options.distill_weight,
            temperature=options.temperature,
            distill_loss=options.distill_loss,
            teacher_average=options.teacher_average,
        )
        self.teaching = self._parts.make_teaching(self, self._trained)
        self._trained = self._trained._replace(examples=self.teaching.examples)
        self._changes = dict(self._changes, teaching=self.teaching.fingerprint)

    def _feature_file(self, split):
        options = self.options
        self._report_features(split)
        settings = dict(
            vocabulary=self.tokenizer.sha256,
            do_lower_case=options.do_lower_case,
            encoding=options.encoding,
            skip_bad_rows=options.skip_bad_rows,
            chosen_columns=self.task.chosen,
            **self.data.fingerprint(split.name),
        )
        if self.settings.head:
            settings["head"] = self.settings.head
        soft = None
        if split.name == "train":
            split = self._trained
            settings.update(self._changes)
            soft = self.teaching and self.teaching.soft
        made = feature_files.feature_file(
            split,
            self.task,
            self.tokenizer,
            options.max_seq_length,
            options.cached_dir or self.folder.path,
            settings=settings,
            shared_as=options.task_name.lower() if options.cached_dir else None,
            further=soft,
        )
        if made.num_cut:
            num_rows = len(counted_rows.rows_of(split))
            say(
                "note: %d of %d %s of %s %s and were truncated",
                made.num_cut,
                len(split.examples),
                "rows" if num_rows == len(split.examples) else "rows and entries",
                split.path,
                _too_long_in_words(self.kind, options),
            )
            self.data.remarks["cut_in_" + split.name] = made.num_cut
        return made

    def _report_features(self, split):
        """Reports pieces that the vocabulary lacks, and labels that do not fit a split's tokens."""
        lines, remarks = self.kind.about_features(
            self.task, split, self.tokenizer, self.options.max_seq_length
        )
        for line in lines:
            say("note: %s: %s", split.path, line)
        self.data.remarks.update(
            ("%s_in_%s" % (remark, split.name), count) for remark, count in remarks.items()
        )

    def in_use(self, tuned: Dict[str, Any]) -> kind_interface.ModelInUse:
        """The run's `ModelInUse`.

        Args:
            tuned: {name: value} of `TaskType.tuned_notes` of the checkpoint that is used.
        """
        notes = dict(self.notes(), **tuned)
        return kind_interface.ModelInUse(
            self.task, notes, self.tokenizer, self.options.max_seq_length
        )

    def notes(self) -> Dict[str, Any]:
        """The notes that are needed to use the checkpoints: `fine_tuning.json`."""
        options = self.options
        trained = {} if options.do_train else self._notes
        set_aside = self.data.fingerprint("train") if options.do_train else self._notes
        notes = {
            "task": options.task_name.lower(),
            "do_lower_case": options.do_lower_case,
            "max_seq_length": trained.get("max_seq_length", options.max_seq_length),
            "objective": self.task.objective,
            "columns": list(self.task.columns),
            "chosen_columns": self.task.chosen,
            "header": None if self.task.header is None else list(self.task.header),
        }
        notes.update(self.kind.notes(self.task, self.settings))
        notes.update((n, set_aside[n]) for n in ("dev_share", "dev_seed") if n in set_aside)
        return notes

    def _takes_halves(self):
        options = self.options
        rows_at_once = options.train_batch_size // options.gradient_accumulation_steps
        is_usual = self.kind.is_mostly_encoder and self.distiller is None
        drops = self.settings.head.get("dropout")  # overrides the config
        is_usual = is_usual and not drops and rows_at_once > 1
        return is_usual and engine.takes_halves(options, self.config)

    def _make_engine(self):
        options = self.options
        in_halves = self._takes_halves()
        return engine.make_engine(
            options,
            self._parts.make_model_fn(
                self.config,
                self.num_outputs(),
                self.init_checkpoint,
                options.learning_rate,
                self.steps.total,
                self.steps.warmup,
                options.use_tpu,
                use_one_hot_embeddings=options.use_tpu,
                settings=self.settings,
                distiller=self.distiller,
                num_parts=options.gradient_accumulation_steps,
                recompute=options.recompute,
                precision=options.precision,
                plain=options.plain,
                in_halves=in_halves,
            ),
            self.steps.save,
            in_halves,
            train_batch_size=options.train_batch_size,
            eval_batch_size=options.eval_batch_size,
            predict_batch_size=options.predict_batch_size,
        )


def _too_long_in_words(kind, options):
    """A phrase that names the length flags that truncated rows exceed."""
    length = options[kind.length_flag].value
    if kind.further_length_flag is None:
        return "are longer than --%s=%d tokens" % (kind.length_flag, length)
    of_target = options[kind.further_length_flag].value
    words = "have a source of over %d tokens (--%s=%d less --%s=%d) or a target of over %d"
    flags_and_lengths = (kind.length_flag, length, kind.further_length_flag, of_target)
    return words % ((length - of_target,) + flags_and_lengths + (of_target - 1,))


def _with_notes(split):
    """A split's file for a message about too few rows, with a remark on skipped rows."""
    return split.path + (" (%s)" % "; ".join(split.notes) if split.notes else "")


def _found_init_checkpoint(options):
    if not options.init_checkpoint:
        if options.do_train:
            say(
                "warning: no --init_checkpoint: training starts from random weights; expect an "
                "accuracy far below that of a pre-trained model"
            )
        return None
    prefix = checkpoint_files.find_checkpoint(options.init_checkpoint)
    checkpoint_values.check_readable(prefix)
    return prefix
