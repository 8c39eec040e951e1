"""Models of other classes that look like supported ones: most are refused, some converted."""

import json
import os
import shutil

import numpy as np
import pytest

from albert_zh.common import output_files
from albert_zh.common.errors import UserError
from albert_zh.conversion import (
    from_pytorch,
    pytorch_configs,
    pytorch_files,
    pytorch_names,
    to_pytorch,
)
from albert_zh.model import config as config_of_settings
from albert_zh.model.checkpoints import expected_variables
import sentencepiece_models
from workspace import VOCABULARY

SIZES = {
    "vocab_size": len(VOCABULARY),
    "hidden_size": 12,
    "num_hidden_layers": 1,
    "num_attention_heads": 3,
    "intermediate_size": 24,
    "max_position_embeddings": 20,
    "type_vocab_size": 2,
}
_DENSE = ("attention.self.query", "attention.self.key", "attention.self.value")
_BLOCK = dict.fromkeys(_DENSE + ("attention.output.dense",), (12, 12))
_BLOCK.update({"intermediate.dense": (24, 12), "output.dense": (12, 24)})


def encoder_tensors():
    """Returns the tensors of a BERT encoder as `BertModel.save_pretrained` names them."""
    generator = np.random.RandomState(3)
    shapes = {"pooler.dense.weight": (12, 12), "pooler.dense.bias": (12,)}
    rows = {"word": len(VOCABULARY), "position": 20, "token_type": 2}
    for kind, count in rows.items():
        shapes["embeddings.%s_embeddings.weight" % kind] = (count, 12)
    for module, shape in _BLOCK.items():
        shapes["encoder.layer.0.%s.weight" % module] = shape
        shapes["encoder.layer.0.%s.bias" % module] = shape[:1]
    for module in ("encoder.layer.0.attention.output", "encoder.layer.0.output", "embeddings"):
        shapes[module + ".LayerNorm.weight"] = shapes[module + ".LayerNorm.bias"] = (12,)
    return {name: generator.normal(size=shape).astype("f4") for name, shape in shapes.items()}


def saved_folder(folder, tensors=None, **settings):
    """Writes a folder as transformers does, with these settings; returns its path."""
    folder = str(folder)
    os.makedirs(folder)
    settings = dict(SIZES, model_type="bert", hidden_act="gelu", layer_norm_eps=1e-12, **settings)
    output_files.write_json(os.path.join(folder, "config.json"), settings)
    tensors = encoder_tensors() if tensors is None else tensors
    pytorch_files.write_safetensors(os.path.join(folder, "model.safetensors"), tensors)
    with open(os.path.join(folder, "vocab.txt"), "w", encoding="utf-8") as handle:
        handle.write("\n".join(VOCABULARY) + "\n")
    return folder


def edited(folder, **settings):
    path = os.path.join(folder, "config.json")
    with open(path) as handle:
        output_files.write_json(path, dict(json.load(handle), **settings))
    return folder


def convert(folder):
    return from_pytorch.convert(pytorch_files.find_weights(folder), folder + "_tf")


def refusal(folder):
    """Returns the one-line error for a refused folder; asserts that nothing was written."""
    with pytest.raises(UserError) as caught:
        convert(folder)
    assert not os.path.exists(folder + "_tf") and "\n" not in str(caught.value)
    return str(caught.value)


def test_the_folder_of_these_tests_is_a_bert(tmp_path):
    notes = convert(saved_folder(tmp_path / "bert"))
    assert len(notes) == 1 and "bert layout" in notes[0]


@pytest.mark.parametrize("kind", ["roberta", "xlm-roberta", "data2vec-text", "albert", "splinter"])
def test_other_classes_with_the_names_of_bert_are_refused(tmp_path, kind):
    """Regression: RoBERTa, with positions from 2, was read as BERT: outputs off by 1 or more."""
    message = refusal(edited(saved_folder(tmp_path / "hf"), model_type=kind))
    assert "config.json: model_type is '%s', but the weights have the names of" % kind in message
    assert "expected bert or ernie: use the config that came with the weights" in message


def test_an_ernie_without_task_types_is_a_bert(tmp_path):
    convert(edited(saved_folder(tmp_path / "hf"), model_type="ernie"))
    assert os.path.exists(str(tmp_path / "hf_tf/bert_config.json"))


def test_a_bert_beside_an_electras_config_is_named(tmp_path):
    tensors = {"bert." + name: array for name, array in encoder_tensors().items()}
    message = refusal(edited(saved_folder(tmp_path / "hf", tensors), model_type="electra"))
    assert "found tensors bert.*, but the config's model_type is 'electra'" in message


def test_a_decoder_is_refused(tmp_path):
    """Regression: decoders, whose tokens only see earlier ones, were converted as bidirectional."""
    message = refusal(edited(saved_folder(tmp_path / "hf"), is_decoder=True))
    assert (
        "is_decoder is True; only False has a TensorFlow form: the tokens of a decoder" in message
    )


def test_an_encoder_alone_has_nothing_to_be_tied(tmp_path):
    """Regression: tie_word_embeddings=false was refused even for models without a decoder."""
    convert(edited(saved_folder(tmp_path / "hf"), tie_word_embeddings=False))
    head = {"cls.predictions.bias": np.zeros(len(VOCABULARY), "f4")}
    tensors = dict({"bert." + name: array for name, array in encoder_tensors().items()}, **head)
    message = refusal(edited(saved_folder(tmp_path / "untied", tensors), tie_word_embeddings=False))
    assert "only True has a TensorFlow form: save only the encoder, with AutoModel" in message


@pytest.mark.parametrize(
    "theirs, ours",
    [("gelu_python", "gelu_erf"), ("gelu_accurate", "gelu"), ("gelu_fast", "gelu")],
)
def test_further_names_of_activations(theirs, ours):
    config, _ = pytorch_configs.tf_config("bert", dict(SIZES, model_type="bert", hidden_act=theirs))
    assert config.hidden_act == ours


@pytest.mark.parametrize(
    "name, found",
    [
        ("encoder.layer.0.attention.self.query.lora_A.weight", "has an adapter (LoRA) in it"),
        ("encoder.layer.0.output.base_layer.weight", "has an adapter (LoRA) in it"),
    ],
)
def test_weights_with_an_adapter_in_them_are_refused(tmp_path, name, found):
    tensors = dict(encoder_tensors(), **{name: np.ones([2, 12], "f4")})
    message = refusal(saved_folder(tmp_path / "hf", tensors))
    assert found in message and "merge_and_unload()" in message


def test_the_folder_of_an_adapter_is_named(tmp_path):
    """Regression: the error only said that the folder has no config.json."""
    folder = saved_folder(tmp_path / "hf")
    os.rename(folder + "/model.safetensors", folder + "/adapter_model.safetensors")
    os.rename(folder + "/config.json", folder + "/adapter_config.json")
    assert "adapter_model.safetensors is an adapter (LoRA)" in refusal(folder)


@pytest.mark.parametrize(
    "before, shown",
    [("0.auto_model.", "'0.auto_model.'"), ("model.bert.", "'model.'"), ("encoder_q.", "'enc")],
)
def test_a_model_within_another_is_named(tmp_path, before, shown):
    tensors = {before + name: array for name, array in encoder_tensors().items()}
    message = refusal(saved_folder(tmp_path / "hf", tensors))
    if before == "encoder_q.":
        assert "found tensors encoder_q.*" in message
    else:
        assert "the names of its tensors begin with %s" % shown in message


def test_a_mapping_between_equal_sizes_is_named(tmp_path):
    """Regression: the error asked for the config of the weights although it was given."""
    sizes = {"embedding_size": 12, "num_hidden_groups": 1, "inner_group_num": 1}
    config = config_of_settings.AlbertConfig.from_dict(dict(SIZES, **sizes))
    shapes = expected_variables.expected_shapes_by_part(config, 2)["encoder"]
    values = {name: np.ones(shape, np.float32) for name, shape in shapes.items()}
    tensors = pytorch_names.to_torch(config, values)
    folder = saved_folder(tmp_path / "identity", tensors, **sizes)
    convert(edited(folder, model_type="albert"))
    tensors["albert.encoder.embedding_hidden_mapping_in.weight"] = np.ones([12, 12], np.float32)
    folder = saved_folder(tmp_path / "mapped", tensors, **sizes)
    assert "maps word vectors to others of the same size" in refusal(
        edited(folder, model_type="albert")
    )


def test_names_of_a_distilbert_are_shown_as_they_are(tmp_path):
    tensors = {"embeddings.word_embeddings.weight": np.ones([4, 12], "f4")}
    message = refusal(saved_folder(tmp_path / "hf", tensors))
    assert message.endswith("its tensors begin with embeddings.word_embeddings.weight")


def test_weights_of_eight_bits_are_called_quantized(tmp_path):
    """Regression: 8-bit weights were reported as damaged."""
    folder = saved_folder(tmp_path / "hf")
    path = folder + "/model.safetensors"
    with open(path, "rb") as handle:
        size = int.from_bytes(handle.read(8), "little")
        header, data = json.loads(handle.read(size)), handle.read()
    name = max(header, key=lambda key: header[key].get("data_offsets", [0])[0])  # the last one
    begin, end = header[name]["data_offsets"]
    header[name].update(dtype="F8_E4M3", data_offsets=[begin, begin + (end - begin) // 4])
    text = json.dumps(header).encode()
    with open(path, "wb") as handle:
        handle.write(len(text).to_bytes(8, "little") + text)
        handle.write(data[: begin + (end - begin) // 4])
    assert "convert the model before it is quantized" in refusal(folder)


def test_a_vocabulary_of_another_kind_is_named_where_it_is(tmp_path):
    folder = saved_folder(tmp_path / "hf")
    with open(folder + "/vocab.txt", "w") as handle:
        handle.write("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    message = refusal(folder)
    assert folder + "/vocab.txt: its 3 entries have no [UNK]" in message


@pytest.mark.parametrize(
    "settings, note",
    [
        ({"strip_accents": False}, "its strip_accents is false, but true here"),
        ({"do_lower_case": False, "strip_accents": True}, "strip_accents is true, but false here"),
        ({"tokenize_chinese_chars": False}, "its tokenize_chinese_chars is false, but true here"),
        ({"do_basic_tokenize": False}, "its do_basic_tokenize is false, but true here"),
        ({"tokenizer_class": "BertJapaneseTokenizer"}, "but BertTokenizer is used here"),
        ({"tokenizer_class": "BertTokenizerFast", "strip_accents": None}, ""),
        ({"do_lower_case": False, "strip_accents": False, "tokenize_chinese_chars": True}, ""),
    ],
)
def test_what_a_tokenizers_config_says_of_texts_is_noted(tmp_path, settings, note):
    """Regression: with a vocab.txt only the case was read: word pieces changed without a note."""
    folder = saved_folder(tmp_path / "hf")
    output_files.write_json(folder + "/tokenizer_config.json", settings)
    notes = [line for line in convert(folder) if "word pieces" in line]
    assert len(notes) == bool(note) and all(note in line for line in notes), notes


def test_a_roberta_that_transformers_saved_is_refused_and_a_bert_is_not(tmp_path):
    torch = pytest.importorskip("torch", reason="needs PyTorch (requirements-convert.txt)")
    transformers = pytest.importorskip("transformers", reason="needs requirements-convert.txt")
    torch.manual_seed(2)
    for kind in ("Roberta", "Bert"):
        config = getattr(transformers, kind + "Config")(**dict(SIZES, type_vocab_size=1))
        model = getattr(transformers, kind + "Model")(config)
        folder = str(tmp_path / kind)
        model.save_pretrained(folder)
        if kind == "Roberta":
            assert "model_type is 'roberta'" in refusal(folder)
        else:
            assert "bert layout" in convert(folder)[-1]


@pytest.mark.parametrize("algorithm", ["bpe", "unigram"])
def test_a_sentencepiece_model_that_transformers_takes_for_another_is_noted(tmp_path, algorithm):
    """transformers reads any model as unigram: with a BPE one, 412 of 1,190 texts get other ids."""
    text = ["我们在%s%s大学读书，天气很好。" % (a, b) for a in "北东南西" for b in "京海山川"]
    model = sentencepiece_models.train_sentencepiece(tmp_path, text, 30, algorithm)
    weights = saved_folder(tmp_path / "hf")
    os.remove(weights + "/vocab.txt")
    convert(weights)
    shutil.copy(model, weights + "_tf/spiece.model")
    notes = to_pytorch.convert(weights + "_tf/albert_model.ckpt", str(tmp_path / "back"))
    noted = [line for line in notes if "spiece.model is a bpe model" in line]
    assert len(noted) == (algorithm == "bpe")
