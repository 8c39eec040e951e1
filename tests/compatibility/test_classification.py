"""albert_zh's classifier, imported from the root folder's modules as other programs do."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import classifier_utils
from estimators import needs_estimators
import golden_cases
import run_classifier
import run_classifier_clue
import run_classifier_multiclass
import run_classifier_sp_google
import tokenization
from workspace import CONFIG, ROOT, VOCABULARY, Workspace

NAMES = (
    "InputExample InputFeatures PaddingInputExample DataProcessor convert_single_example "
    "file_based_convert_examples_to_features file_based_input_fn_builder create_model "
    "model_fn_builder"
).split()


@pytest.mark.parametrize(
    "module",
    [
        classifier_utils,
        run_classifier,
        run_classifier_clue,
        run_classifier_multiclass,
        run_classifier_sp_google,
    ],
)
def test_every_name_is_in_every_module(module):
    assert not [name for name in NAMES if not callable(getattr(module, name, None))]


@pytest.fixture
def tokenizer(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(VOCABULARY), encoding="utf-8")
    return tokenization.FullTokenizer(str(path))


def test_features_of_pairs_single_texts_and_padding(tokenizer):
    pair = classifier_utils.InputExample("train-1", "今天", "好", "1")
    features = run_classifier.convert_single_example(0, pair, ["0", "1"], 8, tokenizer)
    ids = tokenizer.convert_tokens_to_ids(["[CLS]", "今", "天", "[SEP]", "好", "[SEP]"])
    assert features.input_ids == ids + [0, 0]
    assert features.input_mask == [1] * 6 + [0, 0]
    assert features.segment_ids == [0] * 4 + [1] * 2 + [0, 0]
    assert (features.label_id, features.is_real_example) == (1, True)
    single = classifier_utils.InputExample(guid="x", text_a="今天", text_b="", label="0")
    padding = classifier_utils.PaddingInputExample()
    single, padding = run_classifier.convert_examples_to_features(
        [single, padding], ["0", "1"], 5, tokenizer
    )
    assert single.input_ids == ids[:4] + [0] and single.segment_ids == [0] * 5
    assert padding == run_classifier.InputFeatures([0] * 5, [0] * 5, [0] * 5, 0, False)


@pytest.mark.parametrize("text_b", ["", " ", "\u3000\t", "\u200b"])
def test_a_second_text_without_tokens_makes_no_pair(tokenizer, text_b):
    """As in the original, `text_b` needs tokens. Regression: there were two [SEP] in a row."""
    example = classifier_utils.InputExample(guid="x", text_a="今天", text_b=text_b, label="0")
    features = run_classifier.convert_single_example(0, example, ["0", "1"], 6, tokenizer)
    ids = tokenizer.convert_tokens_to_ids(["[CLS]", "今", "天", "[SEP]"])
    assert features.input_ids == ids + [0, 0]
    assert features.input_mask == [1] * 4 + [0, 0] and features.segment_ids == [0] * 6


def test_files_of_features_and_their_batches(tokenizer, tmp_path):
    texts = ["今天", "天气", "我们", "吃饭", "明天"]
    examples = [
        run_classifier.InputExample(str(n), t, None, "01"[n % 2]) for n, t in enumerate(texts)
    ]
    path = str(tmp_path / "rows.tf_record")
    run_classifier.file_based_convert_examples_to_features(
        examples + [run_classifier.PaddingInputExample()], ["0", "1"], 6, tokenizer, path
    )
    in_memory = run_classifier.convert_examples_to_features(examples, ["0", "1"], 6, tokenizer)
    input_fn = run_classifier.file_based_input_fn_builder(path, 6, False, False)
    batches = batches_of(input_fn, 4)
    assert [len(batch["label_ids"]) for batch in batches] == [4, 2]
    rows = np.concatenate([batch["input_ids"] for batch in batches])
    assert rows.tolist() == [f.input_ids for f in in_memory] + [[0] * 6]
    assert [row for b in batches for row in b["is_real_example"]] == [1] * 5 + [0]
    assert batches[0]["label_ids"].tolist() == [0, 1, 0, 1]
    input_fn = run_classifier.file_based_input_fn_builder(path, 6, True, True)
    assert [len(batch["label_ids"]) for batch in batches_of(input_fn, 4, most=5)] == [4] * 5
    input_fn = run_classifier.input_fn_builder(in_memory, 6, False, True)
    assert [batch["input_ids"].tolist() for batch in batches_of(input_fn, 4)] == [rows[:4].tolist()]


def batches_of(input_fn, batch_size, most=10):
    with tf.Graph().as_default(), tf.Session() as session:
        row = tf.data.make_one_shot_iterator(input_fn({"batch_size": batch_size})).get_next()
        batches = []
        try:
            while len(batches) < most:
                batches.append(session.run(row))
        except tf.errors.OutOfRangeError:
            pass
        return batches


@pytest.mark.parametrize("name", ["bm_cls_postln_2", "bm_cls_preln_2", "google_cls_pooled"])
def test_create_model_has_the_originals_numbers(name):
    if name not in golden_cases.case_names():
        pytest.skip("needs the developers' data")
    config, description, arrays, values = golden_cases.load_case(name)
    names = ["input_ids", "input_mask", "segment_ids", "label_ids"]
    module = run_classifier_sp_google if name.startswith("google") else run_classifier
    with tf.Graph().as_default(), tf.Session() as session:
        inputs = [tf.constant(arrays["in/" + name]) for name in names]
        outputs = module.create_model(config, False, *inputs, 2, False)
        assert [v.op.name for v in tf.trainable_variables()] == description["trainable_order"]
        golden_cases.set_variables(session, values)
        outputs = session.run(list(outputs))
    last = ["probabilities", "predictions"]
    if module is run_classifier:
        last = ["logits", "probabilities"]
    for key, value in zip(["total_loss", "per_example_loss"] + last, outputs):
        golden_cases.assert_close(value, arrays["out/" + key], key)


def test_examples_equal_the_originals(shared):
    folder = os.path.join(shared, "golden", "classifier")
    processor = classifier_utils.LCQMCPairClassificationProcessor()
    with open(os.path.join(folder, "dev_examples.json"), encoding="utf-8") as handle:
        expected = json.load(handle)
    examples = processor.get_dev_examples(folder)
    assert [(e.guid, e.text_a, e.text_b, e.label) for e in examples] == [
        (e["guid"], e["a"], e["b"], e["label"]) for e in expected
    ]
    assert processor.get_labels() == ["0", "1"]


_WSC = {"text": "小明说他来", "target": {"span1_text": "小明", "span1_index": 0}}
_WSC["target"].update(span2_text="他", span2_index=3)
_COPA = {"premise": "下雨了", "choice0": "地湿了", "choice1": "天晴", "question": "effect"}
JSON_CASES = [
    ("TnewsProcessor", {"sentence": "甲", "label": "101"}, [("甲", None, "101")], 15),
    ("iFLYTEKDataProcessor", {"sentence": "甲", "label": "7"}, [("甲", None, "7")], 119),
    (
        "AFQMCProcessor",
        {"sentence1": "甲", "sentence2": "乙", "label": "1"},
        [("甲", "乙", "1")],
        2,
    ),
    (
        "CMNLIProcessor",
        {"sentence1": "甲", "sentence2": "乙", "label": "neutral"},
        [("甲", "乙", "neutral")],
        3,
    ),
    ("CslProcessor", {"keyword": ["a", "b"], "abst": "乙", "label": "1"}, [("a b", "乙", "1")], 2),
    ("WSCProcessor", dict(_WSC, label="false"), [("_小明_说[他]来", None, "false")], 2),
    (
        "COPAProcessor",
        dict(_COPA, label=0),
        [("下雨了", "地湿了", "1"), ("下雨了", "天晴", "0")],
        2,
    ),
    (
        "XnliProcessor",
        {"premise": "甲", "hypo": "乙", "label": "entailment"},
        [("甲", "乙", "entailment")],
        3,
    ),
]


@pytest.mark.parametrize("name, row, expected, num_labels", JSON_CASES)
def test_processors_of_clue(name, row, expected, num_labels, tmp_path):
    lines = {"train": row, "dev": row, "test": {k: v for k, v in row.items() if k != "label"}}
    for split, line in lines.items():
        text = json.dumps(line, ensure_ascii=False) + "\n"
        (tmp_path / (split + ".json")).write_text(text, encoding="utf-8")
    processor = getattr(classifier_utils, name)()
    assert len(processor.get_labels()) == num_labels
    for examples in (
        processor.get_train_examples(str(tmp_path)),
        processor.get_dev_examples(str(tmp_path)),
    ):
        assert [(e.text_a, e.text_b, e.label) for e in examples] == expected
    test = processor.get_test_examples(str(tmp_path))
    assert [(e.text_a, e.text_b) for e in test] == [texts[:2] for texts in expected]
    assert {e.label for e in test} <= set(processor.get_labels())
    first = 1 if name == "CMNLIProcessor" else 0
    assert [e.guid for e in test] == ["test-%d" % (first + n) for n in range(len(test))]


def test_examples_of_cmnli_have_the_originals_names(tmp_path):
    """The original numbers rows without an agreed label, too, and labels test rows "neutral"."""
    labels = ["-", "neutral", "-", "entailment"]
    rows = [{"sentence1": "甲%d" % n, "sentence2": "乙", "label": x} for n, x in enumerate(labels)]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "train.json").write_text(text, encoding="utf-8")
    (tmp_path / "test.json").write_text('{"sentence1": "甲", "sentence2": "乙"}\n', "utf-8")
    processor = classifier_utils.CMNLIProcessor()
    train, test = (
        [(e.guid, e.text_a, e.label) for e in read(str(tmp_path))]
        for read in (processor.get_train_examples, processor.get_test_examples)
    )
    assert train == [("train-2", "甲1", "neutral"), ("train-4", "甲3", "entailment")]
    assert test == [("test-1", "甲", "neutral")]


def test_processors_of_tables(tmp_path):
    (tmp_path / "train_0827.tsv").write_text("1\t甲\t乙\n0\t丙\t丁\n", encoding="utf-8")
    processor = run_classifier.SentencePairClassificationProcessor()
    examples = processor.get_train_examples(str(tmp_path))
    assert [(e.text_a, e.text_b, e.label) for e in examples] == [
        ("甲", "乙", "1"),
        ("丙", "丁", "0"),
    ]
    (tmp_path / "train.tsv").write_text("x\t1\t*\tone\nx\t0\t*\ttwo\n", encoding="utf-8")
    examples = classifier_utils.ColaProcessor().get_train_examples(str(tmp_path))
    assert [(e.text_a, e.text_b, e.label) for e in examples] == [
        ("one", None, "1"),
        ("two", None, "0"),
    ]


def test_a_processor_of_ones_own_reads_files(tmp_path):
    class Own(classifier_utils.DataProcessor):
        def get_train_examples(self, data_dir):
            return self._read_tsv(os.path.join(data_dir, "a.tsv"))

    (tmp_path / "a.tsv").write_text('1\t"甲 乙\n0\t丙"\n', encoding="utf-8")
    assert Own().get_train_examples(str(tmp_path)) == [["1", '"甲 乙'], ["0", '丙"']]
    (tmp_path / "b.csv").write_text('"甲,乙",1\n', encoding="utf-8")
    assert Own._read_tsv(str(tmp_path / "b.csv"), ",", '"') == [["甲,乙", "1"]]
    (tmp_path / "c.txt").write_text("1_!_甲\n", encoding="utf-8")
    assert Own._read_txt(str(tmp_path / "c.txt")) == [["1", "甲"]]
    (tmp_path / "d.json").write_text('{"a": 1}\n', encoding="utf-8")
    assert Own._read_json(str(tmp_path / "d.json")) == [{"a": 1}]
    with pytest.raises(NotImplementedError):
        Own().get_labels()


PROGRAM = """
import sys

import tensorflow.compat.v1 as tf

import modeling
import tokenization
from run_classifier import (
    DataProcessor,
    InputExample,
    file_based_convert_examples_to_features,
    file_based_input_fn_builder,
    model_fn_builder,
)

data, config_file, vocab_file, out = sys.argv[1:]


class Pairs(DataProcessor):
    def get_train_examples(self, data_dir):
        rows = self._read_tsv(data_dir + "/train.txt")[1:]
        return [
            InputExample(guid="train-%d" % n, text_a=a, text_b=b, label=label)
            for n, (a, b, label) in enumerate(rows)
        ]

    def get_labels(self):
        return ["0", "1"]


processor = Pairs()
labels = processor.get_labels()
tokenizer = tokenization.FullTokenizer(vocab_file=vocab_file, do_lower_case=True)
records = out + "/rows.tf_record"
file_based_convert_examples_to_features(
    processor.get_train_examples(data), labels, 24, tokenizer, records
)
model_fn = model_fn_builder(
    bert_config=modeling.BertConfig.from_json_file(config_file),
    num_labels=len(labels),
    init_checkpoint=None,
    learning_rate=5e-3,
    num_train_steps=40,
    num_warmup_steps=4,
    use_tpu=False,
    use_one_hot_embeddings=False,
)
estimator = tf.estimator.tpu.TPUEstimator(
    use_tpu=False,
    model_fn=model_fn,
    config=tf.estimator.tpu.RunConfig(model_dir=out + "/model", tf_random_seed=4),
    train_batch_size=16,
    eval_batch_size=8,
    predict_batch_size=8,
)
evaluation = file_based_input_fn_builder(
    input_file=records, seq_length=24, is_training=False, drop_remainder=False
)
estimator.train(
    file_based_input_fn_builder(records, 24, is_training=True, drop_remainder=True), max_steps=40
)
scores = estimator.evaluate(evaluation)
probabilities = [row["probabilities"] for row in estimator.predict(evaluation)]
print("RESULT", len(probabilities), sum(probabilities[0]), end=" ")
print(scores["eval_accuracy"], scores["eval_loss"])
"""


@needs_estimators
def test_a_program_of_the_original_trains_a_classifier(tmp_path):
    workspace = Workspace(tmp_path)
    os.makedirs(workspace.output)
    paths = [workspace.data, workspace.config, workspace.vocab, workspace.output]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM] + paths,
        env=dict(os.environ, PYTHONPATH=ROOT),
        cwd=str(tmp_path),
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr
    count, total, accuracy, loss = re.search("RESULT (.*)", done.stdout).group(1).split()
    assert int(count) == 96 and abs(float(total) - 1) < 1e-5
    assert float(accuracy) > 0.75 and float(loss) < 0.6
    reader = tf.train.load_checkpoint(os.path.join(workspace.output, "model"))
    shapes = reader.get_variable_to_shape_map()
    assert shapes["output_weights"] == [2, CONFIG["hidden_size"]]
    assert "bert/encoder/layer_shared/output/dense/kernel/adam_m" in shapes
