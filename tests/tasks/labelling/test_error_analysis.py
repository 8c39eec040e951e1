"""Error analysis of entities: kinds of errors, confusions, worst errors, the HTML page."""

from html.parser import HTMLParser
import time

import numpy as np

from albert_zh.tasks.labelling import error_analysis, html_page
from albert_zh.tasks.labelling.error_analysis import ErrorAnalysis, entity_errors, in_context
from albert_zh.tasks.labelling.spans import Span

TEXT = "昨天王明去了北京大学和上海"
GOLD = [Span(2, 4, "PER"), Span(6, 10, "ORG"), Span(11, 13, "LOC")]


def kinds(predicted, gold=GOLD):
    return [error.kind for error in entity_errors(gold, predicted)]


def test_kinds():
    assert kinds(GOLD) == []
    assert kinds([]) == ["missed"] * 3
    assert kinds(GOLD[:2] + [Span(11, 13, "ORG")]) == ["type"]
    assert kinds([Span(2, 5, "PER")] + GOLD[1:]) == ["boundary"]
    assert kinds(GOLD[:1] + GOLD[2:] + [Span(6, 8, "LOC")]) == ["boundary and type"]
    assert kinds(GOLD + [Span(0, 2, "LOC")]) == ["invented"]


def test_a_boundary_error_is_of_the_entity_of_the_same_type():
    gold = [Span(0, 2, "A"), Span(2, 6, "B")]
    (error,) = [e for e in entity_errors(gold, [Span(1, 6, "A")]) if e.predicted]
    assert (error.kind, error.gold) == ("boundary", gold[0])


def test_random_nested_spans_as_counted_one_by_one():
    generator = np.random.RandomState(4)

    def spans():
        starts, lengths = generator.randint(0, 40, 15), generator.randint(1, 12, 15)
        return sorted({Span(int(s), int(s + n), "AB"[n % 2]) for s, n in zip(starts, lengths)})

    def meets(span, other):
        return not set(range(*span[:2])).isdisjoint(range(*other[:2]))

    for _ in range(50):
        gold, predicted = spans(), spans()
        errors = entity_errors(gold, predicted)
        missed = [e.gold for e in errors if e.kind == "missed"]
        assert missed == [g for g in gold if not any(meets(g, p) for p in predicted)]
        invented = [e.predicted for e in errors if e.kind == "invented"]
        assert invented == [p for p in predicted if not any(meets(p, g) for g in gold)]
        for error in errors:
            assert error.kind in ("missed", "invented") or meets(error.gold, error.predicted)


def test_words_of_a_document_of_100000_characters():
    gold = [Span(start, start + 2, "") for start in range(0, 100000, 2)]
    predicted = [Span(start, start + 2, "") for start in range(1, 99999, 2)]
    started = time.time()
    errors = entity_errors(gold, predicted)
    assert time.time() - started < 20  # comparing all pairs of spans would take hours
    assert [error.kind for error in errors] == ["boundary"] * 49999


def test_counts_confusion_and_the_most_confident():
    analysis = ErrorAnalysis(num_shown=2)
    analysis.add(
        TEXT, GOLD, [Span(2, 4, "PER"), Span(6, 10, "LOC"), Span(4, 5, "ORG")], [1, 0.6, 0.9]
    )
    analysis.add(TEXT, GOLD, GOLD[:1] + [Span(6, 8, "ORG"), Span(11, 13, "LOC")], [1, 0.8, 1])
    assert analysis.counts() == {
        "boundary": 1, "type": 1, "boundary and type": 0, "missed": 1, "invented": 1
    }  # fmt: skip
    types, counts = analysis.confusion()
    assert types == ["LOC", "ORG", "PER", error_analysis.NONE]
    assert np.array_equal(counts, [[1, 0, 0, 1], [1, 1, 0, 0], [0, 0, 2, 0], [0, 1, 0, 0]])
    worst = analysis.most_confident()
    assert [error.confidence for _, error in worst] == [0.9, 0.8]
    assert in_context(*worst[0]) == "invented (0.90): none -> ORG 去: 昨天王明[去]了北京大学和上海"
    assert in_context(*worst[1], width=2) == (
        "boundary (0.80): ORG 北京大学 -> ORG 北京: 去了[北京]大学"
    )


class Marks(HTMLParser):
    """Collects the text and the content of each mark; checks that tags are closed in order."""

    def __init__(self):
        super().__init__()
        self.stack, self.marks, self.text = [], [], ""

    def handle_starttag(self, tag, attributes):
        if tag not in ("meta", "br"):
            self.stack.append((tag, dict(attributes).get("class"), len(self.text)))

    def handle_endtag(self, tag):
        name, css, start = self.stack.pop()
        assert name == tag
        if tag == "mark":
            self.marks.append((css, self.text[start:]))

    def handle_data(self, data):
        if not any(tag in ("small", "style", "title") for tag, _, _ in self.stack):
            self.text += data


def parsed(content):
    parser = Marks()
    parser.feed(content)
    assert not parser.stack
    return parser


def test_marked_text_nests_and_escapes():
    spans = [Span(0, 6, "ORG"), Span(0, 2, "LOC"), Span(4, 8, "PER")]
    classes = {"ORG": "t0", "LOC": "t1", "PER": "t2"}
    page = parsed(html_page.marked('南京<&"大学生会', spans, classes, right={spans[0]}))
    assert page.text == '南京<&"大学生会'
    assert sorted(page.marks) == [
        ("t0", '南京<&"大'), ("t1 wrong", "南京"), ("t2 wrong", '"大')
    ]  # fmt: skip


def test_page(tmp_path):
    path = tmp_path / "texts.html"
    texts = [("<b>%d" % number + TEXT, [], [Span(0, 3, "X&Y")]) for number in range(5)]
    texts.append(("王明", [Span(0, 2, "PER")], [Span(0, 2, "PER")]))
    html_page.write_page(str(path), "dev <test>", texts, num_shown=3)
    content = path.read_text(encoding="utf-8")
    page = parsed(content)
    assert page.text.count(TEXT) == 6  # gold and prediction of three texts
    assert content.count('<mark class="t0 wrong">') == 3
    assert "<script" not in content and "http" not in content
    html_page.write_page(str(path), "dev", texts[5:])
    page = parsed(path.read_text(encoding="utf-8"))
    assert page.marks.count(("t0", "王明")) == 1
