"""Similar words in place of masks: the table, the shares, and the records of the command."""

import os
import subprocess
import sys

import numpy as np
import pytest

from albert_zh.common.errors import UserError
from albert_zh.corpus import masking, similar_words
from albert_zh.text import tokenization
from project_root import ROOT

VOCABULARY = os.path.join(ROOT, "albert_starter_zh", "vocab.txt")


@pytest.fixture(scope="module")
def tokenizer():
    return tokenization.FullTokenizer(VOCABULARY, True)


def ids_of(word, tokenizer):
    return tuple(tokenizer.convert_tokens_to_ids(tokenizer.tokenize(word)))


def write(folder, text):
    path = os.path.join(str(folder), "similar.txt")
    with open(path, "w", encoding="utf-8") as handle:
        handle.write(text)
    return path


def test_a_table_has_the_words_of_as_many_pieces(tmp_path, tokenizer):
    path = write(tmp_path, "手机\t电话\t移动电话\n高兴\t开心\t高兴\n\n")
    table = similar_words.read(path, tokenizer)
    assert table.similar == {
        ids_of("手机", tokenizer): [ids_of("电话", tokenizer)],
        ids_of("高兴", tokenizer): [ids_of("开心", tokenizer)],
    }
    assert table.num_left_out == 2  # 移动电话 is longer; 高兴 is the word itself


def test_a_table_may_begin_with_blank_lines(tmp_path, tokenizer):
    """Regression: such a table was taken for a file of word vectors."""
    table = similar_words.read(write(tmp_path, "\n \n手机\t电话\n"), tokenizer)
    assert table.similar == {ids_of("手机", tokenizer): [ids_of("电话", tokenizer)]}


def test_words_that_the_vocabulary_lacks_are_no_words_of_a_table(tmp_path, tokenizer):
    """Such words would be the same as any [UNK], on either side of the table."""
    assert tokenizer.tokenize("𰻝") == ["[UNK]"]
    path = write(tmp_path, "𰻝\t好\n面\t𰻝\t饭\n")
    table = similar_words.read(path, tokenizer)
    assert table.similar == {ids_of("面", tokenizer): [ids_of("饭", tokenizer)]}


def test_word_vectors_give_the_nearest_words_of_as_many_characters(tmp_path, tokenizer):
    lines = ["5 2", "手机 1 0", "电话 0.9 0.1", "移动电话 1 0.01", "天气 0 1", "气候 0.1 0.9"]
    table = similar_words.read(write(tmp_path, "\n".join(lines) + "\n"), tokenizer)
    nearest = {word: others[0] for word, others in table.similar.items()}
    for word, other in (("手机", "电话"), ("电话", "手机"), ("天气", "气候"), ("气候", "天气")):
        assert nearest[ids_of(word, tokenizer)] == ids_of(other, tokenizer)
    assert ids_of("移动电话", tokenizer) not in table.similar


@pytest.mark.parametrize(
    "text, message",
    [
        ("手机\t电话\n天气\n", "similar.txt: line 2: '天气': expected a word and similar ones"),
        ("手机\t移动电话\n", "no word has a similar one of as many pieces"),
        (
            "手机 电话 座机\n天气 气候\n",
            "line 1: '手机 电话 座机': expected a word and similar ones, separated by TABs",
        ),
        (
            "\n手机，电话\n",
            "line 2: '手机，电话': expected a word and similar ones, separated by TABs",
        ),
        ("手机 0.1 0.2\n天气 0.1\n", "line 2: '天气 0.1' is no word vector"),
        (
            "手机\t0.1\t-2e-3\t.5\n",
            "line 1: found numbers separated by TABs, expected similar",
        ),
        ("", "no word vectors"),
    ],
)
def test_faults_of_a_table_are_one_line(text, message, tmp_path, tokenizer):
    with pytest.raises(UserError, match=message) as caught:
        similar_words.read(write(tmp_path, text), tokenizer)
    assert "\n" not in str(caught.value)


def test_shares_of_similar_kept_and_random_words():
    """Rows have the words (10, 11), (12) and (13, 14, 15); the last one has no similar word."""
    ids = np.tile([1, 10, 11, 12, 13, 14, 15, 2], (6000, 1))
    starts = np.tile(np.array([0, 1, 0, 1, 1, 0, 0, 0], bool), (6000, 1))
    chosen = np.tile(np.array([0, 1, 1, 1, 1, 1, 1, 0], bool), (6000, 1))
    table = similar_words.Table({(10, 11): [(20, 21), (22, 23)], (12,): [(30,)]}, 0)
    generator = np.random.RandomState(3)
    shown = masking.similar_pieces(ids, chosen, starts, table, 1000, generator)
    assert (shown[:, [0, 7]] == ids[:, [0, 7]]).all()

    def share(first, *pieces):
        return (shown[:, first : first + len(pieces)] == pieces).all(axis=1).mean()

    assert abs(share(1, 20, 21) - 0.4) < 0.03 and abs(share(1, 22, 23) - 0.4) < 0.03
    assert abs(share(1, 10, 11) - 0.1) < 0.02 and abs(share(3, 30) - 0.8) < 0.03
    assert abs(share(4, 13, 14, 15) - 0.1) < 0.02
    random_words = shown[:, 4:7][(shown[:, 4:7] != [13, 14, 15]).any(axis=1)]
    assert len(np.unique(random_words[:, 0])) > 900


def test_records_show_similar_words_and_predict_the_texts(tmp_path, tokenizer):
    text = os.path.join(str(tmp_path), "text.txt")
    with open(text, "w", encoding="utf-8") as handle:
        handle.write(("今天的天气很好我们去公园\n他买了一部新手机很高兴\n" * 30 + "\n") * 4)
    output = os.path.join(str(tmp_path), "similar.tfrecord")
    arguments = [
        "--input_file=" + text,
        "--output_file=" + output,
        "--vocab_file=" + VOCABULARY,
        "--do_whole_word_mask=true",
        "--similar_words=" + write(tmp_path, "手机\t电话\n天气\t气候\t移动电话\n公园\t花园\n"),
    ]
    command = [sys.executable, "create_pretraining_data.py"] + arguments
    done = subprocess.run(command, cwd=ROOT, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    assert "number of pieces differs from that of the word: 1" in done.stderr.decode()
    records = _records(output)
    mask_id = tokenizer.vocab["[MASK]"]
    assert not any(mask_id in record["input_ids"] for record in records)
    swapped = {ids_of(word, tokenizer) for word in ("电话", "气候", "花园")}
    seen = {tuple(r["input_ids"][i : i + 2]) for r in records for i in range(126)}
    assert swapped <= seen
    predicted = {piece for record in records for piece in record["masked_lm_ids"]}
    assert not predicted & {piece for word in swapped for piece in word} - set(
        tokenizer.convert_tokens_to_ids(list("天气公园手机今很好我们去他买了一部新高兴的"))
    )
    without_words = [part for part in command if "whole_word" not in part]
    refused = subprocess.run(without_words, cwd=ROOT, capture_output=True)
    assert refused.returncode == 2
    assert (
        b"--similar_words and --do_whole_word_mask=false are mutually exclusive" in refused.stderr
    )


def _records(path):
    import tensorflow.compat.v1 as tf

    for_features = []
    for record in tf.python_io.tf_record_iterator(path):
        features = tf.train.Example.FromString(record).features.feature
        for_features.append(
            {name: list(features[name].int64_list.value) for name in ("input_ids", "masked_lm_ids")}
        )
    return for_features
