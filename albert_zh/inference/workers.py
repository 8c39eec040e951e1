"""Concurrent calls with results in order."""

import collections
from concurrent import futures
from typing import Any, Callable, Deque, Iterable, Iterator, Optional, Sequence

IsWanted = Optional[Callable[[], bool]]  # whether results are still wanted; None: always


class Abandoned(Exception):
    """The results are no longer wanted."""


def in_order(
    pool: futures.Executor,
    function: Callable[[Any], Any],
    arguments_of_calls: Iterable[Any],
    num_ahead: int,
) -> Iterator[Any]:
    """Yields a function's results in the order of the calls.

    After an error, calls that have not started are skipped.

    Args:
        pool: thread pool that runs the calls.
        function: function to call with each argument.
        arguments_of_calls: arguments, taken one by one.
        num_ahead: number of calls that may run, or wait to be taken, before a result is yielded.
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
    """Threads of a model, shared by the calls of all its users."""

    def __init__(self, num_workers: int) -> None:
        """Initializes the workers, without starting threads.

        Args:
            num_workers: number of threads; with 1, calls run in the caller's thread.
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
        """Yields a function's results like `in_order`, with as many calls at a time as workers.

        Args:
            function: function to call with each argument.
            arguments_of_calls: a sequence.
            is_wanted: called before every call, by several threads; returns whether to continue.

        Raises:
            Abandoned: if `is_wanted` returns False.
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
        """Stops the threads."""
        if self._pool is not None:
            self._pool.shutdown()
