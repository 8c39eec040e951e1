"""Distillation in fine-tuning, from flags to the student's best checkpoint."""

import json
import os
import re
import shutil
import types
import zipfile

from absl import flags as absl_flags
import numpy as np
import pytest

from albert_zh.commands import convert_albert_tf_checkpoint_to_pytorch as to_pytorch
from albert_zh.common import output_files
from albert_zh.common.errors import UserError
from albert_zh.distillation import target_cache, teachers
from albert_zh.finetuning import flags as finetuning_flags
from albert_zh.finetuning import runner, sweeps, teaching, teaching_flags
from albert_zh.finetuning.evaluation import Evaluation
from albert_zh.model.checkpoints import checkpoint_files, checkpoint_values
from albert_zh.tasks import registry
from project_root import ROOT
from workspace import Workspace, assert_same_weights, flags_of, run_here

FLAGS = {"num_train_epochs": 1, "do_predict": False, "train_batch_size": 16}
NUM_UNLABELLED = 20
STARTER = os.path.join(ROOT, "albert_starter_zh")


class Class(Workspace):
    """A workspace with two teachers and unlabelled pairs."""

    def __init__(self, folder):
        super().__init__(folder, num_train=64)
        rows = self.rows("train")
        texts = [(b, a) for a, b, _ in rows[:NUM_UNLABELLED]] + [rows[0][:2]]
        text = "".join("\t".join(pair) + "\n" for pair in texts)
        self.unlabelled = self.write("pairs.tsv", text)
        self.teachers = [os.path.join(self.folder, "t%d" % number) for number in (1, 2)]
        self.best = [os.path.join(path, "best") for path in self.teachers]
        run_here(self.arguments(seed=1, num_train_epochs=4, output_dir=self.teachers[0]))
        self._write_second_teacher()

    def _write_second_teacher(self):
        """Writes a copy of the first teacher with noise in its weights."""
        shutil.copytree(self.best[0], self.best[1])
        prefix, generator = checkpoint_files.find_checkpoint(self.best[1]), np.random.RandomState(2)
        values = checkpoint_values.read_weights(prefix)
        noise = {name: 0.01 * generator.standard_normal(v.shape) for name, v in values.items()}
        noisy = {name: (v + noise[name]).astype(np.float32) for name, v in values.items()}
        checkpoint_values.write_checkpoint(prefix, noisy)

    def arguments(self, **changes):
        return super().arguments(**dict(FLAGS, **changes))

    def rows(self, name):
        with open(os.path.join(self.data, name + ".txt"), encoding="utf-8") as handle:
            return [tuple(line.rstrip("\n").split("\t")) for line in handle][1:]

    def student(self, name, **changes):
        """Returns the arguments of a student of both teachers, in a folder of this name."""
        settings = {
            "output_dir": os.path.join(self.folder, name),
            "teachers": ",".join(self.best),
            "teacher_cache": os.path.join(self.folder, "cache"),
            "unlabelled_file": self.unlabelled,
        }
        return self.arguments(**dict(settings, **changes))

    def weights(self, name):
        prefix = checkpoint_files.find_checkpoint(os.path.join(self.folder, name, "best"))
        return checkpoint_values.read_weights(prefix)


@pytest.fixture(scope="module")
def school(tmp_path_factory):
    return Class(tmp_path_factory.mktemp("school"))


@pytest.mark.slow
def test_a_student_killed_twice_has_the_bits_of_one_that_was_not(school, capsys, monkeypatch):
    """The student is killed while targets are computed and after a checkpoint; tests the output."""
    monkeypatch.setattr(teachers, "ROWS_PER_CHUNK", 16)
    settings = {"save_checkpoints_steps": 2, "fgm_epsilon": 0.5, "teacher_weights": "auto"}
    run_here(school.student("whole", teacher_cache=None, **settings))
    shown = capsys.readouterr().out
    assert "unlabelled: %d rows of 1 file" % NUM_UNLABELLED in shown
    assert "note: 1 row was skipped: repeated, or in train" in shown
    for number in (1, 2):
        line = r"teacher %d: dev accuracy 0\.\d{4}, 10[0-9] targets computed, weight" % number
        assert re.search(line, shown)
    assert "teachers, averaged: dev accuracy" in shown

    add, counts = target_cache.TargetCache.add, []

    def killed(self, texts, targets):
        counts.append(len(texts))
        if len(counts) == 4:
            raise KeyboardInterrupt
        add(self, texts, targets)

    monkeypatch.setattr(target_cache.TargetCache, "add", killed)
    with pytest.raises(KeyboardInterrupt):
        run_here(school.student("killed", **settings))
    monkeypatch.setattr(target_cache.TargetCache, "add", add)
    evaluate = Evaluation.ends_training

    def killed_at_a_checkpoint(self, step):
        evaluate(self, step)
        raise KeyboardInterrupt

    monkeypatch.setattr(Evaluation, "ends_training", killed_at_a_checkpoint)
    with pytest.raises(KeyboardInterrupt):
        run_here(school.student("killed", **settings))
    monkeypatch.setattr(Evaluation, "ends_training", evaluate)
    assert "targets computed" in capsys.readouterr().out  # the missing ones
    run_here(school.student("killed", **settings))
    shown = capsys.readouterr().out
    assert "targets computed" not in shown and "continuing from step" in shown
    assert_same_weights(school.weights("whole"), school.weights("killed"))
    _check_holds_nothing_of_teachers(school, os.path.join(school.folder, "killed", "best"))


def _check_holds_nothing_of_teachers(school, best):
    plain, notes, names = school.best[0], [], []
    assert sorted(os.listdir(best)) == sorted(os.listdir(plain))
    for folder in (best, plain):
        with open(os.path.join(folder, "fine_tuning.json"), encoding="utf-8") as handle:
            notes.append(sorted(json.load(handle)))
        prefix = checkpoint_files.find_checkpoint(folder)
        names.append(sorted(checkpoint_values.read_shapes(prefix)))
    assert notes[0] == notes[1] and names[0] == names[1]


def _changed_teacher(school, name, change):
    folder = os.path.join(school.folder, name)
    shutil.copytree(school.best[0], folder)
    path = os.path.join(folder, "label_map.json")
    with open(path, "w", encoding="utf-8") as handle:
        json.dump(change, handle)
    return folder


@pytest.mark.slow
def test_labels_in_another_order_are_mapped(school, capsys):
    """A teacher with exchanged labels is wrong on most rows, hence worse than a constant."""
    folder = _changed_teacher(school, "exchanged", {"0": 1, "1": 0})
    with pytest.raises(UserError, match="predicting .* for every row has .*trained for this task"):
        run_here(school.student("x", teachers=folder))
    shutil.rmtree(folder)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"teachers": "gone"}, "--teachers=gone: no such file or folder"),
        ({"teachers": STARTER}, "--teachers=.*contains no classifier .*fine-tune it first"),
        (
            {"teachers": "{labels}"},
            "has the labels a, b, the data 0, 1 .only the teacher has a, b,",
        ),
        ({"teachers": "{own}"}, "the student would replace it"),
        ({"unlabelled_file": "gone/*"}, "--unlabelled_file=gone/.: no such file"),
        ({"temperature": 1e30}, r"--temperature=1e\+30: expected more than 0 and at most 1000"),
        ({"temperature": 0}, "--temperature=0: expected more than 0"),
        ({"distill_weight": 0}, "--distill_weight=0.0: expected more than 0"),
        ({"teacher_weights": "1"}, "--teacher_weights=1: expected 2 numbers"),
        ({"teacher_weights": "auto", "do_eval": False}, "--teacher_weights=auto is fitted on dev"),
        ({"teacher_temperatures": "0"}, "--teacher_temperatures=0: expected 1 or 2 numbers"),
        (
            {"teacher_temperatures": "auto", "do_eval": False},
            "--teacher_temperatures=auto is fitted on dev",
        ),
        (
            {"teacher_average": "probabilities", "distill_loss": "mse"},
            "--teacher_average=probabilities: --distill_loss=mse averages logits",
        ),
        (
            {"label_smoothing": 0.1, "distill_weight": 1},
            "--label_smoothing is for the labels' loss, which --distill_weight=1 disables",
        ),
        (
            {"temperature": 3, "distill_loss": "mse"},
            "--temperature=3: the logits of --distill_loss=mse are learned unscaled",
        ),
        ({"teachers": None}, "--teacher_cache requires --teachers|--unlabelled_file requires"),
        ({"do_train": False}, "nothing is trained"),
    ],
)
@pytest.mark.reference
def test_bad_teachers_are_one_line_before_the_first_step(school, changes, message):
    if changes.get("teachers") == "{labels}":
        changes = {"teachers": _changed_teacher(school, "labels", {"a": 0, "b": 1})}
    elif changes.get("teachers") == "{own}":
        changes = {"teachers": school.best[0], "output_dir": school.teachers[0]}
    arguments = school.student("bad", **changes)
    with pytest.raises(UserError, match=message) as caught:
        run_here(arguments)
    assert "\n" not in str(caught.value)
    assert not checkpoint_files.checkpoints_of_training(os.path.join(school.folder, "bad"))


@pytest.mark.reference
def test_files_are_checked_before_a_model_computes(school, monkeypatch):
    """Regression: a file with missing rows was refused only after models before it had run."""
    monkeypatch.setattr(teachers.ModelTeacher, "prepare", lambda self, examples: pytest.fail())
    path = school.write("few.jsonl", '{"text_a": "a", "text_b": "b", "label": "0"}\n')
    given = {"teachers": "%s,%s" % (school.best[0], path), "teacher_weights": None}
    with pytest.raises(UserError, match="few.jsonl: has no row for .* texts"):
        run_here(school.student("checked", **given))


@pytest.mark.reference
def test_further_files_in_a_teachers_folder_do_not_make_it_another_one(school):
    """Regression: after an export to the folder, targets were recomputed, or a run refused."""
    path = os.path.join(school.folder, "copied")
    shutil.copytree(school.best[0], path)
    first = teachers._fingerprint(path, ())
    for name in ("model.tflite", "notes.txt", "report.json", "model.onnx"):
        with open(os.path.join(path, name), "w", encoding="utf-8") as handle:
            handle.write("{}")
    assert teachers._fingerprint(path, ()) == first
    assert set(first) >= {"weights", "vocab.txt", "label_map.json", "fine_tuning.json"}
    output_files.write_json(os.path.join(path, "label_map.json"), {"1": 0, "0": 1})
    assert teachers._fingerprint(path, ()) != first


@pytest.mark.reference
def test_the_usual_epochs_are_those_of_all_rows(school, monkeypatch):
    """Regression: with 80 times as many unlabelled rows, there were 3 times too many epochs."""
    counted = []

    def take(options, kind, num_rows):
        counted.append(num_rows)
        raise UserError("enough")

    monkeypatch.setattr(finetuning_flags, "take_usual_epochs", take)
    for changes in ({}, {"unlabelled_file": None}):
        with pytest.raises(UserError, match="enough"):
            run_here(school.student("counted", **changes))
    assert counted[0] - counted[1] == NUM_UNLABELLED and counted[1] > 0


@pytest.mark.parametrize(
    "name", ["teachers", "teacher_weights", "teacher_temperatures", "unlabelled_file"]
)
@pytest.mark.parametrize("given", ["", "a,,b"])
def test_empty_values_are_refused(name, given):
    options = absl_flags.FlagValues()
    teaching_flags.define_flags(options)
    options(["run_classifier.py", "--%s=%s" % (name, given)])
    with pytest.raises(UserError, match="^--%s=%s: contains an empty value" % (name, given)):
        teaching_flags.check_flags(options, registry.get("single_label"))


@pytest.mark.parametrize(
    "pattern, fits",
    [
        ("{out}/*.txt", True),
        ("{out}/best/*.txt", True),
        ("{out}/seed_*/*", True),
        ("{out}/../*/*.txt", True),
        ("{out}/../**/*.txt", True),
        ("{out}/texts/*.txt", False),  # a folder of the user
        ("{out}/../other/*.txt", False),
        ("{out}/mine.txt", False),
        ("{out}/a[1].txt", False),  # an existing file: a name
    ],
)
def test_a_pattern_that_fits_what_the_run_writes_is_refused(tmp_path, pattern, fits):
    """A second call would read the results of the first call as texts."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "a[1].txt").write_text("今天\t明天\n", encoding="utf-8")
    options = absl_flags.FlagValues()
    finetuning_flags.define_flags("single_label", options)
    given = "--unlabelled_file=" + pattern.format(out=out)
    options(["run_classifier.py", "--output_dir=%s" % out, "--teachers=a", "--do_train", given])
    if not fits:
        teaching_flags.check_flags(options, registry.get("single_label"))
        return
    with pytest.raises(UserError) as caught:
        teaching_flags.check_flags(options, registry.get("single_label"))
    expected = "%s also matches files that the run writes to --output_dir=%s: name the texts"
    assert str(caught.value).startswith(expected % (given, out))
    assert "\n" not in str(caught.value)


def test_runs_over_seeds_keep_their_teachers():
    """Regression: a run replaced the teacher by its student, from which the next run learned."""
    options = absl_flags.FlagValues()
    finetuning_flags.define_flags("single_label", options)
    folder = ["--output_dir=out", "--teachers=a,out/seed_2/best", "--seeds=1,2", "--do_train"]
    options(["run_classifier.py"] + folder)
    with pytest.raises(UserError, match="--teachers=out/seed_2/best: the student would replace it"):
        sweeps.run(options, lambda options: pytest.fail("a run has begun"))


def test_nothing_is_fitted_on_rows_that_a_teacher_may_have_learnt():
    known = types.SimpleNamespace(_teachers=[], _know_dev=[False, True])
    with pytest.raises(
        UserError, match="--teacher_weights=auto: a teacher may have been trained on the"
    ):
        teaching.Teaching._require_dev(known, "teacher_weights")
    known._know_dev = [False, False]
    teaching.Teaching._require_dev(known, "teacher_weights")


def test_exported_teachers_say_which_rows_were_dev(tmp_path):
    notes = {"dev_share": 0.1, "dev_seed": 5, "objective": "single_label"}
    (tmp_path / "fine_tuning.json").write_text(json.dumps(notes))
    (tmp_path / "model.tflite").write_bytes(b"\0" * 16)
    for path in (tmp_path, tmp_path / "model.tflite"):
        assert teachers._set_aside(str(path)) == {"dev_share": 0.1, "dev_seed": 5}
    (tmp_path / "fine_tuning.json").unlink()
    with zipfile.ZipFile(str(tmp_path / "model.tflite"), "a") as archive:  # its metadata
        archive.writestr("fine_tuning.json", json.dumps(notes))
    assert teachers._set_aside(str(tmp_path / "model.tflite")) == {"dev_share": 0.1, "dev_seed": 5}


def test_values_have_no_temperatures():
    options = absl_flags.FlagValues()
    finetuning_flags.define_flags("regression", options)
    options(["run_classifier.py", "--teachers=a", "--do_train", "--teacher_temperatures=2"])
    with pytest.raises(UserError, match="--teacher_temperatures: a task of the kind regression"):
        teaching_flags.check_flags(options, registry.get("regression"))


@pytest.mark.slow
def test_other_students_and_seeds_share_the_targets(school, capsys):
    cache = os.path.join(school.folder, "shared")
    with flags_of(school.student("first", teacher_cache=cache)):
        runner.run()
    capsys.readouterr()
    run_here(school.student("seeds", teacher_cache=cache, seeds="1,2", temperature=4))
    assert "targets computed" not in capsys.readouterr().out
    one, two = (
        checkpoint_values.read_weights(
            checkpoint_files.find_checkpoint(os.path.join(school.folder, "seeds", name, "best"))
        )
        for name in ("seed_1", "seed_2")
    )
    assert any(np.abs(one[name] - two[name]).max() > 0 for name in one)


@pytest.mark.slow
def test_pairs_without_labels_are_learnt_as_those_with_labels(school, tmp_path):
    """With --distill_weight=1 labels have no effect: the weights are bit-identical."""
    data = tmp_path / "texts"
    shutil.copytree(school.data, str(data))
    lines = (data / "train.txt").read_text(encoding="utf-8").splitlines()
    pairs = [line.rsplit("\t", 1)[0] for line in lines]
    (data / "train.txt").write_text("\n".join(pairs) + "\n", encoding="utf-8")
    given = {"distill_weight": 1, "unlabelled_file": None, "teachers": school.best[0]}
    run_here(school.student("labelled", **given))
    run_here(school.student("texts_alone", data_dir=str(data), **given))
    one, two = school.weights("labelled"), school.weights("texts_alone")
    for name, array in one.items():
        np.testing.assert_array_equal(array, two[name])


@pytest.mark.slow
def test_a_hugging_face_folder_teaches_as_the_model_it_was_made_of(school, tmp_path, capsys):
    folder = str(tmp_path / "pytorch")
    to_pytorch.convert(checkpoint_files.find_checkpoint(school.best[0]), folder)
    capsys.readouterr()
    run_here(school.student("hf", teachers="%s,%s" % (school.best[0], folder)))
    shown = capsys.readouterr().out
    scores = re.findall(r"teacher \d: dev accuracy (\S+),", shown)
    assert len(scores) == 2 and scores[0] == scores[1] and "converting" in shown


@pytest.mark.slow
def test_a_file_and_a_model_teach_together(school, capsys):
    rows = school.rows("train") + school.rows("dev")
    rows += [(b, a, label) for a, b, label in school.rows("train")]
    unique = {row[:2]: row[2] for row in rows}
    lines = [
        json.dumps(
            {
                "text_a": a,
                "text_b": b,
                "probabilities": {"0": 0.9, "1": 0.1} if label == "0" else {"0": 0.2, "1": 0.8},
            }
        )
        for (a, b), label in unique.items()
    ]
    path = school.write("svm.jsonl", "\n".join(lines) + "\n")
    settings = {"teachers": "%s,%s" % (path, school.best[0]), "teacher_weights": "1,3"}
    run_here(school.student("mixed", **settings, rdrop_alpha=1, class_weights="balanced"))
    shown = capsys.readouterr().out
    assert "fewer than 4 digits" in shown
    assert "teacher 1: dev accuracy 1.0000, weight 0.250, temperature 0.5" in shown


def test_pairs_without_labels_are_learnt_both_ways_too(school, capsys):
    """With --swap_pairs, a pair whose two texts are swapped counts as a duplicate."""
    pairs = [("今天吃饭", "今天去吃饭"), ("今天去吃饭", "今天吃饭"), ("手机没电", "手机坏了")]
    path = school.write("further.tsv", "".join("%s\t%s\n" % pair for pair in pairs))
    settings = {"unlabelled_file": path, "swap_pairs": True, "train_step": 1, "do_eval": False}
    run_here(school.student("both_ways", **settings))
    shown = capsys.readouterr().out
    assert "note: 1 row was skipped: repeated, or in train" in shown
    assert "training: %d rows" % (2 * (len(school.rows("train")) + 2)) in shown


@pytest.mark.parametrize(
    "flag",
    ["teacher_average=logits", "distill_weight=0.9", "temperature=2", "distill_loss=kl"],
)
def test_how_to_learn_without_teachers_is_refused(flag):
    options = absl_flags.FlagValues()
    teaching_flags.define_flags(options)
    options(["run_classifier.py", "--" + flag])
    message = "--%s requires --teachers: add it" % flag.split("=")[0]
    with pytest.raises(UserError, match=message):
        teaching_flags.check_flags(options, None)


@pytest.mark.parametrize(
    "teachers, kind, message",
    [
        ("a", "single_label", "there is only one teacher, so there is nothing to average"),
        (
            "a,b",
            "regression",
            "a task of the kind regression has values, which are averaged in one way only",
        ),
        ("a,b", "single_label", None),
    ],
)
def test_a_choice_of_averages_without_an_effect_is_refused(teachers, kind, message):
    options = absl_flags.FlagValues()
    teaching_flags.define_flags(options)
    for given in ([], ["--teacher_average=logits"]):
        options(["command", "--teachers=" + teachers, *given])
        if not (given and message):
            teaching_flags._check_average(options, registry.get(kind))
            continue
        with pytest.raises(UserError) as caught:
            teaching_flags._check_average(options, registry.get(kind))
        assert str(caught.value) == "--teacher_average: %s: leave it out" % message
