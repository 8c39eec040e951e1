"""albert_zh's pre-training, imported from the root folder's modules as other programs do."""

import functools
import json
import os
import random
import re
import subprocess
import sys

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import create_pretraining_data
import create_pretraining_data_google
from estimators import needs_estimators
import golden_cases
from isolated_flags import flags_of
import modeling
import run_pretraining
import run_pretraining_google
import run_pretraining_google_fast
import tokenization
from workspace import CONFIG, ROOT, VOCABULARY

SAMPLE = os.path.join(ROOT, "data", "news_sample.txt")
STARTER_VOCABULARY = os.path.join(ROOT, "albert_starter_zh", "vocab.txt")
NAMES = (
    "model_fn_builder get_masked_lm_output get_next_sentence_output get_sentence_order_output "
    "gather_indexes input_fn_builder"
).split()
PROGRAM = """
import sys

import numpy as np
import tensorflow.compat.v1 as tf

import modeling
from run_pretraining import get_masked_lm_output, get_sentence_order_output

config_file, checkpoint, arrays = sys.argv[1:]
config = modeling.BertConfig.from_json_file(config_file)
with tf.Graph().as_default():
    inputs = {n[3:]: tf.constant(v) for n, v in np.load(arrays).items() if n.startswith("in/")}
    with tf.variable_scope("bert"):
        with tf.variable_scope("embeddings"):
            words, table, projection = modeling.embedding_lookup_factorized(
                input_ids=inputs["input_ids"],
                vocab_size=config.vocab_size,
                hidden_size=config.hidden_size,
                embedding_size=config.embedding_size,
                initializer_range=config.initializer_range,
                word_embedding_name="word_embeddings",
                use_one_hot_embeddings=True,
            )
            embedded = modeling.embedding_postprocessor(
                input_tensor=words,
                use_token_type=True,
                token_type_ids=inputs["segment_ids"],
                token_type_vocab_size=config.type_vocab_size,
                max_position_embeddings=config.max_position_embeddings,
                dropout_prob=0.0,
            )
        with tf.variable_scope("encoder"):
            encoded = modeling.transformer_model(
                input_tensor=embedded,
                attention_mask=modeling.create_attention_mask_from_input_mask(
                    inputs["input_ids"], inputs["input_mask"]
                ),
                hidden_size=config.hidden_size,
                num_hidden_layers=config.num_hidden_layers,
                num_attention_heads=config.num_attention_heads,
                intermediate_size=config.intermediate_size,
                intermediate_act_fn=modeling.get_activation(config.hidden_act),
                hidden_dropout_prob=0.0,
                attention_probs_dropout_prob=0.0,
            )
        with tf.variable_scope("pooler"):
            kernel = tf.get_variable("dense/kernel", [config.hidden_size, config.hidden_size])
            bias = tf.get_variable("dense/bias", [config.hidden_size])
            pooled = tf.tanh(tf.matmul(encoded[:, 0], kernel) + bias)
    words_loss, _, _ = get_masked_lm_output(
        config,
        encoded,
        table,
        projection,
        inputs["masked_lm_positions"],
        inputs["masked_lm_ids"],
        inputs["masked_lm_weights"],
    )
    order_loss, _, _ = get_sentence_order_output(config, pooled, inputs["next_sentence_labels"])
    variables = tf.trainable_variables()
    names, _ = modeling.get_assignment_map_from_checkpoint(variables, checkpoint)
    tf.train.init_from_checkpoint(checkpoint, names)
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        print("RESULT", len(names), len(variables), *session.run([words_loss, order_loss]))
"""


@pytest.mark.parametrize(
    "module", [run_pretraining, run_pretraining_google, run_pretraining_google_fast]
)
def test_every_name_is_in_every_module(module):
    assert not [name for name in NAMES if not callable(getattr(module, name, None))]


def test_a_program_of_the_originals_functions_has_its_losses(tmp_path):
    config, _, arrays, _ = golden_cases.load_case("bm_small_postln")
    (tmp_path / "config.json").write_text(json.dumps(config.to_dict()), encoding="utf-8")
    prefix = os.path.join(golden_cases.BUNDLED, "bm_small_postln")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "config.json")]
        + [prefix + ".ckpt", prefix + ".npz"],
        env=dict(os.environ, PYTHONPATH=ROOT),
        cwd=str(tmp_path),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    found, variables, *losses = re.search("RESULT (.*)", done.stdout).group(1).split()
    assert found == variables == "31"
    expected = [arrays["out/mlm_loss"], arrays["out/sop_loss"]]
    np.testing.assert_allclose([float(loss) for loss in losses], expected, rtol=1e-6)


@pytest.mark.parametrize(
    "name, module",
    [("bm_small_preln", run_pretraining), ("google_small", run_pretraining_google)],
)
def test_losses_of_each_module_are_the_originals(name, module):
    config, _, arrays, values = golden_cases.load_case(name)
    with tf.Graph().as_default(), tf.Session() as session:
        sequence, pooled = (
            tf.constant(arrays["out/" + output]) for output in ("sequence_output", "pooled_output")
        )
        names = ("word_embeddings", "word_embeddings_2")[: 2 - name.startswith("google")]
        tables = [tf.constant(values["bert/embeddings/" + table]) for table in names]
        targets = [arrays["in/masked_lm_" + n] for n in ("positions", "ids", "weights")]
        words = module.get_masked_lm_output(config, sequence, *tables, *map(tf.constant, targets))
        labels = tf.constant(arrays["in/next_sentence_labels"])
        order = module.get_sentence_order_output(config, pooled, labels)
        heads = {v.op.name: values[v.op.name] for v in tf.trainable_variables()}
        golden_cases.set_variables(session, heads)
        outputs = session.run([words, order])
    for head, values in zip(("mlm", "sop"), outputs):
        for key, value in zip(("loss", "example_loss", "log_probs"), values):
            golden_cases.assert_close(value, arrays["out/%s_%s" % (head, key)], key)


def instance(tokens, labels, is_swapped):
    return create_pretraining_data.TrainingInstance(
        ["[CLS]"] + tokens + ["[SEP]", "[SEP]"],
        [0] * (len(tokens) + 2) + [1],
        list(range(1, 1 + len(labels))),
        labels,
        is_swapped,
    )


@pytest.fixture
def tokenizer(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(VOCABULARY), encoding="utf-8")
    return tokenization.FullTokenizer(str(path))


def test_features_of_records_that_other_programs_write():
    features = {
        "ids": create_pretraining_data.create_int_feature(np.array([3, 1 << 40])),
        "weights": create_pretraining_data.create_float_feature(iter([0.5, 1])),
    }
    example = tf.train.Example(features=tf.train.Features(feature=features))
    shapes = {"ids": tf.int64, "weights": tf.float32}
    with tf.Graph().as_default(), tf.Session() as session:
        parsed = tf.parse_single_example(
            example.SerializeToString(),
            {name: tf.FixedLenFeature([2], dtype) for name, dtype in shapes.items()},
        )
        parsed = session.run(parsed)
    assert parsed["ids"].tolist() == [3, 1 << 40] and parsed["weights"].tolist() == [0.5, 1.0]


@needs_estimators
@pytest.mark.parametrize(
    "module, key",
    [
        (run_pretraining, "next_sentence"),
        pytest.param(run_pretraining_google, "sentence_order", marks=pytest.mark.slow),
    ],
)
def test_written_instances_are_read_and_trained(tokenizer, tmp_path, module, key):
    instances = [
        instance(["今", "天", "很"][: 1 + n % 3], ["好"] * (1 + n % 2), n % 4 == 2)
        for n in range(10)
    ]
    paths = [str(tmp_path / name) for name in ("a.tfrecord", "b.tfrecord")]
    create_pretraining_data.write_instance_to_example_files(instances, tokenizer, 8, 2, paths)
    input_fn = run_pretraining.input_fn_builder(paths, 8, 2, is_training=False)
    with tf.Graph().as_default(), tf.Session() as session:
        batch = tf.data.make_one_shot_iterator(input_fn({"batch_size": 5})).get_next()
        batch = session.run(batch)
    expected = instances[::2]  # the instances in the first file
    assert {made.is_random_next for made in expected} == {False, True}
    for row, (made, ids) in enumerate(zip(expected, batch["input_ids"].tolist())):
        length = len(made.tokens)
        assert ids == tokenizer.convert_tokens_to_ids(made.tokens) + [0] * (8 - length)
        assert batch["input_mask"][row].sum() == length
        assert batch["segment_ids"][row].sum() == 1
        assert batch["masked_lm_weights"][row].sum() == len(made.masked_lm_labels)
        assert batch["masked_lm_positions"][row][0] == 1
        assert batch["next_sentence_labels"][row] == [int(made.is_random_next)]
    config = modeling.BertConfig.from_dict(CONFIG)
    estimator = tf.estimator.tpu.TPUEstimator(
        module.model_fn_builder(config, None, 1e-2, 6, 2, False, False),
        config=tf.estimator.tpu.RunConfig(model_dir=str(tmp_path / key), tf_random_seed=1),
        use_tpu=False,
        train_batch_size=4,
        eval_batch_size=3,
    )
    estimator.train(module.input_fn_builder(paths, 8, 2, True), max_steps=6)
    scores = estimator.evaluate(module.input_fn_builder(paths, 8, 2, False), steps=3)
    assert {"masked_lm_loss", key + "_loss", key + "_accuracy"} <= set(scores)
    assert scores["masked_lm_loss"] < np.log(len(VOCABULARY))


def test_truncation_takes_from_the_longer_list():
    class Draws:
        values = [0.4, 0.6, 0.4]

        def random(self):
            return self.values.pop(0)

    a, b = list("abcd"), list("xyz")
    create_pretraining_data.truncate_seq_pair(a, b, 4, Draws())
    # Removed are the front of a; the end of b, as a is not longer than b; the front of a.
    assert (a, b) == (list("cd"), list("xy"))


def golden_instances(module, shared):
    """Returns (instances, tokenizer) for the text and settings of the golden files."""
    folder = os.path.join(shared, "data", "ckpt_index_only", "MarsRoger_albert_tiny")
    tokenizer = tokenization.FullTokenizer(os.path.join(folder, "vocab.txt"))
    instances = module.create_training_instances(
        [os.path.join(shared, "data", "raw_news_zh_1", "news_zh_1.txt")],
        tokenizer,
        max_seq_length=128,
        dupe_factor=3,
        short_seq_prob=0.1,
        masked_lm_prob=0.15,
        max_predictions_per_seq=20,
        rng=random.Random(12345),
    )
    return instances, tokenizer


def test_the_originals_instances(shared):
    """Instances, their order and the random draws are the same as in the original."""
    pytest.importorskip("jieba")
    whole_words = ["--do_whole_word_mask=true"]
    with flags_of(whole_words, create_pretraining_data.define_flags):
        instances, _ = golden_instances(create_pretraining_data, shared)
    path = os.path.join(shared, "golden", "data", "instances_128_first40.json")
    with open(path, encoding="utf-8") as handle:
        expected = json.load(handle)
    assert len(expected) == 40
    for made, row in zip(instances, expected):
        assert made.tokens == row["tokens"]
        assert made.masked_lm_labels == row["labels"]
        assert made.masked_lm_positions == row["pos"]
        assert "".join(map(str, made.segment_ids)) == row["segment_ids"]
        assert made.is_random_next == row["is_random_next"]


@pytest.mark.parametrize(
    "flags_given, key",
    [("--ngram=1", "google_ng1"), ("--random_next_sentence=true", "google_ng3_rns")],
)
def test_googles_instances(flags_given, key, shared, tmp_path):
    """Records, their order and the random draws are the same as in Google's original."""
    records = str(tmp_path / "records.tfrecord")
    define_flags = functools.partial(create_pretraining_data.define_flags, google=True)
    np.random.seed(12345)
    with flags_of([flags_given], define_flags):
        instances, tokenizer = golden_instances(create_pretraining_data_google, shared)
        create_pretraining_data_google.write_instance_to_example_files(
            instances, tokenizer, 128, 20, [records]
        )
    expected = np.load(os.path.join(shared, "golden", "data", key + ".npz"))
    rows = [tf.train.Example.FromString(r) for r in tf.python_io.tf_record_iterator(records)]
    assert (
        {"token_boundary", "masked_lm_ids"} <= set(expected.files) == set(rows[0].features.feature)
    )
    for name in expected.files:
        found = [row.features.feature[name] for row in rows]
        values = [list(f.int64_list.value or f.float_list.value) for f in found]
        np.testing.assert_array_equal(values, expected[name], err_msg=name)


def test_googles_functions_write_what_the_command_writes(tmp_path):
    """The command, whose records are compared with Google's elsewhere, uses other functions."""
    options = ["--do_permutation=true", "--random_next_sentence=true"]
    common = ["--input_file=" + SAMPLE, "--vocab_file=" + STARTER_VOCABULARY]
    common += ["--max_seq_length=64", "--dupe_factor=2", "--original_masking=true", *options]
    command = [sys.executable, os.path.join(ROOT, "create_pretraining_data_google.py"), *common]
    by_command, by_functions = tmp_path / "command", tmp_path / "functions"
    subprocess.run([*command, "--output_file=%s" % by_command], check=True, timeout=300)
    define_flags = functools.partial(create_pretraining_data.define_flags, google=True)
    tokenizer = tokenization.FullTokenizer(STARTER_VOCABULARY)
    np.random.seed(12345)
    with flags_of(options, define_flags):
        instances = create_pretraining_data_google.create_training_instances(
            [SAMPLE], tokenizer, 64, 2, 0.1, 0.15, 20, random.Random(12345)
        )
        create_pretraining_data_google.write_instance_to_example_files(
            instances, tokenizer, 64, 20, [str(by_functions)]
        )
    assert by_functions.read_bytes() == by_command.read_bytes() and len(instances) > 20


@pytest.mark.parametrize("flag, lengths", [("true", {0, 2}), ("false", {1, 2})])
def test_whole_words_are_masked_where_the_flag_says_so(flag, lengths):
    tokens = ["[CLS]", "北", "##京", "[SEP]", "很", "##好", "[SEP]"]
    found = set()
    with flags_of(["--do_whole_word_mask=" + flag], create_pretraining_data.define_flags):
        for seed in range(20):
            output, positions, labels = create_pretraining_data.create_masked_lm_predictions(
                tokens, 0.3, 2, ["甲", "乙"], random.Random(seed)
            )
            assert labels == [tokens[position] for position in positions] and len(labels) == 2
            for position, label in zip(positions, labels):
                assert output[position] in ("[MASK]", "甲", "乙", label.replace("##", ""))
            found |= {sum(p < 3 for p in positions), sum(p > 3 for p in positions)}
    assert found >= lengths and (1 in found) == (flag == "false")


def test_marks_of_whole_words():
    pytest.importorskip("jieba")
    pieces = create_pretraining_data.get_new_segment(list("我们喜欢北京"))
    assert pieces == ["我", "##们", "喜", "##欢", "北", "##京"]
