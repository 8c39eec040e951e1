r"""Generates texts from texts with a model of run_seq2seq.py, as JSON lines.

    python generate.py --model_dir=titles_output/best "一篇要写标题的文章"
    python generate.py --model_dir=titles_output/best --num_beams=4 < articles.txt
    python generate.py --model_dir=replies_output/best --do_sample --top_p=0.9 --seed=1 "在吗"
    python generate.py --model_dir=titles_output/best --input_file=test.tsv --num_beams=4

Texts are passed as arguments, as lines of standard input, or in a file of a format that
run_seq2seq.py reads. If the file has targets, each output line also has its target and ROUGE-L, and
the last line, on standard error, has the mean scores: ROUGE-1/2/L, BLEU and distinct-1/2.
"""

import json
import sys
from typing import Any, Iterator, List, Optional, Tuple

from absl import flags
import numpy as np

from albert_zh.common import line_reader, package_files, path_rules
from albert_zh.common.errors import UserError, printable, run_command
from albert_zh.common.wording import counted
from albert_zh.inference import loaded_model, model_choice
from albert_zh.inference.generator import Generator
from albert_zh.tasks.generation import pair_files, text_scores

__all__ = ["define_flags", "main", "run"]

FLAGS = flags.FLAGS
_GROUP = 64  # texts of a file that are generated together
_OF_FILE = ("text_column", "label_column", "skip_bad_rows")
_SETTINGS = (
    ("integer", "max_length", None, "Maximum tokens of a text; default: as in training."),
    ("integer", "min_length", 1, "Minimum tokens of a text."),
    ("integer", "num_beams", 1, "Beams of a beam search; 1 for greedy decoding or sampling."),
    (
        "float",
        "length_penalty",
        0.6,
        "Exponent of the length that divides the sum of log probabilities: larger values prefer "
        "longer texts.",
    ),
    ("integer", "no_repeat_ngram_size", 0, "Size of the n-grams that may occur only once."),
    ("boolean", "do_sample", False, "Sample tokens instead of taking the most probable."),
    ("integer", "top_k", 0, "Sample from this many most probable tokens; 0: all."),
    ("float", "top_p", 1.0, "Sample from the most probable tokens with this total probability."),
    ("float", "temperature", 1.0, "Divides the logits before sampling: above 1 for more variety."),
    ("integer", "seed", 0, "Random seed of sampling."),
)


def define_flags() -> None:
    """Defines the command's flags."""
    flags.DEFINE_string(
        "model_dir",
        None,
        "Model folder of run_seq2seq.py, such as OUTPUT_DIR/best; default: newest *_output/best.",
    )
    flags.DEFINE_string("input_file", None, "File with sources, or with sources and targets.")
    flags.DEFINE_string("text_column", None, "Column of the sources: name, or position from 1.")
    flags.DEFINE_string("label_column", None, "Column of the targets: name, or position from 1.")
    flags.DEFINE_string("encoding", "utf-8", "Encoding of the input.")
    flags.DEFINE_boolean("skip_bad_rows", False, "Skip malformed rows, and count them.")
    for kind, name, default, help_text in _SETTINGS:
        getattr(flags, "DEFINE_" + kind)(name, default, help_text)
    path_rules.serve_remote_everywhere(FLAGS)


def run(texts: Optional[List[str]] = None) -> None:
    """Generates the texts and prints them.

    Args:
        texts: texts of the command line; None for --input_file or standard input.
    """
    line_reader.check_arguments(texts or [])
    if FLAGS.input_file and texts:
        raise UserError("--input_file and texts on the command line are mutually exclusive")
    for name in () if FLAGS.input_file else _OF_FILE:
        if FLAGS[name].present:
            print("note: --%s has no effect without --input_file" % name, file=sys.stderr)
    settings = {name: FLAGS[name].value for _, name, _, _ in _SETTINGS}
    path = FLAGS.model_dir or model_choice.newest_best_folder(
        package_files.places_of_models(), kinds=["generation"]
    )
    print(printable("model: %s" % path), file=sys.stderr)
    with Generator(path) as generator:
        scored: List[Any] = []
        for group in _groups(texts):
            sources = [source for source, _ in group]
            written = generator.generate(sources, first_number=len(scored), **settings)
            scored += [_print(*pair, text) for pair, text in zip(group, written)]
        source = "the texts" if texts else FLAGS.input_file or "standard input"
        loaded_model.note_unknown(source, generator)
    _report([row for row in scored if row])


def _groups(texts) -> Iterator[List[Tuple[str, Optional[str]]]]:
    """Yields lists of (source, target or None)."""
    if texts:
        yield [(text, None) for text in texts]
    elif FLAGS.input_file:
        chosen = {"text_a": FLAGS.text_column, "label": FLAGS.label_column}
        chosen = {column: name for column, name in chosen.items() if name}
        split = pair_files.read_split(
            FLAGS.input_file, "test", chosen, FLAGS.encoding, FLAGS.skip_bad_rows
        )
        for note in split.notes:
            print("%s: %s" % (FLAGS.input_file, note), file=sys.stderr)
        pairs = [(example.text_a, example.label) for example in split.examples]
        for start in range(0, len(pairs), _GROUP):
            yield pairs[start : start + _GROUP]
    else:
        num_blank = 0
        for lines in line_reader.groups_of_lines(None, FLAGS.encoding):
            group: List[Tuple[str, Optional[str]]] = [
                (line, None) for _, line in lines if line.strip()
            ]
            num_blank += len(lines) - len(group)
            yield group
        if num_blank:
            skipped = counted(num_blank, "empty line")
            print("note: skipped %s of standard input" % skipped, file=sys.stderr)


def _print(source: str, target: Optional[str], written: Any):
    """Prints one line; returns (text, its scores) if the target is known."""
    row = {"text": source, "generated": written.text, "score": round(written.score, 4)}
    if written.was_cut:
        row["was_cut"] = True
    scores = None if target is None else text_scores.scores(written.text, target)
    if scores is not None:
        row.update(target=target, rouge_l=round(scores["rouge_l"], 4))
    print(json.dumps(row, ensure_ascii=False), flush=True)
    return scores and (written.text, scores)


def _report(scored):
    if not scored:
        return
    texts = [text for text, _ in scored]
    means = {name: np.mean([scores[name] for _, scores in scored]) for name in scored[0][1]}
    means.update(("distinct_%d" % n, text_scores.distinct(texts, n)) for n in (1, 2))
    shown = ", ".join("%s %.2f" % (name, 100 * mean) for name, mean in means.items())
    print("%s: %s" % (counted(len(texts), "text"), shown), file=sys.stderr)


def main() -> None:
    """Runs the command line."""
    define_flags()
    run_command(run, takes_words=True, description=__doc__)
