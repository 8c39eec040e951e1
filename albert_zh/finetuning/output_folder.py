"""The output folder of a fine-tuning run: checkpoints, the best model, and their notes."""

import os
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional

from albert_zh.common import output_files, path_rules, storage
from albert_zh.common.errors import UserError
from albert_zh.model.checkpoints import (
    checkpoint_files,
    checkpoint_names,
    checkpoint_values,
    fine_tuning_notes,
    label_map,
    whole_folders,
)
from albert_zh.tasks import datasets, registry
from albert_zh.training import flags as run_flags
from albert_zh.training import run_folder

if TYPE_CHECKING:
    from albert_zh.tasks.task_forms import Task

BEST_FOLDER = "best"
EVAL_RESULTS = "eval_results_albert_zh.txt"


class OutputFolder:
    """The folder of `--output_dir`.

    Attributes:
        path, best: path of the folder, and of the best model's folder in it.
    """

    def __init__(self, options: Any, write_model: Callable[..., None]) -> None:
        """Creates the folder, and restores `best` if a kill interrupted its replacement.

        Args:
            options: the flags.
            write_model: function like `model_writer.replace_model_folder`.

        Raises:
            UserError: if the folder cannot be written to, or another run is using it.
        """
        self._options, self._write_model = options, write_model
        self.path = options.output_dir
        run_folder.open_output_folder(self.path, run_flags.helper_name(options))
        self.best = os.path.join(self.path, BEST_FOLDER)
        whole_folders.restore_model_folder(self.best)
        if options.do_train:
            path_rules.check_not_replaced(self.best)

    def newest_step(self) -> int:
        """The step of the newest training checkpoint; 0 if there is none."""
        newest = checkpoint_files.newest_of_training(self.path)
        return 0 if newest is None else checkpoint_files.checkpoint_step(newest)

    def checkpoints(self) -> List[str]:
        """Prefixes of the training checkpoints, sorted by step."""
        return checkpoint_files.checkpoints_of_training(self.path)

    def checkpoint(self, step: int) -> str:
        """Prefix of the checkpoint of a step."""
        return os.path.join(self.path, "model.ckpt-%d" % step)

    def uses_best(self) -> bool:
        """Whether the best model exists and is used for prediction."""
        return self._options.keep_best and storage.is_folder(self.best)

    def notes_of_best(self) -> Dict[str, Any]:
        """The notes of the best checkpoint; {} if there is none."""
        return label_map.notes_of_model([self.best])[1]

    def keep_best(
        self, prefix: str, model_files: Dict[str, bytes], task: "Task", notes: Dict[str, Any]
    ) -> None:
        """Writes a checkpoint as a model folder to `best`.

        Args:
            prefix: prefix of the checkpoint.
            model_files: {name: bytes} of config and vocabulary.
            task: the task, with its labels.
            notes: content of fine_tuning.json.
        """
        json_files = {
            label_map.LABEL_MAP: label_map.numbers_of(task.labels),
            fine_tuning_notes.FINE_TUNING_FILE: notes,
        }
        json_files.update(registry.type_of(task).flags.json_files(notes.get("head", {})))
        self._write_model(self.best, prefix, model_files, json_files=json_files)

    def write_notes(
        self, task: "Task", notes: Dict[str, Any], further_files: Dict[str, bytes]
    ) -> None:
        """Writes the notes that are needed to use the checkpoints, next to them.

        Args:
            task: the task, with its labels.
            notes: content of fine_tuning.json.
            further_files: {name: bytes} of other files.
        """
        for name, content in further_files.items():
            with output_files.atomic_write(os.path.join(self.path, name), "wb") as handle:
                handle.write(content)
        output_files.write_json(
            os.path.join(self.path, label_map.LABEL_MAP), label_map.numbers_of(task.labels)
        )
        output_files.write_json(os.path.join(self.path, fine_tuning_notes.FINE_TUNING_FILE), notes)
        for name, content in registry.type_of(task).flags.json_files(notes.get("head", {})).items():
            output_files.write_json(os.path.join(self.path, name), content)

    def folders_of_model(self, init_checkpoint: Optional[str]) -> List[str]:
        """Folders that may hold the `fine_tuning.json` of a model that is used without training.

        Args:
            init_checkpoint: prefix of `--init_checkpoint`.
        """
        if self.checkpoints():
            return [self.path, self.best]
        if self.uses_best():
            return [self.best]
        if self._options.do_train or not init_checkpoint:
            return []
        return [os.path.dirname(init_checkpoint)]

    def check_is_no_folder_of_runs(self, init_checkpoint: Optional[str]) -> None:
        """Raises `UserError` if the models are not here but in folders of --seeds or --search."""
        has_model = self.checkpoints() or self.uses_best()
        if self._options.do_train or has_model or _is_fine_tuned(init_checkpoint):
            return
        runs = folders_of_runs(self.path)
        if runs:
            raise UserError(
                "--output_dir=%s contains no model itself: the models of --seeds and --search are "
                "in %s: name one of them with --output_dir" % (self.path, ", ".join(runs))
            )

    def check_best_is_of_this_run(self) -> None:
        """Raises `UserError` if a new model would be trained but an older one used to predict."""
        options = self._options
        if options.do_train and not options.do_eval and not self.newest_step() and self.uses_best():
            raise UserError(
                "%s is the best checkpoint of an earlier training, whose other checkpoints are "
                "gone; it would be mistaken for a result of this training: remove it, name another "
                "--output_dir, or add --do_eval=true" % self.best
            )


def check_is_no_split(options: Any) -> None:
    """Raises `UserError` if the output folder would be read as a part of the data set.

    Some tasks read folders, such as `test` with `sentences.txt`.

    Args:
        options: the flags.
    """
    if not options.data_dir:
        return
    output = storage.normalized(options.output_dir)
    for split, names in datasets.get_task(options.task_name).files.items():
        for name in [names] if isinstance(names, str) else names:
            path = storage.joined(options.data_dir, name)
            if storage.normalized(path) == output:
                raise UserError(
                    "--output_dir=%s: the task %s reads %s in --data_dir=%s as its %s file: name "
                    "another folder"
                    % (options.output_dir, options.task_name, name, options.data_dir, split)
                )


def _is_fine_tuned(prefix):
    """Whether a checkpoint (or None) has the head of a task."""
    if prefix is None:
        return False
    names = checkpoint_names.with_canonical_names(checkpoint_values.read_shapes(prefix))
    return checkpoint_names.TASK_HEAD in checkpoint_names.heads_of(names)


def folders_of_runs(folder: str) -> List[str]:
    """Paths of the runs of `--seeds` and `--search` in a folder that have a model."""
    folders = [
        path for pattern in ("rate_*", "seed_*") for path in storage.in_folder(folder, pattern)
    ]
    return [
        path
        for path in folders
        if storage.is_folder(os.path.join(path, "best"))
        or checkpoint_files.checkpoints_of_training(path)
    ]
