"""Tokenization equals BERT's on golden cases and random text; vocabulary files; error messages."""

import glob
import gzip
import hashlib
import json
import os
import pickle
import random
import shutil
import sys
import unicodedata
import warnings

import pytest

from albert_zh.common.errors import UserError
from albert_zh.text import tokenization, vocabulary_files, word_memory
from sentencepiece_models import train_sentencepiece
from workspace import ROOT

VOCAB = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "北", "京", "，", ",", "!", "Ab"]
VOCAB += [
    "want",
    "##want",
    "##ed",
    "wa",
    "un",
    "runn",
    "##ing",
    "hi",
    "##9",
    "2",
    "##0",
    "σ",
    "##ς",
]


@pytest.fixture
def vocab_file(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(VOCAB) + "\n", encoding="utf-8")
    return str(path)


@pytest.fixture
def tokenizer(vocab_file):
    return tokenization.FullTokenizer(vocab_file)


@pytest.fixture(scope="session")
def released_vocab(shared):
    return os.path.join(shared, "data", "ckpt_index_only", "MarsRoger_albert_tiny", "vocab.txt")


def naive_tokens(text, vocab, do_lower_case):
    """Reference implementation, which applies BERT's rules character by character."""
    spaced = ""
    for char in text:
        category = unicodedata.category(char)
        if char in "\t\n\r" or category == "Zs":
            spaced += " "
        elif char not in "\0\ufffd" and category not in ("Cc", "Cf"):
            spaced += " %s " % char if is_ideograph(ord(char)) else char
    tokens = []
    for word in spaced.split():
        if do_lower_case:
            word = unicodedata.normalize("NFD", word.lower())
            word = "".join(char for char in word if unicodedata.category(char) != "Mn")
        parts = [""]
        for char in word:
            if unicodedata.category(char).startswith("P") or char in "$+<=>^`|~":
                parts += [char, ""]
            else:
                parts[-1] += char
        tokens += [piece for part in parts if part for piece in naive_pieces(part, vocab)]
    return tokens


def naive_pieces(word, vocab):
    pieces = []
    rest = word
    while rest and len(word) <= 200:
        candidates = [("##" if pieces else "") + rest[:end] for end in range(len(rest), 0, -1)]
        piece = next((candidate for candidate in candidates if candidate in vocab), None)
        if piece is None:
            return ["[UNK]"]
        rest = rest[len(piece) - (2 if pieces else 0) :]
        pieces.append(piece)
    return pieces or ["[UNK]"]


def is_ideograph(codepoint):
    return (
        0x3400 <= codepoint <= 0x4DBF
        or 0x4E00 <= codepoint <= 0x9FFF
        or 0xF900 <= codepoint <= 0xFAFF
        or 0x20000 <= codepoint <= 0x2A6DF
        or 0x2A700 <= codepoint <= 0x2CEAF
        or 0x2F800 <= codepoint <= 0x2FA1F
    )


@pytest.mark.parametrize("do_lower_case", [True, False])
def test_golden_cases(shared, released_vocab, do_lower_case):
    path = os.path.join(shared, "golden", "tokenization", "tokenization_cases.json")
    with open(path, encoding="utf-8") as handle:
        cases = json.load(handle)["cases"]
    tokenizer = tokenization.FullTokenizer(released_vocab, do_lower_case)
    for case in cases * 2:  # the second time from cached words
        tokens = tokenizer.tokenize(case["input"])
        ids = tokenizer.convert_tokens_to_ids(tokens)
        for family in ("bm", "google"):
            expected = case[family + ("_lower" if do_lower_case else "_cased")]
            assert (tokens, ids) == (expected["tokens"], expected["ids"]), case["codepoints"]
        assert tokenizer.convert_ids_to_tokens(ids) == tokens
    assert len(cases) == 201


@pytest.mark.parametrize("do_lower_case", [True, False])
def test_noise_equals_the_rules_written_plainly(shared, released_vocab, do_lower_case):
    tokenizer = tokenization.FullTokenizer(released_vocab, do_lower_case)
    draw = random.Random(7)
    alphabets = (
        [chr(codepoint) for codepoint in range(0x3000)],
        [chr(draw.randrange(0x110000)) for _ in range(5000)],
        list(" \t北京abcABC,.$é\u0301\u3099Σσ09，\u200b\u00ad\u2028İßﬁ가\ud800😀𠮷"),
        list("aeiou0129bcdft"),
    )
    for i in range(2000):
        alphabet = alphabets[i % len(alphabets)]
        text = "".join(draw.choice(alphabet) for _ in range(draw.choice((1, 5, 30, 250))))
        assert tokenizer.tokenize(text) == naive_tokens(text, tokenizer.vocab, do_lower_case), (
            ascii(text)
        )


def test_real_text_equals_the_rules_written_plainly(shared, released_vocab):
    tokenizer = tokenization.FullTokenizer(released_vocab)
    with open(os.path.join(shared, "data", "lcqmc", "test.txt"), encoding="utf-8") as handle:
        lines = handle.read().split("\n")[:3000]
    assert [tokenizer.tokenize(line) for line in lines] == [
        naive_tokens(line, tokenizer.vocab, True) for line in lines
    ]


@pytest.mark.newest
def test_text_of_every_kind_equals_the_rules_written_plainly(shared, released_vocab, request):
    """Reads the beginning of each file, with --slow the whole files."""
    tokenizer = tokenization.FullTokenizer(released_vocab)
    limit = None if request.config.getoption("--slow") else 20000  # characters
    paths = glob.glob(os.path.join(shared, "corpus", "*.gz"))
    paths += glob.glob(os.path.join(shared, "data", "*", "*.[tj]*"))
    assert len(paths) > 40
    for path in paths:
        opened = gzip.open if path.endswith(".gz") else open
        with opened(path, "rt", encoding="utf-8") as handle:
            for line in handle.read(limit).split("\n"):
                expected = naive_tokens(line, tokenizer.vocab, True)
                assert tokenizer.tokenize(line) == expected, (path, line)


def test_tokens_and_ids(tokenizer):
    tokens = tokenizer.tokenize("UNwant\u00e9d,runNING北京!")
    assert tokens == ["un", "##want", "##ed", ",", "runn", "##ing", "北", "京", "!"]
    ids = [VOCAB.index(token) for token in tokens]
    assert tokenizer.convert_tokens_to_ids(tokens) == ids
    assert tokenizer.convert_ids_to_tokens(ids) == tokens


def test_results_are_the_callers_own(tokenizer):
    tokenizer.tokenize("hi9").append("x")
    assert tokenizer.tokenize("hi9") == ["hi", "##9"]


def test_cased_text_stays(vocab_file):
    tokenizer = tokenization.FullTokenizer(vocab_file, do_lower_case=False)
    assert tokenizer.tokenize("Ab ab") == ["Ab", "[UNK]"]


def test_final_sigma_depends_on_its_word(tokenizer):
    assert tokenizer.tokenize("ΣΣ") == ["σ", "##ς"]


@pytest.mark.parametrize("text", ["", " \t\r\n\u3000", "\0\ufffd\x07\u200b", b"", b"\xff"])
def test_nothing_left(tokenizer, text):
    assert tokenizer.tokenize(text) == []


def test_bytes_are_utf8(tokenizer):
    assert tokenizer.tokenize("北,".encode() + b"\xff") == ["北", ","]


def test_other_types_are_refused(tokenizer):
    with pytest.raises(ValueError, match="expected a str, or bytes in UTF-8, found 5"):
        tokenizer.tokenize(5)


@pytest.mark.parametrize(
    ("length", "expected"),
    [(200, ["2"] + ["##0"] * 199), (201, ["[UNK]"])],
)
def test_long_words(tokenizer, length, expected):
    assert tokenizer.tokenize("2" + "0" * (length - 1)) == expected


def test_a_megabyte_without_a_space(tokenizer):
    assert tokenizer.tokenize("20" * 500000) == ["[UNK]"]
    assert tokenizer.tokenize("北" * 1000000) == ["北"] * 1000000


def test_remembered_words_are_bounded(tokenizer, monkeypatch):
    monkeypatch.setattr(word_memory, "MOST_WORDS", 10)
    for number in range(100):
        tokenizer.tokenize("w%d" % number)
        assert len(tokenizer._pieces_of_word) <= 10


def test_tokenizer_can_be_sent_to_other_processes(tokenizer):
    tokenizer.tokenize("hi9")
    assert pickle.loads(pickle.dumps(tokenizer)).tokenize("hi9 北") == ["hi", "##9", "北"]


def test_basic_tokenizer():
    basic = tokenization.BasicTokenizer(do_lower_case=True)
    assert basic.tokenize(" \tHeLLo!how  \n Are yoU? ") == ["hello", "!", "how", "are", "you", "?"]
    assert basic.tokenize("H\u00e9llo 北京a") == ["hello", "北", "京", "a"]
    cased = tokenization.BasicTokenizer(do_lower_case=False)
    assert cased.tokenize("H\u00e9-Llo") == ["H\u00e9", "-", "Llo"]


def test_wordpiece_tokenizer():
    vocab = {"un": 0, "##want": 1, "##ed": 2, "runn": 3, "##ing": 4}
    pieces = tokenization.WordpieceTokenizer(vocab, unk_token="?", max_input_chars_per_word=8)
    assert pieces.tokenize("") == []
    assert pieces.tokenize("unwanted running") == ["un", "##want", "##ed", "runn", "##ing"]
    assert pieces.tokenize("unwantedX running") == ["?", "runn", "##ing"]
    assert pieces.tokenize("unwanteded") == ["?"]
    assert tokenization.WordpieceTokenizer({}).tokenize("a") == ["[UNK]"]


def test_vocabulary_lines_end_at_newline_only(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_bytes("a\u2028\n\u2028\n##\u2028\nb\x85c\r\n  d \n\ne".encode())
    vocab = tokenization.load_vocab(str(path))
    assert list(vocab.items()) == [("a", 0), ("", 5), ("##", 2), ("b\x85c", 3), ("d", 4), ("e", 6)]


def test_released_vocabulary(released_vocab):
    vocab = tokenization.load_vocab(released_vocab)
    assert len(vocab) == 21128
    assert (vocab[""], vocab["##"], vocab["[MASK]"]) == (343, 13502, 103)
    assert max(vocab.values()) == 21127


def test_of_equal_entries_the_last_counts_and_every_id_has_its_token(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("[UNK]\n[CLS]\n[SEP]\na\nb\na\n")
    tokenizer = tokenization.FullTokenizer(str(path))
    assert tokenizer.convert_tokens_to_ids(["a", "b"]) == [5, 4]
    assert tokenizer.convert_ids_to_tokens([3, 4, 5]) == ["a", "b", "a"]


def test_the_number_of_entries_is_that_of_ids(tmp_path, sentencepiece_model):
    path = tmp_path / "vocab.txt"
    path.write_text("[UNK]\n[CLS]\n[SEP]\na\na\n\n")  # two are equal, the last one is blank
    found = tokenization.num_entries(str(path))
    assert found == 6 == len(tokenization.FullTokenizer(str(path)).inv_vocab)
    assert found == max(tokenization.load_vocab(str(path)).values()) + 1
    assert tokenization.num_entries(sentencepiece_model) == 70
    tokenization.check_num_entries("v.txt", 6, 6)
    with pytest.raises(UserError, match="v.txt: the vocabulary has 6 entries, but .* is 7: use"):
        tokenization.check_num_entries("v.txt", 6, 7)


def test_vocabulary_with_byte_order_mark(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("[PAD]\n[UNK]\n", encoding="utf-8-sig")
    assert tokenization.load_vocab(str(path))["[PAD]"] == 0


def test_vocabulary_in_a_storage_of_tensorflow(vocab_file):
    assert list(tokenization.load_vocab("file://" + vocab_file)) == VOCAB
    with pytest.raises(UserError, match="file:///none: cannot be read"):
        tokenization.load_vocab("file:///none")


def test_a_vocabulary_is_compared_with_the_one_beside_the_checkpoint(tmp_path, capsys):
    """A vocabulary in another order has the same number of entries, but gives other ids."""
    own = ["[PAD]", "[UNK]"] + list("一二三四五六七八九十百千万亿元角分年月日")
    (tmp_path / "vocab.txt").write_text("\n".join(own) + "\n", encoding="utf-8")
    prefix = str(tmp_path / "model.ckpt")
    vocabulary_files.check_is_of_checkpoint("a.txt", own, prefix)
    vocabulary_files.check_is_of_checkpoint("a.txt", own[::-1], str(tmp_path / "none" / "model"))
    assert capsys.readouterr().out == ""
    vocabulary_files.check_is_of_checkpoint("a.txt", own[:-1] + ["时"], prefix)
    assert "a.txt: 1 of its entries differ from" in capsys.readouterr().out
    with pytest.raises(
        UserError, match=r"--vocab_file=a.txt: 22 of .*\(line 1: '日', not '\[PAD\]'\)"
    ):
        vocabulary_files.check_is_of_checkpoint("a.txt", own[::-1], prefix)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("", "--vocab_file is empty"),
        ("nowhere/vocab.txt", r"--vocab_file=nowhere/vocab.txt: no such file: expected a text"),
        ("./albert_config/vocab.txt", "fetch_assets.py albert_tiny_489k.*albert_starter_zh/vocab"),
    ],
)
def test_missing_vocabulary(tmp_path, monkeypatch, path, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        tokenization.FullTokenizer(path)


def test_folder_instead_of_vocabulary(tmp_path):
    with pytest.raises(UserError, match="this is a folder: name the file in it, such as .*vocab"):
        tokenization.FullTokenizer(str(tmp_path))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"its 0 entries have no \[UNK\], \[CLS\], \[SEP\]"),
        (b"[UNK]\n[CLS]\na\n", r"its 3 entries have no \[SEP\]: is it the vocabulary"),
        (b"[UNK]\n\xff\xfe\x00", "vocab.txt, line 2: not UTF-8 text"),
    ],
)
def test_unusable_vocabulary(tmp_path, content, message):
    path = tmp_path / "vocab.txt"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        tokenization.FullTokenizer(str(path))


def test_unknown_tokens_and_ids(tokenizer):
    with pytest.raises(UserError, match="the vocabulary of 24 entries has no token 'nihao'"):
        tokenizer.convert_tokens_to_ids(["北", "nihao"])
    for wrong in (24, -1):
        with pytest.raises(UserError, match="the vocabulary of 24 entries has no id %d" % wrong):
            tokenizer.convert_ids_to_tokens([0, wrong])


@pytest.mark.parametrize("convert", [tokenization.convert_to_unicode, tokenization.printable_text])
def test_text_and_bytes(convert):
    assert convert("北") == convert("北".encode()) == "北"
    assert convert(b"a\xffb") == "ab"
    with pytest.raises(ValueError, match="found None"):
        convert(None)


@pytest.mark.parametrize(
    ("do_lower_case", "checkpoint"),
    [
        (True, None),
        (True, ""),
        (False, "models/albert_tiny/albert_model.ckpt"),
        (True, "bert/chinese_L-12_H-768_A-12/bert_model.ckpt"),
        (False, "multi_cased_L-12_H-768_A-12/bert_model.ckpt"),
        (False, "of_my_own/bert_model.ckpt"),
    ],
)
def test_case_matches_checkpoint(do_lower_case, checkpoint):
    tokenization.validate_case_matches_checkpoint(do_lower_case, checkpoint)


@pytest.mark.parametrize(
    ("do_lower_case", "name", "kind"),
    [(False, "chinese", "lower-cased"), (True, "multi_cased", "cased")],
)
def test_case_does_not_match_checkpoint(do_lower_case, name, kind):
    checkpoint = "/bert/%s_L-12_H-768_A-12/bert_model.ckpt" % name
    message = "trained on %s text: pass --do_lower_case=%s" % (kind, not do_lower_case)
    with pytest.raises(UserError, match=message):
        tokenization.validate_case_matches_checkpoint(do_lower_case, checkpoint)


def test_preprocessing_of_sentencepiece_text():
    prepare = tokenization.preprocess_text
    assert prepare("  ``Café''\t½ \n ｅ１ ") == '"Cafe" 1⁄2 e1'
    assert prepare("É  x", lower=True, remove_space=False) == "e  x"
    assert prepare("É ｅ", lower=True, keep_accents=True) == "é ｅ"


@pytest.fixture(scope="module")
def sentencepiece_model(tmp_path_factory):
    draw = random.Random(3)
    words = ["today", "price", "2019", "1,000", "30,", "Paris", "cheap", "tickets", "to"]
    lines = [" ".join(draw.choice(words) for _ in range(8)) for _ in range(500)]
    return train_sentencepiece(tmp_path_factory.mktemp("spm"), lines, vocab_size=70)


def test_sentencepiece(sentencepiece_model):
    tokenizer = tokenization.FullTokenizer(None, True, sentencepiece_model)
    tokens = tokenizer.tokenize("Cheap  tickets to today")
    assert "".join(tokens).replace("\u2581", " ") == " cheap tickets to today"
    ids = tokenizer.convert_tokens_to_ids(["[CLS]"] + tokens)
    assert tokenizer.convert_ids_to_tokens(ids) == ["[CLS]"] + tokens
    unknown = tokenizer.convert_tokens_to_ids(["北"])
    assert tokenizer.convert_ids_to_tokens(unknown) == ["<unk>"]


def test_sentencepiece_cuts_the_comma_off_a_number(sentencepiece_model):
    tokenizer = tokenization.FullTokenizer(None, False, sentencepiece_model)
    model = tokenizer.sentencepiece.model
    assert "\u258130," in model.EncodeAsPieces("to 30, today")  # before post-processing
    tokens = tokenizer.tokenize("to 30, today")
    assert not any(token.endswith(",") and len(token) > 1 for token in tokens)
    assert "".join(tokens).replace("\u2581", "") == "to30,today"


def test_vocabulary_of_a_folder_may_be_a_sentencepiece_model(sentencepiece_model, tmp_path):
    assert tokenization.vocabulary_in_folder(str(tmp_path)) == str(tmp_path / "vocab.txt")
    by_flag = tokenization.FullTokenizer(None, True, sentencepiece_model)
    shutil.copy(sentencepiece_model, str(tmp_path / by_flag.name_in_folder))
    path = tokenization.vocabulary_in_folder(str(tmp_path))
    assert path == str(tmp_path / "spiece.model")
    assert tokenization.FullTokenizer(path).vocab == by_flag.vocab


def test_sentencepiece_errors(tmp_path):
    pytest.importorskip("sentencepiece", reason="needs pip install sentencepiece")
    path = tmp_path / "wrong.model"
    path.write_bytes(b"no model")
    with pytest.raises(UserError, match="wrong.model: not a SentencePiece model"):
        tokenization.FullTokenizer(None, True, str(path))
    with pytest.raises(UserError, match="none.model: cannot be read"):
        tokenization.FullTokenizer(None, True, str(tmp_path / "none.model"))


def test_without_sentencepiece(monkeypatch):
    monkeypatch.setitem(sys.modules, "sentencepiece", None)
    with pytest.raises(UserError, match="a.model needs .* pip install sentencepiece"):
        tokenization.FullTokenizer(None, True, "a.model")


def test_the_hash_of_the_vocabulary_is_of_the_bytes_that_were_read(tmp_path):
    path = tmp_path / "vocab.txt"
    content = b"[PAD]\n[UNK]\n[CLS]\n[SEP]\n"
    path.write_bytes(content)
    tokenizer = tokenization.FullTokenizer(str(path))
    path.write_bytes(b"another")
    assert tokenizer.sha256 == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(
    "content, problem",
    [
        ("\n".join(VOCAB).encode("utf-16"), "the file is in UTF-16, expected UTF-8: convert it"),
        ("[UNK]\n我们明天去银行办理业务\n".encode("gbk"), "the file is in GBK"),
        (b"[UNK]\n\xff\x80\x00\x13", "line 2: not UTF-8 text .byte 0xff.: is it the right file"),
    ],
)
def test_a_vocabulary_in_another_encoding_is_told_of_no_flag(tmp_path, content, problem):
    path = tmp_path / "vocab.txt"
    path.write_bytes(content)
    with pytest.raises(UserError, match=problem) as caught:
        tokenization.FullTokenizer(str(path))
    assert str(path) in str(caught.value) and "--encoding" not in str(caught.value)


def test_a_repeated_entry_is_warned_of_with_both_lines(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("[UNK]\n[CLS]\n[SEP]\na\nb\na\n")
    with pytest.warns(UserWarning, match="vocab.txt, line 6: the entry 'a' is in line 4 already"):
        assert tokenization.load_vocab(str(path))["a"] == 5
    with warnings.catch_warnings():  # resets which warnings were shown, as imports do
        warnings.simplefilter("error")
        assert tokenization.load_vocab(str(path))["a"] == 5
    path.write_text("[UNK]\n[CLS]\n[SEP]\n\n\n\u2028\n")  # blank entries, whose ids are not used
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(tokenization.load_vocab(str(path))) == 4
        tokenization.load_vocab(os.path.join(ROOT, "albert_starter_zh", "vocab.txt"))


def test_the_released_vocabulary_loads_as_it_did(shared):
    folder = os.path.join(shared, "data", "ckpt_index_only")
    paths = glob.glob(os.path.join(folder, "*", "vocab*.txt"))
    assert paths
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for path in paths:
            assert len(tokenization.load_vocab(path)) == 21128
