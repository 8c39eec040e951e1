r"""Distils attention and hidden states of a large model into a small one on raw text (TinyBERT).

    python general_distill.py --teacher_model=bert_base_zh --student_model=my_tiny_config \
        --corpus_file='my/*.txt' --train_batch_size=256 --num_train_epochs=3 --output_dir=my_run

--student_model is a folder with the student's config and vocabulary; its weights are used only with
--continue_train. Instead of text, --input_file takes TFRecords of create_pretraining_data.py. The
student is saved in OUTPUT_DIR/student, a model folder. The student also learns masked LM
(--masked_lm_weight), unlike TinyBERT's. The other flags are those of run_pretraining.py.
"""

import hashlib
import json
import os

from absl import flags

from albert_zh.common import cores, files, output_files, storage
from albert_zh.common.errors import UserError, naming, run_command
from albert_zh.common.messages import say
from albert_zh.corpus import counts as corpus_counts
from albert_zh.corpus import masking, pipeline, record_counts, sampling
from albert_zh.corpus import reader as corpus_reader
from albert_zh.layer_distillation import flags as distillation_flags
from albert_zh.layer_distillation.teacher import Teacher
from albert_zh.model.checkpoints import model_folder
from albert_zh.pretraining import flags as pretraining_flags
from albert_zh.pretraining import record_sources
from albert_zh.pretraining import runner as pretraining_runner
from albert_zh.text import tokenization
from albert_zh.training import flag_checks, run_folder
from albert_zh.training import flags as run_flags

__all__ = ["define_flags", "main", "run"]

FLAGS = flags.FLAGS
STUDENT_FOLDER = "student"
_RECORDS_OF_RUN = "of_run.json"  # next to the records: their digest
# Advice for text of which this command's records of two segments would lose parts or the order.
_ONE_SEGMENT = (
    "create_pretraining_data.py --one_segment=true (give its records by --input_file, with "
    "--sentence_task=false)"
)
_SHORT_SEQUENCES = 0.1  # share of shorter sequences in the records of raw text


def define_flags() -> None:
    """Defines the command's flags."""
    pretraining_flags.define_flags(save_checkpoints_steps=1000, num_warmup_steps=0)
    distillation_flags.define()
    for kind, name, default, help_text in (
        ("string", "corpus_file", None, "Text: a sentence per line, blank line between documents."),
        ("string", "pregenerated_data", None, "Old name of --input_file."),
        ("boolean", "split_sentences", False, "Whether --corpus_file has one paragraph per line."),
        ("string", "encoding", "utf-8", "Encoding of --corpus_file."),
        (
            "boolean",
            "do_lower_case",
            True,
            "Whether to lower-case text; default: as in the teacher.",
        ),
        ("boolean", "continue_train", False, "Whether to start from --student_model's weights."),
        (
            "float",
            "num_train_epochs",
            3.0,
            "Number of passes over the text, if --num_train_steps is not set.",
        ),
        ("float", "warmup_proportion", 0.1, "Fraction of the steps for learning rate warm-up."),
        (
            "float",
            "masked_lm_weight",
            1.0,
            "Weight of masked LM and sentence order in addition to distillation; 0 (as in "
            "TinyBERT, default with --compatible): none, and the student cannot fill masks.",
        ),
    ):
        getattr(flags, "DEFINE_" + kind)(name, default, help_text)
    for name, default in (("do_train", True), ("optimizer", "adamw")):
        FLAGS.set_default(name, default)


def run() -> None:
    """Runs the training that the flags ask for."""
    distillation_flags.check(FLAGS, ["teacher_model", "output_dir"])
    distillation_flags.take_old_flags(FLAGS, {"pregenerated_data": "input_file"})
    distillation_flags.take_case_of_teacher(FLAGS)
    _take_student()
    if FLAGS.compatible and not FLAGS["masked_lm_weight"].present:
        FLAGS.masked_lm_weight = 0.0
    _check_flags()
    if FLAGS.corpus_file:
        distillation_flags.take(FLAGS, "input_file", _records_of_text())
    _take_steps()
    if FLAGS.do_train and not FLAGS.export_dir:
        FLAGS.export_dir = os.path.join(FLAGS.output_dir, STUDENT_FOLDER)
    pretraining_runner.run(make_distiller=_make_distiller)


def _make_distiller(config, vocab_file):
    return distillation_flags.make_distiller(FLAGS, config, vocab_file, FLAGS.masked_lm_weight)


def _take_student():
    """Takes config, vocabulary and weights from --student_model unless other flags name them."""
    folder = FLAGS.student_model
    if folder and not FLAGS.bert_config_file:
        with naming("--student_model"):
            config_file = model_folder.config_in_folder(folder)
        distillation_flags.take(FLAGS, "bert_config_file", config_file)
    if folder and FLAGS.continue_train and not FLAGS.init_checkpoint:
        distillation_flags.take(FLAGS, "init_checkpoint", folder)
    if not FLAGS.bert_config_file:
        raise UserError("--student_model is required (%s)" % FLAGS["student_model"].help)
    if FLAGS.continue_train and not FLAGS.init_checkpoint:
        raise UserError("--continue_train: --student_model names no weights to start from")
    if not FLAGS.vocab_file:
        distillation_flags.take(FLAGS, "vocab_file", _vocabulary_of_student())


def _vocabulary_of_student():
    """The vocabulary in the student's config folder; if there is none, the teacher's."""
    beside = tokenization.vocabulary_in_folder(os.path.dirname(FLAGS.bert_config_file))
    if storage.exists(beside):
        return beside
    opened = model_folder.open_folder(Teacher(FLAGS.teacher_model).path)
    say("note: the student has no vocabulary next to its config: it uses the teacher's")
    return tokenization.vocabulary_in_folder(opened.folder)


def _check_flags():
    if bool(FLAGS.corpus_file) == bool(FLAGS.input_file):
        raise UserError(
            "expected either --corpus_file (text) or --input_file (TFRecords), found %s"
            % ("both" if FLAGS.input_file else "neither")
        )
    _check_given_in_vain()
    flag_checks.require_positive(
        FLAGS, ["num_train_epochs", "train_batch_size", "max_seq_length", "max_predictions_per_seq"]
    )
    if FLAGS.corpus_file and FLAGS.max_seq_length < sampling.SHORTEST:
        raise UserError(
            "--max_seq_length=%d: expected at least %d" % (FLAGS.max_seq_length, sampling.SHORTEST)
        )
    if not 0 <= FLAGS.warmup_proportion < 1:
        raise UserError(
            "--warmup_proportion=%g: expected 0 or more and below 1" % FLAGS.warmup_proportion
        )
    if not FLAGS.masked_lm_weight >= 0:
        raise UserError("--masked_lm_weight=%g: expected 0 or more" % FLAGS.masked_lm_weight)
    if FLAGS.do_eval and not FLAGS.masked_lm_weight:
        raise UserError(
            "--do_eval measures masked LM, which --masked_lm_weight=0 does not train: leave one out"
        )


def _check_given_in_vain():
    """Raises `UserError` for a flag that has no effect because of another one."""
    pairs = [("num_train_epochs", "num_train_steps"), ("warmup_proportion", "num_warmup_steps")]
    for share, number in pairs:
        if FLAGS[share].present and FLAGS[number].present:
            raise UserError("--%s and --%s: give one of them" % (share, number))
    for name in ("encoding", "split_sentences"):
        if FLAGS.input_file and FLAGS[name].value != FLAGS[name].default:
            raise UserError(
                "--%s is only for --corpus_file, the records of --input_file already exist: leave "
                "it out" % name
            )


def _records_of_text():
    """The TFRecords of --corpus_file; creates them unless a run on the same text already did."""
    paths = corpus_reader.input_files(FLAGS.corpus_file, "corpus_file", output_dir=FLAGS.output_dir)
    job = _job()
    pipeline.check(job)
    made_from = json.dumps(pipeline.manifest(job, paths), sort_keys=True, default=str)
    digest = hashlib.sha256(made_from.encode("utf-8")).hexdigest()[:16]
    path = os.path.join(FLAGS.output_dir, "records", digest + ".tfrecord")
    if not (storage.is_file(path) and storage.is_file(record_counts.index_file(path))):
        storage.make_folders(os.path.dirname(path))
        counts, notes = pipeline.run(job, paths, [path], cores.num_usable(), resume=True)
        for note in notes.lines() + _warnings(counts, job.dupe_factor):
            say("warning: %s", note)
        say("%d records created from %s", counts["records"], FLAGS.corpus_file)
    _check_same_records(path)
    return path


def _warnings(counts, dupe_factor):
    """Warnings about parts of the text that are not learnt; sentence order only with masked LM."""
    of_order = corpus_counts.warnings_of_order(counts, _ONE_SEGMENT)
    of_loss = corpus_counts.warnings_of_loss(
        counts, dupe_factor, FLAGS.split_sentences, _ONE_SEGMENT
    )
    return of_order * bool(FLAGS.masked_lm_weight) + of_loss


def _check_same_records(path):
    """Raises `UserError` if the folder's run began with other records."""
    noted = os.path.join(os.path.dirname(path), _RECORDS_OF_RUN)
    digest = storage.sha256_of_file(path)
    has_run = bool(run_folder.former_settings(FLAGS.output_dir)["fixed"])
    if has_run and storage.exists(noted) and files.read_json(noted) != {"sha256": digest}:
        raise UserError(
            "--corpus_file=%s: %s contains a run on other text: restore that text, or name "
            "another folder (--output_dir)" % (FLAGS.corpus_file, FLAGS.output_dir)
        )
    output_files.write_json(noted, {"sha256": digest})


def _job():
    """How to create records from text: without masks, since training masks them."""
    is_sentencepiece = tokenization.is_sentencepiece(FLAGS.vocab_file)  # it marks words itself
    settings = sampling.Settings(
        max_seq_length=FLAGS.max_seq_length,
        max_predictions=FLAGS.max_predictions_per_seq,
        masked_lm_prob=FLAGS.masked_lm_prob,
        short_seq_prob=_SHORT_SEQUENCES,
        seed=FLAGS.seed,
        whole_words=False,
        run_weights=masking.ngram_weights(1),
        google=False,
        random_next=False,
        similar_next=False,
        permute=False,
        dynamic=True,
        one_segment=False,
    )
    return pipeline.Job(
        settings=settings,
        vocab_file=FLAGS.vocab_file,
        do_lower_case=FLAGS.do_lower_case,
        spm_model_file=FLAGS.vocab_file if is_sentencepiece else None,
        segmenter="jieba" if FLAGS.do_whole_word_mask and not is_sentencepiece else "none",
        user_dict=None,
        text_format=corpus_reader.TextFormat(
            FLAGS.encoding, FLAGS.split_sentences, as_original=False
        ),
        original=False,
        dupe_factor=1,
    )


def _take_steps():
    """Computes the numbers of steps that are not set from the numbers of epochs."""
    if FLAGS.do_train and not FLAGS["num_train_steps"].present:
        config = run_flags.read_config(FLAGS.bert_config_file)
        source = record_sources.record_source(FLAGS, "input_file", config, FLAGS.vocab_file)
        if source.num_records is None:
            raise UserError(
                "--count_records=false: give --num_train_steps, as the length of an epoch is "
                "unknown"
            )
        steps = int(source.num_records * FLAGS.num_train_epochs / FLAGS.train_batch_size)
        distillation_flags.take(FLAGS, "num_train_steps", max(1, steps))
    if not FLAGS["num_warmup_steps"].present:
        FLAGS.num_warmup_steps = int(FLAGS.num_train_steps * FLAGS.warmup_proportion)


def main() -> None:
    """Runs the command line."""
    define_flags()
    run_command(run, description=__doc__)
