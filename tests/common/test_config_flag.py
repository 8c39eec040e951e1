"""The flag of the config file has three names."""

from absl import flags
import pytest

from albert_zh.commands import (
    convert_albert_pytorch_checkpoint_to_tf,
    convert_albert_tf_checkpoint_to_pytorch,
    export_model,
    extract_features,
    fill_mask,
    inspect_checkpoint,
)
from albert_zh.common import config_flag
from albert_zh.finetuning import runner as finetuning_runner
from albert_zh.pretraining import flags as pretraining_flags
import small_models

COMMANDS = (
    convert_albert_pytorch_checkpoint_to_tf,
    convert_albert_tf_checkpoint_to_pytorch,
    export_model,
    extract_features,
    fill_mask,
    finetuning_runner,
    inspect_checkpoint,
    pretraining_flags,
)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_takes_every_name(command):
    for name in config_flag.NAMES:
        with small_models.command_flags(command, ["--%s=a.json" % name]):
            assert flags.FLAGS.bert_config_file == "a.json"
