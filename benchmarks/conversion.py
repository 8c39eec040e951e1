"""Compares outputs of converted PyTorch models with ours; checks a round trip of the weights.

    python benchmarks/conversion.py          # needs requirements-convert.txt

The models have the sizes of albert_tiny and albert_base and random weights; the inputs are 8
sequences of up to 128 tokens. Prints the table of docs/conversion.md: the largest absolute
difference over all hidden states, pooled vectors and log probabilities of masked words, and whether
the weights are the same bit for bit after a conversion to PyTorch and back.
"""

import os
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_MODULES_CACHE"] = tempfile.mkdtemp()

import numpy as np
import tensorflow.compat.v1 as tf
import torch
import transformers

from albert_zh.commands import convert_albert_pytorch_checkpoint_to_tf as to_tf
from albert_zh.commands import convert_albert_tf_checkpoint_to_pytorch as to_pytorch
from albert_zh.model import modeling
from albert_zh.model.checkpoints import checkpoint_files, checkpoint_values, model_writer

TINY = {
    "vocab_size": 21128,
    "hidden_size": 312,
    "num_hidden_layers": 4,
    "num_attention_heads": 12,
    "intermediate_size": 1248,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "initializer_range": 0.05,
}
BASE = dict(
    TINY, hidden_size=768, num_hidden_layers=12, intermediate_size=3072, initializer_range=0.03
)
GOOGLE = {"embedding_size": 128, "num_hidden_groups": 1, "inner_group_num": 1}
MODELS = {
    "brightmart tiny, post-LN": dict(TINY, embedding_size=128),
    "brightmart tiny, pre-LN": dict(TINY, embedding_size=128, ln_type="preln"),
    "brightmart base, post-LN": dict(BASE, embedding_size=128),
    "google tiny": dict(TINY, **GOOGLE),
    "google base": dict(BASE, **GOOGLE),
    "bert, tiny's size": TINY,
}
BATCH, LENGTH = 8, 128


def random_inputs(vocab_size):
    """Three int32 arrays [B, F]: ids, mask, segments."""
    generator = np.random.RandomState(0)
    ids = generator.randint(0, vocab_size, [BATCH, LENGTH]).astype(np.int32)
    lengths = generator.randint(5, LENGTH + 1, [BATCH, 1])
    mask = (np.arange(LENGTH) < lengths).astype(np.int32)
    return ids, mask, generator.randint(0, 2, [BATCH, LENGTH]).astype(np.int32)


def write_model(folder, config, inputs):
    """Writes a model folder with random weights; returns [hidden, pooled, log probabilities]."""
    os.makedirs(folder)
    with open(os.path.join(folder, "albert_config.json"), "w") as handle:
        handle.write(config.to_json_string())
    with tf.Graph().as_default(), tf.Session() as session:
        tf.set_random_seed(1)
        model = modeling.AlbertModel(config, False, *map(tf.constant, inputs))
        pooled = model.get_pooled_output()
        positions = tf.tile(tf.range(LENGTH)[None], [BATCH, 1])
        zeros = tf.zeros([BATCH, LENGTH], tf.int32)
        words = modeling.masked_lm_head(config, model, positions, zeros, zeros)
        modeling.sentence_order_head(config, pooled, zeros[:, 0])
        session.run(tf.global_variables_initializer())
        variables = {v.op.name: v for v in tf.trainable_variables()}
        model_writer.write_model_checkpoint(folder, session.run(variables))
        tensors = [model.get_sequence_output(), pooled, words.log_probs]
        return session.run(tensors)


def torch_outputs(folder, inputs):
    """The same outputs from transformers."""
    settings = {"trust_remote_code": True}
    model = transformers.AutoModelForPreTraining.from_pretrained(folder, **settings).eval()
    ids, mask, segments = (torch.tensor(array).long() for array in inputs)
    with torch.no_grad():
        encoder = model.base_model(ids, attention_mask=mask, token_type_ids=segments)
        words = model(ids, attention_mask=mask, token_type_ids=segments).prediction_logits
    log_probs = words.log_softmax(-1).flatten(0, 1)
    return [t.numpy() for t in (encoder.last_hidden_state, encoder.pooler_output, log_probs)]


def is_same_bits(folder, other):
    """Whether two model folders have the same variables, bit for bit."""
    one, two = (
        checkpoint_values.read_weights(checkpoint_files.find_checkpoint(f)) for f in (folder, other)
    )
    return set(one) == set(two) and all(one[n].tobytes() == two[n].tobytes() for n in one)


def main():
    print("| model | largest difference | there and back | seconds to convert |")
    print("|---|---:|---|---:|")
    for name, settings in MODELS.items():
        config = modeling.AlbertConfig.from_dict(settings)
        inputs = random_inputs(config.vocab_size)
        with tempfile.TemporaryDirectory() as root:
            ours, hf, back = (os.path.join(root, part) for part in ("ours", "hf", "back"))
            expected = write_model(ours, config, inputs)
            start = time.time()
            to_pytorch.convert(checkpoint_files.find_checkpoint(ours), hf)
            seconds = time.time() - start
            actual = torch_outputs(hf, inputs)
            difference = max(float(abs(a - e).max()) for a, e in zip(actual, expected))
            to_tf.convert(os.path.join(hf, "model.safetensors"), back)
            state = "bit for bit" if is_same_bits(ours, back) else "DIFFERENT"
            print("| %s | %.1e | %s | %.1f |" % (name, difference, state, seconds), flush=True)


if __name__ == "__main__":
    main()
