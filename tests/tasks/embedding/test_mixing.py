"""Mixed training files: their groups, scores, negatives and vectors of a teacher."""

import os
import types

import numpy as np
import pytest

from albert_zh.common.errors import UserError
from albert_zh.finetuning import flags as finetuning_flags
from albert_zh.tasks import datasets, registry
from albert_zh.tasks.embedding import groups, mixing, text_files, training_rows
from albert_zh.tasks.embedding.flags import OBJECTIVES
from project_root import ROOT


@pytest.fixture(name="read")
def read_fixture(tmp_path):
    """Fixture: a function (name, text, format) that writes a file and returns its split."""

    def read(name, text, data_format):
        (tmp_path / name).write_text(text, encoding="utf-8")
        return text_files.read_split(str(tmp_path / name), "train", data_format)

    return read


def options(**values):
    usual = {
        "teacher_vectors": None,
        "encoding": "utf-8",
        "seed": 1,
        "width": None,
        "matryoshka": None,
        "projection_width": None,
    }
    given = {
        name: types.SimpleNamespace(value=value) for name, value in dict(usual, **values).items()
    }

    class Options(dict):
        def __getattr__(self, name):
            return self[name].value

    return Options(given)


def with_further(split, *given, data_format="positives"):
    return split._replace(further=mixing.further_files(given, data_format, "utf-8", False))


def head_of(loss, split, *further):
    head = training_rows.head_of_file(split, {"loss": loss}, OBJECTIVES[loss])
    return training_rows.head_of_files(split, further, head, OBJECTIVES[loss])


def assert_refused(message, function, *arguments):
    with pytest.raises(UserError, match=message) as error:
        function(*arguments)
    assert "\n" not in str(error.value)


def test_rows_of_all_files_have_common_groups(read):
    first = read("a.tsv", "甲\t开户\t天气\n乙\t销户\t开户\n丙\t改密\t其他\n", "positives")
    second = read("b.tsv", "丁\t天气\t戊\n甲\t开户\t丙\n己\t 开户。\t丁\n", "positives")
    assert [e.negative_groups for e in first.examples] == [(groups.NO_GROUP,), (0,), (-1,)]
    given = with_further(first, second.path + ":2")
    mixed = mixing.training_split(given, options(), 8)[0].examples
    a, b, c, d = 0, 1, 2, 3
    of_second = [(d, (-1,)), (a, (c,)), (a, (d,))]
    assert [(e.group, e.negative_groups) for e in mixed] == [
        (a, (d,)),  # 天气 is a positive in the second file
        (b, (a,)),
        (c, (-1,)),
    ] + of_second * 2


def test_a_group_stays_where_rows_that_linked_it_are_set_aside(read):
    first = read("a.tsv", "甲\t开户\t天气\n乙\t开户\t戊\n乙\t开卡\t丁\n丙\t天气\t甲\n", "positives")
    kept = [first.examples[index] for index in (0, 2)]
    second = read("b.tsv", "丁\t改密\t乙\n", "positives")
    found = groups.of_files([kept, second.examples])
    assert [[(e.group, e.negative_groups) for e in file] for file in found] == [
        [(0, (-1,)), (0, (1,))],
        [(1, (0,))],
    ]


def test_scores_of_each_file_are_of_its_own_scale(read):
    first = read("a.tsv", "甲\t乙\t0\n丙\t丁\t1\n", "scored")
    second = read("b.tsv", "甲\t丁\t0\n丙\t乙\t2.5\n戊\t己\t5\n丁\t丙\t5\n", "scored")
    given = with_further(first, second.path + ":1", data_format="scored")
    mixed = mixing.training_split(given, options(), 8)[0].examples
    assert sorted((e.label, e.target) for e in mixed) == [
        (0.0, 0.0),
        (0.0, 0.0),
        (1.0, 1.0),
        (2.5, 0.5),
        (5.0, 1.0),
        (5.0, 1.0),
    ]
    by_text = {(e.text_a, e.text_b): e.group for e in mixed}
    assert by_text["丙", "丁"] == by_text["丁", "丙"]  # each has the highest score of its file
    assert by_text["丙", "乙"] != by_text["丙", "丁"]
    assert head_of("cosine", first, second)["classes"] == []
    equal = read("c.tsv", "甲\t丁\t1\n丙\t乙\t1\n", "scored")
    assert_refused("c.tsv: all 2 rows have the label 1", head_of, "cosent", first, equal)
    one = read("d.tsv", "甲\t丁\t1\n", "scored")
    assert_refused("d.tsv: its only row has the label 1, from which", head_of, "cosent", first, one)


def test_classes_are_the_labels_in_their_order(read):
    first = read("a.tsv", "甲\t乙\t1e9\n丙\t丁\t-1\n甲\t丁\t1\n", "scored")
    second = read("b.tsv", "甲\t乙\t1\n丙\t丁\t1e9\n甲\t丁\t-1\n", "scored")
    assert head_of("softmax", first, second)["classes"] == [-1.0, 1.0, 1e9]
    third = read("c.tsv", "甲\t乙\t1\n丙\t丁\t0\n", "scored")
    message = r"c.tsv and \S+a.tsv have different labels \(only in one of them: -1, 0, 1000000000\)"
    assert_refused(message, head_of, "softmax", first, third)
    fractions = read("d.tsv", "甲\t乙\t1\n丙\t丁\t0.5\n", "scored")
    assert_refused("d.tsv: the label 0.5 is not a class", head_of, "softmax", fractions)
    many = read("e.tsv", "".join("甲\t乙\t%d\n" % n for n in range(101)), "scored")
    assert_refused("e.tsv: 101 different labels, expected at most 100", head_of, "softmax", many)


def test_files_with_and_without_negatives_do_not_mix(read):
    without = read("a.tsv", "甲\t乙\n丙\t丁\n", "positives")
    one = read("b.tsv", "甲\t乙\t戊\n丙\t丁\t戊\n", "positives")
    three = read("c.tsv", "甲\t乙\t戊\t己\t庚\n", "positives")
    assert head_of("infonce", three)["num_negatives"] == 3
    assert head_of("infonce", three, one)["num_negatives"] == 1
    for files in ((without, one), (one, without)):
        message = r"the rows of \S+b.tsv have negatives \(third column\), those of \S+a.tsv do not"
        assert_refused(message, head_of, "infonce", *files)


@pytest.mark.parametrize("loss", ["four_blocks", "simbert"])
def test_losses_of_the_batchs_texts_take_no_wrong_texts(read, loss):
    some = read("a.tsv", "甲\t乙\t戊\n丙\t丁\n", "positives")
    one = read("b.tsv", "甲\t乙\t戊\n丙\t丁\t戊\n", "positives")
    assert head_of(loss, one)["num_negatives"] == 0
    assert head_of(loss, some, one)["num_negatives"] == 0
    assert_refused("some rows have negatives", head_of, "infonce", some)


def test_weights_that_take_no_row_are_refused(read):
    split = read("a.tsv", "甲\t乙\n丙\t丁\n", "positives")
    mixed = mixing.training_split(with_further(split, split.path + ":0.5"), options(), 8)[0]
    assert len(mixed.examples) == 3
    for weight in ("inf", "nan"):
        message = "expected FILE:WEIGHT, a weight above 0 that is finite"
        assert_refused(message, with_further, split, split.path + ":" + weight)
    few = with_further(split, split.path + ":1e-9")
    message = "uses none of its 2 rows: expected a weight of 0.5 or more"
    assert_refused(message, mixing.training_split, few, options(), 8)


@pytest.mark.parametrize(
    "vectors, given, message",
    [
        (np.ones([2, 5]), {}, "of width 5, the model's have 8: add --projection_width=5$"),
        (np.ones([2, 5]), {"width": 8}, "add --projection_width=5 and leave out --width$"),
        (np.ones([2, 5]), {"width": 8, "projection_width": 5}, "have 8: leave out --width$"),
        (np.array([[1] * 8, [np.nan] * 8]), {}, "the vector of line 2 has values that are no fin"),
        (np.full([2, 8], np.inf), {}, "the vector of line 1 has values that are no finite"),
        (np.full([2, 8], "a"), {}, r"shape \[2, 8\] and type <U1, expected numbers"),
        (np.ones([1, 8]), {}, "a row for each of the 2 lines"),
        (np.ones([3, 8]), {}, "a row for each of the 2 lines"),
    ],
)
def test_teachers_vectors_that_do_not_fit_are_refused(read, tmp_path, vectors, given, message):
    split = read("a.txt", "甲\n乙\n", "texts")
    path = str(tmp_path / "teacher.npy")
    np.save(path, vectors)
    given = options(teacher_vectors=path, **given)
    assert_refused(message, mixing.training_split, split, given, 8)


def test_files_that_are_no_array_of_numbers_are_refused(read, tmp_path):
    """Regression: some of these files once ended in a traceback."""
    split = read("a.txt", "甲\n乙\n", "texts")
    np.save(str(tmp_path / "whole.npy"), np.ones([2, 8]))
    np.savez(str(tmp_path / "several.npz"), a=np.ones([2, 8]))
    whole = (tmp_path / "whole.npy").read_bytes()
    contents = {
        "empty.npy": b"",
        "cut.npy": whole[:-8],
        "head.npy": whole.replace(b"'shape'", b"(shape'"),
        "text.npy": "甲\n".encode(),
        "damaged.npz": b"PK\x03\x04garbage",
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    for name in [*contents, "several.npz"]:
        given = options(teacher_vectors=str(tmp_path / name))
        message = "--teacher_vectors=.*%s: no .npy file of numbers, as numpy.save writes it" % name
        assert_refused(message, mixing.training_split, split, given, 8)
    given = options(teacher_vectors=str(tmp_path / "whole.npy"))
    rows = mixing.training_split(split, given, 8)[0].examples
    assert [row.teacher for row in rows] == [(1.0,) * 8] * 2


def test_rows_with_more_wrong_texts_than_others_are_counted(read):
    equal = read("a.tsv", "甲\t乙\t丙\n丁\t戊\t己\n", "positives")
    more = read("b.tsv", "庚\t辛\t壬\t癸\n", "positives")
    assert training_rows.notes_of_cut_rows([equal]) == []
    (note,) = training_rows.notes_of_cut_rows([equal, more])
    assert note.startswith("1 row has more negatives") and note.endswith("only the first is used")


def test_triplets_are_what_is_trained_on(read, monkeypatch):
    split = read("a.tsv", "甲\t乙\t丙\t丁\n戊\t己\t庚\t辛\n", "positives")
    kind = registry.get("sentence_retrieval")
    monkeypatch.setattr(kind.flags, "head", lambda given: {"width": 8, "widths": []})
    counts = [
        len(kind.training_split(split, options(objective=name))[0].examples)
        for name in ("triplet", "infonce")
    ]
    assert counts == [4, 2]


def test_rows_of_one_group_alone_are_refused(read):
    def check(split, name):
        training_rows.check_groups(split, name, OBJECTIVES[name])

    split = read("a.tsv", "甲\t开户\n乙\t开户\n丙\t开户。\n", "positives")
    for name in ("infonce", "four_blocks", "simbert"):
        assert_refused(
            "a.tsv: all 3 rows share texts and are therefore positives of each other",
            check,
            split,
            name,
        )
    assert_refused("all 2 rows share", check, read("b.txt", "甲\n甲。\n", "texts"), "simcse")
    check(read("c.tsv", "甲\t开户\n乙\t销户\n", "positives"), "infonce")
    check(read("d.tsv", "甲\t开户\t丁\n乙\t开户\t丁\n", "positives"), "infonce")
    check(read("e.tsv", "甲\t乙\t1\n甲\t丙\t1\n", "scored"), "cosent")


def test_each_file_is_read_once(read, monkeypatch):
    """All stages of a run that use the training rows together read each file once."""
    first = read("a.tsv", "甲\t乙\t戊\t己\n丙\t丁\t戊\t己\n", "positives")
    second = read("b.tsv", "庚\t辛\t戊\n", "positives")
    kind, given = registry.get("sentence_retrieval"), [second.path + ":2"]
    head = {"loss": "infonce", "more_train": given}
    task = datasets.get_task("sentences")._replace(head=head, files={"train": first.path})
    was_read, read_split = [], text_files.read_split
    monkeypatch.setattr(
        text_files,
        "read_split",
        lambda path, *rest: was_read.append(path) or read_split(path, *rest),
    )
    options = finetuning_flags.of_settings(
        "sentence_embedding",
        objective="infonce",
        more_train=given,
        bert_config_file=os.path.join(ROOT, "albert_config", "albert_config_tiny.json"),
    )
    split = kind.read_split(task, os.curdir, "train", "utf-8", False)
    task = kind.with_labels(task, split)
    settings = kind.settings_of_data(kind.settings(options, {}), task, split, options)
    assert settings.head["num_negatives"] == 1
    mixed, changes = kind.training_split(split, options)
    assert [example.text_a for example in mixed.examples] == ["甲", "丙", "庚", "庚"]
    assert changes == {"more_train " + second.path: [second.sha256, 2.0]}
    assert was_read == [first.path, second.path]
