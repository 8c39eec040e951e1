"""Expected results of the Python code, such as token ids, for the tests of the Java library.

    python tests/support/java_cases.py FOLDER

Writes FOLDER/fuzz (random texts of all assigned characters, and a vocabulary of their words),
FOLDER/starter (the bundled texts) and, if the development data exists, FOLDER/golden. Each folder
contains `vocab.txt`, `texts.tsv` (lower or cased, text, ids) and, except golden, `rows.tsv`
(length, text, second text or "-", ids, mask, segment ids). Further files:

- FOLDER/fuzz/offsets.tsv: lower or cased, text, begins and ends of its pieces in UTF-16 code units,
  as Java counts
- FOLDER/fuzz/labelled.tsv: long texts in windows with random logits, and their entities or words
- FOLDER/starter/answers.tsv: questions, contexts, random logits of their windows, and the resulting
  answers
- FOLDER/decoding.tsv: tags, transitions or "-", logits, decoded tags and spans

Texts are written as hexadecimal code points. Every run writes the same files.
"""

import itertools
import json
import os
import random
import re
import shutil
import sys
import unicodedata

import numpy as np

from project_root import ROOT

SHARED = os.path.join(ROOT, "..", "shared")
sys.path.insert(0, ROOT)


from albert_zh.common.errors import run_command
from albert_zh.tasks import kind_interface, task_forms
from albert_zh.tasks.input_examples import InputExample
from albert_zh.tasks.labelling import decoding, head_names, predictions, tag_schemes
from albert_zh.tasks.labelling.spans import without_whitespace
from albert_zh.tasks.reading import span_scores, windows
from albert_zh.text import encoding, tokenization
from albert_zh.text.offsets import offsets

NUM_FUZZED = 20000
NUM_ROWS = 2000
NUM_LOCATED = 4000
NUM_LABELLED = 200
NUM_ANSWERED = 300
NUM_DECODED = 1000
# Characters that Unicode 14 treats differently from Unicode 11, and so do versions of Python.
CHANGED = "\u055f\u166d\u1734\ua9bd"
ALPHABETS = [
    "abcXYZ019",
    "今天气很好北京\U00020000\uf900",
    " \t\r\n\v\f\0\x1c\x85\xa0\u2028\u2029\u3000\u200b\ufeff\ufffd",
    ",.!'#$@[]“”、。，：·’",
    "ΣσςΑΟΔ\u02b0'·\u0345\u2019\u00ad.:",
    "éÅÀİIıßẞﬁŒǅ\u212a\u212b\u2126ἈᾈΆ",
    "\u0301\u0345\u05b0\u064b\u0f73\u302e\u302f\u0334\U0001d165\U0001d16d\u1b44",
    "한국어각ㄱᄀ가ハガｶﾞが",
    "😀👨\u200d👩\ufe0f\U0001f1e8\U0001f1f3☎①½ⅧⅷⒶⓐ",
    "\ud83d\ude00\udfff\ud800",
]
_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")


def write(folder):
    """Writes all cases; `folder` is replaced."""
    shutil.rmtree(folder, ignore_errors=True)
    _write_fuzz(os.path.join(folder, "fuzz"))
    _write_starter(os.path.join(folder, "starter"))
    if os.path.isdir(SHARED):
        _write_golden(os.path.join(folder, "golden"))
    _write_table(os.path.join(folder, "decoding.tsv"), _decoded(random.Random(16)))


def _write_fuzz(folder):
    draw = random.Random(14)
    texts = fuzzed_texts(draw)
    vocabulary = os.path.join(folder, "vocab.txt")
    os.makedirs(folder)
    with open(vocabulary, "w", encoding="utf-8", newline="\n") as handle:
        handle.write("\ufeff[UNK]\n[CLS]\r\n [SEP]\x85\n\u2028\n##\u2028\n\n")
        pieces = pieces_of(texts, draw)
        handle.write("\n".join(pieces + draw.sample(pieces, 1000)))  # the last of duplicates counts
    tokenizers = _tokenizers(vocabulary)
    names = [draw.choice(("lower", "lower", "cased")) for _ in texts]
    _write_table(
        os.path.join(folder, "texts.tsv"),
        ((name, _hex(text), _ids(tokenizers[name], text)) for name, text in zip(names, texts)),
    )
    _write_table(
        os.path.join(folder, "offsets.tsv"),
        (
            [name, _hex(text)] + _columns(_in_utf16(text, offsets(tokenizers[name], text)[1]))
            for name, text in zip(names[:NUM_LOCATED], texts)
        ),
    )
    _write_table(os.path.join(folder, "labelled.tsv"), _labelled(texts, tokenizers["lower"]))
    seconds = texts + [None] * len(texts)
    pairs = [(draw.choice(texts), draw.choice(seconds)) for _ in texts]
    _write_rows(folder, tokenizers["lower"], pairs[:NUM_ROWS], draw)


def _labelled(texts, tokenizer):
    """Rows of labelled.tsv: what `Predictor` returns for texts, given logits of their windows."""
    draw = random.Random(17)
    for number in range(NUM_LABELLED):
        text = " ".join(draw.sample(texts, draw.choice((0, 1, 3, 6)))) + draw.choice(
            ("", " \u3000")
        )
        tags, length, stride = (
            _tags(draw),
            draw.choice((3, 4, 9, 16, 128)),
            draw.choice((0, 1, 5, 99)),
        )
        head = {
            "form": head_names.CRF if number % 4 else head_names.SOFTMAX,
            "stride": stride,
            "half_width": bool(number % 2),
        }
        text = _with_some_full_width(draw, text)
        task = task_forms.Task(files={}, columns=(), labels=tuple(tags), head=head)
        use = kind_interface.ModelInUse(task, {}, tokenizer, length)
        example = InputExample("", text, None, None)
        rows = predictions.encoded_text(task, example, tokenizer, length).input_ids
        transitions = _scores(draw, len(tags), len(tags))
        logits = [_scores(draw, len(row), len(tags)) for row in rows]
        outputs = [{"logits": of_row, "transitions": transitions} for of_row in logits]
        (predicted,) = predictions.of_tags([example], [outputs], use)
        yield [
            *(_hex(text), str(length), str(stride), str(head["half_width"]).lower()),
            " ".join(tags),
            _numbers(transitions) if number % 4 else "-",
            "|".join(" ".join(map(str, row)) for row in rows),
            "|".join(map(_numbers, logits)),
            " ".join(_located_spans(text, predicted)),
        ]


def _with_some_full_width(draw, text):
    """The text with about half of its printable ASCII characters in full width."""
    return "".join(
        chr(ord(char) + 0xFEE0) if "!" <= char <= "~" and draw.random() < 0.5 else char
        for char in text
    )


def _scores(draw, *shape):
    """Random logits with few distinct values, so that some tags are equally good."""
    scores = [draw.choice((0.0, 0.5, round(draw.gauss(0, 2), 2))) for _ in range(np.prod(shape))]
    return np.array(scores, np.float32).reshape(shape)


def _located_spans(text, predicted):
    """Yields "begin,end,type,confidence" of predicted spans; words as `Predictor` returns them."""
    for span, confidence in zip(predicted.spans, predicted.confidences):
        parts = [span] if span.type else without_whitespace(text, span)
        for bounds in _in_utf16(text, [(part.start, part.end) for part in parts]):
            yield "%d,%d,%s,%r" % (bounds + (span.type, confidence))


def _in_utf16(text, spans):
    """Ranges of code points as ranges of UTF-16 code units."""
    units = [0] + list(itertools.accumulate(1 + (char > "\uffff") for char in text))
    return [(units[begin], units[end]) for begin, end in spans]


def _columns(spans):
    """[begins, ends] of ranges."""
    return [" ".join(str(span[index]) for span in spans) for index in (0, 1)]


def _write_starter(folder):
    os.makedirs(folder)
    vocabulary = os.path.join(folder, "vocab.txt")
    shutil.copy(os.path.join(ROOT, "albert_starter_zh", "vocab.txt"), vocabulary)
    with open(os.path.join(ROOT, "data", "pairs_sample", "dev.txt"), encoding="utf-8") as handle:
        pairs = [tuple(line.split("\t")[:2]) for line in handle.read().split("\n") if line]
    tokenizers = _tokenizers(vocabulary)
    _write_table(
        os.path.join(folder, "texts.tsv"),
        (
            (name, _hex(text), _ids(tokenizer, text))
            for name, tokenizer in tokenizers.items()
            for pair in pairs[:NUM_ROWS]
            for text in pair
        ),
    )
    _write_rows(folder, tokenizers["lower"], pairs[:NUM_ROWS], random.Random(15))
    _write_answers(folder, tokenizers["lower"])


def _write_answers(folder, tokenizer):
    """Writes contexts in windows with random logits, and the answers as ranked by `span_scores`."""
    draw = random.Random(16)
    with open(
        os.path.join(ROOT, "data", "questions_sample", "dev.json"), encoding="utf-8"
    ) as lines:
        content = json.load(lines)["data"]
    contexts = [paragraph["context"] for entry in content for paragraph in entry["paragraphs"]]
    rows = []
    for _ in range(NUM_ANSWERED):
        context = "\U00020000 " + draw.choice(contexts)[: draw.randint(5, 200)]
        question = draw.choice(("谁？", "", "\U00020000 " + context[-draw.randint(3, 30) :]))
        lengths = draw.choice((24, 40, 80)), draw.choice((8, 30)), 8
        made = windows.WindowMaker(tokenizer, *lengths).windows(question, context)
        logits = [[_logits(window, draw) for window in made] for _ in range(2)]
        longest, count = draw.choice((3, 20, 60)), draw.choice((1, 5, 20))
        threshold, penalty = draw.choice((None, 0.0, -2.5)), draw.choice((0.0, 0.6, 2.0))
        ranked = span_scores.ranked_answers(context, made, *logits, longest, count)
        ranked = ranked.with_length_penalty(penalty)
        rows.append(
            [_hex(context), str(longest), str(count)]
            + ["%s;%r" % ("-" if threshold is None else threshold, penalty)]
            + ["|".join(_window(*entry) for entry in zip(made, *logits))]
            + ["|".join(map(_answer, ranked.top(count, threshold)))]
            + [_hex(question), " ".join(map(str, lengths)), "|".join(map(_row, made))]
        )
    _write_table(os.path.join(folder, "answers.tsv"), rows)


def _logits(window, draw):
    return np.array([draw.gauss(0, 3) for _ in window.input_ids], np.float32)


def _row(window):
    return ";".join(" ".join(map(str, ids)) for ids in (window.input_ids, window.segment_ids))


def _window(window, starts, ends):
    columns = [*zip(*window.spans), window.is_max_context.astype(int), starts, ends]
    return ";".join([str(window.offset)] + [" ".join(map(str, column)) for column in columns])


def _answer(answer):
    numbers = (answer.begin, answer.end, answer.score, answer.probability)
    return ";".join([_hex(answer.text)] + [repr(number) for number in numbers])


def _write_golden(folder):
    """Writes the token ids of the original program."""
    os.makedirs(folder)
    released = os.path.join(SHARED, "data", "ckpt_index_only", "MarsRoger_albert_tiny", "vocab.txt")
    shutil.copy(released, os.path.join(folder, "vocab.txt"))
    path = os.path.join(SHARED, "golden", "tokenization", "tokenization_cases.json")
    with open(path, encoding="utf-8") as handle:
        cases = json.load(handle)["cases"]
    _write_table(
        os.path.join(folder, "texts.tsv"),
        (
            (
                name.rsplit("_", 1)[1],
                _hex(case["input"]),
                " ".join(map(str, case[name]["ids"])),
            )
            for case in cases
            for name in ("bm_lower", "bm_cased", "google_lower", "google_cased")
        ),
    )


def _decoded(draw):
    """Rows of decoding.tsv; with few distinct scores, so that some paths are equally good."""
    for number in range(NUM_DECODED):
        tags = _tags(draw)
        detected = tag_schemes.detect_scheme(tags, "tags")
        scores = [draw.choice((0.0, 0.5, draw.gauss(0, 2))) for _ in tags * draw.randint(0, 30)]
        logits = np.array(scores, np.float32).reshape([-1, len(tags)])
        shape = [len(tags), len(tags)]
        transitions = np.array([draw.gauss(0, 1) for _ in tags * len(tags)], np.float32)
        transitions = transitions.reshape(shape) if number % 4 else None
        decoder = decoding.TagDecoder(tags, detected, transitions)
        (ids,) = decoder.tag_ids([logits])
        spans = [
            "%d,%d,%s,%r" % (tuple(span) + (confidence,))
            for span, confidence in zip(*decoder.spans(logits, ids))
        ]
        between = "-" if transitions is None else _numbers(transitions)
        yield [" ".join(tags), between, _numbers(logits), _numbers(ids), " ".join(spans)]


def _tags(draw):
    """The tags of entities or words in some scheme."""
    scheme = tag_schemes.SCHEMES[draw.choice(sorted(tag_schemes.SCHEMES))]
    types = draw.choice(([""], ["loc"], ["loc", "per", "a.b-c"]))
    return tag_schemes.all_tags(scheme, types, has_outside=types != [""])


def _numbers(array):
    return " ".join(str(number) for number in array.reshape(-1).tolist())


def fuzzed_texts(draw):
    """Texts in which every assigned character occurs, mixed with characters of `ALPHABETS`."""
    swept = [chr(code) for code in range(sys.maxunicode + 1) if _is_swept(chr(code))]
    draw.shuffle(swept)
    share = len(swept) / NUM_FUZZED
    texts = []
    for number in range(NUM_FUZZED):
        chars = swept[int(number * share) : int((number + 1) * share)]
        for alphabet in draw.sample(ALPHABETS, 3):
            chars += draw.choices(alphabet, k=draw.choice((1, 3, 8)))
        draw.shuffle(chars)
        if number % 100 == 0:
            at = draw.randrange(len(chars))
            chars[at:at] = draw.choice("a0Σ\U0001f600") * draw.randint(195, 205)
        texts.append(_PAIR.sub("?", "".join(chars)))
    return texts


def _is_swept(char):
    """Whether a character is used: of private and unassigned ones, about one in a thousand."""
    category = unicodedata.category(char)
    if category == "Co" or "\U00040000" <= char < "\U000e0000":
        return ord(char) % 0x3FF == 0
    return category != "Cn" and char not in CHANGED


def pieces_of(texts, draw):
    """A vocabulary that splits most words of the texts into several known pieces."""
    pieces = set()
    for text in texts:
        for word in tokenization.BasicTokenizer(draw.random() < 0.6).tokenize(text):
            start = 0
            while start < len(word) and draw.random() < 0.97:
                end = start + draw.randint(1, 4)
                pieces.add(("##" if start else "") + word[start:end])
                start = end
    return sorted(piece for piece in pieces if not re.search("[\ud800-\udfff\n]", piece))


def _tokenizers(vocabulary):
    return {
        "lower": tokenization.FullTokenizer(vocabulary, do_lower_case=True),
        "cased": tokenization.FullTokenizer(vocabulary, do_lower_case=False),
    }


def _write_rows(folder, tokenizer, pairs, draw):
    """Writes the rows that fine-tuning creates from a text or a pair."""
    rows = []
    for text_a, text_b in pairs:
        length = draw.choice((3, 4, 8, 15, 32, 128))
        ids, segment_ids, _ = encoding.encode(tokenizer, text_a, text_b, length)
        padding = [0] * (length - len(ids))
        lists = (ids + padding, [1] * len(ids) + padding, segment_ids + padding)
        row = [str(length), _hex(text_a), "-" if text_b is None else _hex(text_b)]
        rows.append(row + [" ".join(map(str, numbers)) for numbers in lists])
    _write_table(os.path.join(folder, "rows.tsv"), rows)


def _write_table(path, rows):
    with open(path, "w", encoding="ascii", newline="\n") as handle:
        handle.writelines("\t".join(row) + "\n" for row in rows)


def _hex(text):
    return " ".join("%x" % ord(char) for char in text)


def _ids(tokenizer, text):
    return " ".join(map(str, tokenizer.convert_tokens_to_ids(tokenizer.tokenize(text))))


def main(words):
    """Writes all cases to the given folder."""
    (folder,) = words
    write(folder)


if __name__ == "__main__":
    run_command(main, takes_words=True)
