"""One flag under three names."""

from absl import flags
import pytest

import config_flag
import convert_albert_pytorch_checkpoint_to_tf
import convert_albert_tf_checkpoint_to_pytorch
import export_model
import extract_features
import fill_mask
import fine_tuning
import inspect_checkpoint
import pretraining
import small_models

COMMANDS = (
    convert_albert_pytorch_checkpoint_to_tf,
    convert_albert_tf_checkpoint_to_pytorch,
    export_model,
    extract_features,
    fill_mask,
    fine_tuning,
    inspect_checkpoint,
    pretraining,
)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_takes_every_name(command):
    for name in config_flag.NAMES:
        with small_models.command_flags(command, ["--%s=a.json" % name]):
            assert flags.FLAGS.bert_config_file == "a.json"
