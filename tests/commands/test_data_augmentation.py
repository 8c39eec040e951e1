"""Tests of data_augmentation.py: creating additional rows from a training file."""

import json
import os
import re
import subprocess
import sys

import pytest

from albert_zh.commands import data_augmentation
from albert_zh.common import output_files
from albert_zh.common.errors import UserError
from albert_zh.inference.augmentation import Augmented, Example
from albert_zh.text import word_segmentation
import small_models
import workspace

TEXTS = ["今天天气很好", "我们明天去银行", "今天什么时候去银行", "吃饭时间办理银行卡"] * 3
PAIRS = [("今天天气很好", "明天天气怎么"), ("银行今天开门", "明天再去银行")] * 3


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return small_models.write_model(tmp_path_factory.mktemp("model") / "model")


def run(model, data, **changes):
    values = {"pretrained_bert_model": model, "data_dir": str(data), "task_name": "multiclass"}
    values.update({"N": 6, "min_probability": 0}, **changes)
    arguments = ["--%s=%s" % item for item in values.items() if item[1] is not None]
    small_models.run_command(data_augmentation, arguments)


def write_texts(folder, name="train.tsv", separator="\t"):
    lines = ["%s%s%d" % (text, separator, i % 2) for i, text in enumerate(TEXTS)]
    (folder / name).write_text("text%slabel\n" % separator + "\n".join(lines) + "\n", "utf-8")


def test_rows_keep_labels_and_columns(model, tmp_path):
    write_texts(tmp_path)
    run(model, tmp_path)
    header, *rows = (tmp_path / "train_aug.tsv").read_text("utf-8").splitlines()
    _, *origins = (tmp_path / "train_aug.rows.tsv").read_text("utf-8").splitlines()
    assert header == "text\tlabel" and len(rows) == len(origins) > 2 * len(TEXTS)
    source = (tmp_path / "train.tsv").read_text("utf-8").splitlines()
    for number, (row, origin) in enumerate(zip(rows, origins), start=2):
        line, of_source = map(int, origin.split("\t"))
        text, label = row.split("\t")
        former, former_label = source[of_source - 1].split("\t")
        assert line == number and label == former_label and len(text) == len(former)
    assert set(source[1:]) <= set(rows)
    assert "| rows | 12 |" in (tmp_path / "train_aug.report.md").read_text("utf-8")


@pytest.mark.parametrize("header", ["", "text,label\n", '"te\nxt",label\n'])
def test_lines_are_those_of_files_with_blank_lines_and_texts_over_several(
    model, tmp_path, monkeypatch, header
):
    """Regression: rows were counted, so that line numbers after a multi-line text were wrong."""
    texts = [
        "今天天气很好",
        "\n",
        '"我们明天去银行\n今天去银行"',
        "今天什么时候去银行",
        "吃饭时间",
    ] * 2
    lines = [text + (",%d\n" % (n % 2) if text.strip() else "") for n, text in enumerate(texts)]
    (tmp_path / "train.csv").write_text(header + "".join(lines), "utf-8")
    monkeypatch.setattr(data_augmentation, "_ROWS_OF_CHUNK", 3)
    columns = {"text_column": 1, "label_column": 2} if "\n" in header[:-1] else {}
    run(model, tmp_path, task_name="multiclass", **columns)
    source = (tmp_path / "train.csv").read_text("utf-8").split("\n")
    written = (tmp_path / "train_aug.csv").read_text("utf-8").split("\n")
    _, *origins = (tmp_path / "train_aug.rows.tsv").read_text("utf-8").splitlines()
    pairs = [tuple(map(int, origin.split("\t"))) for origin in origins]
    assert len(pairs) > 3 * 8 and len({line for line, _ in pairs}) == len(pairs)
    for line, of_source in pairs:
        row, former = written[line - 1], source[of_source - 1]
        assert len(row) == len(former) and row.startswith('"') == former.startswith('"')
        assert row[-2:] == former[-2:] or former.startswith('"')
    assert {former for _, former in pairs if source[former - 1].startswith('"我们')}


@pytest.mark.parametrize("output_file", [None, "out/more.tsv"])
def test_paths_are_shown_as_they_are_given(model, tmp_path, monkeypatch, capsys, output_file):
    (tmp_path / "data").mkdir()
    (tmp_path / "out").mkdir()
    write_texts(tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    run(model, "data", output_file=output_file)
    expected = output_file or "data/train_aug.tsv"
    made, samples = capsys.readouterr().out.splitlines()[-2:]
    assert made.endswith(" rows created from 12: " + expected)
    assert samples.split() == ["samples", expected.replace(".tsv", ".report.md")]


@pytest.mark.parametrize(
    "changes, message",
    [
        (
            {"p": 0},
            r"no row was created from its 12 rows: [1-9]\d* of their words .*: give a larger --p",
        ),
        (
            {"min_probability": 1},
            "no row was created from its 12 rows: 0 of their words .*--min_probability",
        ),
    ],
)
def test_where_nothing_is_made_no_file_is_written(model, tmp_path, changes, message):
    write_texts(tmp_path)
    with pytest.raises(UserError, match="train.tsv: " + message):
        run(model, tmp_path, **changes)
    assert os.listdir(str(tmp_path)) == ["train.tsv"]


@pytest.mark.reference
def test_killed_run_goes_on_to_the_same_bytes(model, tmp_path, monkeypatch):
    names = ("train_aug.csv", "train_aug.rows.tsv", "train_aug.report.md")
    contents = []
    monkeypatch.setattr(data_augmentation, "_ROWS_OF_CHUNK", 4)
    for kills in (False, True):
        folder = tmp_path / str(kills)
        folder.mkdir()
        write_texts(folder, "train.csv", ",")
        if kills:
            write_json, calls = output_files.write_json, []

            def write_once(path, value, write_json=write_json, calls=calls):
                calls.append(path)
                if len(calls) > 1:
                    raise KeyboardInterrupt
                write_json(path, value)

            with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
                patch.setattr(output_files, "write_json", write_once)
                run(model, folder)
            assert not (folder / "train_aug.csv").exists()
        run(model, folder)
        contents.append([(folder / name).read_bytes() for name in names])
        assert not [name for name in os.listdir(str(folder)) if re.search("partial|progress", name)]
    assert contents[0] == contents[1]


def test_a_second_process_of_the_same_output_waits(model, tmp_path, monkeypatch):
    """Regression: a second process appended its rows to those of the first, with status 0."""
    write_texts(tmp_path)
    monkeypatch.setattr(data_augmentation, "_ROWS_OF_CHUNK", 4)
    arguments = ["--pretrained_bert_model=%s" % model, "--data_dir=%s" % tmp_path]
    arguments += ["--task_name=multiclass", "--N=6", "--min_probability=0"]
    write_json, others = output_files.write_json, []

    def write_while_another_one_runs(path, value):
        write_json(path, value)
        if not others:
            line = workspace.command(arguments, "data_augmentation.py")
            others.append(subprocess.Popen(line, stderr=subprocess.PIPE, text=True))
            said = iter(others[0].stderr.readline, "")  # ends if the process does not wait
            assert any("another process is using" in line for line in said)

    with monkeypatch.context() as patch:
        patch.setattr(output_files, "write_json", write_while_another_one_runs)
        run(model, tmp_path)
    others[0].communicate(timeout=100)
    assert others[0].returncode == 0
    origins = (tmp_path / "train_aug.rows.tsv").read_text("utf-8").splitlines()[1:]
    lines = [int(origin.split("\t")[0]) for origin in origins]
    assert lines == list(range(2, 2 + len(lines)))
    assert len((tmp_path / "train_aug.tsv").read_text("utf-8").splitlines()) == 1 + len(lines)
    assert not [name for name in os.listdir(str(tmp_path)) if name.startswith(".")]


@pytest.mark.parametrize("content", ["{", "[]", '{"done": 1}', '{"done": "x"}'])
def test_damaged_progress_is_named(model, tmp_path, content):
    write_texts(tmp_path)
    (tmp_path / "train_aug.tsv.progress.json").write_text(content)
    with pytest.raises(UserError, match="train_aug.tsv.progress.json: .*: remove it to start"):
        run(model, tmp_path)


def test_a_corpus_is_not_cut_into_words_for_nothing(model, tmp_path, monkeypatch):
    """Regression: a wrong model or missing gensim was found only after segmenting the corpus."""
    write_texts(tmp_path)
    (tmp_path / "corpus.txt").write_text("今天天气很好\n" * 9, "utf-8")
    cut, segmenter = [], word_segmentation.make_segmenter("jieba", None)

    class Noting:
        FREQ = segmenter.__self__.FREQ

        def cut(self, text):
            cut.append(text)
            return segmenter(text)

    monkeypatch.setattr(word_segmentation, "make_segmenter", lambda *_: Noting().cut)
    given = {"vectors_corpus": str(tmp_path / "corpus.txt")}
    with pytest.raises(UserError, match="--pretrained_bert_model: no checkpoint nope"):
        run("nope", tmp_path, **given)
    monkeypatch.setitem(sys.modules, "gensim.models", None)
    with pytest.raises(UserError, match="--vectors_corpus needs the package gensim"):
        run(model, tmp_path, **given)
    assert not cut


@pytest.mark.slow
def test_other_word_vectors_start_again(model, tmp_path, monkeypatch):
    """The rows of two vector files do not mix, even if both files have the same name."""
    write_texts(tmp_path, "train.csv", ",")
    vectors, seen = tmp_path / "vectors.txt", []
    fingerprint = data_augmentation._fingerprint
    monkeypatch.setattr(
        data_augmentation, "_fingerprint", lambda *rest: seen.append(fingerprint(*rest)) or seen[-1]
    )
    for numbers in ("1 0", "0 1"):
        vectors.write_text("今天 %s\n明天 1 1\n" % numbers, "utf-8")
        run(model, tmp_path, glove_embs=vectors)
    assert seen[0] != seen[1]


def test_pairs_and_json(model, tmp_path):
    rows = [{"a": a, "sentence1": a, "sentence2": b, "label": "0"} for a, b in PAIRS]
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (tmp_path / "train.json").write_text(text, "utf-8")
    run(model, tmp_path, task_name="afqmc")
    lines = (tmp_path / "train_aug.json").read_text("utf-8").splitlines()
    made = [json.loads(line) for line in lines]
    assert len(made) > len(PAIRS)
    for row in made:
        texts = (row["sentence1"], row["sentence2"])
        if row["a"].startswith("今天"):  # these two texts have only 天气 in common
            assert texts[0][2:4] == texts[1][2:4] and (texts[0][:2], texts[1][:2]) == (
                "今天",
                "明天",
            )


def test_tasks_whose_texts_are_put_together_are_refused(model, tmp_path):
    with pytest.raises(UserError, match="--task_name=csl: its texts are assembled from several"):
        run(model, tmp_path, task_name="csl")


def test_the_text_is_in_the_column_that_flags_name(model, tmp_path):
    """Regression: another column was changed, so that training saw each row many times."""
    lines = ["编号,标题,正文,类别"] + [
        "%d,今天天气,%s,%d" % (i, t, i % 2) for i, t in enumerate(TEXTS)
    ]
    (tmp_path / "train.csv").write_text("\n".join(lines) + "\n", "utf-8")
    columns = {"text_column": "正文", "label_column": "类别"}
    run(model, tmp_path, **columns)
    rows = [row.split(",") for row in (tmp_path / "train_aug.csv").read_text("utf-8").splitlines()]
    assert {row[1] for row in rows[1:]} == {"今天天气"}
    assert len({row[2] for row in rows[1:]}) > len(set(TEXTS))
    made_of = json.loads((tmp_path / "train_aug.made_of.json").read_text("utf-8"))
    assert made_of["columns"] == {"text_a": "正文", "label": "类别"}


def test_numbers_of_json_are_texts(model, tmp_path):
    rows = [{"text": text, "label": "a"} for text in (20201128, *TEXTS)]
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (tmp_path / "train.json").write_text(text, "utf-8")
    run(model, tmp_path)
    made = (tmp_path / "train_aug.json").read_text("utf-8").splitlines()
    assert '{"text": "20201128", "label": "a"}' in made


@pytest.mark.parametrize("form", ["tsv", "json"])
def test_slots_are_refused(model, tmp_path, form):
    """The positions of slots would be wrong in texts with other words."""
    row = {"text": "我们明天去银行", "label": "a", "slots": "5-7:place"}
    line = "\t".join(row.values()) if form == "tsv" else json.dumps(row, ensure_ascii=False)
    header = ["\t".join(row)] if form == "tsv" else []
    (tmp_path / ("train." + form)).write_text("\n".join(header + [line] * 4) + "\n", "utf-8")
    with pytest.raises(UserError, match="its column slots has positions .*: remove it, and train"):
        run(model, tmp_path)


def test_rows_are_in_the_encoding_of_the_training_file(model, tmp_path):
    write_texts(tmp_path)
    text = (tmp_path / "train.tsv").read_text("utf-8")
    (tmp_path / "train.tsv").write_bytes(text.encode("gb18030"))
    run(model, tmp_path, encoding="gb18030")
    rows = (tmp_path / "train_aug.tsv").read_text("gb18030").splitlines()
    assert set(text.splitlines()) <= set(rows) and len(rows) > 2 * len(TEXTS)


def test_bad_rows_are_left_out_if_asked_for_and_a_header_is_none(model, tmp_path, capsys):
    write_texts(tmp_path)
    lines = (tmp_path / "train.tsv").read_text("utf-8").splitlines()
    lines[0] = " text \t label"
    lines.insert(3, "一行没有标签")
    (tmp_path / "train.tsv").write_text("\n".join(lines) + "\n", "utf-8")
    with pytest.raises(UserError, match="1 of 13 rows are invalid: line 4.*--skip_bad_rows=true"):
        run(model, tmp_path)
    run(model, tmp_path, skip_bad_rows="true")
    assert "skipped 1 of 13 rows: line 4" in capsys.readouterr().out
    header, *rows = (tmp_path / "train_aug.tsv").read_text("utf-8").splitlines()
    assert header.split() == ["text", "label"] and all(row[-2:] in ("\t0", "\t1") for row in rows)
    assert "| rows | 12 |" in (tmp_path / "train_aug.report.md").read_text("utf-8")
    origins = (tmp_path / "train_aug.rows.tsv").read_text("utf-8").splitlines()[1:]
    assert {int(line.split("\t")[1]) for line in origins} == {2, 3, *range(5, 15)}


@pytest.mark.parametrize("name", ["train.tsv", "dev.tsv"])
def test_files_of_the_data_are_not_written_over(model, tmp_path, name):
    write_texts(tmp_path)
    write_texts(tmp_path, "dev.tsv")
    former = (tmp_path / name).read_bytes()
    with pytest.raises(UserError, match=r"--output_file=.*%s.*--data_dir" % name):
        run(model, tmp_path, output_file=str(tmp_path / name))
    assert (tmp_path / name).read_bytes() == former


@pytest.mark.parametrize(
    "longest, way_out",
    [
        (16, "a text of more than 6 tokens, .* twice in 16 tokens: give a larger --max_seq_length"),
        (
            12,
            "a text of more than 4 tokens, .* twice in 12 tokens: the model does not support "
            "longer rows",
        ),
    ],
)
def test_long_texts_are_counted(longest, way_out):
    report = data_augmentation._Report()
    for is_too_long in (True, False, True):
        made = Augmented([], {"银行": ["时间"]}, is_too_long)
        report.add(Example(0, "银行", None), made)
    assert "| rows with a text too long for masked LM | 2 |" in report.markdown()
    with small_models.command_flags(data_augmentation, ["--max_seq_length=16"]):
        note = data_augmentation._note_on_long_texts(report.state["too long"], longest)
    assert re.match("2 rows have " + way_out, note)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"pretrained_bert_model": None}, "--pretrained_bert_model is required"),
        ({"data_dir": None}, "expected --data_dir"),
        ({"N": 0}, "--N=0: expected at least 1"),
        ({"p": 1.5}, "--p=1.5: expected a share from 0 to 1"),
        ({"seed": -1}, "^--seed: -1 is out of range, expected 0 to "),
        ({"task_name": "ner"}, "--task_name=ner: a data set of the kind"),
        ({"output_file": "x.json"}, "--output_file=x.json: expected the ending of"),
        ({"pretrained_bert_model": "nope"}, "^--pretrained_bert_model: no checkpoint nope"),
        ({"glove_embs": "nope"}, "^--glove_embs: nope: cannot be read"),
        ({"vectors_corpus": "nope"}, "^--vectors_corpus: nope: cannot be read"),
        ({"user_dict": "nope"}, "^--user_dict: nope: cannot be read"),
    ],
)
def test_flags_that_make_no_sense(model, tmp_path, changes, message):
    write_texts(tmp_path)
    with pytest.raises(UserError, match=message) as caught:
        run(model, tmp_path, **changes)
    assert "\n" not in str(caught.value)
