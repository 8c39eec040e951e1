r"""Makes TFRecords for pre-training from raw text: masked words and the order of segments.

    python create_pretraining_data.py --do_whole_word_mask=true --input_file='my/*.txt' \
        --output_file=my/records.tfrecord --vocab_file=albert_starter_zh/vocab.txt \
        --max_seq_length=512 --max_predictions_per_seq=51 --masked_lm_prob=0.10

The input has a sentence a line and a blank line between documents (with --split_sentences, a
paragraph a line), or is a file of JSON lines (.jsonl) with fields text and title; files may be
compressed with gzip. Several files, patterns and folders are separated by commas. The same input
and flags give the same files, byte for byte, whatever --num_workers is.

--original_masking=true makes the records that albert_zh made, one by one, faults included.
"""

import collections
import concurrent.futures
import contextlib
import mmap
import os
import signal
import tempfile
import time

from absl import flags
import numpy as np

from errors import UserError, run_command
import corpus
import external_shuffle
import files
import masking
import original_pretraining_data
import pretraining_data
from progress import progress_bar
import segmentation
import tfrecords
import tokenization

FLAGS = flags.FLAGS

_RUN_BYTES = 32 << 20  # of records that a worker holds before it writes them down

Job = collections.namedtuple(
    "Job",
    "settings vocab_file do_lower_case spm_model_file segmenter user_dict text_format original "
    "dupe_factor",
)
Job.__doc__ = """All that a worker must know.

The fields are flags but for `settings`, `text_format` (`corpus.TextFormat`) and `original`.
"""


def define_flags(google=False):
    """Defines the command's flags, with the defaults of google's script or of brightmart's."""
    table = [
        ("string", "input_file", None, "Text files, patterns or folders, separated by commas."),
        ("string", "output_file", None, "TFRecord files to write, separated by commas."),
        ("string", "vocab_file", None, "The vocabulary (vocab.txt) of the model."),
        ("bool", "do_lower_case", True, "Whether text is lower-cased and loses its accents."),
        (
            "bool",
            "do_whole_word_mask",
            google,
            "Whether words are masked whole.",
        ),
        ("integer", "max_seq_length", 512 if google else 128, "Pieces in a sequence."),
        ("integer", "max_predictions_per_seq", 20, "The most pieces to mask in a sequence."),
        ("integer", "random_seed", 12345, "Seed of all that is drawn."),
        ("integer", "dupe_factor", 10, "How often the input is used, with other masks each time."),
        ("float", "masked_lm_prob", 0.15, "Share of the pieces to mask."),
        ("float", "short_seq_prob", 0.1, "How often a document's sequences are shorter."),
        ("bool", "non_chinese", False, "Whether words are told by spaces, not by a segmenter."),
        ("bool", "original_masking", False, "Whether to make albert_zh's records, one by one."),
        ("integer", "ngram", 3 if google else 1, "The most words to mask in a row, as n-grams."),
        ("bool", "span", False, "Whether to mask spans of up to 10 words, as SpanBERT does."),
        ("string", "encoding", "utf-8", "Encoding of the input, such as gb18030 (GBK)."),
        ("bool", "split_sentences", False, "Whether lines are paragraphs, to cut into sentences."),
        ("string", "user_dict", None, "A user dictionary for jieba."),
        ("integer", "num_workers", os.cpu_count(), "How many processes work at the same time."),
    ]
    google_table = [
        ("string", "spm_model_file", None, "A SentencePiece model to use, not a vocabulary."),
        ("bool", "do_permutation", False, "Whether as many pieces again are shuffled."),
        (
            "bool",
            "favor_shorter_ngram",
            False,
            "Whether n words are drawn as 1/n: always so.",
        ),
        ("bool", "favor_longer_ngram", False, "Whether longer n-grams are drawn more often."),
        ("bool", "random_next_sentence", False, "Whether B is from elsewhere, not swapped with A."),
    ]
    for kind, name, default, help_text in table + (google_table if google else []):
        getattr(flags, "DEFINE_" + kind)(name, default, help_text)
    flags.DEFINE_enum(
        "masking", "static", ["static", "dynamic"], "Whether to mask now, or anew in each epoch."
    )
    flags.DEFINE_enum(
        "segmenter",
        "none" if google else "jieba",
        segmentation.SEGMENTERS,
        "What tells whole words; without one, every hanzi is a word. rjieba is fast.",
    )


def main(google=False):
    """Makes the records that the flags ask for."""
    _check_flags(google)
    outputs = [part.strip() for part in FLAGS.output_file.split(",") if part.strip()]
    paths = corpus.input_files(FLAGS.input_file, leave_out=outputs)
    job = _job(google)
    _start_worker(job)  # here first: a mistake shows before any process starts
    start = time.time()
    with _work_folder(outputs[0]) as folder:
        make = _make_original_records if job.original else _make_records
        counts = make(job, paths, outputs, folder)
    _print_summary(counts, outputs, time.time() - start)


def _check_flags(google):
    for name in ("input_file", "output_file"):
        if not FLAGS[name].value:
            raise UserError("--%s is required (%s)" % (name, FLAGS[name].help.rstrip(".")))
    if not FLAGS.vocab_file and not _spm_model_file():
        raise UserError("--vocab_file is required (%s)" % FLAGS["vocab_file"].help.rstrip("."))
    for name, lowest in (
        ("max_seq_length", pretraining_data.SPECIAL_PIECES + 2),
        ("max_predictions_per_seq", 1),
        ("dupe_factor", 1),
        ("ngram", 1),
        ("num_workers", 1),
    ):
        if FLAGS[name].value < lowest:
            raise UserError("--%s=%d: expected at least %d" % (name, FLAGS[name].value, lowest))
    for name in ("masked_lm_prob", "short_seq_prob"):
        if not 0 <= FLAGS[name].value <= 1:
            raise UserError("--%s=%s: expected a share from 0 to 1" % (name, FLAGS[name].value))
    most = FLAGS.max_seq_length - pretraining_data.SPECIAL_PIECES
    if FLAGS.max_predictions_per_seq > most:
        raise UserError(
            "--max_predictions_per_seq=%d does not fit --max_seq_length=%d: expected at most %d"
            % (FLAGS.max_predictions_per_seq, FLAGS.max_seq_length, most)
        )
    for first, second, is_conflict in _conflicts(google):
        if is_conflict:
            raise UserError("%s and %s exclude each other: leave one out" % (first, second))


def _conflicts(google):
    """Rows (a flag, another flag, whether both are set though they do not go together)."""
    is_dynamic = FLAGS.masking == "dynamic"
    names_ngram = FLAGS["ngram"].present and FLAGS.ngram > 1
    names_segmenter = FLAGS.segmenter != "none" and (google or FLAGS["segmenter"].present)
    original = "--original_masking"
    rows = [
        (
            "--non_chinese",
            "--segmenter=%s" % FLAGS.segmenter,
            FLAGS.non_chinese and names_segmenter,
        ),
        ("--span", "--ngram", FLAGS.span and names_ngram),
        (original, "--span", FLAGS.original_masking and FLAGS.span),
        (original, "--masking=dynamic", FLAGS.original_masking and is_dynamic),
        ("--masking=dynamic", "--span", is_dynamic and FLAGS.span),
        ("--masking=dynamic", "--ngram", is_dynamic and names_ngram),
    ]
    if not google:
        return rows + [(original, "--ngram", FLAGS.original_masking and names_ngram)]
    return rows + [
        (original, "--segmenter", FLAGS.original_masking and names_segmenter),
        ("--spm_model_file", "--segmenter", bool(FLAGS.spm_model_file) and names_segmenter),
        ("--masking=dynamic", "--do_permutation", is_dynamic and FLAGS.do_permutation),
        (
            "--favor_shorter_ngram",
            "--favor_longer_ngram",
            FLAGS.favor_shorter_ngram and FLAGS.favor_longer_ngram,
        ),
    ]


def _spm_model_file():
    return FLAGS.spm_model_file if "spm_model_file" in FLAGS else None


def _job(google):
    settings = pretraining_data.Settings(
        max_seq_length=FLAGS.max_seq_length,
        max_predictions=FLAGS.max_predictions_per_seq,
        masked_lm_prob=FLAGS.masked_lm_prob,
        short_seq_prob=FLAGS.short_seq_prob,
        seed=FLAGS.random_seed,
        whole_words=FLAGS.do_whole_word_mask,
        run_weights=_run_weights(google),
        google=google,
        random_next=google and FLAGS.random_next_sentence,
        permute=google and FLAGS.do_permutation,
        dynamic=FLAGS.masking == "dynamic",
    )
    return Job(
        settings=settings,
        vocab_file=FLAGS.vocab_file,
        do_lower_case=FLAGS.do_lower_case,
        spm_model_file=_spm_model_file(),
        segmenter="none" if FLAGS.non_chinese else FLAGS.segmenter,
        user_dict=FLAGS.user_dict,
        text_format=corpus.TextFormat(
            FLAGS.encoding, FLAGS.split_sentences, as_original=FLAGS.original_masking
        ),
        original=FLAGS.original_masking,
        dupe_factor=FLAGS.dupe_factor,
    )


def _run_weights(google):
    if FLAGS.span:
        return masking.span_weights()
    # The original takes the wish for shorter n-grams for one for longer ones.
    favor_longer = google and (
        FLAGS.favor_longer_ngram or (FLAGS.original_masking and FLAGS.favor_shorter_ngram)
    )
    return masking.ngram_weights(FLAGS.ngram, favor_longer)


@contextlib.contextmanager
def _work_folder(output):
    """A folder beside the output for what is not in its order yet; removed at the end."""
    try:
        parent = os.path.dirname(os.path.abspath(output))
        os.makedirs(parent, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".pretraining_data-", dir=parent) as folder:
            yield folder
    except OSError as error:
        raise files.cannot_write(output, error) from error


class Worker:
    """Cuts text and makes records, in a process of its own or in the only one."""

    def __init__(self, job):
        """Reads vocabulary and dictionaries of a `Job`."""
        self.job = job
        self.tokenizer = tokenization.FullTokenizer(
            job.vocab_file, job.do_lower_case, job.spm_model_file
        )
        self.vocabulary = pretraining_data.make_vocabulary(self.tokenizer)
        self.segmenter = segmentation.make_segmenter(job.segmenter, job.user_dict)
        self.starts_word = (
            segmentation.starts_sentencepiece_word
            if job.spm_model_file
            else segmentation.starts_word
        )
        self._encoder = segmentation.LineEncoder(self.tokenizer, self.segmenter, self.starts_word)
        self._sampler = pretraining_data.Sampler(job.settings, self.vocabulary)

    def original_pieces(self, shard):
        """The marked pieces of each line of each document of a shard."""
        return [
            [
                original_pretraining_data.original_pieces(line, self.tokenizer, self.segmenter)
                for line in lines
            ]
            for lines in shard.documents
        ]

    def write_runs(self, shard, folder):
        """Makes all records of a shard.

        Args:
            shard: `corpus.Shard`.
            folder: where to write them.

        Returns:
            (names of the runs written, `collections.Counter` of what was made).
        """
        encoded = pretraining_data.encode_shard(shard, self._encoder)
        counts = _encoded_counts(encoded)
        counts["lines"] = shard.counts["lines"]
        runs, records, keys, size = [], [], [], 0
        for number in range(self.job.dupe_factor):
            is_last = number == self.job.dupe_factor - 1
            pass_keys = np.random.RandomState(_key_seed(self.job, shard, number))
            for features in self._sampler.features(encoded, number):
                framed = _framed(features)
                records += framed
                keys.append(np.frombuffer(pass_keys.bytes(8 * len(framed)), "<u8"))
                size += sum(map(len, framed))
                counts.update(_feature_counts(features))
            if records and (is_last or size >= _RUN_BYTES):
                runs.append(os.path.join(folder, "%08d-%06d" % (shard.index, number)))
                external_shuffle.write_run(runs[-1], records, np.concatenate(keys))
                records, keys, size = [], [], 0
        return runs, counts


def _key_seed(job, shard, number):
    """Seed of the places of a pass's records: words of 32 bits."""
    seed = job.settings.seed
    return [seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF, shard.index, number]


def _framed(features):
    return tfrecords.frame_records(tfrecords.encode_examples(features))


def _encoded_counts(encoded):
    return collections.Counter(
        documents=len(encoded.documents),
        sentences=len(encoded.sentences) - 1,
        lone=sum(last - first == 1 for first, last in encoded.documents),
    )


def _feature_counts(features):
    counts = collections.Counter(
        records=len(features["input_ids"]),
        places=features["input_ids"].size,
        pieces=int(features["input_mask"].sum()),
        swapped=int(features["next_sentence_labels"].sum()),
    )
    if "masked_lm_weights" in features:
        counts["masked"] = int(features["masked_lm_weights"].sum())
    return counts


_worker = None


def _start_worker(job):
    global _worker
    if _worker is None or _worker.job != job:  # a forked process has its parent's
        _worker = Worker(job)


def _start_process(job):
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    _start_worker(job)


def _write_runs(shard, folder):
    return _worker.write_runs(shard, folder)


def _original_pieces(shard):
    return _worker.original_pieces(shard)


def _in_order(job, num_workers, function, shards, *arguments):
    """Yields (shard, function(shard, *arguments)) for all shards in order, from many processes.

    Only a few shards for each process are read ahead.
    """
    if num_workers == 1:
        for shard in shards:
            yield shard, function(shard, *arguments)
        return
    waiting = collections.deque()
    with concurrent.futures.ProcessPoolExecutor(
        num_workers, initializer=_start_process, initargs=(job,)
    ) as pool:
        try:
            for shard in shards:
                waiting.append((shard, pool.submit(function, shard, *arguments)))
                if len(waiting) >= 3 * num_workers:
                    done, future = waiting.popleft()
                    yield done, future.result()
            while waiting:
                done, future = waiting.popleft()
                yield done, future.result()
        except concurrent.futures.process.BrokenProcessPool as error:
            raise UserError(
                "a worker was ended from outside, most often for want of memory: "
                "try fewer than --num_workers=%d" % num_workers
            ) from error
        finally:
            for _, future in waiting:
                future.cancel()


def _worked_shards(job, paths, function, *arguments):
    """Yields (shard, result of a function for it) for all shards; a bar shows how far it is."""
    shards = corpus.read_shards(paths, job.text_format)
    with progress_bar("text", corpus.total_bytes(paths), "B") as bar:
        for shard, result in _in_order(job, FLAGS.num_workers, function, shards, *arguments):
            yield shard, result
            bar.update(shard.bytes_read - bar.n)


def _make_records(job, paths, outputs, folder):
    """Makes records; returns a `Counter` of what they hold."""
    counts = collections.Counter()
    runs = []
    for _, (shard_runs, shard_counts) in _worked_shards(job, paths, _write_runs, folder):
        runs += shard_runs
        counts.update(shard_counts)
    _check_any(counts)
    size = external_shuffle.total_bytes(runs)
    with _open_outputs(outputs) as handles, progress_bar("shuffled", size, "B") as bar:
        external_shuffle.merge_runs(runs, handles, progress=bar)
    return counts


def _make_original_records(job, paths, outputs, folder):
    """Makes the original's records; returns a `Counter` of what they hold."""
    counts = collections.Counter()
    text = original_pretraining_data.OriginalText(
        _worker.tokenizer, _worker.segmenter is not None, _worker.starts_word
    )
    for shard, documents in _worked_shards(job, paths, _original_pieces):
        text.add_shard(documents, shard.continues)
        counts["lines"] += shard.counts["lines"]
    encoded = text.encoded()
    counts.update(_encoded_counts(encoded))
    sampler = original_pretraining_data.OriginalSampler(text, job.settings, _worker.vocabulary)
    path = os.path.join(folder, "records")
    ends = [0]
    with open(path, "wb") as handle, _documents_bar(job, encoded) as bar:
        for features in sampler.batches(job.dupe_factor):
            framed = _framed(features)
            handle.write(b"".join(framed))
            ends += (ends[-1] + np.cumsum([len(record) for record in framed])).tolist()
            counts.update(_feature_counts(features))
            bar.update(sampler.documents_done - bar.n)
    _check_any(counts)
    order = sampler.shuffled_order()
    with _mapped(path) as records, _open_outputs(outputs) as handles:
        for place, number in enumerate(order):
            handles[place % len(handles)].write(records[ends[number] : ends[number + 1]])
    return counts


@contextlib.contextmanager
def _mapped(path):
    """The content of a file, read where it is needed."""
    with open(path, "rb") as handle, mmap.mmap(
        handle.fileno(), 0, access=mmap.ACCESS_READ
    ) as content:
        yield content


def _documents_bar(job, encoded):
    return progress_bar("documents", job.dupe_factor * len(encoded.documents), "")


@contextlib.contextmanager
def _open_outputs(outputs):
    """All output files, open for writing; they appear together or not at all."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(files.atomic_write(path, "wb")) for path in outputs]


def _check_any(counts):
    if not counts["records"]:
        raise UserError(
            "--input_file=%s: no two sentences in any of %d lines and %d documents: expected a "
            "sentence a line and a blank line between documents"
            % (FLAGS.input_file, counts["lines"], counts["documents"])
        )


def _print_summary(counts, outputs, seconds):
    records = counts["records"]
    rows = [
        ("lines", "%d" % counts["lines"]),
        ("documents", "%d" % counts["documents"]),
        ("documents of one sentence", "%d" % counts["lone"]),
        ("sentences", "%d" % counts["sentences"]),
        ("records", "%d in %s" % (records, ", ".join(outputs))),
        ("pieces in a record", "%.1f" % (counts["pieces"] / records)),
        ("padding", "%.1f%%" % (100 - 100 * counts["pieces"] / counts["places"])),
        ("label 1", "%.1f%%" % (100 * counts["swapped"] / records)),
        ("masked pieces", "%.1f%%" % (100 * counts["masked"] / counts["pieces"])),
        ("time", "%.1f s, %.0f records/s" % (seconds, records / seconds)),
    ]
    for name, value in rows:
        print("%-26s %s" % (name, value))


if __name__ == "__main__":
    define_flags()
    run_command(main)
