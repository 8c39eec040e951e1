"""The vocabulary, labels and settings that exported files contain in addition to the graph.

texts_in("model.tflite")  # {"vocab.txt": "[PAD]\\n...", "labels.txt": "体育\\n财经", ...}
texts_in("model.onnx")  # {"vocab.txt": ..., "labels.json": "[...]", "fine_tuning.json": "{...}"}
"""

import json
from typing import Callable, Dict
import zipfile
import zlib

from albert_zh.common import checks, files, storage, validation
from albert_zh.common.errors import UserError
from albert_zh.inference.runtimes import onnx_backend
from albert_zh.model.checkpoints import fine_tuning_notes

VOCABULARY, LABELS, SETTINGS = "vocab.txt", "labels.txt", "fine_tuning.json"
LABEL_LIST = "labels.json"  # of files with a list of labels, which may contain line breaks
# Entries of an .onnx file's metadata with the same names in a model folder's notes; files of former
# versions have only these.
_SETTINGS = ("max_seq_length", "do_lower_case", "thresholds")
# Errors of reading an archive that is damaged, encrypted or in another encoding.
_UNREADABLE = (zipfile.BadZipFile, zlib.error, RuntimeError, ValueError, EOFError, OSError)
_LABELS = validation.list_of(validation.TEXT)
_TOKENIZER = validation.record(
    {
        "model": validation.record(
            {"vocab": validation.record(others=validation.integer(0))}, ["vocab"]
        )
    },
    ["model"],
)


def texts_in(path: str) -> Dict[str, str]:
    """The texts in a file, by the names that they have in a model folder.

    Args:
        path: a .tflite or .onnx file; other files contain none.

    Returns:
        dict with some of `VOCABULARY`, `LABELS` or `LABEL_LIST`, and `SETTINGS`.

    Raises:
        UserError: if they are not in the form that exports write.
    """
    for ending, read in _READERS.items():
        if path.endswith(ending) and storage.is_file(path):
            return read(path)
    return {}


def _of_archive(path: str) -> Dict[str, str]:
    """Texts from the archive at the end of a .tflite file with metadata."""
    names = {name: name for name in (VOCABULARY, LABELS, SETTINGS)}
    names["label.txt"] = LABELS
    with storage.open_binary(path) as content:
        if not zipfile.is_zipfile(content):
            return {}
        try:
            with zipfile.ZipFile(content) as archive:
                return {
                    names[name]: archive.read(name).decode("utf-8")
                    for name in archive.namelist()
                    if name in names
                }
        except _UNREADABLE as error:
            raise UserError(
                "%s: the vocabulary and labels in its archive cannot be read (%s): expected UTF-8 "
                "text as exporting writes it: export the model again"
                % (path, str(error) or type(error).__name__)
            ) from error


def _of_metadata(path: str) -> Dict[str, str]:
    """Texts from the metadata that `export.onnx_metadata` writes."""
    notes = onnx_backend.metadata_of(path)
    texts = {}
    if "labels" in notes:
        texts[LABEL_LIST] = json.dumps(_value(path, notes, "labels", _LABELS))
    if "tokenizer.json" in notes:
        ids = _value(path, notes, "tokenizer.json", _TOKENIZER)["model"]["vocab"]
        texts[VOCABULARY] = _lines_of_ids(ids)
    settings = {name: _value(path, notes, name, None) for name in _SETTINGS if name in notes}
    if "objective" in notes:
        settings["objective"] = notes["objective"]
    if SETTINGS in notes:
        settings.update(_value(path, notes, SETTINGS, fine_tuning_notes.NOTES))
    if settings:
        texts[SETTINGS] = json.dumps(settings)
    return texts


def _lines_of_ids(ids):
    """A vocabulary file from {token: id}; missing ids get entries that occur in no text."""
    tokens = {index: token for token, index in ids.items()}
    places = range(max(tokens, default=-1) + 1)
    return "".join((tokens.get(index) or "[empty%d]" % index) + "\n" for index in places)


def _value(path, notes, name, kind):
    """The JSON value of an entry of the metadata, checked."""
    called = "%s: metadata %s" % (path, name)
    value = files.parse_json(notes[name], called)
    return value if kind is None else checks.checked(called, value, kind)


_READERS: Dict[str, Callable[[str], Dict[str, str]]] = {
    ".tflite": _of_archive,
    ".onnx": _of_metadata,
}
