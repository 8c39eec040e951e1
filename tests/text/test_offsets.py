"""Offsets of word pieces in the text: `albert_zh.text.offsets`."""

import os
import random

import pytest

from albert_zh.text import tokenization, word_memory
from albert_zh.text.offsets import offsets
from sentencepiece_models import train_sentencepiece

ENTRIES = (
    "[PAD] [UNK] [CLS] [SEP] [MASK] 我 爱 北 京 alb ##ert al ##b cafe 4 ##m ( ) i ##i stra ##sse "
    "ﬁ ##n 2010 年 . ss σ ##ς \u1112 ##\u1161 ##\u11ab"
).split()
ODD_TEXTS = [
    "",
    " \t\n",
    "我 爱\u3000北京。",
    "阿尔伯特 (ALBERT) 模型只有 4M 参数。\n它的层数为4",
    "cafe\u0301 CAFÉ İi ﬁn ΣΑΣ 한국",
    "zero\u200bwidth \x00\ufffd\x1c\x85 line\u2028line",
    "\u0301我 \u302e\u0301\u0323a\u0323\u0301 b",
    "½ ﷺ ㎏ ''q'' ``a`` 2,019, 3,000,000, x\u00a8y \u00a8",
    "𠀀𪜀𫝀ＡＢ１９６３タワー",
]


@pytest.fixture(scope="module")
def word_pieces(tmp_path_factory):
    path = tmp_path_factory.mktemp("offsets") / "vocab.txt"
    path.write_text("\n".join(ENTRIES) + "\n", encoding="utf-8")
    return tokenization.FullTokenizer(str(path))


@pytest.fixture(scope="module")
def sentence_pieces(tmp_path_factory):
    text = ["今年是2019,去年是2018,", "costs 3,000, or 25, items", "a b c 北京 上海"] * 3
    path = train_sentencepiece(tmp_path_factory.mktemp("spm"), text, 60)
    return tokenization.FullTokenizer(None, spm_model_file=path)


def located(tokenizer, text):
    pieces, spans = offsets(tokenizer, text)
    return [(piece, text[begin:end]) for piece, (begin, end) in zip(pieces, spans)]


@pytest.mark.parametrize(
    "text, expected",
    [
        ("我  爱ALBERT", [("我", "我"), ("爱", "爱"), ("alb", "ALB"), ("##ert", "ERT")]),
        ("(4M)", [("(", "("), ("4", "4"), ("##m", "M"), (")", ")")]),
        ("xyz 年.", [("[UNK]", "xyz"), ("年", "年"), (".", ".")]),
        ("CAFÉ", [("cafe", "CAFÉ")]),
        ("cafe\u0301年", [("cafe", "cafe\u0301"), ("年", "年")]),
        ("Ii İi", [("i", "I"), ("##i", "i"), ("i", "İ"), ("##i", "i")]),
        ("ﬁn", [("ﬁ", "ﬁ"), ("##n", "n")]),
        ("20\u200b10\x00年", [("2010", "20\u200b10"), ("年", "年")]),
        ("한", [("\u1112", "한"), ("##\u1161", "한"), ("##\u11ab", "한")]),
        ("ΣΣ", [("σ", "Σ"), ("##ς", "Σ")]),
        ("我\u3000\n京", [("我", "我"), ("京", "京")]),
        ("我\u2028京", [("我", "我"), ("京", "京")]),
    ],
)
def test_each_word_piece_has_its_characters(word_pieces, text, expected):
    assert located(word_pieces, text) == expected


def test_letters_that_keep_their_case_and_accents_are_located(tmp_path):
    (tmp_path / "vocab.txt").write_text("[UNK]\n[CLS]\n[SEP]\n4M\nÉ\n", encoding="utf-8")
    tokenizer = tokenization.FullTokenizer(str(tmp_path / "vocab.txt"), do_lower_case=False)
    assert located(tokenizer, "4M É 4m") == [("4M", "4M"), ("É", "É"), ("[UNK]", "4m")]


def random_texts():
    generator = random.Random(7)
    alphabet = "我爱北京 \t\n\u3000aAbBéÉİﬁß2,019.'`(（，。）\u0301\u200b\x00½한Σ"
    for _ in range(300):
        yield "".join(generator.choice(alphabet) for _ in range(generator.randrange(30)))


@pytest.mark.parametrize("name", ["word_pieces", "sentence_pieces"])
def test_pieces_are_those_of_the_tokenizer_and_spans_ascend(name, request):
    tokenizer = request.getfixturevalue(name)
    for text in ODD_TEXTS + list(random_texts()):
        pieces, spans = offsets(tokenizer, text)
        assert pieces == tokenizer.tokenize(text), repr(text)
        assert len(spans) == len(pieces)
        assert all(0 <= begin <= end <= len(text) for begin, end in spans)
        begins = [begin for begin, _ in spans]
        assert begins == sorted(begins), repr(text)


def test_pieces_of_sentencepiece_have_their_characters(sentence_pieces):
    for text in ("  今年 是2019,去年", "COSTS 3,000, or  25,"):
        pairs = located(sentence_pieces, text)
        joined = "".join(piece.lstrip(tokenization.SPIECE_UNDERLINE) for piece, _ in pairs)
        assert "".join(cut for _, cut in pairs).lower() == joined == "".join(text.lower().split())
        for piece, cut in pairs:
            assert cut.lower() == piece.lstrip(tokenization.SPIECE_UNDERLINE)


def test_real_text_is_cut_back_from_its_pieces(shared):
    """Unless a piece is unknown, its characters are the text at its offsets, apart from case."""
    folder = os.path.join(shared, "data", "ckpt_index_only", "MarsRoger_albert_tiny")
    tokenizer = tokenization.FullTokenizer(os.path.join(folder, "vocab.txt"))
    with open(os.path.join(shared, "data", "cmrc2018", "data_cmrc2018_dev.json")) as handle:
        text = handle.read(30000)
    pairs = located(tokenizer, text)
    assert len(pairs) > 10000
    for piece, cut in pairs:
        bare = piece[2:] if piece.startswith("##") and len(piece) > 2 else piece
        assert bare == cut.lower() or piece == tokenization.UNKNOWN


def test_remembered_words_are_bounded(word_pieces, monkeypatch):
    word_pieces.located_pieces.clear()
    monkeypatch.setattr(word_memory, "MOST_WORDS", 3)
    for text in ("我爱北京ALBERT", "京CAFE\u0301北", "x" * 65):
        expected = located(word_pieces, text)
        assert located(word_pieces, text) == expected
        assert len(word_pieces.located_pieces) <= 3
    assert "x" * 65 not in word_pieces.located_pieces
