"""Tests of building vocabularies: entries, byte-identical output, coverage, error messages."""

import collections
import glob
import gzip
import json
import os
import random
import subprocess
import sys

import pytest

pytest.importorskip("tokenizers")

from albert_zh.common import files
from albert_zh.common.errors import UserError
from albert_zh.text import tokenization, vocabulary_builder
from project_root import ROOT

STARTER = os.path.join(ROOT, "albert_starter_zh")
STARTER_VOCAB = os.path.join(STARTER, "vocab.txt")
STARTER_MIN_COUNT = 11
GB2312_HANZI = 6763
MOST_UNKNOWN = 0.001
SAMPLED_LINES = 4000

# Folders of the text sets that the starter vocabulary must cover.
TEXT_SETS = [
    "afqmc",
    "chnsenticorp",
    "cmrc2018",
    "fewclue_cluewsc",
    "fewclue_csl",
    "fewclue_iflytek",
    "lcqmc",
    "ner_cluener",
    "raw_cluecorpussmall_sample",
    "raw_news_zh_1",
    "thucnews10",
    "tnews",
    "xnli_zh",
]

LINES = [
    "今天 running 的 walking 很 talking 好 python3，😀😀 iPhone15 说：Café 2024年",
    "這個 singing 㗎 α粒子 ring 的 king 20240101 — 1999 年 iphone1999 😀",
]


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "corpus.txt"
    path.write_text("\n".join(LINES * 20) + "\n", encoding="utf-8")
    return str(path)


def run(*arguments, **environment):
    """Runs the command; returns (exit status, stdout, stderr)."""
    process = subprocess.run(
        [sys.executable, os.path.join(ROOT, "build_vocab.py")] + list(arguments),
        capture_output=True,
        env=dict(os.environ, PYTHONIOENCODING="utf-8", **environment),
        check=False,
    )
    return process.returncode, process.stdout.decode("utf-8"), process.stderr.decode("utf-8")


def entries_of(path, **settings):
    """Returns the groups of entries chosen for one corpus file."""
    lower = settings.get("do_lower_case", True)
    return vocabulary_builder.choose_entries(
        vocabulary_builder.count_corpus([path], lower), **settings
    )


def flat(groups):
    return [entry for entries in groups.values() for entry in entries]


def assert_fails(result, *words):
    """Asserts that the command failed without a traceback, with one line that has all the words."""
    status, _, stderr = result
    assert status == 2
    assert "Traceback" not in stderr
    message = stderr.strip().split("\n")[-1]
    assert message.startswith("build_vocab.py: error: ")
    for word in words:
        assert word in message


def test_entries_are_of_the_size_asked_for_without_doubles_or_blanks(corpus):
    entries = flat(entries_of(corpus, vocab_size=7400))
    assert len(entries) == len(set(entries)) == 7400
    assert entries[:5] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    assert all(entry == entry.strip() and entry.isprintable() and entry for entry in entries)


def test_all_hanzi_of_the_set_are_there(corpus):
    vocab = set(flat(entries_of(corpus, vocab_size=7400)))
    hanzi = [
        bytes((row, cell)).decode("gb2312", "ignore")
        for row in range(0xB0, 0xF8)
        for cell in range(0xA1, 0xFF)
    ]
    hanzi = [char for char in hanzi if char]
    assert len(hanzi) == GB2312_HANZI
    assert vocab.issuperset(hanzi)
    without = entries_of(corpus, vocab_size=300, hanzi_set="none")
    assert "龋" not in flat(without) and "今" in without["characters of the corpus"]


def test_no_latin_word_number_or_sign_is_unknown(corpus):
    vocab = set(flat(entries_of(corpus, vocab_size=7400)))
    wordpiece = tokenization.WordpieceTokenizer(vocab)
    basic = tokenization.BasicTokenizer()
    generator = random.Random(1)
    for _ in range(300):
        text = "".join(chr(generator.randrange(33, 127)) for _ in range(12))
        pieces = [piece for word in basic.tokenize(text) for piece in wordpiece.split_word(word)]
        assert "[UNK]" not in pieces, text
    for sign in "，。！？；：“”‘’（）《》、…—·～￥％＋［］＠＂｛｝「」『』【】":
        assert sign in vocab


def test_characters_are_chosen_by_count_and_place_in_the_word(corpus):
    groups = entries_of(corpus, vocab_size=7400, min_count=40)
    # 😀😀 in one line and 😀 in the other: 40 occurrences at the start of a word, 20 within one.
    assert "😀" in groups["characters of the corpus"]
    assert "##😀" not in flat(groups)
    assert "㗎" not in flat(groups)
    groups = entries_of(corpus, vocab_size=7400, min_count=20)
    # The most frequent entries come first; equally frequent ones are sorted by code point.
    assert groups["characters of the corpus"] == ["😀", "##😀", "α", "㗎", "個", "這"]


def test_word_pieces_come_from_the_corpus(corpus):
    groups = entries_of(corpus, vocab_size=7400, min_count=20)
    pieces = groups["word pieces"]
    # Six words end in "ing": running, walking, talking, singing, ring, king. "in" is merged first.
    assert pieces[0] == "##in" and pieces[1] == "##ing"
    assert "python3" in pieces and "cafe" in pieces and "iphone" not in pieces[:3]
    assert all(len(piece.replace("##", "")) > 1 for piece in pieces)
    assert not any(piece in groups["letters and digits"] for piece in pieces)
    assert entries_of(corpus, vocab_size=7400, min_count=1000)["word pieces"] == []


def test_word_pieces_respect_the_room(corpus):
    base = 7400 - len(entries_of(corpus, vocab_size=7400)["unused entries"])
    groups = entries_of(corpus, vocab_size=base - 10)
    assert groups["unused entries"] == [] and len(flat(groups)) == base - 10
    full = entries_of(corpus, vocab_size=7400)["word pieces"]
    assert groups["word pieces"] == full[:-10]


def test_room_too_small_for_the_corpus_characters_keeps_the_most_frequent(corpus):
    mandatory = len(flat(vocabulary_builder._mandatory_entries("gb2312", "", True)))
    groups = entries_of(corpus, vocab_size=mandatory + 2, min_count=20)
    assert groups["characters of the corpus"] == ["😀", "##😀"]
    assert groups["word pieces"] == [] and len(flat(groups)) == mandatory + 2


def test_what_does_not_fill_is_unused_entries(corpus):
    groups = entries_of(corpus, vocab_size=7500)
    unused = groups["unused entries"]
    assert unused[0] == "[unused1]" and unused[-1] == "[unused%d]" % len(unused)
    assert flat(groups)[-len(unused) :] == unused


def test_forced_characters_are_never_unknown(corpus):
    groups = entries_of(corpus, vocab_size=7400, forced_chars="鱻 Ωが\n好")
    # Forced characters are lower-cased and lose accents, as texts do; hanzi get no ## entry;
    # 好 is in the vocabulary already.
    assert groups["forced characters"] == ["鱻", "ω", "か", "##ω", "##か"]
    assert flat(groups).count("好") == 1


def test_cased_vocabulary_has_capitals(corpus):
    lower = flat(entries_of(corpus, vocab_size=7500))
    cased = flat(entries_of(corpus, vocab_size=7500, do_lower_case=False))
    assert "A" not in lower and "##A" not in lower
    assert {"A", "##Z", "z"}.issubset(cased)


def test_rare_latin_words_are_forgotten_when_memory_is_short(corpus, monkeypatch):
    monkeypatch.setattr(vocabulary_builder, "_MAX_DISTINCT_WORDS", 3)
    counts = vocabulary_builder.CorpusCounts()
    counts.add({"aa bb": 1, "cc": 2, "dd": 5, "ee": 5, "好": 1})
    assert counts.latin_words == {"cc": 2, "dd": 5, "ee": 5} and counts.forgotten == 1
    assert counts.pieces["##a"] == 1 and counts.pieces["好"] == 1


def test_counts_do_not_depend_on_batches(corpus, monkeypatch):
    expected = vocabulary_builder.count_corpus([corpus])
    monkeypatch.setattr(vocabulary_builder, "_MAX_DISTINCT_CHUNKS", 5)
    monkeypatch.setattr(vocabulary_builder, "_BLOCK_BYTES", 100)
    counts = vocabulary_builder.count_corpus([corpus])
    assert counts.pieces == expected.pieces and counts.latin_words == expected.latin_words
    assert counts.pieces["😀"] == 40 and counts.latin_words["iphone1999"] == 20


def test_chunks_agree_with_the_tokenizer():
    """Splitting a text into chunks before tokenization must not change its words."""
    generator = random.Random(3)
    alphabet = "ab1Σé😀中国㐀\U00020000，。·—…~$（가がﬁ〇①－ "
    alphabet += "\u3000\u00a0\u2028\u2009\u200b\u0301\x85\x1c\t"
    basic = tokenization.BasicTokenizer()
    for _ in range(500):
        text = "".join(generator.choice(alphabet) for _ in range(30))
        expected = [word.replace("ς", "σ") for word in basic.tokenize(text)]
        chunks = vocabulary_builder._CHUNK.findall(text)
        words = [word.replace("ς", "σ") for chunk in chunks for word in basic.tokenize(chunk)]
        assert words == expected, repr(text)


def test_same_bytes_in_every_process(tmp_path):
    generator = random.Random(5)
    words = ["".join(generator.choice("abcde12") for _ in range(6)) for _ in range(400)]
    corpus = tmp_path / "corpus.txt"
    corpus.write_text(" ".join(words * 4) + " 中文\n", encoding="utf-8")
    outputs = set()
    for number, threads in enumerate(("1", "2", "2")):
        output = tmp_path / ("vocab%d.txt" % number)
        status, _, stderr = run(
            "--corpus=%s" % corpus,
            "--output=%s" % output,
            "--vocab_size=7300",
            "--min_count=2",
            RAYON_NUM_THREADS=threads,
            PYTHONHASHSEED=str(number),
        )
        assert status == 0, stderr
        outputs.add(output.read_bytes())
    assert len(outputs) == 1
    entries = outputs.pop().decode("utf-8").split("\n")
    assert len(entries) == 7301 and entries[-1] == ""
    assert entries[7299] != "[unused1]" and not entries[7299].startswith("[unused")


def test_command_takes_patterns_gzip_and_json(tmp_path):
    (tmp_path / "a.txt").write_text("㐀 " * 20, encoding="utf-8")
    with gzip.open(str(tmp_path / "b.txt.gz"), "wb") as handle:
        handle.write("㐁 ".encode() * 20)
    # json.dumps escapes hanzi by default; the key is not counted as text.
    record = json.dumps({"㐂": ["㐃 " * 20, {"x": "㐄 " * 20}], "n": 1})
    (tmp_path / "c.json").write_text(record + '\n\n"㐅"\n', encoding="utf-8")
    forced = tmp_path / "forced.txt"
    forced.write_text("㐆\n㐇\n", encoding="utf-8")
    output = tmp_path / "new folder" / "vocab.txt"
    status, stdout, _ = run(
        "--corpus=%s,%s,%s" % (tmp_path / "*.txt.gz", tmp_path / "a.txt", tmp_path / "[ac].*"),
        "--output=%s" % output,
        "--hanzi_set=none",
        "--vocab_size=300",
        "--forced_chars=㐈",
        "--forced_chars_file=%s" % forced,
    )
    assert status == 0
    entries = output.read_text(encoding="utf-8").split("\n")[:-1]
    assert len(entries) == 300
    assert [entry for entry in entries if "㐀" <= entry[0] <= "㐿"] == list("㐈㐆㐇㐀㐁㐃㐄")
    assert "warning: the corpus does not fill the vocabulary" in stdout
    assert "pass --vocab_size=%d" % (300 - _unused(entries)) in stdout
    assert "a.txt: -" in stdout and "c.json: 㐅*1" in stdout


def _unused(entries):
    return sum(entry.startswith("[unused") for entry in entries)


def test_coverage_counts(tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("中国 龘ab b龘\n1\u3000x龘 %s\n" % ("a" * 201), encoding="utf-8")
    coverage = vocabulary_builder.measure_coverage(str(text), {"中", "国", "ab", "1", "x", "b"})
    assert coverage.characters == 2 + 3 + 2 + 1 + 2 + 201
    # The tokens are 中 国 龘 ab b 龘 1 x 龘 and the overlong word: ten, four of them unknown.
    assert coverage.tokens == 10 and coverage.unknown_tokens == 4
    assert coverage.unknown_pieces["龘"] == 3


def test_coverage_names_the_place_of_an_unknown_character(tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("ab★ ★★ ★\n", encoding="utf-8")
    coverage = vocabulary_builder.measure_coverage(str(text), {"★", "ab"})
    assert coverage.unknown_tokens == 2
    assert coverage.unknown_pieces == {"##★": 2, "a": 1, "##b": 1}


def test_coverage_equals_the_tokenizer_on_a_text(tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("\n".join(LINES), encoding="utf-8")
    tokens = tokenization.FullTokenizer(STARTER_VOCAB).tokenize("\n".join(LINES))
    coverage = vocabulary_builder.measure_coverage(
        str(text), tokenization.load_vocab(STARTER_VOCAB)
    )
    assert coverage.tokens == len(tokens)
    assert coverage.unknown_tokens == tokens.count("[UNK]") >= 1  # 㗎 is unknown


@pytest.mark.parametrize(
    "name, message",
    [
        ("corpus.txt", "corpus.txt: its 2 entries have no [UNK]: is it the vocabulary"),
        (
            "spiece.model",
            "spiece.model: found a SentencePiece model, expected a WordPiece vocabulary",
        ),
    ],
)
def test_a_file_that_is_no_vocabulary_is_not_measured(tmp_path, name, message):
    """Regression: with the files swapped, a table of about 100 % unknown tokens was printed."""
    (tmp_path / name).write_text("今天天气很好。\n明天呢\n", encoding="utf-8")
    vocab = os.path.join(ROOT, "albert_starter_zh", "vocab.txt")
    assert_fails(run("--vocab_file=%s" % (tmp_path / name), "--report=%s" % vocab), message)


def test_report_of_another_vocabulary(tmp_path):
    vocab = tmp_path / "vocab.txt"
    vocab.write_text("[UNK]\n中\n", encoding="utf-8")
    (tmp_path / "a.txt").write_text("中中中国\n", encoding="utf-8")
    (tmp_path / "b.txt").write_text("中中\n", encoding="utf-8")
    status, stdout, _ = run("--vocab_file=%s" % vocab, "--report=%s" % (tmp_path / "[ab].txt"))
    assert status == 0
    rows = [line.split() for line in stdout.strip().split("\n")[2:]]
    assert rows[0][:3] == ["25.0000%", "4", "100.0"] and rows[0][-1] == "国*1"
    assert rows[1][:3] == ["0.0000%", "2", "100.0"] and rows[1][-1] == "-"
    assert rows[2][:5] == ["16.6667%", "6", "100.0", "all", "together:"]


def test_errors_of_flags(tmp_path, corpus):
    output = "--output=%s" % (tmp_path / "vocab.txt")
    assert_fails(run(), "--corpus is missing")
    assert_fails(run("--corpus=%s" % corpus), "--output is missing")
    assert_fails(run("--report=%s" % corpus), "--vocab_file is missing")
    assert_fails(run("--corpus=/no/such/*.txt", output), "--corpus=/no/such/*.txt", "no such file")
    assert_fails(run("--corpus=%s" % tmp_path, output), "is a folder", "*.txt")
    assert_fails(run("--corpus=%s" % corpus, output, "--encoding=utf-9"), "--encoding", "utf-9")
    assert_fails(run("--corpus=%s" % corpus, output, "--vocab_size=0"), "vocab_size")
    assert_fails(run("--corpus=%s" % corpus, output, "--hanzi_set=jis"), "hanzi_set")
    assert_fails(
        run("--corpus=%s" % corpus, output, "--forced_chars_file=/no/such"), "/no/such", "read"
    )


def test_size_too_small_for_what_is_always_there(tmp_path, corpus):
    output = tmp_path / "vocab.txt"
    result = run("--corpus=%s" % corpus, "--output=%s" % output, "--vocab_size=5000")
    assert_fails(result, "--vocab_size=5000", "6763 hanzi of gb2312", "--hanzi_set=none")
    assert os.listdir(str(tmp_path)) == ["corpus.txt"]


@pytest.mark.parametrize("content", [b"", b"\n \n\xe3\x80\x80\n"])
def test_empty_corpus(tmp_path, content):
    (tmp_path / "corpus.txt").write_bytes(content)
    result = run(
        "--corpus=%s" % (tmp_path / "corpus.txt"), "--output=%s" % (tmp_path / "vocab.txt")
    )
    assert_fails(result, "no text", "corpus.txt")
    assert os.listdir(str(tmp_path)) == ["corpus.txt"]


@pytest.mark.parametrize(
    "content, words",
    [
        (
            "abc\n第二行有些汉字，而且不少。\n".encode("gbk"),
            ["line 2", "GBK", "--encoding=gb18030"],
        ),
        ("汉字\n".encode("utf-16"), ["line 1", "UTF-16", "--encoding=utf-16"]),
        ("好\n".encode() + b"\x89PNG\xff\x00\x01\n", ["line 2", "not UTF-8", "0x89"]),
        ("前面有一行完好的汉字\n好".encode()[:-1], ["line 2", "not UTF-8"]),
    ],
)
def test_text_that_is_not_utf8(tmp_path, content, words):
    path = tmp_path / "corpus.txt"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        vocabulary_builder.count_corpus([str(path)])
    for word in [str(path)] + words:
        assert word in str(caught.value)


def test_utf16_without_its_mark_is_told(tmp_path):
    path = tmp_path / "corpus.txt"
    path.write_bytes("汉字\n".encode("utf-16-le"))
    with pytest.raises(UserError, match="corpus.txt: not UTF-16 text: .* start with BOM"):
        vocabulary_builder.count_corpus([str(path)], encoding="utf-16")


@pytest.mark.parametrize("encoding, times", [("gb18030", 3), ("utf-16", 1)])
def test_other_encodings_are_read_when_named(tmp_path, encoding, times, monkeypatch):
    monkeypatch.setattr(vocabulary_builder, "_BLOCK_BYTES", 16)
    path = tmp_path / "corpus.txt"
    path.write_bytes("汉字的内容\nabc\n鿿\n".encode(encoding) * times)
    counts = vocabulary_builder.count_corpus([str(path)], encoding=encoding)
    assert (counts.pieces["汉"], counts.latin_words["abc"]) == (times, times)


def test_damaged_gzip_is_named(tmp_path):
    packed = gzip.compress("中文\n".encode() * 50000)
    path = tmp_path / "corpus.gz"
    path.write_bytes(packed[: len(packed) // 2])
    with pytest.raises(UserError, match="corpus.gz: the gzip file is truncated or damaged"):
        vocabulary_builder.count_corpus([str(path)])


def test_the_vocabulary_is_no_text_of_its_own_corpus(tmp_path):
    for name in ("a.txt", "vocab.txt"):
        (tmp_path / name).write_text("汉字\n")
    pattern, output = str(tmp_path / "*.txt"), str(tmp_path / "vocab.txt")
    assert vocabulary_builder.files_of_patterns([pattern], "corpus", output) == [
        str(tmp_path / "a.txt")
    ]
    for same in (output, os.path.join(str(tmp_path), ".", "vocab.txt")):
        result = run("--corpus=%s" % output, "--output=%s" % same)
        assert result[0] == 2 and "vocab.txt: it is an input too (--corpus)" in result[2]
    result = run("--corpus=%s" % pattern, "--output=%s" % output)
    assert result[0] == 2 and "vocab.txt: it is an input too (--corpus)" in result[2]
    result = run("--corpus=%s" % (tmp_path / "v*.txt"), "--output=%s" % output)
    assert result[0] == 2 and "only %s matches it" % output in result[2]
    assert (tmp_path / "vocab.txt").read_text() == "汉字\n"


def test_the_vocabulary_of_a_checkpoint_stays(tmp_path, corpus):
    """Line numbers of vocab.txt are ids of the weights; with another file, texts are misread."""
    vocab = tmp_path / "vocab.txt"
    vocab.write_text("[PAD]\n[UNK]\n")
    build = ["--corpus=%s" % corpus, "--vocab_size=300", "--hanzi_set=none"]
    (tmp_path / "albert_model.ckpt.index").write_bytes(b"")
    assert_fails(
        run(*build, "--output=%s" % vocab), "in the same folder (weights: albert_model.ckpt.index)"
    )
    assert vocab.read_text() == "[PAD]\n[UNK]\n"
    assert run(*build, "--output=%s" % (tmp_path / "vocab_new.txt"))[0] == 0
    (tmp_path / "linked").mkdir()
    link = tmp_path / "linked" / "vocab.txt"
    link.symlink_to(vocab)
    assert_fails(
        run(*build, "--output=%s" % link), "in the same folder (weights: albert_model.ckpt.index)"
    )
    (tmp_path / "albert_model.ckpt.index").rename(tmp_path / "weights_int8.npz")
    assert_fails(
        run(*build, "--output=%s" % vocab), "in the same folder (weights: weights_int8.npz)"
    )
    (tmp_path / "weights_int8.npz").unlink()
    assert run(*build, "--output=%s" % vocab)[0] == 0 and len(vocab.read_text()) > 100


def test_the_command_imports_no_tensorflow():
    program = "import sys, build_vocab; print('tensorflow' in sys.modules)"
    command = [sys.executable, "-c", program]
    assert subprocess.check_output(command, cwd=ROOT, text=True) == "False\n"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_json_with_a_mark_and_in_blocks(tmp_path, encoding, monkeypatch):
    monkeypatch.setattr(vocabulary_builder, "_BLOCK_BYTES", 8)
    lines = ['{"title": "\\u4e2d\\u56fd", "text": "上"}', '{"text": "海"}']
    (tmp_path / "a.jsonl").write_bytes("\n".join(lines * 3).encode(encoding))
    counts = vocabulary_builder.count_corpus([str(tmp_path / "a.jsonl")], encoding=encoding)
    assert counts.pieces == {"中": 3, "国": 3, "上": 3, "海": 3}
    assert not counts.latin_words


def test_flags_that_would_not_be_used_are_told(tmp_path, corpus):
    vocab = tmp_path / "vocab.txt"
    vocab.write_text("a\n")
    build, report = "--corpus=%s" % corpus, "--report=%s" % corpus
    given = "--vocab_file=%s" % vocab
    assert_fails(
        run(report, given, "--output=%s.new" % vocab),
        "--output has no effect here: --output is used with --corpus",
    )
    assert_fails(run(build, given, "--output=%s.new" % vocab), "--vocab_file has no effect here")
    forced = "--forced_chars_file=%s" % vocab
    assert_fails(
        run(build, forced, "--output=%s" % vocab), "it is an input too (--forced_chars_file)"
    )
    assert vocab.read_text() == "a\n"


@pytest.mark.parametrize(
    "line, fault",
    [
        ("[" * 100000 + "汉", "nested too deeply"),
        ('{"text": "汉",', "not valid JSON"),
        ('{"text": "汉", "text": "字"}', "has the key 'text' twice"),
    ],
)
def test_json_lines_that_are_none(tmp_path, line, fault):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "上"}\n\n%s\n' % line, encoding="utf-8")
    with pytest.raises(UserError, match=r"a\.jsonl, line 3: .*%s.*\*\.txt" % fault):
        vocabulary_builder.count_corpus([str(path)])


def test_json_lines_are_known_by_their_first_line_too(tmp_path):
    path = tmp_path / "wiki_00"
    path.write_text('{"url": "zh", "text": "汉字"}\n{"text": "字"}\n', encoding="utf-8")
    counts = vocabulary_builder.count_corpus([str(path)])
    assert counts.pieces == {"字": 2, "汉": 1, "z": 1, "##h": 1}  # no keys, no braces


def test_half_characters_of_json_are_replaced(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "\\ud83d汉"}\n', encoding="utf-8")
    counts = vocabulary_builder.count_corpus([str(tmp_path / "a.jsonl")])
    assert counts.pieces == {"汉": 1}


def test_output_that_cannot_be_written(tmp_path, corpus):
    (tmp_path / "file").write_text("")
    result = run("--corpus=%s" % corpus, "--output=%s" % (tmp_path / "file" / "vocab.txt"))
    assert_fails(result, "vocab.txt: cannot be written")
    assert "counting" not in result[2]


def test_missing_package_is_named(monkeypatch, corpus):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(UserError, match="pip install tokenizers"):
        entries_of(corpus)


def test_starter_vocabulary_and_config_fit():
    entries = files.read_text(STARTER_VOCAB).split("\n")
    assert entries.pop() == ""
    config = files.read_json(os.path.join(STARTER, "albert_config_tiny.json"))
    assert len(entries) == len(set(entries)) == config["vocab_size"] == 8000
    assert entries[:5] == list(vocabulary_builder.SPECIAL_TOKENS)
    forced = files.read_text(os.path.join(STARTER, "forced_chars.txt"))
    mandatory = flat(vocabulary_builder._mandatory_entries("gb2312", forced, True))
    assert entries[: len(mandatory)] == mandatory
    assert not _unused(entries)


@pytest.mark.parametrize("name", TEXT_SETS)
def test_starter_vocabulary_covers(shared, tmp_path, name):
    vocab = tokenization.load_vocab(STARTER_VOCAB)
    total = collections.Counter()
    for path in sorted(glob.glob(os.path.join(shared, "data", name, "*"))):
        if path.endswith("label_distribution.json"):  # contains counts, and is not valid JSON
            continue
        coverage = vocabulary_builder.measure_coverage(_sample(path, tmp_path), vocab)
        total["tokens"] += coverage.tokens
        total["unknown"] += coverage.unknown_tokens
    assert total["tokens"] > 10000
    assert total["unknown"] < MOST_UNKNOWN * total["tokens"]


def _sample(path, folder):
    """Writes evenly spaced lines of `path` to a file of the same name; returns its path."""
    lines = files.read_lines(path)
    sampled = lines[:: max(1, len(lines) // SAMPLED_LINES)]
    target = folder / os.path.basename(path)
    target.write_text("\n".join(sampled) + "\n", encoding="utf-8")
    return str(target)


def test_starter_vocabulary_covers_the_corpus(shared):
    vocab = tokenization.load_vocab(STARTER_VOCAB)
    for name in ("community_qa.txt.gz", "quotes_titles.txt.gz", "v2ex_topics_titles.txt.gz"):
        coverage = vocabulary_builder.measure_coverage(os.path.join(shared, "corpus", name), vocab)
        assert coverage.unknown_tokens < MOST_UNKNOWN * coverage.tokens


@pytest.mark.slow
def test_starter_vocabulary_is_what_the_tool_makes(shared, tmp_path):
    output = tmp_path / "vocab.txt"
    status, _, stderr = run(
        "--corpus=%s" % os.path.join(shared, "corpus", "*.gz"),
        "--output=%s" % output,
        "--forced_chars_file=%s" % os.path.join(STARTER, "forced_chars.txt"),
        "--min_count=%d" % STARTER_MIN_COUNT,
    )
    assert status == 0, stderr
    with open(STARTER_VOCAB, "rb") as starter:
        assert output.read_bytes() == starter.read()


@pytest.mark.parametrize("line", ["汉字, abc def\u3000", "汉", "abcdefgh", "汉 "])
def test_a_long_line_is_counted_as_short_ones_are_in_little_memory(tmp_path, line, monkeypatch):
    """The counts do not depend on the size of the blocks in which the file is read."""
    path = str(tmp_path / "long.txt")
    (tmp_path / "long.txt").write_text(line * 3000 + " 好", encoding="utf-8")
    counts = vocabulary_builder.count_corpus([path])
    for size in (7, 4096):
        monkeypatch.setattr(vocabulary_builder, "_BLOCK_BYTES", size)
        blocks = list(vocabulary_builder._text_blocks(path, "utf-8", None))
        assert max(map(len, blocks)) <= size + vocabulary_builder._LONGEST_REST
        assert "".join(blocks) == line * 3000 + " 好"
        if line != "abcdefgh":  # that line is one word, longer than any that is counted
            again = vocabulary_builder.count_corpus([path])
            assert again.pieces == counts.pieces and again.latin_words == counts.latin_words


@pytest.mark.slow
def test_a_line_larger_than_the_memory(tmp_path):
    """The limit is 700 MB of address space, of which the program alone takes about 300 MB."""
    path = tmp_path / "long.txt"
    path.write_text("今天天气很好，" * 2000000, encoding="utf-8")  # 42 MB
    program = (
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (700 << 20, 700 << 20)); "
        "from albert_zh.text.vocabulary_builder import count_corpus\n"
        "print(count_corpus([%r]).pieces['今'])" % str(path)
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "2000000\n", done.stderr


def test_sizes_that_no_memory_holds_are_refused(tmp_path, corpus):
    for flag in ("--vocab_size=99999999999", "--min_count=99999999999999999999"):
        result = run("--corpus=%s" % corpus, "--output=%s" % (tmp_path / "vocab.txt"), flag)
        assert_fails(result, flag.split("=")[0], "[1, ")
