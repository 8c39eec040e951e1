"""TensorFlow's own client of gs:// against an object store on loopback."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from albert_zh.common import transfer
import object_store
from project_root import ROOT

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
    assert os.listdir(str(tmp_path / "here")) == []  # no folder called gs:


def run(store, tmp_path, code):
    """Runs Python in a process that talks to the store; returns its `CompletedProcess`."""
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env=dict(os.environ, **store.environment),
        cwd=str(tmp_path / "here"),
        capture_output=True,
        text=True,
        timeout=120,
    )


CODE = """
import json
from albert_zh.common import files, storage
from albert_zh.common.errors import UserError

def caught(function, *args):
    try:
        function(*args)
    except UserError as error:
        return str(error)

def write(path):
    with files.atomic_write(path, "wb") as handle:
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
    assert not store.failures  # a read and an upload failed once
    assert seen["names"] == ["out.bin"] and seen["size"] == 3500000
    assert store.objects["bucket/new/out.bin"] == b"content" * 500000
    for name, words in (
        ("missing", "none.txt: cannot be read: not found (404): check the bucket's"),
        ("secret", "secret.txt: cannot be read: no access (403): log in"),
        ("forbidden", "forbidden.bin: cannot be written (no access (403)): log in"),
        ("broken", "broken.bin: cannot be written (no access (403)): log in"),
    ):
        assert words in (seen[name] or ""), seen[name]
        assert "\n" not in seen[name] and "token" not in seen[name]
    assert not [name for name in store.objects if "broken" in name or "forbidden" in name]
