"""Calls that are worked on side by side."""

import collections
from concurrent import futures
from typing import Any, Callable, Deque, Iterator, Sequence


def in_order(
    function: Callable[[Any], Any], arguments_of_calls: Sequence[Any], num_workers: int
) -> Iterator[Any]:
    """Yields a function's results, in order; so many calls run at a time, or wait to be taken.

    Args:
        function: called with each argument.
        arguments_of_calls: a sequence.
        num_workers: threads; a single one is the caller's.
    """
    num_workers = min(num_workers, len(arguments_of_calls))
    if num_workers < 2:
        yield from map(function, arguments_of_calls)
        return
    waiting: Deque[Any] = collections.deque()
    with futures.ThreadPoolExecutor(num_workers) as workers:
        for argument in arguments_of_calls:
            waiting.append(workers.submit(function, argument))
            if len(waiting) > num_workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
