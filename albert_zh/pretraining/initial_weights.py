"""The weights that a pre-training run begins with."""

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

# Ends the messages about --init_checkpoint where the run has a checkpoint already.
_NEED_NOT_BE_NAMED = ", or leave --init_checkpoint out: the run goes on from its own weights"


class InitialWeights:
    """Random weights, structured ones, those of a checkpoint, or the output folder's own."""

    def __init__(
        self,
        options: Any,
        config: "AlbertConfig",
        count_pieces: Callable[[], "np.ndarray"],
        shapes_of_objective: Callable[[], Dict[str, List[int]]],
    ) -> None:
        """Sets up what decides about the weights.

        Args:
            options: the flags.
            config: the model's.
            count_pieces: function that counts the pieces of the records, int [V], which structured
                weights fit.
            shapes_of_objective: function that returns {name: shape} of the variables that only the
                objective has.
        """
        self._options = options
        self._folder = options.output_dir
        self._config = config
        self._count_pieces = count_pieces
        self._shapes_of_objective = shapes_of_objective

    def checkpoint(self) -> Optional[str]:
        """The checkpoint that the weights start from; None for random ones, or the folder's own."""
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
        """The parts of the model that a run learns, of `expected_variables.MODEL_PARTS`."""
        has_words = self._options.objective != "electra"
        has_order = objective_flags.has_sentence_task(self._options)
        heads = [("masked_lm", has_words), ("sentence_order", has_order)]
        return ["encoder"] + [name for name, is_learnt in heads if is_learnt]

    def _path(self, name):
        """Workers that share the folder write separate files."""
        return os.path.join(
            self._folder, ".".join(filter(None, [run_flags.helper_name(self._options), name]))
        )

    def settings(self) -> Dict[str, Any]:
        """Settings that identify the first weights; a run that continues need not name them."""
        goes_on = checkpoint_files.newest_of_training(self._folder)
        if not self._options.init_checkpoint:
            return {} if goes_on else {"init_checkpoint": "none"}
        digest = self._digest("" if not goes_on else _NEED_NOT_BE_NAMED)
        return {"init_checkpoint": digest, "init_from_group0": self._options.init_from_group0}

    def _digest(self, way_out):
        """Fingerprint of --init_checkpoint, checked against the one that the run began with."""
        try:
            prefix = checkpoint_files.find_checkpoint(self._options.init_checkpoint)
        except UserError as error:
            raise UserError("%s%s" % (error, way_out)) from error
        digest = checkpoint_values.fingerprint(prefix)
        former = run_folder.former_settings(self._folder)["fixed"].get("init_checkpoint", digest)
        if former != digest:
            raise UserError(
                "%s holds a run that did not begin with the weights of --init_checkpoint=%s: name "
                "another folder (--output_dir)%s" % (self._folder, prefix, way_out)
            )
        return digest
