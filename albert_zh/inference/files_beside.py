"""The files next to a model's weights: vocabulary, labels and training settings."""

import os
import tempfile
from typing import Dict, List, Optional, Sequence

from albert_zh.common import checks, files, storage
from albert_zh.common.errors import UserError
from albert_zh.inference.runtimes import packed_files, saved_models
from albert_zh.model.checkpoints import fine_tuning_notes, label_map, model_folder
from albert_zh.model.checkpoints.fine_tuning_notes import MAX_POSITIONS
from albert_zh.model.config import AlbertConfig
from albert_zh.tasks import head_notes, registry
from albert_zh.text import tokenization


def _check_kind(notes, source):
    """Raises `UserError` if the kind of task that a notes file names is unknown."""
    name = notes.get("objective", "single_label")
    if name not in registry.names():
        raise UserError(
            "%s: objective: expected one of %s, found %r: %s"
            % (source, ", ".join(registry.names()), name, fine_tuning_notes.NOTES_WAY_OUT)
        )


def _positions_of_config(folder):
    """The maximum number of tokens in the config of a model folder; None if it has no config."""
    try:
        return AlbertConfig.from_json_file(model_folder.config_in_folder(folder)).longest_sequence
    except UserError:
        return None


class FilesBeside:
    """The files next to a model's weights: vocabulary, labels and training settings.

    Attributes:
        settings: content of fine_tuning.json.
        max_positions: maximum number of tokens of an exported encoder; None if unknown.
    """

    def __init__(self, path: str) -> None:
        """`path`: model folder, SavedModel folder, .tflite or .onnx file."""
        self._folder = folder = path if storage.is_folder(path) else os.path.dirname(path) or "."
        inner = saved_models.saved_model_folder(path) or folder
        self._folders = list(
            dict.fromkeys(
                [inner, os.path.join(inner, "assets"), os.path.join(inner, "assets.extra"), folder]
            )
        )
        self._path, self._packed = path, packed_files.texts_in(path)
        self._notes_file = self._find(fine_tuning_notes.FINE_TUNING_FILE)
        self.settings, self.max_positions = self._read_settings()
        _check_kind(self.settings, self._notes_file or path)
        head_notes.check_head(self.settings, self._notes_file or path)

    def _read_settings(self):
        """(training notes, maximum tokens): from a file next to the model, or the export itself."""
        beside, packed = fine_tuning_notes.read_notes(self._notes_file), {}
        if packed_files.SETTINGS in self._packed:
            notes = files.parse_json(self._packed[packed_files.SETTINGS], self._path)
            packed = checks.checked(self._path, notes, fine_tuning_notes.NOTES)
        positions = packed.get(MAX_POSITIONS, beside.get(MAX_POSITIONS))
        if positions is None and not storage.is_folder(self._path):
            positions = _positions_of_config(self._folder)
        return packed or beside, positions  # a file next to it may belong to another model

    def _find(self, name):
        paths = (os.path.join(folder, name) for folder in self._folders)
        return next((path for path in paths if storage.is_file(path)), None)

    def further_files(self, names: Sequence[str]) -> Dict[str, bytes]:
        """{name: content} of the files among `names` that exist."""
        return model_folder.files_in(self._folders, names)

    def check_settings(self, num_outputs: int) -> None:
        """Raises `UserError` unless the settings fit a model with this number of outputs."""
        fine_tuning_notes.check_notes(self.settings, num_outputs, self._notes_file or self._path)

    def labels(self, num_labels: Optional[int]) -> List[str]:
        """The labels in the order of their numbers; if there are none, the numbers themselves.

        Args:
            num_labels: number of labels of the model; None if only its label map records it.

        Raises:
            UserError: if there are more or fewer labels.
        """
        path, labels = self._path, self._packed_labels()
        if labels is None:  # else: a file next to it may be another model's
            path = self._find(label_map.LABEL_MAP)
            if path is None:
                return [str(index) for index in range(num_labels or 0)]
            labels = list(label_map.labels_of_map(path))
        if num_labels is not None:
            label_map.check_num_labels(path, labels, num_labels)
        return labels

    def _packed_labels(self):
        """The labels stored in an exported file, in order; None if it has none."""
        if packed_files.LABEL_LIST in self._packed:
            return files.parse_json(self._packed[packed_files.LABEL_LIST], self._path)
        lines = self._packed.get(packed_files.LABELS)
        return None if lines is None else lines.rstrip("\n").split("\n")

    def tokenizer(
        self, vocab_file: Optional[str], do_lower_case: bool
    ) -> tokenization.FullTokenizer:
        """The tokenizer of a vocabulary, or of the vocabulary next to the model.

        Args:
            vocab_file: path, or None.
            do_lower_case: bool.

        Raises:
            UserError: if there is no vocabulary.
        """
        packed = None if vocab_file else self._packed.get(packed_files.VOCABULARY)
        if packed is None:
            path = vocab_file or self._find(tokenization.SENTENCEPIECE_FILE)
            path = path or self._find(tokenization.VOCABULARY_FILE)
            if path is None:
                raise UserError(
                    "%s contains no vocabulary (%s or %s): copy the model's there, or name it "
                    "(vocab_file in Python, --vocab_file)"
                    % (
                        self._folder,
                        tokenization.VOCABULARY_FILE,
                        tokenization.SENTENCEPIECE_FILE,
                    )
                )
            return tokenization.FullTokenizer(path, do_lower_case)
        with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8", newline="") as copy:
            copy.write(packed)
            copy.flush()
            return tokenization.FullTokenizer(copy.name, do_lower_case)
