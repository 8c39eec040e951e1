"""Sequence labelling as a kind of task: training, resuming, prediction, export, inference."""

import itertools
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from albert_zh import finetuning
from albert_zh.common.errors import UserError
from albert_zh.finetuning import flags as finetuning_flags
from albert_zh.inference import predictor
from albert_zh.model.checkpoints import checkpoint_values
from albert_zh.tasks import datasets, registry
from albert_zh.tasks.labelling import alignment
from albert_zh.tasks.labelling.spans import Span, filled
from crossed_cases import with_slow
import small_models
import whole_runs
from workspace import ROOT, assert_same_weights

FILLERS, PEOPLE, PLACES = "甲乙丙丁戊己", "赵钱孙李", "京津沪渝"
STEPS = 60


def labelled_text(generator):
    """Returns (characters, tags): a person is two surnames, a place three letters of PLACES."""
    chars, tags = [], []
    for _ in range(generator.randint(2, 5)):
        kind = generator.choice(("O", "per", "loc"))
        if kind == "O":
            words = generator.choices(FILLERS, k=generator.randint(1, 3))
        elif kind == "per":
            words = generator.choices(PEOPLE, k=2)
        else:
            words = generator.choices(PLACES, k=3)
        chars += words
        tags += (
            ["O"] * len(words) if kind == "O" else ["B-" + kind] + ["I-" + kind] * (len(words) - 1)
        )
        chars.append("，")
        tags.append("O")
    return chars, tags


def write_rows(path, count, seed):
    generator = random.Random(seed)
    texts = [labelled_text(generator) for _ in range(count)]
    lines = ["".join("%s %s\n" % pair for pair in zip(*text)) for text in texts]
    path.write_text("\n".join(lines), encoding="utf-8")


@pytest.fixture(name="settings", scope="module")
def settings_fixture(tmp_path_factory):
    """Writes the files of a run and returns its settings."""
    folder = tmp_path_factory.mktemp("entities")
    for name, count in (("train", 200), ("dev", 60), ("test", 20)):
        write_rows(folder / (name + ".txt"), count, name)
    changes = {
        "family": "sequence_labelling",
        "task_name": "ner",
        "max_seq_length": 16,  # texts are up to 20 characters long: some have windows
        "head_learning_rate": 1.0,
    }
    return whole_runs.settings_of(folder, FILLERS + PEOPLE + PLACES + "，", STEPS, **changes)


@pytest.fixture(name="finished", scope="module")
def finished_fixture(settings):
    """Returns (settings, result of the finished run)."""
    return settings, finetuning.run(**settings)


def best_of(finished):
    return os.path.join(finished[0]["output_dir"], "best")


def label_columns(path):
    """Returns (gold, predicted): the list of tags of each text of label_test.txt."""
    with open(path, encoding="utf-8") as handle:
        texts = [text.split("\n") for text in handle.read().strip().split("\n\n")]
    columns = [list(zip(*(line.split() for line in text))) for text in texts]
    return [list(c[1]) for c in columns], [list(c[2]) for c in columns]


@pytest.mark.reference
def test_scores_are_those_of_seqeval_on_the_written_labels(finished):
    seqeval_metrics = pytest.importorskip("seqeval.metrics")
    settings, reached = finished
    assert reached["metric"] == "f1"
    path = os.path.join(settings["output_dir"], "label_test.txt")
    gold, predicted = label_columns(path)
    test = reached["test"]
    assert len(gold) == 20 and test["f1"] > 0.9
    for name, score in (
        ("f1", seqeval_metrics.f1_score),
        ("precision", seqeval_metrics.precision_score),
        ("recall", seqeval_metrics.recall_score),
    ):
        assert test[name] == pytest.approx(score(gold, predicted), abs=1e-9)
    macro = seqeval_metrics.f1_score(gold, predicted, average="macro")
    assert test["macro_f1"] == pytest.approx(macro, abs=1e-9)
    of_tags = [(g, p) for pair in zip(gold, predicted) for g, p in zip(*pair)]
    num_right = sum(g == p != "O" for g, p in of_tags)
    num_both = sum(g != "O" for g, _ in of_tags) + sum(p != "O" for _, p in of_tags)
    assert test["token_f1"] == pytest.approx(2 * num_right / num_both, abs=1e-9)
    num_gold, num_predicted = (sum(t[side] != "O" for t in of_tags) for side in (0, 1))
    assert test["token_precision"] == pytest.approx(num_right / num_predicted, abs=1e-9)
    assert test["token_recall"] == pytest.approx(num_right / num_gold, abs=1e-9)
    dev = reached["dev"]
    assert dev["eval_f"] == dev["eval_token_f1"] and "eval_token_recall" in dev
    with open(os.path.join(settings["output_dir"], "eval_results_albert_zh.txt")) as handle:
        assert "\neval_f = " in handle.read()


def test_the_files_of_a_prediction(finished):
    folder = finished[0]["output_dir"]
    with open(os.path.join(folder, "predictions.tsv"), encoding="utf-8") as handle:
        assert len(handle.readlines()) == 21
    with open(os.path.join(folder, "predictions.json"), encoding="utf-8") as handle:
        first = json.loads(handle.readline())
    assert set(first) == {"text", "label", "line"} and first["line"] == 1
    with open(os.path.join(folder, "entities.html"), encoding="utf-8") as handle:
        assert handle.read().count('class="text"') == 20
    with open(os.path.join(folder, "report.md"), encoding="utf-8") as handle:
        report = handle.read()
    assert "| per |" in report and "| missed |" in report
    with open(os.path.join(folder, "best", "fine_tuning.json"), encoding="utf-8") as handle:
        assert json.load(handle)["head"]["form"] == "crf"
    with open(os.path.join(folder, "best", "label_map.json"), encoding="utf-8") as handle:
        assert list(json.load(handle)) == ["O", "B-loc", "I-loc", "B-per", "I-per"]


@pytest.mark.slow
@pytest.mark.newest
def test_it_resumes_to_the_same_weights(finished, tmp_path):
    whole, again = whole_runs.resumed_weights(finished[0], tmp_path)
    assert_same_weights(whole, again)
    assert "crf/transitions" in whole and np.abs(whole["crf/transitions"]).max() > 0


def test_a_file_alone_is_predicted_record_by_record(finished, tmp_path):
    settings = dict(finished[0], do_train=False, do_eval=False, init_checkpoint=best_of(finished))
    lines = "甲 O\n， O\n\n京 B-loc\n津 I-loc\n沪 I-loc\n\n赵\n乙 O\n"
    (tmp_path / "texts.txt").write_text(lines, encoding="utf-8")
    settings.update(data_dir=str(tmp_path / "texts.txt"), output_dir=str(tmp_path / "out"))
    with pytest.raises(UserError, match="texts.txt, line 8: a column is missing"):
        finetuning.run(**settings)
    finetuning.run(**dict(settings, skip_bad_rows=True))
    path = tmp_path / "out" / "predictions.tsv"
    predicted = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()[1:]]
    assert predicted == [["甲，", "", ""], ["京津沪", "京津沪/loc@0-3", "京津沪/loc@0-3"]]


@pytest.mark.parametrize(
    "given, message",
    [
        ({"head": "softmax"}, "trained with --head=crf, the flags ask for softmax"),
        ({"half_width": False}, "trained with --half_width=True, the flags ask for False"),
    ],
)
def test_settings_of_a_trained_model_cannot_be_changed(finished, tmp_path, given, message):
    used = dict(finished[0], do_train=False, init_checkpoint=best_of(finished), **given)
    with pytest.raises(UserError, match=message):
        finetuning.run(**dict(used, output_dir=str(tmp_path)))


def test_a_run_is_evaluated_with_its_own_head_only(finished):
    with pytest.raises(UserError, match="trained with --head=crf, the flags ask for softmax"):
        finetuning.run(**dict(finished[0], do_train=False, head="softmax"))


@pytest.mark.parametrize(
    "noted, given, used", [(3, None, 3), (3, 5, 5), (None, 5, 5), (40, None, 14)]
)
def test_windows_are_as_the_model_notes_unless_a_flag_says_otherwise(
    finished, tmp_path, monkeypatch, noted, given, used
):
    """The text has 30 characters, a window 14; a longer stride is reduced to a window's length."""
    best = str(tmp_path / "best")
    shutil.copytree(best_of(finished), best)
    path = os.path.join(best, "fine_tuning.json")
    with open(path, encoding="utf-8") as handle:
        notes = json.load(handle)
    assert notes["head"]["stride"] is None
    notes["head"]["stride"] = noted
    with open(path, "w", encoding="utf-8") as handle:
        json.dump(notes, handle)
    text = "甲乙丙丁戊" * 6
    (tmp_path / "texts.txt").write_text("".join(c + " O\n" for c in text), encoding="utf-8")
    starts = []

    def recorded(num_pieces, max_pieces, stride):
        found = windows(num_pieces, max_pieces, stride)
        starts.append([window.start for window in found])
        return found

    windows = alignment.windows
    monkeypatch.setattr(alignment, "windows", recorded)
    settings = dict(finished[0], do_train=False, do_eval=False, init_checkpoint=best)
    settings.update({"stride": given} if given else {}, output_dir=str(tmp_path / "out"))
    finetuning.run(**dict(settings, data_dir=str(tmp_path / "texts.txt")))
    assert starts and all(found == [*range(0, 16, used), 16] for found in starts), starts
    if not given:
        del starts[:]
        with predictor.Predictor(best) as model:
            model.predict([text])
        assert starts and all(found == [*range(0, 16, used), 16] for found in starts), starts


def test_a_stride_is_compared_with_the_windows_of_the_model(finished, tmp_path):
    """The limit is the model's windows (up to 510 pieces), not the default of --max_seq_length."""
    used = dict(finished[0], do_train=False, init_checkpoint=best_of(finished), stride=15)
    del used["max_seq_length"]
    with pytest.raises(UserError, match=r"--stride=15: expected 1 to 14, .*--max_seq_length=16"):
        finetuning.run(**dict(used, output_dir=str(tmp_path)))
    check = registry.get("sequence_labelling").flags.check
    for settings in ({"do_train": True}, {"do_train": False}):
        options = finetuning_flags.of_settings("sequence_labelling", stride=300, **settings)
        if not settings["do_train"]:
            check(options)
            continue
        with pytest.raises(UserError, match="--stride=300: expected 1 to 126"):
            check(options)


@pytest.mark.parametrize(
    "name, now, shown",
    [("stride", 4, r"\(None, now 4\)"), ("head_learning_rate", 2.0, r"\(1.0, now 2.0\)")],
)
def test_a_run_does_not_go_on_with_another_setting_of_its_kind(finished, name, now, shown):
    with pytest.raises(UserError, match="contains a run with another %s %s" % (name, shown)):
        finetuning.run(**dict(finished[0], **{name: now}))


@pytest.mark.slow
def test_flags_of_training_take_effect(settings, tmp_path):
    """Two steps with R-Drop, FGM, layer-wise decay, NEZHA's reader and skipped bad rows."""
    for name in ("train", "dev", "test"):
        text = "甲 O\n赵 B-per\n钱 I-per\n\n京 B-loc\n津 I-loc\n沪 I-loc\n。 O\n\n"
        (tmp_path / (name + ".txt")).write_text(text + "京\n\n乙 O\n", encoding="utf-8")
    given = dict(settings, data_dir=str(tmp_path), output_dir=str(tmp_path / "out"), train_step=2)
    given.update(rdrop_alpha=1.0, fgm_epsilon=0.5, layer_decay=0.9, save_checkpoints_steps=2)
    given.update(original_reader=True, skip_bad_rows=True, train_batch_size=1)
    finetuning.run(**given)
    lines = (tmp_path / "out" / "predictions.tsv").read_text(encoding="utf-8").splitlines()
    assert [line.split("\t")[0] for line in lines] == ["text", "甲赵钱京津沪。"]  # one sentence
    for name, default in (("rdrop_alpha", 0.0), ("fgm_epsilon", 0.0), ("layer_decay", 1.0)):
        finetuning.run(**dict(given, output_dir=str(tmp_path / name), **{name: default}))
        with_flag, without = (
            checkpoint_values.read_weights(str(tmp_path / folder / "model.ckpt-2"))
            for folder in ("out", name)
        )
        table = "bert/embeddings/word_embeddings"
        assert not np.array_equal(with_flag[table], without[table]), name


@pytest.mark.slow
@pytest.mark.newest
def test_the_best_model_is_exported(finished, tmp_path):
    from albert_zh.commands import run_seq_labelling

    arguments = ["--%s=%s" % pair for pair in finished[0].items() if pair[0] != "family"]
    arguments.append("--export_dir=%s" % (tmp_path / "export"))
    small_models.run_command(run_seq_labelling, arguments)
    with predictor.Predictor(str(tmp_path / "export")) as model:
        assert spans_of(model.predict(TEXTS)[0]) == SPANS


@pytest.mark.slow
def test_a_killed_training_goes_on_to_the_same_weights(finished, tmp_path):
    settings = dict(finished[0], output_dir=str(tmp_path / "out"))
    command = [sys.executable, os.path.join(ROOT, "run_seq_labelling.py")]
    command += ["--%s=%s" % pair for pair in settings.items() if pair[0] != "family"]
    first = str(tmp_path / "out" / ("model.ckpt-%d.index" % (STEPS // 2)))
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not os.path.exists(first):
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    whole, again = (
        checkpoint_values.read_weights(os.path.join(folder, "model.ckpt-%d" % STEPS))
        for folder in (finished[0]["output_dir"], settings["output_dir"])
    )
    assert_same_weights(whole, again)


# The last text is split into windows.
TEXTS = ["甲乙，赵钱，京津沪，丙", "孙李", "丁，渝京津，" * 12 + "赵赵"]
SPANS = [
    [("per", 3, 5), ("loc", 6, 9)],
    [("per", 0, 2)],
    [("loc", 6 * n + 2, 6 * n + 5) for n in range(12)] + [("per", 72, 74)],
]


def spans_of(decoded):
    return [[(e["type"], e["start"], e["end"]) for e in entities] for entities in decoded]


def test_entities_of_texts(finished):
    with predictor.Predictor(best_of(finished)) as model:
        decoded, outputs = model.predict(TEXTS)
    assert outputs is None and spans_of(decoded) == SPANS
    for text, entities in zip(TEXTS, decoded):
        assert all(text[e["start"] : e["end"]] == e["text"] for e in entities)


ENDINGS = {"saved_model": "", "tflite": ".tflite", "onnx": ".onnx"}


@pytest.mark.newest
@pytest.mark.parametrize("output_format", with_slow(sorted(ENDINGS), ["onnx"]))
def test_exported_models_find_the_same_entities(finished, output_format, tmp_path, capsys):
    from albert_zh.commands import export_model

    path = str(tmp_path / ("model" + ENDINGS[output_format]))
    arguments = [
        "--model_dir=" + best_of(finished),
        "--format=" + output_format,
        "--output=" + path,
    ]
    small_models.run_command(export_model, arguments)
    agreement = r"agreement  \d+\.\d % of the texts have the checkpoint's answer\n"
    assert re.search(agreement, capsys.readouterr().out)
    with predictor.Predictor(best_of(finished)) as model:
        expected = model.predict(TEXTS)[0]
    with predictor.Predictor(path) as model:
        decoded = model.predict(TEXTS)[0]
    assert spans_of(decoded) == spans_of(expected) == SPANS
    np.testing.assert_allclose(
        [e["confidence"] for text in decoded for e in text],
        [e["confidence"] for text in expected for e in text],
        atol=2e-3,
    )


@pytest.mark.parametrize(
    "name, text, message",
    [
        ("dev", "甲 O\n京 B-city\n", "dev.txt, line 2: the type 'city' .* not in the training"),
        ("train", "甲 O\n京 K-loc\n", "train.txt, line 2: unknown tag 'K-loc'"),
        ("train", "甲 O\n京 B-\n", "train.txt, line 2: the tag 'B-' has no type"),
        ("train", "甲 O\n京\n乙 O\n", "train.txt, line 2: "),
        ("train", "甲 O\n\n乙 O\n", "train.txt: has no entities"),
        ("train", "\n\n", "train.txt: has no texts"),
        ("dev", None, "dev.txt: has no labels"),
    ],
)
def test_bad_files_are_one_line(settings, tmp_path, name, text, message):
    folder = tmp_path / "data"
    folder.mkdir()
    for split in ("train", "dev", "test"):
        shutil.copy(os.path.join(settings["data_dir"], split + ".txt"), str(folder))
    content = "甲\n乙\n\n丙\n" if text is None else text
    (folder / (name + ".txt")).write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=message) as raised:
        finetuning.run(**dict(settings, data_dir=str(folder), output_dir=str(tmp_path / "out")))
    assert "\n" not in str(raised.value)


def test_overlapping_entities_are_named(settings, tmp_path):
    line = {"text": "甲京津沪", "label": {"loc": {"京津": [[1, 2]]}, "org": {"京津沪": [[1, 3]]}}}
    (tmp_path / "train.json").write_text(json.dumps(line) + "\n", encoding="utf-8")
    given = dict(settings, data_dir=str(tmp_path), output_dir=str(tmp_path / "out"))
    with pytest.raises(UserError, match="overlap.*--overlaps=longest.*, or train with --head"):
        finetuning.run(**given)
    kind = registry.get("sequence_labelling")
    task = datasets.get_task("ner")._replace(head={"overlaps": "longest"})
    train = kind.read_split(task, str(tmp_path), "train", "utf-8", False)
    assert train.examples[0].label == [Span(1, 4, "org")]
    assert any("1 entity that overlaps a longer one was ignored" in note for note in train.notes)


def test_labels_that_do_not_fit_the_pieces_are_counted(tmp_path):
    from albert_zh.text import tokenization

    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "甲", "ab", "##cd"]
    (tmp_path / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    tokenizer = tokenization.FullTokenizer(str(tmp_path / "vocab.txt"))
    # The pieces of "abcd" are ab and ##cd: "bcd" begins inside a piece, "cd" does not. Characters
    # that the tokenizer drops have no piece.
    rows = [
        ("abcd甲\u200b甲", [(1, 4, "loc"), (5, 6, "loc")]),
        ("abcd甲", [(2, 4, "loc"), (4, 5, "loc")]),
    ]
    lines = [entity_list_line(*row) for row in rows]
    (tmp_path / "train.json").write_text("".join(lines), encoding="utf-8")
    for name in ("sequence_labelling", "span_labelling"):
        kind = registry.get(name)
        form = "crf" if name == "sequence_labelling" else "global_pointer"
        task = datasets.get_task("ner")._replace(objective=name, head={"form": form})
        train = kind.read_split(task, str(tmp_path), "train", "utf-8", False)
        task = kind.with_labels(task, train)
        lines, remarks = kind.about_features(task, train, tokenizer, 16)
        assert remarks == {"entities_inside_a_piece": 1, "entities_left_out": 1}
        assert len(lines) == 2 and lines[0].startswith("1 of 4 entities")


def test_entities_that_every_window_cuts_are_counted(tmp_path):
    from albert_zh.text import tokenization

    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n甲\n", encoding="utf-8")
    tokenizer = tokenization.FullTokenizer(str(tmp_path / "vocab.txt"))
    line = entity_list_line("甲" * 12, [(0, 12, "loc"), (3, 5, "loc")])
    (tmp_path / "train.json").write_text(line, encoding="utf-8")
    task = datasets.get_task("ner")._replace(head={"form": "global_pointer"}, labels=("loc",))
    kind = registry.get("span_labelling")
    train = kind.read_split(task, str(tmp_path), "train", "utf-8", False)
    assert kind.about_features(task, train, tokenizer, 8)[1] == {"entities_in_no_row": 1}
    assert kind.about_features(task, train, tokenizer, 14) == ([], {})


def test_words_and_entities_are_not_mixed(tmp_path):
    line = entity_list_line("京津沪", [(0, 2, "loc"), (2, 3, "")])
    (tmp_path / "train.json").write_text(line, encoding="utf-8")
    kind, task = registry.get("sequence_labelling"), datasets.get_task("ner")
    train = kind.read_split(task, str(tmp_path), "train", "utf-8", False)
    with pytest.raises(UserError, match="some spans have no type, as words, .* such as loc"):
        kind.with_labels(task, train)


def test_texts_without_labels_are_not_learnt_as_ones_without_entities(tmp_path):
    lines = [json.dumps({"text": "甲乙"}), entity_list_line("京津", [(0, 2, "loc")])]
    for name in ("train", "test"):
        (tmp_path / (name + ".json")).write_text("\n".join(lines), encoding="utf-8")
    kind, task = registry.get("sequence_labelling"), datasets.get_task("ner")
    with pytest.raises(UserError, match="train.json, line 1: has no labels, but other lines have"):
        kind.read_split(task, str(tmp_path), "train", "utf-8", False)
    skipping = task._replace(head={"skip_bad_rows": True})
    train = kind.read_split(skipping, str(tmp_path), "train", "utf-8", True)
    assert [example.text_a for example in train.examples] == ["京津"]
    assert "1 invalid row was skipped" in train.notes[-1]
    test = kind.read_split(task, str(tmp_path), "test", "utf-8", False)
    assert [example.label for example in test.examples] == [None, [Span(0, 2, "loc")]]


def test_words_follow_one_another():
    spans = [Span(0, 2, ""), Span(3, 4, "")]
    assert filled("天气 好吗", spans) == [Span(0, 3, ""), Span(3, 5, "")]
    assert filled("好", []) == [Span(0, 1, "")]


def nested_text(generator):
    """Returns (text, spans): each `org` begins with a nested `loc`."""
    text, spans = "", []
    for _ in range(generator.randint(1, 3)):
        text += "".join(generator.choices(FILLERS, k=generator.randint(1, 3)))
        place = "".join(generator.choices(PLACES, k=2))
        if generator.random() < 0.5:
            spans.append((len(text), len(text) + 4, "org"))
            spans.append((len(text), len(text) + 2, "loc"))
            text += place + "".join(generator.choices(PEOPLE, k=2))
        else:
            spans.append((len(text), len(text) + 2, "loc"))
            text += place
    return text, spans


def entity_list_line(text, spans):
    entities = [
        {
            "entity_index": {"begin": begin, "end": end},
            "entity_type": name,
            "entity": text[begin:end],
        }
        for begin, end, name in spans
    ]
    return json.dumps({"text": text, "entity_list": entities}, ensure_ascii=False) + "\n"


NESTED_TEXT = "甲京津赵钱乙沪渝"
NESTED_SPANS = [("loc", 1, 3), ("org", 1, 5), ("loc", 6, 8)]


@pytest.fixture(
    name="nested",
    scope="module",
    params=with_slow(["global_pointer", "efficient_global_pointer"], ["global_pointer"]),
)
def nested_fixture(settings, tmp_path_factory, request):
    """Returns (settings, the run's result) for a head that scores spans."""
    folder = tmp_path_factory.mktemp("nested")
    for name, count in (("train", 200), ("dev", 40), ("test", 20)):
        generator = random.Random(name)
        lines = [entity_list_line(*nested_text(generator)) for _ in range(count)]
        (folder / (name + ".json")).write_text("".join(lines), encoding="utf-8")
    given = dict(settings, data_dir=str(folder), output_dir=str(folder / "out"))
    given.update(head=request.param, train_step=90, max_seq_length=32)
    return given, finetuning.run(**given)


@pytest.mark.slow
@pytest.mark.newest
def test_nested_entities(nested):
    settings, reached = nested
    assert reached["test"]["f1"] > 0.9
    assert not any("token" in name for name in reached["test"])  # such heads assign no tags
    with open(os.path.join(settings["output_dir"], "predictions.json"), encoding="utf-8") as lines:
        assert "entity_list" in json.loads(lines.readline())
    with predictor.Predictor(best_of(nested)) as model:
        assert spans_of(model.predict([NESTED_TEXT])[0]) == [NESTED_SPANS]


@pytest.mark.slow
@pytest.mark.newest
@pytest.mark.parametrize("output_format", sorted(ENDINGS))
def test_exported_models_find_nested_entities(nested, output_format, tmp_path):
    from albert_zh.commands import export_model

    path = str(tmp_path / ("model" + ENDINGS[output_format]))
    arguments = ["--model_dir=" + best_of(nested), "--format=" + output_format, "--output=" + path]
    small_models.run_command(export_model, arguments)
    with predictor.Predictor(path) as model:
        assert spans_of(model.predict([NESTED_TEXT])[0]) == [NESTED_SPANS]


def segmented_line(generator):
    """Returns words: a place with a surname, or a filler, so that letters determine the words."""
    words = []
    for _ in range(generator.randint(2, 5)):
        words.append("".join(generator.choices(PLACES, k=1) + generator.choices(PEOPLE, k=1)))
        words.append(generator.choice(FILLERS))
    return "  ".join(words) + "\n"


@pytest.mark.slow
@pytest.mark.newest
def test_segmentation(settings, tmp_path):
    """The dev split is taken from the training rows, each of which ends in a unique word."""
    own_words = ["".join(letters) for letters in itertools.product(PEOPLE, repeat=4)]
    for name, count in (("train", 240), ("test", 20)):
        generator = random.Random(name)
        lines = [segmented_line(generator) for _ in range(count)]
        if name == "train":
            lines = ["%s  %s\n" % (line.strip(), word) for line, word in zip(lines, own_words)]
        (tmp_path / (name + ".txt")).write_text("".join(lines), encoding="utf-8")
    given = dict(settings, data_dir=str(tmp_path), output_dir=str(tmp_path / "out"))
    given.update(task_name="cws", train_step=40, save_checkpoints_steps=40)
    assert finetuning.run(**given)["test"]["f1"] > 0.9
    with open(str(tmp_path / "out" / "report.json"), encoding="utf-8") as handle:
        report = json.load(handle)
    words = report["test"]["segmentation"]
    assert words["f1"] > 0.9 and words["oov_rate"] == 0 and words["iv_recall"] == words["recall"]
    dev = report["dev"]  # the last words of its rows occur in no training row
    of_words = dev["classes"][0]
    assert dev["segmentation"]["oov_rate"] == dev["rows"] / of_words["support"]
    with open(str(tmp_path / "out" / "predictions.txt"), encoding="utf-8") as handle:
        predicted = handle.read().splitlines()
    gold = (tmp_path / "test.txt").read_text(encoding="utf-8").splitlines()
    assert [line.replace(" ", "") for line in predicted] == [g.replace(" ", "") for g in gold]
    assert "| oov_recall | -- |" in (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    with_blanks = ["  %s   " % predicted[0], "   ", ""]
    with predictor.Predictor(str(tmp_path / "out" / "best")) as model:
        words = model.predict(with_blanks)[0]
    assert [word["text"] for word in words[0]] == predicted[0].split()
    assert all(with_blanks[0][w["start"] : w["end"]] == w["text"] for w in words[0])
    assert words[1:] == [[], []]
    with open(str(tmp_path / "out" / "best" / "label_map.json"), encoding="utf-8") as handle:
        assert list(json.load(handle)) == list("BMES")
