"""The data of one run: a task with its checked splits; for own data also the columns and labels.

What a model was trained for is stored with its checkpoint: `label_map.json`, `fine_tuning.json`.
"""

import os
from typing import Any, Dict, Optional, Set, Tuple

from albert_zh.common import storage
from albert_zh.common.errors import UserError
from albert_zh.common.messages import exact_number, say
from albert_zh.model.checkpoints import label_map
from albert_zh.tasks import datasets, dev_split, registry, task_forms
from albert_zh.tasks.tables import rows, split_files, text_groups

ALL_ARE_TRAINED = "0: on all rows"  # the share that is set aside if dev is a separate file


class TaskData:
    """A run's task and splits."""

    def __init__(self, flags: Any, objective: str, model: Tuple[Any, Dict[str, Any]]) -> None:
        """Reads and checks the files that the run needs.

        Args:
            flags: values of the flags, by name.
            objective: name of the kind of task.
            model: (labels, notes) as returned by `notes_of_model` for a checkpoint that is used
                without training; (None, {}) if a new classifier is trained.

        Raises:
            UserError: for files that are missing or malformed.
        """
        self._flags, self._data_dir = flags, flags.data_dir
        self.is_own = datasets.get_task(flags.task_name).labels is None
        separator = getattr(flags, "label_separator", task_forms.SEPARATOR)
        self.task = datasets.get_task(flags.task_name)._replace(
            objective=objective,
            separator=separator,
            chosen=flags.chosen_columns,
            head=getattr(flags, "head", {}),
        )
        self._kind = registry.type_of(self.task)
        self.task = self._kind.flags.with_files(self.task)
        files = getattr(flags, "files", {})
        self._source = ", ".join(files.values()) or flags.data_dir  # for messages
        if files:
            self.task, self._data_dir = self.task._replace(files=files), os.curdir
        elif storage.is_file(flags.data_dir):
            self._take_single_file()
        self.splits = {}
        self.streamed_test = None  # path of a test file that is only predicted
        self._dev_split = None  # how dev is set aside, if it is a part of the train file
        self._trained = None  # the rows of the train file that are not dev in that case
        self._has_texts_alone = False  # whether teachers have to label the train file
        if flags.do_train:
            self._read_train()
        if self.is_own:
            self._take_columns_and_labels(model)
        self._check_labels(model[0])
        if flags.do_eval:
            self._read_dev()
            self._check_rows_set_aside(model[1])
        if flags.do_predict:
            self._read_test()
        lines, self.remarks = self._kind.about_data(self.task, self.splits)
        for line in lines:
            say(line)

    def _take_single_file(self):
        """Uses the file `--data_dir` as training file, or as test file if a run only predicts."""
        folder, name = os.path.split(self._flags.data_dir)
        split_files.check_is_table(self._flags.data_dir)
        if not self.is_own:
            raise UserError(
                "--data_dir=%s: found a file, but the task %s needs the folder of its files; a "
                "single file is only for --task_name=%s"
                % (self._flags.data_dir, self._flags.task_name, datasets.OWN_DATA)
            )
        is_predicted = not (self._flags.do_train or self._flags.do_eval)
        self.task = self.task._replace(files={"test" if is_predicted else "train": name})
        self._data_dir = folder or os.curdir

    def _read(self, name):
        self.splits[name] = self._kind.read_split(
            self.task,
            self._data_dir,
            name,
            self._flags.encoding,
            self._flags.skip_bad_rows,
        )
        return self.splits[name]

    def _read_train(self):
        """Reads the training rows; they need no labels if only teachers are learnt from."""
        try:
            self._read("train")
        except UserError:
            path, _ = split_files.split_path(self.task, self._data_dir, "train")
            texts = self._texts_alone(path) if getattr(self._flags, "teachers", None) else None
            if texts is None:
                raise
            if self._flags.distill_weight != 1:
                raise UserError(
                    "%s has no labels, but they have a share of %g in the loss: pass "
                    "--distill_weight=1 to learn from teachers only, or add the labels"
                    % (path, 1 - self._flags.distill_weight)
                ) from None
            self.splits["train"], self._has_texts_alone = texts, True

    def _texts_alone(self, path):
        """The training rows, read like a test file, if they have no labels; otherwise None."""
        if path is None:
            return None
        as_test = self.task._replace(files=dict(self.task.files, test=self.task.files["train"]))
        try:
            split = self._kind.read_split(
                as_test, self._data_dir, "test", self._flags.encoding, self._flags.skip_bad_rows
            )
        except UserError:
            return None
        if split.has_labels:
            return None
        examples = [e._replace(guid=e.guid.replace("test", "train")) for e in split.examples]
        return split._replace(name="train", examples=examples)

    def _take_columns_and_labels(self, model):
        if "train" in self.splits:
            train = self.splits["train"]
            if self._has_texts_alone:
                self._take_labels_of_teachers_or_dev(train)
            else:
                self.task = self._kind.with_labels(self.task, train)
            return
        labels, notes = model
        if labels is None or "columns" not in notes:
            raise UserError(
                "--task_name=%s: which labels the model has is not known: train first "
                "(--do_train=true), or name with --init_checkpoint a fine-tuned model, in whose "
                "folder are label_map.json and fine_tuning.json" % self._flags.task_name
            )
        header = notes.get("header")
        self.task = self.task._replace(
            labels=labels,
            columns=tuple(notes["columns"]),
            header=None if header is None else tuple(header),
            objective=notes.get("objective", self.task.objective),
            separator=notes.get("label_separator", self.task.separator),
            chosen=self.task.chosen or notes.get("chosen_columns", {}),
        )
        self._kind = registry.type_of(self.task)

    def _take_labels_of_teachers_or_dev(self, train):
        """Takes the labels of the first teacher that has saved them, or else of the dev file."""
        folders = [path for path in self._flags.teachers if storage.is_folder(path)]
        labels, _ = label_map.notes_of_model(folders)
        if labels is not None:
            columns = (*train.columns, "label")
            self.task = self.task._replace(labels=labels, columns=columns, header=())
            return
        if split_files.split_path(self.task, self._data_dir, "dev")[0] is None:
            raise UserError(
                "%s has no labels, and the labels of the task are not known: add a dev file with "
                "labels, or a teacher with a label_map.json" % train.path
            )
        dev = self._kind.read_split(
            self.task, self._data_dir, "dev", self._flags.encoding, self._flags.skip_bad_rows
        )
        self.task = self._kind.with_labels(self.task, dev)

    def _check_labels(self, labels):
        """Checks that the label map in the checkpoint's folder belongs to these data."""
        if labels is None or labels == self.task.labels:
            return
        differing = sorted(set(labels) ^ set(self.task.labels))
        raise UserError(
            "the label_map.json next to the checkpoint belongs to another run: it has %d labels, "
            "the data %d (%s): name another folder with --output_dir, or the data it was trained "
            "on"
            % (
                len(labels),
                len(self.task.labels),
                "differing: " + ", ".join(differing[:5]) if differing else "in another order",
            )
        )

    def _read_dev(self):
        has_file = split_files.split_path(self.task, self._data_dir, "dev")[0] is not None
        if has_file or not self.is_own:
            self._read_dev_file()
            return
        self._set_dev_aside(self.splits.get("train") or self._read("train"))
        if not self._flags.do_train:
            del self.splits["train"]

    def _set_dev_aside(self, train):
        """Sets a part of the training file's rows aside as dev."""
        if self._has_texts_alone:
            raise UserError(
                "%s has no labels, by which rows set aside as dev would be scored: add a dev file, "
                "or leave out --do_eval" % train.path
            )
        num_rows, method, seed = len(train.examples), self._flags.dev_split, self._flags.seed
        share = self._flags.dev_share
        if share is None:
            share = dev_split.usual_share(num_rows)
        if not share:
            raise UserError(
                "%s has no dev file: add one, or set rows of train aside with --dev_share=0.1"
                % self._source
            )
        self._dev_split = dev_split.described(share, method)
        sides = dev_split.set_aside(self.task, train.examples, share, seed, method)
        if not sides.kept:
            raise UserError(
                "%s: with --dev_share=%g no row of its %d is left to train on: add a dev file or "
                "more rows" % (train.path, share, num_rows)
            )
        notes = [
            "no dev file: %d of its %d rows are set aside as one (--dev_share=%s, --dev_split=%s, "
            "--dev_seed=%d)" % (len(sides.aside), num_rows, exact_number(share), method, seed)
        ]
        notes += [sides.note] if sides.note else []
        notes += self._notes_of_names_like_dev()
        self._trained = self.splits["train"] = train._replace(examples=sides.kept)
        self.splits["dev"] = self._kind.dev_of_rows(
            self.task,
            self._data_dir,
            train._replace(name="dev", examples=sides.aside, notes=notes),
            self._flags.encoding,
            self._flags.skip_bad_rows,
        )

    def _notes_of_names_like_dev(self):
        """Notes on files in the data folder that may be meant as dev files, but are not read."""
        usual = self.task.files.get("dev")
        if not usual or isinstance(usual, str):  # the run's files are named one by one
            return []
        names = split_files.names_with_word(self._data_dir, datasets.DEV_NAMES)
        return [
            "%s is not read: if it is the dev file, name it %s" % (name, usual[0]) for name in names
        ]

    def _read_dev_file(self):
        try:
            self._read("dev")
        except rows.RowsDontFit as error:
            num_trained = len(self.splits["train"].examples) if "train" in self.splits else 0
            if not error.has_unknown_labels or not 0 < num_trained < error.num_rows:
                raise
            raise UserError(
                "%s; dev has more rows than train (%d and %d): are the files swapped?"
                % (error, error.num_rows, num_trained)
            ) from error

    def _read_test(self):
        path, _ = split_files.split_path(self.task, self._data_dir, "test")
        if path is None and self.is_own and self._flags.do_train:
            say("note: %s has no test file: nothing is predicted", self._source)
        elif path is None or self.splits or self._flags.use_tpu:  # a TPU needs batches of one shape
            self._read("test")  # before hours of training, to find errors early
        else:
            self.streamed_test = path

    @property
    def sets_rows_aside(self) -> bool:
        """Whether dev is a part of the training file."""
        return self._dev_split is not None

    def keys_of_training(self) -> Optional[Set[int]]:
        """Set of `text_groups.text_key` of the training rows; None if they cannot be read."""
        split = self.splits.get("train") or self._trained
        if split is None:
            try:
                split = self._kind.read_split(
                    self.task, self._data_dir, "train", self._flags.encoding, True
                )
            except UserError:
                return None
        return {text_groups.text_key(example) for example in split.examples}

    def fingerprint(self, name: str) -> Dict[str, Any]:
        """{name: value} of the settings that, besides its file, determine the rows of a split."""
        if self._dev_split and name != "test":
            return {"dev_share": self._dev_split, "dev_seed": self._flags.seed}
        return {"dev_share": ALL_ARE_TRAINED} if self.is_own and name == "train" else {}

    def _check_rows_set_aside(self, notes):
        """Raises `UserError` if a model may have been trained on rows that are dev rows now.

        Args:
            notes: content of the model's fine_tuning.json.
        """
        for name, setting in self.fingerprint("dev").items():
            if notes.get(name, setting) != setting:
                raise UserError(
                    "%s has no dev file, and the model was trained with another %s (%s, now %s): "
                    "it may have seen the rows that are set aside: add a dev file, or give "
                    "--dev_share, --dev_split and --dev_seed as in training"
                    % (self._source, name, notes[name], setting)
                )
