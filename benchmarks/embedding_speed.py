"""Training speed of sentence embeddings, compared with a classifier on the same pairs.

    python benchmarks/embedding_speed.py
    python benchmarks/embedding_speed.py --pairs lcqmc/dev.txt --rounds 9

Both train the bundled model on the same pairs, with the data, input functions and graphs of
run_sentence_embedding.py and run_classifier.py, in one process. After a warm-up, in which sequence
lengths are compiled, they take turns of some steps each. Tokens include [CLS] and [SEP], but no
padding; their share of the computed positions is also shown. Processor time is summed over all
cores, because other programs affect it less than wall-clock time. The ratio is the median over the
rounds of the classifier's time per token divided by the embedding model's: above 1 the embedding
model is faster. The last layer of a classifier computes only [CLS], which is impossible with the
mean of all tokens: --pooling=mean compares with a classifier that computes all of them. For the
speed of encoding see benchmarks/encoding.py.
"""

import argparse
import collections
import os
import statistics
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)

MODEL = os.path.join(ROOT, "albert_starter_zh")
PAIRS = os.path.join(ROOT, "data", "pairs_sample", "train.txt")
LENGTH = 64
CLASSIFIER, EMBEDDING = "classifier", "embedding"
FAMILIES = {CLASSIFIER: "single_label", EMBEDDING: "sentence_embedding"}

# Totals of some steps: processor time, wall-clock time, tokens, computed positions.
Turn = collections.namedtuple("Turn", "busy waited tokens positions")


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pairs", default=PAIRS, help="text_a<tab>text_b<tab>label of 0 and 1")
    parser.add_argument("--steps", type=int, default=40, help="steps per turn")
    parser.add_argument("--warm_up", type=int, default=150, help="steps before the first turn")
    parser.add_argument("--batch_size", type=int, default=32, help="pairs per training step")
    parser.add_argument(
        "--precision", default="float32", help="precision of both models, see run_classifier.py"
    )
    parser.add_argument(
        "--objective",
        default="cosent",
        help="objective of the embedding model, see run_sentence_embedding.py",
    )
    parser.add_argument(
        "--pooling", default="cls", help="pooling of the classifier; mean: over all tokens"
    )
    parser.add_argument("--rounds", type=int, default=5, help="measured turns of each model")
    return parser.parse_args()


def write_data(path, root):
    """Writes the pairs as files of a data set to a folder."""
    from albert_zh.common import files

    rows = [line.split("\t") for line in files.read_lines(path)]
    rows = [row[:3] for row in rows if len(row) >= 3 and row[2] in ("0", "1")]
    for name, some in (("train", rows), ("dev", rows[:8])):
        with open(os.path.join(root, name + ".txt"), "w", encoding="utf-8") as stream:
            stream.write("".join("\t".join(row) + "\n" for row in some))


def setup_of(way, arguments, root):
    """The `Setup` of a training run."""
    from albert_zh.finetuning import flags, runner, setup

    of_way = {"task_name": "lcqmc", "data_dir": root, "pooling": arguments.pooling}
    if way == EMBEDDING:
        of_way = {"train_file": os.path.join(root, "train.txt"), "objective": arguments.objective}
        of_way.update(task_name="sentences", do_eval=False)
    options = flags.of_settings(
        FAMILIES[way],
        bert_config_file=os.path.join(MODEL, "albert_config_tiny.json"),
        vocab_file=os.path.join(MODEL, "vocab.txt"),
        init_checkpoint=MODEL,
        max_seq_length=LENGTH,
        train_batch_size=arguments.batch_size,
        precision=arguments.precision,
        output_dir=os.path.join(root, way),
        do_train=True,
        **of_way,
    )
    flags.check_flags(options, FAMILIES[way])
    return setup.Setup(options, FAMILIES[way], runner.PARTS)


class Training:
    """A training run whose steps are executed in turns."""

    def __init__(self, setup):
        import tensorflow.compat.v1 as tf

        from albert_zh.tasks import input_pipeline, model_fn
        from albert_zh.training.model_spec import ModeKeys

        options, steps = setup.options, 1 << 20
        input_fn = input_pipeline.train_input_fn(
            setup.features["train"], LENGTH, options.train_batch_size, steps, options.seed
        )
        with tf.Graph().as_default():
            tf.set_random_seed(options.seed)
            batch = tf.data.make_one_shot_iterator(input_fn({})).get_next()
            tf.train.get_or_create_global_step()
            build = model_fn.model_fn_builder(
                setup.config,
                setup.num_outputs(),
                setup.init_checkpoint,
                1e-4,
                steps,
                100,
                False,
                False,
                settings=setup.settings,
                precision=options.precision,
            )
            spec = build(batch, None, ModeKeys.TRAIN, {})
            mask = batch["input_mask"]
            self._fetches = [spec.train_op, tf.reduce_sum(mask), tf.size(mask)]
            self._session = tf.Session()
            self._session.run(tf.global_variables_initializer())

    def turn(self, steps):
        """Runs some steps and returns their `Turn`."""
        begin, start = time.process_time(), time.time()
        counts = [self._session.run(self._fetches)[1:] for _ in range(steps)]
        tokens, positions = (sum(column) for column in zip(*counts))
        return Turn(time.process_time() - begin, time.time() - start, tokens, positions)


def main():
    arguments = parse_arguments()
    import tensorflow.compat.v1 as tf

    from albert_zh.training import allocator

    allocator.choose_allocator(False)
    tf.logging.set_verbosity(tf.logging.ERROR)
    tf.disable_eager_execution()
    with tempfile.TemporaryDirectory() as root:
        write_data(arguments.pairs, root)
        trainings = {way: Training(setup_of(way, arguments, root)) for way in FAMILIES}
        for training in trainings.values():
            training.turn(arguments.warm_up)
        turns = [
            {way: training.turn(arguments.steps) for way, training in trainings.items()}
            for _ in range(arguments.rounds)
        ]
    show(turns)


def show(turns):
    """Prints a row for each of the two models, and the ratio.

    Args:
        turns: list of {way: `Turn`}.
    """
    print("| | tokens/s | processor time of a token | tokens of positions |\n|---|---:|---:|---:|")
    for way in FAMILIES:
        of_way = [turn[way] for turn in turns]
        waited = statistics.median(turn.waited / turn.tokens for turn in of_way)
        busy = statistics.median(turn.busy / turn.tokens for turn in of_way)
        share = sum(turn.tokens for turn in of_way) / sum(turn.positions for turn in of_way)
        print("| %s | %.0f | %.1f us | %.3f |" % (way, 1 / waited, 1e6 * busy, share))
    ratios = [
        turn[CLASSIFIER].busy
        / turn[CLASSIFIER].tokens
        * turn[EMBEDDING].tokens
        / turn[EMBEDDING].busy
        for turn in turns
    ]
    text = "embedding / classifier, tokens by processor time: %.2f (%.2f to %.2f)"
    print(text % (statistics.median(ratios), min(ratios), max(ratios)))
    print("%d cores, load %.1f" % (os.cpu_count(), os.getloadavg()[0]), file=sys.stderr)


if __name__ == "__main__":
    main()
