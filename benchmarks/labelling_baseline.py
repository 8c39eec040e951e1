r"""Baseline of sequence labelling: a linear-chain CRF on character n-grams.

    python benchmarks/labelling_baseline.py --train_file=data/entities_sample/train.txt \
        --test_file=data/entities_sample/test.txt

Trains on one file and prints the entity F1 on another file (for segmented text the word F1). This
is the classic method without pre-training: the features of a character are the n-grams of up to
three characters around it and their kinds (digit, Latin letter, punctuation ...). Files may have
any format of `run_seq_labelling.py`. Needs python-crfsuite (`pip install python-crfsuite`).
"""

import os
import sys
import tempfile
import time
import unicodedata

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from absl import flags

from albert_zh.common.errors import UserError, run_command
from albert_zh.tasks.labelling import reader, tag_schemes
from albert_zh.tasks.labelling.entity_scores import EntityScorer, report_table
from albert_zh.tasks.labelling.segmentation_scores import SegmentationScorer
from albert_zh.tasks.labelling.spans import types_of

FLAGS = flags.FLAGS

SAMPLE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "data", "entities_sample")
# (first, last) character of an n-gram, relative to the tagged character.
NGRAMS = (
    (-2, -2),
    (-1, -1),
    (0, 0),
    (1, 1),
    (2, 2),
    (-2, -1),
    (-1, 0),
    (0, 1),
    (1, 2),
    (-1, 1),
)
KINDS = ((-1, -1), (0, 0), (1, 1), (-1, 1))
LONGEST = 500  # characters per sequence; longer texts are split for training
_EDGE = "#"  # padding before and after a text


def define_flags():
    sample = os.path.normpath(SAMPLE)
    flags.DEFINE_string("train_file", os.path.join(sample, "train.txt"), "Labelled texts.")
    flags.DEFINE_string("test_file", os.path.join(sample, "test.txt"), "Labelled texts to score.")
    flags.DEFINE_integer("iterations", 100, "Maximum number of L-BFGS iterations.", 1)
    flags.DEFINE_integer("least_count", 1, "Features that occur less often are ignored.", 1)


def character_kind(char):
    """A letter for the kind of a character: digit, Latin letter, hanzi, punctuation, other."""
    if char.isdigit():
        return "d"
    if char < "\u0250" and char.isalpha():
        return "l"
    if "\u4e00" <= char <= "\u9fff":
        return "h"
    return "p" if unicodedata.category(char)[0] in "PZ" else "o"


def text_features(text):
    """The features of each character of a text: list of lists of str."""
    reach = 2
    padded = _EDGE * reach + text + _EDGE * reach
    kinds = "".join(map(character_kind, padded))
    features = []
    for position in range(reach, reach + len(text)):
        row = [
            "%d%d=%s" % (first, last, padded[position + first : position + last + 1])
            for first, last in NGRAMS
        ]
        row += [
            "k%d%d=%s" % (first, last, kinds[position + first : position + last + 1])
            for first, last in KINDS
        ]
        row.append("same=%d" % (padded[position] == padded[position - 1]))
        features.append(row)
    return features


def train(data, scheme, model_file):
    """Trains a CRF.

    Args:
        data: `reader.LabelledFile`.
        scheme: `tag_schemes.Scheme` of the tags to learn.
        model_file: path of the model to write.
    """
    import pycrfsuite

    trainer = pycrfsuite.Trainer(algorithm="lbfgs", verbose=False)
    trainer.set_params(
        {
            "c1": 0.1,
            "c2": 0.1,
            "max_iterations": FLAGS.iterations,
            "feature.minfreq": FLAGS.least_count,
            "feature.possible_transitions": True,
        }
    )
    for text in data.texts:
        tags = tag_schemes.spans_to_tags(text.spans, len(text.text), scheme)
        features = text_features(text.text)
        for start in range(0, len(tags), LONGEST):
            part = slice(start, start + LONGEST)
            trainer.append(pycrfsuite.ItemSequence(features[part]), tags[part])
    trainer.train(model_file)


def predicted_spans(texts, scheme, model_file):
    """Yields (text, predicted spans)."""
    import pycrfsuite

    tagger = pycrfsuite.Tagger()
    tagger.open(model_file)
    for text in texts:
        yield text, tag_schemes.tags_to_spans(tagger.tag(text_features(text.text)), scheme)


def score(train_data, predictions):
    """Prints the scores of predictions, an iterable of (text, predicted spans)."""
    if types_of(train_data.texts) == [""]:
        words = {t.text[s.start : s.end] for t in train_data.texts for s in t.spans}
        scorer = SegmentationScorer(words)
        for text, spans in predictions:
            scorer.add(
                *([text.text[s.start : s.end] for s in side] for side in (text.spans, spans))
            )
        print(scorer.summary(), end="")
        return scorer.metrics()["f1"]
    scorer = EntityScorer()
    for text, spans in predictions:
        scorer.add(text.spans, spans)
    for row in report_table(scorer.report()):
        print("\t".join(row))
    return scorer.metrics()["f1"]


def main():
    try:
        import pycrfsuite  # noqa: F401
    except ImportError as error:
        raise UserError("python-crfsuite is not installed: pip install python-crfsuite") from error
    start = time.time()
    train_data, test_data = (
        reader.keep_longest(reader.read_file(path)) for path in (FLAGS.train_file, FLAGS.test_file)
    )
    is_segmented = types_of(train_data.texts) == [""]
    scheme = tag_schemes.SCHEMES["BMES" if is_segmented else "BIOES"]
    with tempfile.TemporaryDirectory() as folder:
        model_file = os.path.join(folder, "crf.model")
        train(train_data, scheme, model_file)
        f1 = score(train_data, predicted_spans(test_data.texts, scheme, model_file))
    print("feature CRF, F1: %.2f (%d s)" % (100 * f1, time.time() - start))


if __name__ == "__main__":
    define_flags()
    run_command(main)
