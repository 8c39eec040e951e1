"""The Python blocks of docs/python_api.md run as printed; wrong arguments give one-line errors."""

import pathlib
import re

import numpy as np
import pytest

from albert_zh.commands import fill_mask, similarity
from albert_zh.common.errors import UserError
from albert_zh.inference import predictor, text_encoder
from albert_zh.inference.retrieval import search
from albert_zh.model import modeling
from albert_zh.text import tokenization
import args
from crossed_cases import with_slow
from documentation import blocks_of
import small_models
from workspace import ROOT


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("models") / "pairs")
    vocabulary = small_models.starter_vocabulary()
    return small_models.write_model(path, vocabulary=vocabulary, max_position_embeddings=512)


def without_training(blocks):
    """The blocks that do not train a model."""
    return [block for block in blocks if "finetuning" not in block]


BLOCKS = blocks_of("python_api.md")


@pytest.mark.parametrize("block", with_slow(BLOCKS, without_training(BLOCKS)))
def test_python_api(block, folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(args, "model_dir", folder)
    faq = tmp_path / "faq.txt"
    faq.write_text("怎么开户\n怎么销户\n今天天气\n", encoding="utf-8")
    if "finetuning" in block:
        block = block.replace('"lcqmc_output"', "%r, train_step=2" % str(tmp_path / "out"))
    else:
        block = re.sub(r'"(lcqmc_output/best|albert_starter_zh|prev_\w+/\w+)"', repr(folder), block)
    block = block.replace('"faq.txt"', repr(str(faq)))
    monkeypatch.chdir(ROOT)
    values = {}
    exec(compile(block, "python_api.md", "exec"), values)
    shown = capsys.readouterr().out
    if "reached" in values:
        assert 0 < values["reached"]["dev"]["eval_accuracy"] < 1
        assert (tmp_path / "out" / "best" / "vocab.txt").exists()
    elif "similarities" in values:
        assert values["probabilities"].shape == (1, 2) and values["similarities"].shape == (1,)
    elif "vectors" in values:
        np.testing.assert_allclose(np.linalg.norm(values["vectors"], axis=1), 1, atol=1e-5)
    elif "hit" in values:
        assert len(shown.splitlines()) == 3
    elif "filler" in values:
        assert len(shown.splitlines()) == 5
    elif "sim" in values:
        assert values["probabilities"].shape == (1, 2)
    else:
        assert "ids" in values or values["sequence_output"].shape.as_list() == [None, None, 312]


# Wrong arguments: the error is one line; for constructors, it names the argument

NAN = float("nan")
WRONG_LENGTHS = ("128", 12.5, NAN, -1, 0, True, [128], 10**30)
WRONG_PATHS = (5, None, b"folder", ["folder"])
WRONG_FLAGS = ("no", 2, NAN, [True])
WRONG_COUNTS = ("5", -3, 0, 2.0, NAN, None, True)
# (class that takes a model folder, name of a further argument, wrong values).
CONSTRUCTORS = [
    (kind, name, values)
    for kind in (predictor.Predictor, text_encoder.TextEncoder)
    for name, values in (
        ("max_seq_length", WRONG_LENGTHS),
        ("num_threads", ("2", -1, 0, 1.5, NAN, True, 10**30)),
        ("do_lower_case", WRONG_FLAGS),
        ("config_file", (5, b"x", ["x"])),
        ("vocab_file", (5, b"x", ["x"])),
        ("precision", (5, None, ["float32"], "float64")),
    )
] + [
    (text_encoder.TextEncoder, "layers", (5, [-1], "first", "-1,")),
    (text_encoder.TextEncoder, "pooling", (5, ["mean"], "median")),
    (fill_mask.MaskFiller, "max_seq_length", WRONG_LENGTHS),
    (fill_mask.MaskFiller, "do_lower_case", WRONG_FLAGS),
    (fill_mask.MaskFiller, "vocab_file", (5, b"x")),
]
NO_TEXTS = (None, 5, "one text", b"bytes", {"a": "b"}, {"a", "b"}, np.array("a"), range(3))
NO_TEXTS += ([None], [b"bytes"], [("a", None)], [("a", "b", "c")], [["a"]], [("a", ["b"])])
NO_TEXTS += (np.array([1, 2]), np.array([["a", "b", "c"]]))


def one_line(caught):
    text = str(caught.value)
    assert "\n" not in text and len(text) < 400, text
    assert isinstance(caught.value, ValueError)
    return text


@pytest.mark.parametrize(
    "kind, name, values", CONSTRUCTORS, ids=lambda value: getattr(value, "__name__", None)
)
def test_wrong_arguments_of_constructors_are_named(kind, name, values, folder):
    for value in values:
        with pytest.raises(UserError) as caught:
            kind(folder, **{name: value})
        assert name in one_line(caught), value


@pytest.mark.parametrize(
    "kind", [predictor.Predictor, text_encoder.TextEncoder, fill_mask.MaskFiller]
)
def test_what_is_no_path_is_named(kind):
    for value in WRONG_PATHS:
        with pytest.raises(UserError, match="expected the path of a file or folder"):
            kind(value)


def test_wrong_arguments_of_methods_are_one_line(folder, tmp_path):
    faq = tmp_path / "faq.txt"
    faq.write_text("怎么开户\n怎么销户\n", encoding="utf-8")
    with predictor.Predictor(folder, num_threads=1) as model, text_encoder.TextEncoder(
        folder, num_threads=1
    ) as encoder, fill_mask.MaskFiller(folder) as filler:
        corpus = search.Corpus(str(faq), encoder)
        calls = [(model.predict, texts) for texts in NO_TEXTS]
        calls += [(model.similarities, texts) for texts in NO_TEXTS + (["single"],)]
        calls += [(encoder.encode, texts) for texts in NO_TEXTS]
        calls += [(lambda texts: corpus.search(texts, None), texts) for texts in NO_TEXTS]
        calls += [(lambda texts: corpus.search(texts, None), [("a", "pair")])]
        calls += [(lambda n: encoder.encode(["a"], normalize=n), flag) for flag in WRONG_FLAGS]
        calls += [(lambda k: filler.fill("[MASK]", top_k=k), count) for count in WRONG_COUNTS]
        calls += [(filler.fill, text) for text in (None, 5, b"[MASK]", ["[MASK]"], ("a", "b"))]
        for name in ("top_k", "candidates"):
            for count in WRONG_COUNTS:
                calls.append((lambda v, n=name: corpus.search(["a"], model, **{n: v}), count))
        calls += [(lambda other: corpus.search(["a"], other), other) for other in (5, "model")]
        calls += [(lambda other: search.Corpus(str(faq), other), other) for other in (5, model)]
        calls += [(lambda path: search.Corpus(path, encoder), path) for path in WRONG_PATHS]
        calls += [(lambda e: search.Corpus(str(faq), encoder, encoding=e), e) for e in (5, None)]
        calls += [(similarity.BertSim, size) for size in ("5", -3, 0, 2.0, NAN, True)]
        calls += [(tokenization.FullTokenizer, path) for path in (5, b"x", ["x"])]
        calls += [(model._tokenizer.tokenize, text) for text in (None, 5, ["a"])]
        calls += [(modeling.AlbertConfig.from_json_file, path) for path in WRONG_PATHS]
        calls += [(modeling.AlbertConfig.from_dict, value) for value in (None, 5, [], "x", {})]
        for call, value in calls:
            with pytest.raises(UserError) as caught:
                call(value)
            one_line(caught)
        assert len(calls) > 100


def test_other_types_that_will_do_are_taken(folder, tmp_path):
    faq = tmp_path / "faq.txt"
    faq.write_text("怎么开户\n怎么销户\n", encoding="utf-8")
    settings = {"max_seq_length": np.int64(32), "num_threads": np.int32(1)}
    path = pathlib.Path(folder)
    vocabulary = path / "vocab.txt"
    with predictor.Predictor(
        path, do_lower_case=np.bool_(True), vocab_file=vocabulary, **settings
    ) as model, text_encoder.TextEncoder(path, **settings) as encoder:
        texts = ["怎么开户", "怎么销户"]
        expected = model.predict(texts)[1]
        for same in (tuple(texts), np.array(texts), (text for text in texts), np.array(texts, "O")):
            np.testing.assert_array_equal(model.predict(same)[1], expected)
        pairs = [("怎么开户", "怎么销户")]
        expected = model.similarities(pairs)
        for same in (np.array(pairs), [list(pairs[0])], iter(pairs)):
            np.testing.assert_array_equal(model.similarities(same), expected)
        hits = search.Corpus(faq, encoder).search(texts, model, top_k=np.int64(1))
        assert [len(of_query) for of_query in hits] == [1, 1]
        assert encoder.encode(texts, normalize=np.bool_(True)).shape == (2, encoder.width)


def test_what_is_closed_cannot_be_entered(folder):
    for kind in (predictor.Predictor, text_encoder.TextEncoder, fill_mask.MaskFiller):
        model = kind(folder)
        model.close()
        closed = "this %s is closed: create a new one" % kind.__name__
        with pytest.raises(UserError, match=closed), model:
            raise AssertionError("it was entered")
        model.close()
