"""Commands whose model and files are in memory (ram://) print and write as with local ones."""

import json
import os

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert_zh.commands import (
    build_vocab,
    classify,
    cmrc2018_evaluate,
    export_model,
    extract_features,
    fill_mask,
    freeze_graph,
    inspect_checkpoint,
    similarity,
    squad_evaluate,
)
from albert_zh.commands import convert_albert_pytorch_checkpoint_to_tf as to_tf
from albert_zh.commands import convert_albert_tf_checkpoint_to_pytorch as to_pytorch
from albert_zh.common import storage, transfer
from albert_zh.common.errors import UserError
from albert_zh.inference import predictor
from albert_zh.model import checkpoint_files
import memory_storage
import small_models
from workspace import assert_same_weights

pytestmark = memory_storage.MARKS
TEXTS = "今天气很好\n我们去吃饭吧\n什么时候开门\n怎么办理银行卡\n" * 5
QUESTION = {"id": "Q", "question": "吃？", "answers": [{"text": "饭", "answer_start": 1}]}
FILES = {
    "texts.txt": TEXTS,
    "pairs.tsv": "今天\t明天\n开门\t银行\n",
    "data.json": json.dumps({"data": [{"paragraphs": [{"context": "吃饭", "qas": [QUESTION]}]}]}),
    "answers.json": json.dumps({"Q": "饭"}),
}


@pytest.fixture
def places(tmp_path, monkeypatch):
    """(local folder, folder in memory), each with a model and the files."""
    local = tmp_path / "local"
    local.mkdir()
    for name, content in FILES.items():
        (local / name).write_text(content, encoding="utf-8")
    small_models.write_model(local / "model", settings={"columns": ["text_a", "label"]})
    pairs = ["text_a", "text_b", "label"]
    small_models.write_model(local / "pair_model", settings={"task": "lcqmc", "columns": pairs})
    with memory_storage.bucket(tmp_path, monkeypatch) as bucket:
        transfer.upload_folder(str(local), bucket)
        yield str(local), bucket


@pytest.mark.parametrize(
    "command, arguments, words",
    [
        (classify, ["--input_file={}/texts.txt", "--model_dir={}/model"], []),
        (classify, ["--model_dir={}/model/albert_model.ckpt", "--format=jsonl"], ["今天"]),
        (fill_mask, ["--model_dir={}/model", "--vocab_file={}/model/vocab.txt"], ["今[MASK]"]),
        (similarity, ["--model_dir={}/pair_model", "--pairs={}/pairs.tsv"], []),
        (cmrc2018_evaluate, [], ["{}/data.json", "{}/answers.json", "{}/out.json"]),
        (squad_evaluate, ["--out_file={}/out.json"], ["{}/data.json", "{}/answers.json"]),
        (
            extract_features,
            ["--model_dir={}/model", "--input_file={}/texts.txt", "--output_file={}/out.npy"],
            None,
        ),
        (build_vocab, ["--corpus={}/te*.txt", "--output={}/out.txt", "--min_count=1"], None),
        (build_vocab, ["--report={}/texts.txt", "--vocab_file={}/model/vocab.txt"], None),
        (inspect_checkpoint, ["--output_dir={}/out", "--drop_optimizer"], ["{}/model"]),
        (
            freeze_graph,
            ["--input_checkpoint={}/model/albert_model.ckpt", "--output_graph={}/out.pb"]
            + ["--output_node_names=probabilities"],
            None,
        ),
    ],
)
def test_prints_and_writes_the_same(places, capsys, command, arguments, words):
    seen = []
    for place in places:
        given = [argument.replace("{}", place) for argument in arguments]
        named = None if words is None else [word.replace("{}", place) for word in words]
        small_models.run_command(command, given, named)
        written = {
            name: memory_storage.content("%s/%s" % (place, name))
            for name in storage.names_in(place)
            if name.startswith("out.")
        }
        written = {name: content.replace(place.encode(), b"") for name, content in written.items()}
        if "out.pb" in written:  # whose maps have no order
            written["out.pb"] = tf.GraphDef.FromString(written["out.pb"])
        if "--drop_optimizer" in arguments:
            written["weights"] = sorted(checkpoint_files.read_shapes(_prefix(place + "/out")))
        shown = capsys.readouterr().out.replace(place, "")
        # Local paths are shown from where one stands.
        seen.append((shown.replace(os.path.relpath(place), ""), written))
    assert seen[0] == seen[1] and any(seen[0])


def _prefix(folder):
    return checkpoint_files.find_checkpoint(folder)


def test_conversion_both_ways(places):
    _, bucket = places
    small_models.run_command(
        to_pytorch,
        ["--tf_checkpoint_path=%s/model" % bucket, "--pytorch_dump_path=%s/torch" % bucket],
    )
    assert "model.safetensors" in storage.names_in(bucket + "/torch")
    small_models.run_command(
        to_tf, ["--pytorch_model_path=%s/torch" % bucket, "--tf_dump_path=%s/back" % bucket]
    )
    before, after = (
        checkpoint_files.read_weights(_prefix("%s/%s" % (bucket, name)))
        for name in ("model", "back")
    )
    assert_same_weights({name: before[name] for name in after}, after)
    assert len(after) > 10


@pytest.mark.parametrize(
    "form, name",
    [
        ("frozen", "export.pb"),
        ("tflite", "export.tflite"),
        ("saved_model", "export"),
        ("onnx", "export.onnx"),
    ],
)
def test_exports_of_every_format(places, form, name):
    if form == "onnx":
        pytest.importorskip("tf2onnx")
    local, bucket = places
    for place in places:
        small_models.run_command(
            export_model,
            ["--model_dir=%s/model" % place, "--output=%s/%s" % (place, name), "--format=" + form],
        )
    assert not [path for path in storage.files_below(bucket) if "partial" in path]
    assert storage.total_size("%s/%s" % (bucket, name)) == pytest.approx(
        storage.total_size(os.path.join(local, name)), rel=0.02
    )
    if form in ("tflite", "saved_model"):
        texts = TEXTS.split()[:3]
        rows = []
        for place in (bucket + "/model", "%s/%s" % (bucket, name)):
            with predictor.Predictor(place) as model:
                rows.append(model.predict(texts)[1])
        np.testing.assert_allclose(rows[0], rows[1], atol=1e-5)


@pytest.mark.parametrize(
    "command, arguments, words",
    [
        (classify, ["--model_dir={}/none"], ["今天"]),
        (classify, ["--model_dir={}/model", "--input_file={}/none.txt"], []),
        (similarity, ["--model_dir={}/pair_model", "--pairs={}/none.tsv"], []),
        (build_vocab, ["--corpus={}/none*", "--output={}/out.txt"], None),
        (squad_evaluate, [], ["{}/none.json", "{}/answers.json"]),
        (
            freeze_graph,
            ["--input_checkpoint={}/none", "--output_graph={}/o", "--output_node_names=x"],
            None,
        ),
    ],
)
def test_what_is_missing_is_named_in_a_line(places, command, arguments, words):
    bucket = places[1]
    given = [argument.replace("{}", bucket) for argument in arguments]
    with pytest.raises(UserError, match=bucket + "/none") as caught:
        named = None if words is None else [word.replace("{}", bucket) for word in words]
        small_models.run_command(command, given, named)
    assert "\n" not in str(caught.value)
