"""scripts/fetch_assets.py, with a local server that can also misbehave."""

import contextlib
import errno
import hashlib
import http.server
import io
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import threading
import time
import zipfile

import pytest

from project_root import ROOT

sys.path.insert(0, os.path.join(ROOT, "scripts"))

from albert_zh.common.errors import UserError
from albert_zh.model.checkpoints import checkpoint_values
import downloading
import fetch_assets
import unpacking

MODEL_FOLDER = os.path.join("prev_trained_model", "albert_tiny_zh")
CONFIG = {"vocab_size": 7, "embedding_size": 4, "hidden_size": 8, "num_hidden_layers": 2}
CONFIG.update({"num_attention_heads": 2, "intermediate_size": 16, "max_position_embeddings": 9})
WEIGHTS = random.Random(1).getrandbits(1600000).to_bytes(200000, "big")  # does not compress
MODEL_FILES = {
    "albert_config_tiny.json": json.dumps(CONFIG).encode(),
    "vocab.txt": b"[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\n",
    "albert_model.ckpt.index": b"index",
    "albert_model.ckpt.data-00000-of-00001": WEIGHTS,
}
PAIRS = "这个多少钱\t多少钱这个\t1\n".encode() * 20
SILENCE, PATIENCE = 30, 20  # seconds: a server is silent; a command may take


class Server:
    """Serves files by path, misbehaves as its attributes say, and records each request's range."""

    def __init__(self):
        self.files = {}
        self.ranges = []
        self.cuts = []  # after how many bytes each of the next responses breaks off
        self.pause = 0  # seconds before a response
        self.stall = 0  # seconds before a connection breaks off
        self.has_ranges = True
        self.heeds_if_range = True
        self.has_tags = True
        self.has_length = True
        self.is_chunked = False
        handler = type("Handler", (_Handler,), {"state": self})
        self.http = _QuietServer(("127.0.0.1", 0), handler)
        self.http.daemon_threads = True
        self.url = "http://127.0.0.1:%d" % self.http.server_address[1]
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()


class _QuietServer(http.server.ThreadingHTTPServer):
    """Does not report disconnected clients: a later test may be checking standard error by then."""

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        state = self.state
        time.sleep(state.pause)
        state.ranges.append(self.headers.get("Range"))
        content = state.files.get(self.path.lstrip("/"))
        if content is None:
            self.send_error(404)
            return
        first = self._first_byte(content)
        if first >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if first else 200)
        self.send_header("Connection", "close")
        if first:
            self.send_header(
                "Content-Range", "bytes %d-%d/%d" % (first, len(content) - 1, len(content))
            )
        if state.has_tags:
            self.send_header("ETag", _tag(content))
        if state.has_length:
            self.send_header("Content-Length", str(len(content) - first))
        if state.is_chunked:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        end = first + state.cuts.pop(0) if state.cuts else len(content)
        body = content[first:end]
        if state.is_chunked:
            body = b"%x\r\n%b\r\n" % (len(body), body) + b"0\r\n\r\n" * (end == len(content))
        with contextlib.suppress(OSError):
            self.wfile.write(body)
        if end < len(content):
            time.sleep(state.stall)

    def _first_byte(self, content):
        span = self.headers.get("Range")
        is_same = self.headers.get("If-Range") == _tag(content) or not self.state.heeds_if_range
        if span and self.state.has_ranges and is_same:
            return int(span[len("bytes=") : -1])
        return 0

    def log_message(self, *arguments):
        pass


def _tag(content):
    return '"%s"' % hashlib.md5(content).hexdigest()


@pytest.fixture
def server(monkeypatch):
    running = Server()
    for name in fetch_assets.ADDRESSES:
        monkeypatch.setenv(name, running.url + "/")
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "ALBERT_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(downloading, "READ_SECONDS", 1.0)
    yield running
    running.http.shutdown()
    running.http.server_close()


@pytest.fixture
def any_checkpoint(monkeypatch):
    """Fixture: every checkpoint passes the check, in tests that are about something else."""
    monkeypatch.setattr(
        "albert_zh.model.checkpoints.expected_variables.check_fits", lambda config, prefix: None
    )


def zipped(files, **settings):
    """Bytes of a zip archive of {name or ZipInfo: bytes}."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", settings.get("compression", zipfile.ZIP_DEFLATED)) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return target.getvalue()


def tree(folder):
    """Relative paths of all files below a folder."""
    return sorted(
        os.path.relpath(os.path.join(path, name), str(folder))
        for path, _, names in os.walk(str(folder))
        for name in names
    )


def read(*path):
    with open(os.path.join(*map(str, path)), "rb") as handle:
        return handle.read()


def fetch(tmp_path, *arguments):
    return fetch_assets.main(list(arguments), root=str(tmp_path))


def the_error(capsys):
    """The only line on standard error."""
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    return lines[0]


@pytest.mark.usefixtures("any_checkpoint")
@pytest.mark.parametrize("top", ["", "albert_tiny/", "./a b/"])
def test_model_with_and_without_top_folder(server, tmp_path, capsys, top):
    files = {top + name: content for name, content in MODEL_FILES.items()}
    archive = zipped(dict(files, **{"__MACOSX/" + top + "._vocab.txt": b"x", ".DS_Store": b"x"}))
    server.files["albert_tiny_489k.zip"] = archive
    assert fetch(tmp_path, "albert_tiny_489k") == 0
    assert tree(tmp_path) == sorted(os.path.join(MODEL_FOLDER, name) for name in MODEL_FILES)
    for name, content in MODEL_FILES.items():
        assert read(tmp_path, MODEL_FOLDER, name) == content
    shown = capsys.readouterr().out
    assert hashlib.sha256(archive).hexdigest() in shown
    assert "0.2 MB, sha256" in shown


@pytest.mark.usefixtures("any_checkpoint")
def test_second_call_asks_nobody(server, tmp_path, capsys):
    server.files["albert_tiny_489k.zip"] = zipped(MODEL_FILES)
    assert fetch(tmp_path, "albert_tiny_489k") == 0
    assert fetch(tmp_path, "albert_tiny_zh") == 0  # the folder's name is an alias
    assert len(server.ranges) == 1
    assert "already in %s\n" % MODEL_FOLDER in capsys.readouterr().out


@pytest.mark.usefixtures("any_checkpoint")
def test_an_address_for_what_is_there_is_not_used(server, tmp_path, capsys):
    server.files["mine.zip"] = zipped(MODEL_FILES)
    for _ in range(2):
        assert fetch(tmp_path, "--url", server.url + "/mine.zip") == 0
    assert len(server.ranges) == 1
    note = "mine: already in %s (--url not used: move the folder away to fetch it again)\n"
    assert note % os.path.join("prev_trained_model", "mine") in capsys.readouterr().out


@pytest.mark.usefixtures("any_checkpoint")
def test_released_vocabulary_goes_to_its_old_place(server, tmp_path, monkeypatch):
    digest = hashlib.sha256(MODEL_FILES["vocab.txt"]).hexdigest()
    monkeypatch.setattr(fetch_assets, "RELEASED_VOCABULARY_SHA256", digest)
    files = dict(MODEL_FILES)
    files["vocab_chinese.txt"] = files.pop("vocab.txt")
    server.files["albert_tiny_489k.zip"] = zipped(files)
    assert fetch(tmp_path, "albert_tiny_489k") == 0
    assert read(tmp_path, MODEL_FOLDER, "vocab.txt") == MODEL_FILES["vocab.txt"]
    assert read(tmp_path, "albert_config", "vocab.txt") == MODEL_FILES["vocab.txt"]


def test_released_vocabulary_is_known(shared):
    path = os.path.join(shared, "data", "ckpt_index_only", "MarsRoger_albert_tiny", "vocab.txt")
    assert fetch_assets.sha256_of_file(path) == fetch_assets.RELEASED_VOCABULARY_SHA256


@pytest.mark.usefixtures("any_checkpoint")
def test_another_vocabulary_stays_in_its_folder(server, tmp_path):
    server.files["albert_tiny_489k.zip"] = zipped(MODEL_FILES)
    assert fetch(tmp_path, "albert_tiny_489k") == 0
    assert not os.path.exists(str(tmp_path / "albert_config"))


@pytest.mark.usefixtures("any_checkpoint")
def test_dropped_connection_is_taken_up_again(server, tmp_path):
    server.files["albert_tiny_489k.zip"] = zipped(MODEL_FILES)
    server.cuts = [70000, 50000]
    assert fetch(tmp_path, "albert_tiny_489k") == 0
    assert server.ranges == [None, "bytes=70000-", "bytes=120000-"]
    assert len(tree(tmp_path)) == len(MODEL_FILES)


def cut_off(server, tmp_path):
    """Runs a download that fails for good after 90,000 bytes."""
    server.cuts = [90000, 0]
    assert fetch(tmp_path, "albert_tiny_489k") == 3
    part = os.path.join("prev_trained_model", "albert_tiny_zh.albert_tiny_489k.zip.part")
    assert tree(tmp_path) == [part, part + ".json"]
    assert os.path.getsize(str(tmp_path / part)) == 90000
    server.ranges.clear()


@pytest.mark.usefixtures("any_checkpoint")
def test_next_call_goes_on(server, tmp_path, capsys):
    server.files["albert_tiny_489k.zip"] = zipped(MODEL_FILES)
    cut_off(server, tmp_path)
    assert "dropped after 0.1 MB: run the same command again" in the_error(capsys)
    assert fetch(tmp_path, "albert_tiny_489k") == 0
    assert server.ranges == ["bytes=90000-"]
    assert tree(tmp_path) == sorted(os.path.join(MODEL_FOLDER, name) for name in MODEL_FILES)


@pytest.mark.usefixtures("any_checkpoint")
@pytest.mark.parametrize("heeds_if_range", [True, False])
@pytest.mark.parametrize("size", [0, 150000])
def test_next_call_starts_over_when_the_file_changed(server, tmp_path, heeds_if_range, size):
    server.files["albert_tiny_489k.zip"] = zipped(MODEL_FILES)
    cut_off(server, tmp_path)
    changed = dict(MODEL_FILES, **{"albert_model.ckpt.data-00000-of-00001": b"%d" % size * size})
    server.files["albert_tiny_489k.zip"] = zipped(changed, compression=zipfile.ZIP_STORED)
    server.heeds_if_range = heeds_if_range
    assert fetch(tmp_path, "albert_tiny_489k") == 0
    for name, content in changed.items():
        assert read(tmp_path, MODEL_FOLDER, name) == content


@pytest.mark.usefixtures("any_checkpoint")
def test_next_call_starts_over_on_a_server_without_ranges(server, tmp_path):
    server.files["albert_tiny_489k.zip"] = zipped(MODEL_FILES)
    cut_off(server, tmp_path)
    server.has_ranges = False
    assert fetch(tmp_path, "albert_tiny_489k") == 0
    assert server.ranges == ["bytes=90000-"]
    for name, content in MODEL_FILES.items():
        assert read(tmp_path, MODEL_FOLDER, name) == content


@pytest.mark.usefixtures("any_checkpoint")
def test_never_goes_on_with_what_cannot_be_told_to_be_the_same(server, tmp_path):
    server.files["albert_tiny_489k.zip"] = zipped(MODEL_FILES)
    server.has_tags = False
    server.cuts = [90000, 0]
    assert fetch(tmp_path, "albert_tiny_489k") == 3
    assert fetch(tmp_path, "albert_tiny_489k") == 0
    assert server.ranges == [None, None, None]


@pytest.mark.usefixtures("any_checkpoint")
def test_answer_without_a_length(server, tmp_path):
    server.has_length = False
    server.files["albert_tiny_489k.zip"] = zipped(MODEL_FILES)
    assert fetch(tmp_path, "albert_tiny_489k") == 0
    assert read(tmp_path, MODEL_FOLDER, "vocab.txt") == MODEL_FILES["vocab.txt"]


@pytest.mark.parametrize("stall", [0, SILENCE], ids=["breaks off", "goes silent"])
def test_cut_answer_without_a_length_is_taken_up_again(server, tmp_path, stall):
    server.has_length, server.is_chunked = False, True
    server.files.update({"train.txt": PAIRS * 9, "dev.txt": PAIRS, "test.txt": PAIRS})
    server.cuts, server.stall = [4001], stall  # in the middle of a row
    assert fetch(tmp_path, "lcqmc") == 0
    assert server.ranges == [None, "bytes=4001-", None, None]
    assert read(tmp_path, "chineseGLUEdatasets", "lcqmc", "train.txt") == PAIRS * 9


def test_pairs_that_end_in_the_middle_of_a_row(server, tmp_path, capsys):
    server.has_length = False  # so that the client cannot see that the rest is missing
    server.files.update({"train.txt": PAIRS[:-4], "dev.txt": PAIRS, "test.txt": PAIRS})
    assert fetch(tmp_path, "lcqmc") == 2
    assert "train.txt: truncated: its last line has no label" in the_error(capsys)
    assert os.listdir(str(tmp_path)) == []


@pytest.mark.usefixtures("any_checkpoint")
def test_connection_that_goes_silent_is_replaced(server, tmp_path):
    server.files["albert_tiny_489k.zip"] = zipped(MODEL_FILES)
    server.cuts, server.stall = [100000], SILENCE
    begin = time.time()
    assert fetch(tmp_path, "albert_tiny_489k") == 0
    assert time.time() - begin < PATIENCE
    assert server.ranges == [None, "bytes=100000-"]


@pytest.mark.usefixtures("any_checkpoint")
def test_part_of_another_address_is_not_used(server, tmp_path):
    server.files["albert_tiny_489k.zip"] = zipped(MODEL_FILES)
    server.files["mirror.zip"] = zipped(MODEL_FILES)
    cut_off(server, tmp_path)
    assert fetch(tmp_path, "albert_tiny_489k", "--url", server.url + "/mirror.zip") == 0
    assert server.ranges == [None]


def test_page_instead_of_archive(server, tmp_path, capsys):
    server.files["albert_tiny_489k.zip"] = b"<!DOCTYPE html><html>please log in</html>" * 9000
    assert fetch(tmp_path, "albert_tiny_489k") == 2
    error = the_error(capsys)
    assert "not a zip archive, it begins with b'<!DOCTYPE html>" in error
    assert server.url + "/albert_tiny_489k.zip" in error
    assert os.listdir(str(tmp_path)) == []


def test_damaged_archive(server, tmp_path, capsys):
    archive = zipped(MODEL_FILES)
    server.files["albert_tiny_489k.zip"] = archive[:100000] + b"damage" + archive[100006:]
    assert fetch(tmp_path, "albert_tiny_489k") == 2
    assert "broken zip archive (Bad CRC-32" in the_error(capsys)
    assert os.listdir(str(tmp_path)) == []


def test_archive_of_something_else(server, tmp_path, capsys):
    server.files["albert_tiny_489k.zip"] = zipped({"readme.md": b"hello", "vocab.txt": b"a"})
    assert fetch(tmp_path, "albert_tiny_489k") == 2
    error = the_error(capsys)
    assert "no file albert_config*.json or bert_config*.json or config.json" in error
    assert "readme.md, vocab.txt" in error
    assert os.listdir(str(tmp_path)) == []


def _link(name):
    info = zipfile.ZipInfo(name)
    info.external_attr = 0o120777 << 16
    return info


EVIL_NAMES = ["../evil", "a/../../evil", "/evil", "C:/evil", "C:evil", "..\\evil", "\\evil"]


@pytest.mark.parametrize("member", EVIL_NAMES + [_link("vocab.txt")], ids=EVIL_NAMES + ["link"])
def test_member_that_leaves_the_folder(server, tmp_path, capsys, member):
    root = tmp_path / "a" / "b" / "c"
    root.mkdir(parents=True)
    server.files["albert_tiny_489k.zip"] = zipped(
        {"albert_config.json": b"{}", member: b"/etc/passwd"}
    )
    assert fetch(root, "albert_tiny_489k") == 2
    assert "is a link or leaves the target folder" in the_error(capsys)
    assert tree(tmp_path) == []


def test_bomb(server, tmp_path, capsys):
    server.files["albert_tiny_489k.zip"] = zipped({"vocab.txt": bytes(101 << 20)})
    assert fetch(tmp_path, "albert_tiny_489k") == 2
    assert "would unpack to 105906176 bytes" in the_error(capsys)
    assert os.listdir(str(tmp_path)) == []


def test_unusual_archives(tmp_path):
    for files, settings, message in (
        ({}, {}, "this archive contains no files"),
        ({"a": b"1", "./a": b"2"}, {}, "two files in it have the same name"),
        ({"a": b"1"}, {"compression": zipfile.ZIP_LZMA}, "packed in an unusual way"),
    ):
        (tmp_path / "x.zip").write_bytes(zipped(files, **settings))
        with pytest.raises(UserError, match=message):
            unpacking.unpack(str(tmp_path / "x.zip"), str(tmp_path / "out"), "x.zip")


def test_archives_with_random_damage_give_one_error_or_the_files(tmp_path):
    archive = zipped({"top/a.txt": b"abc" * 50, "top/b.txt": b"x"})
    generator = random.Random(7)
    outcomes = []
    (tmp_path / "here").mkdir()
    for _ in range(300):
        damaged = bytearray(archive)
        for _ in range(3):
            damaged[generator.randrange(len(damaged))] = generator.randrange(256)
        (tmp_path / "x.zip").write_bytes(bytes(damaged))
        target = tmp_path / "here" / "out"
        try:
            unpacking.unpack(str(tmp_path / "x.zip"), str(target), "x.zip")
            outcomes.append("unpacked")
        except UserError as error:
            assert "\n" not in str(error)
            outcomes.append("refused")
        assert sorted(os.listdir(str(tmp_path))) in (["here", "x.zip"], ["x.zip"])
    assert outcomes.count("refused") > 100 and "unpacked" in outcomes


UNFINISHED = os.path.join("prev_trained_model", "albert_tiny_zh.albert_tiny_489k.zip.part")
GO_ON = "free space, then run the same command again"


@pytest.fixture
def full_disk(monkeypatch):
    """Fixture: context manager within which no disk has free space."""

    @contextlib.contextmanager
    def fill():
        with monkeypatch.context() as patch:
            patch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(9, 9, 0))
            yield

    return fill


class FullFile(io.FileIO):
    """A file on a disk with 100,000 bytes left."""

    def write(self, content):
        if self.tell() >= 100000:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(content[: 100000 - self.tell()])


@pytest.mark.usefixtures("any_checkpoint")
def test_a_full_disk_keeps_the_part_that_is_there(server, tmp_path, capsys, full_disk):
    server.files["albert_tiny_489k.zip"] = zipped(MODEL_FILES)
    cut_off(server, tmp_path)
    capsys.readouterr()
    with full_disk():
        assert fetch(tmp_path, "albert_tiny_489k") == 2
    expected = "part: no disk space: 0.1 MB to download, 0.0 MB free: " + GO_ON
    assert the_error(capsys).endswith(expected)
    assert os.path.getsize(str(tmp_path / UNFINISHED)) == 90000
    assert fetch(tmp_path, "albert_tiny_489k") == 0
    assert server.ranges == ["bytes=90000-"] * 2


@pytest.mark.usefixtures("any_checkpoint")
@pytest.mark.parametrize("has_length", [True, False])
def test_a_disk_that_fills_keeps_what_came(server, tmp_path, capsys, monkeypatch, has_length):
    server.files["albert_tiny_489k.zip"] = zipped(MODEL_FILES)
    server.has_length = has_length
    with monkeypatch.context() as patch:
        full = lambda path, mode: io.BufferedWriter(FullFile(path, mode))  # noqa: E731
        patch.setattr(downloading, "open", full, raising=False)
        assert fetch(tmp_path, "albert_tiny_489k") == 2
    size = "0.2 MB" if has_length else "a file of unknown size"
    error = the_error(capsys)
    assert "part: no disk space: %s to download, " % size in error and error.endswith(GO_ON)
    assert os.path.getsize(str(tmp_path / UNFINISHED)) == 100000
    assert fetch(tmp_path, "albert_tiny_489k") == 0
    assert server.ranges == [None, "bytes=100000-"]
    for name, content in MODEL_FILES.items():
        assert read(tmp_path, MODEL_FOLDER, name) == content


def fails_for_want_of_space(*arguments):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.usefixtures("any_checkpoint")
@pytest.mark.parametrize(
    "name, stand_in",
    [
        ("shutil.disk_usage", lambda path: shutil._ntuple_diskusage(9, 9, 200000)),
        ("shutil.copyfileobj", fails_for_want_of_space),
    ],
)
def test_a_disk_too_full_to_unpack_keeps_the_archive(
    server, tmp_path, capsys, monkeypatch, name, stand_in
):
    files = dict(MODEL_FILES, **{"readme.txt": bytes(100000)})
    server.files["albert_tiny_489k.zip"] = zipped(files)
    with monkeypatch.context() as patch:
        patch.setattr(downloading, "_check_space", lambda path, answer: None)
        patch.setattr(name, stand_in)
        assert fetch(tmp_path, "albert_tiny_489k") == 2
    error = the_error(capsys)
    assert "unpacking: no disk space: 0.3 MB to unpack, " in error and error.endswith(GO_ON)
    assert tree(tmp_path) == [UNFINISHED, UNFINISHED + ".json"]
    assert fetch(tmp_path, "albert_tiny_489k") == 0
    assert server.ranges == [None]  # nothing was requested again
    assert tree(tmp_path) == sorted(os.path.join(MODEL_FOLDER, name) for name in files)


def test_no_such_file(server, tmp_path, capsys):
    assert fetch(tmp_path, "albert_tiny_489k") == 3
    assert "albert_tiny_489k.zip: the server answered 404 Not Found" in the_error(capsys)
    assert os.listdir(str(tmp_path)) == []


def test_server_that_never_answers(server, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(downloading, "CONNECT_SECONDS", 0.3)
    server.pause = SILENCE
    begin = time.time()
    assert fetch(tmp_path, "albert_tiny_489k") == 3
    assert time.time() - begin < PATIENCE
    assert "no answer within 0.3 seconds" in the_error(capsys)


def test_nobody_there(server, tmp_path, capsys):
    server.http.shutdown()
    server.http.server_close()
    assert fetch(tmp_path, "albert_tiny_489k") == 3
    assert "cannot be reached: Connection refused" in the_error(capsys)
    assert os.listdir(str(tmp_path)) == []


def test_offline(server, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("ALBERT_OFFLINE", "1")
    assert fetch(tmp_path, "albert_tiny_489k") == 3
    assert "albert_tiny_489k: not downloaded, as ALBERT_OFFLINE is set" in the_error(capsys)
    assert server.ranges == []
    assert os.listdir(str(tmp_path)) == []


def test_folder_with_something_else_is_left_alone(server, tmp_path, capsys):
    (tmp_path / MODEL_FOLDER).mkdir(parents=True)
    (tmp_path / MODEL_FOLDER / "vocab.txt").write_bytes(b"mine")
    assert fetch(tmp_path, "albert_tiny_489k") == 2
    assert "exists but lacks albert_config*.json" in the_error(capsys)
    assert tree(tmp_path) == [os.path.join(MODEL_FOLDER, "vocab.txt")]
    assert server.ranges == []


def test_a_model_without_its_weights_is_not_there(server, tmp_path, capsys):
    for name in set(MODEL_FILES) - {"albert_model.ckpt.data-00000-of-00001"}:
        (tmp_path / MODEL_FOLDER).mkdir(parents=True, exist_ok=True)
        (tmp_path / MODEL_FOLDER / name).write_bytes(MODEL_FILES[name])
    assert fetch(tmp_path, "albert_tiny_489k") == 2
    assert "albert_tiny_zh: exists but lacks *.data-*: complete it" in the_error(capsys)
    assert server.ranges == []


@pytest.mark.usefixtures("any_checkpoint")
def test_an_archive_without_the_weights_is_refused(server, tmp_path, capsys):
    files = {name: text for name, text in MODEL_FILES.items() if ".data-" not in name}
    server.files["albert_tiny_489k.zip"] = zipped(files)
    assert fetch(tmp_path, "albert_tiny_489k") == 2
    assert "unexpected content: it has no file *.data-*" in the_error(capsys)
    assert os.listdir(str(tmp_path)) == []


def test_pairs(server, tmp_path):
    server.files.update({"train.txt": PAIRS * 2, "dev.txt": PAIRS, "test.txt": PAIRS})
    assert fetch(tmp_path, "lcqmc") == 0
    folder = os.path.join("chineseGLUEdatasets", "lcqmc")
    assert tree(tmp_path) == [
        os.path.join(folder, name + ".txt") for name in ("dev", "test", "train")
    ]
    assert read(tmp_path, folder, "train.txt") == PAIRS * 2


def test_pairs_come_all_or_not_at_all(server, tmp_path, capsys):
    server.files.update({"train.txt": PAIRS, "dev.txt": b"<html>no\tno\t</html>\n" * 9})
    assert fetch(tmp_path, "lcqmc") == 3  # test.txt does not exist
    capsys.readouterr()
    server.files.update({"dev.txt": b"<html>sorry</html>", "test.txt": PAIRS})
    assert fetch(tmp_path, "lcqmc") == 0  # complete files of the first call are reused


def test_pairs_from_one_address(server, tmp_path, capsys):
    assert fetch(tmp_path, "lcqmc", "--url", server.url + "/lcqmc.zip") == 2
    assert "lcqmc is 3 files: name their folder with ALBERT_LCQMC_URL=" in the_error(capsys)
    assert server.ranges == []


def test_pairs_of_another_format(server, tmp_path, capsys):
    server.files.update({"train.txt": PAIRS, "dev.txt": b"404: Not Found", "test.txt": PAIRS})
    assert fetch(tmp_path, "lcqmc") == 2
    assert "dev.txt: expected text_a, text_b and label separated by tabs" in the_error(capsys)
    assert os.listdir(str(tmp_path)) == []


def test_clue_data_and_several_names(server, tmp_path, capsys):
    files = {"train.json": b"{}", "dev.json": b"{}", "test.json": b"{}"}
    server.files["cluewsc2020_public.zip"] = zipped(files)
    assert fetch(tmp_path, "afqmc", "wsc") == 3
    assert "afqmc_public.zip: the server answered 404" in the_error(capsys)
    folder = os.path.join("CLUEdataset", "wsc")
    assert tree(tmp_path) == sorted(os.path.join(folder, name) for name in files)


@pytest.mark.usefixtures("any_checkpoint")
def test_archive_from_an_address_of_ones_own(server, tmp_path):
    server.files["%E6%88%91/my_model.zip"] = zipped(MODEL_FILES)
    assert fetch(tmp_path, "--url", server.url + "/我/my_model.zip") == 0
    assert os.path.exists(str(tmp_path / "prev_trained_model" / "my_model" / "vocab.txt"))


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "no name given"),
        (["albert_bse_zh"], "did you mean albert_base_zh?"),
        (["--nonsense"], "unrecognized arguments: --nonsense"),
        (["a", "b", "--url", "http://x/y.zip"], "the address of one archive, but 2 names"),
        (["--url", "ftp://x/y.zip"], "expected an address that begins with http"),
        (["../../x", "--url", "http://x/y.zip"], "no such name"),
        (["--list", "lcqmc"], "--list only lists the names and downloads nothing, but 'lcqmc' is"),
        (["--list", "--url", "http://x/y.zip"], "downloads nothing, but '--url' is given: leave"),
    ],
)
def test_mistakes(tmp_path, capsys, arguments, message):
    try:
        status = fetch(tmp_path, *arguments)
    except SystemExit as stop:
        status = stop.code
    assert status == 2
    assert message in the_error(capsys)


def test_list(tmp_path, capsys):
    for name in fetch_assets.REQUIRED_FILES["pairs"]:
        path = tmp_path / "chineseGLUEdatasets" / "lcqmc" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(PAIRS)
    assert fetch(tmp_path, "--list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if " there " in line] == ["lcqmc"]
    names = {line.split()[0] for line in lines}
    assert {"albert_tiny_489k", "albert_xlarge_zh_183k", "RoBERTa-tiny-pair", "wsc"} <= names


def test_read_only_place(server, tmp_path, capsys):
    (tmp_path / "prev_trained_model").write_bytes(b"a file where the folder should be")
    assert fetch(tmp_path, "albert_tiny_489k") == 2
    assert "prev_trained_model: cannot be written" in the_error(capsys)


def _real_model(folder, hidden_size):
    """{name: bytes} of a model with the tiny config and a checkpoint of the given hidden size."""
    import numpy

    from albert_zh.model import modeling
    from albert_zh.model.checkpoints import expected_variables

    config = modeling.AlbertConfig.from_dict(dict(CONFIG, hidden_size=hidden_size))
    shapes = expected_variables.expected_shapes(config)
    values = {name: numpy.zeros(shape, "float32") for name, shape in shapes.items()}
    checkpoint_values.write_checkpoint(os.path.join(folder, "albert_model.ckpt"), values)
    files = {name: read(folder, name) for name in os.listdir(folder)}
    return dict(
        files, **{name: MODEL_FILES[name] for name in ("albert_config_tiny.json", "vocab.txt")}
    )


def test_checkpoint_that_fits_its_config(server, tmp_path):
    (tmp_path / "made").mkdir()
    server.files["albert_tiny_489k.zip"] = zipped(_real_model(str(tmp_path / "made"), 8))
    assert fetch(tmp_path / "root", "albert_tiny_489k") == 0
    assert "albert_model.ckpt.index" in os.listdir(str(tmp_path / "root" / MODEL_FOLDER))


def test_checkpoint_that_does_not_fit_its_config(server, tmp_path, capsys):
    (tmp_path / "made").mkdir()
    server.files["albert_tiny_489k.zip"] = zipped(_real_model(str(tmp_path / "made"), 12))
    assert fetch(tmp_path / "root", "albert_tiny_489k") == 2
    error = the_error(capsys)
    assert "a broken archive: albert_model.ckpt does not fit the config" in error
    assert os.listdir(str(tmp_path / "root")) == []


@pytest.mark.usefixtures("any_checkpoint")
def test_two_processes_at_once(server, tmp_path):
    server.files.update({"train.txt": PAIRS * 2, "dev.txt": PAIRS, "test.txt": PAIRS})
    server.pause = 0.3
    shown = fetch_lcqmc_twice_at_once(tmp_path, [0, 0])
    assert sum("already in" in text for text in shown) == 1
    assert len(server.ranges) == 3


def test_two_processes_at_once_of_which_the_first_fails(server, tmp_path):
    server.pause = 0.3
    shown = fetch_lcqmc_twice_at_once(tmp_path, [3, 3])
    for text in shown:
        assert "train.txt: the server answered 404 Not Found" in text
        assert "Traceback" not in text
    assert os.listdir(str(tmp_path)) == []


def fetch_lcqmc_twice_at_once(folder, statuses):
    """Output of two commands that fetch the same data at once and must exit with these statuses."""
    code = "import fetch_assets, sys; sys.exit(fetch_assets.main(['lcqmc'], root=sys.argv[1]))"
    command = [sys.executable, "-c", code, str(folder)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    runs = [subprocess.Popen(command, cwd=os.path.join(ROOT, "scripts"), **pipes) for _ in range(2)]
    shown = [run.communicate(timeout=60)[0].decode() for run in runs]
    assert [run.returncode for run in runs] == statuses
    return shown


def test_all_released_archives_are_listed():
    names = (
        "albert_tiny albert_tiny_489k albert_tiny_zh_google albert_small_zh_google albert_base_zh "
        "albert_base_zh_additional_36k_steps albert_large_zh albert_xlarge_zh_177k "
        "albert_xlarge_zh_183k"
    )
    of_albert_zh = [a for a in fetch_assets.ASSETS if a.address == "ALBERT_MODELS_URL"]
    assert {asset.files for asset in of_albert_zh} == {(name + ".zip",) for name in names.split()}
    folders = [asset.folder for asset in fetch_assets.ASSETS]
    assert len(set(folders)) == len(folders)


# A server that sends invalid responses


@pytest.fixture
def raw_server(monkeypatch):
    """Fixture: function that starts a server with a fixed response and returns its address."""
    sockets = []

    def serve(answer):
        listener = socket.create_server(("127.0.0.1", 0))
        sockets.append(listener)
        url = "http://127.0.0.1:%d" % listener.getsockname()[1]

        def work():
            with contextlib.suppress(OSError):  # the socket is closed after the test
                while True:
                    connection, _ = listener.accept()
                    with connection:
                        connection.recv(65536)
                        connection.sendall(answer.replace(b"SELF", url.encode()))

        threading.Thread(target=work, daemon=True).start()
        return url

    yield serve
    for listener in sockets:
        listener.close()


OK = b"HTTP/1.1 200 OK\r\nConnection: close\r\n"
PART = b"HTTP/1.1 206 Partial Content\r\nConnection: close\r\n"
FOUND = b"HTTP/1.1 302 Found\r\nConnection: close\r\nContent-Length: 0\r\nLocation: "


@pytest.mark.parametrize(
    "answer, status, message",
    [
        (PART + b"Content-Range: bytes 5-9/3\r\n\r\nPK\3\4", 2, "sent another part of the file"),
        (PART + b"Content-Range: bytes 9-5/10\r\n\r\nPK\3\4", 2, "sent another part of the file"),
        (PART + b"Content-Range: bytes 0-%s/%s\r\n\r\n" % ((b"9" * 5000,) * 2), 2, "another part"),
        (PART + b"Content-Range: nonsense\r\n\r\nPK\3\4", 2, "sent another part of the file"),
        (PART + b"\r\nPK\3\4", 2, "sent another part of the file"),
        (OK + b"Content-Length: %s\r\n\r\nPK\3\4" % (b"9" * 5000), 2, "broken zip archive"),
        (OK + b"Content-Length: %s\r\n\r\nPK\3\4" % (b"9" * 40), 2, "no disk space"),
        (OK + b"Content-Length: -5\r\n\r\nPK\3\4", 2, "broken zip archive"),
        (
            FOUND + b"ftp://127.0.0.1/model.zip\r\n\r\n",
            2,
            "redirects to 'ftp://127.0.0.1/model.zip'",
        ),
        (FOUND + b"file:///etc/passwd\r\n\r\n", 2, "redirects to 'file:///etc/passwd'"),
        (FOUND + b"data:text/plain,PK\r\n\r\n", 2, "redirects to 'data:text/plain,PK'"),
        (FOUND + b"http://[\r\n\r\n", 2, "Invalid IPv6 URL"),
        (FOUND + b"/again.zip\r\n\r\n", 2, "too many redirects"),
        (FOUND + b"SELF/again.zip\r\n\r\n", 2, "too many redirects"),
        (b"\x1b[31m\xff\x00 garbage\r\n\r\n", 2, "is not HTTP"),
        (b"HTTP/1.1 404 \x1b[31mred\r\nContent-Length: 0\r\n\r\n", 3, "the server answered 404"),
        (OK + b"X: y\r\n" * 1000 + b"\r\n", 2, "is not HTTP"),
        (b"HTTP/1.1 200 " + b"x" * 100000, 2, "is not HTTP"),
        (b"", 3, "cannot be reached"),
    ],
    ids=range(19),
)
def test_answers_that_make_no_sense_are_one_line(
    raw_server, tmp_path, capsys, answer, status, message
):
    url = raw_server(answer)
    assert fetch(tmp_path, "mine", "--url", url + "/model.zip") == status
    error = the_error(capsys)
    assert message in error and error.isprintable() and len(error) < 500
    assert tree(tmp_path) == []


@pytest.mark.parametrize(
    "member", [".", "./.", "", "/", "x" * 300, "字" * 100, "./" + "x" * 250 + "/y"]
)
def test_members_without_a_proper_name_are_refused(server, tmp_path, capsys, member):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("model/vocab.txt", "[PAD]\n")
        info = zipfile.ZipInfo("placeholder")
        info.filename = member
        opened.writestr(info, b"content")
    server.files["model.zip"] = archive.getvalue()
    assert fetch(tmp_path, "mine", "--url", server.url + "/model.zip") == 2
    if member != "/":  # "/" is a folder: no file is skipped
        assert "has no name, or one of over 200 bytes" in the_error(capsys)
    assert tree(tmp_path) == []


def test_a_member_that_is_a_file_and_a_folder_is_refused(tmp_path):
    path = str(tmp_path / "a.zip")
    with open(path, "wb") as handle:
        handle.write(zipped({"top/a": b"1", "top/a/b": b"2"}))
    with pytest.raises(UserError, match="'top/a' is a file and a folder"):
        unpacking.unpack(path, str(tmp_path / "out"), "source")


@pytest.mark.parametrize(
    "url",
    [
        "http://[",
        "http://",
        "http:///x.zip",
        "ftp://127.0.0.1/x.zip",
        "file:///etc/passwd",
        "http://127.0.0.1:99999999/x.zip",
        "http://127.0.0.1:port/x.zip",
        "http://%s/x.zip" % ("a" * 300),
        "http://127.0.0.1/\x1b[31m.zip",
        "x.zip",
    ],
)
@pytest.mark.parametrize("names", [[], ["mine"]])
def test_addresses_that_are_none_are_one_line(tmp_path, capsys, url, names):
    assert fetch(tmp_path, *(names + ["--url", url])) == 2
    error = the_error(capsys)
    assert "expected an address that begins with http:// or https://" in error
    assert error.isprintable() and tree(tmp_path) == []


def test_long_names_are_no_names(server, tmp_path, capsys):
    for arguments in (["x" * 300], ["x" * 300, "--url", server.url + "/model.zip"]):
        assert fetch(tmp_path, *arguments) == 2
        assert "no such name" in the_error(capsys)
    assert tree(tmp_path) == []


@pytest.mark.parametrize("ending", ["", ".json"])
def test_a_folder_in_place_of_the_unfinished_file_is_named(server, tmp_path, capsys, ending):
    server.files["model.zip"] = zipped(MODEL_FILES)
    part = tmp_path / "prev_trained_model" / ("mine.mine.zip.part" + ending)
    part.mkdir(parents=True)
    assert fetch(tmp_path, "mine", "--url", server.url + "/model.zip") == 2
    assert "%s: is a folder, expected a file or nothing" % part in the_error(capsys)
    assert part.is_dir() and os.listdir(str(part.parent)) == [part.name]


def test_a_damaged_state_of_a_download_starts_over(server, tmp_path):
    server.files["model.zip"] = zipped(MODEL_FILES)
    path = str(tmp_path / "model.zip")
    for state in ("[]", "{", "[" * 5000, '{"url": 5, "total": "x", "validator": []}', "null"):
        with open(path, "wb") as handle:
            handle.write(b"PK\3\4")
        with open(path + ".json", "w") as handle:
            handle.write(state)
        downloading.download(server.url + "/model.zip", path, lambda head: None)
        assert read(path) == server.files["model.zip"]
