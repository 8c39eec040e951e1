"""Reading raw text into documents: formats, encodings, sentences, notes and counts."""

import collections
import gzip
import json

import pytest

from albert_zh.common.errors import UserError
from albert_zh.corpus import reader as corpus_reader


def shards_of(paths, text_format=corpus_reader.PLAIN, characters=1 << 17):
    return list(corpus_reader.read_shards([str(path) for path in paths], text_format, characters))


def documents_of(paths, text_format=corpus_reader.PLAIN):
    return [document for shard in shards_of(paths, text_format) for document in shard.documents]


def counts_of(shards):
    return sum((shard.counts for shard in shards), collections.Counter())


@pytest.mark.parametrize(
    "text, sentences",
    [
        ("今天下雨。明天呢？太好了！", ["今天下雨。", "明天呢？", "太好了！"]),
        ("他说：“走吧！”然后走了。", ["他说：“走吧！”", "然后走了。"]),
        ("「真的吗？！」她问；没人答……", ["「真的吗？！」", "她问；", "没人答……"]),
        ("没有句号的标题", ["没有句号的标题"]),
        ("（见第二章。）他想了想", ["（见第二章。）", "他想了想"]),
        ('他说："走吧。"然后走了。', ['他说："走吧。"', "然后走了。"]),
        ("见http://a.cn/?b=1&c=2!好不好!好", ["见http://a.cn/?b=1&c=2!", "好不好!", "好"]),
        ("  。 。\t", ["。", "。"]),
        ("", []),
    ],
)
def test_sentences_end_at_their_marks_and_closing_quotes(text, sentences):
    assert corpus_reader.split_sentences(text) == sentences
    assert "".join("".join(sentences).split()) == "".join(text.split())


def test_paragraphs_are_split_only_when_asked(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("一。二。\n三\n\n四！五", encoding="utf-8")
    assert documents_of([path]) == [["一。二。", "三"], ["四！五"]]
    split = corpus_reader.TextFormat(split_sentences=True)
    assert documents_of([path], split) == [["一。", "二。", "三"], ["四！", "五"]]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "gbk", "utf-16", "big5"])
def test_encodings_line_ends_and_marks(encoding, tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes("今天\r\n\r\n \u3000\r\n明天 \r\nabc".encode(encoding))
    named = corpus_reader.TextFormat(encoding=encoding)
    assert documents_of([path], named) == [["今天"], ["明天", "abc"]]
    (shard,) = shards_of([path], named)
    assert shard.counts == {"lines": 5, "blank lines": 2}


def test_wrong_encodings_name_the_line(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"abc\n\n" + "我们在这里说中文的句子\n".encode("gbk"))
    with pytest.raises(UserError, match="line 3: the file is in GBK.*--encoding=gb18030"):
        shards_of([path])
    with pytest.raises(UserError, match="knows no encoding named 'klingon'"):
        shards_of([path], corpus_reader.TextFormat(encoding="klingon"))
    assert documents_of([path], corpus_reader.TextFormat(encoding="gb18030"))[1][0].startswith(
        "我们"
    )


def test_json_lines(tmp_path):
    path = tmp_path / "a.jsonl.gz"
    rows = [
        {"title": "标题", "text": "一。二。\n\n三。", "more": 1},
        {"text": "四。"},
        {"title": None, "text": ""},
    ]
    text = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n\n"
    path.write_bytes(gzip.compress(text.encode()))
    assert documents_of([path]) == [["标题", "一。二。", "三。"], ["四。"]]
    news = tmp_path / "news.json"
    news.write_text('{"title": "标题", "desc": "", "content": "一。"}\n', encoding="utf-8")
    assert documents_of([news]) == [["标题", "一。"]]
    split = corpus_reader.TextFormat(split_sentences=True)
    assert documents_of([path], split) == [["标题", "一。", "二。", "三。"], ["四。"]]
    assert counts_of(shards_of([path])) == {"lines": 4, "blank lines": 2}
    for line, message in (
        ("[1]", "line 1: contains no text"),
        ('{"text": 3}', "line 1: contains no text"),
        ('{"text": "a", "title": 1}', "line 1: the title is not a string"),
        ('{"text"', "line 1: not valid JSON"),
        ("[" * 100000, "line 1: not valid JSON"),
        ('{"text": "一。", "text": "二。"}', "line 1: not valid JSON .*key 'text' twice"),
    ):
        wrong = tmp_path / "b.jsonl"
        wrong.write_text(line)
        with pytest.raises(UserError, match=message):
            shards_of([wrong])


def test_json_lines_without_an_ending_are_known_by_their_first_line(tmp_path):
    """Regression: records of such files (wiki_zh's AA/wiki_00) contained braces, keys and URLs."""
    rows = [
        {"id": "1", "url": "https://a", "title": "标题", "text": "一。\n二。"},
        {"text": "三。"},
    ]
    content = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n"
    expected = [["标题", "一。", "二。"], ["三。"]]
    for name, data in {
        "wiki_00": b"\xef\xbb\xbf" + content.encode(),
        "wiki_01.gz": gzip.compress(content.encode()),
        "news.txt": content.encode(),
    }.items():
        (tmp_path / name).write_bytes(data)
        assert documents_of([tmp_path / name]) == expected
    notes = [note for shard in shards_of([tmp_path / "news.txt"]) for note in shard.notes]
    assert notes == [(corpus_reader.JSON_BY_CONTENT, str(tmp_path / "news.txt"))]
    (tmp_path / "wiki_02").write_bytes(content.encode("gb18030"))
    text_format = corpus_reader.TextFormat(encoding="gb18030")
    assert documents_of([tmp_path / "wiki_02"], text_format) == expected
    original = corpus_reader.TextFormat(as_original=True)  # reads the lines as plain text
    assert documents_of([tmp_path / "news.txt"], original)[0][0].startswith('{"id"')
    for line in ('{"a": 1}', "{天气}", '{"text": 1}', "[1]", '{"text": "一。"'):
        (tmp_path / "plain").write_text(line + "\n二。\n", encoding="utf-8")
        assert documents_of([tmp_path / "plain"]) == [[line, "二。"]]


def test_half_a_character_of_json_is_replaced(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "第一段\\ud83d。", "title": "\\ud83d\\ude00"}\n', encoding="utf-8")
    assert documents_of([path]) == [["\U0001f600", "第一段\ufffd。"]]


def test_a_file_that_two_patterns_fit_is_read_once(tmp_path, capsys):
    for name in "ab":
        (tmp_path / (name + ".txt")).write_text(name)
    a, b = (str(tmp_path / (name + ".txt")) for name in "ab")
    assert corpus_reader.input_files("%s,%s/*.txt,%s" % (b, tmp_path, tmp_path)) == [b, a]
    assert "note: --input_file: 3 files are named more than once, and read once" in "".join(
        capsys.readouterr()
    )


def test_folders_patterns_and_names(tmp_path):
    for name in ("b/2.txt", "b/c/1.gz", "b/.hidden", "b/.x/3.txt", "a.txt", "b/out.tfrecord"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")

    def found(patterns):
        patterns = ",".join(str(tmp_path / pattern) for pattern in patterns)
        output = str(tmp_path / "b" / "out.tfrecord")
        paths = corpus_reader.input_files(patterns, leave_out=[output])
        return [path[len(str(tmp_path)) + 1 :] for path in paths]

    assert found(["b", "a.txt"]) == ["b/2.txt", "b/c/1.gz", "a.txt"]
    assert found(["**/*.txt"]) == ["a.txt", "b/2.txt"]
    assert found(["*"]) == ["a.txt", "b/2.txt", "b/c/1.gz"]
    (tmp_path / "empty").mkdir()
    for pattern in ("empty", "nothing*", "nothing"):
        with pytest.raises(UserError, match="--input_file=.*%s.*no such file" % pattern[:5]):
            found([pattern])


def test_commas_alone_name_no_file():
    """Regression: no file was read, and statistics of no records raised ZeroDivisionError."""
    for patterns in (",", " , ", " "):
        with pytest.raises(
            UserError, match="--input_file= *,? *: contains no file name: expected files"
        ):
            corpus_reader.input_files(patterns)
    assert corpus_reader.input_files("", "exclude") == []  # a flag that was not given


def test_an_output_folder_among_the_texts_is_no_text(tmp_path):
    """A resumed run must not read its log and tables as text."""
    for name in ("b/2.txt", "b/run/train.log", "b/run/records/1.tfrecord", "b/run_2/3.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")

    def found(pattern, output="b/run"):
        paths = corpus_reader.input_files(
            str(tmp_path / pattern), output_dir=str(tmp_path / output) + "/"
        )
        return [path[len(str(tmp_path)) + 1 :] for path in paths]

    for pattern in ("b", "b/*"):
        assert found(pattern) == ["b/2.txt", "b/run_2/3.txt"]
    assert found("b/run/records") == found("b/run/rec*") == ["b/run/records/1.tfrecord"]
    assert found("b/run/records/*") == found("b/run/records/1.tfrecord")
    assert found("b/run") == ["b/run/records/1.tfrecord", "b/run/train.log"]
    assert len(found("b", output="b")) == 4
    with pytest.raises(UserError, match="b/ru[?]: no such file"):
        found("b/ru?")


def test_links_are_followed_and_dead_ends_are_told(tmp_path, monkeypatch):
    (tmp_path / "far" / "deep").mkdir(parents=True)
    (tmp_path / "far" / "deep" / "1.txt").write_text("x")
    (tmp_path / "near").mkdir()
    (tmp_path / "near" / "a,b.txt").write_text("x")
    (tmp_path / "near" / "sub").symlink_to(tmp_path / "far")
    (tmp_path / "far" / "deep" / "circle").symlink_to(tmp_path / "near")
    near = str(tmp_path / "near")
    assert corpus_reader.input_files(near) == [near + "/a,b.txt", near + "/sub/deep/1.txt"]
    assert corpus_reader.input_files(near + "/a,b.txt") == [near + "/a,b.txt"]
    (tmp_path / "near" / "gone.txt").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UserError, match="near/gone.txt is a link to a file that does not exist"):
        corpus_reader.input_files(near)

    def refuse(path):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(corpus_reader.os, "scandir", refuse)
    with pytest.raises(UserError, match="near: cannot be read: Permission denied"):
        corpus_reader.input_files(near)


def test_line_ends_of_old_macs_are_told(tmp_path):
    (tmp_path / "a.txt").write_bytes("今天\r明天\r".encode())
    with pytest.raises(UserError, match="a.txt: its lines end with CR only"):
        documents_of([tmp_path / "a.txt"])
    (tmp_path / "a.txt").write_bytes("今天\r".encode())
    assert documents_of([tmp_path / "a.txt"]) == [["今天"]]


def test_a_long_line_of_another_encoding_is_named(tmp_path):
    (tmp_path / "a.txt").write_bytes(("x" + "我们的字" * 50000).encode("gbk"))
    with pytest.raises(UserError, match="line 1: the file is in GBK"):
        documents_of([tmp_path / "a.txt"])


def test_what_is_strange_is_noted(tmp_path):
    contents = {
        "empty.txt": "",
        "one_line.txt": "只有一行",
        "solid.txt": "一\n二\n三\n",
        "control.txt": "好\n\n坏\x00\x01\n\n\ufffd\n\x07\n",
        "long.txt": "短\n\n" + "长" * 40000 + "\n\n短",
        "json.jsonl": json.dumps({"text": "a\u0007b"}),
        "macs.txt": "一。\r二。\r\n三。\r四。\n\n五。\r\n",
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content.encode())
    paths = [str(tmp_path / name) for name in contents]
    shards = shards_of(paths)
    place = dict(zip(contents, paths))
    assert [note for shard in shards for note in shard.notes] == [
        (corpus_reader.EMPTY_FILE, place["empty.txt"]),
        (corpus_reader.ONE_DOCUMENT, place["solid.txt"]),
        (corpus_reader.CONTROL_CHARACTERS, place["control.txt"] + ", line 3"),
        (corpus_reader.CONTROL_CHARACTERS, place["control.txt"] + ", line 5"),
        (corpus_reader.CONTROL_CHARACTERS, place["control.txt"] + ", line 6"),
        (corpus_reader.LONG_LINE, place["long.txt"] + ", line 3"),
        (corpus_reader.CONTROL_CHARACTERS, place["json.jsonl"] + ", line 1"),
        (corpus_reader.RETURNS, place["macs.txt"] + ", line 1"),
        (corpus_reader.RETURNS, place["macs.txt"] + ", line 2"),
    ]
    lines = sum(text.count("\n") + (not text.endswith("\n")) for text in contents.values() if text)
    assert counts_of(shards)["lines"] == lines
    assert shards[-1].bytes_read == sum(len(text.encode()) for text in contents.values())


@pytest.mark.parametrize("is_json", [False, True])
def test_a_line_of_any_length_is_parted_behind_sentences(is_json, tmp_path):
    sentence = "这是一个普通的句子，它不长也不短。"
    text = sentence * 100000  # 5 MB
    path = tmp_path / ("a.jsonl" if is_json else "a.txt")
    path.write_text(json.dumps({"text": text}) if is_json else text, encoding="utf-8")
    shards = shards_of([path])
    assert len(shards) > 4
    assert all(shard.continues for shard in shards[1:])
    parts = [part for shard in shards for document in shard.documents for part in document]
    assert "".join(parts) == text
    assert max(map(len, parts)) < 17000 and all(part.endswith("。") for part in parts)
    assert counts_of(shards)["lines"] == 1
    assert [kind for shard in shards for kind, _ in shard.notes] == [corpus_reader.LONG_LINE]
    # The original does not split lines, so its records need the whole line.
    (document,) = documents_of([path], corpus_reader.TextFormat(as_original=True))[:1]
    assert is_json or document == [text]


def test_damaged_files_are_told(tmp_path):
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress("好\n".encode() * 9999)[:-20])
    with pytest.raises(UserError, match="truncated or damaged"):
        shards_of([path])
