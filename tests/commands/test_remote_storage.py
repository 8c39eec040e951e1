"""Commands print and write the same whether model and files are in memory (ram://) or local."""

import contextlib
import json
import os
import shutil
import types

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert_zh.commands import (
    ask,
    average_models,
    build_vocab,
    classify,
    cmrc2018_evaluate,
    export_model,
    extend_positions,
    extract_features,
    fill_mask,
    freeze_graph,
    generate,
    inspect_checkpoint,
    inspect_tfrecord,
    label,
    serve,
    similarity,
    squad_evaluate,
)
from albert_zh.commands import convert_albert_pytorch_checkpoint_to_tf as to_tf
from albert_zh.commands import convert_albert_tf_checkpoint_to_pytorch as to_pytorch
from albert_zh.common import storage, transfer
from albert_zh.common.errors import UserError
from albert_zh.corpus import tfrecords
from albert_zh.export import to_sentence_transformers
from albert_zh.inference import predictor, reader, text_encoder
from albert_zh.inference.retrieval import search
from albert_zh.model.checkpoints import checkpoint_files, checkpoint_values
from crossed_cases import with_slow
import memory_storage
import pretraining_workspace
import small_models
from workspace import assert_same_weights

pytestmark = memory_storage.MARKS
TEXTS = "今天气很好\n我们去吃饭吧\n什么时候开门\n怎么办理银行卡\n" * 5
QUESTION = {"id": "Q", "question": "吃？", "answers": [{"text": "饭", "answer_start": 1}]}
FILES = {
    "texts.txt": TEXTS,
    "pairs.tsv": "今天\t明天\n开门\t银行\n",
    "titles.tsv": "今天气很好\t天气\n我们去吃饭吧\t吃饭\n",
    "data.json": json.dumps({"data": [{"paragraphs": [{"context": "吃饭", "qas": [QUESTION]}]}]}),
    "answers.json": json.dumps({"Q": "饭"}),
}

_LABELLER = {
    "objective": "sequence_labelling",
    "columns": ["text_a", "label"],
    "head": {"form": "softmax"},
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Creates a folder with models and files, which no test changes."""
    local = tmp_path_factory.mktemp("made")
    for name, content in FILES.items():
        (local / name).write_text(content, encoding="utf-8")
    records = tfrecords.encode_examples(pretraining_workspace.masked_records(6))
    (local / "a.tfrecord").write_bytes(b"".join(tfrecords.frame_records(records)))
    small_models.write_model(local / "model", settings={"columns": ["text_a", "label"]})
    pairs = ["text_a", "text_b", "label"]
    small_models.write_model(local / "pair_model", settings={"task": "lcqmc", "columns": pairs})
    small_models.write_generator(local / "generator")
    small_models.write_embedding_model(local / "embedding")
    small_models.write_model(local / "labeller", ("O", "B-loc", "I-loc"), settings=_LABELLER)
    return local


@pytest.fixture
def places(made, tmp_path, monkeypatch):
    """Yields (local folder, folder in memory), each with a copy of the files of `made`."""
    local = tmp_path / "local"
    shutil.copytree(str(made), str(local))
    with memory_storage.bucket(tmp_path, monkeypatch) as bucket:
        transfer.upload_folder(str(local), bucket)
        yield str(local), bucket


@pytest.mark.parametrize(
    "command, arguments, words",
    [
        (classify, ["--input_file={}/texts.txt", "--model_dir={}/model"], []),
        pytest.param(
            classify,
            ["--model_dir={}/model/albert_model.ckpt", "--format=jsonl"],
            ["今天"],
            marks=pytest.mark.slow,
        ),
        pytest.param(
            fill_mask,
            ["--model_dir={}/model", "--vocab_file={}/model/vocab.txt"],
            ["今[MASK]"],
            marks=pytest.mark.slow,
        ),
        (similarity, ["--model_dir={}/pair_model", "--pairs={}/pairs.tsv"], []),
        (label, ["--input_file={}/texts.txt", "--model_dir={}/labeller"], []),
        pytest.param(
            generate,
            ["--input_file={}/titles.tsv", "--model_dir={}/generator"],
            [],
            marks=pytest.mark.slow,
        ),
        (
            similarity,
            ["--model_dir={}/model", "--corpus={}/texts.txt", "--queries={}/texts.txt"]
            + ["--ranking=lexical", "--top_k=2"],
            [],
        ),
        (cmrc2018_evaluate, [], ["{}/data.json", "{}/answers.json", "{}/out.json"]),
        (squad_evaluate, ["--out_file={}/out.json"], ["{}/data.json", "{}/answers.json"]),
        (
            extract_features,
            ["--model_dir={}/model", "--input_file={}/texts.txt", "--output_file={}/out.npy"],
            None,
        ),
        (build_vocab, ["--corpus={}/te*.txt", "--output={}/out.txt", "--min_count=1"], None),
        (build_vocab, ["--report={}/texts.txt", "--vocab_file={}/model/vocab.txt"], None),
        pytest.param(
            inspect_checkpoint,
            ["--output_dir={}/out", "--drop_optimizer"],
            ["{}/model"],
            marks=pytest.mark.slow,
        ),
        (inspect_tfrecord, ["--vocab_file={}/model/vocab.txt"], ["{}/a.tfrecord"]),
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
        if "out.pb" in written:  # the order of its maps is not defined
            written["out.pb"] = tf.GraphDef.FromString(written["out.pb"])
        if "--drop_optimizer" in arguments:
            written["weights"] = sorted(checkpoint_values.read_shapes(_prefix(place + "/out")))
        shown = capsys.readouterr().out.replace(place, "")
        # Local paths are shown relative to the current folder.
        seen.append((shown.replace(os.path.relpath(place), ""), written))
    assert seen[0] == seen[1] and any(seen[0])


class FirstCharacters(contextlib.nullcontext):
    """Replaces a reader: answers with the first characters of a context."""

    most_answers, num_cut, longest_question = 1, 0, 64
    unknown = types.SimpleNamespace(take_notes=list)

    def answer(self, question, context, top_k):
        return [reader.Answer(context[:2], 0, 2, 0.5, -1.0)]

    def answers(self, pairs, top_k):
        return [self.answer(question, context, top_k) for question, context in pairs]


def test_questions_to_documents(places, capsys, monkeypatch):
    monkeypatch.setattr(ask, "Reader", lambda *_, **__: FirstCharacters(FirstCharacters()))
    bucket = places[1]
    question = ["--model_dir=%s/model" % bucket, "--question=我们去哪里吃饭？"]
    small_models.run_command(ask, question + ["--context=%s/texts.txt" % bucket])
    assert capsys.readouterr().out == "我们去哪里吃饭？\t今天\t0.5000\t0-2\n"
    for _ in range(2):
        small_models.run_command(ask, question + ["--documents=%s/te*.txt" % bucket])
        assert "\t我们\t" in capsys.readouterr().out
    folder = reader.index_folder([bucket + "/texts.txt"])
    assert os.listdir(folder) and not storage.is_remote(folder)
    with pytest.raises(UserError, match="--documents=ram://.*/none.*: no such file"):
        small_models.run_command(ask, question + ["--documents=%s/none*" % bucket])


def test_a_corpus_that_is_searched_has_its_vectors_in_the_scratch_folder(places):
    bucket = places[1]
    path = bucket + "/texts.txt"
    with text_encoder.TextEncoder(bucket + "/model") as encoder:
        corpus = search.Corpus(path, encoder)
        assert not storage.is_remote(corpus.folder) and os.listdir(corpus.folder)
        assert corpus.search(["我们去吃饭吧"], top_k=1)[0][0].text == "我们去吃饭吧"
        assert not corpus.refresh()
        with storage.gfile().GFile(path, "w") as handle:
            handle.write(TEXTS + "明天呢\n")
        assert corpus.refresh() and corpus.texts[-1] == "明天呢"


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
        checkpoint_values.read_weights(_prefix("%s/%s" % (bucket, name)))
        for name in ("model", "back")
    )
    assert_same_weights({name: before[name] for name in after}, after)
    assert len(after) > 10


def test_models_and_corpus_in_a_bucket_are_served(places, monkeypatch):
    pytest.importorskip("uvicorn", reason="needs requirements-serve.txt")
    client = pytest.importorskip("fastapi.testclient", reason="needs requirements-serve.txt")
    answers = []

    class Server:
        """Replaces uvicorn's server: sends requests instead of waiting for connections."""

        handle_exit = None

        def __init__(self, _, app):
            self._app = app

        def run(self, sockets):
            texts = {"texts": [["今天气很好", "怎么办理银行卡"]]}
            embedded = {"input": ["今天气很好"], "model": "embedding"}
            found = {"query": "怎么办理银行卡", "top_k": 1}
            bodies = {"predict": texts, "v1/embeddings": embedded, "search": found}
            with client.TestClient(self._app) as served:
                for path, body in bodies.items():
                    answer = served.post("/" + path, json=body)
                    assert answer.status_code == 200, answer.text
                    answers.append(answer.json())

    monkeypatch.setattr(serve, "_server", Server)
    monkeypatch.setattr(serve, "_install_signal_handlers", lambda handler: None)
    for place in places:
        small_models.run_command(
            serve,
            ["--model_dir=%s/pair_model" % place, "--embedding_dir=%s/embedding" % place]
            + ["--corpus=%s/texts.txt" % place, "--port=0"],
        )
    local, remote = answers[:3], answers[3:]
    assert local == remote and "怎么办理银行卡" in json.dumps(local[2], ensure_ascii=False)


def test_the_mean_of_models(places):
    """The mean of two models with the same weights has these weights."""
    for place in places:
        folders = [place + "/embedding", place + "/embedding_again"]
        if place == places[0]:
            small_models.write_embedding_model(folders[1])
        else:
            transfer.upload_folder(places[0] + "/embedding_again", folders[1])
        arguments = ["--model_dirs=%s,%s" % tuple(folders), "--output_dir=%s/mean" % place]
        small_models.run_command(average_models, arguments)
        before, after = (
            checkpoint_values.read_weights(_prefix(folder))
            for folder in (folders[0], place + "/mean")
        )
        assert_same_weights(before, after)


@pytest.mark.slow
def test_positions_that_continue_a_table(places):
    short = small_models.write_model(places[0] + "/short", max_position_embeddings=80)
    transfer.upload_folder(short, places[1] + "/short")
    written = []
    for place in places:
        arguments = ["--model_dir=%s/short" % place, "--output_dir=%s/longer" % place]
        small_models.run_command(extend_positions, arguments + ["--trained_length=64"])
        written.append(checkpoint_values.read_weights(_prefix(place + "/longer")))
    assert_same_weights(*written)
    before = checkpoint_values.read_weights(_prefix(short))
    name = "bert/embeddings/position_embeddings"
    assert not np.allclose(before[name], written[1][name])


@pytest.mark.parametrize(
    "form, name",
    with_slow(
        [
            ("frozen", "export.pb"),
            ("tflite", "export.tflite"),
            ("saved_model", "export"),
            ("onnx", "export.onnx"),
        ],
        [("onnx", "export.onnx")],
    ),
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


@pytest.mark.slow
def test_an_embedding_model_for_other_libraries(places, monkeypatch):
    monkeypatch.setattr(to_sentence_transformers, "_runner", lambda *_: None)
    seen = []
    for place in places:
        arguments = ["--model_dir=%s/embedding" % place, "--format=sentence_transformers"]
        small_models.run_command(export_model, arguments + ["--output=%s/exported" % place])
        folder = place + "/exported"
        listed = storage.files_below(folder) if storage.is_remote(folder) else _files_in(folder)
        seen.append({path[len(folder) :]: memory_storage.content(path) for path in listed})
    assert seen[0] == seen[1]
    folders = [module["path"] for module in json.loads(seen[1]["/modules.json"].decode())]
    assert folders == ["", "1_Pooling", "3_Normalize"]
    for folder in folders[1:]:  # an object store has no empty folders
        assert json.loads(seen[1]["/%s/config.json" % folder].decode())


def _files_in(folder):
    return [os.path.join(place, name) for place, _, names in os.walk(folder) for name in names]


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
