"""The data types that are passed between kinds of tasks and the stages that use them.

`Column` describes a target in records, `StreamedFile` a file to predict, `ModelInUse` a model that
predicts; `KindFlags` are the flags of a kind. `task_type` exports these names together with
`TaskType`.
"""

import collections
from typing import Any, Dict, Iterable, Optional, Sequence, Tuple

from albert_zh.common import validation
from albert_zh.common.errors import UserError

# The prediction that holds the length to which a row's per-token predictions are truncated.
NUM_TOKENS = "num_tokens"

Column = collections.namedtuple("Column", ["dtype", "shape", "is_per_token"], defaults=((), False))
Column.__doc__ = """A target in the records of a feature file.

Fields:
    dtype: "int" or "float".
    shape: shape of one example's value, () for a scalar; with `is_per_token`, of one token's value.
    is_per_token: bool; whether there is one value per token, padded with 0 like the tokens.
"""

StreamedFile = collections.namedtuple(
    "StreamedFile", ["notes", "records", "remarks"], defaults=({},)
)
StreamedFile.__doc__ = """A file whose records are predicted one by one.

Fields:
    notes: lines for the user; more may be added when the records are exhausted.
    records: iterator of (example, why the row is malformed, or None).
    remarks: {remark: count} for the report.
"""

ModelInUse = collections.namedtuple("ModelInUse", ["task", "notes", "tokenizer", "max_seq_length"])
ModelInUse.__doc__ = """A model that predicts, as `TaskType.decode` needs it.

Fields:
    task: `task_forms.Task` with its labels, class 0 first.
    notes: content of its fine_tuning.json.
    tokenizer: its `FullTokenizer`.
    max_seq_length: longest row.
"""


def refuse_given(options: Any, names: Iterable[str], why: str) -> None:
    """Rejects flags that a kind of task does not use.

    Args:
        options: the flags.
        names: names of the flags that may not be set.
        why: the reason for the error message, with what to do instead.

    Raises:
        UserError: for the first of these flags that is set.
    """
    for name in names:
        if options[name].present:
            raise UserError("--%s: %s" % (name, why))


class KindFlags:
    """The flags that only one kind of task has; none by default.

    Attributes:
        fixed: names of the flags that define the model: a resumed run must have the same values.
        variable: names of other flags that are recorded in a run's settings.
        of_evaluations: those flags of `variable` that only affect evaluations of checkpoints.
        noted: names of the flags whose values are saved in the model's fine_tuning.json: they
            cannot be changed when a model is used without training.
        further_files: names of files that a model folder may contain in addition to the usual
            files, see `model_files`.
        defaults: {flag: default} of common flags, in place of a classifier's defaults.
        without_effect: {old flag that is accepted for compatibility: why it has no effect}.
        help_of_task: help text of --task_name.
        head_kind: `validation.Kind` of `Settings.head` as it is saved in fine_tuning.json.
    """

    fixed: Tuple[str, ...] = ()
    variable: Tuple[str, ...] = ()
    of_evaluations: Tuple[str, ...] = ()
    noted: Tuple[str, ...] = ()
    further_files: Tuple[str, ...] = ()
    defaults: Dict[str, Any] = {}
    without_effect: Dict[str, str] = {}
    help_of_task = (
        "Task, such as lcqmc; multiclass for a folder with your own data, whose columns and labels "
        "are taken from its training file."
    )
    head_kind: validation.Kind = validation.record()

    def define(self, options: Any) -> None:
        """Defines the flags of this kind.

        Args:
            options: `absl.flags.FlagValues` to define them in.
        """

    def take_other_names(self, options: Any) -> None:
        """Sets common flags from the names by which other programs call them."""

    def kind_of(self, options: Any) -> Optional[str]:
        """Name of the kind that the flags of this kind's command choose; None: the data's kind."""
        return None

    def kind_in_use(self, options: Any, trained: str) -> str:
        """Name of the kind as which a model is used without training.

        Args:
            options: the flags.
            trained: name of the kind as which the model was trained.
        """
        return trained

    def check(self, options: Any) -> None:
        """Raises `UserError` for invalid values or combinations of flags."""

    def check_task(self, options: Any, task: Any) -> None:
        """Raises `UserError` for flags that do not suit the data.

        Args:
            options: the flags.
            task: `task_forms.Task`, with columns and labels.
        """

    def files(self, options: Any) -> Dict[str, str]:
        """{split: path} of files that flags name instead of --data_dir; {} if there are none."""
        return {}

    def head(self, options: Any) -> Dict[str, Any]:
        """{name: JSON value} of `Settings.head`, which is saved in fine_tuning.json."""
        return {}

    def rate_factor(self, options: Any) -> float:
        """The default factor of the head's learning rate."""
        return 1.0

    def usual_rate(self, options: Any) -> Optional[float]:
        """The learning rate if none is set; None for the flag's default."""
        return None

    def usual_epochs(self, options: Any, num_rows: int) -> Optional[float]:
        """The number of epochs for `num_rows` training rows if none is set; None: the default."""
        return None

    def json_files(self, head: Dict[str, Any]) -> Dict[str, Any]:
        """{name: JSON value} of additional files of a model that was trained with these flags.

        Args:
            head: `Settings.head`.
        """
        return {}

    def model_files(self, options: Any) -> Dict[str, bytes]:
        """{name: content} of additional files of a model that is trained with these flags.

        Raises:
            UserError: if a file named by a flag does not fit.
        """
        return {}

    def with_model_files(self, task: Any, files: Dict[str, bytes], source: str) -> Any:
        """The task, completed with the content of the model's additional files.

        Args:
            task: `task_forms.Task` with its head.
            files: {name: content} of those `further_files` that exist.
            source: the model, for error messages.

        Raises:
            UserError: if a file is missing or does not fit.
        """
        return task

    def shortest_length(self, head: Dict[str, Any]) -> int:
        """The fewest tokens of a row that a model with this `Settings.head` can work with."""
        return 0

    def further_inputs(self, head: Dict[str, Any]) -> Dict[str, Column]:
        """{name: `Column`} of the graph's inputs in addition to the encoder's inputs.

        Args:
            head: `Settings.head`.
        """
        return {}

    def start_of(self, prefix: str, output_dir: str) -> str:
        """The checkpoint to start from: `--init_checkpoint` itself, or a converted copy of it.

        Args:
            prefix: prefix of the checkpoint that the flag names.
            output_dir: the run's folder, to which a converted checkpoint may be written.
        """
        return prefix

    def notes_without_training(
        self, options: Any, folders: Sequence[str]
    ) -> Optional[Dict[str, Any]]:
        """Default content of fine_tuning.json for models without it; None if it is required.

        Args:
            options: the flags.
            folders: the folders of the model.
        """
        return None

    def with_files(self, task: Any) -> Any:
        """The task with the file names that its `head` requires; by default those in `TASKS`."""
        return task

    def head_in_use(self, head: Dict[str, Any], granularity: Optional[str]) -> Dict[str, Any]:
        """The head as `Predictor` uses it.

        Args:
            head: `head` of the model's fine_tuning.json.
            granularity: the requested granularity, or None.

        Raises:
            UserError: for a granularity that the model does not have.
        """
        if granularity:
            raise UserError(
                "granularity %s: the model has no granularities: only word segmenters have them"
                % granularity
            )
        return head
