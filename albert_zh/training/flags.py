"""Flags that all `run_*` commands have, and functions that read and check them."""

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
    ("integer", "max_seq_length", 128, "Maximum length in tokens; longer inputs are truncated."),
    ("boolean", "do_train", False, "Whether to train."),
    ("boolean", "do_eval", False, "Whether to evaluate."),
    ("integer", "train_batch_size", 32, "Examples per training step."),
    ("integer", "eval_batch_size", 8, "Examples per evaluation step."),
    ("float", "learning_rate", 5e-5, "Peak learning rate, reached at the end of the warm-up."),
    (
        "integer",
        "save_checkpoints_steps",
        1000,
        "Training steps between checkpoints; by default at most an epoch in fine-tuning.",
    ),
    (
        "integer",
        "keep_checkpoint_max",
        5,
        "Maximum number of checkpoints to keep; 0 for all. Unless this flag is set, a finished "
        "fine-tuning keeps only the newest, in addition to the best model (with --do_eval).",
    ),
    ("integer", "iterations_per_loop", 1000, "Training steps per loop on a TPU."),
    (
        "boolean",
        "recompute",
        False,
        "Gradient checkpointing: recompute each layer for the gradient in training; slower, but "
        "takes much less memory.",
    ),
    (
        "boolean",
        "plain",
        False,
        "Run the reference implementation without optimizations (batching by length, compiled and "
        "joint operations, hand-written gradients, half of a batch for each of two threads, pruned "
        "outputs), for debugging.",
    ),
    ("integer", "num_threads", 0, "Number of threads; 0 for the number of CPU cores."),
    ("integer", "seed", DEFAULT_SEED, "Seed of initialization, shuffling and dropout."),
    ("boolean", "use_tpu", False, "Whether to run on a TPU."),
    ("string", "tpu_name", None, "Name or grpc address of the TPU."),
    ("string", "tpu_zone", None, "Zone of the TPU; detected if not set."),
    ("string", "gcp_project", None, "Project of the TPU; detected if not set."),
    ("string", "master", None, "Address of a TensorFlow master."),
    ("integer", "num_tpu_cores", 8, "Number of TPU cores."),
    ("list", "devices", [], "Devices of --distribution=mirrored; all GPUs by default."),
)


def define_run_flags(options: flags.FlagValues, **defaults: Any) -> None:
    """Defines the flags that every `run_*` command has.

    Args:
        options: where to define them; `flags.FLAGS` for a command line.
        **defaults: defaults that replace the defaults of the table.
    """
    for kind, name, default, help_text in _TABLE:
        define = getattr(flags, "DEFINE_" + kind)
        define(name, defaults.get(name, default), help_text, flag_values=options)
    flags.DEFINE_enum(
        "precision",
        "float32",
        sorted(PRECISIONS),
        "Number format of the encoder's computations; variables and losses are float32.",
        flag_values=options,
    )
    flags.DEFINE_enum(
        "distribution",
        "none",
        ["none", "mirrored", "multi_worker"],
        "How to distribute each training step: not at all, over the devices of this machine, or "
        "over several machines, which TF_CONFIG lists.",
        flag_values=options,
    )


def say_what_has_no_effect(
    options: flags.FlagValues, old_flags: Optional[Dict[str, str]] = None
) -> None:
    """Names the flags that have no effect: TPU flags without `--use_tpu`, and obsolete flags.

    Args:
        options: the flags.
        old_flags: {flag accepted for compatibility: why it has no effect}.
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
    """The name of a worker that only helps the process that saves; None for that process."""
    return multi_worker.helper_name() if options.distribution == "multi_worker" else None


def read_config(config_file: str) -> AlbertConfig:
    """Reads the config of a file and prints its warnings as single lines."""
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
    """Checks that config, vocabulary and sequence length fit together.

    Args:
        options: the flags.
        config: `AlbertConfig`.
        vocab_file: file of the vocabulary; None without a vocabulary.
        num_entries: number of its entries; None without a vocabulary.

    Raises:
        UserError: if they do not fit.
    """
    if options.max_seq_length > config.longest_sequence:
        raise UserError(
            "--max_seq_length=%d: expected at most %d, the config's max_position_embeddings: "
            "lower it, or use a model with more positions (extend_positions.py creates one)"
            % (options.max_seq_length, config.longest_sequence)
        )
    if vocab_file is not None and num_entries is not None:
        check_num_entries(vocab_file, num_entries, config.vocab_size)
