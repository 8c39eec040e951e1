"""The bundled topics sample: its contents and splits, and the accuracy of an n-gram baseline."""

import collections
import csv
import hashlib
import itertools
import os
import re
import sys

import pytest

from project_root import ROOT

sys.path.insert(0, os.path.join(ROOT, "benchmarks"))

import topics_baseline

from albert_zh.common.errors import UserError

SAMPLE = os.path.join(ROOT, "data", "topics_sample")
SPLITS = ("train", "dev", "test")


@pytest.fixture(scope="module")
def titles():
    """Fixture: {split: list of (title, topic)}, read with Python's `csv`; checks the header."""
    found = {}
    for split in SPLITS:
        with open(os.path.join(SAMPLE, split + ".csv"), encoding="utf-8", newline="") as handle:
            header, *rows = csv.reader(handle)
        assert header == ["text_a", "label"]
        assert {len(row) for row in rows} == {2}
        found[split] = [tuple(row) for row in rows]
    return found


@pytest.fixture(scope="module")
def readme():
    with open(os.path.join(SAMPLE, "README.md"), encoding="utf-8") as handle:
        return handle.read()


def everything(titles):
    return [row for split in SPLITS for row in titles[split]]


def bare(title):
    """A title without punctuation and spaces, in lower case."""
    return "".join(filter(str.isalnum, title)).lower()


def digest(title):
    return hashlib.sha256(title.encode("utf-8")).hexdigest()


def test_topics_are_many_and_roughly_of_one_size(titles):
    counts = collections.Counter(topic for _, topic in everything(titles))
    assert sum(counts.values()) >= 1800
    assert len(counts) >= 12
    assert min(counts.values()) >= 120
    assert max(counts.values()) < 1.5 * min(counts.values())


def test_titles_are_short_and_have_no_stray_characters(titles):
    for title, topic in everything(titles):
        assert 8 <= len(title) <= 30, title
        assert title == title.strip()
        assert title.isprintable()
        assert "  " not in title
        assert re.search("[\u4e00-\u9fff]", title)
        assert topic == topic.strip() != ""


def test_quoting_matters(titles):
    texts = [title for title, _ in everything(titles)]
    assert sum("," in text for text in texts) >= 50
    assert sum('"' in text for text in texts) >= 5


def test_no_title_stands_twice(titles):
    counts = collections.Counter(bare(title) for title, _ in everything(titles))
    assert [title for title, count in counts.items() if count > 1] == []


def test_no_two_titles_share_most_of_their_bigrams(titles):
    grams = {}
    holders = collections.defaultdict(list)
    for title, _ in everything(titles):
        text = bare(title)
        grams[title] = {text[i : i + 2] for i in range(len(text) - 1)}
        for gram in grams[title]:
            holders[gram].append(title)
    shared = collections.Counter(
        pair for members in holders.values() for pair in itertools.combinations(members, 2)
    )
    near = [
        pair
        for pair, count in shared.items()
        if count > 0.5 * (len(grams[pair[0]]) + len(grams[pair[1]]) - count)
    ]
    assert near == []


def test_split_follows_the_rule_of_the_readme(titles):
    """In each topic, the first tenth in SHA-256 order is test, the next is dev, the rest train."""
    members = collections.defaultdict(list)
    for title, topic in everything(titles):
        members[topic].append(title)
    expected = collections.defaultdict(set)
    for texts in members.values():
        texts.sort(key=digest)
        tenth = round(len(texts) / 10)
        expected["test"].update(texts[:tenth])
        expected["dev"].update(texts[tenth : 2 * tenth])
        expected["train"].update(texts[2 * tenth :])
    for split in SPLITS:
        texts = [title for title, _ in titles[split]]
        assert texts == sorted(expected[split], key=digest)


def test_readme_tells_the_counts_and_the_licence(titles, readme):
    assert readme.count("Apache-2.0") == 2
    counts = {split: collections.Counter(topic for _, topic in titles[split]) for split in SPLITS}
    for topic in counts["train"]:
        numbers = [counts[split][topic] for split in SPLITS]
        columns = [topic] + [str(number) for number in numbers + [sum(numbers)]]
        assert readme.count("| %s |" % " | ".join(columns)) == 1, topic
    sizes = [len(titles[split]) for split in SPLITS]
    total = tuple(f"{size:,}" for size in sizes + [sum(sizes)])
    assert readme.count("| %s | %s | %s | %s |" % total) == 1
    assert readme.count(total[-1]) >= 3  # in both languages, and in the table


def test_character_ngrams_do_not_solve_the_sample(readme):
    pytest.importorskip("sklearn", reason="needs scikit-learn, which only the baseline uses")
    accuracies = topics_baseline.baseline_accuracies(SAMPLE)
    assert 0.70 < accuracies["test"] < 0.88
    for split, accuracy in accuracies.items():
        printed = re.findall("topics baseline, %s accuracy: (.*)%%" % split, readme)
        # Releases of scikit-learn may differ by a title or two.
        assert [float(figure) for figure in printed] == pytest.approx([100 * accuracy], abs=1)


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "line 1: found the columns , expected text_a and label"),
        ("title,label\na,b\n", "line 1: found the columns title,label, expected text_a and label"),
        ("text_a,label\na,b,c\n", "line 2: found 3 cells, expected 2"),
        ('text_a,label\n"a,b\n', "line 2: a quote is opened but not closed"),
        ("text_a,label\n", "holds no rows"),
    ],
)
def test_baseline_names_a_bad_line(tmp_path, text, message):
    path = tmp_path / "train.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=message):
        topics_baseline.read_labelled_texts(str(path))


def test_baseline_reads_columns_in_any_order_and_quoted_cells(tmp_path):
    path = tmp_path / "train.csv"
    path.write_text('id,label,text_a\n1,甲,"一,二 ""三""\n四"\n', encoding="utf-8")
    assert topics_baseline.read_labelled_texts(str(path)) == (['一,二 "三"\n四'], ["甲"])
