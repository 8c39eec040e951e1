"""Concurrent calls, with their results in order."""

import collections
from concurrent import futures
from typing import Any, Callable, Deque, Iterable, Iterator, Optional, Sequence

IsWanted = Optional[Callable[[], bool]]  # whether somebody still waits for results; None: yes


class Abandoned(Exception):
    """Nobody wants the results any more."""


def in_order(
    pool: futures.Executor,
    function: Callable[[Any], Any],
    arguments_of_calls: Iterable[Any],
    num_ahead: int,
) -> Iterator[Any]:
    """Yields a function's results, in the order of the calls.

    After an error, calls that have not begun are left out.

    Args:
        pool: whose workers call it.
        function: called with each argument.
        arguments_of_calls: taken one by one.
        num_ahead: how many calls run, or wait to be taken, before a result is yielded.
    """
    waiting: Deque[Any] = collections.deque()
    try:
        for argument in arguments_of_calls:
            waiting.append(pool.submit(function, argument))
            if len(waiting) > num_ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


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
        self,
        function: Callable[[Any], Any],
        arguments_of_calls: Sequence[Any],
        is_wanted: IsWanted = None,
    ) -> Iterator[Any]:
        """Yields a function's results as `in_order` does; so many calls run, or wait, at a time.

        Args:
            function: called with each argument.
            arguments_of_calls: a sequence.
            is_wanted: asked before every call, by several threads, whether to go on.

        Raises:
            Abandoned: when `is_wanted` returns False.
        """

        def call(argument):
            if is_wanted is not None and not is_wanted():
                raise Abandoned
            return function(argument)

        if self._pool is None or len(arguments_of_calls) < 2:
            yield from map(call, arguments_of_calls)
            return
        yield from in_order(self._pool, call, arguments_of_calls, self._num_workers)

    def close(self) -> None:
        """Ends the threads."""
        if self._pool is not None:
            self._pool.shutdown()
