r"""The largest pre-training batch that fits into a given memory, from measured activations.

    python benchmarks/batch_sizes.py
    python benchmarks/batch_sizes.py --configs=base,large --lengths=512 --gigabytes=16,24

The step is a step of run_pretraining.py, in float32, on this machine's CPU. TensorFlow's allocator
records the bytes that each operation allocates and frees in steps of two and of three sequences.
Each of these sizes is a linear function of the batch size, so the two steps determine the peak for
any batch: either the activations when the backward pass begins or, for few sequences and a wide
model, the gradients of all uses of its shared layers. Weights and LAMB's two slots add 12 bytes per
parameter. Since the libraries of a GPU take memory, too, only a share of it (--usable) is counted.
"""

import argparse
import collections
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"  # GPUs do not use oneDNN
os.environ["TF_CPU_ALLOCATOR_USE_BFC"] = "false"  # BFC records whole chunks
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)

import numpy as np
import tensorflow.compat.v1 as tf

from albert_zh.common.errors import UserError, run_program
from albert_zh.model import modeling
from albert_zh.pretraining import model_fn as pretraining_model_fn
from albert_zh.pretraining import model_settings
from albert_zh.training.model_spec import ModeKeys

CONFIGS = "tiny,small_google,base,large,xlarge"
BATCHES = (2, 3)  # sequences of the measured steps
PREDICTED_SHARE = 0.15
BYTES_PER_PARAMETER = 12  # weight and slots; gradients are allocated in a step


def main():
    """Prints a table of batch sizes."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument(
        "--configs", default=CONFIGS, help="names of configs in albert_config/, separated by commas"
    )
    parser.add_argument(
        "--lengths", default="128,512", help="pieces per sequence, separated by commas"
    )
    parser.add_argument(
        "--gigabytes", default="8,16,24,80", help="sizes of the memory in GB, separated by commas"
    )
    parser.add_argument("--usable", type=float, default=0.9, help="usable share of the memory")
    arguments = parser.parse_args()
    memories = _numbers("--gigabytes", arguments.gigabytes, float)
    lengths = _numbers("--lengths", arguments.lengths, int)
    head = ["config", "S", "MB a sequence"] + ["%g GB" % memory for memory in memories]
    print("| %s |" % " | ".join(head))
    print("|%s" % ("---|" * len(head)), flush=True)
    for name in arguments.configs.split(","):
        path = os.path.join(ROOT, "albert_config", "albert_config_%s.json" % name)
        config = modeling.AlbertConfig.from_json_file(path)
        for length in lengths:
            in_use, parameters = bytes_in_use(config, length)
            kept = BYTES_PER_PARAMETER * parameters
            sizes = [
                largest_batch(in_use, arguments.usable * memory * 1e9 - kept) for memory in memories
            ]
            row = [name, str(length), "%.1f" % (in_use[:, 1].max() / 1e6)] + list(map(str, sizes))
            print("| %s |" % " | ".join(row), flush=True)


def _numbers(flag, text, kind):
    """The numbers of a flag; raises `UserError` for anything else."""
    try:
        numbers = [kind(word) for word in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) <= 0:
        raise UserError("%s=%s: expected positive numbers with commas between" % (flag, text))
    return numbers


def bytes_in_use(config, length):
    """Bytes in use after each allocation and each release of a step, as a function of the batch.

    Args:
        config: `AlbertConfig`.
        length: pieces per sequence.

    Returns:
        (float array [N, 2]: constant bytes, additional bytes per sequence; number of parameters).
        For large batches the peak per sequence is the maximum of the second column.
    """
    (few, _), (more, parameters) = (changes_of_step(config, size, length) for size in BATCHES)
    few = dict(few)
    changes = np.zeros([len(more), 2])
    for change, (name, size) in zip(changes, more):
        # The optimizer sometimes reuses memory in another order, whatever the batch size is.
        each = (size - few.get(name, size)) / (BATCHES[1] - BATCHES[0])
        change[:] = size - BATCHES[1] * each, each
    return np.cumsum(changes, axis=0), parameters


def largest_batch(in_use, memory):
    """The largest number of sequences with which a step stays within the memory.

    Args:
        in_use: returned by `bytes_in_use`.
        memory: limit in bytes.
    """
    fixed, each = in_use.T
    if fixed.max() > memory:
        return 0
    grows = each > 0
    return int(((memory - fixed[grows]) / each[grows]).min())


def changes_of_step(config, batch_size, length):
    """The memory that a step allocates and frees.

    Returns:
        ([((device, operation, number of its change), bytes)] in order of time, parameters).
    """
    one_at_a_time = tf.ConfigProto(inter_op_parallelism_threads=1)  # else the order is random
    with tf.Graph().as_default(), tf.Session(config=one_at_a_time) as session:
        spec = pretraining_model_fn.model_fn_builder(config, _settings(), None)(
            _features(config, batch_size, length), None, ModeKeys.TRAIN, {}
        )
        session.run(tf.global_variables_initializer())
        options = tf.RunOptions(trace_level=tf.RunOptions.FULL_TRACE)
        metadata = tf.RunMetadata()
        session.run(spec.train_op, options=options, run_metadata=metadata)
        variables = tf.trainable_variables()
        parameters = sum(int(np.prod(variable.shape.as_list())) for variable in variables)
    return _changes(metadata.step_stats), parameters


def _changes(step_stats):
    """[((device, operation, number), bytes)] that operations allocate (above 0) or free (below)."""
    of_operations = collections.defaultdict(list)
    for device in step_stats.dev_stats:
        for node in device.node_stats:
            for memory in node.memory:
                of_operations[device.device, node.node_name] += [
                    (record.alloc_micros, record.alloc_bytes)
                    for record in memory.allocation_records
                ]
    changes = [
        (micros, size, operation + (number,))
        for operation, records in of_operations.items()
        for number, (micros, size) in enumerate(sorted(records, key=lambda r: (r[0], -r[1])))
    ]
    return [(name, size) for _, size, name in sorted(changes)]


def _settings():
    values = dict.fromkeys(model_settings.ModelSettings._fields, False)
    values.update(learning_rate=1e-4, num_train_steps=100, num_warmup_steps=0, optimizer="lamb")
    values.update(poly_power=1.0, start_warmup_step=0, gradient_accumulation_steps=1)
    values.update(precision="float32", replaced_token_weight=0.0, sentence_name="sentence_order")
    return model_settings.ModelSettings(**values)


def _features(config, batch_size, length):
    """A batch of full sequences of random words."""
    predictions = int(PREDICTED_SHARE * length)
    random = np.random.RandomState(1)
    ids = random.randint(0, config.vocab_size, [batch_size, length])
    positions = np.tile(np.arange(1, predictions + 1), [batch_size, 1])
    features = {
        "input_ids": ids,
        "input_mask": np.ones_like(ids),
        "segment_ids": np.zeros_like(ids),
        "masked_lm_positions": positions,
        "masked_lm_ids": ids[:, 1 : predictions + 1],
        "next_sentence_labels": np.zeros([batch_size, 1]),
    }
    tensors = {name: tf.constant(array, tf.int32) for name, array in features.items()}
    return dict(tensors, masked_lm_weights=tf.ones([batch_size, predictions]))


if __name__ == "__main__":
    run_program(main)
