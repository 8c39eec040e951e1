"""An example of a data set, and a split: the examples of one file."""

import collections

NO_RECORD = "no record"  # the id of a line that is predicted but not part of a submission
InputExample = collections.namedtuple(
    "InputExample",
    ["guid", "text_a", "text_b", "label", "row_id", "slots"],
    defaults=(None, None),
)

Split = collections.namedtuple(
    "Split",
    ["name", "path", "examples", "has_labels", "notes", "columns", "header", "sha256", "names"],
    defaults=((), (), None, {}),
)
Split.__doc__ = """One file of a task.

Fields:
    name: "train", "dev" or "test".
    path: the file.
    examples: list of `InputExample`; label is None in a file without labels.
    has_labels: bool.
    notes: lines for the user about what was found in the file.
    columns: those of the columns "text_a", "text_b" and "label" that the file has.
    header: the cells of its header line, or ().
    sha256: hexadecimal digest of the bytes that the examples were read from.
    names: {column: its name in the file, or its position from 1}.
"""
