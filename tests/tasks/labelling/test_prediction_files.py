"""Prediction files have the formats that other programs and the package's reader expect."""

import json

import pytest

from albert_zh.tasks.labelling import bad_rows, reader
from albert_zh.tasks.labelling import prediction_files as outputs
from albert_zh.tasks.labelling.spans import LabelledText, Span, words_as_spans
from albert_zh.tasks.labelling.tag_schemes import SCHEMES

GOLD = [Span(0, 2, "PER"), Span(3, 5, "LOC")]
TEXTS = [
    (LabelledText("王明去北京", GOLD, None, 1), [Span(0, 2, "PER"), Span(3, 4, "LOC")]),
    (LabelledText("a b", [], None, 9), []),
]


def written(tmp_path, names, texts=TEXTS, file_format="conll", scheme="BIO"):
    paths = {name: str(tmp_path / name) for name in names}
    with outputs.PredictionFiles(paths, SCHEMES[scheme], file_format) as result:
        for text, spans in texts:
            result.add(text, spans)
        assert not list(tmp_path.glob("pred*.t??"))  # files only appear when all are complete
    there = [name for name in names if (tmp_path / name).exists()]
    return {name: (tmp_path / name).read_text("utf-8") for name in there}


def test_a_token_with_a_blank_stays_one_column(tmp_path):
    """Regression: "New York" was written as two columns, which made the file unreadable."""
    path = tmp_path / "test.txt"
    path.write_text("New York\tB-LOC\nis\tO\n北\u3000京\tB-LOC\n", encoding="utf-8")
    (text,) = reader.read_file(str(path)).texts
    contents = written(tmp_path, (outputs.CONLL, outputs.LABELS), [(text, text.spans)])
    assert contents[outputs.CONLL] == "New_York B-LOC\nis O\n北_京 B-LOC\n\n"
    assert contents[outputs.LABELS] == "New_York B-LOC B-LOC\nis O O\n北_京 B-LOC B-LOC\n\n"
    (again,) = reader.read_file(str(tmp_path / outputs.CONLL)).texts
    assert [again.text[span.start : span.end] for span in again.spans] == ["New_York", "北_京"]


def test_table_and_columns(tmp_path):
    names = (outputs.PREDICTIONS, outputs.CONLL, outputs.LABELS)
    contents = written(tmp_path, names)
    assert contents[outputs.PREDICTIONS] == (
        "text\tgold\tpredicted\n"
        "王明去北京\t王明/PER@0-2 北京/LOC@3-5\t王明/PER@0-2 北/LOC@3-4\n"
        "a b\t\t\n"
    )
    assert contents[outputs.LABELS] == (
        "王 B-PER B-PER\n明 I-PER I-PER\n去 O O\n北 B-LOC B-LOC\n京 I-LOC O\n\n"
        "a O O\n  O O\nb O O\n\n"
    )
    data = reader.read_file(str(tmp_path / outputs.CONLL))
    assert [text.text for text in data.texts] == ["王明去北京", "a b"]
    assert [text.spans for text in data.texts] == [spans for _, spans in TEXTS]


def test_tokens_of_several_characters_keep_their_lines(tmp_path):
    text = LabelledText("用iPhone 13", None, [(0, 1), (1, 7), (8, 10)], 1)
    names = (outputs.CONLL, outputs.LABELS)
    written(tmp_path, names, [(text, [Span(1, 9, "X")])], scheme="BIOES")
    assert (tmp_path / outputs.CONLL).read_text("utf-8") == "用 O\niPhone B-X\n13 E-X\n\n"
    assert not (tmp_path / outputs.LABELS).exists()


@pytest.mark.parametrize("file_format", ["cluener", "cmeee", "entity_list", "doccano"])
@pytest.mark.parametrize("unit, begin, end", [("bytes", 7, 13), ("utf16", 3, 5)])
def test_positions_are_in_the_unit_of_the_input(tmp_path, file_format, unit, begin, end):
    text, path = LabelledText("😀在浙商", None, None, 1), str(tmp_path / "p.json")
    with outputs.PredictionFiles({outputs.JSON: path}, None, file_format, unit) as result:
        result.add(text, [Span(2, 4, "x")])
    line = json.loads((tmp_path / "p.json").read_text("utf-8"))
    if file_format == "cluener":
        assert line["label"] == {"x": {"浙商": [[begin, end - 1]]}}
    elif file_format == "cmeee":
        entity = {"start_idx": begin, "end_idx": end - 1, "type": "x", "entity": "浙商"}
        assert line["entities"] == [entity]
    elif file_format == "doccano":
        assert line["label"] == [[begin, end, "x"]]
    else:
        assert line["entity_list"][0]["entity_index"] == {"begin": begin, "end": end}
    data = reader.read_file(path, offset_unit=unit)
    assert data.texts[0].spans == [Span(2, 4, "x")]


def test_types_with_blanks_keep_the_columns(tmp_path):
    """Types from JSON files may contain blanks, which are replaced in files with columns."""
    text = LabelledText("在北京", [Span(1, 3, "city or town")], None, 1)
    names = (outputs.CONLL, outputs.LABELS)
    contents = written(tmp_path, names, [(text, text.spans)])
    assert contents[outputs.LABELS].splitlines()[1] == "北 B-city_or_town B-city_or_town"
    data = reader.read_file(str(tmp_path / outputs.CONLL))
    assert data.texts[0].spans == [Span(1, 3, "city_or_town")]


@pytest.mark.parametrize("file_format", ["cluener", "cmeee", "entity_list", "doccano"])
def test_json_is_of_the_form_of_the_input(tmp_path, file_format):
    content = written(tmp_path, [outputs.JSON], file_format=file_format)[outputs.JSON]
    data = reader.read_file(str(tmp_path / outputs.JSON))
    assert data.format == file_format
    assert [text.spans for text in data.texts] == [spans for _, spans in TEXTS]
    records = [json.loads(line) for line in content.splitlines()]
    assert [(record["text"], record["line"]) for record in records] == [
        ("王明去北京", 1),
        ("a b", 9),
    ]


def test_predictions_of_a_file_with_gaps_have_its_lines(tmp_path):
    """A prediction names the line where its text begins, although a malformed row is skipped."""
    path = tmp_path / "test.conll"
    path.write_text("王 B-PER\n明 I-PER\n\n去 ?\n\n\n北 B-LOC\n京 I-LOC\n", encoding="utf-8")
    texts = reader.read_file(str(path), bad_rows=bad_rows.BadRows(True)).texts
    rows = [(text, text.spans) for text in texts]
    content = written(tmp_path, [outputs.JSON], rows)[outputs.JSON]
    records = [json.loads(line) for line in content.splitlines()]
    assert [(record["text"], record["line"]) for record in records] == [("王明", 1), ("北京", 7)]


@pytest.mark.parametrize(
    "file_format, no_labels, labels",
    [
        ("doccano", ', "label": []', {"label": [[0, 2, "PER"]]}),
        ("cluener", "", {"label": {"PER": {"王明": [[0, 1]]}}}),
        (
            "cmeee",
            "",
            {"entities": [{"start_idx": 0, "end_idx": 1, "type": "PER", "entity": "王明"}]},
        ),
        (
            "entity_list",
            ', "entity_list": []',
            {
                "entity_list": [
                    {
                        "entity_index": {"begin": 0, "end": 2},
                        "entity_type": "PER",
                        "entity": "王明",
                    }
                ]
            },
        ),
    ],
)
def test_predictions_keep_the_id(tmp_path, file_format, no_labels, labels):
    line = '{"id": 17, "text": "王明"%s}\n' % no_labels
    (tmp_path / "test.json").write_text(line, encoding="utf-8")
    texts = reader.read_file(str(tmp_path / "test.json"), file_format).texts
    written(tmp_path, [outputs.JSON], [(texts[0], GOLD[:1])], file_format)
    expected = dict({"id": 17, "text": "王明"}, **labels)
    assert json.loads((tmp_path / outputs.JSON).read_text("utf-8")) == expected


def test_the_id_of_a_text_without_labels_is_kept(tmp_path):
    (tmp_path / "test.json").write_text('{"id": 3, "text": "王明"}\n', encoding="utf-8")
    assert reader.read_file(str(tmp_path / "test.json"), "entity_list").texts[0].identifier == 3


@pytest.mark.parametrize("text", ["王\n明\r去\t北京", "\r\n\n王北京"])
def test_line_ends_inside_a_text_do_not_shift_the_tags(tmp_path, text):
    spans = [Span(0, 1, "PER"), Span(len(text) - 2, len(text), "LOC")]
    names = (outputs.CONLL, outputs.LABELS)
    contents = written(tmp_path, names, [(LabelledText(text, spans, None, 1), spans)])
    data = reader.read_file(str(tmp_path / outputs.CONLL))
    shown = text.translate(dict.fromkeys(map(ord, "\t\r\n"), " "))
    assert [(t.text, t.spans) for t in data.texts] == [(shown, spans)]
    rows = contents[outputs.LABELS].split("\n")
    assert len(rows) == len(text) + 2 and rows[0][:2] == shown[0] + " "
    assert [row.split(" ")[-2:] for row in rows[-4:-2]] == [["B-LOC"] * 2, ["I-LOC"] * 2]


def test_segmented_text(tmp_path):
    text = LabelledText("我爱 北京大学", None, None, 1)
    spans = [Span(0, 1, ""), Span(1, 2, ""), Span(3, 7, "")]
    names = [outputs.SEGMENTED]
    assert written(tmp_path, names, [(text, spans)]) == {outputs.SEGMENTED: "我  爱  北京大学\n"}
    assert words_as_spans(["我", "爱"]) == spans[:2]


@pytest.mark.parametrize("first", [0, 1])
def test_texts_without_gold_are_not_in_the_file_of_gold_tags(tmp_path, first):
    texts = [TEXTS[0], (LabelledText("王明", None, None, 5), [Span(0, 2, "PER")])]
    contents = written(tmp_path, [outputs.CONLL, outputs.LABELS], [texts[first], texts[1 - first]])
    assert (
        contents[outputs.LABELS].count("\n\n") == 1 and "北 B-LOC B-LOC" in contents[outputs.LABELS]
    )
    assert contents[outputs.CONLL].count("\n\n") == 2


def test_without_gold_there_is_no_file_of_gold_tags(tmp_path):
    path = tmp_path / outputs.LABELS
    with outputs.PredictionFiles({outputs.LABELS: str(path)}, SCHEMES["BIO"], "conll") as result:
        result.add(LabelledText("王明", None, None, 5), [Span(0, 2, "PER")])
    assert not path.exists()
