"""Rows of labelled files that do not fit: an error each, or left out and counted."""

import contextlib
from typing import Iterator, List

from albert_zh.common.errors import UserError


class BadRows:
    """What happens with rows that do not fit.

    Attributes:
        errors: list of the `UserError` of rows that were left out.
    """

    def __init__(self, are_skipped: bool = False) -> None:
        """Has met no rows yet.

        Args:
            are_skipped: whether they are left out; else the first one is an error.
        """
        self._are_skipped = are_skipped
        self.errors: List[UserError] = []

    @contextlib.contextmanager
    def row(self) -> Iterator[None]:
        """Around what reads one row, or checks it: its error leaves the row out, or goes on."""
        try:
            yield
        except UserError as error:
            if not self._are_skipped:
                raise
            self.errors.append(error)

    def notes(self) -> List[str]:
        """Lines for the user."""
        if not self.errors:
            return []
        count, first = len(self.errors), self.errors[0]
        return ["%d rows that do not fit are left out (first: %s)" % (count, first)]
