"""The metadata of an ONNX file about its model, and the tokenizer.json next to it.

    notes = session.get_modelmeta().custom_metadata_map
    labels = json.loads(notes["labels"])
    tokenizer = tokenizers.Tokenizer.from_str(notes["tokenizer.json"])

Values are JSON, except for `task` and `objective`.
"""

import json
import os
from typing import TYPE_CHECKING

from albert_zh.common import files, output_files, storage
from albert_zh.common.messages import say
from albert_zh.conversion import tokenizer_json, tokenizer_steps
from albert_zh.inference import input_rows
from albert_zh.model.checkpoints import fine_tuning_notes
from albert_zh.text import tokenization

if TYPE_CHECKING:
    from albert_zh.export.exported_model import Model, Options


def add(path: str, model: "Model", options: "Options") -> None:
    """Adds the metadata to a file.

    Args:
        path: the .onnx file.
        model: the exported model.
        options: options of the export.
    """
    import onnx

    proto = onnx.load(path)
    onnx.helper.set_model_props(proto, dict(_notes(model, options)))
    onnx.save(proto, path)


def _notes(model, options):
    """Yields (name, text) of what a program needs to know about the model."""
    yield "task", options.task
    yield "max_seq_length", json.dumps(_longest(model, options))
    if options.task == "classifier":
        yield "objective", model.kind.name
        if model.labels:
            yield "labels", _json(model.labels)
        if model.settings.get("thresholds"):
            yield "thresholds", _json(model.settings["thresholds"])
        yield fine_tuning_notes.FINE_TUNING_FILE, _json(model.exported_settings)
    if model.tokenizer is not None:
        yield "do_lower_case", json.dumps(model.tokenizer.basic_tokenizer.do_lower_case)
    content = _tokenizer_content(model, options)
    if content is not None:
        yield tokenizer_json.FILE, _json(content)


def _json(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _longest(model, options):
    """The number of tokens to which a text is truncated."""
    usual = model.settings.get("max_seq_length", input_rows.DEFAULT_LENGTH)
    if model.sentence_notes:
        usual = model.sentence_notes.max_seq_length
    return min(usual, options.seq_length or model.config.longest_sequence)


def _tokenizer_content(model, options):
    """The content of the model's tokenizer.json; None for SentencePiece or no vocabulary."""
    tokenizer = model.tokenizer
    if tokenizer is None or tokenizer.name_in_folder != tokenization.VOCABULARY_FILE:
        return None
    return tokenizer_steps.content_of(tokenizer, _longest(model, options))


def write_tokenizer_beside(path: str, model: "Model", options: "Options") -> None:
    """Writes the tokenizer.json next to a file, unless one exists that no export has written.

    Args:
        path, model, options: as in `add`.
    """
    beside = os.path.join(os.path.dirname(path) or ".", tokenizer_json.FILE)
    content = _tokenizer_content(model, options)
    former = files.read_json(beside) if storage.exists(beside) else content
    if content is None or not _is_of_an_export(former):
        return
    lengths = [each["truncation"]["max_length"] for each in (former, content)]
    if lengths[0] != lengths[1]:
        say(
            "note: %s, which truncated texts to %d tokens, now truncates them to %d: an .onnx "
            "file of another export that is there has its tokenizer.json in its metadata",
            beside,
            *lengths,
        )
    output_files.write_json(beside, content)


def _is_of_an_export(content):
    """Whether a tokenizer.json was written by `write_tokenizer_beside`."""
    is_ours = isinstance(content, dict) and tokenizer_steps.case_of(content) is not None
    return is_ours and "max_length" in (content.get("truncation") or {})
