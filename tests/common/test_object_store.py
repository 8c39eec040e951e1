"""TensorFlow's own client for gs://, run against an object store on the loopback interface."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from albert_zh.common import transfer
import object_store
from project_root import ROOT
import small_models

pytestmark = [
    pytest.mark.newest,
    pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl for a certificate"),
    pytest.mark.skipif(sys.version_info < (3, 8), reason="TensorFlow 1.15 takes no certificate"),
]


@pytest.fixture
def store(tmp_path):
    (tmp_path / "tls").mkdir()
    (tmp_path / "here").mkdir()
    with object_store.running(tmp_path / "tls") as running:
        running.environment[transfer.SCRATCH_VARIABLE] = str(tmp_path / "scratch")
        running.environment["PYTHONPATH"] = ROOT
        yield running
    assert os.listdir(str(tmp_path / "here")) == []  # no folder named gs: was created


def run(store, tmp_path, code):
    """Runs Python in a process that talks to the store; returns its `CompletedProcess`."""
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env=dict(os.environ, **store.environment),
        cwd=str(tmp_path / "here"),
        capture_output=True,
        text=True,
        timeout=400,  # TensorFlow's client waits between its attempts
    )


@pytest.mark.parametrize(
    "proxy, reason",
    [
        ("http://no-such-proxy.invalid:9", "the proxy's name cannot be resolved"),
        ("http://127.0.0.1:9", "no connection to the host or proxy"),
    ],
)
def test_a_bucket_out_of_reach_is_one_line_with_the_way_out(store, tmp_path, proxy, reason):
    store.environment.update(https_proxy=proxy, HTTPS_PROXY=proxy)
    code = "from albert_zh.common import storage; storage.exists('gs://bucket/a')"
    done = run(store, tmp_path, "from albert_zh.common import errors\n" + RUN % code)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith(
        "error: gs://bucket/a: %s: check the network (behind a proxy set https_proxy), or copy the "
        "files here and give a local path" % reason
    )


def assert_token_is_nowhere(done, store, scratch):
    """Asserts that no output, object (logs, settings) or local file contains the client's token."""
    paths = [path for path in scratch.rglob("*") if path.is_file()]
    contents = [path.read_bytes() for path in paths] + list(store.objects.values())
    contents += [(done.stdout + done.stderr).encode()]
    assert not [content for content in contents if object_store.TOKEN.encode() in content]
    assert any(name.endswith("/train.log") for name in store.objects)


RUN = """
def main():
    %s

errors.run_program(main)
"""
CODE = """
import json
from albert_zh.common import files, output_files, storage
from albert_zh.common.errors import UserError

def caught(function, *args):
    try:
        function(*args)
    except UserError as error:
        return str(error)

def write(path):
    with output_files.atomic_write(path, "wb") as handle:
        handle.write(b"content" * 500000)

seen = {}
seen["many"] = len(storage.matching("gs://bucket/many/part-*"))
seen["below"] = len(storage.files_below("gs://bucket/many"))
seen["text"] = files.read_text("gs://bucket/once/a.txt")
write("gs://bucket/new/out.bin")
write("gs://bucket/new/out.bin")
seen["names"] = storage.names_in("gs://bucket/new")
seen["size"] = storage.size("gs://bucket/new/out.bin")
seen["missing"] = caught(files.read_text, "gs://bucket/none.txt")
seen["secret"] = caught(files.read_text, "gs://bucket/secret.txt")
seen["forbidden"] = caught(write, "gs://bucket/forbidden.bin")
seen["broken"] = caught(write, "gs://bucket/broken.bin")
print(json.dumps(seen))
"""


def test_listing_writing_retrying_and_refusals(store, tmp_path):
    for number in range(2000):
        store.objects["bucket/many/part-%04d" % number] = b"x"
    store.objects.update({"bucket/once/a.txt": "天气".encode(), "bucket/secret.txt": b"x"})
    store.failures += [("GET", "/bucket/once/a.txt", 503), ("PUT", "bucket/new/out.bin", 503)]
    store.always += [
        ("GET", "o/secret.txt", 403),
        ("POST", "name=forbidden.bin", 403),
        ("PUT", "bucket/broken.bin", 403),
    ]
    done = run(store, tmp_path, CODE)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout.strip().split("\n")[-1])
    assert (seen["many"], seen["below"], seen["text"]) == (2000, 2000, "天气")
    assert not store.failures  # the planned failures of a read and an upload happened
    assert seen["names"] == ["out.bin"] and seen["size"] == 3500000
    assert store.objects["bucket/new/out.bin"] == b"content" * 500000
    for name, words in (
        ("missing", "none.txt: cannot be read: not found (404): check the bucket's"),
        ("secret", "secret.txt: cannot be read: no access (403): log in"),
        ("forbidden", "forbidden.bin: cannot be written (no access (403)): log in"),
        ("broken", "broken.bin: cannot be written (no access (403)): log in"),
    ):
        assert words in (seen[name] or ""), seen[name]
        assert "\n" not in seen[name] and object_store.TOKEN not in seen[name]
    assert not [name for name in store.objects if "broken" in name or "forbidden" in name]


COMMANDS = """
import json
from albert_zh import finetuning
from albert_zh.commands import classify
from albert_zh.common.errors import UserError
import small_models

def error_of(function):
    try:
        function()
    except UserError as error:
        return str(error)

def classified(model, texts):
    arguments = ["--model_dir=gs://bucket/" + model, "--input_file=gs://bucket/" + texts]
    return error_of(lambda: small_models.run_command(classify, arguments, []))

def trained(data, output):
    model = "gs://bucket/model/"
    return error_of(lambda: finetuning.run(
        task_name="lcqmc", data_dir="gs://bucket/" + data, output_dir="gs://bucket/" + output,
        bert_config_file=model + "albert_config.json", vocab_file=model + "vocab.txt",
        max_seq_length=24, train_batch_size=4, train_step=2, do_train=True, do_eval=True,
    ))

print(json.dumps([
    classified("model", "texts.txt"),
    classified("none", "texts.txt"),
    classified("model", "secret.txt"),
    trained("data", "out"),
    trained("closed", "out_2"),
    trained("data", "forbidden"),
]))
"""


@pytest.mark.slow
def test_commands_with_a_bucket(store, tmp_path):
    """A classifier is used, another one is trained, and both report what the storage refuses."""
    model = small_models.write_model(tmp_path / "model", settings={"columns": ["text_a", "label"]})
    for name in os.listdir(model):
        with open(os.path.join(model, name), "rb") as handle:
            store.objects["bucket/model/" + name] = handle.read()
    rows = "text_a\ttext_b\tlabel\n" + "".join(
        "今天%d\t吃饭%d\t%d\n" % (n, n, n % 2) for n in range(8)
    )
    for name in ("data/train.txt", "data/dev.txt", "closed/train.txt", "closed/dev.txt"):
        store.objects["bucket/" + name] = rows.encode()
    store.objects.update({"bucket/texts.txt": "今天\n".encode(), "bucket/secret.txt": b"x"})
    store.always += [
        ("GET", "/secret.txt", 403),
        ("GET", "/closed/train.txt", 403),
        ("POST", "name=forbidden", 403),
    ]
    store.environment["PYTHONPATH"] += os.pathsep + os.path.join(ROOT, "tests", "support")
    done = run(store, tmp_path, COMMANDS)
    assert done.returncode == 0, done.stderr
    assert_token_is_nowhere(done, store, tmp_path / "scratch")
    lines = done.stdout.strip().split("\n")
    assert lines[0].startswith("今天\t")
    used, missing, secret, trained, closed, forbidden = json.loads(lines[-1])
    assert used is None and trained is None
    names = {name.split("/", 1)[1] for name in store.objects}
    assert {"out/best/albert_model.ckpt.index", "out/report.md", "out/metrics.jsonl"} <= names
    for message, words in (
        (missing, "gs://bucket/none"),
        (secret, "gs://bucket/secret.txt: cannot be read: no access (403): log in"),
        (closed, "gs://bucket/closed/train.txt: cannot be read: no access (403): log in"),
        (forbidden, "gs://bucket/forbidden"),
    ):
        assert words in message and "\n" not in message
