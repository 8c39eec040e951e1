"""Setting aside training rows for dev: labels keep their shares, no text is on both sides."""

import collections
import random
import string

import pytest

from albert_zh.tasks import datasets, dev_split
from albert_zh.tasks.input_examples import InputExample
from albert_zh.tasks.tables import text_groups

TASK = datasets.TASKS[datasets.OWN_DATA]._replace(labels=("a", "b"), columns=("text_a", "label"))
MULTI = TASK._replace(objective="multi_label")
PAIRS = datasets.TASKS["lcqmc"]


def examples_of(labels):
    return [InputExample("t-%d" % n, "x%d" % n, None, label) for n, label in enumerate(labels)]


def pairs_of(texts, seed=0):
    generator = random.Random(seed)
    return [
        InputExample("t-%d" % n, a, b, generator.choice("01")) for n, (a, b) in enumerate(texts)
    ]


def parted(task, examples, share, seed, method="groups"):
    """Returns (rows that stay in train, rows set aside)."""
    split = dev_split.set_aside(task, examples, share, seed, method)
    assert split.num_left_out == len(examples) - len(split.kept) - len(split.aside)
    return split.kept, split.aside


def texts_of(examples):
    return {text for example in examples for text in text_groups.texts_of_row(example)}


def test_a_stratified_split_is_a_function_of_the_seed():
    examples = examples_of("a" if n % 4 else "b" for n in range(100))
    kept, aside = parted(TASK, examples, 0.2, 1)
    assert collections.Counter(e.label for e in aside) == {"a": 15, "b": 5}
    assert sorted(kept + aside) == sorted(examples)
    assert (kept, aside) == parted(TASK, examples, 0.2, 1)
    assert aside != parted(TASK, examples, 0.2, 2)[1]
    kept, aside = parted(TASK, examples[:2], 0.1, 1)
    assert len(kept) == len(aside) == 1


def test_many_small_classes_give_a_split_of_the_share():
    examples = examples_of(["c%d" % (n % 119) for n in range(476)])
    kept, aside = parted(TASK, examples, 0.1, 1)
    assert len(aside) == 48 == len({e.label for e in aside})
    assert len({e.label for e in kept}) == 119
    examples = examples_of(["a"] * 1000 + ["b", "b", "c"])
    kept, aside = parted(TASK, examples, 0.5, 1)
    assert collections.Counter(e.label for e in aside) == {"a": 501, "b": 1}
    assert {e.label for e in kept} == {"a", "b", "c"}


def test_each_of_several_labels_has_its_share():
    generator = random.Random(3)
    names = ["t%d" % n for n in range(16)]
    rows = [generator.sample(names, generator.randint(3, 5)) for _ in range(1000)]
    examples = examples_of(["|".join(row) for row in rows])
    _, aside = parted(MULTI, examples, 0.1, 1)
    assert len(aside) == 100
    for name in names:
        count, num_aside = (sum(name in e.label.split("|") for e in es) for es in (examples, aside))
        assert 0.07 < num_aside / count < 0.13, name
    assert aside == parted(MULTI, examples, 0.1, 1)[1]
    examples = examples_of(["a|b", "b|a"] * 50 + ["c", ""] * 50)
    _, aside = parted(MULTI, examples, 0.1, 1)
    found = collections.Counter("".join(sorted(e.label)) for e in aside)
    assert found == {"": 5, "c": 5, "ab|": 10}


def test_rows_whose_labels_are_texts_or_scores_give_a_split_of_the_share():
    """Regression: only one row of a generation task was once set aside."""
    examples = [InputExample("t-%d" % n, "文%d" % n, None, "题%d" % n) for n in range(100)]
    for objective in ("generation", "sentence_embedding", "reading_comprehension"):
        for method in dev_split.METHODS:
            kept, aside = parted(TASK._replace(objective=objective), examples, 0.3, 1, method)
            assert (len(kept), len(aside)) == (70, 30), objective


def questions(num_topics, num_rows, links=0.0, seed=1):
    """Returns pairs within topics of ten questions; a share `links` of them is random."""
    generator = random.Random(seed)
    pairs = []
    for _ in range(num_rows):
        first = generator.randrange(10 * num_topics)
        other = 10 * (first // 10) + generator.randrange(10)
        if generator.random() < links:
            other = generator.randrange(10 * num_topics)
        pairs.append(("问题%d" % first, "问题%d" % other))
    return pairs


def test_no_text_is_on_both_sides():
    examples = pairs_of(questions(num_topics=200, num_rows=4000))
    random_kept, random_aside = parted(PAIRS, examples, 0.1, 1, "random")
    assert len(texts_of(random_aside) & texts_of(random_kept)) > 0.9 * len(texts_of(random_aside))
    kept, aside = parted(PAIRS, examples, 0.1, 1)
    assert not texts_of(kept) & texts_of(aside)
    assert len(kept) + len(aside) == 4000 and 395 <= len(aside) <= 400
    share = [sum(e.label == "1" for e in part) / len(part) for part in (examples, aside)]
    assert abs(share[0] - share[1]) < 0.01
    assert (kept, aside) == parted(PAIRS, examples, 0.1, 1)
    assert aside != parted(PAIRS, examples, 0.1, 2)[1]


def test_what_differs_in_writing_only_is_the_same_text():
    same = ["怎么开户？", " 怎么 开户", "怎么开户?!", "怎么开户", "怎么开户　"]
    examples = pairs_of([(text, "甲%d" % n) for n, text in enumerate(same)])
    examples += pairs_of([("ＶＩＰ卡", "乙"), ("vip卡。", "丙")])
    examples += pairs_of([("？？", "丁%d" % n) for n in range(2)] + [("", "戊"), ("", "己")])
    rows = [text_groups.texts_of_row(example) for example in examples]
    assert text_groups.groups_of_rows(rows) == [[0, 1, 2, 3, 4], [5, 6], [7, 8], [9], [10]]
    assert text_groups.groups_of_rows([(), ("x",), ()]) == [[0], [1], [2]]
    single = [InputExample("t-%d" % n, "好%s" % ("。" * (n % 2)), None, "a") for n in range(4)]
    kept, aside = parted(TASK, single + examples_of("ab" * 30), 0.2, 1)
    assert not texts_of(kept) & texts_of(aside)


def test_one_group_of_nearly_all_rows_is_cut_where_few_rows_link_it():
    examples = pairs_of(questions(num_topics=300, num_rows=9000, links=0.05))
    groups = text_groups.groups_of_rows([text_groups.texts_of_row(e) for e in examples])
    assert max(map(len, groups)) > 8000
    split = dev_split.set_aside(PAIRS, examples, 0.1, 1, "groups")
    assert not texts_of(split.kept) & texts_of(split.aside)
    assert 850 < len(split.aside) <= 920 and 0 < split.num_left_out < 150
    assert "rows that link dev and train are in neither" in split.note
    topics = {int(e.text_a[2:]) // 10 for e in split.aside}
    assert len(topics) > 20  # rows from all parts of the data


@pytest.mark.parametrize(
    "texts",
    [
        [("枢纽", "叶%d" % n) for n in range(500)],  # one text is in all rows
        [(a, b) for a in string.ascii_letters[:30] for b in string.ascii_letters[:30] if a < b],
    ],
)
def test_rows_that_cannot_be_parted_are_drawn_one_by_one(texts):
    examples = pairs_of(texts)
    split = dev_split.set_aside(PAIRS, examples, 0.1, 1, "groups")
    assert (split.kept, split.aside) == parted(PAIRS, examples, 0.1, 1, "random")
    assert "share texts with train: their scores are higher" in split.note


def test_large_groups_stay_where_small_ones_suffice():
    examples = pairs_of([("枢纽", "叶%d" % n) for n in range(300)] + questions(100, 500))
    split = dev_split.set_aside(PAIRS, examples, 0.1, 1, "groups")
    assert len(split.aside) == 80 and split.note is None and not split.num_left_out
    assert "枢纽" not in texts_of(split.aside)


def test_of_few_rows_more_are_set_aside_by_default():
    shares = [dev_split.usual_share(n) for n in (10, 100, 400, 500, 1000, 100000)]
    assert shares == [0.3, 0.3, 0.25, 0.2, 0.1, 0.1]


def test_what_a_run_has_recorded_is_read():
    for method in dev_split.METHODS:
        assert dev_split.recorded(dev_split.described(0.25, method)) == (0.25, method)
    assert dev_split.recorded("0.1, by largest remainders") == (0.1, "random")  # of older runs
    assert dev_split.recorded("0: on all rows") == dev_split.recorded(None) == (None, None)


def test_overlap_counts_rows_with_known_texts():
    train = [("甲", "乙"), ("丙", "丁")]
    rows = [("甲", "戊"), ("甲", "丙"), ("乙", "甲"), ("丙", "丁"), ("己", "庚"), ()]
    assert text_groups.overlap(rows, train) == (4, 3, 2)


def test_a_share_of_many_digits_comes_back_as_it_was():
    """Regression: with six digits, a resumed run set aside 1235 of 10000 rows instead of 1234."""
    share, _ = dev_split.recorded(dev_split.described(0.12344999, "random"))
    assert share == 0.12344999
    examples = examples_of("ab" * 5000)
    sides = [parted(TASK, examples, each, 1, "random") for each in (0.12344999, share)]
    assert [len(aside) for _, aside in sides] == [1234, 1234] and sides[0] == sides[1]
