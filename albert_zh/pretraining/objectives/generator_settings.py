"""Settings of ELECTRA's generator and the weights of its losses, and the generator's config."""

import collections

from albert_zh.common.errors import UserError
from albert_zh.model.config import AlbertConfig

_HEAD_SIZE = 64  # width of the generator's attention heads, if it divides the generator's width
Settings = collections.namedtuple(
    "Settings",
    "gen_weight disc_weight generator_hidden_size generator_layers untied_generator "
    "untied_generator_embeddings generator_temperature disallow_correct original_masks",
    defaults=(1.0, 50.0, 0.25, 1.0, True, False, 1.0, False, None),
)
FORM = (  # the settings that determine the variables and their use
    "generator_hidden_size",
    "generator_layers",
    "untied_generator",
    "untied_generator_embeddings",
)
Settings.__doc__ = """Settings of a generator; the fields are the flags of the same names.

Fields:
    gen_weight, disc_weight: weights of the losses of generator and discriminator; with a
        `disc_weight` of 0 no words are sampled and detected.
    generator_hidden_size, generator_layers: shares of the model's width and number of layers.
    untied_generator: bool; if False, the model is its own generator.
    untied_generator_embeddings: bool, whether the generator has its own embedding tables.
    generator_temperature: divisor of the generator's logits for sampling.
    disallow_correct: bool, whether the original word is never sampled.
    original_masks: `electra_masks.OriginalMasks` to use the original program's masks; None to use
        the masks of the records.
"""


def generator_config(config: AlbertConfig, settings: Settings) -> AlbertConfig:
    """Returns the config of a model's generator.

    Args:
        config: the model's config.
        settings: the settings of the generator, including its relative size.

    Returns:
        the generator's config; attention heads have the width 64 if it divides the hidden size.

    Raises:
        UserError: if a model cannot have these sizes.
    """
    width = max(1, int(round(config.hidden_size * settings.generator_hidden_size)))
    heads = max(1, width // _HEAD_SIZE)
    while width % heads:
        heads -= 1
    sizes = {
        "hidden_size": width,
        "num_hidden_layers": max(
            1, int(round(config.num_hidden_layers * settings.generator_layers))
        ),
        "intermediate_size": 4 * width,
        "num_attention_heads": heads,
    }
    if settings.untied_generator_embeddings and config.layout == "electra":
        sizes["embedding_size"] = width
    try:
        return AlbertConfig.from_dict(dict(config.to_dict(), **sizes))
    except UserError as error:
        raise UserError(
            "--generator_hidden_size=%g, --generator_layers=%g: the generator would have %s: %s"
            % (
                settings.generator_hidden_size,
                settings.generator_layers,
                ", ".join("%s %d" % pair for pair in sorted(sizes.items())),
                error,
            )
        ) from error
