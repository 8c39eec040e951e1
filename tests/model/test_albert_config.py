"""The published configs: their values, variables and sizes, and the table that describes them."""

import collections
import functools
import glob
import json
import os

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert_zh.common.errors import UserError
from albert_zh.model import modeling
from albert_zh.model.checkpoints import checkpoint_values, expected_variables
from crossed_cases import with_slow
import numpy_encoder
import variable_values
from workspace import ROOT

FOLDER = os.path.join(ROOT, "albert_config")
PATHS = sorted(glob.glob(os.path.join(FOLDER, "*.json")))
NAMES = [os.path.basename(path) for path in PATHS]
# A graph of twelve layers that share nothing takes seconds; for the fast layout, tiny suffices.
WITHOUT_LARGE_GRAPHS = with_slow(
    NAMES, sorted(set(NAMES) - {"bert_config.json", "albert_config_base_google_fast.json"})
)
FFN_GROUPS = 16  # as in the original's google_fast layout
BYTES_OF_VALUE = 4

# Parameters of the pre-training model, as the original counts them.
PUBLISHED_PARAMETERS = {
    "albert_config_tiny.json": 4295186,
    "albert_config_base.json": 11492234,
    "albert_config_large.json": 18084490,
    "albert_config_xlarge.json": 62803594,
    "albert_config_xxlarge.json": 240322186,
}
QUICK_ONES = ["albert_config_%s.json" % size for size in ("tiny", "base", "xxlarge")]
# The original's configs, file by file: hidden size, layers, heads, intermediate size, dropout (the
# same for hidden layers and attention), and further settings.
BRIGHTMART = {"embedding_size": 128, "ln_type": "postln", "directionality": "bidi"}
GOOGLE = {
    "embedding_size": 128,
    "inner_group_num": 1,
    "down_scale_factor": 1,
    "gap_size": 0,
    "net_structure_type": 0,
    "num_memory_blocks": 0,
    "num_hidden_groups": 1,
}
GOOGLE_FAST = dict(GOOGLE, num_hidden_groups=12, ffn_groups=16)
ORIGINAL = {
    "albert_config_tiny": (312, 4, 12, 1248, 0.0, BRIGHTMART),
    "albert_config_base": (768, 12, 12, 3072, 0.0, BRIGHTMART),
    "albert_config_large": (1024, 24, 16, 4096, 0.0, BRIGHTMART),
    "albert_config_xlarge": (2048, 24, 32, 8192, 0.0, BRIGHTMART),
    "albert_config_xxlarge": (4096, 12, 64, 16384, 0.0, dict(BRIGHTMART, ln_type="preln")),
    "albert_config_tiny_google": (312, 4, 12, 1248, 0.0, GOOGLE),
    "albert_config_small_google": (384, 6, 12, 1536, 0.0, GOOGLE),
    "albert_config_tiny_google_fast": (336, 4, 12, 1344, 0.1, GOOGLE_FAST),
    "albert_config_base_google_fast": (768, 12, 12, 3072, 0.1, GOOGLE_FAST),
    "bert_config": (768, 12, 12, 3072, 0.0, {"directionality": "bidi"}),
}
# {checkpoint, of which only the index is available: the config that it fits}.
RELEASED = {
    "34127chi_albert_tiny_zh_google": "albert_config_tiny_google.json",
    "MarsRoger_albert_tiny": "albert_config_tiny.json",
    "hellonlp_albert_small_zh_google": "albert_config_small_google.json",
    "jadepeng_google_albert_base_zh": None,  # Google's model, with a separate config
    "ljwmusclenlper_albert_large_zh": "albert_config_large.json",
    "natureLanguageQing_albert_tiny": "albert_config_tiny.json",
    "natureLanguageQing_albert_tiny_250k": "albert_config_tiny.json",
}


def settings_of(name):
    """Returns the settings in a config file of the project."""
    with open(os.path.join(FOLDER, name), encoding="utf-8") as handle:
        return json.load(handle)


@functools.lru_cache(maxsize=None)
def variables_of(path):
    """Returns {name: (shape, dtype)} of a config file's pre-training model, in creation order."""
    return built_variables(modeling.AlbertConfig.from_json_file(path))


def built_variables(config):
    """Same as `variables_of`, for a config; the whole graph is built, but nothing is allocated."""
    with tf.Graph().as_default():
        model = modeling.AlbertModel(config, False, tf.zeros([1, 4], tf.int32))
        modeling.masked_lm_head(config, model, [[1]], [[1]], [[1.0]])
        modeling.sentence_order_head(config, model.get_pooled_output(), [[0]])
        return collections.OrderedDict(
            (v.op.name, (v.shape.as_list(), v.dtype.base_dtype)) for v in tf.trainable_variables()
        )


def shapes_of(config):
    return [(name, shape) for name, (shape, _) in built_variables(config).items()]


def count_of(name):
    variables = variables_of(os.path.join(FOLDER, name))
    return sum(int(np.prod(shape)) for shape, _ in variables.values())


def test_all_configs_of_the_original_are_there():
    sizes = "tiny base large xlarge xxlarge tiny_google small_google tiny_google_fast"
    names = ["albert_config_%s.json" % size for size in sizes.split() + ["base_google_fast"]]
    assert sorted(names + ["bert_config.json"]) == NAMES


@pytest.mark.parametrize("name", sorted(ORIGINAL))
def test_every_value_is_the_originals(name):
    """The variables' shapes do not depend on heads and dropout: no other test would notice."""
    hidden, layers, heads, intermediate, dropout, others = ORIGINAL[name]
    assert settings_of(name + ".json") == dict(
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=intermediate,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
        hidden_act="gelu",
        initializer_range=0.02,
        max_position_embeddings=512,
        type_vocab_size=2,
        vocab_size=21128,
        **others,
    )


@pytest.mark.parametrize(
    "name, heads, is_pre_norm",
    [
        ("albert_config_xlarge.json", 32, False),
        pytest.param("albert_config_xxlarge.json", 64, True, marks=pytest.mark.slow),
    ],
)
def test_outputs_of_the_large_models_are_those_of_plain_numpy(name, heads, is_pre_norm):
    """Layers, vocabulary and feed-forward layer are reduced; hidden size and heads are not."""
    small = {"vocab_size": 40, "num_hidden_layers": 2, "intermediate_size": 256}
    config = modeling.AlbertConfig.from_dict(dict(settings_of(name), **small))
    ids = np.array([[2, 7, 9, 30, 11, 3], [2, 25, 14, 3, 0, 0]])
    mask = np.array([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]])
    segments = np.array([[0, 0, 0, 1, 1, 1], [0, 0, 0, 0, 0, 0]])
    with tf.Graph().as_default(), tf.Session() as session:
        model = modeling.AlbertModel(config, False, tf.constant(ids), tf.constant(mask), segments)
        generator = np.random.RandomState(5)
        values = {
            variable: numpy_encoder.random_weights(generator, variable.op.name, variable.shape)
            for variable in tf.trainable_variables()
        }
        variable_values.assign(session, values)
        weights = {variable.op.name: array for variable, array in values.items()}
        outputs = session.run([model.get_sequence_output(), model.get_pooled_output()])
    expected = numpy_encoder.outputs(weights, ids, mask, segments, 2, heads, is_pre_norm)
    others = numpy_encoder.outputs(weights, ids, mask, segments, 2, 16, is_pre_norm)
    for found, values, of_other_heads in zip(outputs, expected, others):
        real = np.abs(found - values)[mask > 0] if found.ndim == 3 else np.abs(found - values)
        assert real.max() < 2e-3
        assert np.abs(found - of_other_heads).max() > 0.3  # the number of heads matters


@pytest.mark.reference
@pytest.mark.parametrize("name", with_slow(sorted(PUBLISHED_PARAMETERS), QUICK_ONES))
def test_published_sizes(name):
    assert count_of(name) == PUBLISHED_PARAMETERS[name]


def table_rows():
    """Returns {config: cells} of the table in albert_config/README.md."""
    rows = {}
    with open(os.path.join(FOLDER, "README.md"), encoding="utf-8") as handle:
        for line in handle:
            cells = [cell.strip().strip("`") for cell in line.strip().strip("|").split("|")]
            if cells[0].endswith(".json"):
                rows[cells[0]] = cells[1:]
    return rows


@pytest.mark.reference
@pytest.mark.parametrize("name", WITHOUT_LARGE_GRAPHS)
def test_the_readmes_table_has_the_computed_figures(name):
    config = modeling.AlbertConfig.from_dict(settings_of(name))
    parameters = count_of(name)
    assert table_rows()[name][:6] == [
        config.layout,
        str(config.num_hidden_layers),
        str(config.hidden_size),
        str(config.num_attention_heads),
        f"{parameters:,}",
        "%.1f MB" % (parameters * BYTES_OF_VALUE / 1e6),
    ]


@pytest.mark.parametrize("name", NAMES)
def test_variables_are_those_of_the_original(shared, name):
    """Order and layout are the original's, too; the original has no layout for plain BERT."""
    config = modeling.AlbertConfig.from_dict(settings_of(name))
    golden = {"brightmart": "bm", "bert": "bm"}.get(config.layout, config.layout)
    entry = golden_variables(shared, golden)[name]
    if config.layout == "bert":
        assert "error" in entry
        return
    variables = variables_of(os.path.join(FOLDER, name))
    assert [(n, shape) for n, (shape, _) in variables.items()] == list(entry["variables"].items())
    assert {dtype for _, dtype in variables.values()} == {tf.float32}
    assert count_of(name) == entry["params_total_pretraining"]


@pytest.mark.parametrize(
    "name, golden, groups",
    [
        ("albert_config_base_google_fast.json", "google", 1),
        ("albert_config_tiny_google_fast.json", "google", 1),
        ("albert_config_small_google.json", "google_fast", FFN_GROUPS),
    ],
)
def test_variables_with_the_other_scripts_of_google(shared, name, golden, groups):
    """The original's scripts, not its configs, decide if the feed-forward layer has groups."""
    config = modeling.AlbertConfig.from_dict(dict(settings_of(name), ffn_groups=groups))
    entry = golden_variables(shared, golden)[name]
    assert shapes_of(config) == list(entry["variables"].items())


def test_sizes_that_groups_do_not_divide_are_refused():
    with pytest.raises(UserError, match=r"hidden_size \(312\) is not a multiple of ffn_groups"):
        modeling.AlbertConfig.from_dict(
            dict(settings_of("albert_config_tiny_google.json"), ffn_groups=FFN_GROUPS)
        )


def golden_variables(shared, layout):
    with open(os.path.join(shared, "golden", "variables_%s.json" % layout)) as handle:
        return json.load(handle)


@pytest.mark.parametrize("folder", sorted(RELEASED))
def test_variables_are_those_of_released_checkpoints(shared, folder):
    (index,) = glob.glob(os.path.join(shared, "data", "ckpt_index_only", folder, "*.index"))
    reader = tf.train.load_checkpoint(index[: -len(".index")])
    dtypes = reader.get_variable_to_dtype_map()
    there = {
        name: (shape, dtypes[name])
        for name, shape in reader.get_variable_to_shape_map().items()
        if not checkpoint_values.is_training_state(name)
    }
    (beside,) = glob.glob(os.path.join(os.path.dirname(index), "*config*.json"))
    for path in [beside] + [os.path.join(FOLDER, name) for name in [RELEASED[folder]] if name]:
        assert there == variables_of(path)


def test_every_released_index_is_compared(shared):
    indices = glob.glob(os.path.join(shared, "data", "ckpt_index_only", "*", "*.index"))
    assert {os.path.basename(os.path.dirname(index)) for index in indices} == set(RELEASED)


@pytest.mark.reference
@pytest.mark.parametrize("name", WITHOUT_LARGE_GRAPHS)
def test_shapes_without_building_all_layers_are_the_same(name):
    config = modeling.AlbertConfig.from_dict(settings_of(name))
    parts = expected_variables.expected_shapes_by_part(config)
    found = {n: shape for part in list(parts)[:3] for n, shape in parts[part].items()}
    assert found == {n: shape for n, (shape, _) in variables_of(os.path.join(FOLDER, name)).items()}
