"""Teachers: models of any supported format, and files of another program's outputs.

teacher = open_teacher("big_output/best", student, "out/teacher_targets")
teacher.prepare(examples)         # computes the targets that are not cached
teacher.target(example)           # float32 array, see `Distillation.target`
"""

import collections
import os
from typing import Any, List, Sequence

import numpy as np

from albert_zh.common import storage
from albert_zh.common.errors import UserError, naming
from albert_zh.common.messages import say
from albert_zh.common.progress import progress_bar
from albert_zh.conversion import pytorch_files
from albert_zh.distillation import label_names, target_cache
from albert_zh.distillation.target_cache import digest_of
from albert_zh.distillation.teacher_files import TeacherFile
from albert_zh.model.checkpoints import (
    checkpoint_files,
    checkpoint_values,
    fine_tuning_notes,
    label_map,
)
from albert_zh.text import tokenization

VERSION = 1  # of the contents of targets; changing it makes cached targets stale
ROWS_PER_CHUNK = 1024
_HASHED = (".json", ".txt", ".model", ".pb", ".tflite", ".onnx", ".index")
_WEIGHTS_OF_PYTORCH = (".bin", ".safetensors", ".pt", ".pth")
_BESIDE = (  # files in the folder of an exported file
    label_map.LABEL_MAP,
    fine_tuning_notes.FINE_TUNING_FILE,
    tokenization.VOCABULARY_FILE,
    tokenization.SENTENCEPIECE_FILE,
)
_OF_MODEL = (  # files of a model folder, besides the weights and files of its kind of task
    "albert_config*.json",
    "bert_config*.json",
    "config.json",
    "vocab*.txt",
    "*.model",
    label_map.LABEL_MAP,
    fine_tuning_notes.FINE_TUNING_FILE,
)
_CONVERTED = "converted"

Student = collections.namedtuple("Student", ["kind", "use", "settings", "is_symmetric"])
Student.__doc__ = """The student of a distillation, as far as teachers need to know it.

Fields:
    kind: the kind of task.
    use: the student's `task_type.ModelInUse`.
    settings: the student's `Settings`.
    is_symmetric: whether the order of the texts in a pair does not matter.
"""


def open_teacher(path: str, student: Student, folder: str) -> Any:
    """Opens the teacher at a path.

    Args:
        path: model folder, SavedModel folder, .tflite or .onnx file, Hugging Face folder, or a
            file of logits or probabilities.
        student: `Student`.
        folder: folder in which targets are cached.

    Raises:
        UserError: if the path does not exist or is not a valid teacher.
    """
    if is_model(path):
        return ModelTeacher(model_of(path, folder), student, folder, path)
    return TeacherFile(path, student)


def is_model(path: str) -> bool:
    """Whether a teacher is a model, rather than a file of a model's outputs.

    Raises:
        UserError: if the path does not exist.
    """
    if not storage.exists(path):
        if storage.exists(path + ".index"):
            raise UserError(
                "--teachers=%s: found the prefix of a checkpoint, expected its model folder, with "
                "config, vocabulary and labels: --teachers=%s"
                % (path, os.path.dirname(path) or os.curdir)
            )
        raise UserError(
            "--teachers=%s: no such file or folder: expected a fine-tuned model, or a file of "
            "logits or probabilities (teachers are separated by commas: put a path that contains "
            "one into double quotes inside the shell's quotes, --teachers='\"a,b\",c')" % path
        )
    return storage.is_folder(path) or _is_exported(path)


def model_of(path: str, folder: str) -> str:
    """Returns the path of a model that `Predictor` can load; converts PyTorch into `folder`."""
    if storage.is_folder(path) and not _is_exported(path) and _is_pytorch(path):
        return _converted(path, folder)
    return path


class ModelTeacher:
    """A teacher that is a model; it is run once per text, and its targets are cached.

    Attributes:
        name: the teacher's name in messages: the path that the user gave.
        about: {name: JSON value} that its targets depend on.
        num_computed: number of texts whose targets were not cached on disk.
        has_texts: True; see `TeacherFile`.
        set_aside: {name: value} of the settings by which its training split dev rows off the
            training file; {} if it was trained with a dev file.
    """

    has_texts = True

    def __init__(self, path: str, student: Student, folder: str, name: str) -> None:
        """Opens the cached targets; the model is only loaded if a target is missing.

        Args:
            path: path of the model, see `Predictor`.
            student: `Student`.
            folder: folder in which targets are cached.
            name: the path that the user gave, for messages.
        """
        self.name, self._path, self._student = name, path, student
        self.num_computed = 0
        with naming("--teachers=%s" % name):
            fingerprint = self._fingerprint()
            self.set_aside = _set_aside(path)
        self.about = {
            "version": VERSION,
            "model": fingerprint,
            "labels": list(student.use.task.labels),
            "kind": student.kind.name,
        }
        self._length = None if self._has_length() else student.use.max_seq_length or None
        if self._length:
            self.about["max_seq_length"] = self._length
        self._cache = target_cache.TargetCache(folder, self.about)

    def _has_length(self):
        """Whether the model records its `max_seq_length`; a converted model does not."""
        if not storage.is_folder(self._path) or _is_exported(self._path):
            return True
        return "max_seq_length" in fine_tuning_notes.notes_of_folder(self._path)

    def prepare(self, examples: Sequence[Any]) -> None:
        """Computes the targets that are not cached on disk.

        A run that is killed and started again forms the same chunks of texts, so that its targets
        are identical bit by bit.

        Args:
            examples: examples as `TaskType.read_split` returns them.

        Raises:
            UserError: if the model does not fit the student, or its files have changed since this
                object was created: its targets would be cached under the earlier files' digest.
        """
        by_texts = {target_cache.texts_of(example): example for example in examples}
        missing = self._cache.missing(list(by_texts))
        self.num_computed += len(missing)
        if not missing:
            return
        distillation = self._student.kind.distillation
        with self._loaded() as model, progress_bar(
            "targets of %s" % self.name, len(missing), "row", leave=False
        ) as bar:
            self._check_is_what_was_found()
            order = self._order_of_labels(model)
            for start in range(0, len(missing), ROWS_PER_CHUNK):
                texts = missing[start : start + ROWS_PER_CHUNK]
                chunk = [by_texts[row]._replace(label=None) for row in texts]
                targets = [
                    distillation.target(model.use, example, rows, order)
                    for example, rows in zip(chunk, model.outputs(chunk))
                ]
                self._cache.add(texts, targets)
                bar.update(len(texts))

    def target(self, example: Any) -> np.ndarray:
        """Returns the target of an example that `prepare` has seen."""
        return self._cache.get(*target_cache.texts_of(example))

    def _fingerprint(self):
        return _fingerprint(self._path, self._student.kind.flags.further_files)

    def _check_is_what_was_found(self):
        """Raises `UserError` if the loaded files are not the ones whose digests `about` has."""
        before, now = self.about["model"], self._fingerprint()
        changed = [name for name in sorted({**before, **now}) if before.get(name) != now.get(name)]
        if changed:
            raise UserError(
                "--teachers=%s: changed since this command began (%s): start again when the model "
                "is complete" % (self.name, ", ".join(changed))
            )

    def _loaded(self):
        from albert_zh.inference.predictor import Predictor  # needed only for missing targets

        with naming("--teachers=%s" % self.name):
            model = Predictor(self._path, self._length, check_text_form=False)
        kind = self._student.kind
        if model.kind.name != kind.name:
            model.close()
            raise UserError(
                "--teachers=%s: a model of the kind %s, but the student is of the kind %s: "
                "expected a teacher of the same kind" % (self.name, model.kind.name, kind.name)
            )
        misfit = kind.distillation.misfit(model.use.task, self._student.use.task)
        if misfit:
            model.close()
            raise UserError(
                "--teachers=%s: %s: expected a teacher of the same task" % (self.name, misfit)
            )
        is_pair = "text_b" in self._student.use.task.columns
        if model.takes_pairs is not None and model.takes_pairs != is_pair:
            model.close()
            forms = ("single texts", "pairs of texts")
            raise UserError(
                "--teachers=%s: trained on %s, the data have %s: expected a teacher of the same "
                "task" % (self.name, forms[model.takes_pairs], forms[is_pair])
            )
        return model

    def _order_of_labels(self, model) -> List[int]:
        labels, kind = list(self._student.use.task.labels), self._student.kind
        if not kind.rules.has_classes:  # outputs without names have a fixed order
            return list(range(len(kind.distillation.teacher_outputs)))
        return order_of_labels(list(model.use.task.labels), labels, "--teachers=%s" % self.name)


def order_of_labels(of_teacher: Sequence[str], labels: Sequence[str], name: str) -> List[int]:
    """Returns the indices of the teacher's labels, in the order of the student's labels.

    Raises:
        UserError: if teacher and student have different labels; the message lists both.
    """
    if sorted(of_teacher) != sorted(labels):
        raise UserError(
            "%s has %s: expected the same names: train the teacher on these labels, or name them "
            "in its label_map.json" % (name, label_names.both_sides(of_teacher, labels))
        )
    return [list(of_teacher).index(label) for label in labels]


def _is_exported(path):
    from albert_zh.inference.runtimes import backends  # loads all of prediction

    return backends.is_exported(path)


def _is_pytorch(path):
    return not checkpoint_files.index_files(path) and pytorch_files.is_pytorch(path)


def _converted(path, folder):
    """Converts a Hugging Face folder, unless that is done already; returns the model folder."""
    from albert_zh.conversion import from_pytorch  # few runs need it

    digest = _digest_of_pytorch(path)
    target = os.path.join(folder, _CONVERTED, digest)
    # A conversion into a bucket that was killed may have left an incomplete folder.
    if not checkpoint_files.index_files(target):
        say("converting %s", path)
        with naming("--teachers=%s" % path):
            from_pytorch.convert(pytorch_files.find_weights(path), target)
        if _digest_of_pytorch(path) != digest:
            storage.remove_tree(target)  # it is named by the digest of the earlier files
            raise UserError(
                "--teachers=%s: changed while it was converted: start again when the model is "
                "complete" % path
            )
    return target


def _digest_of_pytorch(path):
    return digest_of({"files": _files_of_folder(path, _HASHED + _WEIGHTS_OF_PYTORCH)})


def _set_aside(path):
    """Returns from a model's notes how dev rows were split off its training file."""
    if _is_exported(path):
        from albert_zh.inference.files_beside import FilesBeside  # loads all of prediction

        notes = FilesBeside(path).settings
    else:
        notes = fine_tuning_notes.notes_of_folder(path)
    return {name: notes[name] for name in ("dev_share", "dev_seed") if name in notes}


def _fingerprint(path, further_files):
    """Returns digests of a model's files, by name: weights, config, vocabulary, labels, notes.

    Args:
        path: path of the model.
        further_files: names of additional files that its kind of task may have.
    """
    if not storage.is_folder(path):
        folder = os.path.dirname(path)
        beside = [os.path.join(folder, name) for name in (*_BESIDE, *further_files)]
        files = [path] + [file for file in beside if storage.is_file(file)]
        return {os.path.basename(file): storage.sha256_of_file(file) for file in files}
    if _is_exported(path):
        return _files_of_folder(path, _HASHED + tuple(further_files))
    names = [name for pattern in _OF_MODEL for name in storage.in_folder(path, pattern)]
    names += [storage.joined(path, name) for name in further_files]
    found = {os.path.basename(n): storage.sha256_of_file(n) for n in names if storage.is_file(n)}
    found["weights"] = checkpoint_values.fingerprint(checkpoint_files.find_checkpoint(path))
    return found


def _files_of_folder(path, endings):
    in_folders = _is_exported(path)  # a SavedModel has a folder of assets
    paths = storage.files_below(path) if in_folders else storage.in_folder(path, "*")
    return {
        os.path.relpath(full, path): storage.sha256_of_file(full)
        for full in paths
        if full.endswith(endings)
    }
