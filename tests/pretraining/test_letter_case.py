"""The letter case of a pre-training run's texts is recorded in the folder of its model."""

import json
import types

import pytest

from albert_zh.commands import create_pretraining_data, general_distill
from albert_zh.model.config import AlbertConfig
from albert_zh.pretraining import flags as pretraining_flags
from albert_zh.pretraining import letter_case, runner
from isolated_flags import flags_of
import small_models
import workspace

CASED = {"fine_tuning.json": {"do_lower_case": False}}


def folder_of(path, notes):
    """Returns a folder with an empty checkpoint and a fine_tuning.json with these notes."""
    path.mkdir()
    (path / "albert_model.ckpt.index").write_bytes(b"")
    (path / "albert_model.ckpt.data-00000-of-00001").write_bytes(b"")
    (path / "fine_tuning.json").write_text(json.dumps(notes))
    return str(path)


def files_of_export(monkeypatch, options):
    """Returns {name: content} of the JSON files that an export writes in addition to the config."""
    written = {}
    monkeypatch.setattr(runner.checkpoint_files, "newest_of_training", lambda folder: "ckpt")
    monkeypatch.setattr(
        runner.model_writer, "fill_model_folder", lambda *given: written.update(given[3])
    )
    job = types.SimpleNamespace(
        _folder=options.output_dir,
        _options=options,
        _config=AlbertConfig.from_dict(workspace.CONFIG),
        _contents_of_vocabulary=dict,
    )
    runner.Pretraining.export(job)
    assert written.pop("albert_config.json")["hidden_size"] == workspace.CONFIG["hidden_size"]
    return written


@pytest.mark.parametrize(
    "notes, former, expected",
    [({}, {}, {}), ({"do_lower_case": False}, {}, CASED)]
    + [(None, {"do_lower_case": False}, CASED), (None, {}, {})],
)
def test_of_the_start_or_of_the_run_so_far(tmp_path, monkeypatch, notes, former, expected):
    monkeypatch.setattr(
        letter_case.run_folder, "former_settings", lambda folder: {"fixed": former, "variable": {}}
    )
    arguments = ["--output_dir=%s" % tmp_path, "--export_dir=%s" % (tmp_path / "model")]
    arguments += ["--bert_config_file=albert_config.json", "--do_train"]
    if notes is not None:
        arguments.append("--init_checkpoint=" + folder_of(tmp_path / "start", notes))
    with flags_of(arguments, pretraining_flags.define_flags):
        assert files_of_export(monkeypatch, pretraining_flags.FLAGS) == expected


@pytest.mark.parametrize("do_lower_case", [True, False])
def test_of_the_records(tmp_path, do_lower_case):
    """Regression: later commands lower-cased the texts of a model trained on capital letters."""
    (tmp_path / "text.txt").write_text("Today 今天天气很好。\n我们去 Berlin。\n" * 4, "utf-8")
    (tmp_path / "vocab.txt").write_text("\n".join(workspace.VOCABULARY) + "\n", "utf-8")
    records = str(tmp_path / "x.tfrecord")
    small_models.run_command(
        create_pretraining_data,
        [
            "--input_file=%s" % (tmp_path / "text.txt"),
            "--output_file=" + records,
            "--vocab_file=%s" % (tmp_path / "vocab.txt"),
            "--do_lower_case=%s" % do_lower_case,
        ],
    )
    with flags_of(["--output_dir=%s" % (tmp_path / "out")], pretraining_flags.define_flags):
        assert letter_case.is_lowered(pretraining_flags.FLAGS, [records]) is do_lower_case
        with open(records, "ab") as stream:
            stream.write(b"another file")  # to which the index does not belong
        assert letter_case.is_lowered(pretraining_flags.FLAGS, [records])


@pytest.mark.parametrize("value, expected", [("true", {}), ("false", CASED)])
def test_of_the_flag(tmp_path, monkeypatch, value, expected):
    arguments = ["--do_lower_case=" + value, "--export_dir=%s" % (tmp_path / "model")]
    arguments.append("--bert_config_file=albert_config.json")
    with flags_of(arguments, general_distill.define_flags):
        assert files_of_export(monkeypatch, general_distill.FLAGS) == expected
