r"""The largest batch of a pre-training step that fits into a memory, from measured activations.

    python benchmarks/batch_sizes.py
    python benchmarks/batch_sizes.py --configs=base,large --lengths=512 --gigabytes=16,24

The step is that of run_pretraining.py, in float32, on this machine's CPU. TensorFlow's allocator
records its peak for two small batches, whose difference is the memory of their further sequences.
To them come 16 bytes for each parameter: weight, gradient and LAMB's two slots. A GPU's own
libraries take more: a share of the memory (--usable) is counted with.
"""

import argparse
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"  # which GPUs do not have
os.environ["TF_CPU_ALLOCATOR_USE_BFC"] = "false"  # that allocator records whole chunks
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
TOKENS = (1024, 2048)  # of the measured steps: activations outweigh what an update needs
PREDICTED_SHARE = 0.15
BYTES_PER_PARAMETER = 16


def main():
    """Prints a table of batch sizes."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--configs", default=CONFIGS)
    parser.add_argument("--lengths", default="128,512")
    parser.add_argument("--gigabytes", default="8,16,24,80")
    parser.add_argument("--usable", type=float, default=0.9, help="share of the memory")
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
            each, fixed = bytes_of_step(config, length)
            sizes = [
                max(0, int((arguments.usable * memory * 1e9 - fixed) // each))
                for memory in memories
            ]
            row = [name, str(length), "%.1f" % (each / 1e6)] + list(map(str, sizes))
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


def bytes_of_step(config, length):
    """(bytes of a sequence, bytes whatever the batch is) of a config's model."""
    peaks = []
    for tokens in TOKENS:
        peak, parameters = peak_of_step(config, tokens // length, length)
        peaks.append(peak)
    each = (peaks[1] - peaks[0]) * length / (TOKENS[1] - TOKENS[0])
    return each, BYTES_PER_PARAMETER * parameters


def peak_of_step(config, batch_size, length):
    """(peak bytes that a step allocates, parameters)."""
    one_at_a_time = tf.ConfigProto(inter_op_parallelism_threads=1)  # else the peak is of chance
    with tf.Graph().as_default(), tf.Session(config=one_at_a_time) as session:
        spec = pretraining_model_fn.model_fn_builder(config, _settings(), None)(
            _features(config, batch_size, length), None, ModeKeys.TRAIN, {}
        )
        session.run(tf.global_variables_initializer())
        options = tf.RunOptions(trace_level=tf.RunOptions.FULL_TRACE)
        session.run(spec.train_op)
        metadata = tf.RunMetadata()
        session.run(spec.train_op, options=options, run_metadata=metadata)
        variables = tf.trainable_variables()
        parameters = sum(int(np.prod(variable.shape.as_list())) for variable in variables)
    return _peak(metadata), parameters


def _peak(metadata):
    """The most bytes in use at once, by what each operation allocates and frees."""
    changes = [
        (record.alloc_micros, record.alloc_bytes)
        for device in metadata.step_stats.dev_stats
        for node in device.node_stats
        for memory in node.memory
        for record in memory.allocation_records
    ]
    return int(np.cumsum([size for _, size in sorted(changes)]).max())


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
