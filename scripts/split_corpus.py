"""Parts raw text for pre-training into a training part and a held-out part.

    python scripts/split_corpus.py --input_file='texts/*.gz' --output_dir=corpus \
        --exclude_file='tasks/*/dev.txt,tasks/*/test.txt'

Writes train.txt, held_out.txt and counts.json. A document that has a line in common with the
excluded files (evaluation sets, say), up to punctuation and case, goes into neither part.
"""

import json
import os
import re
import sys

from absl import flags

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from errors import UserError, run_command  # noqa: E402
import corpus  # noqa: E402
import files  # noqa: E402
import progress  # noqa: E402

FLAGS = flags.FLAGS
_SHORTEST = 9  # shorter lines are phrases that anyone writes
_NO_LETTER = re.compile(r"[\W_]+")


def define_flags():
    """Defines this command's flags."""
    flags.DEFINE_string("input_file", None, "Text files, .gz too; patterns, separated by commas.")
    flags.DEFINE_string("output_dir", None, "Folder for train.txt, held_out.txt and counts.json.")
    flags.DEFINE_string("exclude_file", None, "Files whose texts must not occur in either part.")
    flags.DEFINE_string("encoding", "utf-8", "Encoding of the texts, such as gb18030 (GBK).")
    flags.DEFINE_integer("held_out_every", 200, "Of so many documents one is held out.")


def main():
    """Reads the input once and writes the two parts."""
    for name in ("input_file", "output_dir"):
        if not FLAGS[name].value:
            raise UserError("--%s is required" % name)
    if FLAGS.held_out_every < 2:
        raise UserError("--held_out_every=%d: expected 2 or more" % FLAGS.held_out_every)
    excluded = set()
    if FLAGS.exclude_file:
        for path in corpus.input_files(FLAGS.exclude_file, "exclude_file"):
            excluded.update(excluded_texts(path))
    paths = corpus.input_files(FLAGS.input_file)
    try:
        os.makedirs(FLAGS.output_dir, exist_ok=True)
    except OSError as error:
        raise files.cannot_write("--output_dir=" + FLAGS.output_dir, error) from error
    counts = write_parts(paths, excluded, FLAGS.held_out_every, FLAGS.output_dir)
    counts["excluded texts"] = len(excluded)
    files.write_json(os.path.join(FLAGS.output_dir, "counts.json"), counts)
    for name, count in counts.items():
        print("%-20s %d" % (name, count))


def excluded_texts(path):
    """The normalized texts of a data file: cells of tab-separated lines, strings of JSON lines."""
    texts = set()
    for line in files.read_lines(path):
        texts.update(normalized(text) for text in _texts_of_line(line))
    return {text for text in texts if len(text) >= _SHORTEST}


def _texts_of_line(line):
    if not line.startswith("{"):
        return line.split("\t")
    try:
        values = json.loads(line).values()
    except ValueError:
        return [line]
    return [value for value in values if isinstance(value, str)]


def normalized(text):
    """A text without punctuation and blanks, in lower case."""
    return _NO_LETTER.sub("", text).lower()


def write_parts(paths, excluded, held_out_every, folder):
    """Writes train.txt and held_out.txt.

    Args:
        paths: text files.
        excluded: set of normalized texts.
        held_out_every: of so many documents one is held out.
        folder: where the files go.

    Returns:
        dict of counts.
    """
    counts = {"documents": 0, "excluded documents": 0, "held-out documents": 0, "characters": 0}
    train_path, held_out_path = (os.path.join(folder, n) for n in ("train.txt", "held_out.txt"))
    bar = progress.progress_bar("reading", corpus.total_bytes(paths), "B")
    with files.atomic_write(train_path) as train, files.atomic_write(held_out_path) as held_out:
        for shard in corpus.read_shards(paths, corpus.TextFormat(FLAGS.encoding)):
            for document in shard.documents:
                counts["documents"] += 1
                if any(normalized(line) in excluded for line in document):
                    counts["excluded documents"] += 1
                    continue
                is_held_out = counts["documents"] % held_out_every == 0
                counts["held-out documents"] += is_held_out
                counts["characters"] += sum(map(len, document))
                (held_out if is_held_out else train).write("\n".join(document) + "\n\n")
            bar.update(shard.bytes_read - bar.n)
    bar.close()
    return counts


if __name__ == "__main__":
    define_flags()
    run_command(main)
