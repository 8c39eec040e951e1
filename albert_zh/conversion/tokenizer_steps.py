r"""Converts a vocab.txt to Hugging Face's tokenizer.json with the same ids.

    content = content_of(tokenizer, max_seq_length=128)
    tokenizers.Tokenizer.from_str(json.dumps(content)).encode("怎么开户", "如何开通账户").ids

The library's own steps for BERT differ in places: they drop private-use characters, know fewer
ideographs and lower-case "Σ" to "σ" at the end of a word; so the steps are spelled out here. No
token is special, since `FullTokenizer` splits "[MASK]" in a text into four tokens or more.
"""

from typing import TYPE_CHECKING, Any, Dict, Optional

from albert_zh.text import unicode_text

if TYPE_CHECKING:
    from albert_zh.text.tokenization import FullTokenizer

MAX_CHARACTERS = 200  # per word, as in `WordpieceTokenizer`
_CONTROLS = "\0|\ufffd|(?![\t\n\r])[\\p{Cc}\\p{Cf}]"
# The end of a word, where "Σ" becomes another letter: no cased letter follows, ignoring characters
# that may occur within a word.
_CASED = r"[\p{Lu}\p{Ll}\p{Lt}]"
_WITHIN_WORD = (
    "[\\p{Mn}\\p{Me}\\p{Cf}\\p{Lm}\\p{Sk}'.:\xb7\u0387\u055f\u05f4\u2018\u2019\u2024\u2027"
    "\ufe13\ufe52\ufe55\uff07\uff0e\uff1a]"
)
_FINAL_SIGMA = "(?<=%s|%s%s)Σ(?!%s*%s)" % (_CASED, _CASED, _WITHIN_WORD, _WITHIN_WORD, _CASED)
_SYMBOLS = "$+<=>^`|~"  # ASCII symbols that BERT treats as punctuation, unlike Unicode


def content_of(tokenizer: "FullTokenizer", max_seq_length: int) -> Dict[str, Any]:
    """Creates the content of a tokenizer.json.

    Args:
        tokenizer: `FullTokenizer` of a vocab.txt.
        max_seq_length: texts and pairs are truncated to this many tokens, like `encoding.encode`,
            except that of two long texts that share an odd number, the second keeps one more.
    """
    cut = {"max_length": max_seq_length, "strategy": "LongestFirst", "stride": 0}
    model = {
        "type": "WordPiece",
        "unk_token": "[UNK]",
        "continuing_subword_prefix": "##",
        "max_input_chars_per_word": MAX_CHARACTERS,
        "vocab": dict(tokenizer.vocab),
    }
    return {
        "version": "1.0",
        "truncation": dict(cut, direction="Right"),
        "padding": None,
        "added_tokens": [],
        "normalizer": _normalizer(tokenizer.basic_tokenizer.do_lower_case),
        "pre_tokenizer": _splitter(),
        "post_processor": _sentence_tokens(tokenizer),
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": model,
    }


def case_of(content: Dict[str, Any]) -> Optional[bool]:
    """Whether a tokenizer.json of this project lower-cases; None if the file has another form."""
    if content.get("pre_tokenizer") != _splitter():
        return None
    cases = (case for case in (True, False) if content.get("normalizer") == _normalizer(case))
    return next(cases, None)


def _replace(pattern, replacement):
    return {"type": "Replace", "pattern": {"Regex": pattern}, "content": replacement}


def _normalizer(do_lower_case):
    steps = [_replace(_CONTROLS, "")]
    if do_lower_case:
        steps.append(_replace(_FINAL_SIGMA, "ς"))
        steps += [{"type": "Lowercase"}, {"type": "NFD"}, _replace(r"\p{Mn}", "")]
    return {"type": "Sequence", "normalizers": steps}


def _splitter():
    """Splits at whitespace; each ideograph and punctuation mark is a word."""
    ideographs = "".join(
        "%s-%s" % (chr(first), chr(last)) for first, last in unicode_text.IDEOGRAPH_RANGES
    )
    split = {
        "type": "Split",
        "pattern": {"Regex": "[\\p{P}%s%s]" % (_SYMBOLS, ideographs)},
        "behavior": "Isolated",
        "invert": False,
    }
    return {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, split]}


def _sentence_tokens(tokenizer):
    """[CLS] A [SEP], or [CLS] A [SEP] B [SEP] with segments 0 and 1."""

    def token(name, segment=0):
        return {"SpecialToken": {"id": name, "type_id": segment}}

    def text(name, segment=0):
        return {"Sequence": {"id": name, "type_id": segment}}

    single = [token("[CLS]"), text("A"), token("[SEP]")]
    ids = {name: tokenizer.vocab[name] for name in ("[CLS]", "[SEP]")}
    return {
        "type": "TemplateProcessing",
        "single": single,
        "pair": single + [text("B", 1), token("[SEP]", 1)],
        "special_tokens": {
            name: {"id": name, "ids": [number], "tokens": [name]} for name, number in ids.items()
        },
    }
