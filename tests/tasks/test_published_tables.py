"""Tables in the forms of published data sets: nested keys, scores of pairs, many label columns."""

import json

import pytest

from albert_zh.common.errors import UserError
from albert_zh.tasks import data_checks, datasets, reader
from albert_zh.tasks.tables import own_labels

CRIMES = ["盗窃", "诈骗"]


def task_of(objective="single_label", **chosen):
    return datasets.get_task("multiclass")._replace(objective=objective, chosen=chosen)


def read(tmp_path, name, content, task=None, split="train"):
    (tmp_path / name).write_text(content, encoding="utf-8")
    return reader.read_split(task or task_of(), str(tmp_path), split)


def lines(records):
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


def cells(split):
    return [(e.text_a, e.text_b, e.label) for e in split.examples]


def accusations(count=4):
    return [
        {
            "fact": "经审理查明%d" % n,
            "meta": {"accusation": [CRIMES[n % 2]], "term": {"death": False}},
        }
        for n in range(count)
    ]


def test_keys_of_inner_objects_are_named_with_dots(tmp_path):
    """Regression: such keys could not be named, and the error listed the outer keys only."""
    content = lines(accusations())
    with pytest.raises(UserError) as raised:
        read(tmp_path, "train.json", content)
    assert "has the keys fact, meta.accusation, meta.term.death: " in str(raised.value)
    assert "--label_column=KEY" in str(raised.value)
    chosen = {"text_a": "fact", "label": "meta.accusation"}
    split = read(tmp_path, "train.json", content, task_of("multi_label", **chosen))
    assert cells(split) == [("经审理查明%d" % n, None, CRIMES[n % 2]) for n in range(4)]
    with pytest.raises(UserError, match="line 1: a list where a label is .*--multi_label=true"):
        read(tmp_path, "train.json", content, task_of(**chosen))
    with pytest.raises(UserError, match="--label_column=meta.crime: .* has no such column: it has"):
        read(tmp_path, "train.json", content, task_of(text_a="fact", label="meta.crime"))


def test_the_columns_of_training_are_found_in_a_test_file_with_inner_objects(tmp_path):
    chosen = {"text_a": "case.fact", "label": "meta.accusation"}
    records = [dict(record, case={"fact": record["fact"]}) for record in accusations()]
    task = task_of("multi_label", **chosen)
    train = read(tmp_path, "train.json", lines(records), task)
    task = own_labels.with_columns_and_labels(task, train)
    del records[0]["meta"]["accusation"]
    test = read(tmp_path, "test.json", lines(records), task, "test")
    assert [e.text_a for e in test.examples] == [record["fact"] for record in records]
    assert [e.label for e in test.examples][1:] == ["诈骗", "盗窃", "诈骗"]
    for record in records:
        del record["meta"]
    test = read(tmp_path, "test.json", lines(records), task, "test")
    assert not test.has_labels and test.examples[3].text_a == "经审理查明3"


@pytest.mark.parametrize("name", ["event_list.event_type", "event_list[].event_type"])
def test_the_objects_of_a_list_have_several_labels(tmp_path, name):
    events = [[], [{"event_type": "裁员"}], [{"event_type": "裁员"}, {"event_type": "上市"}]]
    records = [{"text": "新闻%d" % n, "event_list": of_text} for n, of_text in enumerate(events)]
    split = read(tmp_path, "train.json", lines(records), task_of("multi_label", label=name))
    assert [example.label for example in split.examples] == ["", "裁员", "裁员|上市"]


def test_a_number_for_each_class_is_no_list_of_labels(tmp_path):
    """Regression: such a list was once read as the labels 0 and 1, in every row."""
    records = [{"text": "评论%d" % n, "label": [0, n % 2, 0, 1]} for n in range(4)]
    for name, content in (
        ("train.json", lines(records)),
        ("train.csv", "text,label\n" + "".join('%s,"%s"\n' % (*r.values(),) for r in records)),
    ):
        task = task_of("multi_label")._replace(files={"train": name})
        with pytest.raises(UserError, match="the label 0, 0, 0, 1: is it a 0 or 1 for each class"):
            read(tmp_path, name, content, task)
    few = [{"text": "评论%d" % n, "label": [0, 1][: n % 2 + 1]} for n in range(4)]
    assert cells(
        read(
            tmp_path,
            "few.json",
            lines(few),
            task_of("multi_label")._replace(files={"train": "few.json"}),
        )
    )[1] == ("评论1", None, "0|1")


@pytest.mark.parametrize("label", ["label", "toxic"])
def test_a_label_beside_a_target_is_the_label(tmp_path, label):
    """Regression: ToxiCN's `target`, a list of 0 and 1, was once taken for the label."""
    rows = ['%d,话%d,"[0, 0, 1]",%d,2\n' % (n, n, n % 2) for n in range(4)]
    content = "index,content,target,%s,toxic_type\n" % label + "".join(rows)
    split = read(tmp_path, "train.csv", content)
    assert cells(split) == [("话%d" % n, None, str(n % 2)) for n in range(4)]


def checked(split, objective="single_label"):
    task = own_labels.with_columns_and_labels(task_of(objective), split)
    return data_checks.check(task, {"train": split})


@pytest.mark.parametrize("name", ["score", "similarity", "label"])
def test_whole_scores_of_pairs_are_noted(tmp_path, name):
    """Regression: integer scores of pairs were once taken for classes without a note."""
    rows = ["一句%d\t另一句%d\t%d\n" % (n, n, n % 6) for n in range(24)]
    split = read(tmp_path, "train.tsv", "sentence1\tsentence2\t%s\n" % name + "".join(rows))
    found, counts = checked(split)
    assert counts["scores_as_classes"] == 6
    (note,) = [line for line in found if "--regression=true" in line]
    assert note.startswith("note: the labels of these pairs are the numbers 0 to 5")
    assert "scores_as_classes" not in checked(split, "regression")[1]
    single = ["句子%d\t%d\n" % (n, n % 5 + 1) for n in range(24)]  # stars of single texts
    split = read(tmp_path, "train.tsv", "text\tstars\n" + "".join(single))
    assert "scores_as_classes" not in checked(split)[1]
    few = ["一句%d\t另一句%d\t%d\n" % (n, n, n % 3) for n in range(24)]
    assert "scores_as_classes" not in checked(read(tmp_path, "train.tsv", "".join(few)))[1]


def test_texts_that_are_numbers_are_noted(tmp_path):
    """The texts in cMedQA's lists of questions and answers, for instance, are ids."""
    rows = ["%d,%d\n" % (100 - n, n % 2) for n in range(6)]
    split = read(tmp_path, "train.csv", "text,label\n" + "".join(rows))
    assert split.notes[-1].startswith(
        "all texts are numbers: if they are ids, replace them with the texts"
    )
    split = read(tmp_path, "train.csv", "text,label\n" + "".join(rows) + "一,1\n")
    assert "numbers" not in split.notes[-1]


@pytest.mark.parametrize(
    "header, notes",
    [
        ("ID,Movie_Name_EN,Star,Comment", ["columns that are not used: ID, Movie_Name_EN"]),
        (",,Star,Comment", []),
    ],
)
def test_stars_of_reviews_are_labels(tmp_path, header, notes):
    """Regression: DMSC's stars were no labels, and pandas' unnamed index was noted as unused."""
    rows = ["%d,x,%d,影评%d\n" % (n, n % 5 + 1, n) for n in range(10)]
    split = read(tmp_path, "train.csv", header + "\n" + "".join(rows))
    assert cells(split)[4] == ("影评4", None, "5")
    assert split.notes[1:] == notes


@pytest.mark.parametrize("second", ["content", "reply", "答案"])
def test_the_note_on_a_second_text_has_the_flags(tmp_path, second):
    rows = ["标题%d,很长的正文%d,%s\n" % (n, n, "ab"[n % 2]) for n in range(4)]
    content = "title,%s,label\n" % second + "".join(rows)
    split = read(tmp_path, "train.csv", content)
    assert split.notes[-1] == (
        "columns that are not used: %s (to read both title and %s: --text_column=title "
        "--text_b_column=%s)" % ((second,) * 3)
    )
    both = read(tmp_path, "train.csv", content, task_of(text_a="title", text_b=second))
    assert cells(both)[0] == ("标题0", "很长的正文0", "a")


@pytest.mark.parametrize("names", ["sent0,sent1", "sentence0,sentence1", "text_0,text_1"])
def test_names_that_count_from_zero(tmp_path, names):
    """Regression: of sent0 and sent1 only the second was read, as the first text."""
    rows = ["甲%d,乙%d,%d\n" % (n, n, n % 2) for n in range(4)]
    split = read(tmp_path, "train.csv", names + ",label\n" + "".join(rows))
    assert cells(split)[1] == ("甲1", "乙1", "1")


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2)])
def test_a_text_that_is_the_label_is_a_warning(tmp_path, order):
    """Regression: a label's number was read as the second text, which gave perfect dev scores."""
    names = ["体育", "财经", "娱乐"]
    rows = [("新闻%d" % n, "%d" % (100 + n % 3), names[n % 3]) for n in range(12)]
    content = "".join("\t".join(row[at] for at in order) + "\n" for row in rows)
    found, counts = checked(read(tmp_path, "train.tsv", content))
    assert counts["labels_as_texts"] == 3
    (warning,) = [line for line in found if "restates the label" in line]
    column = "text_%s" % "ab"[order.index(1)]
    assert warning.startswith(
        "warning: %s of train only restates the label, such as '100'" % column
    )
    topics = [(text, names[n % 2], label) for n, (text, _, label) in enumerate(rows)]
    content = "".join("\t".join(row) + "\n" for row in topics)
    assert "labels_as_texts" not in checked(read(tmp_path, "train.tsv", content))[1]


def test_columns_of_classes_have_a_way_out(tmp_path):
    """Regression: the error listed the columns, but did not explain how to write several labels."""
    rows = ["话%d,%d,%d,1,9\n" % (n, n % 2, n % 3 == 0) for n in range(6)]
    with pytest.raises(UserError) as raised:
        read(tmp_path, "train.csv", "text,体育,财经,娱乐,赞\n" + "".join(rows))
    message = str(raised.value)
    assert "(体育, 财经 contain only 0 and 1: if they are classes" in message
    assert "--multi_label=true" in message and "\n" not in message


def test_the_way_out_of_many_columns_behind_an_id(tmp_path):
    """Regression: the error named columns 2, 3 and 4, whatever they contained."""
    rows = ["%d,1月%d日,用户,话%d,[],%d\n" % (4567 + n, n, n, n % 3 - 1) for n in range(8)]
    with pytest.raises(UserError, match="--text_column and --label_column: names in line 1, or"):
        read(tmp_path, "train.csv", "编码,时间,账号,说的话,图片,倾向\n" + "".join(rows))
    header = "微博id,微博发布时间,发布人账号,微博中文内容,微博图片,情感倾向\n"
    split = read(tmp_path, "train.csv", header + "".join(rows))
    assert cells(split)[2] == ("话2", None, "1")
