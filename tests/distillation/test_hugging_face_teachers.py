"""Folders saved by transformers as teachers: their logits equal those of transformers."""

import glob
import os
import types

import numpy as np
import pytest

from albert_zh.commands import create_teacher_targets
from albert_zh.common.errors import UserError
from albert_zh.conversion import from_pytorch, pytorch_files
from albert_zh.distillation import teachers
from albert_zh.distillation.teachers import Student, open_teacher
from albert_zh.tasks import kind_interface, registry, task_forms
from albert_zh.tasks.distillation import log_softmax
from albert_zh.tasks.input_examples import InputExample
import isolated_flags

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + list("今天明吃饭开门好坏大小")
PAIRS = [("今天好", "明天坏"), ("吃饭", "开门大小"), ("大", "小")]
LABELS = ("a", "b", "c")
LABELS_OF_TEACHER = ("b", "c", "a")
SIZES = {
    "vocab_size": len(PIECES),
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 32,
    "pad_token_id": 0,
    "initializer_range": 0.3,
    "hidden_act": "gelu_new",  # the form of GELU that our models use
    "id2label": dict(enumerate(LABELS_OF_TEACHER)),
    "label2id": {label: number for number, label in enumerate(LABELS_OF_TEACHER)},
}


def saved(tmp_path, name):
    """Returns (a model of transformers with random weights, its folder)."""
    torch = pytest.importorskip("torch", reason="needs PyTorch (requirements-convert.txt)")
    transformers = pytest.importorskip("transformers", reason="needs requirements-convert.txt")
    torch.manual_seed(1)
    config = getattr(transformers, name + "Config")(**SIZES)
    model = getattr(transformers, name + "ForSequenceClassification")(config).eval()
    folder = str(tmp_path / name)
    model.save_pretrained(folder)
    (tmp_path / name / "vocab.txt").write_text("\n".join(PIECES) + "\n", encoding="utf-8")
    return types.SimpleNamespace(torch=torch, model=model), folder


def logits_of(library, text_a, text_b):
    """Returns the logits of a pair by transformers, in the order of `LABELS`."""
    texts = ["[CLS]"] + list(text_a) + ["[SEP]"], list(text_b) + ["[SEP]"]
    ids = library.torch.tensor([[PIECES.index(piece) for piece in texts[0] + texts[1]]])
    segments = library.torch.tensor([[0] * len(texts[0]) + [1] * len(texts[1])])
    with library.torch.no_grad():
        logits = library.model(input_ids=ids, token_type_ids=segments).logits[0].numpy()
    return logits[[LABELS_OF_TEACHER.index(label) for label in LABELS]]


def student(length=16):
    task = task_forms.Task({}, task_forms.PAIR, LABELS)
    use = kind_interface.ModelInUse(task, {}, None, length)
    return Student(registry.get("single_label"), use, None, False)


def test_targets_are_the_logits_of_transformers(tmp_path):
    library, folder = saved(tmp_path, "Bert")
    teacher = open_teacher(folder, student(), str(tmp_path / "cache"))
    examples = [InputExample(str(n), *pair, None) for n, pair in enumerate(PAIRS)]
    teacher.prepare(examples)
    expected = np.array([logits_of(library, *pair) for pair in PAIRS])
    assert len(set(expected.argmax(axis=-1))) > 1
    found = [teacher.target(example) for example in examples]
    np.testing.assert_allclose(log_softmax(np.array(found)), log_softmax(expected), atol=1e-4)


def test_a_teacher_without_a_length_reads_what_its_student_reads(tmp_path):
    _, folder = saved(tmp_path, "Bert")
    texts = [
        InputExample(name, "今天好" * 3, "吃饭" * 4 + end, None) for name, end in ("a大", "b小")
    ]
    differences = {}
    for length in (16, 24):
        teacher = open_teacher(folder, student(length), str(tmp_path / "cache"))
        assert teacher.about["max_seq_length"] == length
        teacher.prepare(texts)
        one, two = map(teacher.target, texts)
        differences[length] = np.abs(np.subtract(one, two)).max()
    assert differences[16] < 1e-6  # rows of a batch may be rounded differently
    assert differences[24] > 1e-3


@pytest.mark.parametrize("ending", ["bin", "safetensors", "pt", "pth"])
def test_other_weights_are_converted_again(tmp_path, monkeypatch, ending):
    made = []
    monkeypatch.setattr(from_pytorch, "convert", lambda weights, target: made.append(target))
    monkeypatch.setattr(teachers, "_is_pytorch", lambda path: True)
    monkeypatch.setattr(pytorch_files, "find_weights", lambda path: path)
    (tmp_path / "config.json").write_text("{}")
    for content in ("one", "two"):
        (tmp_path / ("model." + ending)).write_text(content)
        teachers.model_of(str(tmp_path), str(tmp_path / "cache"))
    assert len(set(made)) == 2


def test_a_folder_that_changes_while_it_is_converted_is_not_kept(tmp_path, monkeypatch):
    _, folder = saved(tmp_path, "Bert")
    config = os.path.join(folder, "config.json")

    def convert(weights, target, convert=from_pytorch.convert):
        convert(weights, target)
        with open(config, "a") as handle:
            handle.write("\n")

    monkeypatch.setattr(from_pytorch, "convert", convert)
    with pytest.raises(UserError, match="changed while it was converted: start again"):
        teachers.model_of(folder, str(tmp_path / "cache"))
    assert os.listdir(str(tmp_path / "cache" / "converted")) == []


@pytest.mark.slow
def test_a_conversion_that_was_killed_while_it_wrote_is_finished(tmp_path):
    library, folder = saved(tmp_path, "Bert")
    cache = str(tmp_path / "cache")
    converted = teachers.model_of(folder, cache)
    for path in glob.glob(converted + "/*.index"):  # written last, see `transfer.upload_folder`
        os.remove(path)
    teacher = open_teacher(folder, student(), cache)
    teacher.prepare([InputExample("1", *PAIRS[0], None)])
    expected = log_softmax(np.array(logits_of(library, *PAIRS[0])))
    found = log_softmax(np.array(teacher.target(InputExample("1", *PAIRS[0], None))))
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_labels_behind_the_texts_are_no_second_texts(tmp_path):
    """The folder does not say whether its texts are pairs."""
    _, folder = saved(tmp_path, "Bert")
    (tmp_path / "rows.tsv").write_text("今天好\ta\n明天坏\tb\n", encoding="utf-8")
    arguments = ["--teachers=" + folder, "--input_file=%s/rows.tsv" % tmp_path]
    arguments += ["--output_file=%s/out.tsv" % tmp_path]
    with isolated_flags.flags_of(arguments, create_teacher_targets.define_flags):
        create_teacher_targets.run()
    rows = [line.split("\t") for line in (tmp_path / "out.tsv").read_text("utf-8").splitlines()]
    assert [row[:2] for row in rows[1:]] == [["今天好", ""], ["明天坏", ""]]


def test_the_first_teacher_of_the_command_may_be_such_a_folder(tmp_path):
    library, folder = saved(tmp_path, "Bert")
    (tmp_path / "pairs.tsv").write_text("\t".join(PAIRS[0]) + "\n", encoding="utf-8")
    names = ("teachers", folder), ("input_file", tmp_path / "pairs.tsv"), ("output_file", "out.tsv")
    values = [("--%s=%s" % (name, tmp_path / str(value))) for name, value in names]
    with isolated_flags.flags_of(values, create_teacher_targets.define_flags):
        create_teacher_targets.run()
    header, row = [line.split("\t") for line in (tmp_path / "out.tsv").read_text().splitlines()]
    assert header[2:] == ["P(%s)" % label for label in LABELS_OF_TEACHER]
    found = dict(zip(header[2:], map(float, row[2:])))
    expected = np.exp(log_softmax(logits_of(library, *PAIRS[0])))
    np.testing.assert_allclose([found["P(%s)" % label] for label in LABELS], expected, atol=1e-4)


def test_classes_with_another_tokenizer_are_refused_in_a_line(tmp_path):
    _, folder = saved(tmp_path, "Roberta")
    with pytest.raises(
        UserError, match="found tensors roberta.*expected a BERT .*file of the"
    ) as e:
        open_teacher(folder, student(), str(tmp_path / "cache"))
    assert str(e.value).startswith("--teachers=%s: " % folder)
    assert "file of the model's logits" in str(e.value) and "\n" not in str(e.value)
