"""--export_dir is refused if a run has no function that writes a SavedModel."""

import os

import pytest

from albert_zh import finetuning
from albert_zh.common.errors import UserError
from workspace import Workspace


@pytest.mark.parametrize(
    "family, task_name", [("single_label", "lcqmc"), ("sentence_embedding", "sentences")]
)
def test_it_is_refused_before_training(tmp_path, family, task_name):
    folder = Workspace(tmp_path, num_train=4, num_dev=2, num_test=2)
    with pytest.raises(UserError, match="--export_dir: this command .*: leave it out and run expo"):
        finetuning.run(
            family,
            task_name=task_name,
            data_dir=folder.data,
            bert_config_file=folder.config,
            vocab_file=folder.vocab,
            output_dir=folder.output,
            max_seq_length=24,
            export_dir=folder.output + "/exported",
            do_train=True,
        )
    assert not os.path.exists(folder.output)
