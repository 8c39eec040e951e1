"""Defines and checks the flags of pre-training objectives, and derives the model's settings."""

import contextlib
import math
import re
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Optional, Tuple

from absl import flags
import tensorflow.compat.v1 as tf

from albert_zh.common.errors import UserError
from albert_zh.common.messages import say
from albert_zh.model.attention_masks import PATTERNS
from albert_zh.pretraining.objectives import electra_masks, generator_settings
from albert_zh.text import tokenization
from albert_zh.training import run_folder

if TYPE_CHECKING:
    from albert_zh.model.config import AlbertConfig

OBJECTIVES = ("masked_lm", "electra", "unilm")
_TABLE = (
    (
        "boolean",
        "sentence_task",
        None,
        "Whether to learn sentence order (or next sentence prediction), too; by default false for "
        "electra and otherwise true. Set to false for records of one segment (--format).",
    ),
    (
        "float",
        "replaced_token_weight",
        0.0,
        "Weight of detecting the pieces with which the model filled masks; 0: not used.",
    ),
    (
        "float",
        "span_boundary_weight",
        0.0,
        "Weight of predicting masked words from the pieces around their span (SpanBERT: 1); 0: "
        "not used.",
    ),
    ("float", "gen_weight", 1.0, "electra: weight of the generator's loss."),
    (
        "float",
        "disc_weight",
        50.0,
        "electra: weight of the discriminator's loss; with 0 and --untied_generator=false the "
        "model learns only masked words.",
    ),
    ("float", "generator_hidden_size", 0.25, "electra: generator width as a share of the model's."),
    ("float", "generator_layers", 1.0, "electra: generator layers as a share of the model's."),
    ("boolean", "untied_generator", True, "electra: whether the generator is a separate model."),
    (
        "boolean",
        "untied_generator_embeddings",
        False,
        "electra: whether the generator has its own embeddings.",
    ),
    (
        "float",
        "generator_temperature",
        1.0,
        "electra: temperature of the generator's samples.",
    ),
    ("boolean", "disallow_correct", False, "electra: whether to never sample the original word."),
    (
        "boolean",
        "original_masks",
        False,
        "electra: whether to draw masks in each step as in google-research/electra: positions are "
        "drawn with replacement, and a position that is drawn twice gets the mean of the ids.",
    ),
)
_SPECIAL = ("[CLS]", "[SEP]", "[MASK]")
_SHARES = ("generator_hidden_size", "generator_layers")
_OF_SEPARATE_GENERATOR = _SHARES + ("untied_generator_embeddings",)
_POSITIVE = ("generator_temperature",)
_AT_LEAST_0 = ("replaced_token_weight", "span_boundary_weight", "gen_weight", "disc_weight")


def define() -> None:
    """Defines the flags."""
    flags.DEFINE_enum(
        "objective",
        "masked_lm",
        OBJECTIVES,
        "masked_lm: predict masked words; electra: detect pieces replaced by a smaller generator; "
        "unilm: predict masked words from both sides, the left, the right, or source to target.",
    )
    for kind, name, default, help_text in _TABLE:
        getattr(flags, "DEFINE_" + kind)(name, default, help_text)


def check(options: flags.FlagValues) -> None:
    """Raises `UserError` for invalid or incompatible values.

    Args:
        options: the flags.
    """
    for name in _POSITIVE + _AT_LEAST_0:
        value = getattr(options, name)
        is_good = value > 0 if name in _POSITIVE else value >= 0
        if not (is_good and math.isfinite(value)):
            expected = "a number above 0" if name in _POSITIVE else "0 or more"
            raise UserError("--%s=%g: expected %s" % (name, value, expected))
    for name in _SHARES:
        if not 0 < getattr(options, name) <= 1:
            raise UserError(
                "--%s=%g: expected a share of the model's, above 0 and up to 1"
                % (name, getattr(options, name))
            )
    if options.objective != "masked_lm":
        for name in ("replaced_token_weight", "span_boundary_weight"):
            if getattr(options, name):
                raise UserError(
                    "--%s and --objective=%s are mutually exclusive: leave one out"
                    % (name, options.objective)
                )
    if options.objective == "electra":
        _check_electra(options)
        return
    for name in generator_settings.Settings._fields:
        if options[name].value != options[name].default:
            raise UserError("--%s needs --objective=electra" % name)


def _check_electra(options):
    if not options.untied_generator:
        for name in _OF_SEPARATE_GENERATOR:
            if options[name].value != options[name].default:
                raise UserError(
                    "--%s is for a separate generator: leave it or --untied_generator=false "
                    "out" % name
                )
    if not options.disc_weight and (options.untied_generator or options.sentence_task):
        raise UserError(
            "--disc_weight=0: only masked words are learned: add --untied_generator=false, so "
            "that the model itself learns them, and leave --sentence_task out"
        )
    if not options.disc_weight and not options.gen_weight:
        raise UserError("--gen_weight=0 and --disc_weight=0: nothing is learned: leave one out")


def has_sentence_task(options: flags.FlagValues) -> bool:
    """Whether there is a second task."""
    if options.sentence_task is None:
        return options.objective != "electra"
    return options.sentence_task


def model_settings(
    options: flags.FlagValues, config: "AlbertConfig", vocab_file: Optional[str] = None
) -> Dict[str, Any]:
    """Returns {field of `ModelSettings`: value} for the flags.

    Args:
        options: the flags.
        config: the model's config.
        vocab_file: path of the model's vocabulary, or None.

    Raises:
        UserError: if a generator of that size is impossible, or the model has only one segment type
            and the objective is UniLM.
    """
    of_electra, is_unilm = None, options.objective == "unilm"
    if options.objective == "electra":
        names = generator_settings.Settings._fields
        of_electra = generator_settings.Settings(**{name: getattr(options, name) for name in names})
        of_electra = of_electra._replace(original_masks=_original_masks(options, vocab_file))
        generator_settings.generator_config(config, of_electra)
    if is_unilm and config.type_vocab_size < 2:
        raise UserError(
            "--objective=unilm: the config's type_vocab_size is %d, expected 2: source and target "
            "are separate segments" % config.type_vocab_size
        )
    return {
        "sentence_task": has_sentence_task(options),
        "electra": of_electra,
        "unilm": is_unilm,
    }


def _original_masks(options, vocab_file):
    """Returns the `OriginalMasks` of the flags; None to use the masks of the records."""
    if not options.original_masks:
        return None
    if vocab_file is None:
        raise UserError("--original_masks: --vocab_file is required, for the id of [MASK]")
    vocab = tokenization.load_vocab(vocab_file)
    missing = [token for token in _SPECIAL if token not in vocab]
    if missing:
        raise UserError("--original_masks: %s has no %s" % (vocab_file, ", ".join(missing)))
    special = tuple(vocab[token] for token in _SPECIAL)
    return electra_masks.OriginalMasks(
        options.masked_lm_budget or options.masked_lm_prob,
        options.max_seq_length,
        vocab["[MASK]"],
        special,
    )


def check_distillation(options: flags.FlagValues) -> None:
    """Raises `UserError` for an objective that cannot be combined with distillation."""
    if options.objective != "masked_lm":
        raise UserError(
            "--objective=%s: a student learns masked words in addition to its teacher's "
            "outputs: leave it out" % options.objective
        )


def run_settings(options: flags.FlagValues) -> Dict[str, Any]:
    """Returns {name: value} of the settings that must not change when a run is resumed."""
    settings = {
        "objective": options.objective,
        "sentence_task": has_sentence_task(options),
        "replaced_token_weight": options.replaced_token_weight,
        "span_boundary_weight": options.span_boundary_weight,
    }
    if options.objective == "electra":
        settings.update(
            (name, getattr(options, name)) for name in generator_settings.Settings._fields
        )
    if settings.get("original_masks"):
        settings["masked_lm_prob"] = options.masked_lm_budget or options.masked_lm_prob
    return settings


@contextlib.contextmanager
def missing_heads_named(folder: str, options: flags.FlagValues) -> Iterator[None]:
    """Reports in one line that the flags ask for heads that a run did not train.

    Args:
        folder: folder of the run, whose checkpoint is read within the context.
        options: the flags.
    """
    try:
        yield
    except tf.errors.NotFoundError as error:
        missing = re.search("Key (\\S+) not found in checkpoint", str(error))
        if not missing:
            raise
        trained = _otherwise_trained(folder, options, run_settings(options))
        raise UserError(
            "%s: its checkpoints have no %s, which the flags ask for: it was trained with %s: "
            "pass the same when evaluating"
            % (folder, missing.group(1), trained or "other objectives")
        ) from error


def check_generator_is_of_run(folder: str, options: flags.FlagValues) -> None:
    """Raises `UserError` if an evaluation's flags ask for a different generator than the run's."""
    names = generator_settings.FORM if options.objective == "electra" else ()
    trained = _otherwise_trained(folder, options, names)
    if trained:
        raise UserError(
            "%s contains a run with another generator, trained with %s: pass the same when "
            "evaluating" % (folder, trained)
        )


def say_what_is_measured(folder: str, options: flags.FlagValues) -> None:
    """Notes that an evaluation of a UniLM run measures only plain masked words."""
    trained = _otherwise_trained(folder, options, ["objective"])
    if trained == "--objective=unilm":
        say(
            "note: %s was trained with %s, but masked words are evaluated with full attention: "
            "with that flag each attention pattern is",
            folder,
            trained,
        )


def _otherwise_trained(folder, options, names):
    """Returns the flags of a run that differ from the current ones, in command line format."""
    former, given = run_folder.former_settings(folder)["fixed"], run_settings(options)
    differing = [name for name in names if name in former and former[name] != given[name]]
    return " ".join("--%s=%s" % (name, str(former[name]).lower()) for name in differing)


def accuracies(options: flags.FlagValues, sentence_name: str) -> List[Tuple[str, str]]:
    """Returns (name of the accuracy metric, label for display) of each task.

    Args:
        options: the flags.
        sentence_name: the second task's name in metrics.
    """
    tasks = [("masked_lm", "masked LM")]
    if has_sentence_task(options):
        tasks.append((sentence_name, "order"))
    if options.span_boundary_weight:
        tasks.append(("span_boundary", "span boundary"))
    if options.objective == "electra" and options.disc_weight:
        tasks.append(("replaced_token", "replaced pieces"))
    if options.objective == "unilm":
        tasks += [(name, name.replace("_", " ")) for name in PATTERNS]
    return [(name + "_accuracy", label) for name, label in tasks]


def loss_of_guessing(options: flags.FlagValues, vocab_size: int) -> float:
    """Returns the total loss of a model that guesses at random in all tasks."""
    word, choice = math.log(vocab_size), math.log(2)
    if options.objective == "electra":
        total = options.gen_weight * word + options.disc_weight * choice
    else:
        total = (1 + options.span_boundary_weight) * word + options.replaced_token_weight * choice
    if has_sentence_task(options):
        total += choice * (2 if options.replaced_token_weight else 1)
    return total
