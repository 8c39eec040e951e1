"""Defines the flag for a model's config JSON file, under every name it has had."""

from absl import flags

NAMES = ("bert_config_file", "albert_config_file", "config_file")


def define(help_text: str, options: flags.FlagValues = flags.FLAGS) -> None:
    """Defines --bert_config_file, with the other `NAMES` as aliases.

    Args:
        help_text: the flag's help text, which says what is used if the flag is not set.
        options: the flag values in which to define it.
    """
    flags.DEFINE_string(NAMES[0], None, help_text, flag_values=options)
    for name in NAMES[1:]:
        flags.DEFINE_alias(name, NAMES[0], flag_values=options)
