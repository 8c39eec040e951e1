r"""Packs raw text for scripts/pretrain_on_gpu.py: pieces, sentences, documents, similar pairs.

    python scripts/pack_text.py --input_file=split/train.txt --held_out_file=split/held_out.txt \
        --vocab_file=albert_starter_zh/vocab.txt --output_file=packed.npz

The text is cut into pieces once, and pairs of similar documents are searched for, which takes
longest. scripts/split_corpus.py makes the two parts of the text. What is written, about half as
large as the text, is all that a training on another machine needs.
"""

import functools
import io
import multiprocessing
import os
import sys

from absl import flags
import numpy as np

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from albert_zh.common import output_files, path_rules, progress
from albert_zh.common.errors import UserError, run_command
from albert_zh.corpus import reader, sampling
from albert_zh.text import tokenization, word_segmentation
import packed_text

FLAGS = flags.FLAGS


def define_flags():
    """Defines this command's flags."""
    flags.DEFINE_string("input_file", None, "Text to train on; patterns, separated by commas.")
    flags.DEFINE_string("held_out_file", None, "Text to measure on.")
    flags.DEFINE_string("vocab_file", None, "Vocabulary.")
    flags.DEFINE_string("output_file", None, "File to write, such as packed.npz.")
    flags.DEFINE_integer("num_workers", 0, "Processes; by default as many as there are cores.")


def main():
    """Packs the text and the pairs to measure on into one file."""
    for name in ("input_file", "held_out_file", "vocab_file", "output_file"):
        if not FLAGS[name].value:
            raise UserError("--%s is required" % name)
    output = path_rules.output_file(FLAGS.output_file)
    paths = {
        name: reader.input_files(FLAGS[name].value, name)
        for name in ("input_file", "held_out_file")
    }
    tokenizer = tokenization.FullTokenizer(FLAGS.vocab_file, True)
    vocabulary = sampling.make_vocabulary(tokenizer)
    encode = functools.partial(
        sampling.encode_shard, encoder=word_segmentation.LineEncoder(tokenizer)
    )
    arrays = _packed(paths["input_file"], encode, vocabulary)
    held_out = [encode(shard) for shard in reader.read_shards(paths["held_out_file"])]
    arrays.update(packed_text.held_out_arrays(held_out, vocabulary))
    arrays["special_ids"] = packed_text.special_ids_of(tokenizer)
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


def _packed(paths, encode, vocabulary):
    """The arrays of `packed_text.joined` of all text, by all cores."""
    work = functools.partial(_pack_shard, encode=encode, vocabulary=vocabulary)
    total = reader.total_bytes(paths)
    shards = []
    bar = progress.progress_bar("packing", total, "B")
    with multiprocessing.Pool(FLAGS.num_workers or None) as pool, bar:
        for shard, rows, num_bytes in pool.imap(work, reader.read_shards(paths), chunksize=2):
            shards.append((shard, rows))
            bar.update(num_bytes)
    return packed_text.joined(shards)


def _pack_shard(shard, encode, vocabulary):
    encoded = encode(shard)
    return (
        packed_text.compact(encoded),
        packed_text.similar_pairs(encoded, vocabulary),
        shard.bytes_read,
    )


def _write(path, arrays):
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    with output_files.atomic_write(path, "wb") as stream:
        stream.write(buffer.getvalue())


if __name__ == "__main__":
    define_flags()
    run_command(main)
