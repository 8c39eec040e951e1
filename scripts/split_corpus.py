r"""Splits raw text for pre-training into a training part and a held-out part.

    python scripts/split_corpus.py --input_file='texts/*.gz' --output_dir=corpus \
        --exclude_file='tasks/*/dev.txt,tasks/*/test.txt'

Writes train.txt, held_out.txt and counts.json. A document that shares a line with the excluded
files (such as evaluation sets) is put into neither part; punctuation, case and the width of letters
are ignored in this comparison.
"""

import collections
import json
import os
import re
import sys
from typing import Dict, Sequence, Set
import unicodedata

from absl import flags

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from albert_zh.common import files, output_files, path_rules, progress
from albert_zh.common.errors import UserError, run_command
from albert_zh.corpus import counts as corpus_counts
from albert_zh.corpus import reader as corpus_reader
from albert_zh.tasks.tables import rows as row_files

FLAGS = flags.FLAGS
_SHORTEST = 9  # characters; shorter lines are common phrases and not compared
_NO_LETTER = re.compile(r"[\W_]+")


def define_flags() -> None:
    """Defines this command's flags."""
    flags.DEFINE_string("input_file", None, "Text files, .gz too; patterns, separated by commas.")
    flags.DEFINE_string("output_dir", None, "Folder for train.txt, held_out.txt and counts.json.")
    flags.DEFINE_string("exclude_file", None, "Files whose texts must not occur in either part.")
    flags.DEFINE_string("encoding", "utf-8", "Encoding of the texts, such as gb18030 (GBK).")
    flags.DEFINE_boolean("split_sentences", False, "Whether to split lines into sentences.")
    flags.DEFINE_integer("held_out_every", 200, "One document in this many is held out.")


def main() -> None:
    """Reads the input once and writes the two parts."""
    for name in ("input_file", "output_dir"):
        if not FLAGS[name].value:
            raise UserError("--%s is required" % name)
    if FLAGS.held_out_every < 2:
        raise UserError("--held_out_every=%d: expected 2 or more" % FLAGS.held_out_every)
    paths = _files_of("input_file")
    excluded = _excluded()
    try:
        os.makedirs(path_rules.output_folder(FLAGS.output_dir), exist_ok=True)
    except OSError as error:
        raise files.cannot_write("--output_dir=" + FLAGS.output_dir, error) from error
    counts = write_parts(paths, excluded)
    counts["excluded texts"] = len(excluded)
    output_files.write_json(_outputs()[-1], counts)
    for name, count in counts.items():
        print("%-20s %d" % (name, count))


def _outputs():
    names = ("train.txt", "held_out.txt", "counts.json")
    return [os.path.join(FLAGS.output_dir, name) for name in names]


def _files_of(flag):
    """Lists the files of a flag, without files that this command has written to their folder."""
    patterns = FLAGS[flag].value
    former = _outputs() if os.path.exists(_outputs()[-1]) else []  # written by a previous run
    paths = corpus_reader.input_files(patterns, flag, leave_out=former) if patterns else []
    for path in paths:
        if any(files.is_same_path(path, output) for output in _outputs()):
            raise UserError("--%s: %s would be overwritten: name another folder" % (flag, path))
    return paths


def _excluded():
    """Returns the set of normalized texts in all files of --exclude_file."""
    excluded = set()
    for path in _files_of("exclude_file"):
        texts = excluded_texts(path, _text_format())
        if not texts:
            _warn("--exclude_file: %s: no text of %d letters or more in it" % (path, _SHORTEST))
        excluded |= texts
    return excluded


def _text_format():
    return corpus_reader.TextFormat(FLAGS.encoding, FLAGS.split_sentences)


def _warn(text):
    print("warning: " + text, file=sys.stderr)


def excluded_texts(
    path: str, text_format: corpus_reader.TextFormat = corpus_reader.PLAIN
) -> Set[str]:
    """Returns the normalized texts of a data file.

    Args:
        path: a table (tab-separated or .csv), a JSON file or a JSON Lines file.
        text_format: format of the corpus; the file may be in its encoding or UTF-8.

    Returns:
        set of the texts in table cells or JSON strings, split into lines (and also into sentences,
        if the corpus is split into sentences), without short phrases.

    Raises:
        UserError: if the file is missing, unreadable or in another encoding.
    """
    texts = files.strings_in(_texts_of_file(path, text_format.encoding))
    lines = [line for text in texts for line in text.splitlines()]
    if text_format.split_sentences:
        lines += [sentence for line in lines for sentence in corpus_reader.split_sentences(line)]
    return {text for text in map(normalized, lines) if len(text) >= _SHORTEST}


def _texts_of_file(path, encoding):
    """Reads the rows of a table, or the content of a JSON file."""
    try:
        text, encoding = files.read_text(path, "utf-8"), "utf-8"
    except UserError:
        if encoding == "utf-8":
            raise
        text = files.read_text(path, encoding)
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return [_text_of_row(row.cells) for row in row_files.Table(path, encoding)]


def _text_of_row(cells):
    """Returns the cells of a row, or the parsed value if the row is a line of JSON."""
    if len(cells) != 1 or not isinstance(cells, list) or not cells[0].startswith(("{", "[")):
        return cells
    try:
        return json.loads(cells[0])
    except (ValueError, RecursionError):
        return cells


def normalized(text: str) -> str:
    """Removes punctuation and blanks; converts to lower case and half-width letters."""
    return _NO_LETTER.sub("", unicodedata.normalize("NFKC", text)).lower()


def write_parts(paths: Sequence[str], excluded: Set[str]) -> Dict[str, int]:
    """Writes train.txt and held_out.txt.

    Args:
        paths: text files.
        excluded: normalized texts to exclude.

    Returns:
        {name: count}.
    """
    outputs = _outputs()
    bar = progress.progress_bar("reading", corpus_reader.total_bytes(paths), "B")
    notes = corpus_counts.Notes()
    with output_files.atomic_write(outputs[0]) as train, output_files.atomic_write(
        outputs[1]
    ) as held_out:
        writers = _Parts(train, held_out, excluded)
        for shard in corpus_reader.read_shards(paths, _text_format()):
            for index, sentences in enumerate(shard.documents):
                if index or not shard.continues:
                    writers.start_document()
                writers.add(sentences)
            notes.update(shard.notes)
            bar.update(shard.bytes_read - bar.n)
        writers.end_document()
        if writers.counts["documents"] == writers.counts["excluded documents"]:
            raise _nothing_left(writers.counts["documents"])
    bar.close()
    for note in notes.lines():
        _warn(note)
    return writers.counts


def _nothing_left(num_documents):
    """Returns the error for the case that both parts are empty."""
    if not num_documents:
        return UserError("--input_file=%s: has no text" % FLAGS.input_file)
    return UserError(
        "--exclude_file=%s: has lines of all %d documents of --input_file, nothing is left: leave "
        "it out, or name other texts" % (FLAGS.exclude_file, num_documents)
    )


class _Parts:
    """Writes documents, which may be added in portions, to the training or the held-out part.

    Args:
        train, held_out: text files to write to.
        excluded: set of normalized texts to exclude.
    """

    def __init__(self, train, held_out, excluded):
        self._train, self._held_out = train, held_out
        self._excluded = excluded
        self._output = None  # file to which the current document is written
        names = ["documents", "excluded documents", "held-out documents", "characters"]
        self.counts = collections.OrderedDict.fromkeys(names, 0)

    def start_document(self):
        """Ends the previous document and starts a new one, to which `add` then refers."""
        self.end_document()
        self.counts["documents"] += 1
        is_held_out = self.counts["documents"] % FLAGS.held_out_every == 0
        self._output = self._held_out if is_held_out else self._train
        self._start = self._output.tell()
        self._characters = 0

    def add(self, sentences):
        """Writes a portion of a document, or removes the document if a sentence is excluded."""
        if self._output is None:
            return
        if any(normalized(sentence) in self._excluded for sentence in sentences):
            self.counts["excluded documents"] += 1
            self._output.seek(self._start)
            self._output.truncate()
            self._output = None
            return
        self._output.write("".join(sentence + "\n" for sentence in sentences))
        self._characters += sum(map(len, sentences))

    def end_document(self):
        """Ends the current document, if there is one that was not removed."""
        if self._output is None:
            return
        self._output.write("\n")
        self.counts["held-out documents"] += self._output is self._held_out
        self.counts["characters"] += self._characters
        self._output = None


if __name__ == "__main__":
    define_flags()
    run_command(main)
