"""Predicts the words at [MASK] with a pre-trained model: a quick check of its weights.

    python fill_mask.py "今天天[MASK]很好"
    python fill_mask.py --model_dir=prev_trained_model/albert_tiny_zh --top_k=10 < texts.txt

Prints one line per mask, tab-separated: the text, the number of the mask, and the predicted words
with their probabilities, most probable first. Blank lines of standard input are skipped.
"""

import sys
from typing import Iterable, List

from absl import flags

from albert_zh.common import config_flag, line_reader, path_rules
from albert_zh.common.errors import UserError, printable, run_command, table_cell
from albert_zh.common.wording import counted
from albert_zh.inference import loaded_model
from albert_zh.inference.mask_filler import MASK, MaskFiller
from albert_zh.model.checkpoints import model_folder

__all__ = [
    "MASK",
    "MaskFiller",
    "define_flags",
    "main",
    "print_filled",
    "run",
]

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Defines the command's flags."""
    flags.DEFINE_string(
        "model_dir",
        None,
        "Pre-trained model folder or checkpoint; default: %s, whichever exists first."
        % " or ".join(model_folder.PRETRAINED),
    )
    config_flag.define("Config JSON file, if it is not in --model_dir.")
    flags.DEFINE_string("vocab_file", None, "Vocabulary, if it is not in --model_dir.")
    flags.DEFINE_integer("top_k", 5, "Number of predictions to show per mask.", lower_bound=1)
    flags.DEFINE_boolean("do_lower_case", True, "Whether to lower-case; false for cased models.")
    flags.DEFINE_string("encoding", "utf-8", "Encoding of standard input.")
    path_rules.serve_remote_everywhere(FLAGS)


def run(texts: List[str]) -> None:
    """Fills the masks of the texts, or of each line of standard input if there are none."""
    line_reader.check_arguments(texts)
    model_dir = FLAGS.model_dir or model_folder.pretrained_folder()
    print(printable("model: %s" % model_dir), file=sys.stderr)
    settings = {"config_file": FLAGS.bert_config_file, "vocab_file": FLAGS.vocab_file}
    if FLAGS["do_lower_case"].present:
        settings["do_lower_case"] = FLAGS.do_lower_case
    with MaskFiller(model_dir, **settings) as filler:
        if texts:
            print_filled(filler, texts)
        else:
            _fill_lines(filler)
        loaded_model.note_unknown("the texts" if texts else "standard input", filler)


def _fill_lines(filler):
    """Fills the masks of each line of standard input."""
    num_blank = 0
    for group in line_reader.groups_of_lines(None, FLAGS.encoding):
        for source, line in group:
            if not line.strip():
                num_blank += 1
                continue
            try:
                print_filled(filler, [line])
            except UserError as error:
                raise UserError("%s: %s" % (source, error)) from error
    if num_blank:
        skipped = counted(num_blank, "empty line")
        print("note: skipped %s of standard input" % skipped, file=sys.stderr)


def print_filled(filler: MaskFiller, texts: Iterable[str]) -> None:
    """Prints one line per mask of each text."""
    for text in texts:
        for rank, filled_words in enumerate(filler.fill(text, FLAGS.top_k), start=1):
            cells = ["%s %.4f" % word for word in filled_words]
            print("\t".join([table_cell(text), str(rank)] + cells))
    sys.stdout.flush()


def main() -> None:
    """Runs the command line."""
    define_flags()
    run_command(run, takes_words=True, description=__doc__)
