"""ALBERT 的三处改动，用算出来的数字说明。Shows the three changes of ALBERT with computed figures.

    python test_changes.py

1. 词嵌入的因式分解 factorized embedding; 2. 跨层参数共享 sharing; 3. 句序预测 sentence order.
Parameters are counted on built graphs; records are created as by create_pretraining_data.py. The
functions have the names of the original's functions; pytest runs them as well.
"""

import collections
import glob
import os

from albert_zh.common import package_files
from albert_zh.common.errors import UserError, run_command  # first: it silences TensorFlow's log

# isort: split
import tensorflow.compat.v1 as tf

from albert_zh.corpus import reader as corpus_reader
from albert_zh.corpus import sampling
from albert_zh.model.checkpoints import expected_variables
from albert_zh.model.config import AlbertConfig
from albert_zh.model.encoder import AlbertModel
from albert_zh.model.variables import count_parameters
from albert_zh.text import tokenization, word_segmentation

__all__ = [
    "CONFIGS",
    "DOCUMENT",
    "MAX_PASSES",
    "MAX_SEQ_LENGTH",
    "PAPER_COUNTS",
    "PAPER_SIZES",
    "SEED",
    "SENTENCE_ORDER",
    "SHARED_COUNTS",
    "SHARED_SIZES",
    "SegmentPair",
    "VOCABULARY",
    "WordTable",
    "encoder_parameters",
    "get_total_parameters",
    "is_in_order",
    "main",
    "run",
    "sentence_order_pairs",
    "test_factorized_embedding",
    "test_sentence_order_prediction",
    "test_share_parameters",
    "word_table",
]

CONFIGS = os.path.join(package_files.CONFIGS, "*.json")
VOCABULARY = os.path.join(package_files.STARTER_MODEL, "vocab.txt")
PAPER_SIZES = {
    "vocab_size": 30000,
    "hidden_size": 4096,
    "embedding_size": 128,
    "num_attention_heads": 64,
}
PAPER_COUNTS = (122880000, 4364288)  # the word table, without and with factorization
SHARED_SIZES = {
    "vocab_size": 30000,
    "embedding_size": 128,
    "hidden_size": 1024,
    "num_attention_heads": 16,
    "num_hidden_layers": 12,
    "intermediate_size": 3072,
}
SHARED_COUNTS = (125976576, 10498048)  # the encoder, without and with sharing
DOCUMENT = (
    "今天早上下了一场大雨，路上的车比平时少了很多。",
    "老师带着学生们坐在教室里，等了一个多小时。",
    "雨停了以后，大家一起去了学校后面的公园。",
    "公园里的花都开了，孩子们高兴地拍了很多照片。",
    "下午四点，他们坐公共汽车回到了学校。",
)
MAX_SEQ_LENGTH = 64
SEED = 12345
MAX_PASSES = 100
SENTENCE_ORDER = {0: "顺序正确 in order", 1: "前后对调 swapped"}

WordTable = collections.namedtuple("WordTable", ["plain", "factorized"])
SegmentPair = collections.namedtuple("SegmentPair", ["text_a", "text_b", "label"])


def run():
    """Prints the three changes; raises an error if a figure is not as expected."""
    test_factorized_embedding()
    test_share_parameters()
    test_sentence_order_prediction()


def word_table(config):
    """Counts the parameters of a word table V x H, and of the table that a config has instead.

    Args:
        config: `AlbertConfig`.

    Returns:
        `WordTable`; both counts are equal for plain BERT.
    """
    encoder = expected_variables.expected_shapes_by_part(config)["encoder"]
    table = encoder["bert/embeddings/word_embeddings"]
    projections = (
        "bert/embeddings/word_embeddings_2",
        "bert/encoder/embedding_hidden_mapping_in/kernel",
    )
    shapes = [table] + [encoder[name] for name in projections if name in encoder]
    return WordTable(table[0] * config.hidden_size, sum(rows * columns for rows, columns in shapes))


def get_total_parameters():
    """Counts the values of all trainable variables of the default graph."""
    return count_parameters(tf.trainable_variables())


def encoder_parameters(config):
    """Counts the parameters of all transformer layers on a built graph."""
    with tf.Graph().as_default():
        AlbertModel(config, is_training=False, input_ids=tf.zeros([1, 1], tf.int32))
        variables = tf.trainable_variables()
    return count_parameters(
        [variable for variable in variables if variable.op.name.startswith("bert/encoder/layer_")]
    )


def sentence_order_pairs(document):
    """Creates a record of each label from a document, like the pre-training data.

    Args:
        document: list of str, the sentences of the document.

    Returns:
        {label: `SegmentPair`}.

    Raises:
        UserError: if the document is too short for both labels.
    """
    tokenizer = tokenization.FullTokenizer(VOCABULARY)
    shard = corpus_reader.Shard(0, [list(document)], False, collections.Counter(), [], 0)
    encoded = sampling.encode_shard(shard, word_segmentation.LineEncoder(tokenizer))
    sampler = sampling.Sampler(_record_settings(), sampling.make_vocabulary(tokenizer))
    pairs = {}
    for pass_index in range(MAX_PASSES):
        for features in sampler.features(encoded, pass_index):
            for ids, labels in zip(features["input_ids"], features["next_sentence_labels"]):
                pairs.setdefault(int(labels[0]), _segment_pair(tokenizer, ids, int(labels[0])))
        if len(pairs) == len(SENTENCE_ORDER):
            return pairs
    raise UserError("%d sentences are too few for records of both labels" % len(document))


def _record_settings():
    """Settings for records that are masked in training: they contain the text unchanged."""
    return sampling.Settings(
        max_seq_length=MAX_SEQ_LENGTH,
        max_predictions=1,
        masked_lm_prob=0.15,
        short_seq_prob=0.0,
        seed=SEED,
        whole_words=False,
        run_weights=[1.0],
        google=False,
        random_next=False,
        similar_next=False,
        permute=False,
        dynamic=True,
    )


def _segment_pair(tokenizer, ids, label):
    tokens = tokenizer.convert_ids_to_tokens([int(id_) for id_ in ids])
    ends = [position for position, token in enumerate(tokens) if token == "[SEP]"]
    return SegmentPair("".join(tokens[1 : ends[0]]), "".join(tokens[ends[0] + 1 : ends[1]]), label)


def is_in_order(pair, document):
    """Whether A comes before B in a document; `ValueError` if one of them is not in it."""
    text = "".join(document)
    return text.index(pair.text_a) < text.index(pair.text_b)


def _check(actual, expected):
    if actual != expected:
        raise UserError("expected %s, found %s: the code has changed" % (expected, actual))


def _title(index, chinese, english):
    print("\n%d. %s  %s" % (index, chinese, english))


def test_factorized_embedding():
    """Prints the first change: V x H becomes V x E and E x H."""
    _title(1, "词嵌入的因式分解: V×H → V×E + E×H", "factorized embedding")
    paper = AlbertConfig(**PAPER_SIZES)
    _show_word_table(
        "V %(vocab_size)d, H %(hidden_size)d, E %(embedding_size)d" % PAPER_SIZES, paper
    )
    _check(word_table(paper), PAPER_COUNTS)
    for path in sorted(glob.glob(CONFIGS)):
        _show_word_table(os.path.basename(path), AlbertConfig.from_json_file(path))


def _show_word_table(name, config):
    table = word_table(config)
    times = "少到 1/%.2g  %.2g times fewer" % ((table.plain / table.factorized,) * 2)
    print(
        "   %-37s %8.2f M → %6.2f M   %s"
        % (
            name,
            table.plain / 1e6,
            table.factorized / 1e6,
            times if table.factorized < table.plain else "没有分解 not factorized",
        )
    )


def test_share_parameters():
    """Prints the second change: all layers have the same weights."""
    _title(2, "跨层参数共享", "all layers share their weights")
    unshared = {key: size for key, size in SHARED_SIZES.items() if key != "embedding_size"}
    before = encoder_parameters(AlbertConfig(**unshared))
    after = encoder_parameters(AlbertConfig(**SHARED_SIZES))
    print(
        "   hidden %(hidden_size)d, heads %(num_attention_heads)d, layers %(num_hidden_layers)d, "
        "intermediate %(intermediate_size)d" % SHARED_SIZES
    )
    print(f"   编码器参数 encoder parameters: {before:,} → {after:,}   1/{before / after:.0f}")
    _check((before, after), SHARED_COUNTS)


def test_sentence_order_prediction():
    """Prints the third change: which of two neighbouring segments came first."""
    _title(3, "句序预测: 两段相邻的文字，哪一段在前", "sentence order, in place of next sentence")
    print("   文档 document（每段两端随机去掉几个字 ends lose a few pieces at random）:")
    for sentence in DOCUMENT:
        print("      " + sentence)
    for label, pair in sorted(sentence_order_pairs(DOCUMENT).items()):
        print("   标签 label %d (%s):" % (label, SENTENCE_ORDER[label]))
        print("      A " + pair.text_a)
        print("      B " + pair.text_b)
        _check(int(not is_in_order(pair, DOCUMENT)), label)


def main():
    """Runs the command line."""
    run_command(run, description=__doc__)
