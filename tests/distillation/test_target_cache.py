"""The cache of teachers' targets: its rows, killed writers, damaged files, speed."""

import errno
import os
import time

import numpy as np
import pytest

from albert_zh.common import storage
from albert_zh.common.errors import UserError
from albert_zh.distillation import target_cache
from albert_zh.distillation.target_cache import TargetCache
from albert_zh.tasks.input_examples import InputExample
from albert_zh.tasks.labelling import splits as labelled_splits
import memory_storage

ABOUT = {"teacher": "a"}
TEXTS = [("今天", None), ("今天", ""), ("今", "天"), ("今天", "天")]


def _targets(count, width=3):
    return [np.arange(width, dtype=np.float32) + row for row in range(count)]


@pytest.fixture(name="folder", params=["local", pytest.param("bucket", marks=memory_storage.MARKS)])
def folder_fixture(request, tmp_path, monkeypatch):
    if request.param == "local":
        yield str(tmp_path)
        return
    with memory_storage.bucket(tmp_path, monkeypatch) as folder:
        yield folder


def test_a_file_in_place_of_the_folder_is_named(tmp_path):
    (tmp_path / "targets").write_text("x", encoding="utf-8")
    with pytest.raises(UserError, match="--teacher_cache=.*targets: found a file, expected a fold"):
        TargetCache(str(tmp_path / "targets"), ABOUT)


def test_targets_are_found_by_text_in_another_process_object(folder):
    TargetCache(folder, ABOUT).add(TEXTS, _targets(4))
    cache = TargetCache(folder, ABOUT)
    for row, texts in enumerate(TEXTS):
        np.testing.assert_array_equal(cache.get(*texts), _targets(4)[row])
    assert cache.missing([("别的", None), TEXTS[0], ("别的", None)]) == [("别的", None)]
    assert TargetCache(folder, {"teacher": "b"}).missing(TEXTS) == TEXTS


def test_slots_make_another_row_of_a_text(tmp_path):
    example = InputExample("1", "播放吴雨霏的歌", None, "music")
    slots = [example._replace(slots=((2, 5, name),)) for name in ("singer", "song")]
    rows = [target_cache.texts_of(row) for row in [example, *slots]]
    assert rows[0] == ("播放吴雨霏的歌", None) and len(set(rows)) == 3
    cache = TargetCache(str(tmp_path), ABOUT)
    cache.add(rows, _targets(3))
    for row, texts in enumerate(rows):
        np.testing.assert_array_equal(cache.get(*texts), _targets(3)[row])


def test_each_granularity_has_its_own_row():
    text = labelled_splits.Example("1", "我们去吃饭", None, None, None)
    rows = {target_cache.texts_of(text._replace(granularity=name)) for name in ("fine", "coarse")}
    assert len(rows | {target_cache.texts_of(text)}) == 3
    assert len({target_cache.key_of(*row) for row in rows}) == 2


def test_targets_of_any_length(tmp_path):
    cache = TargetCache(str(tmp_path), ABOUT)
    cache.add(TEXTS[:3], [np.zeros(0, np.float32), np.ones(5, np.float32), np.ones(1, np.float32)])
    assert [len(cache.get(*texts)) for texts in TEXTS[:3]] == [0, 5, 1]


def test_a_writer_that_is_killed_leaves_no_half_chunk(tmp_path, monkeypatch):
    cache = TargetCache(str(tmp_path), ABOUT)
    cache.add(TEXTS[:2], _targets(2))
    written = []

    def killed_before_keys(path, *arrays, write=target_cache._write_arrays):
        if written:
            raise KeyboardInterrupt
        written.append(path)
        write(path, *arrays)

    monkeypatch.setattr(target_cache, "_write_arrays", killed_before_keys)
    with pytest.raises(KeyboardInterrupt):
        cache.add(TEXTS[2:], _targets(2))
    assert TargetCache(str(tmp_path), ABOUT).missing(TEXTS) == TEXTS[2:]


def _damage(name, content):
    """Replaces the content of a file, or removes the file if `content` is None."""
    storage.remove(name)  # writing does not shorten files in memory
    if content is not None:
        with storage.gfile().GFile(name, "wb") as handle:
            handle.write(content)


@pytest.mark.parametrize("ending", [".keys.npy", ".values.npy"])
@pytest.mark.parametrize("damage", ["cut", "empty", "removed", "of other rows", "head", "type"])
def test_rows_of_a_damaged_chunk_are_made_again(folder, ending, damage, capsys):
    cache = TargetCache(folder, ABOUT)
    cache.add(TEXTS[:2], _targets(2))
    (damaged,) = (n for n in storage.names_in(cache.folder) if n.endswith(ending))
    cache.add(TEXTS[2:3], _targets(1, 7))
    names = {n for n in storage.names_in(cache.folder) if n.endswith(ending)} - {damaged}
    damaged, other = (storage.joined(cache.folder, n) for n in (damaged, *names))
    contents = {
        "cut": memory_storage.content(damaged)[:-20],
        "empty": b"",
        "removed": None,
        "of other rows": memory_storage.content(other),
        "head": memory_storage.content(damaged).replace(b"), }", b", }"),
        "type": memory_storage.content(damaged).replace(b"'<", b"'<,").replace(b"'|", b"'|,"),
    }
    _damage(damaged, contents[damage])
    again = TargetCache(folder, ABOUT)
    shown = capsys.readouterr().out
    if (damage, ending) != ("removed", ".keys.npy"):  # without keys, the chunk counts as unfinished
        assert shown.startswith("warning: %s is damaged" % damaged[: -len(ending)])
        assert shown.count("\n") == 1
    assert again.missing(TEXTS[:3]) == TEXTS[:2]
    again.add(TEXTS[:2], _targets(2))
    whole = TargetCache(folder, ABOUT)
    assert whole.missing(TEXTS[:3]) == [] and capsys.readouterr().out == ""
    np.testing.assert_array_equal(whole.get(*TEXTS[1]), _targets(2)[1])


@pytest.mark.parametrize("ending, num_bytes", [(".keys.npy", 2 * 40), (".values.npy", 6 * 4)])
def test_rows_of_a_chunk_with_another_bit_are_made_again(tmp_path, ending, num_bytes, capsys):
    cache = TargetCache(str(tmp_path), ABOUT)
    cache.add(TEXTS[:2], _targets(2))
    (name,) = (n for n in storage.names_in(cache.folder) if n.endswith(ending))
    with open(os.path.join(cache.folder, name), "r+b") as handle:
        handle.seek(128 + num_bytes // 2)  # after the header of the file
        byte = handle.read(1)[0]
        handle.seek(-1, os.SEEK_CUR)
        handle.write(bytes([byte ^ 1]))
    again = TargetCache(str(tmp_path), ABOUT)
    assert again.missing(TEXTS[:2]) == TEXTS[:2]
    shown = capsys.readouterr().out
    assert shown.endswith("is damaged and ignored: its checksum belongs to other values\n")
    again.add(TEXTS[:2], _targets(2))
    whole = TargetCache(str(tmp_path), ABOUT)
    np.testing.assert_array_equal(whole.get(*TEXTS[1]), _targets(2)[1])


def test_chunks_of_earlier_versions_have_no_checksum_and_are_read(tmp_path, capsys):
    cache = TargetCache(str(tmp_path), ABOUT)
    cache.add(TEXTS[:2], _targets(2))
    (keys,) = (n for n in storage.names_in(cache.folder) if n.endswith(".keys.npy"))
    path = os.path.join(cache.folder, keys)
    np.save(path, np.load(path))
    former = TargetCache(str(tmp_path), ABOUT)
    assert former.missing(TEXTS) == TEXTS[2:] and capsys.readouterr().out == ""
    np.testing.assert_array_equal(former.get(*TEXTS[1]), _targets(2)[1])


def test_a_chunk_out_of_reach_is_not_taken_for_damaged(tmp_path, monkeypatch):
    TargetCache(str(tmp_path), ABOUT).add(TEXTS[:2], _targets(2))

    def refused(path):
        raise storage.StorageError(errno.EACCES, "no access (403)", path, "log in")

    monkeypatch.setattr(target_cache.transfer, "local_copy", refused)
    with pytest.raises(storage.StorageError, match="403"):
        TargetCache(str(tmp_path), ABOUT)


@pytest.mark.newest  # the limit is for current Python versions
def test_100000_rows_are_read_in_two_seconds(tmp_path):
    cache = TargetCache(str(tmp_path), ABOUT)
    texts = [("文本%d" % row, None) for row in range(100000)]
    for start in range(0, len(texts), 10000):
        cache.add(texts[start : start + 10000], _targets(10000, 15))
    seconds = []
    for _ in range(3):  # the minimum counts: other programs may slow down single passes
        begin = time.process_time()
        read = TargetCache(str(tmp_path), ABOUT)
        assert read.missing(texts) == []
        total = sum(float(read.get(*row)[0]) for row in texts)
        seconds.append(time.process_time() - begin)
    assert min(seconds) < 2
    assert total == 10 * sum(range(10000))
    assert len(os.listdir(read.folder)) == 21
