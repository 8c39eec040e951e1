"""Tests of classify.py: texts of the command line, a file or a pipe, for every kind of model."""

import io
import json
import re
import subprocess
import sys
import types

import numpy as np
import pytest

from albert_zh.commands import classify
from albert_zh.common import package_files
from albert_zh.common.errors import UserError
from albert_zh.finetuning import summary
from albert_zh.inference import predictor
from albert_zh.tasks import task_forms
from project_root import ROOT
import small_models

TEXTS = ["今天天气很好", "明天去吃饭", "", "银行卡怎么办理"]
PAIRS = [("今天天气", "明天天气"), ("好", "怎么办理")]
TOPICS = ("体育", "财经", "娱乐")
SINGLE, OF_PAIRS = ["text_a", "label"], ["text_a", "text_b", "label"]
KINDS = {
    "topics": {"labels": TOPICS, "settings": {"columns": SINGLE}},
    "several": {
        "labels": TOPICS,
        "settings": {
            "columns": SINGLE,
            "objective": "multi_label",
            "thresholds": [0.4, 0.6, 0.5],
            "label_separator": ";",
        },
    },
    "value": {"labels": ("score",), "settings": {"columns": SINGLE, "objective": "regression"}},
    "pairs": {"labels": TOPICS, "settings": {"columns": OF_PAIRS}},
    "old": {"labels": TOPICS},
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    return {kind: small_models.write_model(root / kind, **KINDS[kind]) for kind in KINDS}


@pytest.fixture
def run(folders, capsys, monkeypatch):
    def run(kind, *arguments, words=(), stdin=None):
        if stdin is not None:
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode("utf-8"))))
        flags = ["--model_dir=" + folders[kind]] + list(arguments)
        small_models.run_command(classify, flags, list(words))
        return [line.split("\t") for line in capsys.readouterr().out.split("\n")[:-1]]

    return run


def predicted(folder, texts, **settings):
    with predictor.Predictor(folder, **settings) as model:
        return model.predict(texts)


def test_one_label(run, folders, tmp_path):
    labels, probabilities = predicted(folders["topics"], TEXTS)
    expected = [
        [text, label, "%.4f" % row.max()] for text, label, row in zip(TEXTS, labels, probabilities)
    ]
    assert run("topics", words=TEXTS) == expected
    assert run("topics", stdin="\n".join(TEXTS) + "\n") == expected
    path = tmp_path / "texts.txt"
    path.write_bytes("\r\n".join(TEXTS).encode("gbk"))
    assert run("topics", "--input_file=%s" % path, "--encoding=gbk") == expected
    for row, values in zip(run("topics", "--top_k=2", words=TEXTS), probabilities):
        order = np.argsort(-values)[:2]
        assert row[1::2] == [TOPICS[number] for number in order]
        assert row[2::2] == ["%.4f" % values[number] for number in order]


def test_several_labels_are_those_over_their_thresholds(run, folders):
    probabilities = predicted(folders["several"], TEXTS)[1]
    chosen = [np.flatnonzero(row >= [0.4, 0.6, 0.5]) for row in probabilities]
    assert len(set(map(tuple, chosen))) > 1, "the random model should tell the texts apart"
    rows = run("several", "--top_k=1", words=TEXTS)
    for row, numbers, values in zip(rows, chosen, probabilities):
        assert row[1] == ";".join(TOPICS[number] for number in numbers)
        assert row[2] == ";".join("%.4f" % values[number] for number in numbers)
        assert row[3:] == [TOPICS[values.argmax()], "%.4f" % values.max()]


@pytest.mark.parametrize("settings", [{}, {"objective": "multi_label", "thresholds": [0, 0]}])
def test_line_ends_and_tabs_of_labels_are_blanks(capsys, tmp_path, settings):
    settings = dict(settings, columns=SINGLE, label_separator="|")
    labels = ("体育\n球\t类", "财经\u2028股")
    folder = small_models.write_model(tmp_path / "model", labels, settings=settings)
    small_models.run_command(classify, ["--model_dir=" + folder, "--top_k=2"], TEXTS)
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [row[0] for row in rows] == TEXTS
    assert {len(row) for row in rows} == {7 if "objective" in settings else 5}
    assert {row[-2] for row in rows} <= {"体育 球 类", "财经 股"}


def test_values(run, folders):
    values, _ = predicted(folders["value"], TEXTS)
    assert run("value", words=TEXTS) == [[t, "%.4f" % v] for t, v in zip(TEXTS, values)]
    records = [json.loads(row[0]) for row in run("value", "--format=jsonl", words=TEXTS[:2])]
    assert [record["text"] for record in records] == TEXTS[:2]
    np.testing.assert_allclose([record["value"] for record in records], values[:2], atol=1e-6)
    with pytest.raises(UserError, match="--top_k: .*value predicts a value, not classes"):
        run("value", "--top_k=2", words=TEXTS)


def test_unknown_words_of_a_file_are_noted(folders, tmp_path, capsys):
    path = tmp_path / "texts.txt"
    path.write_text("今天天气\n\n" + "怎么ＡＢ\n" * 2, encoding="utf-8")
    flags = ["--model_dir=" + folders["topics"], "--input_file=%s" % path]
    small_models.run_command(classify, flags, [])
    assert (
        "note: %s: 20.0 %% of the word pieces are unknown to the vocabulary, most often ＡＢ: the "
        "model cannot tell them apart; write letters and digits of full width half-width\n" % path
    ) in capsys.readouterr().err
    path.write_text("今天天气\n" * 3, encoding="utf-8")
    small_models.run_command(classify, flags, [])
    assert "unknown" not in capsys.readouterr().err


def test_texts_that_are_cut_are_noted(folders, tmp_path, capsys):
    """The limit of 48 tokens includes [CLS] and [SEP]."""
    path = tmp_path / "texts.txt"
    path.write_text("%s\n%s\n今天\n" % ("今" * 46, "天" * 47), encoding="utf-8")
    flags = ["--model_dir=" + folders["topics"]]
    small_models.run_command(classify, flags + ["--input_file=%s" % path], [])
    note = "note: %s: texts of more than 48 tokens, which were truncated: %d\n"
    assert note % (path, 1) in capsys.readouterr().err
    small_models.run_command(classify, flags, ["天" * 47, "今" * 48])
    assert note % ("the texts", 2) in capsys.readouterr().err
    small_models.run_command(classify, flags, ["天" * 46])
    assert "were truncated" not in capsys.readouterr().err


EMPTY = "have an empty text, for which a prediction is written nevertheless"


@pytest.mark.parametrize(
    "kind, name, content, noted",
    [
        ("topics", "texts.txt", "今天\n\n  \n天气\n", "2 of 4 rows"),
        ("topics", "texts.csv", "今天,体育\n\n,财经\n天气,体育\n", "1 of 3 rows"),
        ("pairs", "texts.txt", "今天\t天气\n今天\t\n", "1 of 2 rows"),
        ("value", "texts.txt", "今天\n天气\n", None),
    ],
)
def test_what_has_an_empty_text_is_counted(folders, tmp_path, capsys, kind, name, content, noted):
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    flags = ["--model_dir=" + folders[kind], "--input_file=%s" % path]
    small_models.run_command(classify, flags, [])
    notes = [line for line in capsys.readouterr().err.split("\n") if EMPTY in line]
    assert notes == ["note: %s: %s %s" % (path, noted, EMPTY)] * bool(noted)


def test_json_lines(run, folders):
    labels, probabilities = predicted(folders["topics"], TEXTS)
    for index, (line,) in enumerate(run("topics", "--format=jsonl", words=TEXTS)):
        record = json.loads(line)
        assert (record["text"], record["label"]) == (TEXTS[index], labels[index])
        assert record["probability"] == pytest.approx(probabilities[index].max(), abs=1e-6)
        assert list(record["probabilities"])[0] == labels[index]
        np.testing.assert_allclose(
            [record["probabilities"][topic] for topic in TOPICS], probabilities[index], atol=1e-6
        )
    ((line,),) = run("several", "--format=jsonl", "--top_k=2", words=TEXTS[:1])
    record = json.loads(line)
    assert record["labels"] == predicted(folders["several"], TEXTS[:1])[0][0]
    assert len(record["probabilities"]) == 2
    ((line,),) = run("pairs", "--format=jsonl", words=PAIRS[0])
    record = json.loads(line)
    assert (record["text_a"], record["text_b"]) == PAIRS[0]


def test_pairs_are_words_two_by_two_or_two_columns(run, folders):
    labels, probabilities = predicted(folders["pairs"], PAIRS)
    expected = [
        list(pair) + [label, "%.4f" % row.max()]
        for pair, label, row in zip(PAIRS, labels, probabilities)
    ]
    assert run("pairs", words=[text for pair in PAIRS for text in pair]) == expected
    assert run("pairs", stdin="".join("%s\t%s\tfurther\n" % pair for pair in PAIRS)) == expected
    with pytest.raises(UserError, match="standard input, line 2: expected text_a<tab>text_b"):
        run("pairs", stdin="a\tb\nc\n")
    with pytest.raises(UserError, match="found 3 words, expected pairs.*--text_pairs=false"):
        run("pairs", words=TEXTS[:3])


@pytest.mark.slow
def test_the_form_of_training_can_be_overruled(run, folders):
    with pytest.raises(
        UserError, match="input, line 1: 2 columns, but the model was trained on si"
    ):
        run("topics", stdin="今天\t明天\n")
    off = {"check_text_form": False}
    label, row = (of_pair[0] for of_pair in predicted(folders["topics"], PAIRS[:1], **off))
    rows = run("topics", "--text_pairs", stdin="%s\t%s\n" % PAIRS[0])
    assert rows == [list(PAIRS[0]) + [label, "%.4f" % row.max()]]
    label = predicted(folders["pairs"], ["今天\t明天"], **off)[0][0]
    assert run("pairs", "--text_pairs=false", stdin="今天\t明天\n")[0][:2] == [
        "今天 明天",
        label,
    ]


@pytest.mark.parametrize(
    "kind, lines, noted",
    [
        ("topics", "标题\n今天\n", "line 1 .*标题"),
        ("topics", "今天\n标题\n", None),
    ],
)
def test_a_first_line_like_a_header_is_noted(folders, capsys, tmp_path, kind, lines, noted):
    path = tmp_path / "texts.txt"
    path.write_text(lines, encoding="utf-8")
    arguments = ["--model_dir=" + folders[kind], "--input_file=%s" % path]
    small_models.run_command(classify, arguments, [])
    shown = capsys.readouterr()
    assert shown.out.count("\n") == 2  # no line is skipped
    assert bool(re.search("texts.txt, %s" % noted, shown.err)) == bool(noted), shown.err


def test_a_folder_without_a_note_of_the_form_takes_what_it_is_given(run, folders):
    labels, _ = predicted(folders["old"], [PAIRS[0], "今天"])
    rows = run("old", stdin="%s\t%s\n今天\n" % PAIRS[0])
    assert [row[:-1] for row in rows] == [list(PAIRS[0]) + labels[:1], ["今天", labels[1]]]


@pytest.mark.parametrize(
    "name, content",
    [
        ("a.csv", '情感,评论\n好,今天天气很好\n坏,"明天,去\n吃饭"\n'),
        ("a.txt", "标签\t标题\n好\t今天天气很好\n坏\t明天,去 吃饭\n"),
        ("a.csv", '评论\n今天天气很好\n\n"明天,去\n吃饭"\n'),
        ("a.tsv", "评论\t情感\n今天天气很好\t好\n明天,去 吃饭\t\n"),
        ("a.jsonl", '{"text": "今天天气很好"}\n{"text": "明天,去\\n吃饭", "label": "好"}\n'),
    ],
)
def test_a_table_is_read_as_the_training_file_was(run, folders, tmp_path, name, content):
    """Regression: such a file was refused, or its header and quotes were classified as text."""
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    texts = ["今天天气很好", "明天,去 吃饭"]
    labels, _ = predicted(folders["topics"], texts)
    rows = run("topics", "--input_file=%s" % path)
    assert [row[:2] for row in rows] == [list(pair) for pair in zip(texts, labels)]


def test_pairs_of_a_table(run, folders, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("label,text_b,text_a\n体育,%s,%s\n" % PAIRS[0][::-1], encoding="utf-8")
    labels, _ = predicted(folders["pairs"], PAIRS[:1])
    rows = run("pairs", "--input_file=%s" % path)
    assert [row[:3] for row in rows] == [list(PAIRS[0]) + labels]
    path = tmp_path / "a.txt"
    path.write_text("label\ttext_a\ttext_b\n体育\t%s\t%s\n" % PAIRS[0], encoding="utf-8")
    assert run("pairs", "--input_file=%s" % path) == [list(PAIRS[0]) + labels + [rows[0][-1]]]
    path = tmp_path / "a.csv"
    path.write_text("情感,评论\n体育,好\n", encoding="utf-8")
    with pytest.raises(UserError, match="a.csv has no text_b"):
        run("pairs", "--input_file=%s" % path)


def test_no_line_of_a_pipe_is_lost(folders):
    """Looking for a header must not consume the first line of a pipe."""
    line = (
        'printf "今天天气很好\\n明天去吃饭\\n" | "%s" classify.py --model_dir="%s" --input_file=%s'
    )
    line %= (sys.executable, folders["topics"], "/dev/stdin")
    done = subprocess.run(line, shell=True, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    texts = [row.split("\t")[0] for row in done.stdout.decode("utf-8").splitlines()]
    assert texts == ["今天天气很好", "明天去吃饭"]


def test_mistakes(run, monkeypatch, tmp_path):
    with pytest.raises(UserError, match="texts and --input_file are mutually exclusive"):
        run("topics", "--input_file=x", words=["今天"])
    with pytest.raises(UserError, match=r"argument 1: character 1 is \\udcbd"):
        run("topics", words=["今天".encode("gbk").decode("utf-8", "surrogateescape")])
    monkeypatch.setattr(package_files, "ROOT", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="no fine-tuned model .*--model_dir"):
        small_models.run_command(classify, [], ["今天"])


LABELLING = types.SimpleNamespace(
    kind=types.SimpleNamespace(is_classification=False),
    rules=types.SimpleNamespace(has_classes=True),
    objective="sequence_labelling",
    predict=lambda texts: ([[{"start": 0, "text": text[:1]}] for text in texts], None),
)


def test_flags_of_classes_are_none_of_a_model_of_spans(capsys):
    with small_models.command_flags(classify, ["--format=tsv"]):
        classify._check_flags(LABELLING, "ner/best")
        assert capsys.readouterr().err == (
            "note: --format=tsv has no effect: the output of a model of the kind "
            "sequence_labelling is JSON lines\n"
        )
    expected = pytest.raises(UserError, match="--top_k: ner/best predicts spans of text, not clas")
    with small_models.command_flags(classify, ["--top_k=3"]), expected:
        classify._check_flags(LABELLING, "ner/best")


def test_what_a_model_of_spans_says_of_a_line_is_shown_at_once(monkeypatch):
    shown = []

    class Pipe(io.StringIO):
        def flush(self):
            shown.append(self.getvalue())

    monkeypatch.setattr(sys, "stdout", Pipe())
    with small_models.command_flags(classify, []):
        classify.print_classes(LABELLING, ["今天"])
    assert [json.loads(line) for line in shown] == [
        {"text": "今天", "prediction": [{"start": 0, "text": "今"}]}
    ]


COMMANDS = {
    "topics": (task_forms.Task({}, tuple(SINGLE), TOPICS), "classify"),
    "several": (task_forms.Task({}, tuple(SINGLE), TOPICS, objective="multi_label"), "classify"),
    "value": (task_forms.Task({}, tuple(SINGLE), ("score",), objective="regression"), "classify"),
    "pairs": (task_forms.Task({}, tuple(OF_PAIRS), TOPICS), "classify"),
    "old": (task_forms.Task({}, tuple(OF_PAIRS), ("0", "1")), "similarity"),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(COMMANDS))
def test_training_ends_with_the_command_that_uses_its_model(kind, folders, tmp_path):
    task, script = COMMANDS[kind]
    model = small_models.write_model(
        tmp_path / "a folder", task.labels, settings=KINDS[kind].get("settings")
    )
    command = summary.next_command(model, task)
    assert re.search(r"(^|[ /])%s.py " % script, command)
    if kind not in ("pairs", "old", "topics"):
        return  # the other commands run in the same way
    result = subprocess.run(command, shell=True, stdout=subprocess.PIPE, text=True)
    assert result.returncode == 0
    texts = ["怎么开户", "如何开通账户"] if task_forms.is_pair(task) else ["这家店的菜很好吃"]
    assert result.stdout.split("\t")[: len(texts)] == texts
