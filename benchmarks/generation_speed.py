"""Speed of generating texts with cached keys and values, compared with recomputing everything.

    python benchmarks/generation_speed.py

Generates --length characters after a source of --source characters by greedy decoding, with the
cache of `Generator` and without it, which recomputes the whole row for each character. The model
has the starter's sizes and random weights, on which the speed does not depend. Both variants
generate the same text. They take turns; printed are the seconds of each, the best of --turns turns,
and their ratio.
"""

import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from absl import flags
import numpy as np

from albert_zh.common.errors import run_command

FLAGS = flags.FLAGS
ROOT = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))


def define_flags():
    """Defines the flags."""
    flags.DEFINE_integer("length", 200, "Characters to generate.")
    flags.DEFINE_integer("source", 100, "Characters of the source.")
    flags.DEFINE_integer("turns", 3, "Turns of each variant.")
    flags.DEFINE_integer("threads", 1, "Threads per operation.")


def steps_of(session):
    """Functions that run parts of the graph: (whole text, source for the cache, cached step)."""
    import tensorflow.compat.v1 as tf

    from albert_zh.model import attention_masks, heads, incremental_decoding, modeling

    path = os.path.join(ROOT, "albert_starter_zh", "albert_config_tiny.json")
    config = modeling.AlbertConfig.from_json_file(path)
    ids, segments = (tf.placeholder(tf.int32, [1, None]) for _ in range(2))
    mask = tf.ones_like(ids)
    with tf.variable_scope("", reuse=tf.AUTO_REUSE):
        seen = attention_masks.visible_positions("sequence_to_sequence", mask, segments)
        model = modeling.AlbertModel(
            config, False, ids, mask, segments, scope=config.scope, attention_mask=seen
        )
        best = tf.argmax(heads.word_logits(config, model, model.get_sequence_output()[:, -1]), 1)
        length = tf.placeholder(tf.int32, [])
        cache = incremental_decoding.encoded_source(config, ids, mask, length)
        former = [tf.placeholder(tf.float32, tensor.shape.as_list()) for tensor in cache]
        token, position = (tf.placeholder(tf.int32, [1, 1]) for _ in range(2))
        kind = tf.placeholder(tf.int32, [1, 1])
        logits, extended = incremental_decoding.next_logits(config, token, position, kind, former)
    session.run(tf.global_variables_initializer())
    return (
        session.make_callable(best, [ids, segments]),
        session.make_callable(cache, [ids, length]),
        session.make_callable([tf.argmax(logits, 1)] + extended, [token, position, kind] + former),
    )


def writers(session):
    """(with a cache, without): functions (source ids) -> generated ids."""
    whole, encode, step = steps_of(session)

    def without_cache(source):
        row = list(source)
        for written in range(FLAGS.length):
            kinds = [0] * len(source) + [1] * written
            row.append(int(whole(np.array([row]), np.array([kinds]))[0]))
        return row[len(source) :]

    def with_cache(source):
        kept = encode(np.array([source]), len(source) + FLAGS.length)
        row = list(source)
        for written in range(FLAGS.length):
            at = len(source) - 1 + written
            best_one, *kept = step([[row[-1]]], [[at]], [[int(written > 0)]], *kept)
            row.append(int(best_one[0]))
        return row[len(source) :]

    return with_cache, without_cache


def run():
    """Measures both variants and prints the results."""
    import tensorflow.compat.v1 as tf

    settings = tf.ConfigProto(
        intra_op_parallelism_threads=FLAGS.threads, inter_op_parallelism_threads=FLAGS.threads
    )
    source = [101] + list(np.random.RandomState(0).randint(1000, 7000, FLAGS.source)) + [102]
    seconds = {}
    with tf.Graph().as_default(), tf.Session(config=settings) as session:
        tf.set_random_seed(1)
        ways = dict(zip(("with cache", "without"), writers(session)))
        texts = [write(source) for write in ways.values()]
        for _ in range(FLAGS.turns):
            for name, write in ways.items():
                begin = time.perf_counter()
                write(source)
                seconds[name] = min(seconds.get(name, 1e9), time.perf_counter() - begin)
    for name, best in seconds.items():
        print("%-12s %.2f s, %.1f characters/s" % (name, best, FLAGS.length / best))
    print("ratio        %.1f" % (seconds["without"] / seconds["with cache"]))
    print("same text    %s" % (texts[0] == texts[1]))


def main():
    """Runs the command line."""
    define_flags()
    run_command(run, description=__doc__)


if __name__ == "__main__":
    main()
