"""How probably two sentences mean the same, by a fine-tuned model of sentence pairs.

    python similarity.py "怎么开户" "如何开通账户"
    python similarity.py --model_dir=lcqmc_output/best < pairs.tsv

Without sentences on the command line, pairs come from standard input, a line each, with a tab
between the two. Prints both sentences and the probability, tab-separated, in the input's order.
"""

import os
import sys

from absl import flags

from errors import UserError, run_command
from files import wrong_encoding
import predictor

FLAGS = flags.FLAGS
PAIRS_AT_ONCE = 1024


def define_flags():
    """Defines the command's flags."""
    flags.DEFINE_string(
        "model_dir", None, "Fine-tuned model; the newest *_output/best if left out."
    )
    flags.DEFINE_integer(
        "max_seq_length", None, "Longest pair in tokens; as in training by default."
    )


def main(words):
    """Prints the similarity of the given pair, or of each pair of standard input."""
    if words and len(words) != 2:
        raise UserError("expected two sentences, found %d: quote each of them" % len(words))
    model_dir = FLAGS.model_dir or predictor.newest_best_folder(os.path.dirname(__file__) or ".")
    print("model: %s" % model_dir, file=sys.stderr)
    if not words and sys.stdin.isatty():
        print("pairs, a tab between the two, a line each; Ctrl-D ends:", file=sys.stderr)
    pairs = iter([tuple(words)]) if words else pairs_of_lines(sys.stdin.buffer)
    with predictor.Predictor(model_dir, FLAGS.max_seq_length) as resident:
        if len(resident.labels) != 2:
            raise UserError(
                "%s tells %d classes apart, expected a model of sentence pairs with 2"
                % (model_dir, len(resident.labels))
            )
        for group in _groups(pairs, PAIRS_AT_ONCE):
            _, probabilities = resident.predict(group)
            for (text_a, text_b), row in zip(group, probabilities):
                print("%s\t%s\t%.4f" % (text_a, text_b, row[1]), flush=True)


def pairs_of_lines(lines):
    """Yields the pairs of tab-separated lines.

    Args:
        lines: iterable of bytes.

    Raises:
        UserError: for a line that is no pair or not UTF-8.
    """
    for number, line in enumerate(lines, start=1):
        place = "standard input, line %d" % number
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise wrong_encoding(place, error, "utf-8") from error
        cells = text.rstrip("\r\n").split("\t")
        if len(cells) < 2:
            raise UserError("%s: expected text_a<tab>text_b" % place)
        yield cells[0], cells[1]


def _groups(items, size):
    group = []
    for item in items:
        group.append(item)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group


if __name__ == "__main__":
    define_flags()
    run_command(main, takes_words=True)
