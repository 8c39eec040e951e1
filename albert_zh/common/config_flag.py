"""The flag that names a model's config JSON, under each of the names that it has had."""

from absl import flags

NAMES = ("bert_config_file", "albert_config_file", "config_file")


def define(help_text: str, options: flags.FlagValues = flags.FLAGS) -> None:
    """Defines --bert_config_file, and that the others of `NAMES` mean the same.

    Args:
        help_text: what is taken where the flag is left out.
        options: where to define them.
    """
    flags.DEFINE_string(NAMES[0], None, help_text, flag_values=options)
    for name in NAMES[1:]:
        flags.DEFINE_alias(name, NAMES[0], flag_values=options)
