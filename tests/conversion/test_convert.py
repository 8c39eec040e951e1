"""Conversion between TensorFlow and PyTorch: names, values, files, and what is refused."""

import collections
import glob
import itertools
import json
import os
import pathlib
import pickle
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import zipfile

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert_zh.commands import convert_albert_pytorch_checkpoint_to_tf as to_tf_command
from albert_zh.commands import convert_albert_tf_checkpoint_to_pytorch as to_pytorch
from albert_zh.common import files, output_files
from albert_zh.common.errors import UserError
from albert_zh.conversion import from_pytorch as to_tf
from albert_zh.conversion import pytorch_configs, pytorch_files, pytorch_names
from albert_zh.inference import predictor
from albert_zh.model import modeling
from albert_zh.model.checkpoints import (
    checkpoint_files,
    checkpoint_matching,
    checkpoint_values,
    expected_variables,
    model_folder,
    model_writer,
)
from albert_zh.text import tokenization
from crossed_cases import crossed, with_slow
import golden_cases
import small_models
from workspace import ROOT, VOCABULARY

# transformers copies the models' code into its cache, which must not be the user's.
os.environ["HF_HOME"] = os.environ["HF_MODULES_CACHE"] = tempfile.mkdtemp("hf_home")
os.environ["HF_HUB_OFFLINE"] = "1"
CONVERSION_COMMANDS = (
    "convert_albert_tf_checkpoint_to_pytorch.py",
    "convert_albert_pytorch_checkpoint_to_tf.py",
)
SIZES = {
    "vocab_size": len(VOCABULARY),
    "hidden_size": 12,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
    "intermediate_size": 24,
    "max_position_embeddings": 20,
    "type_vocab_size": 2,
}
GOOGLE = {"embedding_size": 6, "num_hidden_groups": 1, "inner_group_num": 1}
CONFIGS = {
    "postln": {"embedding_size": 6, "ln_type": "postln"},
    "preln": {"embedding_size": 6, "ln_type": "preln", "hidden_act": "relu"},
    "google": dict(GOOGLE, hidden_act="swish"),
    "google_groups": dict(GOOGLE, num_hidden_groups=3, inner_group_num=2),
    "google_equal_sizes": dict(GOOGLE, embedding_size=12),
    "bert": {},
}
NEZHA = {"nezha": {"use_relative_position": True}}  # which transformers no longer contains
ELECTRA = {
    "electra": {"model_type": "electra", "embedding_size": 8},
    "electra_equal_sizes": {"model_type": "electra"},
}
KINDS = {**CONFIGS, **NEZHA, **ELECTRA}
HEADS = {
    "pretraining": ("encoder", "masked_lm", "sentence_order"),
    "classification": ("encoder", "classification"),
    "encoder": ("encoder",),
    "masked_lm": ("encoder", "masked_lm"),
}
NUM_LABELS = 5
PRETRAINING_CLASSES = {
    "brightmart": "AlbertZhForPreTraining",
    "google": "AlbertForPreTraining",
    "bert": "BertForPreTraining",
}


def config_of(name):
    return modeling.AlbertConfig.from_dict(dict(SIZES, **KINDS.get(name, {})))


def made_model(folder, name="postln", heads="pretraining", **changes):
    """Writes a model folder with the given heads; returns (prefix, {name: array})."""
    config = modeling.AlbertConfig.from_dict(dict(SIZES, **dict(KINDS[name], **changes)))
    parts = expected_variables.expected_shapes_by_part(config, NUM_LABELS)
    values = {
        variable: golden_cases.rule_value(variable, shape, is_small=True)
        for part in HEADS[heads]
        for variable, shape in parts[part].items()
    }
    folder = os.path.join(str(folder), "model")
    os.makedirs(folder)
    with open(os.path.join(folder, "albert_config.json"), "w") as handle:
        handle.write(config.to_json_string())
    with open(os.path.join(folder, "vocab.txt"), "w", encoding="utf-8") as handle:
        handle.write("\n".join(VOCABULARY) + "\n")
    if heads == "classification":
        with open(os.path.join(folder, "label_map.json"), "w") as handle:
            json.dump({"c%d" % number: number for number in range(NUM_LABELS)}, handle)
    model_writer.write_model_checkpoint(folder, values)
    return checkpoint_files.find_checkpoint(folder), values


def inputs(seed=0):
    generator = np.random.RandomState(seed)
    ids = generator.randint(0, SIZES["vocab_size"], [4, 11]).astype(np.int32)
    mask = (np.arange(11) < np.array([[11], [7], [3], [9]])).astype(np.int32)
    segments = generator.randint(0, 2, [4, 11]).astype(np.int32)
    return ids, mask, segments


def tf_outputs(prefix, config, heads):
    """Returns the outputs of our model for `inputs()`."""
    ids, mask, segments = inputs()
    with tf.Graph().as_default(), tf.Session() as session:
        model = modeling.AlbertModel(config, False, *map(tf.constant, (ids, mask, segments)))
        tensors = {"sequence": model.get_sequence_output(), "pooled": model.get_pooled_output()}
        if heads == "pretraining":
            positions = tf.constant(np.tile(np.arange(11, dtype=np.int32), [4, 1]))
            zeros = tf.zeros([4, 11], tf.int32)
            masked = modeling.masked_lm_head(config, model, positions, zeros, zeros)
            order = modeling.sentence_order_head(
                config, model.get_pooled_output(), tf.zeros([4], tf.int32)
            )
            tensors["words"] = tf.reshape(masked.log_probs, [4, 11, -1])
            tensors["order"] = order.log_probs
        if heads == "classification":
            head = modeling.classification_head(
                config, model.get_pooled_output(), None, NUM_LABELS, False
            )
            tensors["logits"] = head.logits
        checkpoint_matching.initialize_from(prefix, tf.trainable_variables())
        session.run(tf.global_variables_initializer())
        return session.run(tensors)


def torch_outputs(model):
    torch = pytest.importorskip("torch")
    ids, mask, segments = (torch.tensor(array).long() for array in inputs())
    with torch.no_grad():
        return model.eval()(input_ids=ids, attention_mask=mask, token_type_ids=segments)


def load_strictly(model_class, folder, **settings):
    """Loads a model of transformers; fails on missing or unexpected weights."""
    model, report = model_class.from_pretrained(folder, output_loading_info=True, **settings)
    assert not any(report.values()), report
    return model


def log_softmax(logits):
    return logits.log_softmax(-1).numpy()


def read_values(prefix):
    reader = tf.train.load_checkpoint(prefix)
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def assert_same_bits(actual, expected):
    assert sorted(actual) == sorted(expected)
    for name, value in expected.items():
        assert actual[name].dtype == value.dtype and actual[name].shape == value.shape, name
        assert actual[name].tobytes() == value.tobytes(), name


def run(name, *arguments):
    return subprocess.run(
        [sys.executable, os.path.join(ROOT, name)] + list(arguments),
        capture_output=True,
        text=True,
        timeout=200,
    )


# Outputs


@pytest.fixture
def transformers():
    pytest.importorskip("torch", reason="needs PyTorch (requirements-convert.txt)")
    return pytest.importorskip("transformers", reason="needs requirements-convert.txt")


@pytest.mark.parametrize("name", with_slow(sorted(CONFIGS), ["bert"]))
def test_pretraining_outputs_are_equal_in_pytorch(tmp_path, transformers, name):
    prefix, _ = made_model(tmp_path, name)
    folder = str(tmp_path / "hf")
    to_pytorch.convert(prefix, folder)
    expected = tf_outputs(prefix, config_of(name), "pretraining")
    settings = {"trust_remote_code": True} if config_of(name).layout == "brightmart" else {}
    model = load_strictly(transformers.AutoModelForPreTraining, folder, **settings)
    assert type(model).__name__ == PRETRAINING_CLASSES[config_of(name).layout]
    actual = torch_outputs(model)
    order = actual.seq_relationship_logits if name == "bert" else actual.sop_logits
    golden_cases.assert_close(log_softmax(actual.prediction_logits), expected["words"])
    golden_cases.assert_close(log_softmax(order), expected["order"])
    encoder = transformers.AutoModel.from_pretrained(folder, **settings)
    actual = torch_outputs(encoder)
    golden_cases.assert_close(actual.last_hidden_state.numpy(), expected["sequence"])
    golden_cases.assert_close(actual.pooler_output.numpy(), expected["pooled"])


@pytest.mark.parametrize("name", with_slow(["postln", "preln", "google", "bert"], ["bert"]))
def test_encoder_alone_opens_without_a_missing_or_unexpected_weight(tmp_path, transformers, name):
    prefix, _ = made_model(tmp_path, name)
    folder = str(tmp_path / "hf")
    notes = to_pytorch.convert(prefix, folder, encoder_only=True)
    assert "not converted: " in notes[0] and "cls/predictions/output_bias" in notes[0]
    settings = {"trust_remote_code": True} if config_of(name).layout == "brightmart" else {}
    model = load_strictly(transformers.AutoModel, folder, **settings)
    expected = tf_outputs(prefix, config_of(name), "encoder")
    golden_cases.assert_close(torch_outputs(model).pooler_output.numpy(), expected["pooled"])


@pytest.mark.parametrize("name", with_slow(["postln", "preln", "google", "bert"], ["google"]))
def test_classifier_gives_the_same_logits_and_keeps_its_labels(tmp_path, transformers, name):
    prefix, _ = made_model(tmp_path, name, "classification")
    folder = str(tmp_path / "hf")
    to_pytorch.convert(prefix, folder)
    settings = {"trust_remote_code": True} if config_of(name).layout == "brightmart" else {}
    model = load_strictly(transformers.AutoModelForSequenceClassification, folder, **settings)
    expected = tf_outputs(prefix, config_of(name), "classification")
    golden_cases.assert_close(torch_outputs(model).logits.numpy(), expected["logits"])
    assert model.config.id2label == {number: "c%d" % number for number in range(NUM_LABELS)}
    assert "classification" not in str(to_tf.convert(folder + "/model.safetensors", folder + "_tf"))
    with open(folder + "_tf/label_map.json") as handle:
        assert json.load(handle) == {"c%d" % number: number for number in range(NUM_LABELS)}


@pytest.mark.parametrize("kind", ["sequence_labelling", "span_labelling"])
def test_a_model_that_labels_tokens_is_converted_without_its_head(tmp_path, kind):
    """The head has the variable names of a text classifier and would be taken for one."""
    prefix, _ = made_model(tmp_path, "postln", "classification")
    notes = os.path.join(os.path.dirname(prefix), "fine_tuning.json")
    with open(notes, "w") as handle:
        json.dump({"objective": kind, "do_lower_case": False}, handle)
    folder = str(tmp_path / "hf")
    lines = to_pytorch.convert(prefix, folder)
    source = os.path.dirname(prefix)
    assert (
        "note: only the encoder is converted: %s is not a text classifier (%s)" % (source, kind)
        in lines
    )
    assert [
        line for line in lines if line.startswith("not converted: ") and "output_weights" in line
    ]
    settings = read_config(folder)
    assert settings["architectures"] == ["AlbertZhModel"] and "problem_type" not in settings
    with open(os.path.join(folder, "tokenizer_config.json")) as handle:
        assert json.load(handle)["do_lower_case"] is False
    assert not os.path.exists(os.path.join(folder, "fine_tuning.json"))


def test_masked_lm_and_losses_by_plain_import(tmp_path, transformers):
    prefix, _ = made_model(tmp_path)
    folder = str(tmp_path / "hf")
    to_pytorch.convert(prefix, folder)
    sys.path.insert(0, folder)
    try:
        import modeling_albert_zh
    finally:
        sys.path.remove(folder)
    import torch

    model = load_strictly(modeling_albert_zh.AlbertZhForMaskedLM, folder)
    expected = tf_outputs(prefix, config_of("postln"), "pretraining")
    golden_cases.assert_close(log_softmax(torch_outputs(model).logits), expected["words"])
    model = modeling_albert_zh.AlbertZhForPreTraining.from_pretrained(folder).eval()
    ids, mask, segments = (torch.tensor(array).long() for array in inputs())
    labels = torch.where(mask == 1, ids, torch.tensor(-100))
    outputs = model(ids, mask, segments, labels=labels, sentence_order_label=torch.ones(4).long())
    of_words = np.take_along_axis(expected["words"], inputs()[0][..., None], -1)[..., 0]
    loss = -of_words[inputs()[1] == 1].mean() - expected["order"][:, 1].mean()
    assert float(outputs.loss.detach()) == pytest.approx(loss, rel=1e-5)
    outputs.loss.backward()
    assert float(model.bert.embeddings.word_embeddings_2.weight.grad.abs().sum()) > 0


@pytest.mark.parametrize("objective", ["multi_label", "regression"])
def test_a_classifier_goes_on_learning_its_objective(tmp_path, transformers, objective):
    import torch

    prefix, _ = made_model(tmp_path, heads="classification")
    trained = os.path.join(os.path.dirname(prefix), "fine_tuning.json")
    output_files.write_json(trained, {"objective": objective})
    folder = str(tmp_path / "hf")
    to_pytorch.convert(prefix, folder)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(
        folder, trust_remote_code=True
    ).eval()
    labels = np.arange(4 * NUM_LABELS).reshape(4, NUM_LABELS) % 3 % 2
    ids, mask, segments = (torch.tensor(array).long() for array in inputs())
    outputs = model(ids, mask, segments, labels=torch.tensor(labels))
    logits = outputs.logits.detach().numpy().astype(np.float64)
    losses = {
        "multi_label": np.logaddexp(0, logits) - labels * logits,
        "regression": (logits - labels) ** 2,
    }
    assert float(outputs.loss.detach()) == pytest.approx(losses[objective].mean(), rel=1e-5)


@pytest.mark.parametrize(
    "num_labels, labels",
    with_slow(
        [(1, [0.5, 2.0, -1.0, 3.0]), (2, [[0.0, 1.0]] * 4), (2, [0, 1, 1, 0])],
        [(2, [[0.0, 1.0]] * 4)],
    ),
)
def test_losses_without_a_problem_type_are_those_of_transformers(
    tmp_path, transformers, num_labels, labels
):
    """A new classifier on a pre-trained model chooses the same loss as transformers' BERT."""
    import torch

    losses = []
    for name in ("postln", "bert"):
        prefix, _ = made_model(tmp_path / name, name)
        to_pytorch.convert(prefix, str(tmp_path / name / "hf"))
        model = transformers.AutoModelForSequenceClassification.from_pretrained(
            str(tmp_path / name / "hf"), trust_remote_code=True, num_labels=num_labels
        ).eval()
        with torch.no_grad():
            model.classifier.weight.zero_()
            model.classifier.bias.copy_(torch.arange(num_labels) + 0.5)
            ids, mask, segments = (torch.tensor(array).long() for array in inputs())
            outputs = model(ids, mask, token_type_ids=segments, labels=torch.tensor(labels))
            losses.append(float(outputs.loss))
    assert losses[0] == pytest.approx(losses[1], rel=1e-5) and losses[0] > 0


def test_tokenizer_of_the_folder_gives_our_ids(tmp_path, transformers):
    prefix, _ = made_model(tmp_path)
    folder = str(tmp_path / "hf")
    to_pytorch.convert(prefix, folder)
    tokenizer = transformers.BertTokenizer.from_pretrained(folder)
    text = "今天A天气1很好，我们b去吃饭吧"
    ours = tokenization.FullTokenizer(os.path.join(folder, "vocab.txt"))
    expected = ours.convert_tokens_to_ids(ours.tokenize(text))
    assert tokenizer.encode(text, add_special_tokens=False) == expected
    assert tokenizer.pad_token_id == 0 and tokenizer.model_max_length == 20


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_what_torch_makes_of_the_weights(tmp_path, transformers, dtype):
    import torch

    prefix, _ = made_model(tmp_path)
    full, half = str(tmp_path / "full"), str(tmp_path / "half")
    to_pytorch.convert(prefix, full)
    to_pytorch.convert(prefix, half, dtype=dtype, write_bin=True)
    expected = {
        name: torch.from_numpy(np.array(value)).to(getattr(torch, dtype))
        for name, value in pytorch_files.read_tensors(full).items()
    }
    from safetensors.torch import load_file

    for found in (
        load_file(half + "/model.safetensors"),
        torch.load(half + "/pytorch_model.bin", weights_only=True),
    ):
        assert set(found) == set(expected)
        assert all(torch.equal(found[name], value) for name, value in expected.items())
        assert all(value.dtype == getattr(torch, dtype) for value in found.values())
    for name in ("model.safetensors", "pytorch_model.bin"):
        ours = pytorch_files.read_tensors(os.path.join(half, name))
        for key, value in expected.items():
            np.testing.assert_array_equal(ours[key], value.float().numpy())


# Round trips


def test_commands_show_paths_as_they_are_given(tmp_path, monkeypatch, capsys):
    small_models.write_model(tmp_path / "a" / "model")
    monkeypatch.chdir(tmp_path)
    for command, flag, path, written in (
        (to_pytorch, "tf_checkpoint_path", "a/model", "a/model_pytorch"),
        (to_tf_command, "pytorch_model_path", "a/model_pytorch/", "a/model_pytorch_tf"),
    ):
        small_models.run_command(command, ["--%s=%s" % (flag, path)])
        assert " -> %s (" % written in capsys.readouterr().out.splitlines()[-1]
    monkeypatch.chdir(tmp_path / "a" / "model_pytorch")  # for ".", the full path is used
    small_models.run_command(to_tf_command, ["--pytorch_model_path=.", "--tf_dump_path="])
    shown = capsys.readouterr().out.splitlines()[-1]
    assert " -> %s (" % (tmp_path / "a" / "model_pytorch_tf") in shown


@pytest.mark.parametrize(
    "name, heads",
    with_slow(
        list(itertools.product(sorted({**CONFIGS, **NEZHA}), sorted(HEADS))),
        [("bert", "classification"), ("preln", "encoder")],
    ),
)
def test_round_trip_is_equal_bit_for_bit(tmp_path, name, heads):
    prefix, values = made_model(tmp_path, name, heads)
    hf, back, again = (str(tmp_path / part) for part in ("hf", "back", "again"))
    to_pytorch.convert(prefix, hf)
    to_tf.convert(pytorch_files.find_weights(hf), back)
    assert_same_bits(read_values(checkpoint_files.find_checkpoint(back)), values)
    to_pytorch.convert(checkpoint_files.find_checkpoint(back), again)
    for written in ("model.safetensors", "vocab.txt", "config.json"):
        with open(os.path.join(hf, written), "rb") as one, open(
            os.path.join(again, written), "rb"
        ) as other:
            assert one.read() == other.read(), written
    config = modeling.AlbertConfig.from_json_file(model_folder.config_in_folder(back))
    assert config.layout == config_of(name).layout
    assert config.hidden_act == config_of(name).hidden_act
    assert config.is_pre_norm == config_of(name).is_pre_norm


def test_where_the_tokens_of_transformers_differ_from_ours(tmp_path, transformers):
    """Checks every row of the table in docs/conversion.md, and that ordinary text is equal."""
    vocab_file = os.path.join(ROOT, "albert_starter_zh", "vocab.txt")
    shutil.copy(vocab_file, str(tmp_path / "vocab.txt"))
    output_files.write_json(
        str(tmp_path / "tokenizer_config.json"), {"tokenizer_class": "BertTokenizer"}
    )
    theirs = transformers.BertTokenizer.from_pretrained(str(tmp_path))
    split = transformers.BertTokenizer.from_pretrained(str(tmp_path), split_special_tokens=True)
    ours = tokenization.FullTokenizer(vocab_file)
    literal = ["他", "说", "[", "s", "##e", "##p", "]", "好"]
    assert ours.tokenize("他说[SEP]好") == literal == split.tokenize("他说[SEP]好")
    assert theirs.tokenize("他说[SEP]好") == ["他", "说", "[SEP]", "好"]
    assert ours.tokenize("a\ue000b") == ["[UNK]"] and theirs.tokenize("a\ue000b") == ["a", "##b"]
    for length, is_same in ((100, True), (101, False), (200, False), (201, True)):
        word = "a" * length
        assert (ours.tokenize(word) == theirs.tokenize(word)) == is_same
        assert (ours.tokenize(word) == ["[UNK]"]) == (length > 200)
    for number in (0x2B820, 0x2B91F):
        assert ours.tokenize(chr(number) + "a") == ["[UNK]", "a"]
        assert theirs.tokenize(chr(number) + "a") == ["[UNK]"]
    for text in (
        "今天天气很好。",
        "iPhone 15 Pro，256GB！",
        "𠀀字",
        "é\u0301ﬁ　Ａ",
        "a\u00adb\u200b",
    ):
        assert ours.tokenize(text) == theirs.tokenize(text)


def test_names_that_end_as_tensors_do_are_converted(tmp_path):
    prefix, values = made_model(tmp_path, heads="classification")
    to_pytorch.convert(prefix, str(tmp_path / "one"))
    checkpoint_values.write_checkpoint(
        prefix, {name + ":0": value for name, value in values.items()}
    )
    to_pytorch.convert(prefix, str(tmp_path / "other"))
    one, other = (tmp_path / name / "model.safetensors" for name in ("one", "other"))
    assert one.read_bytes() == other.read_bytes()


@pytest.mark.slow
def test_models_saved_by_transformers_come_back_and_forth(tmp_path, transformers):
    import torch

    for kind, settings in (
        ("Bert", {"hidden_act": "gelu"}),
        ("Albert", dict(GOOGLE, hidden_act="gelu_new")),
    ):
        config = getattr(transformers, kind + "Config")(
            **dict(SIZES, layer_norm_eps=1e-12, **settings)
        )
        torch.manual_seed(1)
        for ending in ("Model", "ForPreTraining", "ForSequenceClassification"):
            model = getattr(transformers, kind + ending)(config)
            saved = str(tmp_path / (kind + ending))
            model.save_pretrained(saved)
            to_tf.convert(pytorch_files.find_weights(saved), saved + "_tf")
            to_pytorch.convert(checkpoint_files.find_checkpoint(saved + "_tf"), saved + "_again")
            again = load_strictly(type(model), saved + "_again")
            state = model.state_dict()
            assert set(state) == set(again.state_dict())
            assert again.config.hidden_act == config.hidden_act
            assert all(torch.equal(state[key], v) for key, v in again.state_dict().items())


def test_masked_words_alone_get_a_new_pooler_and_a_note(tmp_path, transformers):
    config = transformers.AlbertConfig(**dict(SIZES, **GOOGLE))
    saved = str(tmp_path / "mlm")
    transformers.AlbertForMaskedLM(config).save_pretrained(saved)
    notes = to_tf.convert(pytorch_files.find_weights(saved), saved + "_tf")
    assert any("pooler" in note and "random" in note for note in notes)
    expected_variables.check_fits(model_folder.config_in_folder(saved + "_tf"), saved + "_tf")


# Files


@pytest.mark.parametrize("is_legacy", [False, True])
def test_bin_files_of_torch_are_read_without_it(tmp_path, is_legacy):
    torch = pytest.importorskip("torch", reason="needs PyTorch (requirements-convert.txt)")
    base = torch.arange(24, dtype=torch.float32)
    tensors = collections.OrderedDict(
        whole=base.reshape(4, 6),
        transposed=base.reshape(4, 6).t(),
        part=base[5:9],
        steps=base.reshape(4, 6)[1:, ::2],
        long=torch.tensor([1, -2]),
        half=torch.tensor([[0.5, -3.0]], dtype=torch.float16),
        brain=torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
        scalar=torch.tensor(3.0, dtype=torch.float64),
        empty=torch.zeros([0, 3]),
        parameter=torch.nn.Parameter(torch.ones(2)),
    )
    path = str(tmp_path / "weights.bin")
    torch.save(tensors, path, _use_new_zipfile_serialization=not is_legacy)
    found = pytorch_files.read_tensors(path)
    assert list(found) == list(tensors)
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(found[name], tensor.detach().float().numpy(), name)
        assert found[name].shape == tuple(tensor.shape)
    with open(path, "rb") as handle:
        content = handle.read()
    for size in list(range(0, len(content), 97)) + [len(content) - 1]:
        with open(path, "wb") as handle:
            handle.write(content[:size])
        with pytest.raises(UserError, match="weights.bin: damaged, truncated or not a file"):
            pytorch_files.read_tensors(path)


def test_a_legacy_file_cut_in_its_last_empty_tensor_is_damaged(tmp_path):
    torch = pytest.importorskip("torch", reason="needs PyTorch (requirements-convert.txt)")
    path = str(tmp_path / "weights.bin")
    torch.save({"empty": torch.zeros([0, 3])}, path, _use_new_zipfile_serialization=False)
    with open(path, "rb") as handle:
        content = handle.read()
    with open(path, "wb") as handle:
        handle.write(content[:-1])
    with pytest.raises(UserError, match="weights.bin: damaged, truncated or not a file"):
        pytorch_files.read_tensors(path)


class Evil:
    """Runs a command when it is unpickled by a plain reader."""

    def __init__(self, module, name, arguments):
        self.call = (module, name, arguments)

    def __reduce__(self):
        module, name, arguments = self.call
        return getattr(__import__(module, fromlist=[name]), name), arguments


@pytest.mark.parametrize(
    "call",
    [
        ("os", "system", ("touch %s",)),
        ("builtins", "eval", ("open('%s', 'w')",)),
        ("builtins", "getattr", ("%s", "upper")),
        ("subprocess", "check_call", (["touch", "%s"],)),
        ("collections", "Counter", ("%s",)),
        ("numpy", "fromfile", ("%s",)),
    ],
    ids=lambda call: call[1],
)
@pytest.mark.parametrize("place", ["zip", "legacy"])
def test_pickles_with_code_are_refused_and_nothing_runs(tmp_path, call, place):
    mark = str(tmp_path / "it_ran")
    arguments = tuple(
        [part.replace("%s", mark) for part in argument]
        if isinstance(argument, list)
        else argument.replace("%s", mark)
        for argument in call[2]
    )
    raw = pickle.dumps({"weight": Evil(call[0], call[1], arguments)}, protocol=2)
    path = str(tmp_path / "pytorch_model.bin")
    if place == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", raw)
    else:
        with open(path, "wb") as handle:
            handle.write(raw)
    with pytest.raises(UserError, match="refused, it asks for .*never code"):
        pytorch_files.read_tensors(path)
    assert not os.path.exists(mark)


def torch_pickle(size, stride, offset=0, count=4, kind="FloatStorage", key="0"):
    """Returns the pickle of a state dict with one tensor, as torch writes it, with any numbers."""

    def numbers(values):
        return b"(%st" % b"".join(b"I%d\n" % value for value in values)

    storage = b"((S'storage'\nctorch\n%s\nS'%s'\nS'cpu'\nI%d\ntQ" % (
        kind.encode(),
        key.encode(),
        count,
    )
    return b"(dS'weight'\nctorch._utils\n_rebuild_tensor_v2\n%sI%d\n%s%sI00\nNtRs." % (
        storage,
        offset,
        numbers(size),
        numbers(stride),
    )


def write_zip(path, raw, **settings):
    with zipfile.ZipFile(path, "w", **settings) as archive:
        archive.writestr("archive/data.pkl", raw)
        archive.writestr("archive/data/0", np.arange(4, dtype=np.float32).tobytes())


def test_numbers_of_a_bin_cannot_reach_beyond_its_storage(tmp_path):
    path = str(tmp_path / "pytorch_model.bin")
    write_zip(path, torch_pickle((2, 2), (2, 1)))
    np.testing.assert_array_equal(
        pytorch_files.read_tensors(path)["weight"], [[0.0, 1.0], [2.0, 3.0]]
    )
    for bad in (
        torch_pickle((2, 2), (3, 1)),
        torch_pickle((4,), (1,), offset=1),
        torch_pickle((4,), (1,), offset=-1),
        torch_pickle((2,), (-1,)),
        torch_pickle((1 << 40,), (0,)),
        torch_pickle((2,), (1, 1)),
        torch_pickle((5,), (1,), count=5),
        torch_pickle((4,), (1,), kind="QInt8Storage"),
        torch_pickle((4,), (1,), key="../../etc/passwd"),
    ):
        write_zip(path, bad)
        with pytest.raises(UserError):
            pytorch_files.read_tensors(path)
    write_zip(path, torch_pickle((4,), (1,)), compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(UserError, match="compressed zip"):
        pytorch_files.read_tensors(path)


def test_safetensors_of_ours_are_those_of_the_library_and_back(tmp_path):
    library = pytest.importorskip("safetensors.numpy", reason="needs requirements-convert.txt")
    tensors = {
        "b": np.arange(6, dtype=np.float32).reshape(2, 3),
        "a": np.array(2.5, np.float32),
        "空": np.zeros([0, 4], np.float32),
    }
    path = str(tmp_path / "ours.safetensors")
    pytorch_files.write_safetensors(path, tensors)
    assert_same_bits(library.load_file(path), tensors)
    tensors["long"] = np.array([1, -5])
    library.save_file(tensors, str(tmp_path / "theirs.safetensors"))
    assert_same_bits(pytorch_files.read_tensors(str(tmp_path / "theirs.safetensors")), tensors)


def safetensors_file(header, data=b"\0" * 16):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(**changes):
    return {"w": dict({"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}, **changes)}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"1234",
        struct.pack("<Q", 1 << 60) + b"{}",
        safetensors_file(b"not json"),
        safetensors_file([1, 2]),
        safetensors_file({"w": 3}),
        safetensors_file(entry(dtype="F8")),
        safetensors_file(entry(shape=[2, 3])),
        safetensors_file(entry(shape=[-2, -2])),
        safetensors_file(entry(shape=[1 << 62, 4])),
        safetensors_file(entry(data_offsets=[-16, 16])),
        safetensors_file(entry(data_offsets=[0, 1 << 40])),
        safetensors_file(entry(), b"\0" * 15),
        safetensors_file(entry(), b"\0" * 17),
        safetensors_file({"w": {"dtype": "F32"}}),
        pytest.param(b"[" * 100000, id="deep nesting"),
    ],
)
def test_damaged_safetensors_are_refused(tmp_path, content):
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(UserError, match="model.safetensors: damaged, truncated or not a file"):
        pytorch_files.read_tensors(str(path))


def test_every_truncation_of_a_safetensors_file_is_noticed(tmp_path):
    path = str(tmp_path / "model.safetensors")
    pytorch_files.write_safetensors(path, {"a": np.ones([3, 5], np.float32)})
    with open(path, "rb") as handle:
        content = handle.read()
    for size in range(len(content)):
        with open(path, "wb") as handle:
            handle.write(content[:size])
        with pytest.raises(UserError):
            pytorch_files.read_tensors(path)


def test_pointers_of_git_lfs_are_named(tmp_path):
    for name in ("model.safetensors", "pytorch_model.bin"):
        (tmp_path / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:1\n")
        with pytest.raises(UserError, match="git lfs pull"):
            pytorch_files.read_tensors(str(tmp_path / name))


def test_sharded_weights_are_joined_and_gaps_named(tmp_path):
    prefix, values = made_model(tmp_path, "google")
    folder = str(tmp_path / "hf")
    to_pytorch.convert(prefix, folder)
    tensors = pytorch_files.read_tensors(folder)
    os.remove(folder + "/model.safetensors")
    shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    weight_map = {name: shards[number % 2] for number, name in enumerate(tensors)}
    for shard in shards:
        part = {name: value for name, value in tensors.items() if weight_map[name] == shard}
        pytorch_files.write_safetensors(os.path.join(folder, shard), part)
    index = os.path.join(folder, "model.safetensors.index.json")

    def write_index(content):
        with open(index, "w") as handle:
            json.dump(content, handle)

    write_index({"metadata": {}, "weight_map": weight_map})
    back = str(tmp_path / "back")
    to_tf.convert(pytorch_files.find_weights(folder), back)
    assert_same_bits(read_values(checkpoint_files.find_checkpoint(back)), values)
    for content, named in (
        ({}, "weight_map is missing"),
        ({"weight_map": dict(weight_map, other=shards[0])}, "other is not in model-00001"),
        (
            {"weight_map": {"a": "../secret.safetensors"}},
            "expected the name of a file in the same folder",
        ),
        ({"weight_map": {"a": "gone.safetensors"}}, "gone.safetensors, which does not exist"),
    ):
        write_index(content)
        with pytest.raises(UserError, match=named):
            pytorch_files.read_tensors(folder)


def test_values_beyond_float16_are_refused_and_nothing_is_written(tmp_path):
    prefix, values = made_model(tmp_path)
    values["bert/pooler/dense/bias"][3] = 7e4
    checkpoint_values.write_checkpoint(prefix, values)
    with pytest.raises(UserError, match="bert.pooler.dense.bias has values up to 7e.04.*bfloat16"):
        to_pytorch.convert(prefix, str(tmp_path / "hf"), dtype="float16")
    assert sorted(os.listdir(str(tmp_path))) == ["model"]


def test_bfloat16_rounds_to_nearest_even_and_keeps_what_is_no_number():
    values = np.array([1.0, 1.00390625, 1.01171875, -np.inf, np.inf, np.nan, 3.4e38], np.float32)
    bits = pytorch_files.narrowed("x", values, "bfloat16")
    assert [hex(b) for b in bits] == [
        "0x3f80",
        "0x3f80",
        "0x3f82",
        "0xff80",
        "0x7f80",
        "0x7fc0",
        "0x7f80",
    ]


# Names


def albert_pytorch_names(tmp_path):
    """Weights of the brightmart layout as the albert_pytorch project saves them."""
    prefix, values = made_model(tmp_path)
    tensors = pytorch_names.to_torch(config_of("postln"), values)
    noise = np.random.RandomState(1)
    tensors["cls.predictions.decoder.weight"] = noise.randn(SIZES["vocab_size"], 6).astype("f4")
    tensors["cls.predictions.project_layer.weight"] = tensors[
        "bert.embeddings.word_embeddings_2.weight"
    ].T
    return os.path.dirname(prefix), values, tensors


def test_names_of_albert_pytorch_are_read_and_tied_again_with_notes(tmp_path):
    model, values, tensors = albert_pytorch_names(tmp_path)
    assert "bert.encoder.layer_shared.attention.self.query.weight" in tensors
    assert tensors["bert.embeddings.word_embeddings_2.weight"].shape == (12, 6)
    path = os.path.join(model, "pytorch_model.safetensors")
    pytorch_files.write_safetensors(path, {"module." + n: v for n, v in tensors.items()})
    notes = to_tf.convert(path, str(tmp_path / "back"))
    assert_same_bits(read_values(str(tmp_path / "back/albert_model.ckpt")), values)
    assert any("decoder.weight is tied" in note and "different" in note for note in notes)
    assert any("project_layer.weight is tied" in note and "equal" in note for note in notes)


def test_old_endings_buffers_and_missing_prefixes_are_understood():
    layout, tensors = pytorch_names.canonical(
        {
            "encoder.layer.0.output.LayerNorm.gamma": 1,
            "encoder.layer.0.output.LayerNorm.beta": 2,
            "embeddings.position_ids": 3,
            "pooler.dense.bias": 4,
        }
    )
    assert layout == "bert"
    assert tensors == {
        "bert.encoder.layer.0.output.LayerNorm.weight": 1,
        "bert.encoder.layer.0.output.LayerNorm.bias": 2,
        "bert.pooler.dense.bias": 4,
    }


@pytest.mark.parametrize("name", sorted({**CONFIGS, **NEZHA}))
def test_every_variable_has_a_name_of_its_own_and_it_leads_back(name):
    config = config_of(name)
    parts = expected_variables.expected_shapes_by_part(config)
    names = [variable for shapes in parts.values() for variable in shapes]
    there = [pytorch_names.torch_name(config.layout, variable) for variable in names]
    assert len({torch.name for torch in there}) == len(names)
    for variable, torch in zip(names, there):
        assert pytorch_names.tf_name(config.layout, torch.name) == (variable, torch.is_transposed)


@pytest.mark.parametrize("name, heads", crossed(sorted(ELECTRA), ["encoder", "classification"]))
def test_an_electra_is_transformers_and_comes_back(tmp_path, transformers, name, heads):
    """Both sides use the erf form of GELU; heads have no counterpart and are skipped."""
    prefix, values = made_model(tmp_path, name, heads)
    folder = str(tmp_path / "hf")
    notes = to_pytorch.convert(prefix, folder)
    assert ("output_weights" in " ".join(notes)) == (heads == "classification")
    expected = tf_outputs(prefix, config_of(name), "encoder")
    model = load_strictly(transformers.AutoModel, folder)
    assert type(model).__name__ == "ElectraModel"
    golden_cases.assert_close(torch_outputs(model).last_hidden_state.numpy(), expected["sequence"])
    config, weights, notes = to_tf.read_model(
        os.path.join(folder, "model.safetensors"), "config.json", read_config(folder)
    )
    assert config.layout == "electra" and config.hidden_act == "gelu_erf" and not notes
    assert_same_bits(weights, {n: v for n, v in values.items() if n.startswith("electra/")})


def test_a_detector_of_transformers_is_read_without_its_head(tmp_path, transformers):
    pytest.importorskip("torch")
    keys = "vocab_size hidden_size num_hidden_layers num_attention_heads intermediate_size".split()
    sizes = {key: SIZES[key] for key in keys}
    config = transformers.ElectraConfig(embedding_size=8, max_position_embeddings=16, **sizes)
    folder = str(tmp_path)
    transformers.ElectraForPreTraining(config).save_pretrained(folder)
    found, weights, notes = to_tf.read_model(
        os.path.join(folder, "model.safetensors"), "config.json", read_config(folder)
    )
    assert found.layout == "electra" and found.word_width == 8
    assert "discriminator_predictions.dense.weight" in " ".join(notes)
    assert set(weights) == set(expected_variables.expected_shapes(found))


def read_config(folder):
    with open(os.path.join(folder, "config.json")) as handle:
        return json.load(handle)


def test_names_and_buffers_of_nezha_in_pytorch():
    buffer = "nezha.encoder.layer.0.attention.self.relative_positions_encoding.positions_encoding"
    table = np.ones([7, 4], np.float32)
    tensors = {
        "nezha.embeddings.word_embeddings.weight": table,
        "nezha.encoder.layer.0.attention.self.query.bias": np.ones(4, np.float32),
        "cls.predictions.decoder.weight": table,
        buffer: np.ones([9, 9, 2], np.float32),
    }
    layout, kept = pytorch_names.canonical(tensors)
    untied, notes = pytorch_names.retied(kept)
    variables, unknown = pytorch_names.to_tf(layout, untied)
    assert layout == "nezha" and unknown == [] and "it is equal" in notes[0]
    assert sorted(variables) == [
        "bert/embeddings/word_embeddings",
        "bert/encoder/layer_0/attention/self/query/bias",
    ]


# What is refused


def write_settings(folder, **changes):
    path = os.path.join(str(folder), "config.json")
    with open(path) as handle:
        settings = json.load(handle)
    settings.update(changes)
    settings = {key: value for key, value in settings.items() if value != "remove"}
    with open(path, "w") as handle:
        json.dump(settings, handle)


@pytest.mark.parametrize(
    "changes, named",
    [
        ({"hidden_size": 24}, "does not fit .*config.json"),
        ({"vocab_size": "remove"}, "vocab_size is missing"),
        ({"hidden_act": "mish"}, "hidden_act is 'mish', expected one of"),
        ({"position_embedding_type": "relative_key"}, "only 'absolute' has a TensorFlow form"),
        ({"tie_word_embeddings": False}, "tie_word_embeddings is False"),
        ({"num_hidden_groups": 3}, "group_1/.* is missing"),
        ({"num_attention_heads": 5}, "not a multiple of num_attention_heads"),
    ],
)
def test_configs_that_do_not_fit_are_explained(tmp_path, changes, named):
    prefix, _ = made_model(tmp_path, "google")
    to_pytorch.convert(prefix, str(tmp_path / "hf"))
    write_settings(tmp_path / "hf", **changes)
    with pytest.raises(UserError, match=named) as caught:
        to_tf.convert(str(tmp_path / "hf/model.safetensors"), str(tmp_path / "back"))
    assert "config.json" in str(caught.value) and "\n" not in str(caught.value)
    assert not glob.glob(str(tmp_path / "back*"))


def test_what_will_not_be_equal_is_noted(tmp_path):
    prefix, _ = made_model(tmp_path, "bert")
    to_pytorch.convert(prefix, str(tmp_path / "hf"))
    write_settings(tmp_path / "hf", layer_norm_eps=1e-5)
    notes = to_tf.convert(str(tmp_path / "hf/model.safetensors"), str(tmp_path / "back"))
    assert any("layer_norm_eps is 1e-05 there and 1e-12 here" in note for note in notes)


@pytest.mark.parametrize(
    "name, ours, theirs",
    [
        ("bert", "gelu", "gelu_new"),
        ("bert", "gelu_erf", "gelu"),
        ("nezha", "gelu_erf", "gelu"),
        ("google", "gelu_erf", "gelu"),
        ("postln", "gelu", "gelu_new"),
        ("electra", "gelu", "gelu"),
        ("electra", "GELU", "gelu"),
        ("postln", "GELU", "gelu_new"),
        ("google", "", "linear"),
    ],
)
def test_each_activation_is_written_as_transformers_calls_it_and_comes_back(
    tmp_path, name, ours, theirs
):
    config = modeling.AlbertConfig.from_dict(dict(SIZES, **dict(KINDS[name], hidden_act=ours)))
    written = pytorch_configs.torch_config(config, ())
    assert written["hidden_act"] == theirs
    back, notes = pytorch_configs.tf_config(config.layout, written)
    assert back.hidden_act == config.hidden_act and not notes


@pytest.mark.parametrize(
    "layout, settings, expected",
    [
        ("bert", {"hidden_act": "gelu", "model_type": "bert"}, "gelu_erf"),
        ("bert", {"hidden_act": "gelu", "architectures": ["BertModel"]}, "gelu_erf"),
        ("bert", {"model_type": "bert"}, "gelu_erf"),
        ("google", dict(GOOGLE, model_type="albert"), "gelu"),
        ("google", dict(GOOGLE, model_type="albert", hidden_act="gelu_pytorch_tanh"), "gelu"),
        ("google", dict(GOOGLE, hidden_act="gelu"), "gelu"),  # of an albert_config.json
        ("google", dict(GOOGLE, hidden_act="gelu_erf"), "gelu_erf"),
    ],
)
def test_gelus_of_transformers_and_of_our_configs(layout, settings, expected):
    config, _ = pytorch_configs.tf_config(layout, dict(SIZES, **settings))
    assert config.hidden_act == expected


@pytest.mark.parametrize("name", ["bert", "electra"])
def test_a_classifier_with_slots_is_refused_and_its_encoder_is_not(tmp_path, name):
    prefix, values = made_model(tmp_path, name, "classification")
    values = dict(values, **{"slots/embeddings": np.ones([2, 3], np.float32)})
    checkpoint_values.write_checkpoint(prefix, values)
    with pytest.raises(UserError, match="its classifier takes slots.*--encoder_only"):
        to_pytorch.read_model(prefix, config_of(name))
    _, heads, left_out = to_pytorch.read_model(prefix, config_of(name), encoder_only=True)
    assert heads == () and "slots/embeddings" in left_out


@pytest.mark.parametrize(
    "change, named",
    [
        (lambda tensors: tensors.pop("albert.pooler.bias"), "pooler/dense/bias is missing"),
        (lambda tensors: tensors.pop("predictions.bias"), "cls/predictions/output_bias is missing"),
        (lambda tensors: tensors.update({"albert.new.weight": np.ones(2, "f4")}), "is unknown"),
        (
            lambda tensors: [tensors.pop(name) for name in list(tensors) if "encoder" in name],
            "is no ALBERT or BERT",
        ),
    ],
)
def test_weights_that_do_not_fit_are_explained(tmp_path, change, named):
    prefix, _ = made_model(tmp_path, "google")
    to_pytorch.convert(prefix, str(tmp_path / "hf"))
    path = str(tmp_path / "hf/model.safetensors")
    tensors = {name: np.array(value) for name, value in pytorch_files.read_tensors(path).items()}
    change(tensors)
    pytorch_files.write_safetensors(path, tensors)
    with pytest.raises(UserError, match=named):
        to_tf.convert(path, str(tmp_path / "back"))
    assert not glob.glob(str(tmp_path / "back*"))


def test_foreign_heads_are_left_out_with_a_note(tmp_path):
    prefix, values = made_model(tmp_path, "bert", "encoder")
    to_pytorch.convert(prefix, str(tmp_path / "hf"))
    path = str(tmp_path / "hf/model.safetensors")
    tensors = dict(
        pytorch_files.read_tensors(path), **{"qa_outputs.weight": np.ones([2, 12], "f4")}
    )
    pytorch_files.write_safetensors(str(tmp_path / "hf/qa.safetensors"), tensors)
    notes = to_tf.convert(str(tmp_path / "hf/qa.safetensors"), str(tmp_path / "back"))
    assert any("qa_outputs.weight" in note for note in notes)
    assert_same_bits(read_values(str(tmp_path / "back/albert_model.ckpt")), values)


@pytest.mark.parametrize(
    "name, changes, reason",
    [
        ("bert", {"ln_type": "preln"}, "ln_type is preln"),
        ("google", {"num_hidden_groups": 12}, "more groups than layers"),
    ],
)
def test_models_without_a_pytorch_form_are_refused_with_the_reason(tmp_path, name, changes, reason):
    prefix, _ = made_model(tmp_path, name, **changes)
    with pytest.raises(UserError, match=reason):
        to_pytorch.convert(prefix, str(tmp_path / "hf"))
    assert sorted(os.listdir(str(tmp_path))) == ["model"]


def test_existing_files_stay_and_the_vocabulary_is_checked(tmp_path):
    prefix, _ = made_model(tmp_path)
    folder = os.path.dirname(prefix)
    before = set(os.listdir(folder))
    to_pytorch.convert(prefix, folder)
    assert set(os.listdir(folder)) == before | {
        "config.json",
        "model.safetensors",
        "modeling_albert_zh.py",
        "tokenizer_config.json",
    }
    with open(os.path.join(folder, "vocab.txt"), "a") as handle:
        handle.write("extra\n")
    with pytest.raises(UserError, match="entries, but the config's vocab_size is"):
        to_pytorch.convert(prefix, str(tmp_path / "hf"))
    os.remove(os.path.join(folder, "vocab.txt"))
    assert "no tokenizer is written" in to_pytorch.convert(prefix, str(tmp_path / "hf"))[0]
    assert not os.path.exists(str(tmp_path / "hf/tokenizer_config.json"))


def test_the_tokenizer_lower_cases_as_in_fine_tuning(tmp_path):
    prefix, _ = made_model(tmp_path, heads="classification")
    settings = os.path.join(os.path.dirname(prefix), "fine_tuning.json")
    for name, content, wanted, expected in (
        ("of training", {"do_lower_case": False}, None, False),
        ("asked for", {"do_lower_case": False}, True, True),
        ("default", {}, None, True),
    ):
        with open(settings, "w") as handle:
            json.dump(content, handle)
        to_pytorch.convert(prefix, str(tmp_path / name), do_lower_case=wanted)
        with open(str(tmp_path / name / "tokenizer_config.json")) as handle:
            assert json.load(handle)["do_lower_case"] is expected
    with open(os.path.join(os.path.dirname(prefix), "label_map.json"), "w") as handle:
        json.dump(["a", "b"], handle)
    with pytest.raises(UserError, match="label_map.json: expected a JSON object {label: number}"):
        to_pytorch.convert(prefix, str(tmp_path / "hf"))


def test_what_fine_tuning_wrote_goes_along_both_ways(tmp_path):
    prefix, _ = made_model(tmp_path, heads="classification")
    trained = {"objective": "multi_label", "pooling": "mean", "thresholds": [0.3] * NUM_LABELS}
    source = os.path.dirname(prefix)
    output_files.write_json(os.path.join(source, "fine_tuning.json"), trained)
    hf, back = str(tmp_path / "hf"), str(tmp_path / "back")
    assert any("fine-tuned with --pooling=mean" in line for line in to_pytorch.convert(prefix, hf))
    with open(os.path.join(hf, "config.json")) as handle:
        assert json.load(handle)["problem_type"] == "multi_label_classification"
    to_tf.convert(pytorch_files.find_weights(hf), back)
    with open(os.path.join(back, "fine_tuning.json")) as handle:
        assert json.load(handle) == trained
    output_files.write_json(os.path.join(source, "label_map.json"), {"a": 0, "b": 1})
    message = "label_map.json has 2 labels, but the model next to it has 5"
    with pytest.raises(UserError, match=message):
        to_pytorch.convert(prefix, str(tmp_path / "other"))


@pytest.mark.parametrize(
    "changes, objective",
    [
        ({}, "multi_label"),
        ({"problem_type": "regression"}, "refused"),
        pytest.param({"problem_type": None}, None, marks=pytest.mark.slow),
        ({"architectures": ["AlbertForTokenClassification"]}, "no classifier"),
    ],
)
def test_what_the_config_says_of_the_outputs_comes_back(tmp_path, changes, objective):
    """Like a model from a hub, the folder has no file that our fine-tuning wrote."""
    prefix, _ = made_model(tmp_path, heads="classification")
    trained = os.path.join(os.path.dirname(prefix), "fine_tuning.json")
    output_files.write_json(trained, {"objective": "multi_label"})
    hf, back = str(tmp_path / "hf"), str(tmp_path / "back")
    to_pytorch.convert(prefix, hf)
    os.remove(os.path.join(hf, "fine_tuning.json"))
    config = os.path.join(hf, "config.json")
    output_files.write_json(config, dict(files.read_json(config), **changes))
    if objective == "refused":  # a regression here has one output, this model has 5
        with pytest.raises(UserError, match="problem_type is regression, but the model has 5"):
            to_tf.convert(pytorch_files.find_weights(hf), back)
        return
    notes = to_tf.convert(pytorch_files.find_weights(hf), back)
    shapes = checkpoint_values.read_shapes(checkpoint_files.find_checkpoint(back))
    if objective == "no classifier":
        assert "output_bias" not in shapes
        assert any("AlbertForTokenClassification is not a text classifier" in n for n in notes)
        return
    assert "output_bias" in shapes
    written = os.path.join(back, "fine_tuning.json")
    found = files.read_json(written).get("objective") if os.path.exists(written) else None
    assert found == objective


def test_a_changed_problem_type_beside_what_fine_tuning_wrote_is_noted(tmp_path):
    prefix, _ = made_model(tmp_path, heads="classification")
    trained = os.path.join(os.path.dirname(prefix), "fine_tuning.json")
    output_files.write_json(trained, {"objective": "multi_label"})
    hf, back = str(tmp_path / "hf"), str(tmp_path / "back")
    to_pytorch.convert(prefix, hf)
    weights = pytorch_files.find_weights(hf)
    assert not [note for note in to_tf.convert(weights, back) if "which takes precedence" in note]
    config = os.path.join(hf, "config.json")
    changes = {"problem_type": "single_label_classification"}
    output_files.write_json(config, dict(files.read_json(config), **changes))
    (note,) = [note for note in to_tf.convert(weights, back) if "which takes precedence" in note]
    assert note == (
        "note: %s: problem_type is single_label_classification, but %s, which takes precedence, "
        "has the objective multi_label of the training: to change it, change objective there"
        % (config, os.path.join(hf, "fine_tuning.json"))
    )
    assert files.read_json(os.path.join(back, "fine_tuning.json"))["objective"] == "multi_label"


def test_one_output_is_a_number_as_to_transformers():
    assert to_tf._objective({}, 1) == "regression"
    assert to_tf._objective({"problem_type": "multi_label_classification"}, 1) == "multi_label"


def test_the_case_of_a_tokenizer_comes_back(tmp_path):
    prefix, _ = made_model(tmp_path, heads="classification")
    hf, back = str(tmp_path / "hf"), str(tmp_path / "back")
    to_pytorch.convert(prefix, hf, do_lower_case=False)
    to_tf.convert(pytorch_files.find_weights(hf), back)
    with open(os.path.join(back, "fine_tuning.json")) as handle:
        assert json.load(handle) == {"do_lower_case": False}


def test_a_sentencepiece_model_goes_along_both_ways(tmp_path):
    prefix, _ = made_model(tmp_path, "google")
    folder = os.path.dirname(prefix)
    os.rename(os.path.join(folder, "vocab.txt"), os.path.join(folder, "spiece.model"))
    to_pytorch.convert(prefix, str(tmp_path / "hf"), do_lower_case=False)
    to_tf.convert(str(tmp_path / "hf/model.safetensors"), str(tmp_path / "back"))
    assert files.read_json(str(tmp_path / "hf/tokenizer_config.json")) == {
        "tokenizer_class": "AlbertTokenizer",
        "do_lower_case": False,
        "model_max_length": 20,
    }
    assert files.read_json(str(tmp_path / "back/fine_tuning.json")) == {"do_lower_case": False}
    for copy in ("hf", "back"):
        there = os.listdir(str(tmp_path / copy))
        assert "spiece.model" in there and "vocab.txt" not in there


def test_cut_checkpoint_leaves_nothing_behind(tmp_path):
    prefix, _ = made_model(tmp_path)
    data = prefix + ".data-00000-of-00001"
    with open(data, "r+b") as handle:
        handle.truncate(os.path.getsize(data) // 2)
    with pytest.raises(UserError, match="damaged or was truncated"):
        to_pytorch.convert(prefix, str(tmp_path / "hf"))
    assert sorted(os.listdir(str(tmp_path))) == ["model"]


# Commands


def test_commands_convert_both_ways_by_the_old_flags(tmp_path):
    prefix, values = made_model(tmp_path)
    folder = os.path.dirname(prefix)
    there = run(
        CONVERSION_COMMANDS[0],
        "--tf_checkpoint_path=" + folder,
        "--bert_config_file=%s/albert_config.json" % folder,
        "--pytorch_dump_path=%s/hf" % tmp_path,
    )
    assert there.returncode == 0, there.stderr
    assert "AlbertZhForPreTraining" in there.stdout
    back = run(CONVERSION_COMMANDS[1], "--pytorch_model_path=%s/hf" % tmp_path)
    assert back.returncode == 0, back.stderr
    assert_same_bits(read_values(str(tmp_path / "hf_tf/albert_model.ckpt")), values)


def test_the_encoder_alone_is_converted_into_a_named_folder(tmp_path):
    prefix, values = made_model(tmp_path)
    there, back = str(tmp_path / "there"), str(tmp_path / "back")
    flags = ["--tf_checkpoint_path=" + prefix, "--pytorch_dump_path=" + there, "--encoder_only"]
    small_models.run_command(to_pytorch, flags)
    flags = ["--pytorch_model_path=" + there, "--tf_dump_path=" + back]
    small_models.run_command(to_tf_command, flags)
    encoder = {name: value for name, value in values.items() if name.startswith("bert/")}
    assert 0 < len(encoder) < len(values)
    assert_same_bits(read_values(os.path.join(back, "albert_model.ckpt")), encoder)


@pytest.mark.parametrize(
    "flags", [["--write_bin"], ["--pytorch_dump_path={}/there/pytorch_model.bin"]]
)
def test_a_bin_file_on_request_asks_for_pytorch(tmp_path, monkeypatch, flags):
    monkeypatch.setitem(sys.modules, "torch", None)  # as if PyTorch were not installed
    prefix, _ = made_model(tmp_path)
    flags = ["--tf_checkpoint_path=" + prefix] + [flag.format(tmp_path) for flag in flags]
    with pytest.raises(UserError, match=r"pytorch_model.bin: writing a .bin needs PyTorch"):
        small_models.run_command(to_pytorch, flags)
    assert not (tmp_path / "there").exists()


@pytest.mark.parametrize(
    "command, arguments, named",
    [
        (0, ["--tf_checkpoint_path=nowhere"], "no checkpoint nowhere"),
        pytest.param(0, ["--dtype=int8"], "dtype", marks=pytest.mark.slow),
        pytest.param(1, [], "--pytorch_model_path is missing", marks=pytest.mark.slow),
        pytest.param(1, ["--pytorch_model_path=no"], "no: no such", marks=pytest.mark.slow),
    ],
)
def test_mistakes_are_one_line_and_status_2(command, arguments, named):
    result = run(CONVERSION_COMMANDS[command], *arguments)
    assert result.returncode == 2
    assert named in result.stderr and result.stderr.count("\n") == 1


# Refused values, and the labels that are read back


def converted(tmp_path, name="google", heads="classification"):
    """Returns a converted Hugging Face folder, its weights file, and {name: array} to change."""
    prefix, _ = made_model(tmp_path, name, heads)
    hf = str(tmp_path / "hf")
    to_pytorch.convert(prefix, hf)
    path = os.path.join(hf, "model.safetensors")
    tensors = {name: np.array(value) for name, value in pytorch_files.read_tensors(path).items()}
    return hf, path, tensors


@pytest.mark.parametrize("value", with_slow([np.nan, np.inf, -np.inf], [-np.inf]))
@pytest.mark.parametrize("is_to_tf", [True, False])
def test_weights_that_are_no_numbers_are_refused(tmp_path, value, is_to_tf):
    prefix, values = made_model(tmp_path, "google", "classification")
    name = "bert/pooler/dense/bias"
    if is_to_tf:
        hf, path, tensors = converted(tmp_path / "good")
        tensors["albert.pooler.bias"][1] = value
        pytorch_files.write_safetensors(path, tensors)
        with pytest.raises(UserError, match="%s has infinite or NaN val" % name):
            to_tf.convert(path, str(tmp_path / "out"))
    else:
        values[name] = np.full_like(values[name], value)
        checkpoint_values.write_checkpoint(prefix, values)
        with pytest.raises(UserError, match="%s has infinite or NaN val" % name):
            to_pytorch.convert(prefix, str(tmp_path / "out"))
    assert not os.path.exists(str(tmp_path / "out"))


@pytest.mark.parametrize("dtype", [np.int64, np.int8, np.bool_])
def test_integer_weights_are_refused_both_ways(tmp_path, dtype):
    library = pytest.importorskip("safetensors.numpy", reason="needs requirements-convert.txt")
    _, path, tensors = converted(tmp_path)
    tensors["albert.pooler.weight"] = np.ones([12, 12], dtype)
    library.save_file(tensors, path)
    kind = "bert/pooler/dense/kernel has values of the type %s" % np.dtype(dtype).name
    with pytest.raises(UserError, match=kind):
        to_tf.convert(path, str(tmp_path / "out"))
    prefix, values = made_model(tmp_path / "other", "google", "classification")
    values["bert/pooler/dense/kernel"] = np.ones([12, 12], dtype)
    checkpoint_values.write_checkpoint(prefix, values)
    with pytest.raises(UserError, match=kind):
        to_pytorch.convert(prefix, str(tmp_path / "out"))
    assert not os.path.exists(str(tmp_path / "out"))


@pytest.mark.parametrize(
    "label2id, problem",
    [
        ({"a": 0, "b": 1}, "label2id has 2 labels, but the model next to it has 5"),
        ({"a": 0, "b": 0, "c": 1, "d": 2, "e": 3}, "the label 'b' has 0 in place of 1"),
        ({"a": 1, "b": 2, "c": 3, "d": 4, "e": 5}, "the label 'a' has 1 in place of 0"),
        ({"a": "0", "b": "1"}, "label2id.a: expected an integer"),
        ([0, 1], "label2id: expected a JSON object"),
    ],
)
def test_label_maps_that_no_reader_takes_are_refused(tmp_path, label2id, problem):
    hf, path, _ = converted(tmp_path)
    write_settings(hf, label2id=label2id, id2label="remove")
    with pytest.raises(UserError, match="config.json: .*" + problem):
        to_tf.convert(path, str(tmp_path / "out"))
    assert not os.path.exists(str(tmp_path / "out"))


LABELS = ("坏", "好", "中", "上", "下")
ID2LABEL = {str(number): label for number, label in enumerate(LABELS)}
LABEL2ID = {label: number for number, label in enumerate(LABELS)}
NO_NAMES = {"LABEL_%d" % number: number for number in range(5)}


@pytest.mark.parametrize(
    "settings, label_map",
    [
        pytest.param({"id2label": ID2LABEL, "label2id": None}, None, marks=pytest.mark.slow),
        pytest.param({"id2label": ID2LABEL, "label2id": NO_NAMES}, None, marks=pytest.mark.slow),
        pytest.param({"id2label": "remove", "label2id": LABEL2ID}, None, marks=pytest.mark.slow),
        ({"id2label": ID2LABEL, "label2id": LABEL2ID}, None),
        ({"id2label": {"0": "LABEL_0"}, "label2id": NO_NAMES}, LABEL2ID),
    ],
)
def test_labels_have_the_names_of_either_side_or_of_a_label_map(tmp_path, settings, label_map):
    hf, path, _ = converted(tmp_path)
    write_settings(hf, **settings)
    if label_map:
        with open(os.path.join(hf, "label_map.json"), "w") as handle:
            json.dump(label_map, handle)
    to_tf.convert(path, str(tmp_path / "out"))
    with open(str(tmp_path / "out/label_map.json"), encoding="utf-8") as handle:
        assert json.load(handle) == LABEL2ID


@pytest.mark.parametrize(
    "id2label, problem",
    [
        (
            dict(ID2LABEL, **{"0": "好", "1": "坏"}),
            "id2label has the labels .*好.*坏.* label2id .*坏.*好",
        ),
        ({"a": "好"}, "id2label: expected numbers as keys, found 'a'"),
    ],
)
def test_names_of_labels_that_contradict_are_refused(tmp_path, id2label, problem):
    hf, path, _ = converted(tmp_path)
    write_settings(hf, id2label=id2label, label2id=LABEL2ID)
    with pytest.raises(UserError, match=problem):
        to_tf.convert(path, str(tmp_path / "out"))


def test_a_vocabulary_that_no_tokenizer_takes_is_refused(tmp_path):
    hf, path, _ = converted(tmp_path)
    with open(os.path.join(hf, "vocab.txt"), "w") as handle:
        handle.writelines("%d\n" % number for number in range(len(VOCABULARY)))
    with pytest.raises(UserError, match="hf/vocab.txt: .*no .UNK., .CLS., .SEP."):
        to_tf.convert(path, str(tmp_path / "out"))
    assert not os.path.exists(str(tmp_path / "out"))


def test_an_identity_of_absurd_size_is_no_work():
    values = {
        "bert/encoder/embedding_hidden_mapping_in/kernel": np.zeros([1 << 40, 0], np.float32),
        "bert/encoder/embedding_hidden_mapping_in/bias": np.zeros([0], np.float32),
    }
    assert pytorch_names.without_identity_mapping(values) == values


# The vocabulary in a tokenizer.json


def save_tokenizer(hf, do_lower_case, **settings):
    """Replaces the folder's vocab.txt with the tokenizer files that transformers saves."""
    transformers = pytest.importorskip("transformers", reason="needs requirements-convert.txt")
    vocab_file = os.path.join(hf, "vocab.txt")
    tokenizer = transformers.BertTokenizer(vocab_file, do_lower_case=do_lower_case, **settings)
    for name in ("vocab.txt", "tokenizer_config.json"):
        os.remove(os.path.join(hf, name))
    tokenizer.save_pretrained(hf)
    if os.path.exists(vocab_file):  # transformers before 5
        os.remove(vocab_file)


@pytest.mark.parametrize("do_lower_case, has_config", crossed([True, False], [True, False]))
def test_the_vocabulary_of_a_tokenizer_of_transformers_comes_back(
    tmp_path, do_lower_case, has_config
):
    hf, path, _ = converted(tmp_path)
    save_tokenizer(hf, do_lower_case)
    if not has_config:
        os.remove(os.path.join(hf, "tokenizer_config.json"))
    back = str(tmp_path / "back")
    notes = to_tf.convert(path, back)
    assert len(notes) == 1 if do_lower_case else "letters keep their case" in notes[0]
    assert files.read_lines(os.path.join(back, "vocab.txt")) == VOCABULARY
    settings = os.path.join(back, "fine_tuning.json")
    trained = files.read_json(settings) if os.path.exists(settings) else {}
    assert trained.get("do_lower_case", True) is do_lower_case
    ours = predictor.Predictor(back)
    ours.predict(["中国"])
    ours.close()


def tokenizer_settings(**changes):
    model = {
        "type": "WordPiece",
        "unk_token": "[UNK]",
        "continuing_subword_prefix": "##",
        "vocab": {token: number for number, token in enumerate(VOCABULARY)},
    }
    normalizer = {"type": "BertNormalizer", "lowercase": True, "strip_accents": None}
    return {
        "model": dict(model, **changes.get("model", {})),
        "normalizer": dict(normalizer, **changes.get("normalizer", {})),
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "added_tokens": changes.get("added_tokens", []),
    }


@pytest.mark.parametrize(
    "changes, note",
    [
        ({"normalizer": {"strip_accents": False}}, "strip_accents is false, but true here"),
        pytest.param(
            {"normalizer": {"handle_chinese_chars": False}},
            "handle_chinese_chars is false",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {"normalizer": {"type": "NFKC"}},
            "normalizer is NFKC, but BertNormalizer here",
            marks=pytest.mark.slow,
        ),
        ({"model": {"type": "Unigram", "vocab": []}}, "a tokenizer of the type Unigram"),
    ],
)
def test_tokenizers_without_a_form_here_are_noted(tmp_path, changes, note):
    hf, path, _ = converted(tmp_path)
    os.remove(os.path.join(hf, "vocab.txt"))
    output_files.write_json(os.path.join(hf, "tokenizer.json"), tokenizer_settings(**changes))
    notes = to_tf.convert(path, str(tmp_path / "back"))
    assert any(note in line for line in notes), notes
    is_word_piece = "model" not in changes
    assert os.path.exists(str(tmp_path / "back/vocab.txt")) is is_word_piece
    if not is_word_piece:
        with pytest.raises(UserError, match="back contains no vocabulary"):
            predictor.Predictor(str(tmp_path / "back"))


@pytest.mark.parametrize("is_other, is_read", [(True, True), (False, True), (True, False)])
def test_a_tokenizer_with_other_ids_than_the_vocabulary_is_noted(tmp_path, is_other, is_read):
    """Regression: there was no note, although transformers prefers tokenizer.json to vocab.txt."""
    hf, path, _ = converted(tmp_path)
    swapped = VOCABULARY[:7] + VOCABULARY[8:9] + VOCABULARY[7:8] + VOCABULARY[9:]
    ids = {token: number for number, token in enumerate(swapped if is_other else VOCABULARY)}
    changes = {"model": {"vocab": ids, "continuing_subword_prefix": "##" if is_read else "@@"}}
    output_files.write_json(os.path.join(hf, "tokenizer.json"), tokenizer_settings(**changes))
    notes = to_tf.convert(path, str(tmp_path / "back"))
    note = "note: the token '%s' has the id 7 in %s/vocab.txt and 8 in %s/tokenizer.json, which"
    noted = [line.startswith(note % (VOCABULARY[7], hf, hf)) for line in notes]
    assert sum(noted) == (is_other and is_read)
    assert files.read_lines(str(tmp_path / "back/vocab.txt")) == VOCABULARY


@pytest.mark.parametrize(
    "changes, problem",
    [
        ({"model": {"continuing_subword_prefix": "@@"}}, "expected one of ##, found '@@'"),
        ({"model": {"vocab": {"a": 0, "b": 2}}}, "the token 'b' has the id 2, expected 1"),
        pytest.param(
            {"model": {"vocab": ["a"]}},
            "model.vocab: expected a JSON object",
            marks=pytest.mark.slow,
        ),
        pytest.param({"model": {"vocab": {"a\nb": 0}}}, "a line end", marks=pytest.mark.slow),
        ({"added_tokens": [{"id": 0, "content": "new"}]}, "has the id 0, expected 1"),
        ({"normalizer": {"lowercase": "yes"}}, "normalizer.lowercase: expected true or false"),
    ],
)
def test_damaged_tokenizers_are_refused(tmp_path, changes, problem):
    hf, path, _ = converted(tmp_path)
    os.remove(os.path.join(hf, "vocab.txt"))
    output_files.write_json(os.path.join(hf, "tokenizer.json"), tokenizer_settings(**changes))
    with pytest.raises(UserError, match="tokenizer.json: .*" + problem):
        to_tf.convert(path, str(tmp_path / "back"))
    assert not os.path.exists(str(tmp_path / "back"))


# Files whose numbers ask for endless work


def nested_tuples(levels):
    """Returns a pickle of tuples, each holding the previous one twice: 2 ** levels members."""
    return b"\x80\x02)q\x00" + b"".join(
        b"h%sh%s\x86q%s" % ((bytes([level]),) * 2 + (bytes([level + 1]),))
        for level in range(levels)
    )


@pytest.mark.parametrize(
    "raw",
    [
        nested_tuples(60) + b"Q.",  # as a persistent id
        b"}" + nested_tuples(60)[2:] + b"K\x01s.",  # as a key
        b"\x80\x02}r\xff\xff\xff\x7f.",  # a value stored at index 2 ** 31 - 1 of the memo
        b"\x80\x02" + b")" + b"\x85" * 200000 + b"Q.",  # 200,000 nested tuples
        torch_pickle((1 << 62, 1 << 62), (0, 0)),
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(K\x00K\x00"
        + b"U\x01aJ\xff\xff\xff\x7f\x86K\x00tR.",
    ],
    ids=range(6),
)
def test_pickles_that_ask_for_endless_work_are_refused_at_once(tmp_path, raw):
    path = str(tmp_path / "pytorch_model.bin")
    begin = time.time()
    for write in (write_zip, lambda path, raw: pathlib.Path(path).write_bytes(raw)):
        write(path, raw)
        with pytest.raises(UserError, match="pytorch_model.bin: damaged, truncated or not a file"):
            pytorch_files.read_tensors(path)
    assert time.time() - begin < 5


def test_tensors_cannot_share_a_storage_without_bounds(tmp_path):
    path = str(tmp_path / "pytorch_model.bin")
    one = torch_pickle((4,), (1,))[2:-2]  # 'weight' -> tensor
    raw = b"(d" + b"".join(one.replace(b"weight", b"w%d" % n) + b"s" for n in range(40)) + b"."
    write_zip(path, raw)
    with pytest.raises(UserError, match="its tensors have 640 bytes, of 16 in the file"):
        pytorch_files.read_tensors(path)


def test_tensors_of_safetensors_do_not_overlap(tmp_path):
    path = tmp_path / "model.safetensors"
    part = {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}
    path.write_bytes(safetensors_file({"a": part, "b": part}))
    with pytest.raises(UserError, match="overlap"):
        pytorch_files.read_tensors(str(path))


@pytest.mark.parametrize(
    "key, value",
    [
        ("num_hidden_layers", 10**9),
        ("vocab_size", 10**30),
        pytest.param("hidden_size", 10**30, marks=pytest.mark.slow),
        pytest.param("num_hidden_groups", 10**9, marks=pytest.mark.slow),
        pytest.param("inner_group_num", 10**9, marks=pytest.mark.slow),
        ("num_hidden_layers", "12"),
        ("max_position_embeddings", 1e30),
    ],
)
def test_sizes_that_ask_for_endless_work_are_refused_at_once(tmp_path, key, value):
    hf, path, _ = converted(tmp_path)
    write_settings(hf, **{key: value})
    begin = time.time()
    with pytest.raises(UserError, match="%s: expected an integer from 1 to " % key):
        to_tf.convert(path, str(tmp_path / "back"))
    assert time.time() - begin < 5


_QUERY = "encoder.layer.0.attention.self.query.bias"


@pytest.mark.parametrize(
    "names, settings, layout, expected",
    [
        ([_QUERY], {"model_type": "nezha"}, "nezha", ["nezha." + _QUERY]),  # of a NezhaModel
        ([_QUERY], {"hidden_size": 8}, "nezha", ["nezha." + _QUERY]),  # has no position table
        ([_QUERY], {"model_type": "bert"}, "bert", ["bert." + _QUERY]),
        ([_QUERY], None, "bert", ["bert." + _QUERY]),
        ([_QUERY], {"model_type": "electra"}, "electra", ["electra." + _QUERY]),
        (
            ["bert." + _QUERY, "bert.encoder.layer.0.attention.self.relative_positions_encoding.x"],
            {"hidden_size": 8},
            "nezha",
            ["nezha." + _QUERY],
        ),  # Huawei's own names
        (
            [_QUERY, "embeddings.position_embeddings.weight"],
            {"hidden_size": 8},
            "bert",
            ["bert." + _QUERY, "bert.embeddings.position_embeddings.weight"],
        ),
    ],
)
def test_the_config_tells_encoders_of_equal_names_apart(names, settings, layout, expected):
    found, tensors = pytorch_names.canonical(dict.fromkeys(names, 1), settings)
    assert (found, sorted(tensors)) == (layout, sorted(expected))
    assert pytorch_names.foreign_base(layout, tensors) is None
