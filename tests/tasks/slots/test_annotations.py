"""Slots of rows: their forms in cells and JSON, and the word pieces that receive them."""

import numpy as np
import pytest

from albert_zh.common.errors import UserError
from albert_zh.inference import annotated_texts
from albert_zh.tasks import datasets, reader, registry
from albert_zh.tasks.input_examples import InputExample
from albert_zh.tasks.slots import annotations, cells, dictionaries, flags
from albert_zh.tasks.slots.cells import SlotSpan
from albert_zh.text import encoding, tokenization

NAMES = ["city", "singer"]
TEXT = "听吴雨霏的歌"


@pytest.mark.parametrize(
    "cell",
    [
        "1-4:singer",
        [{"begin": 1, "end": 4, "name": "singer"}],
        {"singer": "吴雨霏"},
        {"singer": ["吴雨霏"]},
    ],
)
def test_forms_of_slots(cell):
    slots = cells.of_record({"slots": cell}, (TEXT, None))
    assert slots == ((SlotSpan(1, 4, "singer"),), ())


def test_all_occurrences_and_second_texts():
    record = {"slots": {"city": "京"}, "slots_b": "0-1:city 0-1:singer"}
    slots = cells.of_record(record, ("京和京", "京"))
    assert slots[0] == (SlotSpan(0, 1, "city"), SlotSpan(2, 3, "city"))
    assert slots[1] == (SlotSpan(0, 1, "city"), SlotSpan(0, 1, "singer"))
    assert cells.of_record({"slots": None}, ("京", None)) == ((), ())


def examples_of(folder, lines):
    """Returns the examples of a table, with slots."""
    (folder / "train.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    task = datasets.get_task("multiclass")._replace(head={"slots": {"names": []}})
    return reader.read_split(task, str(folder), "train").examples


@pytest.mark.parametrize("header", [[], ["text\tlabel\tslots"], ["Text\tLabel\tSlots"]])
def test_slots_of_a_table_with_and_without_a_header(tmp_path, header):
    """Regression: the last of three cells was once taken for the class."""
    rows = ["去北京\ttravel\t1-3:city", "听歌\tmusic\t", "去上海\ttravel\t1-3:city 0-1:verb"]
    examples = examples_of(tmp_path, header + rows)
    assert [(e.text_a, e.text_b, e.label) for e in examples] == [
        ("去北京", None, "travel"),
        ("听歌", None, "music"),
        ("去上海", None, "travel"),
    ]
    assert [[span[:3] for span in e.slots[0]] for e in examples] == [
        [(1, 3, "city")],
        [],
        [(0, 1, "verb"), (1, 3, "city")],
    ]


def test_slots_of_the_second_text_alone_are_its_own(tmp_path):
    header, row = "text_a\ttext_b\tlabel\tslots_b", "去北京\t听好歌\ttravel\t1-3:song"
    examples = examples_of(tmp_path, [header, row, row])
    assert [(e.text_a, e.text_b, e.label) for e in examples] == [("去北京", "听好歌", "travel")] * 2
    assert [tuple(map(tuple, spans)) for spans in examples[0].slots] == [(), ((1, 3, "song"),)]


def test_a_row_whose_slots_do_not_fit_is_predicted_by_its_text_alone(tmp_path):
    path = tmp_path / "test.tsv"
    path.write_text("要听歌\ttravel\t0-1:x\n我\tmusic\t0-9:x\n", encoding="utf-8")
    task = datasets.get_task("multiclass")._replace(
        head={"slots": {"names": ["x"]}}, columns=("text_a", "label"), labels=("music", "travel")
    )
    records = list(registry.get("single_label").open_stream(task, str(path), "utf-8").records)
    assert [example.text_a for example, _ in records] == ["要听歌", "我"]
    assert records[0][1] is None and "0-9:x is not a range" in records[1][1]


def test_slots_by_chance_are_of_their_texts():
    texts, names = ("今天天气", None), ["a", "b", "c"]
    drawn = [cells.by_chance(texts, names, number) for number in range(50)]
    assert drawn == [cells.by_chance(texts, names, number) for number in range(50)]
    spans = [span for first, second in drawn for span in first + second]
    assert len(spans) == 100 and all(0 <= s.begin < s.end <= 4 for s in spans)
    assert {span.name for span in spans} == set(names)
    assert cells.by_chance(("", "天"), names, 1)[0] == ()


def test_a_table_whose_slots_are_all_blank_has_none(tmp_path):
    """A dev file that happens to have no slots keeps the form of the training file."""
    examples = examples_of(tmp_path, ["去北京\ttravel\t", "听歌\tmusic\t"])
    assert [(e.text_a, e.text_b, e.label) for e in examples] == [
        ("去北京", None, "travel"),
        ("听歌", None, "music"),
    ]
    assert examples[0].slots == ((), ())


def test_rows_without_slots_may_be_shorter(tmp_path):
    rows = ["去北京\ttravel\t1-3:city", "听歌\tmusic", "去上海\ttravel\t1-9:city"]
    with pytest.raises(UserError, match="line 3: slots: 1-9:city is not a range"):
        examples_of(tmp_path, rows)
    examples = examples_of(tmp_path, rows[:2])
    assert [example.label for example in examples] == ["travel", "music"]
    assert examples[1].slots == ((), ())


@pytest.mark.parametrize(
    "record, message",
    [
        ({"slots": "1:singer"}, "expected BEGIN-END:NAME"),
        ({"slots": "3-3:singer"}, "not a range of the text's 6 characters"),
        ({"slots": "3-7:singer"}, "not a range of the text's 6 characters"),
        ({"slots": [{"begin": 1, "name": "x"}]}, "expected {"),
        ({"slots": [{"begin": True, "end": 2, "name": "x"}]}, "expected {"),
        ({"slots": [{"begin": 1, "end": 2, "name": "a b"}]}, "cannot be called"),
        ({"slots": {"singer": "周杰伦"}}, "the text has no '周杰伦'"),
        ({"slots": 3}, "expected a list"),
        ({"slots_b": "0-1:city"}, "no second text"),
    ],
)
def test_bad_slots(record, message):
    with pytest.raises(ValueError, match=message):
        cells.of_record(record, (TEXT, None))


def _nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


LONG = "周" * 10000


@pytest.mark.parametrize(
    "slots",
    [
        [{"begin": 1, "end": 2, "name": LONG, "of": 1}],
        [{"begin": 1, "end": 2, "name": LONG + " "}],
        [{"begin": 1, "end": 99, "name": LONG}],
        [{"begin": 1, "end": 10**4000, "name": "x"}],
        [_nested(100000)],
        {"singer": LONG},
        {LONG: "丁"},
        {"singer": [[LONG]]},
        {LONG: "吴雨霏"},
        _nested(100000),
    ],
)
@pytest.mark.parametrize("names", [("singer",), ()])
def test_errors_show_the_beginning_of_what_is_long(slots, names):
    """A service returns these messages. Regression: nested lists ended in a RecursionError."""
    with pytest.raises(UserError) as raised:
        annotated_texts.separated([{"text": TEXT, "slots": slots}], names)
    assert len(str(raised.value)) < 250
    with pytest.raises(UserError) as raised:
        annotated_texts.separated([{"text": TEXT, LONG: slots, "slots": []}], names)
    assert len(str(raised.value)) < 250


@pytest.fixture
def tokenizer(tmp_path):
    tokens = "[PAD] [UNK] [CLS] [SEP] 北 京 听 吴 雨 霏 的 歌 play ##er é ，".split()
    (tmp_path / "vocab.txt").write_text("\n".join(tokens) + "\n", encoding="utf-8")
    return tokenization.FullTokenizer(str(tmp_path / "vocab.txt"))


def column_of(tokenizer, text_a, text_b=None, slots=None, annotator=None, length=32):
    ids, segments, _ = encoding.encode(tokenizer, text_a, text_b, length)
    example = InputExample("train-1", text_a, text_b, None, slots=slots)
    column = annotations.column_of(example, tokenizer, segments, NAMES, annotator)
    assert column.shape == (len(ids), len(NAMES))
    return [[NAMES[n] for n in np.flatnonzero(row)] for row in column]


def test_pieces_have_the_slots_of_their_characters(tokenizer):
    slots = ((SlotSpan(2, 6, "singer"), SlotSpan(0, 3, "city"), SlotSpan(0, 1, "unknown")), ())
    rows = column_of(tokenizer, "听 Player，", slots=slots)  # [CLS] 听 play ##er ， [SEP]
    assert rows == [[], ["city"], ["city", "singer"], [], [], []]


def test_dictionaries_add_to_annotations_in_both_texts(tokenizer):
    annotator = dictionaries.Annotator("北京\tcity\nplayer\tsinger\n".encode())
    slots = ((SlotSpan(0, 1, "singer"),), ())
    rows = column_of(tokenizer, "听北京", "ＰＬＡＹＥＲ北京", slots, annotator)
    assert rows[:5] == [[], ["singer"], ["city"], ["city"], []]
    assert rows[-3:] == [["city"], ["city"], []]
    assert rows[5] == ["singer"]


def test_what_is_cut_off_has_no_slots(tokenizer):
    slots = ((SlotSpan(4, 6, "city"),), (SlotSpan(0, 6, "singer"),))
    rows = column_of(tokenizer, "北京听吴雨霏", "北京听吴雨霏", slots, length=9)
    assert rows == [[], [], [], [], [], ["singer"], ["singer"], ["singer"], []]


def test_dictionaries_without_use_are_reported(capsys):
    """Lines as in jieba's user dictionaries become entries with a blank and a number."""
    entries = {"city": {"北京 100"}, "singer": {"吴雨霏", "周杰伦"}}
    annotator = dictionaries.Annotator(dictionaries.packed(entries))
    examples = [
        InputExample("1", "去北京", None, "a"),
        InputExample("2", "听歌", "吴雨霏", "b"),
    ]
    head = flags.with_names({"slots": {}}, examples, annotator)
    assert head["slots"]["names"] == NAMES
    (warning,) = capsys.readouterr().out.splitlines()
    assert "no entry of city, such as '北京 100', occurs in the first 2 training rows" in warning


def test_names():
    examples = [
        InputExample("a-1", "北京", None, None, slots=((SlotSpan(0, 2, "city"),), ())),
        InputExample("a-2", "北京", None, None),
    ]
    assert annotations.names_in(examples) == {"city"}
    assert annotations.about_unknown(examples, ["city"]) == []
    assert "city" in annotations.about_unknown(examples, ["singer"])[0]
