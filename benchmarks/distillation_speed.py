"""Cost of a training step with teachers' targets on disk, compared with a plain step.

    python benchmarks/distillation_speed.py

Both variants train the starter's architecture on rows of random words, in one process and a few
steps at a time in turn, so that other jobs on the machine slow down both alike. Prints the ratio of
their speeds, the median over pairs of turns. Both times include the input pipeline.
"""

import contextlib
import os
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from absl import flags
import numpy as np

from albert_zh.common.errors import run_command

FLAGS = flags.FLAGS
ROOT = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
NUM_ROWS, NUM_CLASSES, BATCH = 4096, 15, 32
SHORTEST, LONGEST = 12, 40  # tokens per row
STEPS_OF_A_TURN = 10


def define_flags():
    """Defines the flags."""
    flags.DEFINE_integer("turns", 30, "Turns of %d steps per variant." % STEPS_OF_A_TURN)


@contextlib.contextmanager
def running(weight, folder):
    """A function that runs a turn of one variant.

    Args:
        weight: `Settings.distill_weight`; 0 for plain training.
        folder: folder for the rows.
    """
    import tensorflow.compat.v1 as tf

    from albert_zh.model import modeling
    from albert_zh.tasks import input_pipeline, model_fn
    from albert_zh.tasks.settings import Settings
    from albert_zh.training.model_spec import ModeKeys

    path = os.path.join(ROOT, "albert_starter_zh", "albert_config_tiny.json")
    config = modeling.AlbertConfig.from_json_file(path)
    settings = Settings(distill_weight=weight, temperature=2.0)
    with tf.Graph().as_default(), tf.Session() as session:
        features = written_rows(config.vocab_size, weight, folder)
        dataset = input_pipeline.train_input_fn(features, LONGEST, BATCH, 1 << 20, seed=1)({})
        batch = tf.data.make_one_shot_iterator(dataset).get_next()
        tf.train.get_or_create_global_step()
        build = model_fn.model_fn_builder(
            config, NUM_CLASSES, None, 1e-4, 1 << 20, 100, False, False, settings=settings
        )
        step = build(batch, None, ModeKeys.TRAIN, {}).train_op
        session.run(tf.global_variables_initializer())

        def turn():
            begin = time.perf_counter()
            for _ in range(STEPS_OF_A_TURN):
                session.run(step)
            return time.perf_counter() - begin

        yield turn


def written_rows(vocab_size, weight, folder):
    """A `FeatureFile` of rows of random words; with a weight above 0 they have targets."""
    import tensorflow.compat.v1 as tf

    from albert_zh.tasks import feature_records, registry, task_forms
    from albert_zh.tasks.distillation import LABELLED
    from albert_zh.tasks.kind_interface import Column

    labels = tuple(map(str, range(NUM_CLASSES)))
    task = task_forms.Task({}, ("text_a", "label"), labels)
    further = registry.type_of(task).distillation.columns(task) if weight else {}
    if weight:
        further[LABELLED] = Column("float")
    made = feature_records.FeatureFile(
        os.path.join(folder, "rows_%g.tf_record" % weight), NUM_ROWS, 0, task, None, further
    )
    draws = np.random.RandomState(2)
    with tf.python_io.TFRecordWriter(made.path) as writer:
        for _ in range(NUM_ROWS):
            length = draws.randint(SHORTEST, LONGEST)
            record = {
                "input_ids": draws.randint(10, vocab_size, length),
                "segment_ids": [0] * length,
                "label_ids": int(draws.randint(NUM_CLASSES)),
                "teacher_logits": draws.randn(NUM_CLASSES),
                LABELLED: 1.0,
            }
            writer.write(feature_records.serialized(record, feature_records.columns_of(made)))
    return made


def main():
    """Prints the ratio of the speeds."""
    import tensorflow.compat.v1 as tf

    tf.disable_eager_execution()
    tf.logging.set_verbosity(tf.logging.ERROR)
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        plain, distilled = (stack.enter_context(running(weight, folder)) for weight in (0.0, 0.9))
        plain(), distilled(), plain(), distilled()  # compiles all lengths
        ratios = [plain() / distilled() for _ in range(FLAGS.turns)]
    quarters = np.percentile(ratios, [25, 50, 75])
    print("speed with targets / plain: %.3f (quartiles %.3f, %.3f)" % tuple(quarters[[1, 0, 2]]))


if __name__ == "__main__":
    define_flags()
    run_command(main)
