r"""Writes the averaged predictions of teachers for texts, as targets for any training program.

    python create_teacher_targets.py --teachers=seed_1/best,seed_2/best \
        --input_file='texts/*.txt' --output_file=targets.tsv

The target labels are the labels of the first teacher that is a model; all teachers must have the
same labels. If all teachers are files of predictions by other programs, --labels lists them.
Classes, labels and values are written as a table text_a, text_b, P(LABEL) ..., which --teachers of
the training commands reads; for other kinds of tasks, JSON lines with the arrays of each row of
word pieces are written, as the first teacher splits the text. Teacher outputs are cached, so that
an interrupted command resumes. See docs/distillation.md.
"""

import json
import os

from absl import flags
import numpy as np

from albert_zh.common import output_files, path_rules, storage
from albert_zh.common.errors import UserError, printable, run_command
from albert_zh.common.progress import progress_bar
from albert_zh.distillation import mixtures, soft_targets, teachers, unlabelled
from albert_zh.inference.predictor import Predictor
from albert_zh.tasks import kind_interface, registry, task_forms
from albert_zh.tasks import settings as task_settings
from albert_zh.tasks.tables import rows
from albert_zh.tasks.tables.separators import one_line

__all__ = ["define_flags", "main", "run"]

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Defines the command's flags."""
    flags.DEFINE_list("teachers", None, "Teachers, as in run_classifier.py.")
    flags.DEFINE_list(
        "labels", None, "The labels, in order, for a classification whose teachers are all files."
    )
    flags.DEFINE_list(
        "teacher_weights", None, "Weights of the teachers in the average; default: equal."
    )
    flags.DEFINE_list(
        "teacher_temperatures", None, "Temperatures that divide each teacher's logits; default: 1."
    )
    flags.DEFINE_list("input_file", None, "Files (or patterns) of texts, in a test file's form.")
    flags.DEFINE_string("output_file", None, "The file to write.")
    flags.DEFINE_string("encoding", "utf-8", "Encoding of the input.")
    flags.DEFINE_string(
        "teacher_cache", None, "Folder for the teachers' outputs; default: next to the output file."
    )


def run() -> None:
    """Writes the targets."""
    for name in ("teachers", "input_file", "output_file"):
        if not FLAGS[name].value:
            raise UserError("--%s is missing" % name)
    weights, temperatures = _given_numbers()
    folder = FLAGS.teacher_cache or os.path.join(
        os.path.dirname(FLAGS.output_file), "teacher_targets"
    )
    path_rules.output_file(FLAGS.output_file)
    _check_output_is_no_input()
    student = _student(folder)
    is_json = os.path.splitext(FLAGS.output_file)[1] in (".json", ".jsonl")
    if is_json and student.kind.distillation.takes_tables:
        raise UserError(
            "--output_file=%s: the targets are a table, but a file of this name is read as JSON: "
            "expected a name that ends in .tsv" % FLAGS.output_file
        )
    opened = [teachers.open_teacher(path, student, folder) for path in FLAGS.teachers]
    read = _read_texts(student, opened)
    for teacher, weight in zip(opened, weights):
        if weight:
            teacher.prepare(read.examples)
    mixture = mixtures.Mixture(opened, weights, temperatures)
    lines = _lines(student, mixture, read.examples)
    with output_files.atomic_write(FLAGS.output_file) as stream:
        stream.writelines(line + "\n" for line in lines)
    counts = len(read.examples), len(opened)
    print(printable("%d targets of %d teachers: %s" % (*counts, FLAGS.output_file)))


def _check_output_is_no_input():
    """Raises `UserError` for a pattern of texts that matches the file to write."""
    for pattern in FLAGS.input_file:
        if unlabelled.is_pattern(pattern) and unlabelled.fits(pattern, FLAGS.output_file):
            raise UserError(
                "--input_file=%s also matches --output_file=%s, whose targets would be read as "
                "texts: choose another path for them" % (pattern, FLAGS.output_file)
            )


def _given_numbers():
    """(weights, temperatures) of the teachers, from the flags."""
    num_teachers = len(FLAGS.teachers)
    weights = mixtures.checked_weights(FLAGS.teacher_weights, num_teachers)
    temperatures = mixtures.checked_temperatures(FLAGS.teacher_temperatures or ["1"], num_teachers)
    for name, numbers in (("teacher_weights", weights), ("teacher_temperatures", temperatures)):
        if numbers is None:
            raise UserError("--%s=auto needs labelled rows: give numbers" % name)
    return weights, temperatures


def _student(folder):
    """The student to write targets for: from the first model, or from the labels of --labels."""
    path = next((path for path in FLAGS.teachers if teachers.is_model(path)), None)
    if path is None:
        return _student_of_labels()
    if FLAGS.labels is not None:
        raise UserError(
            "--labels is only for teachers that are files, the model --teachers=%s has its own "
            "labels" % path
        )
    with Predictor(teachers.model_of(path, folder)) as model:
        if model.kind.distillation is None:
            raise UserError(
                "--teachers=%s: a model of the kind %s cannot compute targets"
                % (path, model.kind.name)
            )
        settings = task_settings.of_notes(model.notes)
        return teachers.Student(model.kind, model.use, settings, False)


def _student_of_labels():
    """A classifier without a model, for teachers that are all files."""
    labels = FLAGS.labels or []
    if len(labels) < 2 or not all(labels) or len(set(labels)) < len(labels):
        raise UserError(
            "--labels=%s: all --teachers are files: expected the labels in the order of the "
            "targets, such as --labels=a,b,c, or a model among the teachers" % ",".join(labels)
        )
    task = task_forms.Task({}, task_forms.PAIR, tuple(labels))
    use = kind_interface.ModelInUse(task, {}, None, 0)
    return teachers.Student(registry.get(task.objective), use, task_settings.Settings(), False)


def _read_texts(student, opened):
    """Reads texts and prints what was found; without a model, the files show if they are pairs."""
    task = student.use.task
    is_known = not FLAGS.labels and "columns" in student.use.notes
    if student.kind.is_classification and not is_known and not _are_pairs(task, opened):
        task = task._replace(columns=("text_a", "label"))
    read = unlabelled.read_unlabelled(
        FLAGS.input_file, student.kind, task, FLAGS.encoding, (), (), "input_file"
    )
    for line in read.lines:
        print(printable(line))
    return read


def _are_pairs(task, opened):
    """Whether texts are pairs: from the teachers' texts, or else --input_file's columns."""
    found = [teacher for teacher in opened if isinstance(teacher, teachers.TeacherFile)]
    with_texts = [teacher for teacher in found if teacher.has_texts]
    if with_texts:
        return any(teacher.has_pairs for teacher in with_texts)
    path = next(iter(storage.matching(FLAGS.input_file[0])), FLAGS.input_file[0])
    if not storage.is_file(path):  # its reader reports that
        return True
    cells = next((row.cells for row in rows.Table(path, FLAGS.encoding) if not row.problem), [])
    if isinstance(cells, dict):
        return not {"text_b", "sentence2"}.isdisjoint(cells)
    return len(cells) > 1 and cells[1].strip() not in ("label", *task.labels)


def _lines(student, mixture, examples):
    """Yields the lines of the output file."""
    task, distillation = student.use.task, student.kind.distillation
    if distillation.takes_tables:
        names = ["P(%s)" % label for label in task.labels]
        has_classes = student.kind.rules.has_classes
        yield "\t".join(["text_a", "text_b"] + (names if has_classes else ["prediction"]))
    for example in progress_bar("targets", len(examples), "row", iterable=examples, leave=False):
        targets = soft_targets.averaged_rows(student, mixture, example, student.settings)
        if not distillation.takes_tables:
            content = {"text_a": example.text_a, "text_b": example.text_b}
            granularity = getattr(example, "granularity", None)
            content.update({"granularity": granularity} if granularity else {})
            content["rows"] = [
                {n: np.round(a, 6).tolist() for n, a in row.items()} for row in targets
            ]
            yield json.dumps(content, ensure_ascii=False)
            continue
        logits = distillation.outputs_of(targets[0], {}, task)["logits"]
        numbers = student.kind.rules.probabilities(np.array([logits], np.float64))[0]
        cells = [one_line(example.text_a), one_line(example.text_b or "")]
        yield "\t".join(cells + ["%.8g" % number for number in numbers])


def main() -> None:
    """Runs the command line."""
    define_flags()
    run_command(run, description=__doc__)
