"""TensorFlow Lite model metadata, with which MediaPipe and the Task Library load a classifier.

The metadata are a separate flatbuffer in a buffer of the model; vocabulary and labels are a zip
archive appended to the file. `_TABLES` is the part of TensorFlow Lite's metadata schema (file
identifier M001) that a text classifier needs; the flatbuffers library does the rest. The archive
also contains the model's fine_tuning.json, which `Predictor` reads.
"""

import io
import json
from typing import TYPE_CHECKING
import zipfile

from albert_zh.common.errors import UserError
from albert_zh.model.checkpoints import fine_tuning_notes

if TYPE_CHECKING:
    from albert_zh.export.exported_model import Model

BUFFER_NAME = b"TFLITE_METADATA"
IDENTIFIER = b"M001"
PARSER_VERSION = "1.1.0"  # the first version with a BERT tokenizer
VOCABULARY_FILE = "vocab.txt"
LABELS_FILE = "labels.txt"
_VOCABULARY, _AXIS_LABELS = 5, 2  # AssociatedFileType
_BERT_TOKENIZER, _FEATURE = 4, 1  # members of the unions ProcessUnitOptions, ContentProperties

# {table: {field: (slot, kind)}}; kinds: "string", "byte", a table, or [a table] for a vector of it.
_TABLES = {
    "Model": {
        "name": (0, "string"),
        "description": (1, "string"),
        "subgraphs": (3, ["SubGraph"]),
        "min_parser_version": (7, "string"),
    },
    "SubGraph": {
        "inputs": (2, ["Tensor"]),
        "outputs": (3, ["Tensor"]),
        "input_process_units": (5, ["ProcessUnit"]),
    },
    "Tensor": {
        "name": (0, "string"),
        "description": (1, "string"),
        "content": (3, "Content"),
        "files": (6, ["File"]),
    },
    "Content": {"properties_type": (0, "byte"), "properties": (1, "Feature")},
    "Feature": {},
    "ProcessUnit": {"options_type": (0, "byte"), "options": (1, "BertTokenizer")},
    "BertTokenizer": {"vocabulary": (0, ["File"])},
    "File": {"name": (0, "string"), "description": (1, "string"), "type": (2, "byte")},
}
_INPUT_DESCRIPTIONS = {
    "ids": "Ids of the text's tokens.",
    "mask": "1 for a token, 0 for padding.",
    "segment_ids": "0 for the first text, 1 for the second.",
}


def with_metadata(content: bytes, model: "Model") -> bytes:
    """Adds metadata, vocabulary and labels to the .tflite file of a classifier.

    Args:
        content: content of the file.
        model: a model with vocabulary and labels.

    Raises:
        UserError: if the metadata cannot describe the model.
    """
    if model.tokenizer is None or model.labels is None:
        raise UserError("--metadata: the model folder has no vocab.txt, or no classifier")
    if any("\n" in label for label in model.labels):
        raise UserError("--metadata: a label contains a line end, which labels.txt cannot contain")
    # TensorFlow 2 only; imported here, since this module is also imported with 1.15.
    from tensorflow.lite.python import schema_py_generated as schema
    from tensorflow.lite.tools import flatbuffer_utils

    flat_model = flatbuffer_utils.convert_bytearray_to_object(bytearray(content))
    subgraph = flat_model.subgraphs[0]
    names = [subgraph.tensors[index].name.decode("utf-8") for index in subgraph.inputs]
    buffer, entry = schema.BufferT(), schema.MetadataT()
    buffer.data = bytearray(_description(names))
    entry.name, entry.buffer = BUFFER_NAME, len(flat_model.buffers)
    flat_model.buffers.append(buffer)
    flat_model.metadata = (flat_model.metadata or []) + [entry]
    return bytes(flatbuffer_utils.convert_object_to_bytearray(flat_model)) + _archive(model)


def _description(input_names):
    """The metadata flatbuffer of a classifier."""
    feature = {"properties_type": _FEATURE, "properties": {}}
    vocabulary = {
        "name": VOCABULARY_FILE,
        "description": "The model's vocabulary, a token a line.",
        "type": _VOCABULARY,
    }
    labels = {
        "name": LABELS_FILE,
        "description": "The labels, in the order of the output.",
        "type": _AXIS_LABELS,
    }
    tokenizer = {"options_type": _BERT_TOKENIZER, "options": {"vocabulary": [vocabulary]}}
    inputs = [
        {"name": name, "description": _INPUT_DESCRIPTIONS[name], "content": feature}
        for name in input_names
    ]
    output = {
        "name": "probability",
        "description": "Probability of each label.",
        "content": feature,
        "files": [labels],
    }
    model = {
        "name": "ALBERT text classifier",
        "description": "Puts a text into one of the classes of labels.txt.",
        "subgraphs": [{"inputs": inputs, "outputs": [output], "input_process_units": [tokenizer]}],
        "min_parser_version": PARSER_VERSION,
    }
    import flatbuffers

    builder = flatbuffers.Builder(1024)
    builder.Finish(_written(builder, "Model", model), IDENTIFIER)
    return bytes(builder.Output())


def _written(builder, kind, value):
    """Writes a table or string, after the objects it refers to; returns its offset."""
    if kind == "string":
        return builder.CreateString(value)
    fields = _TABLES[kind]
    offsets = {}
    for name, content in value.items():
        field_kind = fields[name][1]
        if isinstance(field_kind, list):
            offsets[name] = _written_vector(builder, field_kind[0], content)
        elif field_kind != "byte":
            offsets[name] = _written(builder, field_kind, content)
    builder.StartObject(max([slot for slot, _ in fields.values()], default=-1) + 1)
    for name, content in value.items():
        slot, field_kind = fields[name]
        if field_kind == "byte":
            builder.PrependInt8Slot(slot, content, 0)
        else:
            builder.PrependUOffsetTRelativeSlot(slot, offsets[name], 0)
    return builder.EndObject()


def _written_vector(builder, kind, contents):
    offsets = [_written(builder, kind, content) for content in contents]
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return builder.EndVector()


def _archive(model):
    """The zip archive of vocabulary, labels and settings; uncompressed, since readers map it."""
    tokens = [
        # Readers skip empty lines, which would shift the ids of all following lines.
        token or "[empty%d]" % index
        for index, token in enumerate(model.tokenizer.inv_vocab.values())
    ]
    contents = {
        VOCABULARY_FILE: "\n".join(tokens) + "\n",
        LABELS_FILE: "\n".join(model.labels) + "\n",
        fine_tuning_notes.FINE_TUNING_FILE: json.dumps(model.exported_settings),
    }
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, text in contents.items():
            archive.writestr(zipfile.ZipInfo(name), text.encode("utf-8"))
    return stream.getvalue()
