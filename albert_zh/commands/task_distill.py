r"""Distils a fine-tuned teacher into a student on a task's data, in two phases as in TinyBERT.

    python task_distill.py --teacher_model=big_output --student_model=albert_starter_zh \
        --task_name=lcqmc --data_dir=my_pairs --output_dir=phase_1 --num_train_epochs=10
    python task_distill.py --pred_distill --teacher_model=big_output --student_model=phase_1 \
        --task_name=lcqmc --data_dir=my_pairs --output_dir=phase_2 --num_train_epochs=3

The first phase trains the encoder on the teacher's attention and hidden states and saves it in
OUTPUT_DIR/student. The second phase trains the classifier on the teacher's probabilities and saves
the best checkpoint on dev in OUTPUT_DIR/best. --both_phases runs both in sequence. The other flags
are those of run_classifier.py. --do_eval and --do_predict without a teacher evaluate the student:

    python task_distill.py --do_eval --student_model=phase_2 --task_name=lcqmc \
        --data_dir=my_pairs --output_dir=phase_2_on_dev
"""

import contextlib
import glob
import os

from absl import flags

from albert_zh.common import files, path_rules, storage, validation
from albert_zh.common.errors import UserError, naming, run_command
from albert_zh.common.messages import say
from albert_zh.finetuning import flags as finetuning_flags
from albert_zh.finetuning import runner as finetuning_runner
from albert_zh.finetuning import teaching_flags
from albert_zh.layer_distillation import flags as distillation_flags
from albert_zh.layer_distillation.teacher import folder_of_model
from albert_zh.model.checkpoints import (
    checkpoint_files,
    checkpoint_names,
    checkpoint_values,
    fine_tuning_notes,
    model_folder,
    model_writer,
)
from albert_zh.model.distillation_losses import TINYBERT
from albert_zh.tasks import datasets
from albert_zh.tasks.tables import split_files
from albert_zh.text import tokenization
from albert_zh.training import flag_checks, run_folder

__all__ = ["define_flags", "main", "run"]

FLAGS = flags.FLAGS
STUDENT_FOLDER = "student"
FIRST_PHASE_FOLDER = "intermediate"  # in the output folder, with --both_phases
_OF_SECOND_PHASE = (
    "rdrop_alpha fgm_epsilon freeze_encoder seeds search search_rates early_stopping best_metric "
    "gradient_accumulation_steps teachers teacher_weights teacher_temperatures teacher_average "
    "unlabelled_file teacher_cache distill_weight temperature distill_loss class_weights "
    "label_smoothing focal_gamma dev_share dev_seed dev_split"
).split()
_OF_CLASSIFIER = ("do_eval", "do_predict")  # the first phase has no classifier
_OF_FIRST_PHASE = ("losses", "layers", "tie_projections")
# {--compatible: {flag: its default in the second phase}}
_USUAL = {"distill_weight": 1.0, "temperature": 1.0}
_USUAL_OF_SECOND_PHASE = {False: _USUAL, True: dict(_USUAL, distill_loss=TINYBERT)}
_AUGMENTED_FOLDER = "augmented_data"


def define_flags() -> None:
    """Defines the command's flags."""
    finetuning_runner.define_flags()
    distillation_flags.define()
    for kind, name, default, help_text in (
        ("boolean", "pred_distill", False, "Second phase: learn the teacher's probabilities."),
        ("boolean", "both_phases", False, "Both phases, the first in OUTPUT_DIR/intermediate."),
        ("float", "intermediate_epochs", 10.0, "Epochs of the first phase of --both_phases."),
        ("boolean", "aug_train", False, "Train on the train_aug.* of data_augmentation.py."),
        ("string", "cache_dir", None, "Old name of --cached_dir."),
    ):
        getattr(flags, "DEFINE_" + kind)(name, default, help_text)
    path_rules.refuse_remote(FLAGS)


def run() -> None:
    """Runs distillation or evaluation as the flags ask."""
    measures = not FLAGS.teacher_model and (FLAGS.do_eval or FLAGS.do_predict)
    teacher = [] if measures else ["teacher_model"]
    distillation_flags.check(FLAGS, [*teacher, "student_model", "output_dir", "task_name"])
    distillation_flags.take_old_flags(FLAGS, {"cache_dir": "cached_dir"})
    if measures:
        _measure_student()
    else:
        _distil()


def _measure_student():
    """Evaluates and predicts with a student of both phases, like TinyBERT's --do_eval."""
    phases = ("do_train", "pred_distill", "both_phases", "aug_train", "intermediate_epochs")
    given = [name for name in (*phases, *_OF_FIRST_PHASE) if _is_given(FLAGS[name])]
    if given:
        raise UserError(
            "--%s is for training: add --teacher_model, or leave out --%s to evaluate "
            "--student_model" % (given[0], given[0])
        )
    _check_has_classifier(
        "student_model",
        "to evaluate a student, give the second phase's --output_dir; to train one, give "
        "--teacher_model",
    )
    _take_student(FLAGS.student_model)
    finetuning_runner.run()


def _distil():
    """Runs the phases that the flags ask for."""
    distillation_flags.take_case_of_teacher(FLAGS)
    _check_phases()
    if FLAGS.compatible and (FLAGS.pred_distill or FLAGS.both_phases):
        _check_kind_of_original()
    _check_has_classifier(
        "teacher_model",
        "the student learns its probabilities: fine-tune it on the task first (run_classifier.py)",
    )
    _take_student(FLAGS.student_model)
    if FLAGS.aug_train:
        distillation_flags.take(FLAGS, "data_dir", _augmented_data())
    if FLAGS.pred_distill:
        _learn_predictions()
    elif FLAGS.both_phases:
        _both_phases()
    else:
        _learn_layers()


def _check_phases():
    """Raises `UserError` for conflicting phases, or a flag without a use in the phases that run."""
    if FLAGS.ngram_rows:
        raise UserError(
            "--ngram_rows: a table of n-grams learns from labels only, and a student learns from "
            "its teacher: leave it out"
        )
    if FLAGS.both_phases:
        if FLAGS.pred_distill:
            raise UserError("--pred_distill and --both_phases: give one of them")
        flag_checks.require_positive(FLAGS, ["intermediate_epochs"])
        return
    if FLAGS["intermediate_epochs"].present:
        raise UserError(
            "--intermediate_epochs is only for --both_phases: give --num_train_epochs for a "
            "single phase"
        )
    if FLAGS.pred_distill:
        names, phase, way_out = _OF_FIRST_PHASE, "first", "leave it out, or give --both_phases"
    else:
        names, phase = (*_OF_SECOND_PHASE, *_OF_CLASSIFIER), "second"
        way_out = "give it with --pred_distill or --both_phases"
    given = [name for name in names if _is_given(FLAGS[name])]
    if given:
        raise UserError("--%s is only for the %s phase: %s" % (given[0], phase, way_out))


def _is_given(flag):
    """Whether a flag is set to something."""
    needs_teachers = flag.name in teaching_flags.NEED_TEACHERS_IF_GIVEN
    return flag.value != flag.default or bool(flag.present and needs_teachers)


def _both_phases():
    output = FLAGS.output_dir
    _warn_of_no_dev()
    length = _length_of_first_phase()
    _check_first_phase(output, length)
    if not os.path.exists(os.path.join(output, FIRST_PHASE_FOLDER, STUDENT_FOLDER)):
        _check_second_phase()
    FLAGS.output_dir = os.path.join(output, FIRST_PHASE_FOLDER)
    with _without_flags([*_OF_SECOND_PHASE, *length]):
        for name, value in length.items():
            distillation_flags.take(FLAGS, name, value)
        _learn_layers()
    distillation_flags.take(
        FLAGS, "init_checkpoint", os.path.join(FLAGS.output_dir, STUDENT_FOLDER)
    )
    FLAGS.output_dir = output
    _learn_predictions()


def _check_second_phase():
    """Runs the second phase's checks before the first phase, which may take hours."""
    say("before the first phase: checking the data and teachers of the second one")
    usual = _USUAL_OF_SECOND_PHASE[FLAGS.compatible]
    names = ["do_train", "do_eval", "teacher_cache", "teachers", *usual]
    given = {name: (FLAGS[name].value, FLAGS[name].present) for name in names}
    _take_flags_of_second_phase()
    finetuning_runner.check()
    for name, (value, present) in given.items():
        FLAGS[name].value, FLAGS[name].present = value, present


def _warn_of_no_dev():
    """Warns if the first phase reads the texts that the second phase holds out as dev."""
    task = datasets.get_task(FLAGS.task_name)
    if FLAGS.data_dir and not split_files.split_path(task, FLAGS.data_dir, "dev")[0]:
        say(
            "warning: %s has no dev file: the first phase reads all texts of train, including "
            "those that the second sets aside as dev, whose scores may be too high: add a dev file",
            FLAGS.data_dir,
        )


def _length_of_first_phase():
    """{flag: value}; --train_step limits both phases unless --intermediate_epochs is set."""
    steps = None if FLAGS["intermediate_epochs"].present else FLAGS.train_step
    return {"num_train_epochs": FLAGS.intermediate_epochs, "train_step": steps}


def _check_first_phase(output, length):
    """Raises `UserError` if the second phase continues a first phase of another length."""
    folder = os.path.join(output, FIRST_PHASE_FOLDER)
    former = run_folder.former_settings(folder)["variable"]
    of_second = [output] + glob.glob(os.path.join(glob.escape(output), "*_*"))  # --seeds, too
    if not any(run_folder.former_settings(path)["fixed"] for path in of_second):
        return
    for name, flag in (("num_train_epochs", "intermediate_epochs"), ("train_step", "train_step")):
        if former.get(name, length[name]) != length[name]:
            raise UserError(
                "--%s=%s: %s contains a second phase that was started after a first one with %s: "
                "give that, or another --output_dir" % (flag, length[name], output, former[name])
            )


@contextlib.contextmanager
def _without_flags(names):
    """Context manager in which these flags are as if they had not been set."""
    given = {name: (FLAGS[name].value, FLAGS[name].present) for name in names}
    for name in names:
        FLAGS[name].value, FLAGS[name].present = FLAGS[name].default, 0
    try:
        yield
    finally:
        for name, (value, present) in given.items():
            FLAGS[name].value, FLAGS[name].present = value, present


def _take_student(path):
    """Takes config, vocabulary and weights from --student_model unless other flags name them."""
    with naming("--student_model"):
        prefix = checkpoint_files.find_checkpoint(folder_of_model(path))
    names = {
        "bert_config_file": lambda: model_folder.config_in_folder(os.path.dirname(prefix)),
        "vocab_file": lambda: tokenization.vocabulary_in_folder(os.path.dirname(prefix)),
        "init_checkpoint": lambda: prefix,
    }
    for name, found in names.items():
        if not FLAGS[name].value:
            distillation_flags.take(FLAGS, name, found())


def _check_has_classifier(flag, way_out):
    """Raises `UserError` if the model that a flag names was not fine-tuned."""
    with naming("--" + flag):
        prefix = checkpoint_files.find_checkpoint(folder_of_model(FLAGS[flag].value))
    shapes = checkpoint_names.with_canonical_names(checkpoint_values.read_shapes(prefix))
    if "output_weights" not in shapes:
        raise UserError("--%s=%s has no classifier: %s" % (flag, FLAGS[flag].value, way_out))


def _check_kind_of_original():
    """Raises `UserError` for a kind of task whose predictions TinyBERT cannot distil."""
    kind = finetuning_flags.kind_of(FLAGS, finetuning_flags.CLASSIFICATION)
    if not FLAGS["distill_loss"].present and TINYBERT not in kind.distillation.loss_names:
        raise UserError(
            "--compatible: TinyBERT's second phase has no loss for a task of the kind %s: leave it "
            "out, or name another loss by --distill_loss" % kind.name
        )


def _learn_layers():
    """Runs the first phase: attention and hidden states."""
    FLAGS.do_train = True
    wanted = FLAGS.do_eval, FLAGS.do_predict
    FLAGS.do_eval = FLAGS.do_predict = False  # there is no classifier yet
    finetuning_runner.run(
        make_distiller=lambda config, vocab_file: distillation_flags.make_distiller(
            FLAGS, config, vocab_file
        )
    )
    FLAGS.do_eval, FLAGS.do_predict = wanted
    _write_student()


def _write_student():
    """Makes OUTPUT_DIR/student a model folder with the newest checkpoint."""
    folder = os.path.join(FLAGS.output_dir, STUDENT_FOLDER)
    newest = checkpoint_files.newest_of_training(FLAGS.output_dir)
    name = tokenization.name_in_folder(FLAGS.vocab_file)
    contents = {
        model_folder.config_name(FLAGS.bert_config_file): files.read_bytes(FLAGS.bert_config_file),
        name: files.read_bytes(FLAGS.vocab_file),
    }
    case = fine_tuning_notes.notes_on_case(FLAGS.do_lower_case)
    model_writer.replace_model_folder(folder, newest, contents, case)
    say("student           %s (from %s)", folder, newest)


def _learn_predictions():
    """Runs the second phase: the teacher's probabilities."""
    _take_flags_of_second_phase()
    finetuning_runner.run()


def _take_flags_of_second_phase():
    FLAGS.do_train = FLAGS.do_eval = True
    if not FLAGS.teachers:
        distillation_flags.take(FLAGS, "teachers", [_folder_of_teacher()])
    for name, value in _USUAL_OF_SECOND_PHASE[FLAGS.compatible].items():
        if not FLAGS[name].present:
            distillation_flags.take(FLAGS, name, value)


def _folder_of_teacher():
    """The folder of --teacher_model, which may be a checkpoint prefix in that folder."""
    path = folder_of_model(FLAGS.teacher_model)
    if os.path.isdir(path):
        return path
    prefix = checkpoint_files.find_checkpoint(path)
    folder = os.path.dirname(prefix) or os.curdir
    others = checkpoint_files.find_checkpoint(folder)
    if others != prefix:
        raise UserError(
            "--teacher_model=%s: its folder has another checkpoint, which would be used, %s: copy "
            "the teacher's files to a separate folder" % (FLAGS.teacher_model, others)
        )
    return folder


def _augmented_data():
    """A folder like --data_dir whose training file is the output of data_augmentation.py."""
    flag_checks.require_flags(FLAGS, ["data_dir"])
    data = os.path.abspath(FLAGS.data_dir)
    train, _ = split_files.existing_path(datasets.get_task(FLAGS.task_name), data, "train")
    augmented = os.path.join(data, split_files.AUGMENTED + os.path.splitext(train)[1])
    if not os.path.isfile(augmented):
        raise UserError(
            "--aug_train: %s: no such file: run data_augmentation.py with the same --task_name and "
            "--data_dir" % augmented
        )
    _check_augmented(data, train, augmented)
    paths = {name: os.path.join(data, name) for name in os.listdir(data)}
    targets = {name: path for name, path in paths.items() if os.path.isfile(path)}
    targets[os.path.basename(train)] = augmented
    folder = os.path.join(FLAGS.output_dir, _AUGMENTED_FOLDER)
    path_rules.output_folder(folder)
    os.makedirs(folder, exist_ok=True)
    _make_links(folder, targets)
    return folder


def _check_augmented(data, train, augmented):
    """Raises `UserError` if the rows belong to another file, or if dev would contain copies."""
    made_of = os.path.splitext(augmented)[0] + split_files.MADE_OF
    former = _made_of(made_of) if os.path.isfile(made_of) else None
    if former and former["sha256"] != storage.sha256_of_file(train):
        raise UserError(
            "--aug_train: %s was created before %s was changed: run data_augmentation.py again"
            % (augmented, train)
        )
    if former and former.get("columns", {}) != finetuning_flags.chosen_columns(FLAGS):
        raise UserError(
            "--aug_train: %s was created from other columns: run data_augmentation.py with the "
            "same --text_column, --text_b_column and --label_column" % augmented
        )
    has_dev = split_files.split_path(datasets.get_task(FLAGS.task_name), data, "dev")[0]
    if not has_dev and (FLAGS.pred_distill or FLAGS.both_phases):
        raise UserError(
            "--aug_train: %s has no dev file, and rows of train that are set aside as one would be "
            "copies of others: add a dev file, and run data_augmentation.py again" % data
        )


def _made_of(path):
    """The notes of data_augmentation.py on the training file."""
    kind = validation.record(
        {"sha256": validation.TEXT, "columns": validation.record(others=validation.TEXT)},
        ["sha256"],
    )
    return files.read_json(path, kind, "run data_augmentation.py again")


def _make_links(folder, targets):
    """Makes a folder's links equal to {name: path}."""
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        is_link = os.path.islink(path)
        if os.readlink(path) != targets.get(name) if is_link else name in targets:
            os.remove(path)  # also a copy of the file in place of a link
    for name, target in targets.items():
        path = os.path.join(folder, name)
        if not os.path.islink(path):
            os.symlink(target, path)


def main() -> None:
    """Runs the command line."""
    define_flags()
    run_command(run, description=__doc__)
