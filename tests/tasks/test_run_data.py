"""The data of a run: which rows become the dev set, and what they are scored against."""

import json
import os
import types

import pytest

from albert_zh.common.errors import UserError
from albert_zh.tasks import counted_rows, datasets, run_data
from albert_zh.tasks.tables import split_files


def data_of(folder, kind, task_name, head, **changes):
    """Returns the `TaskData` of the files in a folder."""
    values = {
        "data_dir": str(folder),
        "task_name": task_name,
        "head": head,
        "encoding": "utf-8",
        "skip_bad_rows": False,
        "do_train": True,
        "do_eval": True,
        "do_predict": False,
        "dev_split": "groups",
        "dev_share": 0.2,
        "seed": 1,
        "chosen_columns": {},
        "use_tpu": False,
    }
    return run_data.TaskData(types.SimpleNamespace(**dict(values, **changes)), kind, (None, {}))


def write(path, lines):
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")


SPLITS = ("train", "dev", "test")
EMBEDDING = {"more_train": (), "corpus": None, "dev_format": "positives"}


@pytest.mark.parametrize("objective", ["infonce", "triplet"])
def test_rows_set_aside_search_what_a_dev_file_does(tmp_path, objective):
    """Regression: rows set aside once searched neither the corpus nor their negatives."""
    rows = ["问%d\t条目%d\t错%d" % (n, n, n) for n in range(20)]
    write(tmp_path / "corpus.txt", ["另外%d" % n for n in range(5)])
    for name, lines in (("train", rows), ("dev", rows[:4])):
        write(tmp_path / (name + ".tsv"), lines)
    head = dict(EMBEDDING, loss=objective)
    arguments = (tmp_path, "sentence_retrieval", "sentences", head)
    of_file = data_of(*arguments).splits["dev"]
    (tmp_path / "dev.tsv").unlink()
    aside = data_of(*arguments).splits["dev"]
    size = "4 rows, 13 entries to find"  # 4 positives, their 4 negatives, 5 of the corpus
    assert counted_rows.size_in_words(of_file) == counted_rows.size_in_words(aside) == size
    assert aside.notes[1:] == of_file.notes and aside.notes[0].startswith("no dev file: 4 of")
    texts = {example.text_a for example in aside.examples if example.is_entry}
    wrong = {text for example in aside.examples for text in example.negatives}
    assert texts == wrong | {"另外%d" % n for n in range(5)} and len(wrong) == 4


def test_labelled_pairs_set_aside_are_no_positives(tmp_path):
    """Regression: pairs labelled 0 were once counted as positives."""
    write(tmp_path / "train.tsv", ["问%d\t条目%d\t%d" % (n, n, n % 2) for n in range(20)])
    head = dict(EMBEDDING, loss="cosent")
    with pytest.raises(UserError, match="train.tsv has labelled pairs, .* leave out --dev_format$"):
        data_of(tmp_path, "sentence_retrieval", "sentences", head)
    write(tmp_path / "dev.tsv", ["甲\t乙"])
    assert len(data_of(tmp_path, "sentence_retrieval", "sentences", head).splits["dev"].examples)
    (tmp_path / "dev.tsv").unlink()
    aside = data_of(tmp_path, "sentence_embedding", "sentences", dict(head, dev_format="scored"))
    assert {example.label for example in aside.splits["dev"].examples} == {0.0, 1.0}


@pytest.mark.parametrize("name", ["dev", "valid", "val", "validation"])
@pytest.mark.parametrize(
    "task_name, kind, head, ending, line",
    [
        ("multiclass", "single_label", {}, ".csv", "甲%d,%d"),
        ("ner", "sequence_labelling", {"form": "crf"}, ".txt", "甲 B-x\n%d B-%d\n"),
        ("questions", "reading_comprehension", {}, ".tsv", "甲%d\t谁%d\t甲"),
        ("seq2seq", "generation", {}, ".tsv", "甲%d\t乙%d"),
        ("sentences", "sentence_retrieval", dict(EMBEDDING, loss="infonce"), ".tsv", "甲%d\t乙%d"),
    ],
)
def test_usual_names_of_dev_files_of_every_kind(
    tmp_path, name, task_name, kind, head, ending, line
):
    """Regression: most kinds ignored val.txt without a note and set aside rows of train for dev."""
    lines = [line % (n, n % 2) for n in range(4)]
    write(tmp_path / ("train" + ending), lines)
    write(tmp_path / (name + ending), lines[2:])
    dev = data_of(tmp_path, kind, task_name, head, label_separator="|").splits["dev"]
    assert dev.path == str(tmp_path / (name + ending)) and len(dev.examples) == 2


def _question(number):
    answers = [{"text": "北京", "answer_start": 0}]
    asked = [{"id": "%d" % number, "question": "首都在哪%d" % number, "answers": answers}]
    paragraphs = [{"context": "北京是首都，%d。" % number, "qas": asked}]
    return {"data": [{"paragraphs": paragraphs}]}


@pytest.mark.parametrize(
    "task_name, names",
    [
        (
            "questions",
            ["cmrc2018_train.json", "data_cmrc2018_dev.json", "data_cmrc2018_trial.json"],
        ),
        ("questions", ["new_cmrc2018_train.json", "new_cmrc2018_dev.json", None]),
        ("questions", ["train-v2.0.json", "dev-v2.0.json", None]),
        ("questions", ["train-zen-v1.0.json", "dev-zen-v1.0.json", None]),
        ("multiclass", ["cnews.train.txt", "cnews.val.txt", "cnews.test.txt"]),
        ("multiclass", ["translated_train.tsv", "dev_2k.tsv", "test_2k.tsv"]),
        ("multiclass", ["Train.csv", "Dev.csv", "Test.csv"]),
        ("multiclass", ["train.50k.txt", "dev.txt", "test.txt"]),
        ("ner", ["msra_train_bio.txt", "msra_dev_bio.txt", "msra_test_bio.txt"]),
        ("ner", ["train.all.bmes", "dev.all.bmes", "test.all.bmes"]),
        ("ner", ["train_data", "val_data", "test_data"]),
        ("ner", ["pku_training.utf8", "pku_dev.utf8", "pku_test.utf8"]),
        ("multiclass", ["my.Train_clean.csv", "my.Val_clean.csv", None]),
        ("ner", ["weiboNER_2nd_conll.train", "weiboNER_2nd_conll.dev", "weiboNER_2nd_conll.test"]),
    ],
)
def test_names_of_public_data_sets(tmp_path, task_name, names):
    """Regression: data_cmrc2018_dev.json was not found, and the other folders were refused."""
    kinds = {"questions": "reading_comprehension", "ner": "sequence_labelling"}
    for number, name in enumerate(names):
        if name and task_name == "questions":
            (tmp_path / name).write_text(json.dumps(_question(number)), encoding="utf-8")
        elif name:
            rows = {"multiclass": "甲%d%s1", "ner": "甲%d%sB-LOC"}[task_name]
            line = rows % (number, "," if name.endswith(".csv") else "\t")
            other = line.replace("1" if task_name == "multiclass" else "甲", "0")
            write(tmp_path / name, [line, other, ""])
    data = data_of(
        tmp_path,
        kinds.get(task_name, "single_label"),
        task_name,
        {"form": "crf"} if task_name == "ner" else {},
        label_separator="|",
        do_predict=True,
    )
    found = [data.splits[name].path if name in data.splits else None for name in SPLITS]
    assert found == [name and str(tmp_path / name) for name in names]


@pytest.mark.parametrize(
    "names, train, left_aside",
    [
        (["train.1k.tsv", "train.30k.tsv", "train.50k.tsv", "train.3k.tsv"], "train.50k.tsv", 3),
        (["my_train.tsv", "train_a.tsv", "test_a.tsv"], "my_train.tsv", 0),
        (["train_a.tsv", "test_a.tsv", "train_b.tsv", "test_c.tsv"], "train_a.tsv", 0),
        (["train_a.tsv", "test_a.tsv", "train_b.tsv", "test_b.tsv"], None, None),
        (["train_a.tsv", "test_b.tsv"], None, None),
        (["train_a.npy", "test_a.npy"], None, None),
        (["constraint_a.tsv", "test_a.tsv"], None, None),
        (["train_predictions.tsv", "test_predictions.tsv"], None, None),
    ],
)
def test_names_whose_splits_are_not_clear_are_no_files(tmp_path, names, train, left_aside):
    for name in names:
        write(tmp_path / name, ["甲%d\t%d" % (n, n % 2) for n in range(4)])
    task = datasets.get_task("multiclass")
    path, others = split_files.split_path(task, str(tmp_path), "train")
    assert (path and os.path.basename(path)) == train
    assert train is None or len(others) == left_aside
    if train in (None, "my_train.tsv"):
        assert split_files.split_path(task, str(tmp_path), "test") == (None, [])


def test_plain_names_come_before_those_with_a_data_set(tmp_path):
    """Files of predictions, hidden files and folders are not taken for data files."""
    lines = ["甲%d\t%d" % (n, n % 2) for n in range(4)]
    for name in ("train.txt", "my_train.txt", ".old_dev.txt", "label_test.txt", "no_dev_rows.txt"):
        write(tmp_path / name, lines)
    (tmp_path / "old_test.txt").mkdir()
    data = data_of(tmp_path, "single_label", "multiclass", {}, label_separator="|", do_predict=True)
    assert {split.path for split in data.splits.values()} == {str(tmp_path / "train.txt")}
    assert set(data.splits) == {"train", "dev"}


@pytest.mark.parametrize("edition", ["few_all", "0"])
def test_names_of_fewclue_are_those_of_own_data(tmp_path, edition):
    """Regression: FewCLUE's OCNLI, BUSTM, EPRSTMT and CSLDCP were refused for their file names."""
    names = ["train_%s.json" % edition, "dev_%s.json" % edition, "test_public.json"]
    for name in names:
        pairs = [("%s甲" % name, "乙", "1"), ("%s丙" % name, "丁", "0")]
        records = [dict(zip(("sentence1", "sentence2", "label"), pair)) for pair in pairs]
        write(tmp_path / name, map(json.dumps, records))
    options = {"label_separator": "|", "do_predict": True}
    data = data_of(tmp_path, "single_label", "multiclass", {}, **options)
    read = {split.path: [e[1:4] for e in split.examples] for split in data.splits.values()}
    assert read == {
        str(tmp_path / name): [(name + "甲", "乙", "1"), (name + "丙", "丁", "0")] for name in names
    }


@pytest.mark.parametrize(
    "name", ["dev.all.bmes", "me_validation.ann.json", "dev.csv.gz", "Val1.csv"]
)
def test_files_that_could_be_dev_are_named_where_rows_are_set_aside(tmp_path, name):
    """Regression: such files were once ignored without a note."""
    for file in ("train.csv", name, "dev_predictions.json", "invalid.csv"):
        write(tmp_path / file, ["甲%d,%d" % (n, n % 2) for n in range(9)])
    dev = data_of(tmp_path, "single_label", "multiclass", {}, label_separator="|").splits["dev"]
    about = "%s is not read: if it is the dev file, name it dev.csv" % name
    assert dev.path == str(tmp_path / "train.csv") and dev.notes[1:] == [about]
