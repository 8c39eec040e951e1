"""Predicts requests that wait at the same time together, with a bounded queue.

While the model is busy with one batch, requests gather for the next one, so that batches become
large under load, and a single request waits for nobody. A failing request does not affect others.
"""

import asyncio
import collections
from concurrent import futures
import contextlib
from typing import Any, Callable, List, Optional, Sequence, Tuple

from albert_zh.common.wording import counted

# Function of (texts, function that returns whether to continue) -> (one answer per text, array
# [n, ...]).
Predict = Callable[[List[Any], Callable[[], bool]], Tuple[List[Any], Any]]
_Waiting = collections.namedtuple("_Waiting", ["texts", "result"])
# Per batch; a single longer text has as many windows as a batch of texts has rows.
MAX_CHARACTERS = 1 << 14


def num_characters(texts: Sequence[Any]) -> int:
    """The characters of all texts, each a str, a pair, or a dict with texts among its values."""
    total = 0
    for text in texts:
        parts = text.values() if isinstance(text, dict) else text
        parts = [text] if isinstance(text, str) else parts
        total += sum(len(part) for part in parts if isinstance(part, str))
    return total


class QueueIsFull(Exception):
    """Too many texts are waiting; the client should retry later."""


def check_waiting(num_waiting: int, num_further: int, most: int) -> None:
    """Raises `QueueIsFull` if further texts would exceed the maximum number of waiting texts."""
    if num_waiting + num_further > most:
        raise QueueIsFull("%s waiting" % counted(num_waiting, "text is", "texts are"))


class MicroBatcher:
    """Predicts the texts that tasks of an event loop submit, in the loop's only worker thread."""

    def __init__(
        self,
        predict: Predict,
        max_batch_size: int,
        max_waiting: int,
        max_wait_seconds: float = 0.0,
        observe: Optional[Callable[[int], None]] = None,
    ) -> None:
        """Initializes the batcher, without starting it.

        Args:
            predict: `Predict`; it may raise an error once nobody waits for the texts any more.
            max_batch_size: maximum texts per batch, with at most `MAX_CHARACTERS`; a request with
                more is a separate batch.
            max_waiting: maximum number of waiting texts; further ones are refused.
            max_wait_seconds: how long an incomplete batch waits for more texts.
            observe: function that is called with each batch's size, or None.
        """
        self._predict = predict
        self._max_batch_size = max_batch_size
        self._max_waiting = max_waiting
        self._max_wait_seconds = max_wait_seconds
        self._observe = observe or (lambda size: None)
        self._waiting = collections.deque()
        self.num_waiting = 0
        self._is_stopping = False
        self._worker: Any = None

    def start(self) -> None:
        """Starts the worker task; must be called in the event loop."""
        self._arrived = asyncio.Event()
        self._executor = futures.ThreadPoolExecutor(1)
        self._worker = asyncio.get_running_loop().create_task(self._work())

    async def stop(self) -> None:
        """Answers all waiting requests, then stops."""
        self._is_stopping = True
        self._arrived.set()
        await self._worker
        self._executor.shutdown()

    async def submit(self, texts: List[Any]) -> Tuple[List[Any], Any]:
        """Predicts texts.

        Args:
            texts: list of str or of pairs of str.

        Returns:
            (list of answers, array [n, ...]).

        Raises:
            QueueIsFull: if too many texts are waiting.
        """
        most = -1 if self._is_stopping else self._max_waiting  # -1 refuses even an empty request
        check_waiting(self.num_waiting, len(texts), most)
        entry = _Waiting(texts, asyncio.get_running_loop().create_future())
        self._waiting.append(entry)
        self.num_waiting += len(texts)
        self._arrived.set()
        try:
            return await entry.result
        except asyncio.CancelledError:  # the client has disconnected
            with contextlib.suppress(ValueError):  # no longer in the queue
                self._waiting.remove(entry)
                self.num_waiting -= len(texts)
            raise

    async def _work(self):
        while self._waiting or not self._is_stopping:
            if not self._waiting:
                self._arrived.clear()
                await self._arrived.wait()
                continue
            await self._wait_for_more()
            await self._answer(self._next_batch())

    async def _wait_for_more(self):
        """Waits until a batch is full, or until the maximum waiting time is over."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._max_wait_seconds
        while not self._is_stopping and self.num_waiting < self._max_batch_size:
            seconds = deadline - loop.time()
            if seconds <= 0:
                return
            self._arrived.clear()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._arrived.wait(), seconds)

    def _next_batch(self):
        """Takes as many requests from the queue as fit into a batch, at least one."""
        batch, size, length = [], 0, 0
        while self._waiting:
            texts, future = self._waiting[0]
            length += num_characters(texts)
            is_full = size + len(texts) > self._max_batch_size or length > MAX_CHARACTERS
            if batch and is_full:
                break
            self._waiting.popleft()
            self.num_waiting -= len(texts)
            if not future.cancelled():  # nobody waits for it any more
                batch.append(_Waiting(texts, future))
                size += len(texts)
        return batch

    async def _answer(self, batch):
        if not batch:  # all clients have disconnected
            return
        texts = [text for request in batch for text in request.texts]
        self._observe(len(texts))
        loop = asyncio.get_running_loop()

        def is_wanted():  # called in the worker thread
            return not all(request.result.done() for request in batch)

        try:
            labels, probabilities = await loop.run_in_executor(
                self._executor, self._predict, texts, is_wanted
            )
        except Exception as error:  # the request's own handler reports it
            if len(batch) > 1:
                await self._answer_one_by_one(batch)
            elif not batch[0].result.done():
                batch[0].result.set_exception(error)
            return
        start = 0
        for request in batch:
            end = start + len(request.texts)
            if not request.result.done():
                rows = None if probabilities is None else probabilities[start:end]
                request.result.set_result((labels[start:end], rows))
            start = end

    async def _answer_one_by_one(self, batch):
        """Retries the requests of a failed batch one by one, to find those that cause the error."""
        for request in batch:
            if not request.result.done():
                await self._answer([request])
