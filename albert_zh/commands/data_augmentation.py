r"""Augments a task's training data by replacing words (TinyBERT's data augmentation, for Chinese).

    python data_augmentation.py --pretrained_bert_model=albert_starter_zh --task_name=lcqmc \
        --data_dir=my_pairs --N=10

Writes train_aug.* next to the task's training file, in the same format: each row with its label,
followed by up to N rows in which words were replaced. Also writes train_aug.rows.tsv (for each row,
the line where it begins and the line of its source row in the training file), train_aug.report.md
(counts and samples) and train_aug.made_of.json (the digest of the training file). Candidates are
the masked LM's predictions of the same length, and with --glove_embs or --vectors_corpus the words
with the nearest vectors. task_distill.py --aug_train trains on these rows.
"""

import csv
import io
import itertools
import json
import os

from absl import flags

from albert_zh.common import (
    files,
    folder_locks,
    output_files,
    path_rules,
    storage,
    validation,
)
from albert_zh.common.errors import UserError, naming, run_command
from albert_zh.common.messages import say
from albert_zh.common.progress import progress_bar
from albert_zh.common.wording import counted
from albert_zh.finetuning import flags as finetuning_flags
from albert_zh.inference.augmentation import (
    SHARED,
    WAYS_OF_PAIRS,
    AugmentationSettings,
    Augmenter,
    Example,
)
from albert_zh.inference.mask_filler import MaskFiller
from albert_zh.inference.word_candidates import CandidateFinder, CandidateSettings
from albert_zh.model.checkpoints import checkpoint_files, checkpoint_values
from albert_zh.tasks import datasets, registry
from albert_zh.tasks.slots import cells as slot_cells
from albert_zh.tasks.tables import rows, split_files
from albert_zh.text import word_segmentation
from albert_zh.text.word_vectors import WordVectors
from albert_zh.training import flag_checks

__all__ = ["define_flags", "main", "run"]

FLAGS = flags.FLAGS
_VERSION = 4  # of the method; runs that began with another version are not resumed
_ROWS_OF_CHUNK = 64  # written together, and not created again when a run resumes
_SPECIAL_PIECES = 3  # special tokens of a masked row, which contains the text twice
_SAMPLES = 30
_SAMPLED_COPIES = 3
_COUNTS = ("rows", "made", "words", "candidates", "too long")
_SAMPLE = validation.list_of(validation.list_of(validation.TEXT))
_STATE = validation.record(
    {
        "done": validation.integer(0),
        "line": validation.integer(1),
        "written": validation.list_of(validation.integer(0), 2),
        "report": validation.record(
            dict(dict.fromkeys(_COUNTS, validation.integer(0)), samples=validation.list_of(_SAMPLE))
        ),
        "fingerprint": validation.record(),
    },
    required=("done", "written", "report", "fingerprint"),
)
_KINDS = ("single_label", "multi_label", "regression")


def define_flags() -> None:
    """Defines the command's flags."""
    for kind, name, default, help_text in (
        ("string", "pretrained_bert_model", None, "Pre-trained model with its masked-LM head."),
        ("string", "data_dir", None, "Folder that contains the task's training file."),
        ("string", "glue_dir", None, "Old flag: folder with one subfolder per task."),
        ("string", "task_name", None, "Task, such as lcqmc; multiclass for your data."),
        ("string", "output_file", None, "Output; default: train_aug.* next to the training file."),
        ("integer", "N", 30, "Maximum number of augmented rows per row."),
        ("integer", "M", 15, "Maximum number of candidates per word and source."),
        ("float", "p", 0.4, "Probability that a word is replaced, per augmented row."),
        ("float", "min_probability", 0.01, "Minimum mean probability of a word's characters."),
        ("string", "glove_embs", None, "Word vectors: text file in word2vec format."),
        ("string", "vectors_corpus", None, "Text to train word vectors on, with gensim."),
        ("string", "user_dict", None, "A user dictionary for jieba."),
        ("integer", "max_seq_length", 256, "Maximum tokens of a masked row (the text twice)."),
        ("integer", "seed", 12345, "Random seed."),
        ("string", "encoding", "utf-8", "Encoding of the training file."),
        ("boolean", "skip_bad_rows", False, "Skip malformed rows, and count them."),
        ("string", "text_column", None, "The text's column, as in training: name or position."),
        ("string", "text_b_column", None, "The column of the second text of pairs."),
        ("string", "label_column", None, "The column of the label."),
    ):
        getattr(flags, "DEFINE_" + kind)(name, default, help_text)
    flags.DEFINE_enum(
        "pair_words",
        SHARED,
        WAYS_OF_PAIRS,
        "Which words of a pair are replaced. shared: words that both texts have, in both alike, so "
        "that the label stays right; each: every word of each text separately, as in TinyBERT.",
    )


def run() -> None:
    """Augments the training data as the flags ask."""
    _check_flags()
    source = _TrainingRows()
    output, shown = _output_file(source.path)
    examples = source.examples()
    finder, filler = _finder()
    settings = AugmentationSettings(FLAGS.N, FLAGS.p, FLAGS.pair_words, FLAGS.seed)
    report = _Report()
    with filler, folder_locks.one_at_a_time(_lock_folder(output)):
        job = _Job(output, source, examples, _fingerprint(source))
        job.run(Augmenter(finder, settings), report)
    if report.state["too long"]:
        say("note: %s", _note_on_long_texts(report.state["too long"], filler.max_seq_length))
    made = counted(report.state["made"], "row")
    say("%s created from %d: %s", made, report.state["rows"], shown)
    say("samples          %s", _report_file(shown))


def _lock_folder(output):
    """The hidden folder next to an output that is locked while this command writes the output."""
    folder, name = os.path.split(output)
    return os.path.join(folder, ".%s.lock" % name)


def _note_on_long_texts(num_rows, longest):
    """The note on rows whose words had no candidates from the masked LM."""
    way_out = "give a larger --max_seq_length"
    if longest < FLAGS.max_seq_length:
        way_out = (
            "the model does not support longer rows: shorten the texts, or see extend_positions.py"
        )
    return (
        "%s a text of more than %d tokens, for which the masked LM has no candidates, "
        "since it reads each text twice in %d tokens: %s"
        % (
            counted(num_rows, "row has", "rows have"),
            (longest - _SPECIAL_PIECES) // 2,
            longest,
            way_out,
        )
    )


def _check_flags():
    for name in ("pretrained_bert_model", "task_name"):
        if not FLAGS[name].value:
            raise UserError("--%s is required (%s)" % (name, FLAGS[name].help.rstrip(".")))
    if bool(FLAGS.data_dir) == bool(FLAGS.glue_dir):
        raise UserError("expected --data_dir, the folder of the task's files (or old: --glue_dir)")
    for name in ("N", "M", "max_seq_length"):
        if FLAGS[name].value < 1:
            raise UserError("--%s=%d: expected at least 1" % (name, FLAGS[name].value))
    for name in ("p", "min_probability"):
        if not 0 <= FLAGS[name].value <= 1:
            raise UserError("--%s=%g: expected a share from 0 to 1" % (name, FLAGS[name].value))
    flag_checks.check_seed(FLAGS.seed)
    if FLAGS.glove_embs and FLAGS.vectors_corpus:
        raise UserError("--glove_embs and --vectors_corpus: give one of them")


def _output_file(train_file):
    """(path to write, as the user knows it), with the ending of the training file."""
    folder, name = os.path.split(train_file)
    ending = os.path.splitext(name)[1]
    path = FLAGS.output_file or os.path.join(folder, split_files.AUGMENTED + ending)
    if os.path.splitext(path)[1] != ending:
        raise UserError(
            "--output_file=%s: expected the ending of %s, %s" % (path, train_file, ending)
        )
    return path_rules.output_file(path, "--output_file=%s" % path), path


def _finder():
    """(`CandidateFinder` of the flags, its `MaskFiller`)."""
    segment = word_segmentation.make_segmenter("jieba", FLAGS.user_dict)
    dictionary = segment.__self__.FREQ  # jieba's words; their prefixes have the count 0
    # First: a wrong name is reported before vectors are read or trained, which may take long.
    with naming("--pretrained_bert_model"):
        filler = MaskFiller(FLAGS.pretrained_bert_model)
    filler.max_seq_length = min(FLAGS.max_seq_length, filler.max_seq_length)
    vectors = None
    if FLAGS.glove_embs:
        with naming("--glove_embs"):
            vectors = WordVectors.read(FLAGS.glove_embs)
        for note in vectors.notes:
            say(note)
    elif FLAGS.vectors_corpus:
        with naming("--vectors_corpus"):
            lines = files.read_lines(FLAGS.vectors_corpus)
        vectors = WordVectors.train((segment(line.strip()) for line in lines), FLAGS.seed)
    settings = CandidateSettings(FLAGS.M, FLAGS.min_probability)
    is_word = lambda word: dictionary.get(word, 0) > 0  # noqa: E731
    return CandidateFinder(filler, segment, is_word, settings, vectors), filler


def _fingerprint(source):
    """The values that the output depends on, {name: JSON value}."""
    names = (
        "N M p min_probability pair_words seed glove_embs vectors_corpus user_dict max_seq_length "
        "encoding skip_bad_rows"
    )
    given = {name: FLAGS[name].value for name in names.split()}
    prefix = checkpoint_files.find_checkpoint(FLAGS.pretrained_bert_model)
    model = checkpoint_values.fingerprint(prefix)
    given.update(version=_VERSION, task=FLAGS.task_name.lower())
    given.update({"columns": source.columns} if source.columns else {})
    paths = [FLAGS[name].value for name in ("glove_embs", "vectors_corpus", "user_dict")]
    contents = [storage.sha256_of_file(path) for path in paths if path]
    return dict(given, data=source.sha256, model=model, contents=contents)


class _TrainingRows:
    """The rows of a task's training file, and copies of them with other texts.

    Attributes:
        path: the training file.
        sha256: digest of the file's bytes.
        columns: {column: its name or position} of the columns that the flags name.
    """

    def __init__(self):
        self.columns = finetuning_flags.chosen_columns(FLAGS)
        task = datasets.get_task(FLAGS.task_name)._replace(chosen=self.columns)
        why = None
        if task.objective not in _KINDS:
            why = "a data set of the kind %s, whose labels belong to positions in the text"
            why %= task.objective
        elif task.examples_of:
            why = "its texts are assembled from several parts of a row"
        if why:
            raise UserError(
                "--task_name=%s: %s: only texts and pairs with one label each are augmented"
                % (FLAGS.task_name, why)
            )
        folder = FLAGS.data_dir or os.path.join(FLAGS.glue_dir, FLAGS.task_name)
        kind = registry.type_of(task)
        for name in task.files:
            path, _ = split_files.split_path(task, folder, name)
            if path:
                path_rules.protect(path, "--data_dir")
        split = kind.read_split(task, folder, "train", FLAGS.encoding, FLAGS.skip_bad_rows)
        for note in split.notes:
            say("note: %s: %s", split.path, note)
        self.path, self.sha256 = split.path, split.sha256
        self._header = list(split.header)
        self._names = {name: split.names.get(name) for name in ("text_a", "text_b")}
        table = rows.Table(self.path, FLAGS.encoding)
        self._delimiter = table.delimiter
        lines = {int(example.guid.rsplit("-", 1)[1]) for example in split.examples}
        self._rows = [row for row in table if row.line in lines]
        _check_has_no_slots(self.path, self._header, self._rows)

    def examples(self):
        """[`Example`] of the rows, without the header."""
        return [
            Example(number, *(self._text(row.cells, name) for name in ("text_a", "text_b")))
            for number, row in enumerate(self._rows)
        ]

    def line(self, number):
        """The line of the file in which a row begins."""
        return self._rows[number].line

    def header(self):
        """The header as text, or "" if the file has none."""
        is_table = self._delimiter is not None
        return self._as_text(self._header) if is_table and self._header else ""

    def with_texts(self, number, text_a, text_b):
        """A row as text, with its texts replaced."""
        cells = self._rows[number].cells
        cells = dict(cells) if isinstance(cells, dict) else list(cells)
        for name, text in (("text_a", text_a), ("text_b", text_b)):
            if text is not None:
                cells[self._key(name)] = text
        return self._as_text(cells)

    def _key(self, name):
        """The column of a name: a key, or a position counted from 0."""
        named = self._names[name]
        if self._delimiter is None:
            return named
        named_ones = set(filter(None, self._names.values()))
        are_names = self._header and named_ones <= set(self._header)  # else positions from 1
        return self._header.index(named) if are_names else int(named) - 1

    def _text(self, cells, name):
        text = None if self._names[name] is None else cells[self._key(name)]
        return text if text is None or isinstance(text, str) else json.dumps(text)

    def _as_text(self, cells):
        if isinstance(cells, dict):
            return json.dumps(cells, ensure_ascii=False) + "\n"
        if self._delimiter == "\t":
            return "\t".join(cells) + "\n"
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow(cells)
        return line.getvalue()


def _check_has_no_slots(path, header, rows_of_file):
    """Raises `UserError` for slots, whose positions would be wrong in augmented texts."""
    keys = [row.cells for row in rows_of_file if isinstance(row.cells, dict)]
    names = {name.strip().lower() for name in itertools.chain(header, *keys)}
    slots = sorted(names & set(slot_cells.KEYS))
    if slots:
        raise UserError(
            "%s: its column %s has positions in the text, which would be wrong after a "
            "replacement: remove it, and train with --dictionaries" % (path, slots[0])
        )


def _in_encoding(text):
    """Text as bytes in the training file's encoding, without a byte order mark."""
    encoding = {"utf-16": "utf-16-le", "utf-32": "utf-32-le", "utf-8-sig": "utf-8"}
    name = files.known_encoding(FLAGS.encoding)
    try:
        return text.encode(encoding.get(name, name))
    except UnicodeEncodeError as error:
        raise UserError(
            "--encoding=%s cannot encode %s, which is part of a replacement: convert the training "
            "file to UTF-8, or gb18030" % (FLAGS.encoding, error.object[error.start])
        ) from error


class _Report:
    """Counts and samples of the augmented rows."""

    def __init__(self):
        self.state = dict.fromkeys(_COUNTS, 0)
        self.state["samples"] = []

    def add(self, example, augmented):
        """Adds the rows created from a row."""
        state = self.state
        state["rows"] += 1
        state["made"] += len(augmented.texts)
        state["words"] += len(augmented.candidates)
        state["candidates"] += sum(map(len, augmented.candidates.values()))
        state["too long"] += augmented.is_too_long
        if augmented.texts and len(state["samples"]) < _SAMPLES:
            texts = [(example.text_a, example.text_b)] + augmented.texts[:_SAMPLED_COPIES]
            state["samples"].append([[text for text in row if text is not None] for row in texts])

    def markdown(self):
        """The report as text."""
        state = self.state
        rows_, words = max(1, state["rows"]), max(1, state["words"])
        lines = [
            "# Augmented rows",
            "",
            "| | |",
            "|---|--:|",
            "| rows | %d |" % state["rows"],
            "| augmented rows | %d, %.1f per row |" % (state["made"], state["made"] / rows_),
            "| words with candidates | %.1f per row |" % (state["words"] / rows_),
            "| candidates | %.1f per word |" % (state["candidates"] / words),
            "| rows with a text too long for masked LM | %d |" % state["too long"],
            "",
            "## Samples",
        ]
        for sample in state["samples"]:
            lines += ["", "- " + " / ".join(sample[0])]
            lines += ["  - " + " / ".join(made) for made in sample[1:]]
        return "\n".join(lines) + "\n"


def _nothing_made(path, counts):
    """The error for a training file from which no augmented row was created."""
    if counts["words"]:
        way_out = "give a larger --p or --N"
    else:
        way_out = "give a smaller --min_probability, or word vectors (--vectors_corpus)"
        if counts["too long"]:
            way_out += "; %d rows are too long for masked LM" % counts["too long"]
    return UserError(
        "%s: no row was created from its %d rows: %d of their words have candidates: %s"
        % (path, counts["rows"], counts["words"], way_out)
    )


def _report_file(output):
    """The path of the report next to an output."""
    return os.path.splitext(output)[0] + ".report.md"


class _Job:
    """Writes the rows in chunks; an interrupted run resumes after the last complete chunk."""

    def __init__(self, path, source, examples, fingerprint):
        self._path, self._source, self._examples = path, source, examples
        self._fingerprint = fingerprint
        stem = os.path.splitext(path)[0]
        self._paths = (path + ".partial", stem + ".rows.tsv.partial")
        self._state_file = path + ".progress.json"
        self._made_of_file = stem + split_files.MADE_OF
        self._rows_file = stem + ".rows.tsv"
        self._line = 1  # where the next row begins

    def run(self, augmenter, report):
        """Writes all rows that are not written yet."""
        done, written = self._resume(report)
        num_rows = len(self._examples)
        bar = progress_bar("augmenting", num_rows, "row", initial=done)
        for first in range(done, num_rows, _ROWS_OF_CHUNK):
            chunk = self._examples[first : first + _ROWS_OF_CHUNK]
            texts = self._texts(chunk, augmenter.augment(chunk), report)
            for number, (path, text) in enumerate(zip(self._paths, texts)):
                with open(path, "ab") as handle:
                    written[number] += handle.write(_in_encoding(text))
                    handle.flush()
                    os.fsync(handle.fileno())
            state = {"done": first + len(chunk), "line": self._line}
            state.update(written=written, report=report.state)
            output_files.write_json(self._state_file, dict(state, fingerprint=self._fingerprint))
            bar.update(len(chunk))
        bar.close()
        if not report.state["made"]:
            for path in (*self._paths, self._state_file):
                os.remove(path)
            raise _nothing_made(self._source.path, report.state)
        self._finish(report)

    def _resume(self, report):
        """(rows done, bytes of each file) of an interrupted run, if any; creates the files."""
        state = {}
        if os.path.exists(self._state_file):
            state = files.read_json(self._state_file, _STATE, "remove it to start over")
        is_same = state.get("fingerprint") == self._fingerprint and all(
            os.path.exists(path) and os.path.getsize(path) >= size
            for path, size in zip(self._paths, state.get("written", []))
        )
        if is_same:
            for path, size in zip(self._paths, state["written"]):
                os.truncate(path, size)
            report.state.update(state["report"])
            self._line = state["line"]
            say("resuming after row %d of %d", state["done"], len(self._examples))
            return state["done"], state["written"]
        starts = (self._source.header(), "line\tline of %s\n" % os.path.basename(self._source.path))
        for path, text in zip(self._paths, starts):
            with output_files.atomic_write(path, "wb") as handle:
                handle.write(_in_encoding(text))
        self._line = 1 + starts[0].count("\n")
        return 0, [len(_in_encoding(text)) for text in starts]

    def _texts(self, examples, augmented, report):
        """(rows, lines of the side file) of a chunk, as text."""
        rows_, origins = [], []
        for example, made in zip(examples, augmented):
            report.add(example, made)
            own = (example.text_a, example.text_b)
            for texts in [own] + made.texts:
                row = self._source.with_texts(example.number, *texts)
                rows_.append(row)
                origins.append("%d\t%d\n" % (self._line, self._source.line(example.number)))
                self._line += row.count("\n")  # more than one if a quoted text has line breaks
        return "".join(rows_), "".join(origins)

    def _finish(self, report):
        with output_files.atomic_write(_report_file(self._path)) as handle:
            handle.write(report.markdown())
        os.replace(self._paths[1], self._rows_file)
        os.replace(self._paths[0], self._path)
        made_of = {"sha256": self._source.sha256, "columns": self._source.columns}
        output_files.write_json(self._made_of_file, made_of)
        os.remove(self._state_file)


def main() -> None:
    """Runs the command line."""
    define_flags()
    run_command(run, description=__doc__)
