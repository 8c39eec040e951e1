"""Builds a vocabulary (vocab.txt) from text, and measures how well a vocabulary covers texts.

    python build_vocab.py --corpus='my/*.txt,more/*.gz' --output=vocab.txt --vocab_size=12000
    python build_vocab.py --vocab_file=albert_starter_zh/vocab.txt --report='data/*.txt'

The entries, in this order: the special tokens; ASCII, full-width and half-width punctuation and
symbols, the hanzi of a national standard and the forced characters, all of them whether they occur
in the corpus or not; then, as far as the size allows, other characters that are frequent enough in
the corpus; the remaining entries are Latin and digit word pieces trained on the corpus. Text is
split into words and lower-cased by `BasicTokenizer` of tokenization.py.

The same corpus and flags produce the same file, byte for byte. A corpus file is UTF-8 text, or JSON
lines (`*.json`, `*.jsonl`) whose strings are used as text; both may be gzip-compressed.
"""

from absl import flags

from albert_zh.common import files, output_files, path_rules, storage
from albert_zh.common.errors import UserError, printable, run_command
from albert_zh.text.tokenization import load_vocab
from albert_zh.text.vocabulary_builder import (
    HANZI_SETS,
    SPECIAL_TOKENS,
    choose_entries,
    count_corpus,
    files_of_patterns,
    print_report,
    summary,
    tokenizers_package,
)
from albert_zh.text.vocabulary_files import (
    UNKNOWN,
    check_required_tokens,
    is_sentencepiece,
)

__all__ = ["define_flags", "main", "run"]

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Defines the command's flags."""
    flags.DEFINE_list(
        "corpus",
        [],
        "The text files to build from: names or patterns such as 'my/*.txt', comma-separated.",
    )
    flags.DEFINE_string("output", None, "The vocabulary file to write.")
    flags.DEFINE_integer(
        "vocab_size", 8000, "Number of vocabulary entries.", lower_bound=1, upper_bound=1000000
    )
    flags.DEFINE_integer(
        "min_count",
        11,
        "Minimum count in the corpus for characters and word pieces that are not always included.",
        lower_bound=1,
        upper_bound=1 << 60,
    )
    flags.DEFINE_enum(
        "hanzi_set",
        "gb2312",
        sorted(HANZI_SETS),
        "Standard whose hanzi are all included; gb2312 has 6,763 of them.",
    )
    flags.DEFINE_string(
        "forced_chars", "", "Characters to include even if the corpus does not contain them."
    )
    flags.DEFINE_string("forced_chars_file", None, "A file with more such characters.")
    flags.DEFINE_bool(
        "do_lower_case", True, "Whether to lower-case text and strip accents, as in training."
    )
    flags.DEFINE_string("encoding", "utf-8", "Encoding of the text files.")
    flags.DEFINE_list("report", [], "Text files to measure coverage on, named as for --corpus.")
    flags.DEFINE_string(
        "vocab_file", None, "The vocabulary to measure with --report if none is built."
    )
    path_rules.serve_remote_everywhere(FLAGS)


def _forced_chars():
    """The characters of both flags, --forced_chars and --forced_chars_file."""
    if FLAGS.forced_chars_file is None:
        return FLAGS.forced_chars
    return FLAGS.forced_chars + files.read_text(FLAGS.forced_chars_file)


def _check_flags():
    files.text_decoder(FLAGS.encoding)  # raises for an unknown encoding
    if not FLAGS.corpus and not FLAGS.report:
        raise UserError(
            "--corpus is missing: name the text files to build from, or give --vocab_file and the "
            "texts to measure it on (--report)"
        )
    if FLAGS.corpus and not FLAGS.output:
        raise UserError("--output is missing: name the vocabulary file to write")
    for flag, is_unused in (
        ("output", FLAGS.output and not FLAGS.corpus),
        ("vocab_file", FLAGS.vocab_file and FLAGS.corpus),
    ):
        if is_unused:
            raise UserError(
                "--%s has no effect here: --output is used with --corpus, and --vocab_file with "
                "--report if there is no --corpus: leave it out" % flag
            )
    if not FLAGS.corpus and not FLAGS.vocab_file:
        raise UserError("--vocab_file is missing: name the vocabulary that --report measures")


def _given_vocabulary():
    """The vocabulary of --vocab_file, {entry: id}; `UserError` for another kind of file."""
    if is_sentencepiece(FLAGS.vocab_file):
        raise UserError(
            "--vocab_file=%s: found a SentencePiece model, expected a WordPiece vocabulary "
            "(vocab.txt)" % FLAGS.vocab_file
        )
    vocab = load_vocab(FLAGS.vocab_file)
    check_required_tokens("--vocab_file=%s" % FLAGS.vocab_file, vocab, [UNKNOWN])
    return vocab


def _is_vocabulary(path):
    """Whether a file begins like a vocabulary that this command writes."""
    with storage.open_binary(path) as stream:
        return stream.readline().rstrip() == SPECIAL_TOKENS[0].encode()


def _build(corpus):
    """Builds the vocabulary that the flags ask for and writes it; returns its entries."""
    # Steps that may fail come before steps that take long.
    tokenizers_package()
    with output_files.atomic_write(FLAGS.output) as stream:
        forced_chars = _forced_chars()
        counts = count_corpus(corpus, FLAGS.do_lower_case, FLAGS.encoding)
        groups = choose_entries(
            counts,
            FLAGS.vocab_size,
            FLAGS.min_count,
            FLAGS.hanzi_set,
            forced_chars,
            FLAGS.do_lower_case,
        )
        entries = [entry for group in groups.values() for entry in group]
        stream.write("".join(entry + "\n" for entry in entries))
    print(printable("%s: %d entries: %s" % (FLAGS.output, len(entries), summary(groups))))
    _print_notes(counts, groups)
    return set(entries)


def _print_notes(counts, groups):
    if counts.forgotten:
        print(
            "note: to save memory, Latin words seen up to %d time(s) were dropped while counting"
            % counts.forgotten
        )
    if groups["unused entries"]:
        print(
            "warning: the corpus does not fill the vocabulary: %d entries are [unused...]; "
            "pass --vocab_size=%d, a lower --min_count or more text"
            % (len(groups["unused entries"]), FLAGS.vocab_size - len(groups["unused entries"]))
        )
    elif not groups["word pieces"]:
        print(
            "warning: characters fill the vocabulary and leave no entries for word pieces; "
            "pass a larger --vocab_size or --min_count"
        )


def run() -> None:
    """Builds the vocabulary or reads an existing one, and prints how well it covers the texts."""
    _check_flags()
    corpus = files_of_patterns(FLAGS.corpus, "corpus", FLAGS.output)
    if FLAGS.output and storage.is_file(FLAGS.output) and not _is_vocabulary(FLAGS.output):
        corpus = files_of_patterns(FLAGS.corpus, "corpus")  # texts not to overwrite
    report = files_of_patterns(FLAGS.report, "report")
    vocab = _build(corpus) if corpus else _given_vocabulary()
    # A file that is listed twice would count twice in the total.
    measured = corpus + [path for path in report if path not in corpus]
    print_report(measured, vocab, FLAGS.do_lower_case, FLAGS.encoding)


def main() -> None:
    """Runs the command line."""
    define_flags()
    run_command(run, description=__doc__)
