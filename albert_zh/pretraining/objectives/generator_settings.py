"""How ELECTRA's generator is made and weighed, and its config."""

import collections

from albert_zh.common.errors import UserError
from albert_zh.model.config import AlbertConfig

_HEAD_SIZE = 64  # of the generator's heads, where its width allows it
Settings = collections.namedtuple(
    "Settings",
    "gen_weight disc_weight generator_hidden_size generator_layers untied_generator "
    "untied_generator_embeddings generator_temperature disallow_correct original_masks",
    defaults=(1.0, 50.0, 0.25, 1.0, True, False, 1.0, False, None),
)
FORM = (  # what variables and what passes over them depend on
    "generator_hidden_size",
    "generator_layers",
    "untied_generator",
    "untied_generator_embeddings",
)
Settings.__doc__ = """How a generator is made and weighed; fields as the flags of the same names.

Fields:
    gen_weight, disc_weight: of the losses of generator and discriminator; without the latter (0)
        nothing is drawn and detected.
    generator_hidden_size, generator_layers: shares of the model's width and layers.
    untied_generator: bool; False: the model is its own generator.
    untied_generator_embeddings: bool; whether the generator has its own tables.
    generator_temperature: by which the generator's logits are divided before it draws.
    disallow_correct: bool; whether it never draws the text's own word.
    original_masks: `electra_masks.OriginalMasks` for the original program's masks; None for the
        records'.
"""


def generator_config(config: AlbertConfig, settings: Settings) -> AlbertConfig:
    """The config of a model's generator.

    Args:
        config: that of the model.
        settings: the generator's shares of it.

    Returns:
        a config; heads have the width 64 where that divides the generator's.

    Raises:
        UserError: if no model can have the sizes.
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
