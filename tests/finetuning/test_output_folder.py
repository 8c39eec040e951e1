"""Output folders of fine-tuning that are refused."""

import os

import pytest

from albert_zh import finetuning
from albert_zh.common.errors import UserError
import tiny_tasks
from workspace import Workspace


@pytest.mark.parametrize("is_through_link", [False, True])
@pytest.mark.parametrize("name, seeds", [("test", None), ("dev", [1, 2])])
def test_an_output_folder_that_is_a_file_of_the_data_is_refused(
    tmp_path, name, seeds, is_through_link
):
    """Otherwise the task would read the output of the run, in a folder `test`, as its test file."""
    workspace = Workspace(tmp_path)
    data = os.path.join(workspace.folder, tiny_tasks.write(workspace, "sequence_labelling"))
    output = os.path.join(data, name)
    if is_through_link:
        os.symlink(data, str(tmp_path / "link"))
        output = str(tmp_path / "link" / name)
    settings = dict(tiny_tasks.settings_of(data, "sequence_labelling"), do_train=True)
    settings.update(bert_config_file=workspace.config, vocab_file=workspace.vocab)
    settings.update({"seeds": seeds} if seeds else {}, output_dir=output)
    with pytest.raises(UserError) as caught:
        finetuning.run(**settings)
    assert str(caught.value) == (
        "--output_dir=%s: the task ner reads %s in --data_dir=%s as its %s file: name another "
        "folder" % (output, name, data, name)
    )
    assert not os.path.exists(output)
