"""Rules that say which paths a command may write."""

import os

import pytest

from albert_zh.common import output_files, path_rules
from albert_zh.common.errors import UserError


@pytest.fixture(autouse=True)
def no_inputs():
    """Fixture: forgets the inputs after each test, as a new command begins without any."""
    yield
    path_rules.forget_inputs()


def write(path, text="new"):
    with output_files.atomic_write(str(path)) as handle:
        handle.write(text)


@pytest.fixture
def model(tmp_path):
    """Fixture: a model folder that the command reads."""
    folder = tmp_path / "model"
    (folder / "best").mkdir(parents=True)
    for name in ("vocab.txt", "albert_model.ckpt.index", "checkpoint", "best/vocab.txt"):
        (folder / name).write_text("old")
    path_rules.protect_model(str(folder / "albert_model.ckpt"), "--init_checkpoint")
    return folder


def test_an_input_is_refused_however_it_is_spelled(tmp_path, monkeypatch):
    source = tmp_path / "texts.txt"
    source.write_text("old")
    (tmp_path / "folder").mkdir()
    os.symlink(str(source), str(tmp_path / "link"))
    os.symlink(str(tmp_path), str(tmp_path / "folder" / "up"))
    os.link(str(source), str(tmp_path / "hard"))
    monkeypatch.chdir(tmp_path / "folder")
    path_rules.protect("../texts.txt", "--input_file")
    for name in ("../texts.txt", str(source), "../link", "up/texts.txt", "../hard", ".././hard"):
        with pytest.raises(UserError, match=r"it is an input too \(--input_file\)"):
            write(name)
    assert source.read_text() == "old" and not list(tmp_path.glob("*partial*"))
    write("../other")


@pytest.mark.parametrize(
    "name",
    "vocab.txt albert_model.ckpt.index albert_model.ckpt.data-00000-of-00001 checkpoint "
    "albert_config.json best/vocab.txt best/checkpoint spiece.model".split(),
)
def test_a_part_of_a_model_is_refused_whether_it_is_there_or_not(model, name):
    with pytest.raises(UserError, match=r"part of the model is an input too \(--init_checkpoint\)"):
        write(model / name)


def test_files_beside_a_model_are_written(model):
    before = {path.name: path.read_bytes() for path in model.iterdir() if path.is_file()}
    for name in ("features.npy", "albert_classifier.tflite", "texts.txt"):
        for content in ("first", "second, longer"):
            write(model / name, content)
            assert (model / name).read_text() == content
    after = {path.name: path.read_bytes() for path in model.iterdir() if path.is_file()}
    assert set(after) - set(before) == {"features.npy", "albert_classifier.tflite", "texts.txt"}
    assert {name: after[name] for name in before} == before


def test_links_out_of_a_model_are_of_it(tmp_path, model):
    (tmp_path / "shared.txt").write_text("old")
    (model / "vocab.txt").unlink()
    (model / "vocab.txt").symlink_to(tmp_path / "shared.txt")
    with pytest.raises(UserError, match="part of the model"):
        write(tmp_path / "shared.txt")
    os.link(str(model / "checkpoint"), str(tmp_path / "hard"))
    with pytest.raises(UserError, match="part of the model"):
        write(tmp_path / "hard")


@pytest.mark.parametrize("is_there", [True, False])
def test_a_link_stays_and_its_target_is_written(tmp_path, is_there):
    target = tmp_path / "elsewhere" / "target"
    target.parent.mkdir()
    if is_there:
        target.write_text("old")
    (tmp_path / "second").symlink_to(os.path.join("elsewhere", "target"))
    (tmp_path / "first").symlink_to("second")
    write(tmp_path / "first")
    assert target.read_text() == "new" and not target.is_symlink()
    assert os.readlink(str(tmp_path / "first")) == "second"
    assert sorted(os.listdir(str(tmp_path))) == ["elsewhere", "first", "second"]


def test_a_loop_of_links_is_named(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(UserError, match="links form a loop"):
        write(tmp_path / "a")


@pytest.mark.parametrize("form", ["/dev/fd/%d", "/proc/self/fd/%d", "/proc/thread-self/fd/%d"])
def test_a_stream_of_the_process_is_not_replaced(tmp_path, form):
    """The stream is refused even if it leads to a plain file, as after a redirection."""
    with open(str(tmp_path / "out"), "w") as handle:
        path = form % handle.fileno()
        if not os.path.exists(path):
            pytest.skip("no such paths here")
        (tmp_path / "link").symlink_to(path)
        for name in (path, str(tmp_path / "link")):
            with pytest.raises(UserError, match="a stream of this process"):
                write(name)


def test_a_device_is_not_replaced(tmp_path):
    (tmp_path / "link").symlink_to(os.devnull)
    for name in (os.devnull, str(tmp_path / "link")):
        with pytest.raises(UserError, match="found a device or pipe"):
            write(name)
    assert not os.path.isfile(os.devnull)


def test_remote_storage_is_refused_where_a_command_does_not_serve_it():
    for path in ("gs://bucket/x", "hdfs://host/x", "s3://b/x"):
        with pytest.raises(UserError, match="--output=%s: remote storage is not supp" % path):
            path_rules.check_local(path, "--output=" + path)


@pytest.mark.parametrize("write_there", [path_rules.output_file, path_rules.output_folder])
def test_a_remote_output_keeps_to_the_rules(write_there):
    """The names alone decide; the storage is not accessed."""
    path_rules.protect("gs://bucket/texts.txt", "--input_file")
    path_rules.protect_model("gs://bucket/model/albert_model.ckpt", "--init_checkpoint")
    for path in ("gs://bucket/texts.txt", "gs://bucket/a/../texts.txt", "gs://bucket//texts.txt"):
        with pytest.raises(UserError, match=r"it is an input too \(--input_file\)"):
            write_there(path)
    with pytest.raises(UserError, match=r"part of the model is an input too"):
        write_there("gs://bucket/model/vocab.txt")
    with pytest.raises(UserError, match="gs://bucket: expected a name in a bucket"):
        write_there("gs://bucket")
    assert write_there("gs://bucket/model/features.npy") == "gs://bucket/model/features.npy"


def test_a_folder_that_holds_an_input_is_not_replaced(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    path_rules.protect(str(tmp_path / "a" / "b"), "--model_dir")
    with pytest.raises(UserError, match="--model_dir"):
        path_rules.check_not_replaced(str(tmp_path / "a"))
    path_rules.check_not_replaced(str(tmp_path / "a" / "c"))
