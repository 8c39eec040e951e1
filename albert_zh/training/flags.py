"""Flags that all `run_*` commands have, and what is read by them."""

from typing import Any, Dict, Optional
import warnings

from absl import flags

from albert_zh.common.errors import UserError
from albert_zh.common.messages import say
from albert_zh.model.config import AlbertConfig
from albert_zh.model.layers import PRECISIONS
from albert_zh.text.vocabulary_files import check_num_entries
from albert_zh.training import multi_worker

DEFAULT_SEED = 12345

_OF_TPU = ("tpu_name", "tpu_zone", "gcp_project", "num_tpu_cores", "iterations_per_loop")


_TABLE = (
    ("string", "output_dir", None, "Folder for checkpoints and results."),
    ("string", "init_checkpoint", None, "Checkpoint to start from: a prefix or its folder."),
    ("integer", "max_seq_length", 128, "Longest input in tokens; longer ones are cut."),
    ("boolean", "do_train", False, "Whether to train."),
    ("boolean", "do_eval", False, "Whether to evaluate."),
    ("integer", "train_batch_size", 32, "Examples in a training step."),
    ("integer", "eval_batch_size", 8, "Examples in an evaluation step."),
    ("float", "learning_rate", 5e-5, "Highest learning rate, at the end of the warm-up."),
    (
        "integer",
        "save_checkpoints_steps",
        1000,
        "Training steps between checkpoints; in fine-tuning those of an epoch, if fewer.",
    ),
    (
        "integer",
        "keep_checkpoint_max",
        5,
        "The most checkpoints to keep; 0 for all. Unless it is given, a fine-tuning that has "
        "ended leaves the newest alone, beside the best model (with --do_eval).",
    ),
    ("integer", "iterations_per_loop", 1000, "Training steps in a TPU's loop."),
    (
        "boolean",
        "recompute",
        False,
        "In training compute each layer again for the gradient: slower, in much less memory.",
    ),
    (
        "boolean",
        "plain",
        False,
        "Run the reference implementation without optimizations (batching by length, compiled and "
        "joint operations, gradients written out, half of a batch for each of two threads, pruned "
        "outputs), for debugging.",
    ),
    ("integer", "num_threads", 0, "Threads that compute; 0 for as many as there are cores."),
    ("integer", "seed", DEFAULT_SEED, "Seed of start values, shuffling and dropout."),
    ("boolean", "use_tpu", False, "Whether to run on a TPU."),
    ("string", "tpu_name", None, "Name or grpc address of the TPU."),
    ("string", "tpu_zone", None, "The TPU's zone; found out where it is left out."),
    ("string", "gcp_project", None, "The TPU's project; found out where it is left out."),
    ("string", "master", None, "Address of a TensorFlow master."),
    ("integer", "num_tpu_cores", 8, "Cores of the TPU."),
    ("list", "devices", [], "Devices of --distribution=mirrored; all GPUs if left out."),
)


def define_run_flags(options: flags.FlagValues, **defaults: Any) -> None:
    """Defines the flags that every `run_*` command has.

    Args:
        options: where to define them; `flags.FLAGS` for a command line.
        **defaults: defaults in place of those of the table.
    """
    for kind, name, default, help_text in _TABLE:
        define = getattr(flags, "DEFINE_" + kind)
        define(name, defaults.get(name, default), help_text, flag_values=options)
    flags.DEFINE_enum(
        "precision",
        "float32",
        sorted(PRECISIONS),
        "What the encoder computes in; variables and losses are float32.",
        flag_values=options,
    )
    flags.DEFINE_enum(
        "distribution",
        "none",
        ["none", "mirrored", "multi_worker"],
        "Who shares a step: nobody, the devices of this machine, or those of several machines, "
        "which TF_CONFIG lists.",
        flag_values=options,
    )


def say_what_has_no_effect(
    options: flags.FlagValues, old_flags: Optional[Dict[str, str]] = None
) -> None:
    """Names the flags that were given in vain: those of TPUs without `--use_tpu`, and old ones.

    Args:
        options: the flags.
        old_flags: {flag that is only accepted: why it has no effect}.
    """
    given = [name for name in _OF_TPU if options[name].present]
    if given and not options.use_tpu:
        say("note: without --use_tpu these flags have no effect: --%s", ", --".join(given))
    num_machines = multi_worker.num_machines()
    if num_machines > 1 and options.distribution != "multi_worker":
        say(
            "note: TF_CONFIG names %d machines; without --distribution=multi_worker this one "
            "trains by itself",
            num_machines,
        )
    for name, reason in (old_flags or {}).items():
        if options[name].present:
            say("note: --%s has no effect: %s", name, reason)


def helper_name(options: flags.FlagValues) -> Optional[str]:
    """The name of a process that only helps the one that saves, None of that."""
    return multi_worker.helper_name() if options.distribution == "multi_worker" else None


def read_config(config_file: str) -> AlbertConfig:
    """The config of a file; its warnings are said in a line of ours."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        config = AlbertConfig.from_json_file(config_file)
    for warning in caught:
        say("warning: %s: %s", config_file, warning.message)
    return config


def check_sizes(
    options: flags.FlagValues,
    config: AlbertConfig,
    vocab_file: Optional[str] = None,
    num_entries: Optional[int] = None,
) -> None:
    """Checks that config, vocabulary and sequence length belong together.

    Args:
        options: the flags.
        config: `AlbertConfig`.
        vocab_file: the vocabulary's file; None without one.
        num_entries: its entries; None without one.

    Raises:
        UserError: if they do not.
    """
    if options.max_seq_length > config.longest_sequence:
        raise UserError(
            "--max_seq_length=%d: expected at most %d, the config's max_position_embeddings: give "
            "less, or a model of more positions (extend_positions.py makes one)"
            % (options.max_seq_length, config.longest_sequence)
        )
    if vocab_file is not None and num_entries is not None:
        check_num_entries(vocab_file, num_entries, config.vocab_size)
