"""Creates training pairs for sentence vectors from raw text: a title and a sentence after it.

    python scripts/title_pairs.py --input_file='texts/*.gz' --output_file=pairs.tsv
    python run_sentence_embedding.py --train_file=pairs.tsv --objective=infonce ...

The text must have one sentence per line and blank lines between documents, as for pre-training. The
first line of a document is its title: a headline, or a question that the rest answers. Of the next
three lines, the one that shares the most characters with the title becomes its positive. Titles
must have 6 to 40 and sentences 6 to 60 characters; at most --most pairs per file are sampled, with
--seed.
"""

import os
import random
import sys
from typing import Iterator, List, Optional, Tuple

from absl import flags

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from albert_zh.common import output_files
from albert_zh.common.errors import UserError, run_command
from albert_zh.corpus import reader as corpus_reader

FLAGS = flags.FLAGS
NEXT_LINES = 3
TITLE_LENGTHS, SENTENCE_LENGTHS = (6, 40), (6, 60)


def define_flags() -> None:
    """Defines this command's flags."""
    flags.DEFINE_string("input_file", None, "Text files, .gz too; patterns, separated by commas.")
    flags.DEFINE_string("output_file", None, "Output file, with lines title<tab>sentence.")
    flags.DEFINE_string("encoding", "utf-8", "Encoding of the texts, such as gb18030 (GBK).")
    flags.DEFINE_integer("most", 20000, "Maximum number of pairs per file.", lower_bound=1)
    flags.DEFINE_integer("seed", 1, "Random seed of the sample and of the order.")


def main() -> None:
    """Reads the files and writes the pairs of all files, shuffled."""
    for name in ("input_file", "output_file"):
        if not FLAGS[name].value:
            raise UserError("--%s is required" % name)
    pairs = []
    for path in corpus_reader.input_files(
        FLAGS.input_file, "input_file", leave_out=[FLAGS.output_file]
    ):
        found = list(filter(None, map(pair_of, documents_of(path, FLAGS.encoding))))
        random.Random(FLAGS.seed).shuffle(found)
        pairs += found[: FLAGS.most]
        print("%s: %d pairs of %d" % (path, len(found[: FLAGS.most]), len(found)))
    if not pairs:
        raise UserError(
            "--input_file=%s: no document with a title and a sentence: expected one sentence per "
            "line and a blank line between documents" % FLAGS.input_file
        )
    random.Random(FLAGS.seed).shuffle(pairs)
    with output_files.atomic_write(FLAGS.output_file) as stream:
        stream.write("".join("%s\t%s\n" % pair for pair in pairs))


def documents_of(path: str, encoding: str) -> Iterator[List[str]]:
    """Yields the lines of each document of a file."""
    document = []
    for shard in corpus_reader.read_shards([path], corpus_reader.TextFormat(encoding, False)):
        for number, lines in enumerate(shard.documents):
            if document and (number or not shard.continues):
                yield document
                document = []
            document += [" ".join(line.split()) for line in lines]
    if document:
        yield document


def pair_of(document: List[str]) -> Optional[Tuple[str, str]]:
    """Returns the pair (title, sentence) of a document, or None if there is none."""
    title, following = document[0], document[1 : 1 + NEXT_LINES]
    sentences = [line for line in following if line != title and _is_within(line, SENTENCE_LENGTHS)]
    if not sentences or not _is_within(title, TITLE_LENGTHS):
        return None
    return title, max(sentences, key=lambda line: len(set(line) & set(title)))


def _is_within(line, lengths):
    return lengths[0] <= len(line) <= lengths[1]


if __name__ == "__main__":
    define_flags()
    run_command(main, description=__doc__)
