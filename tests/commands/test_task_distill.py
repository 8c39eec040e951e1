"""Tests of task_distill.py: distilling a teacher's layers, then its probabilities."""

import glob
import json
import os
import shutil

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert_zh.commands import task_distill
from albert_zh.common import storage
from albert_zh.common.errors import UserError
from albert_zh.finetuning import flags as finetuning_flags
from albert_zh.finetuning import teaching_flags
from albert_zh.inference.predictor import Predictor
from albert_zh.model.checkpoints import checkpoint_files, checkpoint_values, fine_tuning_notes
from albert_zh.tasks import distillation, registry
import small_models
import workspace


@pytest.fixture(scope="module")
def space(tmp_path_factory):
    """Creates a data set, a teacher with names of its labels, and a smaller student."""
    space = workspace.Workspace(tmp_path_factory.mktemp("space"), 32, 12, 4)
    for name, settings in (
        ("teacher", {"num_hidden_layers": 4}),
        ("student", {"hidden_size": 8, "num_attention_heads": 2, "seed": 2}),
    ):
        notes = {"columns": ["text_a", "text_b"], "max_seq_length": 32, "task": "lcqmc"}
        folder = os.path.join(space.folder, name)
        setattr(space, name, small_models.write_model(folder, settings=notes, **settings))
    return space


def run(space, output, **changes):
    values = {
        "teacher_model": space.teacher,
        "student_model": space.student,
        "task_name": "lcqmc",
        "data_dir": space.data,
        "output_dir": os.path.join(space.folder, output),
        "max_seq_length": 32,
        "train_batch_size": 8,
        "num_train_epochs": 1,
        "save_checkpoints_steps": 2,
    }
    values.update(changes)
    arguments = ["--%s=%s" % item for item in values.items() if item[1] is not None]
    small_models.run_command(task_distill, arguments)
    return values["output_dir"]


def names_of(folder):
    return {name for name, _ in tf.train.list_variables(os.path.join(folder, "albert_model.ckpt"))}


@pytest.fixture(scope="module")
def first_phase(space):
    return run(space, "phase_1")


def test_first_phase_leaves_an_encoder_without_anything_of_its_teacher(space, first_phase):
    names = names_of(os.path.join(first_phase, "student"))
    assert "bert/encoder/layer_shared/attention/self/query/kernel" in names
    assert not [n for n in names if "teacher" in n or "distill" in n or n.startswith("output")]
    newest = checkpoint_files.newest_of_training(first_phase)
    saved = {name for name, _ in tf.train.list_variables(newest)}
    assert "distillation/fit_1/kernel" in saved and not [n for n in saved if "teacher" in n]


@pytest.mark.parametrize("do_lower_case, notes", [(True, {}), (False, {"do_lower_case": False})])
def test_a_student_keeps_the_case_of_its_texts(space, tmp_path, do_lower_case, notes):
    for path in glob.glob(os.path.join(space.student, "albert_model.ckpt.*")):
        name = os.path.basename(path).replace("albert_model.ckpt", "model.ckpt-1")
        shutil.copy(path, str(tmp_path / name))
    arguments = [
        "--output_dir=%s" % tmp_path,
        "--do_lower_case=%s" % do_lower_case,
        "--vocab_file=%s/vocab.txt" % space.student,
        "--bert_config_file=%s/albert_config.json" % space.student,
    ]
    with small_models.command_flags(task_distill, arguments):
        task_distill._write_student()
    folder = str(tmp_path / "student")
    assert {"albert_config.json", "vocab.txt"} <= set(os.listdir(folder))
    assert fine_tuning_notes.notes_of_folder(folder) == notes


@pytest.mark.slow
def test_first_phase_resumes_with_the_same_bits(space, first_phase):
    halfway = os.path.join(space.folder, "halfway")
    shutil.copytree(first_phase, halfway)
    checkpoint_files.remove_all_but(halfway, [os.path.join(halfway, "model.ckpt-2")])
    run(space, "halfway")
    expected, actual = (
        checkpoint_values.read_weights(os.path.join(folder, "student", "albert_model.ckpt"))
        for folder in (first_phase, halfway)
    )
    assert set(expected) == set(actual)
    for name, array in expected.items():
        np.testing.assert_array_equal(array, actual[name])


@pytest.mark.slow
def test_replicas_learn_what_one_device_does(space, tmp_path):
    """Regression: a replica divided by its number of tokens, so shorter texts counted more."""
    no_dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    student = small_models.write_model(
        tmp_path / "student", hidden_size=8, num_attention_heads=2, **no_dropout
    )
    data = tmp_path / "data"
    data.mkdir()
    rows = ["我" * length + "\t好\t1" for length in range(1, 27)]
    (data / "train.txt").write_text("\n".join(["text_a\ttext_b\tlabel"] + rows) + "\n", "utf-8")
    devices = {"none": None, "mirrored": "/cpu:0,/cpu:1"}
    one, two = (
        checkpoint_values.read_weights(
            os.path.join(
                run(
                    space,
                    distribution,
                    data_dir=data,
                    student_model=student,
                    distribution=distribution,
                    devices=names,
                    learning_rate=1e-3,
                ),
                "student",
                "albert_model.ckpt",
            )
        )
        for distribution, names in devices.items()
    )
    workspace.assert_same_weights(one, two, atol=1e-5)
    before = checkpoint_values.read_weights(os.path.join(student, "albert_model.ckpt"))
    table = "bert/embeddings/word_embeddings"
    assert np.abs(one[table] - before[table]).max() > 1e-4


def write_answers(space):
    """Writes the file of a teacher that knows the labels of train and dev; returns its path."""
    lines = []
    for name in ("train", "dev"):
        with open(os.path.join(space.data, name + ".txt"), encoding="utf-8") as source:
            rows = source.read().splitlines()[1:]
        for row in rows:
            text_a, text_b, label = row.split("\t")
            probabilities = {label: 0.9, "10"[int(label)]: 0.1}
            answer = {"text_a": text_a, "text_b": text_b, "probabilities": probabilities}
            lines.append(json.dumps(answer, ensure_ascii=False))
    return space.write("answers.jsonl", "\n".join(lines) + "\n")


@pytest.mark.slow
def test_second_phase_learns_probabilities(space, first_phase):
    answers = write_answers(space)
    output = run(space, "phase_2", student_model=first_phase, pred_distill=True, teachers=answers)
    names = names_of(os.path.join(output, "best"))
    assert "output_weights" in names
    assert not [name for name in names if "teacher" in name or "distill" in name]


def test_a_student_is_measured_without_a_teacher(space):
    """Runs TinyBERT's last step: --do_eval --student_model, without a phase and a teacher."""
    fine_tuned = {"teacher_model": None, "student_model": space.teacher}
    output = run(space, "measured", do_eval=True, do_predict=True, **fine_tuned)
    assert not checkpoint_files.checkpoints_of_training(output)  # nothing was trained
    with open(os.path.join(space.data, "dev.txt"), encoding="utf-8") as source:
        rows = [line.split("\t") for line in source.read().splitlines()[1:]]
    chosen, _ = Predictor(space.teacher).predict([tuple(row[:2]) for row in rows])
    right = np.mean([label == row[2] for label, row in zip(chosen, rows)])
    with open(os.path.join(output, "eval_results.json"), encoding="utf-8") as source:
        assert json.load(source)["best"]["eval_accuracy"] == pytest.approx(right)
    assert os.path.isfile(os.path.join(output, "test_results.tsv"))


@pytest.mark.parametrize(
    "changes, message",
    [
        (
            {"do_train": True},
            "^--do_train is for training: add --teacher_model, or leave out --do_train to eval",
        ),
        ({"pred_distill": True}, "^--pred_distill is for training: add --teacher_model"),
        ({"losses": "hidden"}, "^--losses is for training: add --teacher_model"),
    ],
)
def test_a_student_that_cannot_be_measured(space, changes, message):
    changes = {"teacher_model": None, "student_model": space.teacher, **changes}
    with pytest.raises(UserError, match=message):
        run(space, "not_measured", do_eval=True, **changes)


def test_a_student_of_the_first_phase_is_not_measured(space, first_phase):
    message = "^--student_model=.*phase_1 has no classifier: to evaluate a student, give the second"
    with pytest.raises(UserError, match=message):
        run(space, "no_head", do_eval=True, teacher_model=None, student_model=first_phase)


def test_second_phase_has_the_teacher_alone_at_temperature_1(space, first_phase, monkeypatch):
    seen = {}

    def note():
        seen.update(task_distill.FLAGS.flag_values_dict())

    monkeypatch.setattr(task_distill.finetuning_runner, "run", note)
    run(space, "noted", student_model=first_phase, pred_distill=True)
    assert seen["teachers"] == [space.teacher]
    assert seen["init_checkpoint"] == os.path.join(first_phase, "student", "albert_model.ckpt")
    assert (seen["distill_weight"], seen["temperature"]) == (1.0, 1.0)
    assert seen["do_train"] and seen["do_eval"]


class SetUpAlone:
    """A run that records its settings and does nothing."""

    settings = None

    def __init__(self, setup, stop, begin):
        SetUpAlone.settings = setup.settings

    def train(self):
        """Trains nothing."""

    def predict(self):
        """Predicts nothing."""

    def finish(self, export):
        """Writes nothing."""


@pytest.mark.parametrize(
    "changes, name",
    [
        ({}, "distilbert_kl_T2scaled_T1"),  # a sum over classes
        ({"compatible": True}, "tinybert_soft_ce_T1"),
        ({"compatible": True, "temperature": 8}, "tinybert_soft_ce_T8"),
        ({"compatible": True, "distill_loss": "kl"}, "distilbert_kl_T2scaled_T1"),
    ],
)
def test_loss_of_the_second_phase(space, monkeypatch, changes, name):
    """The flags select one of the golden losses; the labels have no weight in it."""
    monkeypatch.setattr(task_distill.finetuning_runner, "Run", SetUpAlone)
    run(space, "loss_" + name, pred_distill=True, teachers=write_answers(space), **changes)
    golden = np.load(os.path.join(workspace.ROOT, "tests", "golden", "distillation_losses.npz"))
    kind = registry.get("single_label")
    with tf.Graph().as_default(), tf.Session() as session:
        features = {"teacher_logits": tf.constant(golden["teacher_logits"])}
        outputs = {"logits": tf.constant(golden["student_logits"])}
        losses = distillation.row_losses(kind, outputs, features, SetUpAlone.settings)
        mean = session.run(losses).mean()
    assert mean == pytest.approx(float(golden[name]), rel=1e-5)


@pytest.mark.parametrize("compatible, loss", [(False, "kl"), (True, "tinybert")])
def test_both_phases_take_the_flags_of_the_second(space, monkeypatch, compatible, loss):
    """The flags have no effect in the first phase, which does not use teachers' outputs."""
    of_phases, lengths = [], []

    def note(make_distiller=None):
        options = task_distill.FLAGS
        teaching_flags.check_flags(options, registry.get("single_label"))
        finetuning_flags.check_flags(options)
        names = "temperature distill_weight distill_loss fgm_epsilon seeds teachers".split()
        sets_aside = bool(options["dev_share"].present)
        values = (options[name].value for name in names)
        of_phases.append((bool(make_distiller), sets_aside, *values))
        length = [options[name] for name in ("num_train_epochs", "train_step")]
        lengths.append([(flag.value, bool(flag.present)) for flag in length])

    monkeypatch.setattr(task_distill.finetuning_runner, "run", note)
    monkeypatch.setattr(task_distill.finetuning_runner, "check", lambda: None)
    monkeypatch.setattr(task_distill, "_write_student", lambda: None)
    given = {"temperature": 4, "fgm_epsilon": 0.5, "seeds": "1,2", "compatible": compatible}
    given.update(
        {"early_stopping": 2, "dev_share": 0.3, "search": True, "search_rates": "1e-4,2e-4"}
    )
    run(space, "both", both_phases=True, **given)
    assert of_phases == [
        (True, False, 2.0, 0.9, "kl", 0.0, None, None),
        (False, True, 4.0, 1.0, loss, 0.5, ["1", "2"], [space.teacher]),
    ]
    assert lengths == [[(10.0, True), (None, True)], [(1.0, True), (None, False)]]
    for epochs, steps in (
        (None, 5),
        (3, None),
    ):  # epochs take precedence over steps
        lengths.clear()
        further = {"num_train_epochs": None, "train_step": 5, "intermediate_epochs": epochs}
        run(space, "both", both_phases=True, **further)
        assert lengths[0] == [(epochs or 10.0, True), (steps, True)]
        assert not lengths[1][0][1] and lengths[1][1] == (5, True)


def test_a_teacher_by_its_prefix(space, tmp_path):
    """Regression: the first phase accepted a prefix, and the second did not find --teachers."""

    def folder_of(path):
        with small_models.command_flags(task_distill, ["--teacher_model=%s" % path]):
            return task_distill._folder_of_teacher()

    prefix = os.path.join(space.teacher, "albert_model.ckpt")
    assert folder_of(prefix) == folder_of(space.teacher) == space.teacher
    folder = str(tmp_path / "several")
    shutil.copytree(space.teacher, folder)
    for path in glob.glob(os.path.join(folder, "albert_model.ckpt.*")):
        shutil.copy(path, path.replace("albert_model.ckpt", "model.ckpt-7"))
    tf.train.update_checkpoint_state(folder, "model.ckpt-7")
    assert folder_of(os.path.join(folder, "model.ckpt-7")) == folder
    with pytest.raises(UserError, match="--teacher_model=.*another checkpoint, .*model.ckpt-7: c"):
        folder_of(os.path.join(folder, "albert_model.ckpt"))


def test_a_teacher_that_the_second_phase_refuses_is_named_before_the_first(space):
    """Regression: such a mistake was found only after the first phase, which takes hours."""
    notes = {"columns": ["text_a", "label"], "max_seq_length": 32, "task": "multiclass"}
    folder = os.path.join(space.folder, "of_single_texts")
    small_models.write_model(folder, ("体育", "财经", "科技"), settings=notes, num_hidden_layers=4)
    with pytest.raises(UserError, match="trained on single texts, the data have pairs"):
        run(space, "refused", teacher_model=folder, both_phases=True)
    assert not os.path.exists(os.path.join(space.folder, "refused", "intermediate"))


@pytest.mark.slow
def test_both_phases_from_end_to_end(space, capsys):
    """When all is complete, running it again trains nothing and checks no data or teachers."""
    given = {"both_phases": True, "teachers": write_answers(space), "intermediate_epochs": 1}
    output = run(space, "end_to_end", **given)
    out = capsys.readouterr().out
    assert out.count("checking the data and teachers of the second one") == 1
    assert "teacher 1: dev accuracy 1.0000" in out
    assert os.path.exists(os.path.join(output, "best", "vocab.txt"))
    run(space, "end_to_end", **given)
    out = capsys.readouterr().out
    assert out.count("training is complete") == 2 and "checking the data and teachers" not in out


@pytest.mark.parametrize("of_second", ["", "seed_1"])
def test_first_phase_stays_as_the_second_began_with_it(space, tmp_path, of_second):
    for folder, epochs in ((tmp_path / of_second, 3), (tmp_path / "intermediate", 1)):
        folder.mkdir(exist_ok=True)
        settings = {"fixed": {"seed": 1}, "variable": {"num_train_epochs": epochs}}
        (folder / "run_settings.json").write_text(json.dumps(settings))
        (folder / "model.ckpt-1.index").write_text("")
        tf.train.update_checkpoint_state(str(folder), "model.ckpt-1")
    given = {"output_dir": str(tmp_path), "both_phases": True, "intermediate_epochs": 2}
    with pytest.raises(
        UserError, match="--intermediate_epochs=2.0: .* after a first one with 1: give"
    ):
        run(space, "", **given)


def _make_augmented(folder, *names):
    """Creates a data folder with train_aug.csv, as data_augmentation.py leaves it."""
    for name in ("train.csv", "train_aug.csv", *names):
        (folder / name).write_text("text_a,label\n")
    made_of = {"sha256": storage.sha256_of_file(str(folder / "train.csv"))}
    (folder / "train_aug.made_of.json").write_text(json.dumps(made_of))


def test_augmented_rows_of_a_changed_file_are_refused(tmp_path):
    _make_augmented(tmp_path)
    _augmented_data(tmp_path, tmp_path / "out", "multiclass")
    (tmp_path / "train.csv").write_text("text_a,label\n甲,1\n")
    with pytest.raises(UserError, match="train_aug.csv was created before .*train.csv was changed"):
        _augmented_data(tmp_path, tmp_path / "out", "multiclass")


@pytest.mark.parametrize("content", ["[]", "{}", '{"sha256": "x", "columns": 5}'])
def test_a_damaged_note_on_augmented_rows_is_named(tmp_path, content):
    _make_augmented(tmp_path)
    (tmp_path / "train_aug.made_of.json").write_text(content)
    with pytest.raises(UserError, match="train_aug.made_of.json: .*expected .*: run data_aug"):
        _augmented_data(tmp_path, tmp_path / "out", "multiclass")


def test_dev_is_not_made_of_augmented_rows(tmp_path):
    _make_augmented(tmp_path)
    with pytest.raises(UserError, match="has no dev file, and rows of train .* copies of others"):
        _augmented_data(tmp_path, tmp_path / "out", "multiclass", both_phases=True)
    _make_augmented(tmp_path, "dev.csv")
    assert _augmented_data(tmp_path, tmp_path / "out", "multiclass", both_phases=True)


@pytest.mark.slow
@pytest.mark.newest
def test_augmented_rows_are_trained_on(space, capsys):
    data = os.path.join(space.folder, "augmented")
    shutil.copytree(space.data, data)
    with open(os.path.join(data, "train.txt"), encoding="utf-8") as source:
        header, *rows = source.read().splitlines()
    with open(os.path.join(data, "train_aug.txt"), "w", encoding="utf-8") as target:
        target.write("\n".join([header] + rows * 2) + "\n")
    for name in ("train_aug.rows.tsv", "train_aug.report.md"):  # data_augmentation.py writes them
        open(os.path.join(data, name), "w").close()
    run(space, "augmented_run", data_dir=data, aug_train=True, num_train_epochs=0.5)
    assert "training: 64 rows" in capsys.readouterr().out


def test_augmented_rows_of_other_columns_are_refused(tmp_path):
    for name in ("train.csv", "dev.csv", "train_aug.csv"):
        (tmp_path / name).write_text("编号,正文,类别\n1,甲,a\n")
    made_of = {"sha256": storage.sha256_of_file(str(tmp_path / "train.csv"))}
    (tmp_path / "train_aug.made_of.json").write_text(json.dumps(made_of))
    given = (tmp_path, tmp_path / "out", "multiclass")
    assert _augmented_data(*given)["train.csv"] == str(tmp_path / "train_aug.csv")
    with pytest.raises(
        UserError, match="--aug_train: .*train_aug.csv was created from other columns: r"
    ):
        _augmented_data(*given, text_column="正文")


@pytest.mark.parametrize("has_dev", [False, True])
def test_a_first_phase_that_reads_dev_rows_is_warned_of(tmp_path, capsys, has_dev):
    for name in ["train.tsv"] + ["dev.tsv"] * has_dev:
        (tmp_path / name).write_text("甲\ta\n")
    arguments = ["--data_dir=%s" % tmp_path, "--task_name=multiclass"]
    with small_models.command_flags(task_distill, arguments):
        task_distill._warn_of_no_dev()
    assert (
        "warning: %s has no dev file: the first phase" % tmp_path in capsys.readouterr().out
    ) != has_dev


def test_files_in_place_of_links_are_replaced(tmp_path):
    """A program that copies the output folder may replace links by files."""
    (tmp_path / "new").write_text("new")
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "train.tsv").write_text("old")
    (tmp_path / "links" / "other").write_text("of the user")
    task_distill._make_links(str(tmp_path / "links"), {"train.tsv": str(tmp_path / "new")})
    assert (tmp_path / "links" / "train.tsv").read_text() == "new"
    assert (tmp_path / "links" / "other").read_text() == "of the user"


def _augmented_data(folder, output_dir, task_name, **further):
    """Returns the folder created for `--aug_train` as {name: target of the link}."""
    given = {"data_dir": folder, "output_dir": output_dir, "task_name": task_name, **further}
    arguments = ["--%s=%s" % item for item in given.items()]
    with small_models.command_flags(task_distill, arguments):
        made = task_distill._augmented_data()
    return {name: os.readlink(os.path.join(made, name)) for name in os.listdir(made)}


def test_augmented_rows_stand_in_place_of_the_training_file_of_any_name(tmp_path):
    for name in ("train_few_all.json", "dev_few_all.json", "train_aug.json"):
        (tmp_path / name).write_text("{}\n")
    links = _augmented_data(tmp_path, tmp_path / "out", "iflytek")
    assert links["train_few_all.json"] == str(tmp_path / "train_aug.json")
    assert links["dev_few_all.json"] == str(tmp_path / "dev_few_all.json")


def test_links_of_other_data_do_not_stay(tmp_path):
    for folder, names in (("a", ["dev.csv", "test.csv"]), ("b", ["dev.csv"])):
        (tmp_path / folder).mkdir()
        for name in ["train.csv", "train_aug.csv"] + names:
            (tmp_path / folder / name).write_text("text_a,label\n")
    _augmented_data(tmp_path / "a", tmp_path / "out", "multiclass")
    links = _augmented_data(tmp_path / "b", tmp_path / "out", "multiclass")
    assert "test.csv" not in links and links["dev.csv"] == str(tmp_path / "b" / "dev.csv")
    assert links["train.csv"] == str(tmp_path / "b" / "train_aug.csv")


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"teacher_model": None}, "--teacher_model is required"),
        ({"student_model": None}, "--student_model is required"),
        ({"pred_distill": True, "both_phases": True}, "--pred_distill and --both_phases"),
        ({"both_phases": True, "intermediate_epochs": 0}, "^--intermediate_epochs=0.0: expected a"),
        ({"ngram_rows": 1024}, "^--ngram_rows: a table of n-grams learns from labels only"),
        ({"pred_distill": True, "ngram_rows": 1024}, "^--ngram_rows: a table of n-grams learns"),
        ({"fgm_epsilon": 0.5}, "--fgm_epsilon is only for the second phase"),
        ({"temperature": 4}, "--temperature is only for the second phase"),
        ({"temperature": 2}, "--temperature is only for the second phase"),
        ({"early_stopping": 2}, "--early_stopping is only for the second phase"),
        ({"dev_share": 0.2}, "--dev_share is only for the second phase"),
        ({"best_metric": "macro_f1"}, "--best_metric is only for the second phase"),
        (
            {"do_eval": True},
            "^--do_eval is only for the second phase: give it with --pred_",
        ),
        ({"do_predict": True}, "^--do_predict is only for the second phase"),
        (
            {"intermediate_epochs": 10},
            "^--intermediate_epochs is only for --both_phases: give --",
        ),
        (
            {"pred_distill": True, "intermediate_epochs": 2},
            "^--intermediate_epochs is only for --both",
        ),
        (
            {"pred_distill": True, "losses": "hidden"},
            "^--losses is only for the first phase: leave",
        ),
        ({"pred_distill": True, "layers": "0:0"}, "^--layers is only for the first phase"),
        (
            {"pred_distill": True, "tie_projections": True},
            "^--tie_projections is only for the first phase",
        ),
        (
            {"both_phases": True, "compatible": True, "multi_label": True},
            "--compatible: TinyBERT's second phase has no loss for a task of the kind multi_label",
        ),
        ({"student_model": "nope"}, "^--student_model: no checkpoint nope"),
        ({"teacher_model": "nope"}, "^--teacher_model: no checkpoint nope"),
        ({"aug_train": True}, "--aug_train: .*train_aug.txt: no such file: run data_aug"),
    ],
)
def test_flags_that_make_no_sense(space, changes, message):
    with pytest.raises(UserError, match=message) as caught:
        run(space, "wrong", **changes)
    assert "\n" not in str(caught.value)
