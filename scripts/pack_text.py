r"""Packs raw text for scripts/pretrain_on_gpu.py: pieces, sentences, documents, similar pairs.

    python scripts/pack_text.py --input_file=split/train.txt --held_out_file=split/held_out.txt \
        --vocab_file=albert_starter_zh/vocab.txt --output_file=packed.npz

The text is tokenized once, and pairs of similar documents are searched for, which takes most of the
time. scripts/split_corpus.py creates the two parts of the text. The output file is about half as
large as the text, which is not needed for the training.
"""

import concurrent.futures
import functools
import io
import os
import signal
import sys

from absl import flags
import numpy as np

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from albert_zh.common import cores, output_files, path_rules, progress, storage
from albert_zh.common.errors import UserError, run_command
from albert_zh.common.messages import say
from albert_zh.corpus import counts as corpus_counts
from albert_zh.corpus import reader, sampling
from albert_zh.inference import workers
from albert_zh.text import tokenization, word_segmentation
import packed_text

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Defines this command's flags."""
    flags.DEFINE_string("input_file", None, "Text to train on; patterns, separated by commas.")
    flags.DEFINE_string("held_out_file", None, "Held-out text for evaluation.")
    flags.DEFINE_string("vocab_file", None, "Vocabulary.")
    flags.DEFINE_string("output_file", None, "File to write, such as packed.npz.")
    flags.DEFINE_string("encoding", "utf-8", "Encoding of the texts, such as gb18030 (GBK).")
    flags.DEFINE_boolean("split_sentences", False, "Whether to split lines into sentences.")
    flags.DEFINE_boolean("do_lower_case", True, "Whether to lower-case the text.")
    flags.DEFINE_integer(
        "num_workers", 0, "Number of processes; by default one per core.", lower_bound=0
    )


def _check_is_held_out(paths):
    """Raises `UserError` if both flags name the same file."""
    held_out = set(map(storage.normalized, paths["held_out_file"]))
    for path in paths["input_file"]:
        if storage.normalized(path) in held_out:
            raise UserError(
                "--input_file: %s is also --held_out_file: expected texts that are not used "
                "for evaluation" % path
            )


def main() -> None:
    """Packs the text and the held-out pairs into one file."""
    for name in ("input_file", "held_out_file", "vocab_file", "output_file"):
        if not FLAGS[name].value:
            raise UserError("--%s is required" % name)
    output = path_rules.output_file(FLAGS.output_file)
    paths = {"held_out_file": reader.input_files(FLAGS.held_out_file, "held_out_file")}
    paths["input_file"] = reader.input_files(
        FLAGS.input_file, "input_file", leave_out=paths["held_out_file"]
    )
    _check_is_held_out(paths)
    tokenizer = tokenization.FullTokenizer(FLAGS.vocab_file, FLAGS.do_lower_case)
    vocabulary = sampling.make_vocabulary(tokenizer)
    special_ids = _special_ids(tokenizer)
    encode = functools.partial(
        sampling.encode_shard, encoder=word_segmentation.LineEncoder(tokenizer)
    )
    text_format = reader.TextFormat(FLAGS.encoding, FLAGS.split_sentences)
    held_out = [encode(s) for s in reader.read_shards(paths["held_out_file"], text_format)]
    measured = packed_text.held_out_arrays(held_out, vocabulary) if held_out else {}
    if not len(measured.get("held_out_pairs", ())):
        raise UserError(
            "--held_out_file=%s: no pairs in it; expected two documents or more, such as "
            "split_corpus.py holds out with a lower --held_out_every" % FLAGS.held_out_file
        )
    arrays = _packed(paths["input_file"], text_format, encode, vocabulary)
    arrays.update(measured, special_ids=special_ids, vocabulary_sha256=np.array(tokenizer.sha256))
    _write(output, arrays)
    print(
        "%d pieces, %d documents, %d similar pairs, %d held-out pairs -> %s"
        % (
            len(arrays["pieces"]),
            len(arrays["documents"]),
            len(arrays["similar"]),
            len(arrays["held_out_pairs"]),
            FLAGS.output_file,
        )
    )


def _special_ids(tokenizer):
    """`packed_text.special_ids_of`; raises `UserError` for a vocabulary that is too large."""
    special_ids = packed_text.special_ids_of(tokenizer)
    if special_ids[-1] > packed_text.MOST_ENTRIES:
        raise UserError(
            "--vocab_file=%s: %d entries, expected at most %d"
            % (FLAGS.vocab_file, special_ids[-1], packed_text.MOST_ENTRIES)
        )
    return special_ids


def _packed(paths, text_format, encode, vocabulary):
    """Returns the arrays of `packed_text.joined` for the whole text, computed on all cores."""
    work = functools.partial(_pack_shard, encode=encode, vocabulary=vocabulary)
    total = reader.total_bytes(paths)
    texts = reader.read_shards(paths, text_format)
    shards, notes = [], corpus_counts.Notes()
    with progress.progress_bar("packing", total, "B") as bar:
        for shard, rows, bytes_read, noted in _by_all_cores(work, texts):
            shards.append((shard, rows))
            notes.update(noted)
            bar.update(bytes_read - bar.n)
    for line in notes.lines():
        say("note: %s", line)
    if not sum(len(shard[0]) for shard, _ in shards):
        raise UserError("--input_file=%s: no text in it" % FLAGS.input_file)
    return packed_text.joined(shards)


def _by_all_cores(work, texts):
    """Yields the results of a function for each text, in order; only a few are read ahead.

    Raises:
        UserError: if a worker process is killed.
    """
    num_workers = FLAGS.num_workers or cores.num_usable()
    try:
        with concurrent.futures.ProcessPoolExecutor(
            num_workers, initializer=_leave_interrupts
        ) as pool:
            yield from workers.in_order(pool, work, texts, 3 * num_workers)
    except concurrent.futures.process.BrokenProcessPool as error:
        raise UserError(
            "a process was killed, usually for lack of memory: give fewer than --num_workers=%d"
            % num_workers
        ) from error


def _leave_interrupts():
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process handles Ctrl-C


def _pack_shard(shard, encode, vocabulary):
    encoded = encode(shard)
    return (
        packed_text.compact(encoded),
        packed_text.similar_pairs(encoded, vocabulary),
        shard.bytes_read,
        shard.notes,
    )


def _write(path, arrays):
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    with output_files.atomic_write(path, "wb") as stream:
        stream.write(buffer.getvalue())


if __name__ == "__main__":
    define_flags()
    run_command(main)
