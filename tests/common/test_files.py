"""Files are read with clear errors, and written completely or not at all."""

import errno
import gzip
import hashlib
import os
import stat

import pytest

from albert_zh.common import files, folder_locks, output_files
from albert_zh.common.errors import UserError


@pytest.mark.parametrize("encoding", ["utf-8", "UTF8", "utf_8"])
def test_lines_are_split_at_line_feeds_only(tmp_path, encoding):
    path = tmp_path / "text.txt"
    path.write_bytes("\ufeff一\u2028二\r\n\x0b三\n\n四".encode())
    assert files.read_lines(str(path), encoding) == ["一\u2028二", "\x0b三", "", "四"]


def test_what_a_killed_process_left_is_removed_and_what_others_write_is_not(tmp_path):
    path = str(tmp_path / "text.txt")
    own = output_files.partial_path(path)[: -len(str(os.getpid()))]
    dead, alive = own + str(2**22 + 1), own + str(os.getppid())  # dead: above the kernel's ids
    elsewhere = path + ".partial-another.machine-%d" % (2**22 + 1)
    for partial in (dead, alive, elsewhere):
        with open(partial, "w") as handle:
            handle.write("half")
    os.mkdir(own + str(2**22 + 2))
    with output_files.atomic_write(path) as handle:
        handle.write("whole")
    left = sorted(os.path.join(str(tmp_path), name) for name in os.listdir(str(tmp_path)))
    assert left == sorted([path, alive, elsewhere])


def test_running_processes_keep_their_files_where_the_system_has_no_proc(tmp_path, monkeypatch):
    exists = os.path.exists
    monkeypatch.setattr(os.path, "exists", lambda path: "/proc/" not in path and exists(path))
    path = str(tmp_path / "text.txt")
    own = output_files.partial_path(path)[: -len(str(os.getpid()))]
    alive, unknown = own + str(os.getppid()), own + str(2**80)
    for partial in (alive, unknown, own + str(2**22 + 1)):
        with open(partial, "w") as handle:
            handle.write("half")
    with output_files.atomic_write(path) as handle:
        handle.write("whole")
    left = sorted(os.path.join(str(tmp_path), name) for name in os.listdir(str(tmp_path)))
    assert left == sorted([path, alive, unknown])


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    path, synced = str(tmp_path / "text.txt"), []

    def sync(descriptor):
        assert not os.path.exists(path)
        synced.append(os.fstat(descriptor).st_size)

    monkeypatch.setattr(os, "fsync", sync)
    with output_files.atomic_write(path) as handle:
        handle.write("whole")
    assert synced == [5] and os.path.exists(path)


@pytest.mark.parametrize(
    "encoding, text", [("gb2312", "我们找朱镕基先生"), ("gbk", "今天很开心😀")]
)
def test_parts_of_gb18030_name_the_whole_of_it(tmp_path, encoding, text):
    path = tmp_path / "text.txt"
    path.write_bytes(text.encode("gb18030"))
    message = "line 1: the file is in GB18030, expected %s: pass --encoding=gb18030"
    with pytest.raises(UserError, match=message % encoding.upper()):
        files.read_lines(str(path), encoding)


def test_damaged_utf8_is_not_taken_for_gbk(tmp_path):
    path = tmp_path / "text.txt"
    path.write_bytes("前面有一行完好的汉字\n好".encode()[:-1])
    with pytest.raises(UserError, match="line 2: not UTF-8"):
        files.read_lines(str(path))


@pytest.mark.parametrize(
    "content, named",
    [
        ("第一行\n我们明天去银行办理业务\n".encode("gbk"), ["line 1", "GBK", "--encoding=gb18030"]),
        ("第一行\n".encode("utf-16"), ["UTF-16", "--encoding=utf-16"]),
        (b"abc\n\xff\xfe\x80\x00\x13\xff", ["line 2", "not UTF-8", "0xff"]),
    ],
)
def test_other_encodings_are_recognised_and_named(tmp_path, content, named):
    path = tmp_path / "text.txt"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        files.read_lines(str(path), "utf-8")
    for word in [str(path)] + named:
        assert word in str(caught.value)
    with pytest.raises(UserError) as caught:  # files that are always in UTF-8, such as vocabularies
        files.read_lines(str(path))
    for word in [str(path)] + named[:-1]:
        assert word in str(caught.value)
    assert "--encoding" not in str(caught.value)


@pytest.mark.parametrize(
    "text, problem",
    [
        ("", "is empty"),
        (" \n", "is empty"),
        ('{"a": 1', "not valid JSON"),
        ('{"a": 1} {}', "not valid JSON: Extra data"),
        ("[" * 100000, "nested"),
        ('{"a":' * 5000 + "1" + "}" * 5000, "nested"),
        ("[" * 500 + "]" * 500, "nested"),
        ('{"a": 1, "b": {"c": 1, "c": 2}}', "the key 'c' twice"),
        ('{"a": %s}' % ("1" * 5000), "5000 digits"),
    ],
)
def test_json_that_nobody_can_read_is_one_line(tmp_path, text, problem):
    path = tmp_path / "settings.json"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        files.read_json(str(path))
    assert str(caught.value).startswith(str(path)) and problem in str(caught.value)
    assert "\n" not in str(caught.value)


def test_json_with_a_mark_at_its_beginning_and_of_some_depth_is_read(tmp_path):
    path = tmp_path / "settings.json"
    path.write_text("\ufeff" + "[" * 100 + "]" * 100, encoding="utf-8")
    value = files.read_json(str(path))
    for _ in range(99):
        (value,) = value
    assert value == []


def test_strings_of_a_deeply_nested_value_are_found():
    value = ["first", {"key": "second"}]
    for _ in range(5000):
        value = [value]
    assert list(files.strings_in(value)) == ["first", "second"]


def test_gbk_is_read_when_asked_for(tmp_path):
    path = tmp_path / "text.txt"
    path.write_bytes("银行卡\t办理\n".encode("gbk"))
    assert files.read_lines(str(path), "gb18030") == ["银行卡\t办理"]


def test_unknown_encoding_and_missing_file_are_named(tmp_path):
    path = tmp_path / "text.txt"
    with pytest.raises(UserError, match="No such file"):
        files.read_lines(str(path))
    path.write_text("x")
    for name in ("latin-99", "hex", "undefined"):
        with pytest.raises(UserError, match=name):
            files.read_lines(str(path), name)


def test_a_folder_in_place_of_a_file_has_a_way_out(tmp_path):
    with pytest.raises(UserError, match="is a folder, expected a file: name one in it") as caught:
        list(files.read_lines(str(tmp_path)))
    assert str(caught.value).startswith("%s: cannot be read: Is a directory: " % tmp_path)
    denied = files.cannot_read("a.txt", PermissionError(errno.EACCES, "Permission denied"))
    assert str(denied).startswith("a.txt: cannot be read: Permission denied: make it readable")


def test_utf_16_with_and_without_its_mark(tmp_path):
    path = tmp_path / "text.txt"
    path.write_bytes("甲\n乙\n".encode("utf-16"))
    assert list(files.stream_lines(str(path), "utf-16-le")) == ["甲", "乙"]
    assert files.read_lines(str(path), "utf-16-le") == ["甲", "乙"]
    path.write_bytes("甲\n".encode())
    with pytest.raises(UserError, match="not UTF-16 text"):
        list(files.stream_lines(str(path), "utf-16"))


@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbfa\r\nb", "甲\n".encode() * 50000])
def test_the_hash_is_of_the_bytes_that_were_read(content, tmp_path):
    path = tmp_path / "text.txt"
    for read in (files.stream_lines, files.read_lines):
        path.write_bytes(content)
        digest = hashlib.sha256()
        lines = list(read(str(path), digest=digest))
        path.write_bytes(b"other\n")
        assert digest.hexdigest() == hashlib.sha256(content).hexdigest()
        assert "\n".join(lines) == content.decode("utf-8-sig").replace("\r", "").rstrip("\n")


def test_json_keeps_names_that_are_not_utf8(tmp_path):
    path = str(tmp_path / "a.json")
    name = os.fsdecode(b"\xd6\xd0.txt")
    output_files.write_json(path, {name: "中"})
    assert files.read_json(path) == {name: "中"}
    assert "中" in files.read_text(path)


def test_a_folder_that_its_last_user_removed_is_locked_anew(tmp_path):
    folder, removed = str(tmp_path / "a"), []

    def lock(descriptor):
        if not removed:  # as the process that held the lock before
            removed.append(os.fstat(descriptor).st_ino)
            os.rmdir(folder)
            os.mkdir(folder + "b")  # so that the new folder has another inode

    descriptor = folder_locks.open_locked_folder(folder, lock)
    assert os.path.samestat(os.fstat(descriptor), os.stat(folder))
    os.close(descriptor)


def test_a_pipe_is_not_replaced_by_a_file(tmp_path):
    path = str(tmp_path / "pipe")
    os.mkfifo(path)
    with pytest.raises(UserError, match="expected a file to write"), output_files.atomic_write(
        path
    ):
        pass
    assert stat.S_ISFIFO(os.stat(path).st_mode)


def test_a_reader_that_goes_away_is_not_told_as_a_full_disk(tmp_path):
    with pytest.raises(BrokenPipeError), output_files.atomic_write(str(tmp_path / "out")):
        raise BrokenPipeError
    assert os.listdir(str(tmp_path)) == []


def test_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = str(tmp_path / "sub" / "text.txt")
    with output_files.atomic_write(path) as handle:
        handle.write("old")
    with pytest.raises(RuntimeError), output_files.atomic_write(path) as handle:
        handle.write("new")
        raise RuntimeError
    assert files.read_text(path) == "old"
    assert os.listdir(os.path.dirname(path)) == ["text.txt"]


def test_unwritable_place_is_named(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError) as caught, output_files.atomic_write(
        str(tmp_path / "file" / "new.txt")
    ):
        pass
    assert "cannot be written" in str(caught.value)


def test_full_disk_is_named(tmp_path):
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    never = str(tmp_path / "never")

    def write():
        with output_files.whole_file(never), open("/dev/full", "w") as handle:
            handle.write("x")

    with pytest.raises(UserError, match="No space left"):
        write()
    assert not os.path.exists(never)


@pytest.mark.parametrize(
    "start", [b"PK\x03\x04\x14\x00\x06\xa9", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"]
)
def test_workbooks_are_named(tmp_path, start):
    path = tmp_path / "train.txt"
    path.write_bytes(start + bytes(range(128, 256)))
    with pytest.raises(UserError, match="line 1: an Excel workbook .* save it as CSV UTF-8"):
        list(files.read_lines(str(path), "utf-8"))
    for errors in ("strict", "replace"):
        with pytest.raises(UserError, match="line 1: an Excel workbook .* save it as CSV UTF-8"):
            list(files.stream_lines(str(path), "utf-8", errors))


def test_gzip_files_in_place_of_texts_are_named(tmp_path):
    """Regression: in a file to predict, each line was once read as a text of damaged bytes."""
    path = tmp_path / "test.tsv"
    lines = "".join("%s\n" % hashlib.sha256(b"%d" % n).hexdigest() for n in range(500))
    path.write_bytes(gzip.compress(lines.encode("ascii")))
    message = r"test.tsv, line \d+: a gzip file, expected text: unpack it first \(gunzip\)"
    for errors in ("strict", "replace"):
        for encoding in ("utf-8", "gb18030", "latin-1"):
            with pytest.raises(UserError, match=message):
                list(files.stream_lines(str(path), encoding, errors))
    with pytest.raises(UserError, match=message):
        files.read_lines(str(path), "utf-8")
