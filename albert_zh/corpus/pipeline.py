"""Converts raw text to shuffled record files, on one machine with any number of processes.

    counts, notes = run(job, paths, outputs, num_workers=8, resume=False)

Shards of the text are processed in parallel and their records are written to disk, sorted by random
keys; then all are merged into the output files. The records of a shard depend only on its text, its
number and the settings, so that the output is identical for any number of processes, and if a run
is interrupted and resumed.
"""

import collections
import concurrent.futures
import contextlib
import mmap
import multiprocessing
import os
import signal
import threading
import time
from typing import Any, Counter, Dict, Iterator, List, Mapping, Sequence, Tuple

import numpy as np

from albert_zh.common import output_files, storage, validation
from albert_zh.common.errors import UserError, naming
from albert_zh.common.progress import progress_bar
from albert_zh.corpus import counts as corpus_counts
from albert_zh.corpus import (
    external_shuffle,
    original_sampling,
    record_counts,
    sampling,
    similar_words,
    tfrecords,
    work_folder,
)
from albert_zh.corpus import reader as corpus_reader
from albert_zh.text import tokenization, word_segmentation, word_starts
from albert_zh.text.vocabulary_files import UNKNOWN

_RUN_BYTES = 32 << 20  # of records that a worker holds in memory before it writes them to disk
_FORMAT = 1  # version of the file format of the work folder
_LIST = validation.list_of(validation.ANYTHING)
FINISHED_SHARD = validation.record(
    {
        "counts": validation.record(others=validation.integer(0)),
        "runs": validation.list_of(validation.TEXT),
        "documents": validation.list_of(validation.list_of(_LIST)),
    },
    ["counts"],
)

Job = collections.namedtuple(
    "Job",
    "settings vocab_file do_lower_case spm_model_file segmenter user_dict text_format original "
    "dupe_factor similar_words",
    defaults=(None,),
)
Job.__doc__ = """The settings of a run that its workers need.

The fields are flags of create_pretraining_data.py, except for `settings`
(`sampling.Settings`), `text_format` (`reader.TextFormat`) and `original`.
"""


class Worker:
    """Tokenizes text and creates records, in a worker process or in the main process."""

    def __init__(self, job: Job) -> None:
        """Reads the vocabulary and dictionaries of a `Job`."""
        self.job = job
        self.digests = _digests(job)
        self.tokenizer = tokenization.FullTokenizer(
            job.vocab_file, job.do_lower_case, job.spm_model_file
        )
        with naming(job.spm_model_file or job.vocab_file):
            self.vocabulary = sampling.make_vocabulary(self.tokenizer)
        self.segmenter = word_segmentation.make_segmenter(job.segmenter, job.user_dict)
        self.starts_word = (
            word_starts.starts_sentencepiece_word if job.spm_model_file else word_starts.starts_word
        )
        self._encoder = word_segmentation.LineEncoder(
            self.tokenizer, self.segmenter, self.starts_word
        )
        similar, self.notes = None, []
        if job.similar_words:
            with naming("--similar_words"):
                similar = similar_words.read(job.similar_words, self.tokenizer)
            self.notes = similar.notes + self._unusable(similar)
        self._sampler = sampling.Sampler(job.settings, self.vocabulary, similar)

    def _unusable(self, similar):
        """Notes about similar words that are never used, as the text is not segmented."""
        num_long = sum(len(ids) > 1 for ids in similar.similar)
        if self.segmenter is not None or self.job.spm_model_file or not num_long:
            return []
        return [
            "%s: %d of %d words have several pieces, and without --segmenter=jieba each Chinese "
            "character is a word: words without a similar word are replaced with a random piece"
            % (self.job.similar_words, num_long, len(similar.similar))
        ]

    def records(
        self, shard: corpus_reader.Shard
    ) -> Iterator[Tuple[List[bytes], np.ndarray, Counter[str]]]:
        """Creates all records of a shard.

        Args:
            shard: `reader.Shard`.

        Yields:
            (list of N framed records, their random keys as uint64 [N], their counts) for each
            batch; the counts of the text are yielded first, without records.
        """
        encoded = sampling.encode_shard(shard, self._encoder)
        yield [], np.zeros(0, np.uint64), shard.counts + encoded.counts
        for number in range(self.job.dupe_factor):
            generator = np.random.RandomState(_key_seed(self.job, shard, number))
            for features in self._sampler.features(encoded, number):
                framed = framed_records(features, self.job.settings)
                keys = np.frombuffer(generator.bytes(8 * len(framed)), "<u8")
                counts = corpus_counts.counts_of_records(features, self.job.settings.whole_words)
                yield framed, keys, counts

    def write_runs(self, shard: corpus_reader.Shard, folder: work_folder.WorkFolder) -> None:
        """Writes all records of a shard to the work folder, as sorted runs to be merged later."""
        counts = collections.Counter()
        runs, records, keys, size = [], [], [], 0

        def write():
            runs.append("%08d-%06d" % (shard.index, len(runs)))
            path = os.path.join(folder.path, runs[-1])
            external_shuffle.write_run(path, records, np.concatenate(keys))

        for framed, batch_keys, batch_counts in self.records(shard):
            counts.update(batch_counts)
            records += framed
            keys.append(batch_keys)
            size += sum(map(len, framed))
            if size >= _RUN_BYTES:
                write()
                records, keys, size = [], [], 0
        if records:
            write()
        folder.finish(_name(shard), {"counts": counts, "runs": runs})

    def write_original_pieces(
        self, shard: corpus_reader.Shard, folder: work_folder.WorkFolder
    ) -> None:
        """Writes the marked pieces of each line of a shard to the work folder."""
        counts, documents = collections.Counter(shard.counts), []
        for lines in shard.documents:
            documents.append([self._original_pieces(line, counts) for line in lines])
        folder.finish(_name(shard), {"counts": counts, "documents": documents})

    def _original_pieces(self, line, counts):
        """Splits a line into marked pieces and adds them to the counts."""
        pieces = original_sampling.original_pieces(line, self.tokenizer, self.segmenter)
        counts["sentences without pieces"] += not pieces
        if UNKNOWN in pieces:
            counts.update(corpus_counts.counts_of_unknown(line, pieces, UNKNOWN, self._encoder))
        return pieces


def framed_records(features: Mapping[str, np.ndarray], settings: sampling.Settings) -> List[bytes]:
    """Serializes a batch of features to records in TFRecord format."""
    if not (settings.google or settings.dynamic):
        features = {name: features[name] for name in features if name != "token_boundary"}
    return tfrecords.frame_records(tfrecords.encode_examples(features))


def _name(shard):
    return "%08d" % shard.index


def _key_seed(job, shard, number):
    """Seed of the random keys of the records of one pass, as 32-bit words."""
    seed = job.settings.seed
    return [seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF, shard.index, number]


def check(job: Job) -> List[str]:
    """Creates the worker of this process, so that errors are found before processes are started.

    Returns:
        notes for the user about the job's files.
    """
    _start_worker(job)
    return _worker.notes


def run(
    job: Job, paths: Sequence[str], outputs: Sequence[str], num_workers: int, resume: bool = False
) -> Tuple[Counter[str], corpus_counts.Notes]:
    """Creates record files.

    Args:
        job: `Job`.
        paths: the text files.
        outputs: the files to write; record i goes to the file with the number i modulo the number
            of files.
        num_workers: number of processes.
        resume: whether to continue an interrupted run with the same settings.

    Returns:
        (counts of the text and the records, see `corpus.counts`; the `Notes` about the text).

    Raises:
        UserError: if the text cannot be read or has no sentence pairs, if output files cannot be
            written, or if a file is replaced while it is being read.
    """
    _start_worker(job)
    made_from = manifest(job, paths)
    _check_not_replaced(_worker.digests, made_from["file"])
    with work_folder.work_folder(outputs[0], made_from, resume) as folder:
        make = _make_original_records if job.original else _make_records
        return make(job, paths, outputs, num_workers, folder)


def manifest(job: Job, paths: Sequence[str]) -> Dict[str, Dict[str, Any]]:
    """Returns all settings and input files that determine the output of a run."""
    settings = dict(job._asdict(), **job.settings._asdict())
    settings.update(job.text_format._asdict(), format=_FORMAT)
    for name in ("settings", "text_format"):
        del settings[name]
    settings["run_weights"] = " ".join("%.3g" % weight for weight in settings["run_weights"])
    settings["order of the input"] = ", ".join(paths)  # it determines the numbers of the shards
    return {
        "setting": settings,
        "input": {path: _fingerprint(path) for path in paths},
        "file": _digests(job),
    }


def _digests(job):
    """Returns {path: sha256} of the files that a worker reads."""
    paths = (job.vocab_file, job.spm_model_file, job.user_dict, job.similar_words)
    return {path: storage.sha256_of_file(path) for path in paths if path and storage.is_file(path)}


def _check_not_replaced(before, now):
    """Raises `UserError` if the fingerprint of a file has changed since it was first read."""
    for path, fingerprint in before.items():
        if now[path] != fingerprint:
            raise UserError("%s: replaced while it was being read: run the command again" % path)


def _fingerprint(path):
    return "of %d bytes from %s" % (storage.size(path), _universal_time(storage.modified(path)))


def _universal_time(seconds):
    fraction = "%.6f" % (seconds % 1)
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds)) + fraction[1:] + " UTC"


def _make_records(job, paths, outputs, num_workers, folder):
    counts, notes, runs = collections.Counter(), corpus_counts.Notes(), []
    for shard, result in _results(job, paths, num_workers, Worker.write_runs, folder):
        counts.update(result["counts"])
        notes.update(shard.notes)
        runs += [os.path.join(folder.path, name) for name in result["runs"]]
    check_any(counts, paths, job.settings.one_segment)
    runs = external_shuffle.combine_many(runs)
    size = external_shuffle.total_bytes(runs)
    with _open_outputs(outputs) as handles, progress_bar("shuffled", size, "B") as bar:
        external_shuffle.merge_runs(runs, handles, progress=bar)
    _write_indices(outputs, counts["records"], job.do_lower_case)
    return counts, notes


def _make_original_records(job, paths, outputs, num_workers, folder):
    counts, notes = collections.Counter(), corpus_counts.Notes()
    text = original_sampling.OriginalText(
        _worker.tokenizer, _worker.segmenter is not None, _worker.starts_word
    )
    for shard, result in _results(job, paths, num_workers, Worker.write_original_pieces, folder):
        text.add_shard(result["documents"], shard.continues)
        counts.update(result["counts"])
        notes.update(shard.notes)
    counts.update(text.encoded().counts)
    path = os.path.join(folder.path, "records")
    ends, order = _write_original_records(job, text, path, counts)
    check_any(counts, paths, job.settings.one_segment)
    with _mapped(path) as records, _open_outputs(outputs) as handles:
        for place, number in enumerate(order):
            handles[place % len(handles)].write(records[ends[number] : ends[number + 1]])
    _write_indices(outputs, counts["records"], job.do_lower_case)
    return counts, notes


def _write_indices(outputs, num_records, do_lower_case):
    """Writes the index of each output file: its number of records, and whether it keeps case."""
    for shift, path in enumerate(outputs):
        num_of_file = len(range(shift, num_records, len(outputs)))
        record_counts.write(path, num_of_file, do_lower_case)


def _write_original_records(job, text, path, counts):
    """Writes the records in the order in which they are drawn.

    Returns:
        (end positions of the records in the file, numbers of the records in their final order).
    """
    sampler = original_sampling.OriginalSampler(text, job.settings, _worker.vocabulary)
    num_documents = job.dupe_factor * len(text.encoded().documents)
    ends = [0]
    with open(path, "wb") as handle, progress_bar("documents", num_documents, "") as bar:
        for features in sampler.batches(job.dupe_factor):
            framed = framed_records(features, job.settings)
            handle.write(b"".join(framed))
            ends += (ends[-1] + np.cumsum([len(record) for record in framed])).tolist()
            counts.update(corpus_counts.counts_of_records(features, job.settings.whole_words))
            bar.update(sampler.documents_done - bar.n)
    return ends, sampler.shuffled_order()


def _results(job, paths, num_workers, function, folder):
    """Yields (shard, its result) for all shards, and shows a progress bar.

    Args:
        job: `Job`.
        paths: the text files.
        num_workers: number of processes.
        function: method of `Worker` that processes a shard and stores its result in the folder.
        folder: `work_folder.WorkFolder`.
    """
    with progress_bar("text", corpus_reader.total_bytes(paths), "B") as bar:
        shards = corpus_reader.read_shards(paths, job.text_format)
        for shard in _finished_in_order(job, num_workers, function, shards, folder):
            yield shard, folder.result(_name(shard), FINISHED_SHARD)
            bar.update(shard.bytes_read - bar.n)
    for section in ("input", "file"):
        _check_not_replaced(folder.manifest[section], manifest(job, paths)[section])


def _finished_in_order(job, num_workers, function, shards, folder):
    """Yields all shards in order, each when it is finished.

    Only a few shards per process are read ahead.
    """
    if num_workers == 1:
        for shard in shards:
            if not folder.is_finished(_name(shard)):
                function(_worker, shard, folder)
            yield shard._replace(documents=None)
        return
    waiting = collections.deque()
    with _pool(job, num_workers) as pool:
        try:
            for shard in shards:
                is_finished = folder.is_finished(_name(shard))
                future = None if is_finished else pool.submit(_work, function, shard, folder)
                waiting.append((shard._replace(documents=None), future))
                while len(waiting) >= 3 * num_workers:
                    yield _first_finished(waiting)
            while waiting:
                yield _first_finished(waiting)
        finally:
            for _, future in waiting:
                if future is not None:
                    future.cancel()


def _first_finished(waiting):
    shard, future = waiting.popleft()
    if future is not None:
        future.result()
    return shard


@contextlib.contextmanager
def _pool(job, num_workers):
    """Starts worker processes; raises `work_folder.Unfinished` if one of them is killed."""
    try:
        with concurrent.futures.ProcessPoolExecutor(
            num_workers, initializer=_start_process, initargs=(job, os.getpid())
        ) as pool:
            try:
                yield pool
            except (OSError, MemoryError):  # a process could not be started: stop the waiting ones
                for process in multiprocessing.active_children():
                    process.terminate()
                raise
    except concurrent.futures.process.BrokenProcessPool as error:
        raise work_folder.Unfinished(
            "a worker was killed, most often for lack of memory: add --resume to continue, with "
            "fewer than --num_workers=%d" % num_workers
        ) from error


_worker: Any = None  # this process's `Worker`


def _start_worker(job):
    global _worker
    if _worker is None or _worker.job != job:  # a forked process inherits its parent's worker
        _worker = Worker(job)


def _start_process(job, parent):
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent process handles Ctrl-C
    threading.Thread(target=_end_with_parent, args=(parent,), daemon=True).start()
    _start_worker(job)


def _end_with_parent(parent):
    """Ends this process when its parent is killed."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _work(function, shard, folder):
    function(_worker, shard, folder)


@contextlib.contextmanager
def _mapped(path):
    """Maps a file into memory."""
    with open(path, "rb") as handle, mmap.mmap(
        handle.fileno(), 0, access=mmap.ACCESS_READ
    ) as content:
        yield content


@contextlib.contextmanager
def _open_outputs(outputs):
    """Opens all output files for writing; they appear together or not at all."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(output_files.atomic_write(path, "wb")) for path in outputs]


def check_any(counts: Counter[str], paths: Sequence[str], one_segment: bool) -> None:
    """Raises `UserError` if no record was created from the files."""
    if not counts["records"]:
        more = " and %d more" % (len(paths) - 1) if len(paths) > 1 else ""
        missing = "text" if one_segment else "two sentences"
        of_one_sentence = "" if one_segment else ", --one_segment for documents of one sentence"
        raise UserError(
            "%s: no %s in any of %d lines and %d documents: expected one sentence per line and a "
            "blank line between documents (or --split_sentences for paragraphs%s)"
            % (paths[0] + more, missing, counts["lines"], counts["documents"], of_one_sentence)
        )
