"""What the columns of a file are, and the rows that they are found by."""

from typing import TYPE_CHECKING, Dict, NamedTuple, Optional, Sequence, Tuple

from albert_zh.tasks.tables.label_rules import LabelRules
from albert_zh.tasks.task_forms import PAIR, Task

if TYPE_CHECKING:
    from albert_zh.tasks.tables.rows import Row


class FirstRows(NamedTuple):
    """The rows of a file that its columns are found by."""

    task: Task
    rules: LabelRules  # of its kind
    split: str  # "train", "dev" or "test"
    path: str
    is_csv: bool
    rows: Sequence["Row"]  # the first of the file or all, at least one

    @property
    def wanted(self) -> Tuple[str, ...]:
        """The columns that the task has."""
        return tuple(column for column in self.task.columns or PAIR if column)


class ColumnChoice(NamedTuple):
    """What the columns of a file are."""

    columns: Tuple[Optional[str], ...]  # in their order, None for one that is not used
    names: Optional[Dict[str, Optional[str]]] = None  # {column: name}; None by position
    header: Tuple[str, ...] = ()
    num_header_rows: int = 0
    notes: Sequence[str] = ()  # lines for the user
