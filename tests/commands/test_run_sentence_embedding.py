"""Tests of run_sentence_embedding.py except training: mining, scores of pairs, whitening."""

import json
import os

import numpy as np
import pytest

from albert_zh.commands import average_models, run_sentence_embedding
from albert_zh.common.errors import UserError
from albert_zh.finetuning import flags as finetuning_flags
from albert_zh.inference.predictor import Predictor
from albert_zh.inference.retrieval import mined_files, scored_pairs
from albert_zh.inference.text_encoder import TextEncoder
from albert_zh.model import sentence_vectors
from albert_zh.tasks import datasets, registry
from albert_zh.tasks.embedding import scores, text_files
from crossed_cases import with_slow
import small_models
from workspace import ROOT, VOCABULARY

STARTER = os.path.join(ROOT, "albert_starter_zh")
WORDS = VOCABULARY[5:25]
FORMATS = [("scored", "positives"), ("positives", "scored")]  # (trained, measured)


@pytest.fixture(name="model", scope="module")
def model_fixture(tmp_path_factory):
    return small_models.write_model(tmp_path_factory.mktemp("models") / "start")


@pytest.fixture(name="data", scope="module")
def data_fixture(tmp_path_factory):
    """Creates questions that begin like their entries; two entries each have the same beginning."""
    folder = tmp_path_factory.mktemp("faq")
    generator = np.random.RandomState(1)
    entries = [
        "".join(WORDS[(n // 2 + k) % 20] for k in (0, 7)) + WORDS[n % 20] * 2 for n in range(24)
    ]
    for name, first in (("train", 0), ("dev", 1), ("test", 2)):
        rows = [
            entry[:2] + "".join(generator.permutation(WORDS)[: 2 + first]) + "\t" + entry
            for entry in entries
        ]
        (folder / (name + ".tsv")).write_text("\n".join(rows) + "\n", encoding="utf-8")
    (folder / "faq.txt").write_text("\n".join(entries + ["明天再说"]) + "\n", encoding="utf-8")
    return folder


def run(model, output, *arguments, **files):
    """Runs the command; `files` are further flags, which override those of the model."""
    small_models.run_command(
        run_sentence_embedding,
        [
            "--bert_config_file=" + os.path.join(model, "albert_config.json"),
            "--vocab_file=" + os.path.join(model, "vocab.txt"),
            "--init_checkpoint=" + model,
            "--output_dir=" + str(output),
            "--objective=infonce",
            "--max_seq_length=16",
        ]
        + ["--%s=%s" % item for item in files.items()]
        + list(arguments),
    )


def test_a_model_that_was_not_trained_here_is_measured(data, tmp_path, capsys):
    """The vectors are computed as its folder describes or, without notes, as the flags say."""
    notes = sentence_vectors.SentenceNotes("max", True, 8, 24, projection_width=8)
    folder = small_models.write_embedding_model(tmp_path / "vectors", notes)
    for name in ("label_map.json", "fine_tuning.json"):
        os.remove(os.path.join(folder, name))
    measured = scores.Measured(
        text_files.read_split(str(data / "dev.tsv"), "dev", "positives").examples
        + [
            text_files.EmbeddingExample("", text, "", None, is_entry=True)
            for text in text_files.read_entries(str(data / "faq.txt"))[0]
        ],
        is_retrieval=True,
    )
    cases = (("noted", {}, "trained"), ("by flags", {"pooling": "cls"}, "untrained"))
    for output, settings, name in cases:
        files = {"dev_file": data / "dev.tsv", "corpus_file": data / "faq.txt"}
        run(folder, tmp_path / output, "--do_eval=true", "--pooling=cls", **files)
        note = "note: --pooling=cls has no effect, as the model in %s was trained with max" % folder
        assert (note in capsys.readouterr().out) == (output == "noted")
        results = json.loads((tmp_path / output / "eval_results.json").read_text())
        result = results["best"]
        assert "test_accuracy" not in results  # vectors have no accuracy
        with TextEncoder(folder, **settings) as encoder:
            texts = measured.texts()
            vectors = dict(zip(texts, encoder.encode(texts, normalize=True)))
        expected = measured.scores(scores.VectorSimilarity(vectors))
        assert result["eval_mrr_at_10"] == pytest.approx(expected["mrr_at_10"], abs=1e-6)
        compared = json.loads((tmp_path / output / "comparison.json").read_text())["scores"]
        assert list(compared) == ["character TF-IDF", name]
        assert compared[name]["mrr_at_10"] == pytest.approx(expected["mrr_at_10"], abs=1e-6)
        if output == "noted":
            os.remove(os.path.join(folder, sentence_vectors.SENTENCE_FILE))


@pytest.mark.parametrize("objective", ["infonce", "cosent"])
def test_a_classifier_is_named_where_an_embedding_model_is_measured(objective, data, tmp_path):
    notes = {"objective": "single_label", "columns": ["text_a", "text_b", "label"]}
    classifier = small_models.write_model(tmp_path / "classifier", settings=notes)
    expected = "classifier contains a model of the kind single_label, expected one of the kind "
    expected += "sentence_embedding or sentence_retrieval: name such a model "
    # Without these two flags, the files of the folder are used.
    for files in ({}, {"bert_config_file": "", "vocab_file": ""}):
        with pytest.raises(UserError, match=expected):
            run(
                classifier,
                tmp_path / "out",
                "--objective=" + objective,
                "--do_eval=true",
                "--data_dir=%s" % data,
                **files,
            )


def test_config_and_vocabulary_are_those_of_the_model(data, tmp_path):
    notes = sentence_vectors.SentenceNotes("mean", True, 16, 24)
    folder = small_models.write_embedding_model(tmp_path / "vectors", notes)
    for name in ("label_map.json", "fine_tuning.json"):
        os.remove(os.path.join(folder, name))
    files = {"dev_file": data / "dev.tsv", "bert_config_file": "", "vocab_file": ""}
    run(folder, tmp_path / "out", "--do_eval=true", **files)
    assert "best" in json.loads((tmp_path / "out" / "eval_results.json").read_text())
    os.remove(os.path.join(folder, "albert_config.json"))
    with pytest.raises(UserError) as error:
        run(folder, tmp_path / "out", "--do_eval=true", **files)
    assert str(error.value) == (
        "--bert_config_file is required, as %s contains no config JSON (albert_config*.json): "
        "expected a model folder" % folder
    )


def mined_rows(output):
    with open(os.path.join(str(output), "mined_negatives.jsonl"), encoding="utf-8") as stream:
        return [json.loads(line) for line in stream]


@pytest.mark.parametrize("way", ["lexical", "vectors"])
def test_negatives_are_mined_alone(model, data, tmp_path, way, capsys):
    arguments = ["--mine_negatives=" + way, "--mining_ranks=1,3", "--mined_negatives=2"]
    run(model, tmp_path / "a", *arguments, data_dir=data)
    rows = mined_rows(tmp_path / "a")
    entries = set((data / "faq.txt").read_text(encoding="utf-8").split())
    for row in rows:
        wrong = row["negatives"]
        assert len(set(wrong)) == 2 and row["text_b"] not in wrong and set(wrong) <= entries
    if way == "lexical":  # most negatives share two characters with the question
        shared = [len(set(r["text_a"]) & set(n)) for r in rows for n in r["negatives"]]
        assert np.mean(shared) > 1.5
    assert "negatives for 24 rows from 25 texts: 48 mined" in capsys.readouterr().out
    report = json.loads((tmp_path / "a" / "mined_negatives.json").read_text())
    assert report["rows"] == 24 and report["texts"]["mined"] == 48
    assert not (tmp_path / "a" / "best").exists()
    run(model, tmp_path / "b", *arguments, data_dir=data)
    assert mined_rows(tmp_path / "b") == rows
    run(model, tmp_path / "b", "--seed=5", *arguments, data_dir=data)
    assert mined_rows(tmp_path / "b") != rows


def prepare_mining(output, train_file, **settings):
    """Prepares mining for a file; returns (flags, lines to print)."""
    output.mkdir()
    options = finetuning_flags.of_settings(
        "sentence_embedding",
        objective="infonce",
        mine_negatives="lexical",
        train_file=str(train_file),
        output_dir=str(output),
        bert_config_file=os.path.join(STARTER, "albert_config_tiny.json"),
        **settings,
    )
    kind = registry.get("sentence_retrieval")
    task = datasets.get_task("sentences")
    task = task._replace(head=kind.flags.head(options), files={"train": str(train_file)})
    return options, mined_files.prepare(options, kind, task, os.curdir)


def test_rows_that_no_wrong_text_is_left_for_are_named(tmp_path):
    train = tmp_path / "a.tsv"
    train.write_text("今天天气\t天气\n今天天气如何\t天气\n", encoding="utf-8")
    message = "no negative is left for 2 of 2 rows, such as that of .今天天气.: .*--corpus_file"
    with pytest.raises(UserError, match=message):
        prepare_mining(tmp_path / "out", train)
    assert not (tmp_path / "out" / "mined_negatives.jsonl").exists()


def test_mining_says_what_is_left_out_and_which_rows_have_too_few(tmp_path):
    train, further, corpus = (tmp_path / name for name in ("a.tsv", "b.tsv", "faq.txt"))
    train.write_text("今天天气\t天气\n\n今天\t天气\n只有一句\n明天\t再说\n", encoding="utf-8")
    further.write_text("银行\t开户\n银行\t开户\n", encoding="utf-8")
    corpus.write_text("天气\n\n再说\n", encoding="utf-8")
    _, lines = prepare_mining(
        tmp_path / "out",
        train,
        skip_bad_rows=True,
        mined_negatives=3,
        more_train=["%s:1" % further],
        corpus_file=str(corpus),
    )
    assert lines[:-1] == [
        "note: %s: 1 empty line was skipped" % train,
        "note: %s: 1 invalid row was skipped" % train,
        "note: %s: 1 row occurs twice and is used once" % further,
        "note: %s: 1 empty line was skipped" % corpus,
        "note: 4 of 4 rows have fewer than --mined_negatives=3 mined ones, the fewest 2",
    ]


def test_further_files_are_mined_as_well(tmp_path):
    """A positive of a question in one file is not its negative in the other file."""
    shared = "明天天气"
    first = tmp_path / "a.tsv"
    first.write_text("今天天气\t%s\n后天银行\t银行开户\n" % shared, encoding="utf-8")
    second = tmp_path / "b.tsv"
    second.write_text("今天天气\t银行卡\n开户银行\t天气明天\n", encoding="utf-8")
    output = tmp_path / "out"
    options, (line,) = prepare_mining(
        output, first, mined_negatives=2, more_train=["%s:0.5" % second]
    )
    targets = [str(output / name) for name in ("mined_negatives.jsonl", "mined_negatives_2.jsonl")]
    assert "negatives for 4 rows from 4 texts: 8 mined; " + ", ".join(targets) == line
    assert options.train_file == targets[0] and options.more_train == [targets[1] + ":0.5"]
    found = [text_files.read_split(path, "train", "positives").examples for path in targets]
    rows = [[(e.text_a, e.text_b) for e in examples] for examples in found]
    assert rows == [
        [("今天天气", shared), ("后天银行", "银行开户")],
        [("今天天气", "银行卡"), ("开户银行", "天气明天")],
    ]
    for examples in found:
        assert [len(set(example.negatives)) for example in examples] == [2, 2]
        assert set(examples[0].negatives) == {"银行开户", "天气明天"}  # the negatives of 今天天气
    report = json.loads((output / "mined_negatives.json").read_text())
    assert report["more_train"] == [str(second)] and report["rows"] == 4


@pytest.mark.slow
def test_a_run_mines_trains_and_whitens(model, data, tmp_path, capsys):
    output = tmp_path / "out"
    arguments = [
        "--mine_negatives=vectors",
        "--mining_classifier_dir=" + model,
        "--mining_most_probable=0.9",
        "--whitening_width=4",
        "--do_train=true",
        "--do_eval=true",
        "--do_predict=true",
        "--train_batch_size=8",
        "--train_step=2",
    ]
    run(model, output, *arguments, data_dir=data)
    assert len(mined_rows(output)[0]["negatives"]) == 1
    notes = json.loads((output / "best" / "fine_tuning.json").read_text())
    assert notes["head"]["num_negatives"] == 1
    scores = json.loads((output / "comparison.json").read_text())
    assert scores["file"].endswith("test.tsv")
    assert list(scores["scores"]) == ["character TF-IDF", "trained", "whitened", "untrained"]
    with TextEncoder(str(output / "best")) as encoder:
        train = [row.split("\t") for row in (data / "train.tsv").read_text().split("\n")[:-1]]
        negatives = [text for row in mined_rows(output) for text in row["negatives"]]
        texts = list(dict.fromkeys([text for row in train for text in row] + negatives))
        vectors = encoder.encode_with_lengths(texts)[1]
        raw = encoder.encode_with_lengths(["今天", "银行卡"])[1]
    u, s, _ = np.linalg.svd(np.cov(vectors.T))
    expected = (raw - vectors.mean(axis=0)) @ u[:, :4] @ np.diag(s[:4] ** -0.5)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    with TextEncoder(str(output / "whitened")) as encoder:
        found = encoder.encode(["今天", "银行卡"])
    np.testing.assert_allclose(np.abs(found), np.abs(expected), atol=0.02)
    capsys.readouterr()
    run(model, output, *arguments, data_dir=data)  # all results exist already
    assert "nothing to train" in capsys.readouterr().out
    for name in ("more_train", "triplet_distance"):  # missing in notes of earlier versions
        del notes["head"][name]
    (output / "best" / "fine_tuning.json").write_text(json.dumps(notes))
    best = str(output / "best")
    entries = tmp_path / "entries.txt"
    entries.write_text("别的条目\n另一条\n", encoding="utf-8")
    run(
        model,
        tmp_path / "others",
        "--do_eval=true",
        data_dir=data,
        init_checkpoint=best,
        corpus_file=entries,
    )
    assert "2 entries of %s are searched" % entries in capsys.readouterr().out
    run(model, tmp_path / "again", "--do_eval=true", data_dir=data, init_checkpoint=best)
    again = json.loads((tmp_path / "again" / "comparison.json").read_text())
    assert list(again["scores"]) == ["character TF-IDF", "trained"]
    assert again["scores"]["trained"] == pytest.approx(scores["scores"]["trained"], abs=1e-4)


@pytest.mark.parametrize("trained, measured", with_slow(FORMATS, FORMATS[:1]))
def test_a_model_is_measured_on_files_of_another_format(model, data, tmp_path, trained, measured):
    """Regression: --dev_format was refused for such files, and recommended if it was missing."""
    pairs = [line.split("\t") for line in (data / "dev.tsv").read_text("utf-8").splitlines()]
    rows = ["%s\t%s\t%d\n" % (a, b, n % 3) for n, (a, b) in enumerate(pairs)]
    (tmp_path / "scored.tsv").write_text("".join(rows), encoding="utf-8")
    files = {"scored": tmp_path / "scored.tsv", "positives": data / "dev.tsv"}
    names = {"scored": "spearman", "positives": "mrr_at_10"}
    output, other = tmp_path / "out", tmp_path / "other"
    steps = ["--objective=cosent", "--train_batch_size=8", "--train_step=2"]
    steps += ["--dev_format=" + trained, "--dev_file=%s" % files[trained], "--do_eval=true"]
    run(model, output, *steps, "--do_train=true", train_file=files["scored"])
    kept = json.loads((output / "best" / "fine_tuning.json").read_text())
    assert "eval_" + names[trained] in kept["dev"]
    flags = ["--objective=cosent", "--do_eval=true", "--dev_format=" + measured]
    flags.append("--dev_file=%s" % files[measured])
    found = []
    for folder, start in ((other, str(output / "best")), (output, model)):
        run(start, folder, *flags, bert_config_file=os.path.join(model, "albert_config.json"))
        results = json.loads((folder / "eval_results.json").read_text())["best"]
        compared = json.loads((folder / "comparison.json").read_text())["scores"]["trained"]
        found += [results["eval_" + names[measured]], compared[names[measured]]]
    examples = text_files.read_split(str(files[measured]), "dev", measured).examples
    expected = scores.Measured(examples, is_retrieval=measured == "positives")
    with TextEncoder(str(output / "best")) as encoder:
        vectors = dict(zip(expected.texts(), encoder.encode(expected.texts(), normalize=True)))
    expected = expected.scores(scores.VectorSimilarity(vectors))
    np.testing.assert_allclose(found, [expected[names[measured]]] * 4, atol=1e-4)
    assert json.loads((output / "best" / "fine_tuning.json").read_text()) == kept


@pytest.mark.slow
def test_runs_of_several_seeds_are_compared_and_their_mean_is_measured(model, data, tmp_path):
    output, mean = tmp_path / "out", tmp_path / "mean"
    steps = ["--do_train=true", "--do_eval=true", "--train_batch_size=8", "--train_step=3"]
    run(model, output, *steps, "--seeds=1,2", data_dir=data)
    scores = json.loads((output / "comparison.json").read_text())["scores"]
    assert list(scores) == ["character TF-IDF", "seed_1", "seed_2", "untrained"]
    assert "seed_1" in (output / "comparison.md").read_text()
    folders = ",".join(str(output / name / "best") for name in ("seed_1", "seed_2"))
    arguments = ["--model_dirs=" + folders, "--output_dir=%s" % mean]
    small_models.run_command(average_models, arguments)
    evaluated = tmp_path / "evaluated"
    run(model, evaluated, "--do_eval=true", data_dir=data, init_checkpoint=str(mean))
    scores = json.loads((evaluated / "comparison.json").read_text())["scores"]
    assert list(scores) == ["character TF-IDF", "trained"]


@pytest.mark.slow
def test_a_pair_classifier_scores_what_is_trained_on(model, data, tmp_path, capsys, monkeypatch):
    output, classifier = tmp_path / "out", small_models.write_model(tmp_path / "classifier", seed=3)
    monkeypatch.setattr(scored_pairs, "PAIRS_AT_ONCE", 10)
    arguments = ["--objective=cosent", "--scoring_classifier_dir=" + classifier]
    run(model, output, *arguments, train_file=data / "train.tsv")
    assert "scores of 24 pairs of " in capsys.readouterr().out
    rows = [json.loads(line) for line in (output / "scored_pairs.jsonl").open(encoding="utf-8")]
    pairs = [line.split("\t") for line in (data / "train.tsv").read_text("utf-8").splitlines()]
    assert [[row["text_a"], row["text_b"]] for row in rows] == pairs
    with Predictor(classifier) as predictor:
        expected = [predictor.similarities([pair])[0] for pair in pairs]
    np.testing.assert_allclose([row["score"] for row in rows], expected, atol=2e-6)
    assert len({row["score"] for row in rows}) > 20

    def computed_again(*_):
        raise AssertionError("finished blocks are computed again")

    monkeypatch.setattr(Predictor, "similarities", computed_again)
    arguments += ["--do_train=true", "--train_batch_size=8", "--train_step=2"]
    arguments.append("--whitening_width=4")  # fitted to a training file without scores
    run(model, output, *arguments, train_file=data / "train.tsv")
    assert (output / "model.ckpt-2.index").exists()


def test_a_pair_classifier_scores_labelled_pairs(model, tmp_path, capsys):
    """Regression: labelled pairs were refused as negatives; training does not use the labels."""
    pairs = [("今天吃饭", "明天吃饭"), ("手机没电", "手机坏了"), ("今天", "明天")]
    path, rows = tmp_path / "train.tsv", []
    for labels in (["1", "0", "1"], ["0", "1", "0"]):
        cells = [pair + (label,) for pair, label in zip(pairs, labels)]
        path.write_text("".join("\t".join(row) + "\n" for row in cells), encoding="utf-8")
        arguments = ["--objective=cosine", "--scoring_classifier_dir=" + model]
        run(model, tmp_path / "out", *arguments, "--whitening_width=2", train_file=path)
        note = "note: %s: the values after the two texts (0, 1) are ignored: a classifier"
        assert note % path in capsys.readouterr().out
        written = tmp_path / "out" / "scored_pairs.jsonl"
        rows.append([json.loads(line) for line in written.open(encoding="utf-8")])
    assert [(row["text_a"], row["text_b"]) for row in rows[0]] == pairs
    with Predictor(model) as predictor:
        expected = predictor.similarities(pairs)
    np.testing.assert_allclose([row["score"] for row in rows[0]], expected, atol=2e-6)
    assert rows[0] == rows[1] and len({row["score"] for row in rows[0]}) == 3


def test_scores_of_another_precision_are_computed(model, data, tmp_path):
    written = tmp_path / "out" / "scored_pairs.jsonl"
    arguments = ["--objective=cosent", "--scoring_classifier_dir=" + model]
    rounds = []
    for precision in ("float32", "bfloat16"):
        run(
            model,
            tmp_path / "out",
            *arguments,
            "--precision=" + precision,
            train_file=data / "train.tsv",
        )
        rounds.append([json.loads(line)["score"] for line in written.open(encoding="utf-8")])
    assert rounds[0] != rounds[1]
    np.testing.assert_allclose(rounds[0], rounds[1], atol=0.06)  # for random weights


def test_a_pair_classifiers_margins_are_learnt(model, data, tmp_path, capsys):
    """A row with two negatives becomes two rows."""
    lines = (data / "train.tsv").read_text("utf-8").splitlines()[:5]
    cells = [line.split("\t") + ["明天再说", "今天天气"] for line in lines]
    path = tmp_path / "train.tsv"
    path.write_text("\n".join("\t".join(row) + "\n" for row in cells), encoding="utf-8")
    arguments = ["--objective=margin_mse", "--scoring_classifier_dir=" + model]
    run(model, tmp_path / "out", *arguments, train_file=path)
    assert "note: %s: 4 empty lines were skipped" % path in capsys.readouterr().out
    written = str(tmp_path / "out" / "scored_pairs.jsonl")
    examples = text_files.read_split(written, "train", "margins").examples
    expected = [(a, b, (wrong,)) for a, b, *negatives in cells for wrong in negatives]
    assert [(e.text_a, e.text_b, e.negatives) for e in examples] == expected
    with Predictor(model) as predictor:
        right = predictor.similarities([(a, b) for a, b, _ in expected])
        wrong = predictor.similarities([(a, negative) for a, _, (negative,) in expected])
    np.testing.assert_allclose([e.margin for e in examples], right - wrong, atol=3e-6)
    assert len({example.margin for example in examples}) == 10
    with pytest.raises(UserError, match="train.tsv, line 1: it has no negative") as error:
        run(model, tmp_path / "other", *arguments, train_file=data / "train.tsv")
    assert "\n" not in str(error.value)


def test_an_untrained_model_is_whitened_by_texts_of_a_file(model, data, tmp_path, capsys):
    texts = tmp_path / "texts.txt"
    texts.write_text("\n".join(WORDS + ["今天天气", "", "明天再说"]) + "\n", encoding="utf-8")
    run(model, tmp_path / "out", "--whitening_width=3", data_dir=data, whitening_file=texts)
    assert capsys.readouterr().out.count("note: %s: 1 empty line was skipped" % texts) == 1
    notes = sentence_vectors.read_notes(str(tmp_path / "out" / "whitened"))
    assert (notes.width, notes.projection_width, notes.normalize) == (3, 3, True)


def test_whitening_needs_no_data_beside_its_texts(model, tmp_path):
    texts = tmp_path / "texts.txt"
    texts.write_text("\n".join(WORDS) + "\n", encoding="utf-8")
    run(model, tmp_path / "out", "--whitening_width=3", whitening_file=texts)
    assert sentence_vectors.read_notes(str(tmp_path / "out" / "whitened")).width == 3
    with pytest.raises(UserError, match="--data_dir is required"):
        run(model, tmp_path / "other", "--whitening_width=3")


def test_what_is_measured_is_read_before_a_model_is_whitened(model, data, tmp_path):
    """The data has positive pairs, but --objective=cosent expects scores."""
    arguments = ["--whitening_width=3", "--objective=cosent"]
    files = {"data_dir": data, "whitening_file": data / "faq.txt"}
    with pytest.raises(UserError, match="test.tsv: .*--dev_format=positives") as error:
        run(model, tmp_path / "out", *arguments, **files)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()
    run(model, tmp_path / "out", *arguments, "--dev_format=positives", **files)
    found = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert "mrr_at_10" in found["scores"]["whitened"]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (
            ["--mined_negatives=2", "--do_train=true"],
            "--mined_negatives: nothing is mined: add --mine_negatives",
        ),
        (
            ["--whitening_file=vocab.txt", "--do_train=true"],
            "nothing is whitened: add --whitening_width",
        ),
        (["--whitening_width=4", "--whitening_power=2"], "--whitening_power=2: expected 0 to 1"),
        (["--whitening_width=99"], "--whitening_width=99: expected 1 to 16"),
        (
            ["--whitening_width=16", "--do_train=true"],
            "--whitening_width=16: expected 1 to 15, the",
        ),
        (
            ["--whitening_width=16", "--pooling=last4", "--do_train=true"],
            "expected 1 to 15",  # all layers share one LayerNorm
        ),
        (
            ["--whitening_width=9", "--width=8", "--do_train=true"],
            "expected 1 to 8, the directions",
        ),
        (
            ["--whitening_width=9", "--whitening_file=three_texts.txt", "--do_train=true"],
            "--whitening_width=9: fitted to 3 different texts, expected 10 or more",
        ),
        (["--whitening_width=4", "--seeds=1,2"], "leave out --seeds"),
        (["--mine_negatives=lexical", "--mining_ranks=5"], "--mining_ranks=5: expected the first"),
        (["--mine_negatives=lexical", "--mining_ranks=5,2"], "expected the first and the last"),
        (["--mine_negatives=lexical", "--mined_negatives=51"], "expected 1 to 50"),
        (["--mine_negatives=lexical", "--mining_most_probable=2"], "expected 0 to 1"),
        (
            ["--mine_negatives=lexical", "--mining_most_probable=0.9"],
            "--mining_most_probable: there is no classifier .*: add --mining_classifier_dir, "
            "or leave",
        ),
        (
            ["--mine_negatives=lexical", "--do_eval=true"],
            "--mine_negatives creates a file to train on, .*: add --do_train=true, or leave out",
        ),
        (
            ["--scoring_classifier_dir=.", "--objective=cosent", "--do_predict=true"],
            "--scoring_classifier_dir creates a file to train on",
        ),
        (["--mine_negatives=lexical", "--mining_classifier_dir=none"], "none: no such folder"),
        (["--mine_negatives=lexical", "--mining_model_dir=."], "need --mine_negatives=vectors"),
        (
            ["--mine_negatives=lexical", "--objective=cosent"],
            "expected --objective=infonce or triplet, found cosent",
        ),
        (["--scoring_classifier_dir=."], "infonce has no scores of pairs: expected cosent or"),
        (["--scoring_classifier_dir=none", "--objective=cosent"], "none: no such folder"),
        (["--whitening_width=4", "--init_checkpoint="], "needs a model: add --init_checkpoint"),
    ],
)
def test_flags_that_make_no_sense_are_refused(
    model, data, tmp_path, monkeypatch, arguments, message
):
    monkeypatch.chdir(model)
    with open("three_texts.txt", "w", encoding="utf-8") as stream:
        stream.write("今天\n明天\n后天\n今天\n")
    with pytest.raises(UserError, match=message) as error:
        run(model, tmp_path / "out", *arguments, data_dir=data)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out" / "checkpoint").exists()  # no training step was run
