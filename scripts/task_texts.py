"""Writes the texts of a task's training file, without labels, for continued pre-training.

    python scripts/task_texts.py --data_dir=my_pairs --output_file=texts.txt
    CORPUS=texts.txt EXCLUDE=my_pairs/dev.txt,my_pairs/test.txt OUT=my_model \\
        INIT_CHECKPOINT=albert_starter_zh bash scripts/train_starter.sh

Each row becomes a document, and each of its texts a line; duplicate texts or pairs are written
once. The file is read in the same way as by the fine-tuning commands: it is the training file of
--task_name, or for your own data train.txt, .tsv, .csv, .json or .jsonl, with or without a header.
"""

import os
import sys
from typing import Any, Iterable, List, Tuple

from absl import flags

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from albert_zh.common import files, output_files
from albert_zh.common.errors import UserError, run_command
from albert_zh.tasks import datasets, registry

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Defines this command's flags."""
    flags.DEFINE_string("data_dir", None, "Folder with the task's files, or a file of your data.")
    flags.DEFINE_string("task_name", datasets.OWN_DATA, "Task, for the file names and columns.")
    flags.DEFINE_string("output_file", None, "Output: one document per row, blank lines between.")
    flags.DEFINE_string("encoding", "utf-8", "Encoding of the file, such as gb18030 (GBK).")
    flags.DEFINE_boolean("skip_bad_rows", False, "Whether to skip invalid rows.")


def main() -> None:
    """Reads the training file and writes its texts."""
    for name in ("data_dir", "output_file"):
        if not FLAGS[name].value:
            raise UserError("--%s is required" % name)
    task = datasets.get_task(FLAGS.task_name)
    if task is datasets.TASKS["sentences"]:
        raise UserError(
            "--task_name=sentences: its files have several forms: for pairs, --task_name=%s and "
            "columns named text_a, text_b, label" % datasets.OWN_DATA
        )
    split = _read_train(task)
    if files.is_same_path(split.path, FLAGS.output_file):
        raise UserError("--output_file: %s would be overwritten: name another" % split.path)
    for note in split.notes:
        print("note: %s: %s" % (split.path, note), file=sys.stderr)
    documents = documents_of(split.examples)
    with output_files.atomic_write(FLAGS.output_file) as stream:
        stream.write("".join("\n".join(document) + "\n\n" for document in documents))
    print("%s: %d documents of %d rows" % (split.path, len(documents), len(split.examples)))
    if all(len(document) == 1 for document in documents):
        print("next: SPLIT_SENTENCES=true if the texts are paragraphs, else ONE_SEGMENT=true")


def _read_train(task):
    """Reads the training rows, from --data_dir itself if it is a file."""
    folder = FLAGS.data_dir
    if os.path.isfile(folder) and task is datasets.TASKS[datasets.OWN_DATA]:
        folder, name = os.path.split(folder)
        task = task._replace(files={"train": name})
    settings = (folder or os.curdir, "train", FLAGS.encoding, FLAGS.skip_bad_rows)
    return registry.type_of(task).read_split(task, *settings)


def documents_of(examples: Iterable[Any]) -> List[Tuple[str, ...]]:
    """Lists the distinct documents of rows, in their order.

    Args:
        examples: examples of a split, with `text_a` and `text_b`.

    Returns:
        list of documents, each with one or two lines.
    """
    documents = {}
    for example in examples:
        texts = (" ".join((text or "").split()) for text in (example.text_a, example.text_b))
        documents[tuple(text for text in texts if text)] = None
    documents.pop((), None)
    return list(documents)


if __name__ == "__main__":
    define_flags()
    run_command(main, description=__doc__)
