"""Chooses the initial weights of a pre-training run."""

import os
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional

from albert_zh.common.errors import UserError
from albert_zh.common.messages import say
from albert_zh.model import start_checks, structured_initialization
from albert_zh.model.checkpoints import (
    checkpoint_files,
    checkpoint_matching,
    checkpoint_values,
    expected_variables,
    packed_weights,
)
from albert_zh.pretraining import objective_flags
from albert_zh.training import flags as run_flags
from albert_zh.training import run_folder

if TYPE_CHECKING:
    import numpy as np

    from albert_zh.model.config import AlbertConfig

# End of messages about --init_checkpoint if the run already has a checkpoint.
_NEED_NOT_BE_NAMED = ", or leave --init_checkpoint out: the run then continues from its own weights"


class InitialWeights:
    """Random or structured weights, a checkpoint, or the last checkpoint of the output folder."""

    def __init__(
        self,
        options: Any,
        config: "AlbertConfig",
        count_pieces: Callable[[], "np.ndarray"],
        shapes_of_objective: Callable[[], Dict[str, List[int]]],
    ) -> None:
        """Stores the settings that determine the weights.

        Args:
            options: the flags.
            config: the model's config.
            count_pieces: function that counts the occurrences of each piece in the records, int
                [V], to which structured weights are fitted.
            shapes_of_objective: function that returns {name: shape} of the variables that only the
                objective has.
        """
        self._options = options
        self._folder = options.output_dir
        self._config = config
        self._count_pieces = count_pieces
        self._shapes_of_objective = shapes_of_objective

    def checkpoint(self) -> Optional[str]:
        """Returns the checkpoint to start from; None for random weights or a resumed run."""
        if not self._options.do_train or checkpoint_files.newest_of_training(self._folder):
            return None
        by_part = expected_variables.expected_shapes_by_part(
            self._config, parts=self._learnt_parts()
        )
        shapes = {
            name: shape for component in by_part.values() for name, shape in component.items()
        }
        if not self._options.init_checkpoint:
            if not self._options.warm_start:
                return None
            return structured_initialization.write_checkpoint(
                self._path("warm_start.ckpt"),
                self._config,
                shapes,
                self._count_pieces(),
                self._options.seed,
            )
        if self._options.warm_start:
            raise UserError("--warm_start and --init_checkpoint: give one of them")
        prefix = checkpoint_files.find_checkpoint(self._options.init_checkpoint)
        checkpoint_values.check_readable(prefix)
        folder = packed_weights.folder_of(prefix)
        shapes.update(self._shapes_of_objective())
        if self._options.init_from_group0:
            prefix = checkpoint_matching.with_group0_everywhere(
                prefix, shapes, self._path("group0.ckpt")
            )
        for line in start_checks.report(shapes, prefix, self._config, folder):
            say(line)
        return prefix

    def _learnt_parts(self):
        """Returns the parts of `expected_variables.MODEL_PARTS` that a run trains."""
        has_words = self._options.objective != "electra"
        has_order = objective_flags.has_sentence_task(self._options)
        heads = [("masked_lm", has_words), ("sentence_order", has_order)]
        return ["encoder"] + [name for name, is_learnt in heads if is_learnt]

    def _path(self, name):
        """Path of a file in the output folder; workers that share the folder use separate files."""
        return os.path.join(
            self._folder, ".".join(filter(None, [run_flags.helper_name(self._options), name]))
        )

    def settings(self) -> Dict[str, Any]:
        """Returns settings that identify the initial weights; optional for a resumed run."""
        goes_on = checkpoint_files.newest_of_training(self._folder)
        if not self._options.init_checkpoint:
            return {} if goes_on else {"init_checkpoint": "none"}
        digest = self._digest("" if not goes_on else _NEED_NOT_BE_NAMED)
        return {"init_checkpoint": digest, "init_from_group0": self._options.init_from_group0}

    def _digest(self, way_out):
        """Fingerprint of --init_checkpoint; checks that a resumed run began with the same one."""
        try:
            prefix = checkpoint_files.find_checkpoint(self._options.init_checkpoint)
        except UserError as error:
            raise UserError("%s%s" % (error, way_out)) from error
        digest = checkpoint_values.fingerprint(prefix)
        former = run_folder.former_settings(self._folder)["fixed"].get("init_checkpoint", digest)
        if former != digest:
            raise UserError(
                "%s contains a run that did not start from the weights of --init_checkpoint=%s: "
                "name another folder (--output_dir)%s" % (self._folder, prefix, way_out)
            )
        return digest
