"""Finds out whether a pre-training run lower-cases its text, to be noted in the model folder."""

import os
from typing import Sequence

from absl import flags

from albert_zh.corpus import record_counts
from albert_zh.model.checkpoints import checkpoint_files, fine_tuning_notes
from albert_zh.training import run_folder


def is_lowered(options: flags.FlagValues, record_files: Sequence[str] = ()) -> bool:
    """Whether the text of a run is lower-cased.

    Args:
        options: the flags. For a command without --do_lower_case the setting is taken from the
            resumed run, from the index of the records, or from the folder of --init_checkpoint.
        record_files: paths of the run's records, of which only the first is checked.
    """
    if "do_lower_case" in options:
        return options.do_lower_case
    former = run_folder.former_settings(options.output_dir)["fixed"]
    if "do_lower_case" not in former and any(map(record_counts.keeps_case, record_files[:1])):
        return False
    if "do_lower_case" in former or not (options.do_train and options.init_checkpoint):
        return former.get("do_lower_case", True)
    folder = os.path.dirname(checkpoint_files.find_checkpoint(options.init_checkpoint))
    return fine_tuning_notes.notes_of_folder(folder).get("do_lower_case", True)
