"""Checkpoints of NEZHA's named entity recognition, which have no label map."""

import json
import os
import pickle

import numpy as np
import pytest

from albert_zh import finetuning
from albert_zh.common.errors import UserError
from albert_zh.inference.runtimes import backends
from albert_zh.model.checkpoints import checkpoint_files, checkpoint_values
from albert_zh.tasks import outputs_graph
from albert_zh.tasks.labelling import original_tags
from albert_zh.tasks.labelling.tag_schemes import SCHEMES, all_tags, spans_to_tags, tags_to_spans
from albert_zh.text import tokenization
import small_models

TEXT = "今天天气很好我们去银行"
TEXT_TAGS = "O B-PER I-PER O O B-LOC I-LOC O O B-ORG I-ORG".split()


def test_outputs_are_selected_by_name():
    weights = np.arange(11)[:, None] * np.ones([1, 3])
    tags = all_tags(SCHEMES["BIO"], ["LOC", "ORG", "PER"])
    selected, bias = original_tags.select_outputs(weights, np.arange(11.0), tags)
    # O, B-LOC, I-LOC, B-ORG, I-ORG, B-PER, I-PER; NEZHA counts its labels from 1 in this order:
    # O, B-PER, I-PER, B-ORG, I-ORG, B-LOC, I-LOC, X, [CLS], [SEP].
    assert bias.tolist() == [1, 6, 7, 4, 5, 2, 3]
    assert np.array_equal(selected[:, 0], bias) and selected.shape == (7, 3)


def test_other_layers_are_refused():
    with pytest.raises(UserError, match="output_weights: 2 outputs, expected the 11 of NEZHA"):
        original_tags.select_outputs(np.zeros([2, 3]), np.zeros(2), ["O"])
    with pytest.raises(UserError, match="the tag B-GPE is not among those of the checkpoint"):
        original_tags.select_outputs(np.zeros([11, 3]), np.zeros(11), ["O", "B-GPE"])


def folder_of(tmp_path, outputs, ids):
    """Writes a checkpoint without a label map, and a pickle of `ids`; returns the folder."""
    folder = small_models.write_model(tmp_path / "own", outputs, seed=3)
    os.remove(os.path.join(folder, "label_map.json"))
    with open(os.path.join(folder, original_tags.LABEL_IDS), "wb") as handle:
        pickle.dump(ids, handle)
    return folder


def test_tags_of_other_labels_are_those_that_the_program_wrote(tmp_path):
    labels = ["O", "S-DRUG", "B-DRUG", "M-DRUG", "E-DRUG", "X", "[CLS]", "[SEP]"]
    outputs = ["[PAD]"] + labels
    folder = folder_of(tmp_path, outputs, {label: n for n, label in enumerate(labels, start=1)})
    prefix = checkpoint_files.find_checkpoint(folder)
    assert original_tags.outputs_of(prefix) == tuple(outputs)
    written = original_tags.as_model_folder(prefix, outputs, str(tmp_path / "converted"))
    before, after = (checkpoint_values.read_weights(path) for path in (prefix, written))
    with open(str(tmp_path / "converted" / "label_map.json"), encoding="utf-8") as handle:
        label_map = json.load(handle)
    assert sorted(label_map) == ["B-DRUG", "E-DRUG", "M-DRUG", "O", "S-DRUG"]
    for tag, number in label_map.items():
        row = before["output_weights"][outputs.index(tag)]
        np.testing.assert_array_equal(after["output_weights"][number], row)


class Runs:
    """An object that would run code if its pickle were loaded without checks."""

    def __reduce__(self):
        return (os.mkdir, ("was_run",))


@pytest.mark.parametrize(
    "ids, expected",
    [
        ({"O": 1, "B-A": 9}, "label2id.pkl: expected .label: number of its output.*below 3"),
        (["O", "B-A"], "label2id.pkl: expected a pickled"),
        (Runs(), "label2id.pkl: not a pickled .* .posix.mkdir."),
    ],
)
def test_other_files_of_that_name(tmp_path, monkeypatch, ids, expected):
    monkeypatch.chdir(tmp_path)
    folder = folder_of(tmp_path, ("[PAD]", "O", "B-A"), ids)
    with pytest.raises(UserError, match=expected):
        original_tags.outputs_of(checkpoint_files.find_checkpoint(folder))
    assert not os.path.exists("was_run")


@pytest.fixture(name="original")
def original_fixture(tmp_path):
    """Returns (model folder as NEZHA's programs write it, logits [T, 11] of TEXT)."""
    folder = small_models.write_model(tmp_path / "nezha", original_tags.OUTPUTS, seed=3)
    head = {"objective": "sequence_labelling", "head": {"form": "softmax"}}
    with open(os.path.join(folder, "fine_tuning.json"), "w") as handle:
        handle.write(json.dumps(head))
    tokenizer = tokenization.FullTokenizer(os.path.join(folder, "vocab.txt"))
    ids = np.array([tokenizer.convert_tokens_to_ids(["[CLS]"] + list(TEXT) + ["[SEP]"])])
    model = backends.open_model(folder, outputs_graph.outputs_builder, output_names=("logits",))
    (logits,) = model.run(ids, ids * 0 + 1, ids * 0)
    model.close()
    for name in ("fine_tuning.json", "label_map.json"):
        os.remove(os.path.join(folder, name))
    return folder, logits[0, 1:-1]


def settings_of(folder, tmp_path, **changes):
    for name in ("train", "dev", "test"):
        lines = ["%s %s" % (char, tag) for char, tag in zip(TEXT, TEXT_TAGS)]
        (tmp_path / (name + ".txt")).write_text("\n".join(lines) + "\n", encoding="utf-8")
    settings = {
        "family": "sequence_labelling",
        "task_name": "ner",
        "data_dir": str(tmp_path),
        "bert_config_file": os.path.join(folder, "albert_config.json"),
        "vocab_file": os.path.join(folder, "vocab.txt"),
        "init_checkpoint": folder,
        "output_dir": str(tmp_path / "out"),
        "max_seq_length": 32,
    }
    return dict(settings, **changes)


@pytest.mark.reference
def test_such_a_checkpoint_predicts_through_the_command(original, tmp_path):
    folder, logits = original
    finetuning.run(**settings_of(folder, tmp_path, do_predict=True))
    lines = (tmp_path / "out" / "label_test.txt").read_text(encoding="utf-8").split("\n")
    predicted = [line.split()[2] for line in lines if line]
    best = logits[:, 1:8].argmax(axis=1)  # the outputs O to I-LOC
    spans = tags_to_spans([original_tags.OUTPUTS[1 + number] for number in best], SCHEMES["BIO"])
    assert spans and predicted == spans_to_tags(spans, len(TEXT), SCHEMES["BIO"])


@pytest.mark.slow
@pytest.mark.reference
def test_such_a_checkpoint_is_trained_on(original, tmp_path, capsys):
    given = settings_of(original[0], tmp_path, do_train=True, train_step=1, head="softmax")
    given["train_batch_size"] = 1
    finetuning.run(**given)
    printed = capsys.readouterr().out
    assert "11 outputs and no label_map.json" in printed
    assert "new, with random" not in printed and "is initialized" not in printed
