"""The data of one run: which rows are dev, and what they are measured on."""

import types

import pytest

from albert_zh.common.errors import UserError
from albert_zh.tasks import counted_rows, run_data


def data_of(folder, kind, task_name, head, **changes):
    """`TaskData` of the files in a folder."""
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


EMBEDDING = {"more_train": (), "corpus": None, "dev_format": "positives"}


@pytest.mark.parametrize("objective", ["infonce", "triplet"])
def test_rows_set_aside_search_what_a_dev_file_does(tmp_path, objective):
    """Recall was that of a search among the rows' entries alone."""
    rows = ["问%d\t条目%d\t错%d" % (n, n, n) for n in range(20)]
    write(tmp_path / "corpus.txt", ["另外%d" % n for n in range(5)])
    for name, lines in (("train", rows), ("dev", rows[:4])):
        write(tmp_path / (name + ".tsv"), lines)
    head = dict(EMBEDDING, loss=objective)
    arguments = (tmp_path, "sentence_retrieval", "sentences", head)
    of_file = data_of(*arguments).splits["dev"]
    (tmp_path / "dev.tsv").unlink()
    aside = data_of(*arguments).splits["dev"]
    size = "4 rows, 13 entries to find"  # 4 right ones, their 4 wrong ones, 5 of the corpus
    assert counted_rows.size_in_words(of_file) == counted_rows.size_in_words(aside) == size
    assert aside.notes[1:] == of_file.notes and aside.notes[0].startswith("no dev file: 4 of")
    texts = {example.text_a for example in aside.examples if example.is_entry}
    wrong = {text for example in aside.examples for text in example.negatives}
    assert texts == wrong | {"另外%d" % n for n in range(5)} and len(wrong) == 4


def test_labelled_pairs_set_aside_are_no_positives(tmp_path):
    """Those of the label 0 counted as right answers."""
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
    """Of most kinds val.txt was left aside without a word, and rows of train were dev."""
    lines = [line % (n, n % 2) for n in range(4)]
    write(tmp_path / ("train" + ending), lines)
    write(tmp_path / (name + ending), lines[2:])
    dev = data_of(tmp_path, kind, task_name, head, label_separator="|").splits["dev"]
    assert dev.path == str(tmp_path / (name + ending)) and len(dev.examples) == 2
