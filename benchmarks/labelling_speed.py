"""Speed of sequence labelling compared with a classifier on the same model and text length.

    python benchmarks/labelling_speed.py
    python benchmarks/labelling_speed.py --max_seq_length=54 --rounds=20

Training steps of a classifier and of each head take turns in one process; then predictions of texts
with `Predictor` do. Printed are the median processor time of a round, which other load on the
machine disturbs less than wall-clock time, and the rate as a share of the classifier's rate. A
classifier on [CLS] computes its last layer only there, which labelling cannot do: a classifier on
the mean of all tokens is therefore the second comparison.
"""

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

import numpy as np
import tensorflow.compat.v1 as tf

from albert_zh.inference import predictor
from albert_zh.model import modeling
from albert_zh.model.checkpoints import (
    checkpoint_files,
    checkpoint_values,
    fine_tuning_notes,
    label_map,
    model_writer,
)
from albert_zh.tasks import model_fn, outputs_graph, registry
from albert_zh.tasks.settings import Settings

STARTER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "albert_starter_zh")
CLASSIFIER, OF_ALL_TOKENS = "classifier", "classifier, --pooling=mean"
TYPES = tuple("abcdefghij")
TAGS = ("O",) + tuple("%s-%s" % (letter, name) for name in TYPES for letter in "BI")
LABELS = {
    CLASSIFIER: ("0", "1"),
    OF_ALL_TOKENS: ("0", "1"),
    "softmax": TAGS,
    "crf": TAGS,
    "global_pointer": TYPES,
    "efficient_global_pointer": TYPES,
}
_KINDS = {"softmax": "sequence_labelling", "crf": "sequence_labelling"}
_CHARACTERS = (
    "的一是了我不人在他有这个上们来到时大地为子中你说生国年着就那和要她出也得里后自以会家可下而过"
)


def settings_of(form):
    """`Settings` of a head."""
    if form in (CLASSIFIER, OF_ALL_TOKENS):
        return Settings(pooling="cls" if form == CLASSIFIER else "mean")
    return Settings(objective=_KINDS.get(form, "span_labelling"), head={"form": form})


def features_of(form, ids):
    """Features and targets of rows of ids: an entity of three pieces in each row."""
    batch, length = ids.shape
    ones = np.ones([batch, length], np.int32)
    features = {"input_ids": ids, "input_mask": ones, "segment_ids": ones * 0}
    if form in (CLASSIFIER, OF_ALL_TOKENS):
        return dict(features, label_ids=ones[:, 0])
    if form in _KINDS:
        tags = ones * 0
        tags[:, 2], tags[:, 3:5] = 1, 2
        return dict(features, tag_ids=tags)
    spans = {"span_starts": 1, "span_ends": 3, "span_types": 1}
    columns = dict.fromkeys(spans, ones * 0)
    for name, number in spans.items():
        columns[name][:, 0] = number
    return dict(features, **columns)


def training_step(form, config, ids):
    """A function that runs a training step."""
    graph = tf.Graph()
    with graph.as_default():
        tf.set_random_seed(1)
        tf.train.get_or_create_global_step()
        features = {n: tf.constant(array, tf.int32) for n, array in features_of(form, ids).items()}
        settings = settings_of(form)
        build = outputs_graph.outputs_builder(config, features, len(LABELS[form]), settings, True)
        loss, _ = model_fn.training_loss(build, features, settings)
        train_op = model_fn.create_train_op(loss, 1e-4, 1000, 10, False, settings)
        session = tf.Session()
        session.run(tf.global_variables_initializer())
        return session.make_callable(train_op)


def write_model(folder, form, config_file):
    """Writes the starter model with an untrained head."""
    settings = settings_of(form)
    notes = {"objective": settings.objective, "columns": ["text_a", "label"]}
    notes["pooling"] = settings.pooling
    if settings.head:
        notes["head"] = settings.head
    config = modeling.AlbertConfig.from_json_file(config_file)
    columns = {}
    shapes = outputs_graph.expected_shapes(config, len(LABELS[form]), settings, columns)
    weights = checkpoint_values.read_weights(checkpoint_files.find_checkpoint(STARTER))
    generator = np.random.RandomState(1)
    for name, shape in shapes.items():
        if name not in weights:
            weights[name] = (0.02 * generator.standard_normal(shape)).astype(np.float32)
    os.makedirs(folder)
    for path in (config_file, os.path.join(STARTER, "vocab.txt")):
        shutil.copy(path, folder)
    numbers = {label: number for number, label in enumerate(LABELS[form])}
    contents = {label_map.LABEL_MAP: numbers, fine_tuning_notes.FINE_TUNING_FILE: notes}
    for name, content in contents.items():
        with open(os.path.join(folder, name), "w", encoding="utf-8") as handle:
            json.dump(content, handle)
    model_writer.write_model_checkpoint(folder, weights)
    return folder


def measured_turns(functions, rounds):
    """{name: median seconds of processor time}, after a warm-up round."""
    seconds = {name: [] for name in functions}
    for number in range(rounds + 1):
        for name, function in functions.items():
            begin = time.process_time()
            function()
            if number:
                seconds[name].append(time.process_time() - begin)
    return {name: statistics.median(taken) for name, taken in seconds.items()}


def print_rates(what, seconds, num_tokens):
    """Prints a row for each head."""
    print("%-12s %-26s %12s %12s %8s" % (what, "head", "CPU s", "tokens/CPU s", "rate"))
    for name, taken in seconds.items():
        share = seconds[CLASSIFIER] / taken
        print("%-12s %-26s %12.3f %12.0f %8.2f" % ("", name, taken, num_tokens / taken, share))


def predictions_of(folder, config_file, length, num_texts):
    """{head: function that predicts texts}."""
    generator = np.random.RandomState(3)
    texts = ["".join(generator.choice(list(_CHARACTERS), length - 2)) for _ in range(num_texts)]
    functions = {}
    for form in LABELS:
        path = write_model(os.path.join(folder, form), form, config_file)
        model = predictor.Predictor(path, length)
        functions[form] = lambda model=model: model.predict(texts)
    return functions


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--batch_size", type=int, default=32, help="rows per training step")
    parser.add_argument("--max_seq_length", type=int, default=128, help="tokens per row")
    parser.add_argument("--rounds", type=int, default=9, help="measured turns")
    parser.add_argument("--num_texts", type=int, default=128, help="texts per prediction")
    arguments = parser.parse_args(sys.argv[1:])
    config_file = os.path.join(STARTER, "albert_config_tiny.json")
    config = modeling.AlbertConfig.from_json_file(config_file)
    length = arguments.max_seq_length
    shape = [arguments.batch_size, length]
    ids = np.random.RandomState(2).randint(100, config.vocab_size, shape).astype(np.int32)
    steps = {form: training_step(form, config, ids) for form in LABELS}
    print_rates("training", measured_turns(steps, arguments.rounds), ids.size)
    with tempfile.TemporaryDirectory() as folder:
        functions = predictions_of(folder, config_file, length, arguments.num_texts)
        seconds = measured_turns(functions, arguments.rounds)
    print_rates("prediction", seconds, arguments.num_texts * length)


if __name__ == "__main__":
    for name in ("single_label", "sequence_labelling", "span_labelling"):
        registry.get(name)
    main()
