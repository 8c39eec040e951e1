"""Files in TensorFlow's in-memory file system, which no local call can read or write."""

import glob
import gzip
import hashlib
import os
import re
import socket

import pytest
import tensorflow.compat.v1 as tf

from albert_zh.common import files, output_files, path_rules, storage, transfer
from albert_zh.common.errors import UserError
from project_root import ROOT

IS_OLD = tf.__version__.startswith("1")
pytestmark = pytest.mark.skipif(IS_OLD, reason="TensorFlow 1.15 has no ram://")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Fixture: an in-memory folder for one test; the current folder must stay empty."""
    monkeypatch.setenv(transfer.SCRATCH_VARIABLE, str(tmp_path / "scratch"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    path = "ram://bucket/%s" % tmp_path.name
    tf.gfile.MakeDirs(path)
    yield path
    path_rules.forget_inputs()
    assert os.listdir(str(tmp_path / "here")) == []


def put(path, content):
    with tf.gfile.GFile(path, "wb") as handle:
        handle.write(content)


def content_of(path):
    with tf.gfile.GFile(path, "rb") as handle:
        return handle.read()


def test_local_paths_need_no_tensorflow():
    """Commands that start without TensorFlow import these modules."""
    import subprocess
    import sys

    code = (
        "import sys; from albert_zh.common import files, storage; "
        "assert storage.exists('/') and not storage.exists('/none'); "
        "files.read_text('README.md'); assert 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_files_are_read_as_local_ones(folder):
    text = "一行\r\n第二行\n" * 50000
    put(folder + "/a.txt", text.encode())
    put(folder + "/a.txt.gz", gzip.compress(text.encode()))
    path = folder + "/a.txt"
    digest = hashlib.sha256()
    assert list(files.stream_lines(path, digest=digest)) == ["一行", "第二行"] * 50000
    assert digest.hexdigest() == hashlib.sha256(text.encode()).hexdigest()
    assert files.read_lines(path) == ["一行", "第二行"] * 50000
    assert storage.sha256_of_file(path) == digest.hexdigest()
    assert files.count_lines(path) == 100000
    assert storage.size(path) == len(text.encode())
    for name in ("/a.txt", "/a.txt.gz"):
        with files.open_unpacked(folder + name) as (content, _):
            assert content.read() == text.encode()
    with storage.RemoteBytes(path) as content:
        assert len(content) == len(text.encode())
        for begin, end in ((0, 6), (700000, 700012), (3, 9), (len(content) - 3, len(content))):
            assert content[begin:end] == text.encode()[begin:end]


@pytest.mark.parametrize("content", [b"", b"\xff\x00" * 9, b"x" * (17 << 20)])
def test_a_file_appears_whole(folder, content):
    path = folder + "/sub/out.bin"
    with output_files.atomic_write(path, "wb") as handle:
        handle.write(content)
        assert not tf.gfile.Exists(path)
    assert content_of(path) == content
    assert storage.names_in(folder + "/sub") == ["out.bin"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(folder, monkeypatch):
    path = folder + "/out.txt"
    output_files.write_json(path, 1)
    with pytest.raises(RuntimeError), output_files.atomic_write(path) as handle:
        handle.write("new")
        raise RuntimeError
    write = tf.gfile.GFile.write

    def fail_half_way(self, content):
        write(self, content[: len(content) // 2])
        if content:
            raise tf.errors.PermissionDeniedError(None, None, "HTTP response code 403")

    monkeypatch.setattr(tf.gfile.GFile, "write", fail_half_way)
    with pytest.raises(UserError) as caught:
        output_files.write_json(path, 2)
    assert str(caught.value).startswith("%s: cannot be written (no access (403)): log in" % path)
    monkeypatch.undo()
    assert content_of(path) == b"1\n" and storage.names_in(folder) == ["out.txt"]


@pytest.mark.parametrize("times, is_read", [(1, True), (2, False)])
def test_a_reader_that_fails_once_tries_again_where_it_stood(folder, monkeypatch, times, is_read):
    content = os.urandom(20 << 20)  # more than two blocks
    put(folder + "/a", content)
    read, calls = tf.gfile.GFile.read, []

    def fail(self, n=-1):
        calls.append(n)
        if 2 <= len(calls) < 2 + times:
            raise tf.errors.UnavailableError(None, None, "HTTP response code 503")
        return read(self, n)

    monkeypatch.setattr(tf.gfile.GFile, "read", fail)
    if is_read:
        assert files.read_bytes(folder + "/a") == content
        assert len(calls) == 4
    else:
        with pytest.raises(UserError, match=r"/a: cannot be read: the service is unavailable"):
            files.read_bytes(folder + "/a")


@pytest.mark.parametrize(
    "error, text, expected",
    [
        ("NotFoundError", "", "not found (404): check the bucket's"),
        ("PermissionDeniedError", "HTTP response code 403 with body x", "no access (403): log in"),
        ("UnknownError", "HTTP response code 401", "not logged in (401): log in"),
        ("UnavailableError", "libcurl code 28 meaning 'Timeout'", "no answer in time (timeout): "),
        (
            "FailedPreconditionError",
            "libcurl code 6 meaning 'Couldn't resolve host name'",
            "the host's name cannot be resolved: check the network (behind a proxy",
        ),
        (
            "AbortedError",
            "All 10 retry attempts failed. The last failure: libcurl code 5 meaning 'x'",
            "the proxy's name cannot be resolved: check the network",
        ),
        ("AbortedError", "libcurl code 7 meaning 'x'", "no connection to the host or proxy: check"),
        ("DeadlineExceededError", "", "no answer in time (timeout): check the connection"),
        ("InternalError", "odd\nsecond line", "odd: check the connection"),
        ("InternalError", "GET https://u:pw@h/o?access_token=abc&x", "GET https://...h/o?...&x: "),
    ],
)
def test_errors_of_storage_are_one_line_with_the_way_out(error, text, expected):
    caught = storage.storage_error("gs://b/x", getattr(tf.errors, error)(None, None, text))
    line = str(files.cannot_read("gs://b/x", caught))
    assert line.startswith("gs://b/x: cannot be read: " + expected)
    assert "\n" not in line and "pw" not in line and "abc" not in line


def test_no_module_reads_credentials():
    """TensorFlow finds the credentials; the commands must not look for them."""
    pattern = re.compile(
        r"CREDENTIALS|application_default_credentials|google\.(auth|oauth2|cloud)|boto|AWS_|"
        r"AUTH_TOKEN|\.netrc|access_token(?!=)"
    )
    paths = glob.glob(os.path.join(ROOT, "albert_zh", "**", "*.py"), recursive=True)
    assert len(paths) > 200
    for path in paths:
        with open(path, encoding="utf-8") as handle:
            assert not pattern.search(handle.read()), path


def test_missing_files_and_foreign_file_systems_are_named(folder):
    with pytest.raises(UserError, match=r"none: cannot be read: not found \(404\): check"):
        files.read_text(folder + "/none")
    with pytest.raises(UserError, match="s3://b/x: cannot be read: this TensorFlow has no such"):
        files.read_text("s3://b/x")


def test_patterns_and_folders(folder):
    for name in ("a/1.txt", "a/2.txt", "a/b/3.txt", "a/.hidden", "a/4.json", "a/[x].txt"):
        tf.gfile.MakeDirs(os.path.dirname(folder + "/" + name))
        put(folder + "/" + name, b"x")
    a = folder + "/a/"
    assert storage.matching(a + "*.txt") == [a + "1.txt", a + "2.txt", a + "[x].txt"]
    assert storage.matching(a + "1.txt") == [a + "1.txt"] and storage.matching(a + "none") == []
    assert storage.matching(a + "**/*.txt") == [
        a + name for name in ("1.txt", "2.txt", "[x].txt", "b/3.txt")
    ]
    assert storage.in_folder(folder + "/a", "[0-9].txt") == [a + "1.txt", a + "2.txt"]
    assert storage.files_below(folder + "/a") == [
        a + name for name in ("1.txt", "2.txt", "4.json", "[x].txt", "b/3.txt")
    ]
    assert storage.names_in(folder + "/a") == [
        ".hidden", "1.txt", "2.txt", "4.json", "[x].txt", "b",
    ]  # fmt: skip


def test_local_copies_follow_the_remote_file(folder):
    put(folder + "/a.bin", b"old")
    first = transfer.local_copy(folder + "/a.bin")
    assert transfer.local_copy(folder + "/a.bin") == first
    tf.gfile.Remove(folder + "/a.bin")  # in memory, an existing file would be appended to
    put(folder + "/a.bin", b"newer")
    with open(transfer.local_copy(folder + "/a.bin"), "rb") as handle:
        assert handle.read() == b"newer"
    assert transfer.local_copy("/a/local/path") == "/a/local/path"


def test_what_killed_downloads_left_is_removed(folder):
    put(folder + "/a.bin", b"old")
    first = transfer.local_copy(folder + "/a.bin")
    stem = first + ".partial-%s-" % socket.gethostname()
    dead, alive = stem + str(2**22 + 1), stem + str(os.getppid())
    elsewhere = first + ".partial-another.machine-1"
    for partial in (dead, alive, elsewhere):
        with open(partial, "w") as handle:
            handle.write("half")
    tf.gfile.Remove(folder + "/a.bin")
    put(folder + "/a.bin", b"newer")
    assert transfer.local_copy(folder + "/a.bin") != first
    assert sorted(glob.glob(glob.escape(first) + "*")) == sorted([first, alive, elsewhere])


def test_what_killed_uploads_left_is_removed(folder):
    """Of this machine's processes that have ended, in the folder that is written to."""
    stem = "/%s.partial-%s-%d"
    running = os.getppid()
    dead, alive, elsewhere = (
        folder + stem % part
        for part in (
            ("out.txt", socket.gethostname(), 4194305),  # above all process IDs of Linux
            ("a.npy", socket.gethostname(), running),
            ("a.npy", "another.machine", 4194305),
        )
    )
    for path in (dead, alive, elsewhere, folder + "/other.txt"):
        put(path, b"half")
    put(folder + stem % ("model", socket.gethostname(), 4194305) + "/vocab.txt", b"half")
    output_files.write_json(folder + "/out.txt", 1)
    kept = [os.path.basename(path) for path in (alive, elsewhere)]
    assert storage.names_in(folder) == sorted(["other.txt", "out.txt"] + kept)


def test_a_replaced_folder_has_the_new_files_alone(folder, tmp_path):
    for name in ("old.txt", "model.ckpt.index", "sub/x"):
        tf.gfile.MakeDirs(os.path.dirname(folder + "/best/" + name))
        put(folder + "/best/" + name, b"old")
    new = tmp_path / "new"
    (new / "sub").mkdir(parents=True)
    (new / "model.ckpt.index").write_text("new")
    (new / "sub" / "y").write_text("new")
    transfer.replace_folder(str(new), folder + "/best")
    assert storage.files_below(folder + "/best") == [
        folder + "/best/model.ckpt.index",
        folder + "/best/sub/y",
    ]
    assert storage.names_in(folder) == ["best"]
    assert content_of(folder + "/best/model.ckpt.index") == b"new"
