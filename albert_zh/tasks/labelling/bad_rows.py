"""Handling of malformed rows in labelled files: they are errors, or are skipped and counted."""

import contextlib
from typing import Iterator, List

from albert_zh.common.errors import UserError
from albert_zh.common.wording import counted


class BadRows:
    """Raises or collects the errors of malformed rows.

    Attributes:
        errors: list of the `UserError` of the rows that were skipped.
    """

    def __init__(self, are_skipped: bool = False) -> None:
        """Starts without any errors.

        Args:
            are_skipped: whether malformed rows are skipped; otherwise the first one is an error.
        """
        self._are_skipped = are_skipped
        self.errors: List[UserError] = []

    @contextlib.contextmanager
    def row(self) -> Iterator[None]:
        """Context for reading or checking one row: a `UserError` is collected, or raised again."""
        try:
            yield
        except UserError as error:
            if not self._are_skipped:
                raise
            self.errors.append(error)

    def notes(self) -> List[str]:
        """Returns messages for the user about the rows that were skipped."""
        if not self.errors:
            return []
        skipped = counted(len(self.errors), "invalid row was", "invalid rows were")
        return ["%s skipped (first: %s)" % (skipped, self.errors[0])]
