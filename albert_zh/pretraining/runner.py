"""Pre-training and its evaluation: what the `run_pretraining*` commands do.

records -> masked LM + sentence order -> checkpoints, metrics.jsonl, learning_curve.png
        -> eval_results.txt (--do_eval), a model folder (--export_dir)
"""

import math
import os
import time

from absl import flags
import numpy as np

from albert_zh.common import config_flag, files
from albert_zh.common.errors import UserError
from albert_zh.corpus import masking
from albert_zh.corpus import reader as corpus_reader
from albert_zh.model import (
    checkpoint_files,
    checkpoint_matching,
    model_folder,
    optimization,
    structured_initialization,
)
from albert_zh.model.config import AlbertConfig
from albert_zh.pretraining import input_pipeline as pretraining_input
from albert_zh.pretraining import model_fn as pretraining_model_fn
from albert_zh.pretraining import record_files
from albert_zh.text import tokenization
from albert_zh.training import allocator, engine, length_bucketing, loop, metrics_log, run_folder
from albert_zh.training import flags as run_flags
from albert_zh.training.hooks import (
    CountingHook,
    EvaluationListener,
    ExplosionHook,
    ProgressHook,
    StopHook,
    StopRequest,
)
from albert_zh.training.messages import say, time_and_memory
from albert_zh.training.training_errors import explained_errors

FLAGS = flags.FLAGS
EVAL_RESULTS = "eval_results.txt"
MAX_RECORDS_OF_METRICS = 4000
_GOOGLE_DEFAULTS = {
    "max_seq_length": 512,
    "do_train": True,
    "train_batch_size": 4096,
    "eval_batch_size": 64,
    "num_train_steps": 125000,
    "num_warmup_steps": 3125,
    "save_checkpoints_steps": 5000,
    "do_whole_word_mask": True,  # as google's records have it; for --masking=dynamic
    "ngram": 3,
}
_REFERENCE_BATCH = 4096
# Rates that were found good at a batch of 4096 (LAMB: ALBERT's; AdamW: BERT's 1e-4 at 256); the
# rate for another batch is that times the square root of the batches' ratio.
_REFERENCE_RATES = {"lamb": 0.00176, "adamw": 0.0004}
# A rate so many times the scaled one is warned of. Small models bear much with AdamW: for
# albert_tiny at a batch of 64, 0.0005 was fine and 0.001 after a short warm-up was not.
_COLLAPSING_FACTORS = {"lamb": 4, "adamw": 12}
# Ends the messages about --init_checkpoint where the run has a checkpoint of its own.
_START_NEED_NOT_BE_NAMED = ", or leave --init_checkpoint out: the run goes on from its own weights"
_EXPLOSION_FACTOR = 5  # a loss so many times that of guessing is no training any more


def define_flags(**defaults):
    """Defines the flags of a pre-training command.

    Args:
        **defaults: defaults in place of the usual ones.
    """
    defaults = dict({"learning_rate": None, "keep_checkpoint_max": 20}, **defaults)
    run_flags.define_run_flags(FLAGS, **defaults)
    config_flag.define("Config JSON of the model.")
    table = [
        ("string", "input_file", None, "TFRecord files; patterns, separated by commas."),
        ("string", "eval_file", None, "TFRecord files of held-out text, to evaluate on."),
        ("string", "vocab_file", None, "Vocabulary; that beside the config if left out."),
        ("string", "export_dir", None, "Folder to write the trained model to."),
        ("integer", "max_predictions_per_seq", 20, "The most pieces to predict in a sequence."),
        ("integer", "num_train_steps", 100000, "Steps of training."),
        ("integer", "num_warmup_steps", 10000, "Of these, steps in which the rate rises."),
        ("integer", "max_eval_steps", 100, "The most steps of an evaluation."),
        ("float", "poly_power", 1.0, "Power of the learning rate's decay; 1 is linear."),
        ("integer", "start_warmup_step", 0, "The step from which the warm-up counts."),
        ("integer", "gradient_accumulation_steps", 1, "Parts that a step's batch is worked on in."),
        (
            "boolean",
            "init_from_group0",
            False,
            "Whether all groups start from --init_checkpoint's 0.",
        ),
        ("boolean", "warm_start", False, "Whether to begin with start values that learn sooner."),
        ("boolean", "pack_by_length", True, "Whether batches have sequences of like length."),
        (
            "boolean",
            "skip_nan_steps",
            False,
            "Leave out steps that are not finite, and count them.",
        ),
        ("boolean", "skip_corrupt_records", False, "Leave out damaged records, and count them."),
        ("float", "masked_lm_prob", 0.15, "Share of the pieces to mask, of unmasked records."),
        ("float", "masked_lm_budget", 0.0, "If above 0, the same as --masked_lm_prob."),
        ("boolean", "do_whole_word_mask", False, "Whether words are masked whole."),
        ("integer", "ngram", 1, "The most words to mask in a row."),
        ("boolean", "span", False, "Whether to mask spans of up to 10 words."),
        (
            "float",
            "replaced_token_weight",
            0.0,
            "Weight of telling pieces that the model put in place of masks; 0: left out.",
        ),
    ]
    for kind, name, default, help_text in table:
        getattr(flags, "DEFINE_" + kind)(name, defaults.get(name, default), help_text)
    flags.DEFINE_enum("optimizer", "lamb", sorted(optimization.OPTIMIZERS), "The optimizer.")


def _about_masking(choice):
    """How records are masked, in words; `choice` is as in `pretraining_input.RecordSource`."""
    if choice is None:
        return "masked when they were made"
    unit = "whole words (do_whole_word_mask)" if choice.whole_words else "single pieces"
    runs = "" if len(choice.run_weights) == 1 else ", up to %d in a row" % len(choice.run_weights)
    return "masked anew in each epoch: %g %% of the pieces, %s%s" % (
        100 * choice.masked_lm_prob,
        unit,
        runs,
    )


def define_google_flags():
    """Defines the flags of google's commands, with their defaults."""
    define_flags(**_GOOGLE_DEFAULTS)


def run_google(ffn_groups=None):
    """Does what the flags of google's commands ask for; argument as in `run`."""
    run("sentence_order", ffn_groups)


def run(sentence_name="next_sentence", ffn_groups=None):
    """Does what the flags ask for.

    Args:
        sentence_name: how metrics call the second task.
        ffn_groups: groups of the feed-forward layers where the config does not say; None for the
            usual, one.
    """
    _check_flags()
    allocator.choose_allocator(FLAGS.plain)
    with StopRequest() as stop, explained_errors(FLAGS.output_dir):
        job = Pretraining(FLAGS.bert_config_file, sentence_name, ffn_groups)
        if FLAGS.do_train:
            job.train(stop)
        if run_flags.helper_name(FLAGS):
            return  # the worker that saves does the rest
        if FLAGS.do_eval:
            job.evaluate_newest(stop)
        if FLAGS.export_dir:
            job.export()
        job.summarize()


def _check_flags():
    run_flags.require_flags(FLAGS, ["bert_config_file", "input_file", "output_dir"])
    if not (FLAGS.do_train or FLAGS.do_eval or FLAGS.export_dir):
        raise UserError("nothing to do: give --do_train=true, --do_eval=true or --export_dir")
    run_flags.require_positive(
        FLAGS,
        "train_batch_size eval_batch_size save_checkpoints_steps iterations_per_loop num_tpu_cores "
        "max_seq_length max_predictions_per_seq num_train_steps max_eval_steps "
        "gradient_accumulation_steps masked_lm_prob ngram".split(),
    )
    run_flags.require_at_least_0(FLAGS, ["keep_checkpoint_max"])
    run_flags.check_seed(FLAGS.seed)
    if FLAGS.export_dir and files.is_same_path(FLAGS.export_dir, FLAGS.output_dir):
        raise UserError(
            "--export_dir=%s is the --output_dir, whose checkpoints the model's would hide: name "
            "another folder" % FLAGS.export_dir
        )
    for name in ("masked_lm_prob", "masked_lm_budget"):
        if not 0 <= FLAGS[name].value <= 1:
            raise UserError("--%s=%g: expected a share from 0 to 1" % (name, FLAGS[name].value))
    if not FLAGS.replaced_token_weight >= 0:
        raise UserError(
            "--replaced_token_weight=%g: expected 0 or more" % FLAGS.replaced_token_weight
        )
    if FLAGS.learning_rate is not None:
        run_flags.require_positive(FLAGS, ["learning_rate"])
    if FLAGS.train_batch_size % FLAGS.gradient_accumulation_steps:
        raise UserError(
            "--train_batch_size=%d is not a multiple of --gradient_accumulation_steps=%d"
            % (FLAGS.train_batch_size, FLAGS.gradient_accumulation_steps)
        )
    if not 0 <= FLAGS.num_warmup_steps < FLAGS.num_train_steps:
        raise UserError(
            "--num_warmup_steps=%d: expected 0 or more and less than --num_train_steps=%d"
            % (FLAGS.num_warmup_steps, FLAGS.num_train_steps)
        )


class Pretraining:
    """One run of a pre-training command: its data, model and results."""

    def __init__(self, config_file, sentence_name, ffn_groups=None):
        """Reads and checks everything before the first step.

        Args:
            config_file: the model's config JSON.
            sentence_name, ffn_groups: as in `run`.
        """
        self._begin = time.time()
        self._folder = FLAGS.output_dir
        self._config_file = config_file
        self._config = run_flags.read_config(config_file)
        if ffn_groups:
            given = dict({"ffn_groups": ffn_groups}, **self._config.to_dict())
            self._config = AlbertConfig.from_dict(given)
        self._vocab_file = self._find_vocab_file()
        run_folder.open_output_folder(self._folder, run_flags.helper_name(FLAGS))
        run_flags.say_what_has_no_effect(FLAGS)
        self._train_source = self._source("input_file")
        self._eval_source = self._eval_source_of_flags()
        self._first_step = self._step_to_begin_with()
        self._learning_rate = self._chosen_rate()
        self._init_checkpoint = self._start_checkpoint()
        settings = self._run_settings()
        run_folder.check_same_run(self._folder, *settings)
        if FLAGS.do_train:
            run_folder.remember_settings(self._folder, *settings)
            self._add_state_of_training(self._model_settings(sentence_name))
        self._estimator = engine.make_estimator(
            FLAGS,
            pretraining_model_fn.model_fn_builder(
                self._config, self._model_settings(sentence_name), self._init_checkpoint
            ),
            FLAGS.save_checkpoints_steps,
            train_batch_size=FLAGS.train_batch_size,
            eval_batch_size=FLAGS.eval_batch_size,
        )
        self._metrics = None
        self._sentence_name = sentence_name

    def _add_state_of_training(self, settings):
        """Lets a run go on with flags that count or scale something which it did not before."""
        newest = checkpoint_files.newest_of_training(self._folder)
        if newest is not None and not run_flags.helper_name(FLAGS):
            checkpoint_files.add_missing(newest, pretraining_model_fn.state_of_training(settings))

    # What the run works with

    def _find_vocab_file(self):
        beside = tokenization.vocabulary_in_folder(os.path.dirname(self._config_file))
        path = FLAGS.vocab_file or (beside if os.path.exists(beside) else None)
        num_entries = None if path is None else tokenization.num_entries(path)
        run_flags.check_sizes(FLAGS, self._config, path, num_entries)
        return path

    def _source(self, flag):
        """The `RecordSource` of a flag's files, checked."""
        paths = corpus_reader.input_files(FLAGS[flag].value, flag)
        if FLAGS.skip_corrupt_records:
            copies = os.path.join(self._folder, "repaired", flag)
            paths = record_files.repaired(paths, copies)
        about = record_files.inspected(
            paths, FLAGS.max_seq_length, FLAGS.max_predictions_per_seq, flag
        )
        return pretraining_input.RecordSource(
            files=about.files,
            num_records=about.num_records,
            record_bytes=sum(map(os.path.getsize, about.files)) / about.num_records,
            max_seq_length=FLAGS.max_seq_length,
            max_predictions=FLAGS.max_predictions_per_seq,
            masking=None if about.is_masked else _masking_choice(),
            mask_id=0 if about.is_masked else self._mask_id(),
            vocab_size=self._config.vocab_size,
            is_static=FLAGS.use_tpu,
        )

    def _eval_source_of_flags(self):
        if FLAGS.eval_file:
            return self._source("eval_file")
        if FLAGS.do_eval:
            say("warning: no --eval_file: evaluation is on --input_file, which training sees")
        return self._train_source

    def _mask_id(self):
        if self._vocab_file is None:
            raise UserError(
                "--vocab_file is required: the records of %s are not masked yet, and there is no "
                "vocab.txt or spiece.model beside %s" % (FLAGS.input_file, self._config_file)
            )
        vocab = tokenization.load_vocab(self._vocab_file)
        if "[MASK]" not in vocab:
            raise UserError("--vocab_file=%s has no [MASK]" % self._vocab_file)
        return vocab["[MASK]"]

    def _step_to_begin_with(self):
        newest = checkpoint_files.newest_of_training(self._folder)
        return 0 if newest is None else checkpoint_files.checkpoint_step(newest)

    def _chosen_rate(self):
        """The learning rate of the flag, or one that fits batch and optimizer."""
        if not FLAGS.do_train:
            return FLAGS.learning_rate or 1.0
        ratio = math.sqrt(FLAGS.train_batch_size / _REFERENCE_BATCH)
        fitting = _REFERENCE_RATES[FLAGS.optimizer] * ratio
        if FLAGS.learning_rate is None:
            say(
                "learning rate %.3g: %s at a batch of %d, times the square root of %d / %d",
                fitting,
                _REFERENCE_RATES[FLAGS.optimizer],
                _REFERENCE_BATCH,
                FLAGS.train_batch_size,
                _REFERENCE_BATCH,
            )
            return fitting
        if FLAGS.learning_rate > _COLLAPSING_FACTORS[FLAGS.optimizer] * fitting:
            say(
                "warning: --learning_rate=%g is known to make the loss collapse at a batch of "
                "%d (it stays near that of guessing): %.3g fits, as chosen without the flag",
                FLAGS.learning_rate,
                FLAGS.train_batch_size,
                fitting,
            )
        return FLAGS.learning_rate

    def _start_checkpoint(self):
        """The checkpoint that the weights start from; None for random ones, or the folder's own."""
        if not FLAGS.do_train or checkpoint_files.newest_of_training(self._folder):
            return None
        shapes = checkpoint_matching.expected_shapes_by_part(self._config)
        shapes.pop("classification")
        shapes = {name: shape for part in shapes.values() for name, shape in part.items()}
        if not FLAGS.init_checkpoint:
            if not FLAGS.warm_start:
                return None
            return structured_initialization.write_checkpoint(
                self._path_of_start("warm_start.ckpt"),
                self._config,
                shapes,
                record_files.piece_counts(*_about_records(self._train_source)),
                FLAGS.seed,
            )
        if FLAGS.warm_start:
            raise UserError("--warm_start and --init_checkpoint: give one of them")
        prefix = checkpoint_files.find_checkpoint(FLAGS.init_checkpoint)
        checkpoint_files.check_readable(prefix)
        if FLAGS.init_from_group0:
            prefix = checkpoint_matching.with_group0_everywhere(
                prefix, shapes, self._path_of_start("group0.ckpt")
            )
        for line in checkpoint_matching.report(checkpoint_matching.assign(shapes, prefix), prefix):
            say(line)
        return prefix

    def _path_of_start(self, name):
        """Workers that share the folder write files of their own."""
        return os.path.join(
            self._folder, ".".join(filter(None, [run_flags.helper_name(FLAGS), name]))
        )

    def _settings_of_start(self):
        """What tells the start of this run from others; a run that goes on need not name it."""
        goes_on = checkpoint_files.newest_of_training(self._folder)
        if not FLAGS.init_checkpoint:
            return {} if goes_on else {"init_checkpoint": "none"}
        digest = self._digest_of_start("" if not goes_on else _START_NEED_NOT_BE_NAMED)
        return {"init_checkpoint": digest, "init_from_group0": FLAGS.init_from_group0}

    def _digest_of_start(self, way_out):
        """What tells the weights of --init_checkpoint from those that the run began with."""
        try:
            prefix = checkpoint_files.find_checkpoint(FLAGS.init_checkpoint)
        except UserError as error:
            raise UserError("%s%s" % (error, way_out)) from error
        digest = checkpoint_files.fingerprint(prefix)
        former = run_folder.former_settings(self._folder)["fixed"].get("init_checkpoint", digest)
        if former != digest:
            raise UserError(
                "%s holds a run that did not begin with the weights of --init_checkpoint=%s: name "
                "another folder (--output_dir)%s" % (self._folder, prefix, way_out)
            )
        return digest

    def _run_settings(self):
        """(fixed, variable) settings of the run, see `run_folder.check_same_run`."""
        fixed = {"config": self._config.to_dict()}
        if not FLAGS.do_train:
            return fixed, {}
        names = (
            "train_batch_size max_seq_length max_predictions_per_seq seed optimizer poly_power "
            "pack_by_length warm_start replaced_token_weight"
        )
        fixed.update((name, FLAGS[name].value) for name in names.split())
        fixed["learning_rate"] = self._learning_rate
        fixed.update(self._settings_of_start())
        variable = (
            "num_train_steps num_warmup_steps start_warmup_step gradient_accumulation_steps "
            "precision plain"
        )
        variable = {name: FLAGS[name].value for name in variable.split()}
        counts = variable if FLAGS.skip_corrupt_records else fixed
        source = self._train_source
        counts["number of records"] = source.num_records
        counts["bytes of records"] = sum(map(os.path.getsize, source.files))
        fixed["masking"] = source.masking and list(map(str, source.masking))
        return fixed, variable

    def _model_settings(self, sentence_name):
        given = {
            name: FLAGS[name].value
            for name in pretraining_model_fn.ModelSettings._fields
            if name in FLAGS
        }
        given.update(learning_rate=self._learning_rate, sentence_name=sentence_name)
        return pretraining_model_fn.ModelSettings(**given)

    # Training

    def train(self, stop):
        """Trains to the last step, from the newest checkpoint of the output folder if it has one.

        Args:
            stop: `StopRequest`.

        Raises:
            Interrupted: if a stop was requested; a checkpoint is saved then.
        """
        self._metrics = metrics_log.Metrics(
            self._folder, self._first_step, run_flags.helper_name(FLAGS)
        )
        if self._first_step >= FLAGS.num_train_steps:
            say("training is complete (step %d): nothing to train", self._first_step)
            return
        self._say_what_comes()
        listeners = []
        if FLAGS.eval_file and FLAGS.do_eval:
            listeners = [EvaluationListener(lambda step: self._evaluated(step, stop), stop)]
        progress = ProgressHook(
            self._metrics,
            FLAGS.num_train_steps,
            FLAGS.train_batch_size,
            steps_per_run=FLAGS.iterations_per_loop if FLAGS.use_tpu else 1,
            record_every=max(1, FLAGS.num_train_steps // MAX_RECORDS_OF_METRICS),
        )
        with _named_faults(self._train_source):
            loop.train_with_checkpoints(
                FLAGS,
                self._estimator,
                self._train_input_fn,
                FLAGS.num_train_steps,
                FLAGS.save_checkpoints_steps,
                [StopHook(stop), progress, ExplosionHook(self._highest_loss())],
                listeners,
            )
        stop.raise_if_made(
            "stopped at step %d of %d, checkpoint saved in %s; the same command goes on"
            % (self._step_to_begin_with(), FLAGS.num_train_steps, self._folder)
        )

    def _say_what_comes(self):
        source = self._train_source
        if self._first_step:
            say("continuing from step %d of %d", self._first_step, FLAGS.num_train_steps)
        say(
            "training: %d records in %d files, %s, batch %d, %d steps: %.1f epochs; shuffled in a "
            "buffer of %d records (%.0f MB)",
            source.num_records,
            len(source.files),
            _about_masking(source.masking),
            FLAGS.train_batch_size,
            FLAGS.num_train_steps,
            FLAGS.num_train_steps * FLAGS.train_batch_size / source.num_records,
            min(pretraining_input.SHUFFLE_BUFFER, source.num_records),
            min(pretraining_input.SHUFFLE_BUFFER, source.num_records) * source.record_bytes / 1e6,
        )

    def _highest_loss(self):
        further = 1 + FLAGS.replaced_token_weight if FLAGS.replaced_token_weight else 0
        of_guessing = math.log(self._config.vocab_size) + (1 + further) * math.log(2)
        return _EXPLOSION_FACTOR * of_guessing

    def _train_input_fn(self, params, input_context=None):
        share = length_bucketing.share_of(params, input_context)
        batches = pretraining_input.training_batches(
            self._train_source,
            FLAGS.train_batch_size,
            FLAGS.seed,
            self._first_step,
            FLAGS.pack_by_length and not (FLAGS.use_tpu or FLAGS.plain),
            share.num_replicas,
        )
        return length_bucketing.of_pipeline(batches, share)

    def _eval_input_fn(self, params):
        share = length_bucketing.share_of(params)
        size = FLAGS.eval_batch_size // share.num_replicas
        batches = pretraining_input.evaluation_batches(self._eval_source, size, FLAGS.seed)
        return length_bucketing.of_pipeline(batches, share)

    # Evaluation and the end

    def evaluate_newest(self, stop):
        """Evaluates the newest checkpoint and writes `eval_results.txt`.

        Args:
            stop: `StopRequest`.
        """
        newest = checkpoint_files.newest_of_training(self._folder)
        if newest is None:
            raise UserError("%s holds no checkpoint: train first (--do_train=true)" % self._folder)
        result = self._evaluate(checkpoint_files.checkpoint_step(newest), stop)
        with files.atomic_write(os.path.join(self._folder, EVAL_RESULTS)) as handle:
            for name in sorted(result):
                say("%s = %s", name, result[name])
                handle.write("%s = %s\n" % (name, result[name]))

    def _evaluated(self, step, stop):
        """Evaluates while training; what it returns would end that if it was true."""
        self._evaluate(step, stop)
        return False

    def _evaluate(self, step, stop):
        """Metrics of the checkpoint of a step; recorded while training."""
        num_steps = _num_eval_steps(self._eval_source)
        with _named_faults(self._eval_source):
            result = self._estimator.evaluate(
                self._eval_input_fn,
                steps=num_steps,
                hooks=[StopHook(stop), CountingHook("evaluating", num_steps)],
                checkpoint_path=os.path.join(self._folder, "model.ckpt-%d" % step),
            )
        stop.raise_if_made("stopped while evaluating; the same command goes on")
        metrics = {name: _plain(value) for name, value in result.items()}
        if self._metrics is not None:
            plotted = {"dev_" + name: metrics[name] for name in metrics if name != "global_step"}
            self._metrics.add(step, dev=metrics, **plotted)
        say(
            "step %d: masked LM %.4f, order %.4f, loss %.4f on %s",
            step,
            metrics["masked_lm_accuracy"],
            metrics[self._sentence_name + "_accuracy"],
            metrics["loss"],
            "held-out text" if FLAGS.eval_file else "training text",
        )
        return metrics

    def export(self):
        """Writes the newest checkpoint as a model folder: config, vocabulary, weights."""
        newest = checkpoint_files.newest_of_training(self._folder)
        if newest is None:
            raise UserError("%s holds no checkpoint to export" % self._folder)
        config_name = model_folder.config_name(self._config_file)
        with model_folder.filled_folder(FLAGS.export_dir, replaces_model=True) as partial:
            model_folder.fill_model_folder(
                partial,
                newest,
                self._contents_of_vocabulary(),
                {config_name: self._config.to_dict()},
            )
        say("model folder     %s (from %s)", FLAGS.export_dir, newest)

    def _contents_of_vocabulary(self):
        path = self._vocab_file
        return {tokenization.name_in_folder(path): files.read_bytes(path)} if path else {}

    def summarize(self):
        """Draws the learning curve and tells where the results lie."""
        if self._metrics is not None:
            picture = metrics_log.draw_learning_curve(
                self._metrics,
                os.path.join(self._folder, metrics_log.LEARNING_CURVE),
                [
                    ("dev_masked_lm_accuracy", "masked LM accuracy"),
                    ("dev_%s_accuracy" % self._sentence_name, "order accuracy"),
                ],
            )
            if picture:
                say("learning curve   %s", picture)
        newest = checkpoint_files.newest_of_training(self._folder)
        if newest:
            say("last checkpoint  %s", newest)
        say("time, memory     %s, at most %.0f MB", *time_and_memory(self._begin))


def _num_eval_steps(source):
    """How many batches of a `RecordSource` are evaluated on."""
    num_batches = source.num_records / FLAGS.eval_batch_size
    # On TPU every batch is full.
    num_batches = int(num_batches) if source.is_static else math.ceil(num_batches)
    if not num_batches:
        raise UserError(
            "--eval_batch_size=%d: a TPU takes full batches alone, and there are %d records to "
            "evaluate on: give a smaller one" % (FLAGS.eval_batch_size, source.num_records)
        )
    return min(FLAGS.max_eval_steps, num_batches)


def _about_records(source):
    """(files, S, P, V) of a `RecordSource`."""
    return source.files, source.max_seq_length, source.max_predictions, source.vocab_size


def _named_faults(source):
    """A context in which faulty records of a `RecordSource` are named by their files."""
    return record_files.named_faults(*_about_records(source))


def _masking_choice():
    """How records that are not masked yet are masked, by the flags."""
    weights = masking.span_weights() if FLAGS.span else masking.ngram_weights(FLAGS.ngram)
    return masking.MaskingChoice(
        masked_lm_prob=FLAGS.masked_lm_budget or FLAGS.masked_lm_prob,
        max_predictions=FLAGS.max_predictions_per_seq,
        run_weights=weights,
        whole_words=FLAGS.do_whole_word_mask,
        permute=False,
    )


def _plain(value):
    """A number of numpy's as one of Python's."""
    return int(value) if isinstance(value, np.integer) else float(value)
