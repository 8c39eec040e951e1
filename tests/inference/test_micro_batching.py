"""Tests of micro-batching: requests that wait at the same time are predicted together."""

import asyncio
import sys
import threading

import numpy as np
import pytest

from albert_zh.inference.serving import micro_batching

if sys.version_info < (3, 9):
    pytest.skip("serving needs Python 3.9", allow_module_level=True)


class Model:
    """Predicts the length of each text; can be blocked."""

    def __init__(self):
        self.batches = []
        self.may_go_on = threading.Event()
        self.may_go_on.set()

    def predict(self, texts, is_wanted):
        assert self.may_go_on.wait(60)
        self.batches.append(list(texts))
        if "bad" in texts:
            raise ValueError("bad")
        return ["%d" % len(text) for text in texts], np.array([[len(text)] for text in texts])


def run(steps, **settings):
    """Runs the coroutine function `steps(batcher, model)`; returns the model."""
    model = Model()
    settings = dict({"max_batch_size": 4, "max_waiting": 10}, **settings)

    async def main():
        batcher = micro_batching.MicroBatcher(model.predict, **settings)
        batcher.start()
        await steps(batcher, model)
        await asyncio.wait_for(batcher.stop(), 60)
        assert batcher.num_waiting == 0

    asyncio.run(main())
    return model


async def held_up(batcher, model):
    """Submits a first request, which occupies the model; returns its task."""
    model.may_go_on.clear()
    task = asyncio.ensure_future(batcher.submit(["first"]))
    await asyncio.sleep(0.02)
    assert batcher.num_waiting == 0
    return task


def test_everyone_gets_their_own_answer_from_few_batches():
    async def steps(batcher, model):
        first = await held_up(batcher, model)
        requests = [["a" * (3 * i + j) for j in range(1 + i % 2)] for i in range(6)]
        tasks = [asyncio.ensure_future(batcher.submit(texts)) for texts in requests]
        await asyncio.sleep(0.01)
        assert batcher.num_waiting == 9
        model.may_go_on.set()
        for texts, (labels, values) in zip(requests, await asyncio.gather(*tasks)):
            assert labels == ["%d" % len(text) for text in texts]
            assert values.tolist() == [[len(text)] for text in texts]
        assert (await first)[0] == ["5"]

    sizes = [len(batch) for batch in run(steps).batches]
    assert sizes == [1, 4, 3, 2]  # requests have 1, 2, 1, 2, 1, 2 texts; none of them is split


def test_batches_are_of_a_bounded_number_of_characters(monkeypatch):
    monkeypatch.setattr(micro_batching, "MAX_CHARACTERS", 10)
    texts = ["a" * 6, ("bb", "cc"), "d", {"text": "e" * 11, "slots": [1] * 20}, "f"]

    async def steps(batcher, model):
        first = await held_up(batcher, model)
        tasks = [asyncio.ensure_future(batcher.submit([text])) for text in texts]
        await asyncio.sleep(0.01)
        model.may_go_on.set()
        await asyncio.gather(first, *tasks)

    batches = run(steps).batches[1:]
    assert batches == [texts[:2], texts[2:3], texts[3:4], texts[4:]]


def test_a_full_queue_refuses():
    async def steps(batcher, model):
        first = await held_up(batcher, model)
        waiting = [asyncio.ensure_future(batcher.submit(["x"] * 5)) for _ in range(2)]
        await asyncio.sleep(0.01)
        with pytest.raises(micro_batching.QueueIsFull, match="10 texts are waiting"):
            await batcher.submit(["y"])
        model.may_go_on.set()
        await asyncio.gather(first, *waiting)
        assert (await batcher.submit(["y"]))[0] == ["1"]

    assert all("y" not in batch or batch == ["y"] for batch in run(steps).batches)


def test_who_went_away_is_not_predicted_and_harms_nobody():
    async def steps(batcher, model):
        first = await held_up(batcher, model)
        gone = asyncio.ensure_future(batcher.submit(["gone"]))
        stays = asyncio.ensure_future(batcher.submit(["stays"]))
        await asyncio.sleep(0.01)
        assert batcher.num_waiting == 2
        gone.cancel()
        await asyncio.sleep(0.01)
        assert batcher.num_waiting == 1  # the place is free again
        model.may_go_on.set()
        assert (await stays)[0] == ["5"] and (await first)[0] == ["5"]

    assert run(steps).batches == [["first"], ["stays"]]


def test_an_error_reaches_those_it_concerns_and_work_goes_on():
    async def steps(batcher, model):
        with pytest.raises(ValueError, match="bad"):
            await batcher.submit(["bad"])
        assert (await batcher.submit(["good"]))[0] == ["4"]

    run(steps)


def test_a_bad_text_fails_its_own_request_alone():
    async def steps(batcher, model):
        first = await held_up(batcher, model)
        texts = (["a"], ["bb", "bad"], ["ccc"])
        tasks = [asyncio.ensure_future(batcher.submit(request)) for request in texts]
        await asyncio.sleep(0.01)
        model.may_go_on.set()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert [answers[0][0], str(answers[1]), answers[2][0]] == [["1"], "bad", ["3"]]
        assert answers[2][1].tolist() == [[3]] and (await first)[0] == ["5"]

    batches = run(steps).batches
    assert batches == [["first"], ["a", "bb", "bad", "ccc"], ["a"], ["bb", "bad"], ["ccc"]]


def test_stopping_answers_what_waits():
    async def steps(batcher, model):
        first = await held_up(batcher, model)
        waiting = [asyncio.ensure_future(batcher.submit(["w%d" % i])) for i in range(8)]
        await asyncio.sleep(0.01)
        stopping = asyncio.ensure_future(batcher.stop())
        await asyncio.sleep(0.01)
        with pytest.raises(micro_batching.QueueIsFull):
            await batcher.submit(["late"])
        model.may_go_on.set()
        await stopping
        assert [(await task)[0] for task in [first] + waiting] == [["5"]] + [["2"]] * 8

    run(steps)


def test_a_batch_may_wait_for_more():
    async def steps(batcher, model):
        tasks = []
        for _ in range(3):
            tasks.append(asyncio.ensure_future(batcher.submit(["x"])))
            await asyncio.sleep(0.02)
        await asyncio.gather(*tasks)

    assert run(steps, max_wait_seconds=1.0).batches == [["x"] * 3]


def test_a_full_batch_waits_no_longer():
    async def steps(batcher, model):
        waiting = [asyncio.ensure_future(batcher.submit(["x"])) for _ in range(2)]
        await asyncio.sleep(0.02)
        waiting += [asyncio.ensure_future(batcher.submit(["y"])) for _ in range(2)]
        await asyncio.wait_for(asyncio.gather(*waiting), 5)
        last = asyncio.ensure_future(batcher.submit(["z"]))
        await asyncio.sleep(0.02)
        await asyncio.wait_for(batcher.stop(), 5)  # the last one does not wait either
        await last

    assert run(steps, max_wait_seconds=60).batches == [["x", "x", "y", "y"], ["z"]]
