"""Concurrent calls, with their results in order."""

import collections
from concurrent import futures
from typing import Any, Callable, Deque, Iterator, Optional, Sequence


class Workers:
    """Threads of a model, for the calls of all who use it."""

    def __init__(self, num_workers: int) -> None:
        """Starts nothing yet.

        Args:
            num_workers: threads; a single one is the caller's.
        """
        self._num_workers = num_workers
        self._pool: Optional[futures.ThreadPoolExecutor] = None
        if num_workers > 1:
            self._pool = futures.ThreadPoolExecutor(num_workers)

    def in_order(
        self, function: Callable[[Any], Any], arguments_of_calls: Sequence[Any]
    ) -> Iterator[Any]:
        """Yields a function's results, in order; so many calls run at a time, or wait to be taken.

        After an error, calls that have not begun are left out.

        Args:
            function: called with each argument.
            arguments_of_calls: a sequence.
        """
        if self._pool is None or len(arguments_of_calls) < 2:
            yield from map(function, arguments_of_calls)
            return
        waiting: Deque[Any] = collections.deque()
        try:
            for argument in arguments_of_calls:
                waiting.append(self._pool.submit(function, argument))
                if len(waiting) > self._num_workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()

    def close(self) -> None:
        """Ends the threads."""
        if self._pool is not None:
            self._pool.shutdown()
