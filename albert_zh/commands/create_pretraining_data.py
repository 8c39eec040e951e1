r"""Creates TFRecords for pre-training from raw text: masked LM and sentence order.

    python create_pretraining_data.py --do_whole_word_mask=true --input_file='my/*.txt' \
        --output_file=my/records.tfrecord --vocab_file=albert_starter_zh/vocab.txt \
        --max_seq_length=512 --max_predictions_per_seq=51 --masked_lm_prob=0.10

The input has one sentence per line and a blank line between documents (with --split_sentences, one
paragraph per line), or is a JSON-lines file (.jsonl, .json) with the fields text and title; files
may be gzip-compressed. Several files, patterns and folders are separated by commas. The same input
and flags produce the same files, byte for byte, whatever --num_workers is.

--original_masking=true creates the records that albert_zh creates, one by one, bugs included.
"""

import functools
import sys
import time
from typing import List, Optional

from absl import flags

from albert_zh.common import cores, path_rules, storage
from albert_zh.common.errors import UserError, printable, run_command
from albert_zh.compatibility import command_flags, pretraining_data
from albert_zh.compatibility.pretraining_data import *  # noqa: F403  (for programs of albert_zh)
from albert_zh.corpus import counts as corpus_counts
from albert_zh.corpus import masking, pipeline, record_counts, sampling, statistics_files, tfrecords
from albert_zh.corpus import reader as corpus_reader
from albert_zh.text import tokenization, word_segmentation

__all__ = [
    *pretraining_data.__all__,
    "define_flags",
    "main",
    "run",
]

FLAGS = flags.FLAGS
_OF_MASKING = ("do_whole_word_mask", "masked_lm_prob", "max_predictions_per_seq")
FORMATS = ("segment_pair", "doc_sentences", "full_sentences")


# long: a table of flags
def define_flags(google: bool = False, one_segment: bool = False) -> None:
    """Defines the command's flags, with the defaults of Google's script or of brightmart's script.

    Args:
        google: whether to use the flags and defaults of Google's script.
        one_segment: default of --one_segment.
    """
    table = [
        ("string", "input_file", None, "Text files, patterns or folders, separated by commas."),
        ("string", "output_file", None, "TFRecord files to write, separated by commas."),
        ("string", "vocab_file", None, "The vocabulary (vocab.txt) of the model."),
        ("bool", "do_lower_case", True, "Whether to lower-case text and strip accents."),
        ("bool", "do_whole_word_mask", google, "Whether to mask whole words."),
        ("integer", "max_seq_length", 512 if google else 128, "Maximum sequence length in tokens."),
        ("integer", "max_predictions_per_seq", 20, "Maximum number of masked tokens per sequence."),
        ("integer", "random_seed", 12345, "Random seed."),
        ("integer", "dupe_factor", 10, "Number of passes over the input, each with other masks."),
        ("float", "masked_lm_prob", 0.15, "Fraction of the tokens to mask."),
        ("float", "short_seq_prob", 0.1, "Probability of shorter sequences, per document."),
        ("bool", "non_chinese", False, "Whether to split words at spaces, without a segmenter."),
        ("bool", "original_masking", False, "Whether to create exactly albert_zh's records."),
        ("integer", "ngram", 3 if google else 1, "Maximum n of the n-grams of words to mask."),
        ("bool", "span", False, "Whether to mask spans of up to 10 words, as SpanBERT does."),
        (
            "bool",
            "one_segment",
            one_segment,
            "Alias of --format=doc_sentences.",
        ),
        ("string", "encoding", "utf-8", "Encoding of the input, such as gb18030 (GBK)."),
        ("bool", "split_sentences", False, "Whether lines are paragraphs to split into sentences."),
        ("string", "user_dict", None, "A user dictionary for jieba."),
        (
            "string",
            "similar_words",
            None,
            "File of words that replace [MASK], as in MacBERT: lines word<TAB>similar..., or word "
            "vectors.",
        ),
        ("integer", "num_workers", cores.num_usable(), "Number of worker processes."),
        ("bool", "resume", False, "Whether to resume an interrupted run."),
        ("string", "beam_options", "", "Beam's own flags, such as --runner=FlinkRunner."),
        ("string", "stats", None, "JSON file for the statistics; a .png is written next to it."),
    ]
    google_table = [
        ("string", "spm_model_file", None, "SentencePiece model, in place of a vocabulary."),
        ("bool", "do_permutation", False, "Whether to also shuffle as many tokens as are masked."),
        ("bool", "favor_shorter_ngram", False, "Draws n words with a weight of 1/n: the default."),
        ("bool", "favor_longer_ngram", False, "Whether to draw longer n-grams more often."),
        ("bool", "random_next_sentence", False, "Whether B may be from another text, not swapped."),
        ("bool", "similar_next_sentence", False, "Whether B may be from a similar text."),
    ]
    for kind, name, default, help_text in table + (google_table if google else []):
        getattr(flags, "DEFINE_" + kind)(name, default, help_text)
    flags.DEFINE_enum(
        "format",
        "doc_sentences" if one_segment else "segment_pair",
        FORMATS,
        "Two segments of a document; or one segment of whole sentences that ends with the document "
        "(RoBERTa's DOC-SENTENCES) or continues with the next document after a [SEP] "
        "(FULL-SENTENCES).",
    )
    flags.DEFINE_enum(
        "replacement_method",
        "word_piece",
        masking.REPLACEMENT_METHODS,
        "Whether to decide for each masked token ([MASK] in 80 % of cases, kept or replaced), or "
        "once for a whole span, as in SpanBERT.",
    )
    flags.DEFINE_enum(
        "masking", "static", ["static", "dynamic"], "Whether to mask once, or again in each epoch."
    )
    flags.DEFINE_enum(
        "runner",
        "local",
        ["local", "beam"],
        "Whether this machine or Apache Beam creates the records.",
    )
    flags.DEFINE_enum(
        "segmenter",
        "none" if google else "jieba",
        word_segmentation.SEGMENTERS,
        "Word segmenter for whole-word masking; none: each hanzi is a word. rjieba is fast.",
    )
    path_rules.serve_remote(FLAGS, ("input_file", "output_file", "vocab_file", "stats"))


def run(google: bool = False) -> None:
    """Creates the records that the flags ask for.

    Args:
        google: whether to use Google's flags and masking, instead of brightmart's.

    Raises:
        UserError: if flags or text are invalid.
    """
    _check_flags(google)
    outputs = [part.strip() for part in FLAGS.output_file.split(",") if part.strip()]
    records = [path for path in outputs if not storage.is_file(path) or tfrecords.is_whole(path)]
    indices = list(map(record_counts.index_file, outputs))
    paths = corpus_reader.input_files(
        FLAGS.input_file, leave_out=records + indices + _files_that_are_no_text()
    )
    _check_runner(paths, outputs)
    _check_outputs(outputs)
    job = _job(google)
    for note in pipeline.check(job) + list(_notes_on_flags()):
        print(printable("note: " + note), file=sys.stderr)
    start = time.time()
    counts, notes = _runner()(job, paths, outputs)
    notes = notes.lines()
    if not _has_one_segment():
        notes += corpus_counts.warnings_of_order(counts)
        notes += corpus_counts.warnings_of_loss(counts, job.dupe_factor, FLAGS.split_sentences)
    for note in notes:
        print(printable("warning: " + note), file=sys.stderr)
    seconds = time.time() - start
    rows = corpus_counts.summary(counts, job.dupe_factor)
    rows.append(("time", "%.1f s, %.0f records/s" % (seconds, counts["records"] / seconds)))
    rows += [("written to", path) for path in outputs + _write_statistics(job, counts, notes)]
    for name, value in rows:
        print(printable("%-26s %s" % (name, value)))
    if _has_one_segment():
        print("note: the records have one segment: train with --sentence_task=false")


def _notes_on_flags():
    """Yields notes on flags that have no effect or another effect than their names suggest."""
    is_dynamic = FLAGS.masking == "dynamic"
    if FLAGS.beam_options and FLAGS.runner != "beam":
        yield (
            "--beam_options has no effect without --runner=beam: the records are created on this "
            "machine"
        )
    for value in _segmentation_in_vain():
        yield (
            "%s has no effect without --do_whole_word_mask=true: single pieces are masked" % value
        )
    if _has_one_segment() and FLAGS["short_seq_prob"].present:
        yield "--short_seq_prob has no effect: records of one segment are always filled"
    if _has_one_segment() and is_dynamic and _dupe_factor() > 1:
        yield (
            "--dupe_factor=%d writes each record that many times: records of one segment without "
            "masks do not differ" % FLAGS.dupe_factor
        )
    given = [name for name in _OF_MASKING if FLAGS[name].present]
    if is_dynamic and given:
        values = ["--%s=%s" % (name, str(FLAGS[name].value).lower()) for name in given]
        yield (
            "with --masking=dynamic words are masked in training: pass %s to run_pretraining.py"
            % " ".join(values)
        )


def _segmentation_in_vain():
    """The word flags that were set although neither the masks nor the records use words."""
    has_words = FLAGS.do_whole_word_mask or FLAGS.masking == "dynamic" or FLAGS.original_masking
    if has_words:
        return []
    names = [name for name in ("segmenter", "user_dict") if FLAGS[name].present]
    return ["--%s=%s" % (name, FLAGS[name].value) for name in names if FLAGS[name].value != "none"]


def _has_one_segment():
    return FLAGS.one_segment or FLAGS.format != "segment_pair"


def _check_runner(paths, outputs):
    """Raises `UserError` for a file that Beam's workers may be unable to read or write."""
    if FLAGS.runner == "beam":
        for flag, named in (("input_file", paths), ("output_file", outputs)):
            for path in named:
                path_rules.check_local(path, "--%s=%s (with --runner=beam)" % (flag, path))


def _runner():
    """The function that creates the files."""
    if FLAGS.runner == "beam":
        from albert_zh.corpus import beam_pipeline

        return functools.partial(beam_pipeline.run, options=FLAGS.beam_options)
    return functools.partial(pipeline.run, num_workers=FLAGS.num_workers, resume=FLAGS.resume)


def _write_statistics(job, counts, notes):
    """Writes the files that --stats asks for; returns their paths."""
    if not FLAGS.stats:
        return []
    values = corpus_counts.statistics(counts, job.dupe_factor)
    return statistics_files.write_statistics(FLAGS.stats, dict(values, warnings=notes))


def _check_flags(google):
    for name in ("input_file", "output_file"):
        if not FLAGS[name].value:
            raise UserError("--%s is required (%s)" % (name, FLAGS[name].help.rstrip(".")))
    if not FLAGS.vocab_file and not _spm_model_file():
        raise UserError("--vocab_file is required (%s)" % FLAGS["vocab_file"].help.rstrip("."))
    for name, lowest in (
        ("max_seq_length", sampling.SHORTEST),
        ("max_predictions_per_seq", 1),
        ("dupe_factor", 1),
        ("ngram", 1),
        ("num_workers", 1),
    ):
        if FLAGS[name].value < lowest:
            raise UserError("--%s=%d: expected at least %d" % (name, FLAGS[name].value, lowest))
    for name in ("masked_lm_prob", "short_seq_prob"):
        if not 0 <= FLAGS[name].value <= 1:
            raise UserError("--%s=%s: expected a share from 0 to 1" % (name, FLAGS[name].value))
    most = FLAGS.max_seq_length - sampling.SPECIAL_PIECES
    if FLAGS.max_predictions_per_seq > most:
        raise UserError(
            "--max_predictions_per_seq=%d does not fit --max_seq_length=%d: expected at most %d"
            % (FLAGS.max_predictions_per_seq, FLAGS.max_seq_length, most)
        )
    for first, second, is_conflict in _conflicts(google):
        if is_conflict:
            raise UserError("%s and %s are mutually exclusive: leave one out" % (first, second))


def _files_that_are_no_text():
    """Files of the command that may be in the same folder as the texts."""
    pictures = [statistics_files.picture_beside(FLAGS.stats)] if FLAGS.stats else []
    return [FLAGS.stats] * bool(FLAGS.stats) + pictures + _files_of_vocabulary()


def _files_of_vocabulary():
    named = (FLAGS.vocab_file, _spm_model_file(), FLAGS.user_dict, FLAGS.similar_words)
    return list(filter(None, named))


def _check_outputs(outputs):
    """Raises `UserError` if an output would overwrite an input, or a file be written twice."""
    if not outputs:
        raise UserError("--output_file=%s: contains no file name" % FLAGS.output_file)
    written = [("output_file", path) for path in outputs]
    if FLAGS.stats:
        pictures = statistics_files.picture_beside(FLAGS.stats)
        written += [("stats", FLAGS.stats), ("stats", pictures)]
    seen = set()
    for flag, path in written:
        target = path_rules.output_file(path, "--%s=%s" % (flag, path))
        if target in seen:
            raise UserError("--%s=%s: a file is named twice" % (flag, path))
        seen.add(target)


# long: a table of flags
def _conflicts(google):
    """Rows (a flag, another flag, whether both are set although they exclude each other)."""
    is_dynamic = FLAGS.masking == "dynamic"
    is_sentencepiece = bool(_spm_model_file())
    is_by_span = FLAGS.replacement_method == "span"
    has_similar = bool(FLAGS.similar_words)
    names_ngram = FLAGS["ngram"].present and FLAGS.ngram > 1
    names_segmenter = FLAGS.segmenter != "none" and (google or FLAGS["segmenter"].present)
    original = "--original_masking"
    one_segment = "--one_segment" if FLAGS.one_segment else "--format=%s" % FLAGS.format
    takes_b_elsewhere = google and (FLAGS.random_next_sentence or FLAGS.similar_next_sentence)
    one_flag, form = FLAGS["one_segment"], FLAGS["format"]
    differs = FLAGS.format != ("doc_sentences" if FLAGS.one_segment else "segment_pair")
    rows = [
        (
            "--one_segment=%s" % str(FLAGS.one_segment).lower(),
            "--format=%s" % FLAGS.format,
            bool(one_flag.present and form.present and differs),
        ),
        (one_segment, original, _has_one_segment() and FLAGS.original_masking),
        (one_segment, "a B from another document", _has_one_segment() and takes_b_elsewhere),
        (
            "--non_chinese",
            "--segmenter=%s" % FLAGS.segmenter,
            FLAGS.non_chinese and names_segmenter,
        ),
        ("a SentencePiece model", "--segmenter", is_sentencepiece and names_segmenter),
        # The keys of its pieces have a mark that few pieces of a text have.
        ("a SentencePiece model", "--similar_words", is_sentencepiece and has_similar),
        ("--span", "--ngram", FLAGS.span and names_ngram),
        (original, "--span", FLAGS.original_masking and FLAGS.span),
        (original, "--masking=dynamic", FLAGS.original_masking and is_dynamic),
        (original, "--runner=beam", FLAGS.original_masking and FLAGS.runner == "beam"),
        ("--runner=beam", "--resume", FLAGS.runner == "beam" and FLAGS.resume),
        ("--masking=dynamic", "--span", is_dynamic and FLAGS.span),
        ("--masking=dynamic", "--ngram", is_dynamic and names_ngram),
        ("--masking=dynamic", "--replacement_method", is_dynamic and is_by_span),
        (original, "--replacement_method", FLAGS.original_masking and is_by_span),
        ("--similar_words", "--replacement_method=span", has_similar and is_by_span),
        ("--similar_words", original, has_similar and FLAGS.original_masking),
        ("--similar_words", "--masking=dynamic", has_similar and is_dynamic),
        (
            "--similar_words",
            "--do_whole_word_mask=false",
            has_similar and not FLAGS.do_whole_word_mask,
        ),
    ]
    if not google:
        return rows + [(original, "--ngram", FLAGS.original_masking and names_ngram)]
    return rows + [
        (original, "--segmenter", FLAGS.original_masking and names_segmenter),
        (
            original,
            "--similar_next_sentence",
            FLAGS.original_masking and FLAGS.similar_next_sentence,
        ),
        ("--masking=dynamic", "--do_permutation", is_dynamic and FLAGS.do_permutation),
        ("--masking=dynamic", "--favor_longer_ngram", is_dynamic and FLAGS.favor_longer_ngram),
        ("--span", "--favor_longer_ngram", FLAGS.span and FLAGS.favor_longer_ngram),
        (
            "--favor_shorter_ngram",
            "--favor_longer_ngram",
            FLAGS.favor_shorter_ngram and FLAGS.favor_longer_ngram,
        ),
    ]


def _spm_model_file():
    named = FLAGS.spm_model_file if "spm_model_file" in FLAGS else None
    if tokenization.is_sentencepiece(FLAGS.vocab_file):
        named = named or FLAGS.vocab_file
    return named


def _segmenter():
    """A SentencePiece model marks the beginnings of words itself."""
    return "none" if FLAGS.non_chinese or _spm_model_file() else FLAGS.segmenter


def _job(google):
    settings = sampling.Settings(
        max_seq_length=FLAGS.max_seq_length,
        max_predictions=FLAGS.max_predictions_per_seq,
        masked_lm_prob=FLAGS.masked_lm_prob,
        short_seq_prob=FLAGS.short_seq_prob,
        seed=FLAGS.random_seed,
        whole_words=FLAGS.do_whole_word_mask,
        run_weights=_run_weights(google),
        google=google,
        random_next=google and (FLAGS.random_next_sentence or FLAGS.similar_next_sentence),
        similar_next=google and FLAGS.similar_next_sentence,
        permute=google and FLAGS.do_permutation,
        dynamic=FLAGS.masking == "dynamic",
        one_segment=_has_one_segment(),
        crosses_documents=FLAGS.format == "full_sentences",
        by_span=FLAGS.replacement_method == "span",
    )
    return pipeline.Job(
        settings=settings,
        vocab_file=FLAGS.vocab_file,
        do_lower_case=FLAGS.do_lower_case,
        spm_model_file=_spm_model_file(),
        segmenter=_segmenter(),
        user_dict=FLAGS.user_dict,
        text_format=corpus_reader.TextFormat(
            FLAGS.encoding, FLAGS.split_sentences, as_original=FLAGS.original_masking
        ),
        original=FLAGS.original_masking,
        dupe_factor=_dupe_factor(),
        similar_words=FLAGS.similar_words,
    )


def _dupe_factor():
    """The number of passes over the text; default 1 if each pass creates the same records."""
    makes_the_same = _has_one_segment() and FLAGS.masking == "dynamic"
    return 1 if makes_the_same and not FLAGS["dupe_factor"].present else FLAGS.dupe_factor


def _run_weights(google):
    if FLAGS.span:
        return masking.span_weights()
    # The original treats the flag for shorter n-grams as the flag for longer ones.
    favor_longer = google and (
        FLAGS.favor_longer_ngram or (FLAGS.original_masking and FLAGS.favor_shorter_ngram)
    )
    return masking.ngram_weights(FLAGS.ngram, favor_longer)


_flags = command_flags.CommandFlags(__name__, define_flags)
__getattr__ = _flags.attribute


def main(_argv: Optional[List[str]] = None) -> None:
    """Runs the command line; `tf.app.run(main)` may start it."""
    _flags.use()
    run_command(run, description=__doc__)
