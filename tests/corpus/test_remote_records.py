"""Data creation with text and records in TensorFlow's in-memory file system."""

import glob
import json
import os

import pytest
import tensorflow.compat.v1 as tf

from albert_zh.commands import create_pretraining_data
from albert_zh.common import path_rules, transfer
from albert_zh.common.errors import Interrupted, UserError
from albert_zh.corpus import pipeline, record_counts
import isolated_flags
from project_root import ROOT

pytestmark = [
    pytest.mark.newest,
    pytest.mark.skipif(tf.__version__.startswith("1"), reason="TensorFlow 1.15 has no ram://"),
]
SAMPLE = os.path.join(ROOT, "data", "news_sample.txt")
VOCABULARY = os.path.join(ROOT, "albert_starter_zh", "vocab.txt")


@pytest.fixture
def bucket(tmp_path, monkeypatch):
    """A folder in memory with the sample text and a vocabulary."""
    monkeypatch.setenv(transfer.SCRATCH_VARIABLE, str(tmp_path / "scratch"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    path = "ram://bucket/%s" % tmp_path.name
    transfer.upload(SAMPLE, path + "/texts/a.txt")
    transfer.upload(VOCABULARY, path + "/vocab.txt")
    yield path
    path_rules.forget_inputs()
    assert os.listdir(str(tmp_path / "here")) == []


def make(**flags):
    values = {"segmenter": "none", "num_workers": 2, "dupe_factor": 2}
    values.update(flags)
    arguments = ["--%s=%s" % item for item in values.items()]
    with isolated_flags.flags_of(arguments, create_pretraining_data.define_flags):
        create_pretraining_data.run()


def content_of(path):
    with tf.gfile.GFile(path, "rb") as handle:
        return handle.read()


def local_records(folder, **flags):
    paths = [os.path.join(str(folder), name) for name in ("1.tfrecord", "2.tfrecord")]
    make(input_file=SAMPLE, vocab_file=VOCABULARY, output_file=",".join(paths), **flags)
    contents = []
    for path in paths:
        with open(path, "rb") as handle:
            contents.append(handle.read())
    return contents


def test_remote_records_are_those_of_local_files(bucket, tmp_path):
    names = ["%s/records/%d.tfrecord" % (bucket, number) for number in (1, 2)]
    make(
        input_file=bucket + "/texts/*.txt",
        vocab_file=bucket + "/vocab.txt",
        output_file=",".join(names),
        stats=bucket + "/stats.json",
    )
    assert list(map(content_of, names)) == local_records(tmp_path)
    counts = [sum(1 for _ in tf.python_io.tf_record_iterator(name)) for name in names]
    assert list(map(record_counts.read, names)) == counts and abs(counts[0] - counts[1]) <= 1
    assert json.loads(content_of(bucket + "/stats.json"))["records"] == sum(counts)
    assert content_of(bucket + "/stats.png").startswith(b"\x89PNG")
    assert not glob.glob(str(tmp_path / "scratch" / "*" / "*"))


def test_a_stopped_run_goes_on(bucket, tmp_path, monkeypatch, capsys):
    names = ["%s/records/%d.tfrecord" % (bucket, number) for number in (1, 2)]
    flags = {
        "input_file": bucket + "/texts",
        "vocab_file": bucket + "/vocab.txt",
        "output_file": ",".join(names),
        "num_workers": 1,
    }
    check_any = pipeline.check_any

    def stop(*_):
        monkeypatch.setattr(pipeline, "check_any", check_any)
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "check_any", stop)
    with pytest.raises(Interrupted, match="--resume continues"):
        make(**flags)
    assert not tf.gfile.Exists(names[0])
    (folder,) = glob.glob(str(tmp_path / "scratch" / "*" / ".1.tfrecord.unfinished"))
    assert "unfinished work of %s: %s" % (names[0], folder) in capsys.readouterr().err
    made = []
    write_runs = pipeline.Worker.write_runs
    monkeypatch.setattr(
        pipeline.Worker,
        "write_runs",
        lambda self, shard, folder: made.append(shard.index) or write_runs(self, shard, folder),
    )
    make(resume=True, **flags)
    assert made == []
    assert list(map(content_of, names)) == local_records(tmp_path, num_workers=1)


def test_the_index_of_another_file_does_not_count(tmp_path):
    path = str(tmp_path / "x.tfrecord")
    with open(path, "wb") as handle:
        handle.write(b"12345")
    assert record_counts.read(path) is None
    record_counts.write(path, 7)
    assert record_counts.read(path) == 7
    with open(path, "ab") as handle:
        handle.write(b"6")
    assert record_counts.read(path) is None
    with open(record_counts.index_file(path), "w") as handle:
        handle.write('{"records": "x"}')
    assert record_counts.read(path) is None


def test_what_beam_does_not_serve_is_refused_by_name(bucket):
    with pytest.raises(UserError, match="--output_file=ram.* .with --runner=beam.: remote storage"):
        make(
            input_file=SAMPLE,
            vocab_file=VOCABULARY,
            output_file=bucket + "/x.tfrecord",
            runner="beam",
        )
