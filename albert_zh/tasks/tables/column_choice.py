"""The columns of a file, and the rows from which they are detected."""

from typing import TYPE_CHECKING, Dict, NamedTuple, Optional, Sequence, Tuple

from albert_zh.tasks.tables.label_rules import LabelRules
from albert_zh.tasks.task_forms import PAIR, Task

if TYPE_CHECKING:
    from albert_zh.tasks.tables.rows import Row


class FirstRows(NamedTuple):
    """The rows of a file from which its columns are detected."""

    task: Task
    rules: LabelRules  # the label rules of the task's kind
    split: str  # "train", "dev" or "test"
    path: str
    is_csv: bool
    rows: Sequence["Row"]  # the first rows of the file or all of them, at least one

    @property
    def wanted(self) -> Tuple[str, ...]:
        """The columns that the task has."""
        return tuple(column for column in self.task.columns or PAIR if column)


class ColumnChoice(NamedTuple):
    """The columns of a file."""

    columns: Tuple[Optional[str], ...]  # in the file's order, None for an unused column
    names: Optional[Dict[str, Optional[str]]] = None  # {column: name}; None: columns by position
    header: Tuple[str, ...] = ()
    num_header_rows: int = 0
    notes: Sequence[str] = ()  # lines for the user
