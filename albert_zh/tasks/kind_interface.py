"""What kinds of tasks and the stages that use them hand to one another.

`Column` describes a target in records, `StreamedFile` a file that is predicted, `ModelInUse` a
model that predicts; `KindFlags` are the flags of a kind. `task_type` has these names beside
`TaskType`.
"""

import collections
from typing import Any, Dict, Iterable, Optional, Sequence, Tuple

from albert_zh.common import validation
from albert_zh.common.errors import UserError

# The prediction by which a row's per-token predictions are cut.
NUM_TOKENS = "num_tokens"

Column = collections.namedtuple("Column", ["dtype", "shape", "is_per_token"], defaults=((), False))
Column.__doc__ = """A target in the records of a feature file.

Fields:
    dtype: "int" or "float".
    shape: of one example's value, () for a scalar; with `is_per_token` of one token's.
    is_per_token: bool; one value for each token, padded with 0 like the tokens.
"""

StreamedFile = collections.namedtuple(
    "StreamedFile", ["notes", "records", "remarks"], defaults=({},)
)
StreamedFile.__doc__ = """A file whose records are predicted one by one.

Fields:
    notes: lines for the user, to which the end of the records may add some.
    records: iterator of (example, why the record is no proper row, or None).
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
    """Refuses flags that a kind of task has no use for.

    Args:
        options: the flags.
        names: of those that may not be given.
        why: for the message, with what to do in their place.

    Raises:
        UserError: for the first of them that is given.
    """
    for name in names:
        if options[name].present:
            raise UserError("--%s: %s" % (name, why))


class KindFlags:
    """The flags that only one kind of task has; none by default.

    Attributes:
        fixed: names of those that make a model what it is: a run that goes on must have the same.
        variable: names of others that a run's settings record.
        of_evaluations: those of `variable` that count in evaluations of checkpoints alone.
        noted: names of those whose value the model's fine_tuning.json has: a model that is used as
            it is cannot be given another one.
        further_files: names of files that a model folder may have beside the usual ones, see
            `model_files`.
        defaults: {flag: default} of the usual flags, in place of a classifier's.
        without_effect: {old flag that is only accepted: why it has no effect}.
        help_of_task: help of --task_name.
        head_kind: `validation.Kind` of `Settings.head`, as a model's fine_tuning.json has it.
    """

    fixed: Tuple[str, ...] = ()
    variable: Tuple[str, ...] = ()
    of_evaluations: Tuple[str, ...] = ()
    noted: Tuple[str, ...] = ()
    further_files: Tuple[str, ...] = ()
    defaults: Dict[str, Any] = {}
    without_effect: Dict[str, str] = {}
    help_of_task = (
        "Task, such as lcqmc; multiclass for a folder of one's own, whose columns and labels are "
        "taken from its training file."
    )
    head_kind: validation.Kind = validation.record()

    def define(self, options: Any) -> None:
        """Defines them.

        Args:
            options: `absl.flags.FlagValues` to define them in.
        """

    def take_other_names(self, options: Any) -> None:
        """Gives usual flags what was asked for by the names that other programs have for them."""

    def kind_of(self, options: Any) -> Optional[str]:
        """Name of the kind that the flags of this kind's command ask for; None: of the data set."""
        return None

    def kind_in_use(self, options: Any, trained: str) -> str:
        """Name of the kind that a model is used as without training.

        Args:
            options: the flags.
            trained: name of the kind that it was trained as.
        """
        return trained

    def check(self, options: Any) -> None:
        """Raises `UserError` for flags that make no sense."""

    def check_task(self, options: Any, task: Any) -> None:
        """Raises `UserError` for flags that do not suit the data.

        Args:
            options: the flags.
            task: `task_forms.Task`, with columns and labels.
        """

    def files(self, options: Any) -> Dict[str, str]:
        """{split: path} of files that flags name in place of --data_dir; {} for none."""
        return {}

    def head(self, options: Any) -> Dict[str, Any]:
        """{name: JSON value} of `Settings.head`, kept in fine_tuning.json."""
        return {}

    def rate_factor(self, options: Any) -> float:
        """The usual factor of the head's learning rate."""
        return 1.0

    def usual_rate(self, options: Any) -> Optional[float]:
        """The learning rate where none is given; None for that of the flag's default."""
        return None

    def usual_epochs(self, options: Any, num_rows: int) -> Optional[float]:
        """The passes over so many training rows where none are given; None for the default."""
        return None

    def json_files(self, head: Dict[str, Any]) -> Dict[str, Any]:
        """{name: JSON value} of further files of a model that was trained with these flags.

        Args:
            head: `Settings.head`.
        """
        return {}

    def model_files(self, options: Any) -> Dict[str, bytes]:
        """{name: content} of further files of a model that is trained with these flags.

        Raises:
            UserError: for files that flags name and that do not fit.
        """
        return {}

    def with_model_files(self, task: Any, files: Dict[str, bytes], source: str) -> Any:
        """The task with what the model's further files hold.

        Args:
            task: `task_forms.Task` with its head.
            files: {name: content} of those of `further_files` that are there.
            source: the model, for errors.

        Raises:
            UserError: for one that is missing or does not fit.
        """
        return task

    def shortest_length(self, head: Dict[str, Any]) -> int:
        """The fewest tokens of a row that a model with this `Settings.head` can work with."""
        return 0

    def further_inputs(self, head: Dict[str, Any]) -> Dict[str, Column]:
        """{name: `Column`} of what the graph takes beside the encoder's inputs.

        Args:
            head: `Settings.head`.
        """
        return {}

    def start_of(self, prefix: str, output_dir: str) -> str:
        """The checkpoint that `--init_checkpoint` stands for: itself, unless it is to be converted.

        Args:
            prefix: of the checkpoint that is named.
            output_dir: the run's folder, in which a converted one may go.
        """
        return prefix

    def notes_without_training(
        self, options: Any, folders: Sequence[str]
    ) -> Optional[Dict[str, Any]]:
        """What fine_tuning.json would say of a model without one; None where it has to be there.

        Args:
            options: the flags.
            folders: those of the model.
        """
        return None

    def with_files(self, task: Any) -> Any:
        """The task with the files that its `head` asks for, by default those of the table."""
        return task

    def head_in_use(self, head: Dict[str, Any], granularity: Optional[str]) -> Dict[str, Any]:
        """What `Predictor` knows of a head.

        Args:
            head: of the model's fine_tuning.json.
            granularity: the granularity that is asked for, or None.

        Raises:
            UserError: for a granularity that the model has not.
        """
        if granularity:
            raise UserError(
                "granularity %s: the model has none: segmenters alone are trained for several"
                % granularity
            )
        return head
