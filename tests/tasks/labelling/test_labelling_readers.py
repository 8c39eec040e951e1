"""Readers of labelled files: every format, and errors for malformed files."""

import json
import random

import pytest

from albert_zh.common.errors import UserError
from albert_zh.tasks.labelling import json_files, reader, segmented_files
from albert_zh.tasks.labelling.bad_rows import BadRows
from albert_zh.tasks.labelling.spans import LabelledText, Span, types_of

COLUMNS = "王 B-PER\n明 I-PER\n去 O\n\n北 B-LOC\n京 I-LOC\n。 O\n"
ENTITIES = [[("王明", "PER")], [("北京", "LOC")]]


def written(tmp_path, content, name="train.txt", encoding="utf-8"):
    path = tmp_path / name
    path.write_bytes(content.encode(encoding))
    return str(path)


def entities(data):
    return [[(t.text[s.start : s.end], s.type) for s in t.spans] for t in data.texts]


def read(tmp_path, content, name="train.txt", **settings):
    return reader.read_file(written(tmp_path, content, name), **settings)


FORMATS = (
    (COLUMNS, "train.txt", "conll"),
    (COLUMNS.replace(" ", "\t"), "train.txt", "conll"),
    (COLUMNS.replace("\n", "\r\n"), "train.txt", "conll"),
    ("\ufeff" + COLUMNS, "train.txt", "conll"),
    ("-DOCSTART- O\n\n\n" + COLUMNS + "\n\n", "train.txt", "conll"),
    (COLUMNS.replace(" ", " x y "), "train.char.bio", "conll"),
    ("王0\tB-PER\n明1\tI-PER\n去0\tO\n\n北0\tB-LOC\n京1\tI-LOC\n。0\tO\n", "w", "conll"),
    ("text_a\tlabel\n王 明 去\tB-PER I-PER O\n北 京 。\tB-LOC I-LOC O\n", "t.tsv", "tsv"),
    ("王明/PER 去/o\n北京/LOC 。/o\n", "train1.txt", "slash"),
    (
        '{"text": "王明去", "label": {"PER": {"王明": [[0, 1]]}}}\n'
        '{"text": "北京。", "label": {"LOC": {"北京": [[0, 1]]}}}\n',
        "train.json",
        "cluener",
    ),
    (
        '{"text": "王明去", "entity_list": [{"entity_index": {"begin": 0, "end": 2}, '
        '"entity_type": "PER", "entity": "王明"}]}\n'
        '{"text": "北京。", "entity_list": [{"entity_index": {"begin": 0, "end": 2}, '
        '"entity_type": "LOC", "entity": "北京"}]}\n',
        "train.jsonl",
        "entity_list",
    ),
    (
        '[{"text": "王明去", "entities": [{"start_idx": 0, "end_idx": 1, "type": "PER", '
        '"entity": "王明"}]},\n{"text": "北京。", "entities": [{"start_idx": 0, "end_idx": 1, '
        '"type": "LOC", "entity": "北京"}]}]\n',
        "CMeEE-V2_train.json",
        "cmeee",
    ),
    (
        '{"id": 1, "text": "王明去", "label": [[0, 2, "PER"]]}\n'
        '{"id": 2, "text": "北京。", "label": [[0, 2, "LOC"]]}\n',
        "admin.jsonl",
        "doccano",
    ),
    (
        '{"text": "王明去", "labels": [[0, 2, "PER"]]}\n'
        '{"text": "北京。", "labels": [[0, 2, "LOC"]]}\n',
        "train.json",
        "doccano",
    ),
    (
        '{"text": "王明去", "entities": [{"id": 7, "label": "PER", "start_offset": 0, '
        '"end_offset": 2}], "relations": [], "Comments": []}\n'
        '{"text": "北京。", "entities": [{"id": 9, "label": "LOC", "start_offset": 0, '
        '"end_offset": 2}], "relations": [], "Comments": []}\n',
        "all.jsonl",
        "doccano",
    ),
    (
        '{"text": "王明去", "entities": [{"type": "PER", "start": 0, "end": 2, "text": "王明"}]}\n'
        '{"text": "北京。", "entities": [{"type": "LOC", "start": 0, "end": 2, "text": "北京"}]}\n',
        "found.jsonl",  # as label.py prints it
        "doccano",
    ),
    (
        '{"text": "王明去", "spans": [{"start": 0, "end": 2, "label": "PER"}]}\n'
        '{"text": "北京。", "spans": [{"start": 0, "end": 2, "label": "LOC"}]}\n',
        "prodigy.jsonl",
        "doccano",
    ),
    (
        '{"text": "王明去", "entities": [[0, 2, "PER"]]}\n'
        '{"text": "北京。", "entities": [[0, 2, "LOC"]]}\n',
        "spacy.jsonl",
        "doccano",
    ),
    (
        '[{"text": "王明去", "id": 3, "label": [{"start": 0, "end": 2, "text": "王明", "labels": '
        '["PER"]}], "annotator": 1},\n{"text": "北京。", "id": 4, "label": [{"start": 0, "end": 2, '
        '"text": "北京", "labels": ["LOC"]}], "annotator": 1}]\n',
        "project-1.json",  # JSON_MIN of Label Studio
        "doccano",
    ),
    (
        '[{"id": 3, "data": {"text": "王明去"}, "annotations": [{"result": [{"value": {"start": 0, '
        '"end": 2, "text": "王明", "labels": ["PER"]}, "type": "labels"}]}]},\n'
        '{"id": 4, "data": {"content": "北京。"}, "annotations": [{"was_cancelled": true, '
        '"result": []}, {"result": [{"value": {"start": 0, "end": 2, "labels": ["LOC"]}}, '
        '{"type": "choices", "value": {"choices": ["news"]}}]}]}]\n',
        "project-1-at-2024.json",  # JSON of Label Studio
        "doccano",
    ),
    (
        '{"originalText": "王明去", "entities": [{"end_pos": 2, "label_type": "PER", '
        '"start_pos": 0}]}\n{"originalText": "北京。", "entities": [{"label_type": "LOC", '
        '"overlap": 0, "start_pos": 0, "end_pos": 2}]}\n',
        "subtask1_training_part1.txt",  # as in CCKS 2019
        "doccano",
    ),
    (
        "text_a\tlabel\n王\x02明\x02去\tB-PER\x02I-PER\x02O\n北\x02京\x02。\tB-LOC\x02I-LOC\x02O\n",
        "train.tsv",  # as in ERNIE and PaddleNLP
        "tsv",
    ),
)


@pytest.mark.parametrize(
    "labels, message",
    [
        ('"label": [[0, 9, "PER"]]', "PER '' at 0-9, where the text .3 characters. has '王明去'"),
        ('"label": ["PER"]', r"label\[0\]: expected \[start, end, type\], or .* found 'PER'"),
        ('"label": [[0, "2", "PER"]]', r"label\[0\]\[1\]: expected an integer"),
        ('"entities": [{"label": "PER"}]', r"entities\[0\].start_offset is missing, expected"),
        ('"spans": [{"start": 0, "end": "2", "label": "PER"}]', r"spans\[0\].end: expected an int"),
        (
            '"entities": [{"start": 0, "end": 1, "type": "PER", "text": "王明"}]',
            "PER '王明' at 0-1, where .* its end is inclusive",
        ),
    ],
)
def test_mistakes_in_files_of_doccano(tmp_path, labels, message):
    with pytest.raises(UserError, match="train.json, line 1: .*" + message):
        read(tmp_path, '{"text": "王明去", %s}\n' % labels, "train.json")


def test_texts_of_ccks_without_entities_and_spans_of_two_types(tmp_path):
    data = read(tmp_path, '{"originalText": "王明去"}\n', "test.json")
    assert [(text.text, text.spans) for text in data.texts] == [("王明去", None)]
    both = '{"text": "王明", "label": [{"start": 0, "end": 2, "labels": ["PER", "LOC"]}]}\n'
    with pytest.raises(UserError, match=r"train.json, line 1: label\[0\].labels: expected a text"):
        read(tmp_path, both, "train.json")


def test_tasks_of_label_studio_without_entities_or_with_several_annotations(tmp_path):
    one = '{"id": 1, "data": {"text": "王明去"}, "annotations": [%s]}\n'
    annotation = '{"result": [{"value": {"start": 0, "end": %d, "labels": ["PER"]}}]}'
    texts = read(tmp_path, one % '{"result": []}' + one % "", "train.json").texts
    assert [(text.spans, text.identifier) for text in texts] == [([], 1), (None, 1)]
    same = read(tmp_path, one % ", ".join([annotation % 2] * 2), "train.json").texts
    assert same[0].spans == [Span(0, 2, "PER")]
    with pytest.raises(UserError, match="train.json, line 1: 2 annotations that differ: expected"):
        read(tmp_path, one % ", ".join(annotation % n for n in (2, 3)), "train.json")
    choice = '{"id": "p", "value": {"start": 0, "end": 2, "%s": ["PER"]}}'
    of_passage = '{"result": [%s, %s]}' % (choice % "labels", choice % "choices")
    assert read(tmp_path, one % of_passage, "train.json").texts[0].spans == [Span(0, 2, "PER")]
    for value in ('"hypertextlabels": ["PER"]', '"text": "王"'):
        marked = '{"result": [{"value": {"start": 0, "end": 1, %s}}]}' % value
        with pytest.raises(UserError, match="line 1: a passage is marked without labels .found"):
            read(tmp_path, one % marked, "train.json")
    of_min = '{"text": "甲", "id": 2, "annotator": 1, "annotation_id": 5}\n'
    labelled = (
        '{"text": "甲", "annotator": 1, "label": [{"start": 0, "end": 1, "labels": ["A"]}]}\n'
    )
    spans = [text.spans for text in read(tmp_path, labelled + of_min, "train.json").texts]
    assert spans == [[Span(0, 1, "A")], []]


def test_texts_without_entities_and_without_labels_in_files_of_doccano(tmp_path):
    lines = [
        '{"text": "王明去", "label": [[0, 2, "PER"]]}',
        '{"text": "北", "label": []}',
        '{"text": "京"}',
    ]
    data = read(tmp_path, "\n".join(lines), "train.json")
    assert [text.spans for text in data.texts] == [[Span(0, 2, "PER")], [], None]
    wide = '{"text": "😀王明", "label": [[2, 4, "PER"]]}'
    data = read(tmp_path, wide, "train.json", offset_unit="utf16")
    assert data.texts[0].spans == [Span(1, 3, "PER")]


def test_spaces_around_a_type_do_not_make_another(tmp_path):
    lines = ['{"text": "王明去", "label": [[0, 2, "%s"]]}' % name for name in ("PER", " PER ")]
    assert types_of(read(tmp_path, "\n".join(lines), "train.json").texts) == ["PER"]


@pytest.mark.parametrize("content, name, file_format", FORMATS)
def test_formats(tmp_path, content, name, file_format):
    data = read(tmp_path, content, name)
    assert data.format == file_format
    assert [text.text for text in data.texts] == ["王明去", "北京。"]
    assert entities(data) == ENTITIES
    assert data.has_labels


@pytest.mark.parametrize("content, name, file_format", FORMATS)
def test_formats_in_every_encoding_whole_and_streamed(tmp_path, content, name, file_format):
    """UTF-8 with and without a byte order mark, GBK, UTF-16; CRLF, and no final line end."""
    plain = content.lstrip("\ufeff").replace("\r", "").rstrip("\n")
    for encoding in ("utf-8", "utf-8-sig", "gbk", "utf-16"):
        for text in (plain, plain.replace("\n", "\r\n") + "\r\n"):
            path = written(tmp_path, text, name, encoding)
            codec = encoding.replace("-sig", "")
            data = reader.read_file(path, encoding=codec)
            assert (data.format, entities(data)) == (file_format, ENTITIES), (encoding, text)
            assert list(reader.stream_file(path, encoding=codec)) == data.texts


def test_a_first_line_without_its_tag_is_the_one_that_does_not_fit(tmp_path):
    """Regression: if the first line lacked its tag, all other rows were skipped as malformed."""
    path = written(tmp_path, "\n王\n明 I-PER\n\n去 O\n北 B-LOC\n\n京\n")
    with pytest.raises(UserError, match="line 2: a column is missing: '王', .* as in line 3"):
        reader.read_file(path)
    skipping = BadRows(True)
    found = reader.read_file(path, bad_rows=skipping)
    assert [(text.text, text.spans) for text in found.texts] == [("去北", [Span(1, 2, "LOC")])]
    assert "2 invalid rows were skipped (first: " in " ".join(found.notes)
    # Most lines have no tag, so the file is expected to have none.
    path = written(tmp_path, "王\n明\n\n去\n北 B-LOC\n")
    with pytest.raises(UserError, match="line 5: found '北 B-LOC', expected one character, as in"):
        reader.read_file(path, "conll")


def test_two_files(tmp_path):
    written(tmp_path, "王 明 去\n北 京 。\n", "sentences.txt")
    written(tmp_path, "B-PER I-PER O\nB-LOC I-LOC O\n", "tags.txt")
    assert entities(reader.read_file(str(tmp_path))) == ENTITIES
    written(tmp_path, "B-PER I-PER O\nB-LOC I-LOC\n", "tags.txt")
    with pytest.raises(UserError, match=r"tags.txt, line 2: 2 tags, but .*sentences.txt has 3"):
        reader.read_file(str(tmp_path))
    written(tmp_path, "B-PER I-PER O\n", "tags.txt")
    with pytest.raises(UserError, match=r"tags.txt, line 2: 0 tags"):
        reader.read_file(str(tmp_path))


def test_tags_of_two_files_are_part_of_their_digest(tmp_path):
    """The digest decides whether features are recomputed, and detects a run with changed data."""
    written(tmp_path, "王 明\n", "sentences.txt")
    digests = set()
    for tags in ("B-PER I-PER\n", "B-PER O\n"):
        written(tmp_path, tags, "tags.txt")
        digests.add(reader.read_file(str(tmp_path)).sha256)
    assert len(digests) == 2


def test_segmented_text(tmp_path):
    data = read(tmp_path, "共同  创造\u3000美好 的\n\n新  世纪\n", "cws.txt")
    assert data.format == "segmented"
    assert [text.text for text in data.texts] == ["共同创造美好的", "新世纪"]
    first = data.texts[0]
    assert [first.text[s.start : s.end] for s in first.spans] == "共同 创造 美好 的".split()
    assert segmented_files.segmented_line(first.text, first.spans) == "共同  创造  美好  的"
    assert data.texts[1].line == 3


def test_words_of_a_text_with_blanks_and_gaps():
    assert segmented_files.words_of("我 ab，x", [Span(0, 1, ""), Span(2, 4, "")]) == [
        "我", "ab", "，x"
    ]  # fmt: skip


@pytest.mark.parametrize(
    "tags, name",
    [("B-A M-A E-A O S-B", "BMES"), ("B-A I-A E-A O S-B", "BIOES"), ("B-A I-A I-A O B-B", "BIO")],
)
def test_schemes_are_detected_and_reported(tmp_path, tags, name):
    data = read(tmp_path, "\n".join("字 " + tag for tag in tags.split()))
    assert data.scheme.name == name
    assert "tags of the scheme %s" % name in data.notes
    assert data.texts[0].spans == [Span(0, 3, "A"), Span(4, 5, "B")]


def test_latin_tokens_keep_their_ranges(tmp_path):
    data = read(tmp_path, "用 O\niPhone B-GAME\n13 I-GAME\n拍 O\n  O\n照 O\n")
    text = data.texts[0]
    assert text.text == "用iPhone 13拍 照"
    assert text.tokens == [(0, 1), (1, 7), (8, 10), (10, 11), (11, 12), (12, 13)]
    assert text.text[text.spans[0].start : text.spans[0].end] == "iPhone 13"


def test_files_without_labels(tmp_path):
    assert not read(tmp_path, "王\n明\n\n去\n").has_labels
    assert not read(tmp_path, '{"id": 0, "text": "王明"}\n', "test.json").has_labels
    assert [t.text for t in read(tmp_path, "王\n明\n\n去\n").texts] == ["王明", "去"]


def test_nezha_reader(tmp_path):
    """NEZHA's sentences only end at a blank line after a full stop; the rest is dropped."""
    content = "王 B-PER\n\n。 O\n\n去 O\n\n北 B-LOC\n。 O\n\n京 O\n明 O\n"
    data = read(tmp_path, content, original_reader=True)
    assert [text.text for text in data.texts] == ["王。", "去北。"]
    assert any(note.startswith('2 tokens after the last "。"') for note in data.notes)
    assert len(read(tmp_path, content).texts) == 5


def test_i_at_the_start_is_kept_and_counted(tmp_path):
    data = read(tmp_path, "王 I-PER\n明 I-PER\n去 O\n\n北 B-LOC\n京 I-PER\n")
    assert entities(data) == [[("王明", "PER")], [("北", "LOC"), ("京", "PER")]]
    assert any(
        note.startswith("2 entities are accepted although the first tag continues one, such as I-")
        for note in data.notes
    )


@pytest.mark.parametrize(
    "content, expected",
    [
        ("王 B-PER\n明 Q-PER\n", r"train.txt, line 2: unknown tag 'Q-PER'"),
        ("王 B-PER\n明 I-\n", r"train.txt, line 2: the tag 'I-' has no type"),
        ("王 B-PER\n明 I-PER\n去 O\n北 B\n", r"train.txt, line 4: the tag 'B' has no type"),
        ("王 B-PER\n明\n去 O\n", r"train.txt, line 2: a column is missing: '明'"),
        ("王 B-PER\n明\tI-PER\n", r"line 2: mixed separators.*line 1 separates columns with a spa"),
        ("王\tB-PER\n明 I-PER\n", r"line 2: mixed separators.*line 1 separates columns with a TAB"),
        ("王 B-PER\n明 I-PER\n\n去 M-PER\n", r"train.txt, line 4: the tag 'M-PER' is not one"),
        ("王 B-PER\r明 I-PER\r", r"train.txt: its lines end with CR only"),
        ("王明  去\r北京  。\r\n", r"train.txt: its lines end with CR only"),
        ("\nlabel\ttext\nB-PER O\t王 明\n", r"line 2: found the columns label, text, expected te"),
        ("text_a\tlabel\n王 明\tB-PER O\n去 明\tO Q-PER\n", r"line 3: unknown tag 'Q-PER'"),
        ("王\n明 I-PER\n", r"train.txt, line 2: found '明 I-PER', expected one character"),
        ("", r"train.txt: has no texts"),
        ("\n\n\n", r"train.txt: has no texts"),
        ("text_a\tlabel\n王 明\tB-PER\n", r"line 2: 2 tokens and 1 label, "),
        ("text_a\tlabel\n王 明\n", r"line 2: 1 column, expected 2"),
        ("text_a\tlabel\n王  明\tB-PER O I-PER\n", r"line 2: an empty token: expected one space"),
        ("王\tB-PER\n\tB-LOC\n明\tI-PER\n", r"line 2: an empty token before its tag"),
        ("王明/PER 去/o\n北京/LOC 。\n", r"train.txt, line 2: '。' has no type"),
        ("1 王 B-PER\n2 明 I-PER\n\n1 去 O\n", r"column 1 counts the tokens \(1, 2, ...\): remove"),
        ("0\t王\tB-PER\n1\t明\tI-PER\n", r"column 1 counts the tokens"),
        ("王 B-PER\n明 I-PER\n\n去 O\r北 O\r\n", r"line 4: its lines end with CR only"),
    ],
)
def test_bad_files(tmp_path, content, expected):
    with pytest.raises(UserError, match=expected):
        read(tmp_path, content)
    with pytest.raises(UserError, match=expected):
        list(reader.stream_file(str(tmp_path / "train.txt")))


def test_numbers_that_are_tokens_stay(tmp_path):
    """Digits are tokens if another sentence is not numbered, or if there is no third column."""
    data = read(tmp_path, "1 数 O\n2 数 O\n\n3 数 O\n的 助 O\n")
    assert [text.text for text in data.texts] == ["12", "3的"]
    assert read(tmp_path, "1 O\n2 O\n").texts[0].text == "12"


def test_gbk_is_named_and_read_with_the_flag(tmp_path):
    content = COLUMNS.replace("王", "中华人民共和国")
    path = written(tmp_path, content, encoding="gbk")
    with pytest.raises(UserError, match="GBK"):
        reader.read_file(path)
    assert reader.read_file(path, encoding="gb18030").texts[1].text == "北京。"


@pytest.mark.slow
def test_one_sentence_of_50000_characters(tmp_path):
    data = read(tmp_path, "王 B-PER\n明 I-PER\n" * 25000)
    assert len(data.texts) == 1 and len(data.texts[0].text) == 50000
    assert len(data.texts[0].spans) == 25000
    assert any("no blank line between sentences" in note for note in data.notes)


def test_empty_texts_are_counted(tmp_path):
    data = read(tmp_path, '{"text": "", "label": {}}\n{"text": "王", "label": {}}\n', "a.json")
    assert len(data.texts) == 1 and data.notes == ["1 empty text was skipped"]


def cluener(text, mention, start, end):
    return json.dumps({"text": text, "label": {"x": {mention: [[start, end]]}}})


@pytest.mark.parametrize(
    "record, expected",
    [
        (cluener("在浙商银行", "浙商银行", 1, 5), r"line 1: x '浙商银行' at 1-5.*end is exclusive"),
        (cluener("在浙商银行", "浙商银行", 1, 9), r"at 1-9, where .*: expected 1-4"),
        (cluener("在浙商银行", "浙商银行", 0, 3), r"has '在浙商银': expected 1-4"),
        (cluener("在浙商银行", "浙商银行", 3, 14), r"count bytes of UTF-8.*--offset_unit=bytes"),
        (cluener("😀在浙商", "浙商", 3, 4), r"count units of UTF-16.*--offset_unit=utf16"),
        (cluener("在浙商银行", "招商银行", 1, 4), r"the text does not have it"),
        (cluener("在浙商银行", "浙商银行", 7, 9), r"the text \(5 characters\)"),
        (
            '{"text": "在", "label": {"x": {"在": [0, 0]}}}',
            r"label.x.在\[0\]: expected a list of 2, found 0",
        ),
        (
            '{"text": "在浙商", "label": [[3, 9, "x"]]}',
            r"x '' at 3-9, .* if its positions count bytes of UTF-8, pass --offset_unit=bytes",
        ),
        ('{"text": "😀浙商", "label": [[2, 4, "x"]]}', r"of UTF-16, pass --offset_unit=utf16"),
        ('{"label": {}}', r"line 1: text is missing"),
        ('{"text": "在"', r"line 1: not valid JSON"),
    ],
)
def test_bad_cluener(tmp_path, record, expected):
    with pytest.raises(UserError, match=expected):
        read(tmp_path, record, "train.json")


def test_half_a_character_of_json_is_replaced_in_texts_and_mentions(tmp_path):
    record = '{"text": "\\ud83d王明", "label": {"PER": {"\\ud83d王": [[0, 1]]}}}\n'
    (text,) = read(tmp_path, record).texts
    assert text.text == "\ufffd王明"
    line = json_files.json_line("cluener", text.text, text.spans)
    assert json.loads(line)["label"] == {"PER": {"\ufffd王": [[0, 1]]}}


def test_a_table_without_its_header_is_named(tmp_path):
    with pytest.raises(UserError, match="t.tsv, line 1: .* or in line 1 the header text_a and lab"):
        read(tmp_path, "王 明\tB-PER I-PER\n北 京\tB-LOC I-LOC\n", "t.tsv")


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize(
    "entities, name",
    [
        ({"label": {"PER": {"王明": [[0, 1]]}}}, "cluener"),
        ({"labels": [[0, 2, "PER"]]}, "doccano"),
        ({"entity_list": [{"entity_index": {"begin": 0, "end": 2}, "entity_type": "PER"}]}, None),
    ],
)
def test_a_list_of_objects_is_read_as_json_lines_are(tmp_path, entities, name, indent):
    rows = [dict(entities, text="王明去北京"), dict(entities, text="王明]")]
    for written in (rows, {"0": rows[0], "1": rows[1]}):
        content = json.dumps(written, ensure_ascii=False, indent=indent)
        data = read(tmp_path, content, "train.json")
        assert data.format == (name or "entity_list")
        assert [text.text for text in data.texts] == ["王明去北京", "王明]"]
        assert all(text.spans == [Span(0, 2, "PER")] for text in data.texts)


@pytest.mark.parametrize("labels", ['"entity_list": []', '"label": {}'])
def test_labels_of_the_other_form_are_not_left_out(tmp_path, labels):
    plain = '{"text": "王明去北京"}\n'
    first = '{"text": "北", "entity_list": []}\n' if "label" in labels else ""
    path = tmp_path / "train.json"
    path.write_text(first + plain * 12 + '{"text": "北京", %s}\n' % labels, encoding="utf-8")
    with pytest.raises(
        UserError, match="train.json, line 1[34]: has (entity_list|label), but according to"
    ):
        reader.read_file(str(path))


def test_entity_list_with_inclusive_ends_is_named(tmp_path):
    record = {
        "text": "在浙商银行",
        "entity_list": [
            {"entity_index": {"begin": 1, "end": 4}, "entity_type": "x", "entity": "浙商银行"}
        ],
    }
    with pytest.raises(UserError, match="end is inclusive, as in the form cluener"):
        read(tmp_path, json.dumps(record), "train.json")


@pytest.mark.parametrize(
    "changes, expected",
    [
        ({"end_idx": 5}, r"line 1: x '浙商银行' at 1-5.*end is exclusive.*expected an inclusive"),
        ({"end_idx": 3}, r"at 1-3, where .* has '浙商银': expected 1-4"),
        ({"entity": None}, r"entities\[0\].entity: expected a text"),
        ({"entity": "招商银行"}, r"the text does not have it"),
        ({"start_idx": 3, "end_idx": 14}, r"count bytes of UTF-8.*--offset_unit=bytes"),
    ],
)
def test_spans_of_cmeee_have_to_be_their_mentions(tmp_path, changes, expected):
    entity = {"start_idx": 1, "end_idx": 4, "type": "x", "entity": "浙商银行"}
    lines = [json.dumps({"text": "在浙商银行", "entities": [entity]}, ensure_ascii=False)] * 2
    data = read(tmp_path, "\n".join(lines), "train.json")
    assert [text.spans for text in data.texts] == [[Span(1, 5, "x")]] * 2
    lines[0] = json.dumps({"text": "在浙商银行", "entities": [dict(entity, **changes)]})
    with pytest.raises(UserError, match=expected):
        read(tmp_path, "\n".join(lines), "train.json")


GOOD_JSON = '{"text": "王明", "label": {"PER": {"王明": [[0, 1]]}}}\n'


@pytest.mark.parametrize(
    "content, name, file_format, first",
    [
        ("王 B-PER\n明 I-PER\n\n京\n北 O\n\n王 B-PER\n明 I-PER\n", "a.txt", None, "line 4"),
        ("王 B-PER\n明 I-PER\n\n京 K-x\n\n王 B-PER\n明 I-PER\n", "a.txt", None, "line 4"),
        (GOOD_JSON + "{\n" + GOOD_JSON, "a.json", None, "line 2"),
        (GOOD_JSON + GOOD_JSON.replace("1", "7") + GOOD_JSON, "a.json", None, "line 2"),
        ("王明/PER\n京 /x\n王明/PER\n", "a.txt", "slash", "line 2"),
        ("text_a\tlabel\n王 明\tB-PER I-PER\n王\n王 明\tB-PER I-PER\n", "a.tsv", None, "line 3"),
    ],
)
def test_rows_that_do_not_fit_are_left_out_on_demand(tmp_path, content, name, file_format, first):
    with pytest.raises(UserError, match=first):
        read(tmp_path, content, name, file_format=file_format)
    data = read(tmp_path, content, name, file_format=file_format, bad_rows=BadRows(True))
    assert entities(data) == [[("王明", "PER")]] * 2
    assert any("1 invalid row was skipped (first: " in note for note in data.notes)
    streamed = reader.stream_file(data.path, file_format, bad_rows=BadRows(True))
    assert list(streamed) == data.texts


def test_a_streamed_file_is_not_read_ahead(tmp_path):
    texts = reader.stream_file(written(tmp_path, GOOD_JSON + "{\n", "a.json"))
    assert next(texts).text == "王明"
    with pytest.raises(UserError, match="line 2"):
        next(texts)


@pytest.mark.parametrize("unit, start, end", [("bytes", 7, 12), ("utf16", 3, 4)])
def test_other_units_are_read_with_the_flag(tmp_path, unit, start, end):
    data = read(tmp_path, cluener("😀在浙商", "浙商", start, end), "a.json", offset_unit=unit)
    assert data.texts[0].spans == [Span(2, 4, "x")]


def test_overlaps_are_named_and_resolved_on_demand(tmp_path):
    record = {
        "text": "南京大学",
        "label": {"org": {"南京大学": [[0, 3]]}, "loc": {"南京": [[0, 1]]}},
    }
    data = read(tmp_path, json.dumps(record), "train.json")
    with pytest.raises(
        UserError, match=r"train.json, line 1: '南京' \(loc, 0-2\) and '南京大学'.*glo"
    ):
        reader.without_overlaps(data, BadRows())
    flat = reader.keep_longest(data)
    assert reader.without_overlaps(flat, BadRows()) == flat
    left = reader.without_overlaps(data, BadRows(True))
    assert not left.texts and "1 invalid row was skipped" in left.notes[-1]
    assert flat.texts[0].spans == [Span(0, 4, "org")]
    assert flat.notes[-1] == "1 entity that overlaps a longer one was ignored"


def test_the_longest_of_many_overlapping_entities_stay():
    generator = random.Random(2)
    for _ in range(100):
        spans = [Span(n, n + generator.randint(1, 6), "x") for n in generator.sample(range(30), 9)]
        kept = []
        for span in sorted(spans, key=lambda span: (span.start - span.end, span.start)):
            if all(not set(range(*span[:2])) & set(range(*other[:2])) for other in kept):
                kept.append(span)
        text = LabelledText("字" * 40, sorted(spans), None, 1)
        assert reader.without_shorter(text).spans == sorted(kept)


def test_types_that_training_has_not(tmp_path):
    data = read(tmp_path, "王 B-PRE\n明 I-PRE\n\n京 B-LOC\n", "dev.txt")
    with pytest.raises(UserError, match=r"dev.txt, line 1: the type 'PRE' \(1 times.*are LOC, PER"):
        reader.check_types(["PER", "LOC"], data)
    reader.check_types(["PRE", "LOC"], data)


@pytest.mark.parametrize(
    "content, settings, line",
    [
        ("去 O\n\n王 B-PER\n明 I-PER\n京 B-PRE\n", {}, 5),
        ("去 O\niPhone B-PER\n13 I-PER\n京 B-PRE\n", {}, 4),
        ("去 O\n\n王 O\n京 B-PRE\n。 O\n\n", {"original_reader": True}, 4),
        ("text_a\tlabel\n王 明\tB-PER O\n去 京\tO B-PRE\n", {}, 3),
        ('{"text": "王明去", "label": {"PRE": {"明": [[1, 1]]}}}\n', {}, 1),
    ],
)
def test_the_line_of_a_type_that_training_has_not(tmp_path, content, settings, line):
    with pytest.raises(UserError, match=r"dev.txt, line %d: the type 'PRE'" % line):
        reader.check_types(["PER"], read(tmp_path, content, "dev.txt", **settings))


def test_lines_of_json_are_read_again(tmp_path):
    spans = [Span(0, 2, "PER"), Span(3, 5, "LOC"), Span(5, 7, "PER")]
    text = "王明在北京王明"
    for file_format in json_files.FORMATS:
        line = json_files.json_line(file_format, text, spans)
        data = read(tmp_path, line, file_format + ".json")
        assert data.format == file_format
        assert data.texts[0].spans == spans
    submission = json.loads(json_files.json_line("cluener", text, spans, identifier=7))
    assert submission["id"] == 7
    assert submission["label"]["PER"] == {"王明": [[0, 1], [5, 6]]}


@pytest.mark.parametrize(
    "name, texts, num_entities, scheme",
    [
        ("ner_cluener/train.json", 10748, 23972, None),
        ("ner_resume/test.char.bmes", 477, 1630, "BMES"),
        ("cws_two_granularity/train.fine.txt", 3997, 98608, None),
    ],
)
def test_public_data(shared, name, texts, num_entities, scheme):
    """The numbers of sentences and spans are those that the data sets' documentation states."""
    data = reader.read_file("%s/data/%s" % (shared, name))
    assert len(data.texts) == texts
    assert sum(len(text.spans) for text in data.texts) == num_entities
    assert (data.scheme and data.scheme.name) == scheme
