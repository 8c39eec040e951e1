"""The low-level functions of albert_zh's `modeling*`, imported from the root folder's modules."""

import json
import warnings

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert_zh.common.errors import UserError
import golden_cases
import modeling
import modeling_google
import modeling_google_fast
import numpy_encoder

NAMES = (
    "BertConfig BertModel AlbertConfig AlbertModel create_initializer get_activation "
    "get_assignment_map_from_checkpoint dropout layer_norm layer_norm_and_dropout get_shape_list "
    "assert_rank reshape_to_matrix reshape_from_matrix embedding_lookup "
    "embedding_lookup_factorized embedding_postprocessor create_attention_mask_from_input_mask "
    "attention_layer transformer_model prelln_transformer_model"
).split()
GOOGLE = {"google_small": modeling_google, "google_fast_small": modeling_google_fast}


@pytest.fixture
def session():
    with tf.Graph().as_default(), tf.Session() as session:
        yield session


@pytest.mark.parametrize("module", [modeling, modeling_google, modeling_google_fast])
def test_every_name_is_in_every_module(module):
    assert not [name for name in NAMES if not callable(getattr(module, name, None))]


def embeddings_of_brightmart(config, inputs):
    words, _, _ = modeling.embedding_lookup_factorized(
        inputs["input_ids"], config.vocab_size, config.hidden_size, config.embedding_size
    )
    return with_positions(modeling, config, words, inputs)


def with_positions(module, config, words, inputs):
    return module.embedding_postprocessor(
        words,
        use_token_type=True,
        token_type_ids=inputs["segment_ids"],
        token_type_vocab_size=config.type_vocab_size,
        max_position_embeddings=config.max_position_embeddings,
        dropout_prob=0.0,
    )


def sizes(config, *more):
    names = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", *more)
    without_dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    return dict({name: getattr(config, name) for name in names}, **without_dropout)


def inputs_of(arrays):
    return {name[3:]: tf.constant(array) for name, array in arrays.items() if name[:3] == "in/"}


def check_layers(session, layers, description, arrays, values):
    """Checks that layers have the values of a golden case, and variables its names and order."""
    order = [v.op.name for v in tf.trainable_variables()]
    expected = [name for name in description["trainable_order"] if name in order]
    assert order == expected and len(order) == len(expected) > 15
    golden_cases.set_variables(session, {name: values[name] for name in order})
    for number, value in enumerate(session.run(layers)):
        golden_cases.assert_close(value, arrays["out/layer_%d" % number], number)


@pytest.mark.parametrize("name", ["bm_small_postln", "bm_small_preln"])
def test_a_brightmart_encoder_of_functions_has_the_originals_numbers(session, name):
    config, description, arrays, values = golden_cases.load_case(name)
    inputs = inputs_of(arrays)
    with tf.variable_scope("bert/embeddings"):
        embedded = embeddings_of_brightmart(config, inputs)
    build = modeling.prelln_transformer_model if config.is_pre_norm else modeling.transformer_model
    with tf.variable_scope("bert/encoder"):
        mask = modeling.create_attention_mask_from_input_mask(
            inputs["input_ids"], inputs["input_mask"]
        )
        layers = build(embedded, mask, do_return_all_layers=True, **sizes(config))
    assert "bert/encoder/layer_shared/attention/self/query/kernel" in {
        v.op.name for v in tf.trainable_variables()
    }
    check_layers(session, layers, description, arrays, values)


@pytest.mark.parametrize("name", sorted(set(golden_cases.case_names()) & set(GOOGLE)))
def test_a_google_encoder_of_functions_has_the_originals_numbers(session, name):
    config, description, arrays, values = golden_cases.load_case(name)
    inputs, module = inputs_of(arrays), GOOGLE[name]
    with tf.variable_scope("bert/embeddings"):
        words, _ = module.embedding_lookup(
            inputs["input_ids"], config.vocab_size, config.embedding_size
        )
        embedded = with_positions(module, config, words, inputs)
    with tf.variable_scope("bert/encoder"):
        layers = module.transformer_model(
            embedded,
            inputs["input_mask"],
            do_return_all_layers=True,
            **sizes(config, "num_hidden_groups", "inner_group_num"),
        )
    check_layers(session, layers, description, arrays, values)


@pytest.mark.parametrize(
    "shared_type, expected",
    [
        ("all", 16),
        ("attention", 10 + 2 * 6),
        ("ffn", 2 * 10 + 6),
        (None, 2 * 16),
    ],
)
def test_what_pre_norm_layers_share(session, shared_type, expected):
    build = modeling.prelln_transformer_model
    build(tf.zeros([1, 4, 8]), None, 8, 2, 2, 16, shared_type=shared_type)
    names = [v.op.name for v in tf.trainable_variables()]
    assert len(names) == expected
    assert ("layer_shared/output_1/dense/kernel" in names) == (shared_type == "attention")
    assert ("layer_shared/attention_1/self/key/bias" in names) == (shared_type == "ffn")
    assert ("layer_1/attention/self/key/bias" in names) == (shared_type is None)
    with pytest.raises(ValueError, match="shared_type"):
        build(tf.zeros([1, 4, 8]), None, 8, 2, 2, 16, shared_type="some")


def test_layers_of_their_own_and_sizes_that_do_not_fit(session):
    modeling.transformer_model(
        tf.zeros([1, 4, 8]), None, 8, 2, 2, 16, tf.nn.relu, share_parameter_across_layers=False
    )
    names = [v.op.name for v in tf.trainable_variables()]
    assert len(names) == 32 and "layer_1/intermediate/dense/kernel" in names
    with pytest.raises(ValueError, match="hidden_size is 12"):
        modeling.transformer_model(tf.zeros([1, 4, 8]), None, 12, 2, 2, 16)
    with pytest.raises(ValueError, match="num_attention_heads"):
        modeling.transformer_model(tf.zeros([1, 4, 8]), None, 8, 2, 3, 16)


def random_arrays(*shapes):
    random = np.random.RandomState(3)
    return [random.standard_normal(shape).astype(np.float32) for shape in shapes]


@pytest.mark.parametrize("rank", [2, 3])
def test_attention_layer(session, rank):
    queries, looked_at = random_arrays([2, 3, 5], [2, 4, 6])
    mask = np.array([[[1, 1, 0, 0]] * 3, [[1, 1, 1, 1], [1, 0, 0, 0], [1, 0, 1, 0]]])
    tensors = [tf.constant(array) for array in (queries, looked_at)]
    if rank == 2:
        tensors = [modeling.reshape_to_matrix(tensor) for tensor in tensors]
    context = modeling.attention_layer(
        *tensors,
        tf.constant(mask),
        num_attention_heads=2,
        size_per_head=4,
        key_act=tf.tanh,
        do_return_2d_tensor=rank == 2,
        batch_size=2,
        from_seq_length=3,
        to_seq_length=4,
    )
    assert context.shape.as_list() == ([6, 8] if rank == 2 else [2, 3, 8])
    variables = {v.op.name: v for v in tf.trainable_variables()}
    values = dict(
        zip(sorted(variables), random_arrays(*[v.shape for _, v in sorted(variables.items())]))
    )
    golden_cases.set_variables(session, values)

    def of_heads(x, name):
        y = x @ values[name + "/kernel"] + values[name + "/bias"]
        y = np.tanh(y) if name == "key" else y
        return y.reshape(2, -1, 2, 4).transpose(0, 2, 1, 3)

    scores = of_heads(queries, "query") @ of_heads(looked_at, "key").transpose(0, 1, 3, 2) / 2.0
    weights = np.exp(scores) * mask[:, None]
    weights /= weights.sum(axis=-1, keepdims=True)
    expected = (weights @ of_heads(looked_at, "value")).transpose(0, 2, 1, 3)
    np.testing.assert_allclose(
        session.run(context), expected.reshape(context.shape), rtol=1e-4, atol=1e-5
    )


def test_attention_layer_refuses_what_it_cannot_know(session):
    with pytest.raises(ValueError, match="rank"):
        modeling.attention_layer(tf.zeros([2, 3, 5]), tf.zeros([6, 5]))
    with pytest.raises(ValueError, match="batch_size"):
        modeling.attention_layer(tf.zeros([6, 5]), tf.zeros([6, 5]))


def test_google_attention_keeps_its_heads_apart(session):
    context = modeling_google.attention_layer(
        tf.zeros([2, 3, 8]), tf.zeros([2, 4, 8]), tf.ones([2, 4]), num_attention_heads=2
    )
    assert context.shape.as_list() == [2, 3, 2, 4]


def test_masks_ranks_and_matrices(session):
    mask = modeling.create_attention_mask_from_input_mask(
        tf.zeros([2, 3, 7]), tf.constant([[1, 1, 0, 0], [1, 1, 1, 1]])
    )
    np.testing.assert_array_equal(session.run(mask), [[[1, 1, 0, 0]] * 3, [[1, 1, 1, 1]] * 3])
    (array,) = random_arrays([2, 3, 5])
    matrix = modeling.reshape_to_matrix(tf.constant(array))
    np.testing.assert_array_equal(session.run(matrix), array.reshape(6, 5))
    back = modeling.reshape_from_matrix(matrix * 2.0, [2, 3, 5])
    np.testing.assert_array_equal(session.run(back), 2 * array)
    assert modeling.reshape_from_matrix(matrix, [6, 5]) is matrix
    with pytest.raises(ValueError, match="rank"):
        modeling.reshape_to_matrix(tf.zeros([3]))
    modeling.assert_rank(matrix, [2, 3])
    with pytest.raises(ValueError, match="words has rank 2, expected rank 3"):
        modeling.assert_rank(matrix, 3, "words")


@pytest.mark.parametrize("use_one_hot", [False, True])
def test_embedding_lookup_of_one_and_of_several_ids(session, use_one_hot):
    words, table = modeling.embedding_lookup(
        tf.constant([[1, 2], [3, 4]]), 9, 5, use_one_hot_embeddings=use_one_hot
    )
    session.run(tf.global_variables_initializer())
    values = session.run(table)
    assert table.op.name == "word_embeddings" and 0 < np.abs(values).max() <= 0.04
    np.testing.assert_allclose(session.run(words), values[np.array([[1, 2], [3, 4]])], atol=1e-7)
    words, table = modeling.embedding_lookup(
        tf.constant([[[1, 2]], [[3, 4]]]), 9, 5, word_embedding_name="pairs"
    )
    session.run(table.initializer)
    expected = session.run(table)[np.array([[1, 2], [3, 4]])].reshape(2, 1, 10)
    np.testing.assert_array_equal(session.run(words), expected)


def test_embedding_postprocessor_says_what_is_missing(session):
    with pytest.raises(ValueError, match="token_type_ids"):
        modeling.embedding_postprocessor(tf.zeros([1, 4, 8]), use_token_type=True)
    with pytest.raises(ValueError, match="at most 3, the config"):
        modeling.embedding_postprocessor(tf.zeros([1, 4, 8]), max_position_embeddings=3)


def test_layer_norm_and_dropout_and_initializer(session):
    (array,) = random_arrays([50, 20])
    normalized = modeling.layer_norm_and_dropout(tf.constant(array), 0.0, "first")
    dropped = modeling.layer_norm_and_dropout(tf.constant(array), 0.5)
    start = modeling.create_initializer(0.1)([500])
    assert [v.op.name for v in tf.trainable_variables()] == [
        "first/beta",
        "first/gamma",
        "LayerNorm/beta",
        "LayerNorm/gamma",
    ]
    session.run(tf.global_variables_initializer())
    centered = array - array.mean(axis=1, keepdims=True)
    expected = centered / centered.std(axis=1, keepdims=True)
    found, kept, start = session.run([normalized, dropped, start])
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert 0.4 < (kept == 0).mean() < 0.6
    np.testing.assert_allclose(kept[kept != 0], 2 * expected[kept != 0], atol=1e-3)
    assert np.abs(start).max() <= 0.2 and 0.07 < start.std() < 0.1


def test_what_activations_are_called(session):
    assert modeling.get_activation("relu") is tf.nn.relu
    with pytest.raises(ValueError, match="unknown activation 'elo'"):
        modeling.get_activation("elo")


@pytest.mark.parametrize("module", [modeling, modeling_google, modeling_google_fast])
@pytest.mark.parametrize("name", [None, "", "linear"])
def test_no_activation_leaves_values_as_they_are(module, name, session):
    """The original returns None for these, with which a dense layer does the same."""
    assert session.run(module.get_activation(activation_string=name)(tf.constant(-2.0))) == -2.0


def test_get_embedding_table_2_is_the_second_word_table(session):
    config, _, arrays, _ = golden_cases.load_case("bm_small_postln")
    model = modeling.BertModel(config, False, tf.constant(arrays["in/input_ids"]))
    assert model.get_embedding_table_2().op.name == "bert/embeddings/word_embeddings_2"
    assert len(model.get_all_encoder_layers()) == 3


def test_attributes_that_programs_read_are_the_outputs(session):
    config, _, arrays, _ = golden_cases.load_case("bm_small_postln")
    model = modeling.BertModel(config, False, tf.constant(arrays["in/input_ids"]))
    session.run(tf.global_variables_initializer())
    read = (model.sequence_output, model.pooled_output, model.embedding_output)
    got = (model.get_sequence_output(), model.get_pooled_output(), model.get_embedding_output())
    read, got = session.run((read, got))
    for attribute, output in zip(read, got):
        np.testing.assert_array_equal(attribute, output)
    np.testing.assert_array_equal(read[0], session.run(model.all_encoder_layers[-1]))
    assert model.embedding_table.op.name == "bert/embeddings/word_embeddings"


def test_google_configs_have_googles_defaults():
    config = modeling_google.AlbertConfig(100, hidden_size=32, num_attention_heads=4)
    assert (config.layout, config.embedding_size, config.num_hidden_groups) == ("google", 128, 1)
    assert config.intermediate_size == 16384 and config.hidden_dropout_prob == 0
    read = modeling_google.AlbertConfig.from_dict({"vocab_size": 9, "down_scale_factor": 2})
    assert read.num_attention_heads == 64
    assert read.to_dict() == {"vocab_size": 9, "down_scale_factor": 2}
    fast = modeling_google_fast.AlbertConfig(100, 64, 32, num_attention_heads=4)
    assert (fast.layout, fast.embedding_size, fast.ffn_groups) == ("google_fast", 64, 16)
    fast = modeling_google_fast.AlbertConfig.from_dict({"vocab_size": 9, "num_hidden_layers": 2})
    assert fast.to_dict() == {"vocab_size": 9, "num_hidden_layers": 2, "ffn_groups": 16}


@pytest.mark.parametrize("has_group_1", [False, True])
def test_groups_that_a_checkpoint_lacks_start_from_group_0(session, tmp_path, has_group_1):
    scope = "encoder/group_%d/kernel"
    tf.get_variable("table", [3])
    for group in range(1 + has_group_1):
        tf.get_variable(scope % group, [3])
    session.run(tf.global_variables_initializer())
    prefix = tf.train.Saver().save(session, str(tmp_path / "model.ckpt"))
    with tf.Graph().as_default():
        variables = [tf.get_variable(n, [3]) for n in ("table", scope % 0, scope % 1)]
        maps, names = modeling_google.get_assignment_map_from_checkpoint(variables, prefix, 2)
        plain, _ = modeling_google.get_assignment_map_from_checkpoint(variables, prefix)
    assert maps == [
        {"table": "table", scope % 0: scope % 0},
        {scope % (1 if has_group_1 else 0): scope % 1},
    ]
    assert names[scope % 1 + ":0"] == 1
    assert list(plain) == sorted(n for n in plain) and len(plain) == 2 + has_group_1


def test_bert_model_equals_plain_numpy(session):
    config = modeling.BertConfig(
        30, 12, 2, 3, 24, max_position_embeddings=16, type_vocab_size=2, embedding_size=6
    )
    ids, mask = np.array([[1, 2, 3, 4], [5, 6, 0, 0]]), np.array([[1, 1, 1, 1], [1, 1, 0, 0]])
    model = modeling.BertModel(
        config=config, is_training=False, input_ids=tf.constant(ids), input_mask=tf.constant(mask)
    )
    random = np.random.RandomState(0)
    weights = {
        v.op.name: numpy_encoder.random_weights(random, v.op.name, v.shape)
        for v in tf.trainable_variables()
    }
    golden_cases.set_variables(session, weights)
    expected = numpy_encoder.outputs(weights, ids, mask, np.zeros_like(ids), 2, 3, False)
    outputs = session.run([model.get_sequence_output(), model.get_pooled_output()])
    np.testing.assert_allclose(outputs[0][mask == 1], expected[0][mask == 1], atol=1e-5)
    np.testing.assert_allclose(outputs[1], expected[1], atol=1e-5)


class HandsOn(modeling.BertConfig):
    """A typical subclass of a user: one additional value, everything else unchanged."""

    def __init__(self, vocab_size, mixture=0.25, **kwargs):
        super().__init__(vocab_size, **kwargs)
        self.mixture = mixture


class TakesFew(modeling.AlbertConfig):
    def __init__(self, vocab_size, mixture=0.25):
        super().__init__(vocab_size, hidden_size=32, num_attention_heads=4)
        self.mixture = mixture


class Pops(modeling.BertConfig):
    def __init__(self, vocab_size, **kwargs):
        self.mixture = kwargs.pop("mixture", 0.25)
        super().__init__(vocab_size, **kwargs)


class OfGoogle(modeling_google.AlbertConfig):
    def __init__(self, vocab_size, **kwargs):
        super().__init__(vocab_size, **kwargs)


SIZES = {
    "vocab_size": 40,
    "hidden_size": 24,
    "embedding_size": 8,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "intermediate_size": 40,
    "hidden_act": "relu",
    "type_vocab_size": 3,
}


@pytest.mark.parametrize("config_class", [HandsOn, TakesFew, Pops, OfGoogle])
def test_a_users_class_of_configs_takes_all_values_of_a_file(config_class, tmp_path):
    """Regression: values that its `__init__` does not name once stayed at their defaults."""
    settings = dict(SIZES, **{} if config_class is OfGoogle else {"mixture": 0.75})
    path = tmp_path / "config.json"
    path.write_text(json.dumps(settings), encoding="utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # unknown keys would cause a warning
        config = config_class.from_json_file(str(path))
    assert type(config) is config_class
    assert {name: getattr(config, name) for name in settings} == settings
    assert config.to_dict() == settings
    with tf.Graph().as_default():
        ids = tf.constant([[2, 7, 3]])
        shape = modeling.BertModel(config, False, ids).get_pooled_output().shape.as_list()
    assert shape == [1, 24]
    with pytest.raises(UserError, match="hidden_size .25. is not a multiple of num_attention"):
        config_class.from_dict(dict(settings, hidden_size=25))


@pytest.mark.parametrize("config_class", [HandsOn, TakesFew])
def test_a_users_class_of_configs_writes_its_own_value(config_class):
    config = config_class(40, mixture=0.5)
    assert config.to_dict()["mixture"] == 0.5
    again = config_class.from_dict(config.to_dict())
    assert (again.mixture, again.to_dict()) == (0.5, config.to_dict())
