"""Runs of data creation: stopping and resuming, limits of memory and disk, statistics, Beam."""

import collections
import contextlib
import functools
import glob
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tracemalloc

import numpy as np
import pytest

from albert_zh.common import files, output_files, storage, validation
from albert_zh.common.errors import Interrupted, UserError
from albert_zh.corpus import counts as corpus_counts
from albert_zh.corpus import external_shuffle, masking, pipeline, sampling, work_folder
from albert_zh.corpus import reader as corpus_reader
from albert_zh.text import tokenization, word_segmentation
from project_root import ROOT

SAMPLE = os.path.join(ROOT, "data", "news_sample.txt")
ENGLISH = os.path.join(ROOT, "data", "english_sample.txt")
STARTER_VOCABULARY = os.path.join(ROOT, "albert_starter_zh", "vocab.txt")


def command(folder, script="create_pretraining_data.py", **flags):
    values = {
        "input_file": SAMPLE,
        "output_file": os.path.join(str(folder), "records"),
        "vocab_file": STARTER_VOCABULARY,
        "segmenter": "none",
        "num_workers": 2,
    }
    values.update(flags)
    return [sys.executable, os.path.join(ROOT, script)] + [
        "--%s=%s" % item for item in values.items() if item[1] is not None
    ]


def run(folder, preexec_fn=None, **flags):
    return subprocess.run(
        command(folder, **flags),
        capture_output=True,
        text=True,
        timeout=3600,  # enough for 200 MB on a busy core
        preexec_fn=preexec_fn,
        env=dict(os.environ, PYTHONIOENCODING="utf-8", OPENBLAS_NUM_THREADS="1"),
    )


def write_text(path, copies):
    """Writes a text of many shards, one for every 24 copies of the sample."""
    with open(SAMPLE, encoding="utf-8") as handle:
        text = handle.read() + "\n"
    with open(str(path), "w", encoding="utf-8") as handle:
        for _ in range(copies):
            handle.write(text)


def finished_shards(folder):
    times = {}
    for name in glob.glob(os.path.join(str(folder), ".records.unfinished", "*.done")):
        with contextlib.suppress(FileNotFoundError):  # the run joins shards and removes them
            times[name] = os.stat(name).st_mtime_ns
    return times


def wait_until(condition, seconds=60):
    deadline = time.time() + seconds
    while not condition():
        assert time.time() < deadline, "waited in vain"
        time.sleep(0.02)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs POSIX")
@pytest.mark.parametrize(
    "flags, number, status",
    [
        ({"dupe_factor": 3}, signal.SIGKILL, -signal.SIGKILL),
        pytest.param({"dupe_factor": 3}, signal.SIGINT, 130, marks=pytest.mark.slow),
        pytest.param(
            {"original_masking": True, "dupe_factor": 1},
            signal.SIGKILL,
            -signal.SIGKILL,
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_killed_run_goes_on_and_ends_as_if_it_had_not_been(flags, number, status, tmp_path):
    text = tmp_path / "text.txt"
    write_text(text, 120)
    flags = dict(flags, input_file=text)
    expected = tmp_path / "expected"
    done = run(tmp_path, output_file=expected, **flags)
    assert done.returncode == 0, done.stderr
    process = subprocess.Popen(
        command(tmp_path, **flags), stderr=subprocess.PIPE, universal_newlines=True
    )
    wait_until(lambda: len(finished_shards(tmp_path)) >= 2 or process.poll() is not None)
    process.send_signal(number)
    assert "Traceback" not in process.communicate()[1]
    assert process.returncode == status
    finished = finished_shards(tmp_path)
    assert finished and not (tmp_path / "records").exists()
    other = run(tmp_path, resume=True, random_seed=1, **flags)
    assert other.returncode == 2
    assert re.search("--resume: setting seed was 12345 .* is 1 now", other.stderr), other.stderr
    resumed = subprocess.Popen(
        command(tmp_path, resume=True, **flags), stdout=subprocess.PIPE, universal_newlines=True
    )
    later = {}
    while resumed.poll() is None:
        later.update(finished_shards(tmp_path))
        time.sleep(0.01)
    statistics = resumed.communicate()[0]
    assert resumed.returncode == 0
    assert finished.items() <= later.items()  # finished shards were not created again
    assert storage.sha256_of_file(str(tmp_path / "records")) == storage.sha256_of_file(
        str(expected)
    )
    assert sorted(os.listdir(str(tmp_path))) == [
        "expected",
        "expected.count",
        "records",
        "records.count",
        "text.txt",
    ]
    # The statistics cover the whole run.
    assert statistics.split("time")[0] == done.stdout.split("time")[0]


def job(text_format=corpus_reader.PLAIN, dupe_factor=2, **settings):
    defaults = sampling.Settings(
        max_seq_length=128,
        max_predictions=20,
        masked_lm_prob=0.15,
        short_seq_prob=0.1,
        seed=1,
        whole_words=True,
        run_weights=masking.WHOLE_WORDS,
        google=False,
        random_next=False,
        similar_next=False,
        permute=False,
        dynamic=False,
    )
    return pipeline.Job(
        settings=defaults._replace(**settings),
        vocab_file=STARTER_VOCABULARY,
        do_lower_case=True,
        spm_model_file=None,
        segmenter="none",
        user_dict=None,
        text_format=text_format,
        original=False,
        dupe_factor=dupe_factor,
    )


def test_what_a_run_is_made_from_must_be_the_same(tmp_path):
    parent = tmp_path / ("a folder of a long name" * 4)  # messages do not shorten paths
    parent.mkdir()
    output, text = str(parent / "out"), parent / "text.txt"
    text.write_text("一\n二\n", encoding="utf-8")

    def stopped(**settings):
        manifest = pipeline.manifest(job(**settings), [str(text)])
        with work_folder.work_folder(output, manifest, resume=True) as folder:
            is_finished = folder.is_finished("1")
            folder.finish("1", {"a": 1})
            assert folder.result("1", validation.record(others=validation.integer(0))) == {"a": 1}
            if not is_finished:
                raise KeyboardInterrupt
        return folder

    with pytest.raises(Interrupted, match="--resume continues"):
        stopped()
    for settings, message in (
        ({"seed": 2}, "setting seed was 1 .* is 2 now"),
        ({"dupe_factor": 3}, "setting dupe_factor was 2"),
        (
            {"text_format": corpus_reader.TextFormat(split_sentences=True)},
            "setting split_sentences was F",
        ),
    ):
        with pytest.raises(UserError, match=message):
            stopped(**settings)
    text.write_text("一\n三\n\n", encoding="utf-8")
    message = "input %s was of 8 bytes .* is of 9 bytes" % re.escape(str(text))
    with pytest.raises(UserError, match=message):
        stopped()
    # Without --resume the run starts over, and an error leaves no files behind.
    manifest = pipeline.manifest(job(), [str(text)])
    with pytest.raises(UserError, match="^because$"), work_folder.work_folder(
        output, manifest, False
    ) as folder:
        assert not folder.is_finished("1")
        folder.finish("1", {})
        raise UserError("because")
    assert os.listdir(str(parent)) == ["text.txt"]


def test_files_in_another_order_are_another_run():
    """Regression: resumed with the files in another order, a run duplicated and lost shards."""
    first, second = (pipeline.manifest(job(), paths) for paths in ([SAMPLE, ENGLISH],) * 2)
    other = pipeline.manifest(job(), [ENGLISH, SAMPLE])
    assert first == second != other
    assert first["input"] == other["input"]


@pytest.mark.parametrize("replaced", ["text.txt", "vocab.txt"])
def test_a_file_that_is_replaced_while_it_is_read_is_named(replaced, tmp_path, monkeypatch):
    shutil.copy(STARTER_VOCABULARY, str(tmp_path / "vocab.txt"))
    (tmp_path / "text.txt").write_text("今天天气好\n明天也好\n\n" * 20, encoding="utf-8")
    settings = job()._replace(vocab_file=str(tmp_path / "vocab.txt"))
    read_shards = corpus_reader.read_shards

    def replacing(*args):
        yield from read_shards(*args)
        with open(str(tmp_path / replaced), "a") as handle:
            handle.write("\n")

    monkeypatch.setattr(corpus_reader, "read_shards", replacing)
    output = str(tmp_path / "out.tfrecord")
    with pytest.raises(UserError, match=replaced + ": replaced while"):
        pipeline.run(settings, [str(tmp_path / "text.txt")], [output], 1)
    assert not os.path.exists(output)


def test_notes_take_no_memory_for_each_line():
    notes = corpus_counts.Notes([("a line", "x, line 1")])
    for number in range(2, 99):
        notes.update([("a line", "x, line %d" % number)])
    notes.update([("another", "y")], times=3)
    assert notes.lines() == ["a line: 98 (first: x, line 1)", "another: 3 (first: y)"]
    assert len(notes._first_sources) == 2


def test_a_run_is_the_same_in_another_time_zone(tmp_path, monkeypatch):
    (tmp_path / "text.txt").write_text("x")
    manifests = []
    try:
        for zone in ("Asia/Shanghai", "UTC"):
            monkeypatch.setenv("TZ", zone)
            time.tzset()
            manifests.append(pipeline.manifest(job(), [str(tmp_path / "text.txt")]))
    finally:
        monkeypatch.undo()
        time.tzset()
    assert manifests[0] == manifests[1]


def test_nothing_is_kept_of_a_run_stopped_before_anything_was_finished(tmp_path):
    with pytest.raises(KeyboardInterrupt), work_folder.work_folder(
        str(tmp_path / "out"), {}, False
    ):
        raise KeyboardInterrupt
    assert os.listdir(str(tmp_path)) == []


def test_two_runs_do_not_make_the_same_file(tmp_path, monkeypatch):
    monkeypatch.setattr(work_folder, "_SECONDS_TO_WAIT", 0)
    output = str(tmp_path / "out")
    with work_folder.work_folder(output, {}, False), pytest.raises(
        UserError, match="out: another process is writing it"
    ), work_folder.work_folder(output, {}, False):
        pass


def test_many_runs_are_combined_and_killing_that_does_no_harm(tmp_path):
    rng = np.random.RandomState(1)
    records = [b"%d" % n * rng.randint(1, 9) for n in range(1000)]
    keys = np.frombuffer(rng.bytes(8000), "<u8")

    def runs():
        names = [str(tmp_path / ("%03d" % number)) for number in range(100)]
        for number, name in enumerate(names):
            part = slice(10 * number, 10 * number + 10)
            external_shuffle.write_run(name, records[part], keys[part])
        return names

    names = runs()
    combined = external_shuffle.combine_many(names, most=7, bucket_bytes=100)
    assert len(combined) == 7
    assert len(os.listdir(str(tmp_path))) == 14
    # The same files as after a kill while the second group is combined.
    runs()
    os.remove(combined[1] + ".index.npy")
    for name in names[:5]:
        os.remove(name + ".records")
    assert external_shuffle.combine_many(names, most=7, bucket_bytes=100) == combined
    with open(str(tmp_path / "all"), "wb") as handle:
        external_shuffle.merge_runs(combined, [handle], bucket_bytes=300)
    expected = b"".join(records[n] for n in np.argsort(keys))
    assert (tmp_path / "all").read_bytes() == expected


def test_statistics_account_for_every_line(tmp_path):
    text = tmp_path / "text.txt"
    text.write_bytes(
        "\n一𪚥句。\n\u200b\n二句𪚥𪚥！\n\n独\n\n甲，甲甲甲甲甲甲甲。\n乙乙 乙乙龖丁丁。\n".encode()
    )
    stats = tmp_path / "stats.json"
    done = run(tmp_path, input_file=text, dupe_factor=50, stats=stats, do_whole_word_mask=True)
    assert done.returncode == 0, done.stderr
    values = json.loads(stats.read_text(encoding="utf-8"))
    assert values["lines"] == 9 and values["blank lines"] == 3
    assert values["documents"] == 3 and values["documents of one sentence"] == 1
    assert values["sentences"] == 5 and values["sentences without pieces"] == 1
    assert values["lines"] == (
        values["blank lines"] + values["sentences"] + values["sentences without pieces"]
    )
    assert values["records"] == 100
    assert sum(values["lengths"].values()) == values["records"]
    lengths = sum(int(length) * count for length, count in values["lengths"].items())
    assert lengths == round(values["average length"] * values["records"])
    assert abs(values["padding"] - (1 - lengths / 12800)) < 1e-9
    assert values["unknown characters"] == {"𪚥": 3, "龖": 1}
    assert values["unknown"] == 4 / 28
    assert 0.3 < values["label 1"] < 0.7
    masked = sum(int(length) * count for length, count in values["masked words"].items())
    assert masked == round(values["masked"] * lengths)
    assert values["warnings"] == [
        "lines with control or damaged characters, which were removed: 1 (first: %s, line 3)" % text
    ]
    assert "warning: " + values["warnings"][0] in done.stderr
    assert (tmp_path / "stats.png").read_bytes().startswith(b"\x89PNG")
    assert "unknown characters         𪚥 3 龖 1" in done.stdout


@pytest.mark.parametrize("is_original", [False, True])
def test_unknown_characters_are_counted(is_original, tmp_path):
    """Regression: with --original_masking, the share of unknown pieces was 0.000 % for any text."""
    text = tmp_path / "text.txt"
    text.write_text("今天𠮷好\n我们\n\u200b\n\n去𠮷\n公园\n", encoding="utf-8")
    stats = tmp_path / "stats.json"
    done = run(tmp_path, input_file=text, stats=stats, original_masking=is_original)
    assert done.returncode == 0, done.stderr
    found = files.read_json(str(stats))
    assert found["unknown"] == 2 / 10
    assert found["unknown characters"] == {"𠮷": 2}
    assert found["sentences without pieces"] == 1


def test_lengths_of_masked_words_are_those_of_the_words():
    features = {
        "input_mask": np.array([[1, 1, 1, 1, 1, 1, 1, 1, 0]]),
        "segment_ids": np.array([[0, 0, 0, 0, 0, 1, 1, 1, 0]]),
        "token_boundary": np.array([[1, 1, 0, 0, 1, 1, 0, 1, 0]]),
        "input_ids": np.array([[2, 9, 9, 9, 3, 8, 9, 3, 0]]),
        "next_sentence_labels": np.array([[1]]),
        "masked_lm_positions": np.array([[1, 2, 3, 5, 6, 0]]),
        "masked_lm_weights": np.array([[1.0, 1, 1, 1, 1, 0]]),
    }
    counts = corpus_counts.counts_of_records(features)
    assert counts["masked word: 3"] == 1 and counts["masked word: 2"] == 1
    counts = corpus_counts.counts_of_records(features, whole_words=False)
    assert counts["masked word: 1"] == 5 and "masked word: 2" not in counts
    assert (counts["pieces"], counts["places"], counts["label 1"]) == (8, 9, 1)
    assert counts["[CLS] and [SEP]"] == 3


@pytest.mark.parametrize("form", ["doc_sentences", "full_sentences"])
def test_statistics_of_one_segment_hold_all_the_text(tmp_path, form):
    """The separators between documents in a record do not count as text."""
    text = tmp_path / "a.txt"
    text.write_text("今天天气很好\n\n我们去公园\n\n" * 3, encoding="utf-8")
    stats = tmp_path / "stats.json"
    done = run(tmp_path, input_file=text, format=form, dupe_factor=1, stats=stats)
    assert done.returncode == 0, done.stderr
    assert json.loads(stats.read_text(encoding="utf-8"))["text in records"] == 1


def test_a_document_of_several_shards_counts_once(tmp_path):
    text = tmp_path / "a.txt"
    text.write_text("\n".join(["今天天气很好。"] * 20) + "\n\n一句。\n", encoding="utf-8")
    shards = list(corpus_reader.read_shards([str(text)], shard_characters=10))
    assert sum(shard.continues for shard in shards) > 1
    tokenizer = tokenization.FullTokenizer(STARTER_VOCABULARY)
    encoder = word_segmentation.LineEncoder(tokenizer)
    counts = collections.Counter()
    for shard in shards:
        counts.update(sampling.encode_shard(shard, encoder).counts)
    assert (counts["documents"], counts["documents of one sentence"]) == (2, 1)


def limited(**limits):
    """Returns a function that sets resource limits of a process: limited(AS=bytes)."""
    import resource

    def set_limits():
        for name, value in limits.items():
            resource.setrlimit(getattr(resource, "RLIMIT_" + name), (value, value))

    return set_limits


def test_a_full_disk_is_told_and_leaves_nothing_behind(tmp_path):
    pytest.importorskip("resource")
    done = run(tmp_path, preexec_fn=limited(FSIZE=20000), dupe_factor=10)
    assert done.returncode == 2
    assert re.search("records: cannot be written .File too large.: .*ulimit -f", done.stderr)
    assert len(done.stderr.strip().split("\n")) == 1
    assert os.listdir(str(tmp_path)) == []


@pytest.mark.slow
def test_a_disk_that_is_full_late_keeps_what_is_finished(tmp_path):
    pytest.importorskip("resource")
    write_text(tmp_path / "text.txt", 24 * 6)
    flags = {"input_file": tmp_path / "text.txt", "masking": "dynamic", "dupe_factor": 1}
    (tmp_path / "straight").mkdir()
    assert run(tmp_path / "straight", **flags).returncode == 0
    expected = files.read_bytes(str(tmp_path / "straight" / "records"))
    done = run(tmp_path, preexec_fn=limited(FSIZE=len(expected) // 2), **flags)
    assert done.returncode == 2 and len(done.stderr.strip().split("\n")) == 1
    assert re.search("free space; the same command with --resume continues", done.stderr)
    done = run(tmp_path, resume=True, **flags)
    assert done.returncode == 0, done.stderr
    assert files.read_bytes(str(tmp_path / "records")) == expected


@pytest.mark.slow
def test_no_shard_is_kept_when_it_is_finished(tmp_path, monkeypatch):
    copies = 2  # of the sample per shard
    size = copies * os.path.getsize(SAMPLE) // 3  # in characters, most of which have 3 bytes
    shards = functools.partial(corpus_reader.read_shards, shard_characters=size)
    monkeypatch.setattr(corpus_reader, "read_shards", shards)
    settings = job(dupe_factor=1)
    pipeline.check(settings)

    def peak(num_shards):
        """Returns Python's peak memory in bytes while a text of so many shards is processed."""
        text = str(tmp_path / ("%d.txt" % num_shards))
        write_text(text, copies * num_shards)
        made_from = pipeline.manifest(settings, [text])
        with work_folder.work_folder(text + ".records", made_from, resume=False) as folder:
            tracemalloc.start()
            results = pipeline._results(settings, [text], 1, pipeline.Worker.write_runs, folder)
            assert sum(1 for _ in results) == num_shards
            most = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        return most

    peak(2)  # allocates what is created only once
    assert peak(20) < peak(2) + 18 * copies * os.path.getsize(SAMPLE)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_text(tmp_path):
    """Each process has its own address space: the limit is per worker."""
    pytest.importorskip("resource")
    megabytes = 200
    text = tmp_path / "text.txt"
    copies = (megabytes << 20) // os.path.getsize(SAMPLE)
    write_text(text, copies)
    with open(str(text), "a", encoding="utf-8") as handle:
        handle.write("一行很长的字" * ((megabytes << 20) // 4 // 18))
    done = run(
        tmp_path,
        preexec_fn=limited(AS=600 << 20),
        input_file=text,
        segmenter="jieba",
        dupe_factor=1,
    )
    assert done.returncode == 0, done.stderr
    assert "lines                      %d\n" % (269 * copies + 1) in done.stdout
    assert (tmp_path / "records").stat().st_size > megabytes << 18


def test_english_needs_no_segmenter(tmp_path):
    done = run(
        tmp_path,
        input_file=ENGLISH,
        segmenter=None,
        non_chinese=True,
        do_whole_word_mask=True,
        stats=tmp_path / "stats.json",
    )
    assert done.returncode == 0, done.stderr
    values = json.loads((tmp_path / "stats.json").read_text(encoding="utf-8"))
    with open(ENGLISH, encoding="utf-8") as handle:
        lines = handle.read().split("\n")[:-1]
    assert values["sentences"] == sum(map(bool, lines)) and values["documents"] >= 8
    assert values["unknown"] == 0
    # With whole words, all pieces of a word, often several, are masked together.
    assert sum(values["masked words"].values()) > 100 and len(values["masked words"]) > 3


@pytest.mark.parametrize("flags", [{"segmenter": "rjieba"}, {"span": True}])
def test_other_segmenters_and_masks(flags, tmp_path):
    pytest.importorskip(flags.get("segmenter", "pytest"))
    done = run(tmp_path, do_whole_word_mask=True, dupe_factor=3, **flags)
    assert done.returncode == 0, done.stderr
    (masked,) = re.findall(r"^masked +([0-9.]+)%$", done.stdout, re.MULTILINE)
    assert 14 < float(masked) <= 15.2


def framed_records(path):
    """Returns a Counter of the framed records of a file, as bytes."""
    with open(str(path), "rb") as handle:
        content = handle.read()
    found, place = collections.Counter(), 0
    while place < len(content):
        end = place + 16 + int.from_bytes(content[place : place + 8], "little")
        found[content[place:end]] += 1
        place = end
    return found


def test_beam_makes_the_same_records(tmp_path):
    pytest.importorskip("apache_beam")
    text = tmp_path / "text.txt"
    write_text(text, 40)
    flags = {"input_file": text, "dupe_factor": 2}
    outputs = [tmp_path / name for name in ("local", "beam-1", "beam-2")]
    assert run(tmp_path, output_file=outputs[0], **flags).returncode == 0
    done = run(
        tmp_path,
        output_file="%s,%s" % tuple(outputs[1:]),
        runner="beam",
        beam_options="--direct_num_workers=2 --direct_running_mode=multi_processing",
        **flags,
    )
    assert done.returncode == 0, done.stderr
    local, first, second = map(framed_records, outputs)
    assert first + second == local and min(map(len, (first, second))) > 0.4 * len(local)
    assert "documents                  %d\n" % (23 * 40) in done.stdout


def test_beam_that_is_missing_is_told(tmp_path):
    try:
        import apache_beam  # noqa: F401
    except ImportError:
        done = run(tmp_path, runner="beam")
        assert done.returncode == 2 and "requirements-beam.txt" in done.stderr
    else:
        pytest.skip("it is here")


def test_too_few_open_files_end_the_command(tmp_path):
    """The command also ends if one worker has started and the next one cannot."""
    text = tmp_path / "text.txt"
    text.write_text("今天天气很好。\n我们去公园。\n\n" * 50, encoding="utf-8")
    command = os.path.join(ROOT, "create_pretraining_data.py")
    line = "ulimit -n %d; exec '%s' '%s' --input_file='%s' --output_file='%s' --segmenter=none"
    statuses = []
    for number in (14, 16, 18, 20):
        done = subprocess.run(
            line % (number, sys.executable, command, text, tmp_path / "records")
            + " --vocab_file='%s' --num_workers=3" % STARTER_VOCABULARY,
            shell=True,
            executable="/bin/bash",
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode in (0, 2), done.stderr
        if done.returncode:
            assert "Traceback" not in done.stderr
            assert "too many files are open: raise the limit" in done.stderr
            assert os.listdir(str(tmp_path)) == ["text.txt"]
        statuses.append(done.returncode)
    assert 2 in statuses


def test_a_folder_whose_manifest_cannot_be_written_goes(tmp_path, monkeypatch):
    def fail(path, value):
        raise files.cannot_write(path, OSError(28, "No space left on device"))

    monkeypatch.setattr(output_files, "write_json", fail)
    with pytest.raises(UserError, match="No space"), work_folder.work_folder(
        str(tmp_path / "records"), {"settings": {}}, resume=False
    ):
        pass
    assert os.listdir(str(tmp_path)) == []
