"""Validation of values: kinds and their errors; readers of JSON raise only `UserError`."""

import collections
import contextlib
import copy
import fractions
import json
import os

import numpy as np
import pytest

from albert_zh.common import checks, files, output_files, validation
from albert_zh.common.errors import UserError
from albert_zh.conversion import from_pytorch as to_tf
from albert_zh.conversion import pytorch_configs, pytorch_files, tokenizer_json
from albert_zh.corpus import pipeline, work_folder
from albert_zh.finetuning import summary
from albert_zh.inference import files_beside
from albert_zh.model import modeling
from albert_zh.model.checkpoints import fine_tuning_notes, label_map
from albert_zh.tasks import feature_files, feature_records
from albert_zh.tasks import report as task_report
from albert_zh.tasks.classification import losses
from albert_zh.training import metrics_log, run_folder


@pytest.mark.parametrize(
    "kind, good, bad, expected",
    [
        (validation.integer(1), [1, np.int64(3), 2**53], [0, True, 1.0, "1", None], "at least 1"),
        (validation.integer(1, 5), [1, 5], [6, 10**30, float("nan")], "from 1 to 5"),
        (validation.integer(), [-5, 0], [10**5000, -(10**30), 0.5], "an integer"),
        (
            validation.number(0, 1),
            [0, 1, 0.5, np.float32(0.5), fractions.Fraction(1, 3)],
            [float("nan"), float("inf"), -0.1, 10**400, "0", True, 1j],
            "a number from 0 to 1",
        ),
        (validation.number(least=0, below=1), [0, 0.99], [1, -1], "of at least 0 and below 1"),
        (validation.number(above=0), [1e-9], [0, -1], "above 0"),
        (validation.number(above=0, most=5), [5], [6, 0], "of at most 5 and above 0"),
        (validation.one_of("a", 1), ["a", 1], [True, "b", None, []], "one of a, 1"),
        (validation.or_none(validation.TEXT), [None, "x"], [1, ["x"]], "a text, or null"),
        (validation.PATH, ["a", ""], [None, 5, b"a", "a\0b"], "the path of a file or folder"),
        (validation.BOOLEAN, [True], [1, "true", None], "true or false"),
        (validation.list_of(validation.TEXT), [[], ["x"]], ["x", {}, [1], ("x",)], "a "),
        (validation.list_of(validation.TEXT, 1), [["x"]], [[], ["x", "y"]], "a list of 1"),
        (validation.record({"a": validation.TEXT}, ["b"]), [{"b": 1}], [{}, {"a": 1, "b": 1}], ""),
    ],
)
def test_kinds(kind, good, bad, expected):
    for value in good:
        assert checks.checked("x", value, kind) is value
    for value in bad:
        with pytest.raises(UserError) as caught:
            checks.checked("x", value, kind)
        assert str(caught.value).startswith("x: ") and expected in str(caught.value)
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


def test_the_key_and_the_value_at_any_depth_are_named():
    kind = validation.record(
        others=validation.record({"list": validation.list_of(validation.TEXT)})
    )
    with pytest.raises(UserError, match=r"^x: a.list\[1\]: expected a text, found 5$"):
        checks.checked("x", {"a": {"list": ["good", 5]}}, kind)
    with pytest.raises(UserError, match=r"^x: 'a\\nb': expected a JSON object, found 'long"):
        checks.checked("x", {"a\nb": "long" * 100}, kind)


# Readers


def read_stamp(path):
    made = feature_records.FeatureFile(path[: -len(".json")], 0, 0, None)
    return feature_files._cached_features(made, {"num_examples": 1})


def read_metrics(path):
    return metrics_log.Metrics.read(os.path.dirname(path), 10**9)


def read_settings(path):
    return files.read_json(path, run_folder.RUN_SETTINGS)


def read_report(path):
    """Returns the sections of a former report that `report.Report` preserves."""
    report = task_report.Report.__new__(task_report.Report)
    report._scorers = {}
    return report._kept_sections(os.path.dirname(path), {"model": "m", "data": {}, "remarks": {}})


def read_hugging_face(path):
    settings = files.read_json(path, pytorch_configs.CONFIG)
    try:
        config, notes = pytorch_configs.tf_config("google", settings)
    except UserError as error:
        raise UserError("%s: %s" % (path, error)) from error
    labels = to_tf._label_map(os.path.dirname(path), settings, 2, path)
    return config.to_dict(), notes, labels, to_tf._without_other_heads(settings, {})


def read_manifest(path):
    folder = os.path.dirname(path)
    work_folder._prepare(folder, {"flags": {"seed": 1}}, resume=True)


def read_shard(path):
    folder = work_folder.WorkFolder(os.path.dirname(path), {})
    result = folder.result("00000001", pipeline.FINISHED_SHARD)
    collections.Counter().update(result["counts"])
    return result


def read_notes(path):
    notes = fine_tuning_notes.read_notes(path)
    fine_tuning_notes.check_notes(notes, 2, path)
    return notes


def read_class_weights(path):
    given = files.read_json(path, losses.CLASS_WEIGHTS)
    return losses.weights_of_labels(given, ["0", "1"], path)


CONFIG = {
    "vocab_size": 30,
    "hidden_size": 12,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
    "intermediate_size": 24,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.0,
    "max_position_embeddings": 20,
    "type_vocab_size": 2,
    "initializer_range": 0.02,
    "embedding_size": 6,
    "num_hidden_groups": 1,
    "inner_group_num": 1,
}
SECTION = {
    "rows": 3,
    "accuracy": 0.5,
    "errors": [{"text_a": "x", "text_b": None, "label": "0", "predicted": "1", "line": 3}],
}
TENSOR = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
# name: (file name, function that reads a path, valid content).
READERS = {
    "config": (
        "albert_config.json",
        modeling.AlbertConfig.from_json_file,
        dict(CONFIG, ffn_groups=1, ln_type="postln"),
    ),
    "hugging_face": (
        "config.json",
        read_hugging_face,
        dict(
            CONFIG,
            hidden_act="gelu_new",
            model_type="albert",
            architectures=["AlbertModel"],
            layer_norm_eps=1e-12,
            position_embedding_type="absolute",
            tie_word_embeddings=True,
            problem_type="single_label_classification",
            label2id={"a": 0, "b": 1},
            id2label={"0": "a", "1": "b"},
        ),
    ),
    "notes": (
        "fine_tuning.json",
        read_notes,
        {
            "task": "x",
            "objective": "multi_label",
            "pooling": "mean",
            "do_lower_case": True,
            "max_seq_length": 128,
            "label_separator": ",",
            "columns": ["text_a", "text_b", "label"],
            "header": ["a", "b", "c"],
            "compares_sentences": True,
            "thresholds": [0.5, 0.4],
            "dev": {"global_step": 5, "eval_accuracy": 0.5},
        },
    ),
    "labels": ("label_map.json", label_map.labels_of_map, {"a": 0, "b": 1}),
    "class_weights": ("weights.json", read_class_weights, {"0": 1.5, "1": 2}),
    "run_settings": (
        "run_settings.json",
        read_settings,
        {"fixed": {"task": "x"}, "variable": {"epochs": 3}},
    ),
    "stamp": (
        "train.tf_record.json",
        read_stamp,
        {"fingerprint": {"num_examples": 1}, "bytes": 4, "num_cut": 0},
    ),
    "results": (
        "eval_results.json",
        lambda path: files.read_json(path, summary.FORMER_RESULTS),
        {"model": "m", "test": {"accuracy": 0.5}},
    ),
    "metrics": (
        "metrics.jsonl",
        read_metrics,
        {"step": 5, "loss": 0.5, "dev": {"global_step": 5}, "thresholds": [0.5], "stopped": True},
    ),
    "report": (
        "report.json",
        read_report,
        {
            "model": "m",
            "data": {"dev": 3},
            "remarks": {"empty_texts_in_dev": 1},
            "dev": SECTION,
            "test": SECTION,
        },
    ),
    "manifest": ("manifest.json", read_manifest, {"flags": {"seed": 1}}),
    "shard": (
        "00000001.done",
        read_shard,
        {"counts": {"lines": 3}, "runs": ["00000001-000000"], "documents": [[["a"]]]},
    ),
    "index": (
        "model.safetensors.index.json",
        pytorch_files.files_of_weights,
        {"weight_map": {"w": "model-00001-of-00001.safetensors"}, "metadata": {}},
    ),
    "header": ("header.json", lambda path: _read_header(path), {"w": TENSOR, "__metadata__": {}}),
    "tokenizer_config": (
        "tokenizer_config.json",
        lambda path: to_tf._fine_tuning(os.path.dirname(path)),
        {"do_lower_case": False},
    ),
    "tokenizer": (
        "tokenizer.json",
        tokenizer_json.read,
        {
            "model": {"type": "WordPiece", "vocab": {"a": 0, "b": 1}, "unk_token": "[UNK]"},
            "normalizer": {"type": "BertNormalizer", "lowercase": True, "strip_accents": None},
            "pre_tokenizer": {"type": "BertPreTokenizer"},
            "added_tokens": [{"id": 0, "content": "a"}],
        },
    ),
}
# Readers that recreate or ignore a damaged file, with a note, instead of refusing it.
ARE_MADE_AGAIN = {"stamp", "metrics", "report"}
REMOVED = object()
WRONG = [
    None,
    True,
    "",
    "text",
    "12",
    "a\nb\x1b[31m",
    -1,
    0,
    12.5,
    10**30,
    10**5000,
    float("nan"),
    float("-inf"),
    [],
    [1],
    [None],
    {},
    {"a": {"b": None}},
    REMOVED,
]


def _read_header(path):
    content = files.read_bytes(path)
    weights = path + ".safetensors"
    with open(weights, "wb") as handle:
        handle.write(len(content).to_bytes(8, "little") + content + b"\0" * 8)
    return pytorch_files.read_tensors(weights)


def places_of(value, place=()):
    """Yields the keys that lead to each value in a JSON value, including the value itself."""
    yield place
    if isinstance(value, (dict, list)):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from places_of(value[key], place + (key,))


def with_value(content, place, value):
    if not place:
        return value
    content = copy.deepcopy(content)
    inner = content
    for key in place[:-1]:
        inner = inner[key]
    if value is REMOVED:
        del inner[place[-1]]
    else:
        inner[place[-1]] = value
    return content


def text_of(value):
    """Returns JSON text; its numbers may have more digits than Python writes."""
    marked = json.dumps(value, default=str)
    return marked.replace('"<5001 digits>"', "1" + "0" * 5000)


def _without_huge(value):
    return "<5001 digits>" if isinstance(value, int) and value == 10**5000 else value


@pytest.mark.filterwarnings("ignore:unknown keys")
@pytest.mark.parametrize("name", sorted(READERS))
def test_no_reader_ends_in_another_error(tmp_path, name, monkeypatch):
    """Each value of a valid file is replaced by each of the wrong values in turn."""
    file_name, read, content = READERS[name]
    path = str(tmp_path / file_name)
    (tmp_path / "train.tf_record").write_bytes(b"1234")

    def outcome(text):
        with open(path, "w", encoding="utf-8") as handle:
            handle.write(text)
        try:
            read(path)
        except UserError as error:
            assert str(tmp_path) in str(error), error
            assert "\n" not in str(error) and "\x1b" not in str(error), error
            assert len(str(error)) < 600 + 3 * len(path), error
            return "refused"
        return "read"

    assert outcome(json.dumps(content)) == "read"
    assert name == "header" or outcome("\ufeff" + json.dumps(content)) == "read"
    outcomes = collections.Counter()
    for place in places_of(content):
        for value in WRONG:
            if place or value is not REMOVED:
                changed = with_value(content, place, _without_huge(value))
                outcomes[outcome(text_of(changed))] += 1
    assert outcomes["refused"] > 5 or name in ARE_MADE_AGAIN
    for text in ("", "{", "[" * 5000, '{"a":' * 5000, "null", json.dumps(content)[:-1]):
        assert outcome(text) == ("read" if name in ARE_MADE_AGAIN else "refused")
    key = next(iter(content))
    twice = '{"%s": 1, %s' % (key, json.dumps(content)[1:])
    assert outcome(twice) == ("read" if name in ARE_MADE_AGAIN else "refused")


@pytest.mark.parametrize(
    "changes, problem",
    [
        ({"objective": "regression"}, "objective is regression, expected a model of one output"),
        ({"max_seq_length": 12.5}, "max_seq_length: expected an integer of at least 1, found 12.5"),
        ({"max_seq_length": float("nan")}, "max_seq_length: expected an integer .* found nan"),
        ({"max_seq_length": -1}, "max_seq_length: expected an integer of at least 1, found -1"),
        ({"max_seq_length": "128"}, "max_seq_length: expected an integer .* found '128'"),
        ({"thresholds": [0.5]}, "it has 1 thresholds, expected one for each output .* has 2"),
        ({"thresholds": [0.5, 1.5]}, r"thresholds\[1\]: expected a number from 0 to 1, found 1.5"),
        ({"thresholds": 0.5}, "thresholds: expected a list, or null, found 0.5"),
        ({"pooling": "median"}, "pooling: expected one of"),
        ({"do_lower_case": "no"}, "do_lower_case: expected true or false"),
        ({"columns": ["text_a", "label"]}, "compares_sentences is true, expected false"),
        ({"columns": ["text", "label"]}, r"columns\[0\]: expected one of text_a, text_b, label"),
        ({"columns": ["text_b", None, "label"]}, "columns: expected text_a among them"),
        ({"columns": []}, "columns: expected text_a among them"),
        ({"compares_sentences": "no"}, "compares_sentences: expected true or false, found 'no'"),
    ],
)
def test_settings_of_a_model_that_were_damaged_are_refused(tmp_path, changes, problem):
    path = str(tmp_path / "fine_tuning.json")
    output_files.write_json(path, dict(READERS["notes"][2], **changes))
    with pytest.raises(UserError, match="fine_tuning.json: .*" + problem) as caught:
        read_notes(path)
    assert "train again" in str(caught.value)


def test_an_unknown_kind_of_task_is_refused(tmp_path):
    output_files.write_json(str(tmp_path / "fine_tuning.json"), {"objective": "ranking"})
    problem = "fine_tuning.json: objective: expected one of .*multi_label.* found 'ranking'"
    with pytest.raises(UserError, match=problem):
        files_beside.FilesBeside(str(tmp_path))


def test_damaged_lines_of_the_metrics_are_left_out_with_a_note(tmp_path, capsys):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1, "loss": NaN}\n{"step": "2"}\n[]\n{"step": 3, "loss": 0.5}\n{"st')
    said = []
    with contextlib.ExitStack() as stack:
        monkeypatch = stack.enter_context(pytest.MonkeyPatch.context())
        monkeypatch.setattr(metrics_log, "say", lambda text, *values: said.append(text % values))
        records = read_metrics(str(path))
    assert [record["step"] for record in records] == [1, 3]
    (note,) = said
    assert "2 damaged lines were skipped" in note and "line 2: step: expected an integer" in note


def test_a_damaged_config_names_what_is_expected(tmp_path):
    path = str(tmp_path / "albert_config.json")
    for key, value, problem in (
        ("hidden_size", "312", "hidden_size: expected an integer from 1 to 65536, found '312'"),
        ("hidden_dropout_prob", 1.0, "expected a number of at least 0 and below 1, found 1.0"),
        ("ln_type", "pre", "ln_type: expected one of postln, preln, or null, found 'pre'"),
        ("hidden_act", ["gelu"], r"hidden_act: expected a text, found \['gelu'\]"),
        ("num_hidden_layers", 10**9, "num_hidden_layers: expected an integer from 1 to 1024"),
    ):
        output_files.write_json(path, dict(CONFIG, **{key: value}))
        with pytest.raises(UserError, match="albert_config.json: .*" + problem):
            modeling.AlbertConfig.from_json_file(path)
