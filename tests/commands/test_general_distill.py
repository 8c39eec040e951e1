"""Tests of general_distill.py: from records and text to a student's model folder."""

import json
import os
import shutil

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert_zh.commands import general_distill, task_distill
from albert_zh.common.errors import UserError
from albert_zh.layer_distillation import flags as distillation_flags
from albert_zh.layer_distillation.teacher import Teacher
from albert_zh.model.checkpoints import checkpoint_files
from albert_zh.text.tokenization import FullTokenizer
import isolated_flags
import pretraining_workspace
from sentencepiece_models import train_sentencepiece
import small_models
import workspace

STEPS = 4
_ALONE = ["今天天气很好。"] * 5  # each document has a single sentence


@pytest.fixture(scope="module")
def space(tmp_path_factory):
    """Creates a folder with records, a student's config and vocabulary, and teachers."""
    space = pretraining_workspace.Workspace(tmp_path_factory.mktemp("space"))
    space.records = space.write_records("r.tfrecord", pretraining_workspace.unmasked_records(40))
    space.student = os.path.dirname(space.config)
    space.teacher = small_models.write_model(
        os.path.join(space.folder, "teacher"), num_hidden_layers=4, max_position_embeddings=32
    )
    mixed = workspace.SPECIAL + workspace.VOCABULARY[len(workspace.SPECIAL) :][::-1] + ["##a"]
    space.stranger = small_models.write_model(
        os.path.join(space.folder, "stranger"),
        vocabulary=mixed,
        hidden_size=24,
        num_attention_heads=3,
    )
    return space


def run(space, output, **changes):
    values = {
        "teacher_model": space.teacher,
        "student_model": space.student,
        "input_file": space.records,
        "output_dir": os.path.join(space.folder, output),
        "max_seq_length": pretraining_workspace.SEQUENCE,
        "max_predictions_per_seq": pretraining_workspace.PREDICTIONS,
        "train_batch_size": 8,
        "num_train_steps": STEPS,
        "save_checkpoints_steps": 2,
        "learning_rate": 1e-2,
    }
    values.update(changes)
    arguments = ["--%s=%s" % item for item in sorted(values.items()) if item[1] is not None]
    small_models.run_command(general_distill, arguments)
    return values["output_dir"]


@pytest.fixture(scope="module")
def distilled(space):
    return run(space, "run")


def last_loss(folder, name):
    with open(os.path.join(folder, "metrics.jsonl")) as lines:
        records = [json.loads(line) for line in lines]
    return [record[name] for record in records if name in record]


@pytest.mark.slow
def test_student_is_a_model_folder_without_anything_of_its_teacher(distilled):
    student = os.path.join(distilled, "student")
    weights = {n for n, _ in tf.train.list_variables(os.path.join(student, "albert_model.ckpt"))}
    assert {"albert_config_small.json", "vocab.txt"} <= set(os.listdir(student))
    assert "bert/pooler/dense/kernel" in weights and "cls/predictions/output_bias" in weights
    assert not [name for name in weights if "teacher" in name or "distill" in name]
    newest = checkpoint_files.newest_of_training(distilled)
    assert not [name for name, _ in tf.train.list_variables(newest) if "teacher" in name]
    hidden = last_loss(distilled, "distilled_hidden_loss")
    assert hidden[-1] < hidden[0]


@pytest.mark.slow
def test_resumed_run_has_the_same_bits(space, distilled):
    halfway = os.path.join(space.folder, "halfway")
    shutil.copytree(distilled, halfway)
    checkpoint_files.remove_all_but(halfway, [os.path.join(halfway, "model.ckpt-2")])
    run(space, "halfway")
    expected, actual = (
        tf.train.load_checkpoint(checkpoint_files.newest_of_training(folder))
        for folder in (distilled, halfway)
    )
    names = set(expected.get_variable_to_shape_map())
    assert names == set(actual.get_variable_to_shape_map())
    for name in names:
        np.testing.assert_array_equal(expected.get_tensor(name), actual.get_tensor(name))


def test_another_vocabulary_and_width_from_text(space, capsys):
    """Regression: with gradient accumulation, the teacher was initialized within the loop."""
    lines = ["今天天气很好。", "我们去吃饭吧。", "明天再说什么？", "什么时候开门？"]
    text = space.write("text.txt", "\n\n".join("\n".join(lines) for _ in range(12)) + "\n")
    settings = {"input_file": None, "corpus_file": text, "teacher_model": space.stranger}
    settings.update(num_train_steps=2, masked_lm_weight=0, train_batch_size=4)
    settings.update(gradient_accumulation_steps=2)
    folder = run(space, "stranger_run", **settings)
    printed = capsys.readouterr().out
    assert "the vocabularies differ" in printed and "records created from" in printed
    names = {name for name, _ in tf.train.list_variables(os.path.join(folder, "model.ckpt-2"))}
    assert "distillation/fit_0/kernel" in names and "cls/predictions/output_bias" not in names
    run(space, "stranger_run", **settings)
    printed = capsys.readouterr().out
    assert "training is complete" in printed and "records created from" not in printed


@pytest.mark.slow
def test_text_of_the_same_size_is_another_one(space):
    lines = ["今天天气很好。", "我们去吃饭吧。"] * 8
    text = space.write("edited.txt", "\n".join(lines) + "\n")
    settings = {"input_file": None, "corpus_file": text, "num_train_steps": 1}
    folder = run(space, "edited_run", **settings)
    space.write("edited.txt", "\n".join(lines).replace("我们", "他们") + "\n")
    with pytest.raises(UserError, match="--corpus_file=.*edited_run contains a run on other text"):
        run(space, "edited_run", **settings)
    space.write("edited.txt", "\n".join(lines) + "\n")  # with another modification time
    assert run(space, "edited_run", **settings) == folder


@pytest.mark.parametrize(
    "lines, given, beginnings",
    [
        (_ALONE, [], ["83.3% of the documents have a single sentence", "only 24.5% "]),
        (_ALONE, ["--masked_lm_weight=0"], ["only 24.5% of the text is in records"]),
        (["今天天气很好。\n我们去吃饭吧。"] * 5, [], []),
    ],
)
def test_text_that_is_lost_is_warned_of(space, tmp_path, capsys, lines, given, beginnings):
    text = tmp_path / "text.txt"
    pair = "我们去吃饭吧。\n明天再说什么？"
    text.write_text("\n\n".join(lines + [pair]) + "\n", encoding="utf-8")
    arguments = ["--corpus_file=%s" % text, "--output_dir=%s" % (tmp_path / "run"), *given]
    arguments.append("--vocab_file=%s/vocab.txt" % space.student)
    with isolated_flags.flags_of(arguments, general_distill.define_flags):
        general_distill._records_of_text()
    said = [line for line in capsys.readouterr().out.splitlines() if "warning: " in line]
    assert len(said) == len(beginnings)
    for line, beginning in zip(said, beginnings):
        assert line.startswith("warning: " + beginning)
        assert "give --split_sentences=true if lines are paragraphs; " in line
        assert "create_pretraining_data.py --one_segment=true (give its records by --input_" in line


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"teacher_model": None}, "--teacher_model is required"),
        ({"student_model": None}, "--student_model is required"),
        ({"teacher_model": "nope"}, "^--teacher_model: "),
        ({"student_model": "nope"}, "^--student_model: nope contains no config"),
        ({"input_file": None}, "expected either --corpus_file .* found neither"),
        (
            {"input_file": None, "corpus_file": "x", "max_seq_length": 4},
            "^--max_seq_length=4: expected at least 5$",
        ),
        ({"num_train_epochs": 3}, "^--num_train_epochs and --num_train_steps: give one of them$"),
        ({"warmup_proportion": 0.1, "num_warmup_steps": 1}, "^--warmup_proportion and --num_warm"),
        (
            {"split_sentences": True},
            "^--split_sentences is only for --corpus_file, the records of --input_file",
        ),
        ({"encoding": "gbk"}, "^--encoding is only for --corpus_file"),
        ({"losses": "attention,logits"}, "--losses=attention,logits: expected some of attention"),
        ({"recompute": True}, "--recompute does not keep the attention"),
        ({"weight_decay": 1.5}, "--weight_decay=1.5: expected 0 or more and below 1"),
        ({"do_eval": True, "masked_lm_weight": 0}, "--do_eval measures masked LM"),
        ({"fp16": True, "precision": "bfloat16"}, "^--fp16 is --precision by its old name: give"),
        ({"eval_step": 3, "save_checkpoints_steps": 4}, "--eval_step is --save_checkpoints_steps"),
        ({"layers": "1:9"}, "--layers=1:9: the teacher has 4 layers"),
    ],
)
def test_flags_that_make_no_sense(space, changes, message):
    with pytest.raises(UserError, match=message) as caught:
        run(space, "wrong", **changes)
    assert "\n" not in str(caught.value)


def test_rows_beyond_the_positions_of_the_teacher(space, tmp_path):
    """Rows may be longer only for a teacher with another vocabulary, as they are then truncated."""
    short = small_models.write_model(tmp_path / "short", max_position_embeddings=12)
    message = "--max_seq_length=16: the teacher %s has 12 positions: expected at most as many"
    with pytest.raises(UserError) as caught:
        run(space, "wrong", teacher_model=short)
    assert str(caught.value) == message % short
    same, other = (FullTokenizer(os.path.join(f, "vocab.txt")) for f in (short, space.stranger))
    teacher = Teacher(short)
    distillation_flags._check_length(12, teacher, same)
    distillation_flags._check_length(16, teacher, other)


@pytest.mark.slow
def test_another_teacher_is_another_run(space, distilled):
    with pytest.raises(UserError, match="contains a run with another (distillation|teacher)"):
        run(space, "run", teacher_model=space.stranger)


@pytest.mark.parametrize("given, visible", [([], "0"), (["--no_cuda"], "-1")])
def test_old_flags_of_the_hardware(monkeypatch, given, visible):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    for command in (general_distill, task_distill):
        with isolated_flags.flags_of(["--fp16", *given], command.define_flags):
            distillation_flags.take_old_flags(command.FLAGS, {})
            assert command.FLAGS.precision == "mixed_float16"
        assert os.environ["CUDA_VISIBLE_DEVICES"] == visible
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")


@pytest.mark.parametrize("settings", [{}, {"do_lower_case": False}])
def test_texts_have_the_case_of_the_teacher(tmp_path, capsys, settings):
    teacher = small_models.write_model(tmp_path / "teacher", settings=settings)
    for command in (general_distill, task_distill):
        for given in ([], ["--do_lower_case=true"]):
            arguments = ["--teacher_model=" + teacher] + given
            with isolated_flags.flags_of(arguments, command.define_flags):
                distillation_flags.take_case_of_teacher(command.FLAGS)
                assert command.FLAGS.do_lower_case == (bool(given) or not settings)
            said = capsys.readouterr().out
            assert ("note: letters keep their case" in said) == bool(settings and not given)


def test_words_of_a_sentencepiece_student_are_its_own(tmp_path):
    """Regression: jieba split the text first, so each of its words began with a separate mark."""
    model = train_sentencepiece(tmp_path, ["我 爱 北京 abc"] * 3, 20)
    arguments = ["--vocab_file=" + model, "--corpus_file=x", "--do_whole_word_mask=true"]
    with isolated_flags.flags_of(arguments, general_distill.define_flags):
        job = general_distill._job()
    assert (job.spm_model_file, job.segmenter) == (model, "none")
