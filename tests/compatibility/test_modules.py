"""albert_zh's smaller modules in the root folder: optimizers, SentencePiece, masks, settings."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import args
import bert_utils
import lamb_optimizer_google
import optimization
import optimization_finetuning
import optimization_google
from optimizer_cases import Toy
import resident
import sentencepiece_models
import tokenization
import tokenization_google


@pytest.fixture
def session():
    with tf.Graph().as_default(), tf.Session() as session:
        yield session


@pytest.mark.parametrize(
    "name, module, more",
    [
        ("bm_lamb_w4_t10", optimization, []),
        ("bm_adamw_finetune_w4_t10", optimization_finetuning, []),
        ("google_adamw_w4_t10", optimization_google, []),
        ("google_lamb_w4_t10", optimization_google, ["lamb"]),
    ],
)
def test_create_optimizer_of_each_module_steps_as_the_originals(session, name, module, more):
    toy = Toy(name, use_resource=False)
    train_op = module.create_optimizer(toy.loss, 0.01, 10, 4, False, *more)
    session.run(tf.global_variables_initializer())
    for step in range(12):
        session.run(train_op, toy.feed(step))
        toy.check(session, step)
    assert issubclass(module.AdamWeightDecayOptimizer, tf.train.Optimizer)


def test_googles_lamb_leaves_undecayed_variables_unscaled(session):
    values = {"kernel": [3.0, 4.0], "bias": [0.3, 0.4]}
    variables = [tf.get_variable(n, initializer=v) for n, v in sorted(values.items())]
    optimizer = lamb_optimizer_google.LAMBOptimizer(0.1, exclude_from_weight_decay=["bias"])
    step = optimizer.apply_gradients([(tf.constant([1.0, 1.0]), v) for v in variables])
    session.run(tf.global_variables_initializer())
    session.run(step)
    after = dict(zip(sorted(values), session.run(variables)))
    update = 0.1 / np.sqrt(0.001) * np.ones(2)  # the update of Adam without bias correction
    np.testing.assert_allclose(after["bias"], np.array([0.3, 0.4]) - 0.1 * update, rtol=1e-3)
    update = update + 0.01 * np.array([3.0, 4.0])
    expected = np.array([3.0, 4.0]) - 0.1 * 5.0 / np.linalg.norm(update) * update
    np.testing.assert_allclose(after["kernel"], expected, rtol=1e-3)
    assert {v.op.name for v in tf.global_variables()} > {"kernel/adam_m", "bias/adam_v"}


@pytest.mark.newest  # in a process with TensorFlow 1.15, the package sentencepiece may crash
def test_encode_pieces_and_ids(tmp_path):
    lines = ["in 2019, 2018, 2019 and 2020 we ate", "we ate 2019 apples", "ate in 2019,"] * 20
    path = sentencepiece_models.train_sentencepiece(tmp_path, lines, 60)
    import sentencepiece

    model = sentencepiece.SentencePieceProcessor(model_file=path)
    text = "we ate 2019, apples"
    pieces = tokenization_google.encode_pieces(model, text)
    assert "".join(pieces).replace(tokenization_google.SPIECE_UNDERLINE, " ") == " " + text
    assert "," in pieces and not [p for p in pieces if len(p) > 1 and p.endswith(",")]
    assert tokenization_google.encode_ids(model, text) == [model.PieceToId(p) for p in pieces]
    assert tokenization_google.encode_pieces(model, text.encode()) == pieces
    tokenizer = tokenization_google.FullTokenizer(None, spm_model_file=path)
    assert tokenizer.tokenize(text) == pieces
    sampled = tokenization_google.encode_pieces(model, "we ate apples", sample=True)
    assert "".join(sampled).replace(tokenization_google.SPIECE_UNDERLINE, " ") == " we ate apples"


def test_unilms_mask(session):
    attention_mask = np.array([[[1, 1, 1, 1, 0]] * 5])  # the last token is padding
    is_target = np.array([[0, 0, 1, 1, 1]])
    mask = bert_utils.generate_seq2seq_mask(
        tf.constant(attention_mask, tf.float32), tf.constant(is_target), "seq2seq"
    )
    expected = [
        [1, 1, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0],
        [1, 1, 1, 1, 0],
        [1, 1, 1, 1, 0],
    ]
    np.testing.assert_array_equal(session.run(mask), [expected])
    left_to_right = bert_utils.generate_seq2seq_mask(tf.constant(attention_mask), None, "seq2seq")
    np.testing.assert_array_equal(
        session.run(left_to_right), np.tril(np.ones([5, 5])) * attention_mask
    )
    other = bert_utils.generate_seq2seq_mask(tf.constant(attention_mask), None, "bert")
    np.testing.assert_array_equal(session.run(other), attention_mask)


def test_shapes_of_bert_utils(session):
    sequence = np.arange(12.0).reshape(2, 3, 2)
    rows = bert_utils.gather_indexes(tf.constant(sequence), tf.constant([[0, 2], [1, 1]]))
    expected = [sequence[0, 0], sequence[0, 2], sequence[1, 1], sequence[1, 1]]
    np.testing.assert_array_equal(session.run(rows), expected)
    matrix = bert_utils.reshape_to_matrix(tf.constant(sequence))
    shape = bert_utils.get_shape_list(tf.constant(sequence))
    assert bert_utils.reshape_from_matrix(matrix, shape).shape.as_list() == shape == [2, 3, 2]
    with pytest.raises(ValueError, match="rank"):
        bert_utils.assert_rank(matrix, 3)


def test_settings_have_the_originals_values():
    assert (args.batch_size, args.num_train_epochs, args.learning_rate) == (128, 10, 5e-5)
    assert args.max_seq_len == 128
    assert args.layer_indexes == [-2] and args.gpu_memory_fraction == 0.8


def test_rows_of_the_former_module_are_what_it_pads(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n甲\n乙\n", encoding="utf-8")
    texts = resident.checked_texts([("甲", "乙甲"), "乙"])
    rows = resident.rows_of(texts, tokenization.FullTokenizer(str(path)), 128)
    assert rows == [([2, 4, 3, 5, 4, 3], [0, 0, 0, 1, 1, 1]), ([2, 5, 3], [0, 0, 0])]
    ids, mask, segments = resident.padded(rows, 8)
    assert ids.tolist() == [[2, 4, 3, 5, 4, 3, 0, 0], [2, 5, 3, 0, 0, 0, 0, 0]]
    assert mask.sum(axis=1).tolist() == [6, 3] and segments.sum(axis=1).tolist() == [3, 0]
