"""Routes of a generator: texts returned as a whole, or streamed while they are generated.

    POST /generate         {"texts": [text, ...], "num_beams": 4, ...} -> {"generated": [text, ...]}
    POST /generate/stream  {"text": text, "do_sample": true, ...} -> server-sent events
    GET  /write            a page for generation

An event is `data: {"text": piece}`; the last event is `data: [DONE]`. An error during generation
is `data: {"error": "one line"}`.
"""

import contextlib
import json
import threading
from typing import Any, Dict, Iterator, List, Optional

import anyio
import anyio.to_thread
from fastapi import HTTPException, Request
from fastapi.responses import HTMLResponse, StreamingResponse
import pydantic
from starlette.concurrency import iterate_in_threadpool, run_in_threadpool

from albert_zh.common.errors import UserError
from albert_zh.inference.generator import Abandoned
from albert_zh.inference.serving import http_answers, http_limits

_REQUESTS_AT_ONCE = 4  # of /generate; further ones wait, so that streams get threads
_EXAMPLE = "一篇要写标题的文章"
_STREAM = {
    "description": "The pieces of the text, as server-sent events.",
    "content": {"text/event-stream": {"schema": {"type": "string"}}},
    "headers": http_answers.described_counts(),
}


class Settings(pydantic.BaseModel):
    """How texts are generated; defaults apply to omitted settings."""

    model_config = pydantic.ConfigDict(extra="forbid")
    max_length: Optional[pydantic.StrictInt] = pydantic.Field(None, examples=[None])
    min_length: pydantic.StrictInt = pydantic.Field(1, examples=[1])
    length_penalty: pydantic.StrictFloat = pydantic.Field(0.6, examples=[0.6])
    no_repeat_ngram_size: pydantic.StrictInt = pydantic.Field(0, examples=[0])
    do_sample: pydantic.StrictBool = pydantic.Field(False, examples=[False])
    top_k: pydantic.StrictInt = pydantic.Field(0, examples=[0])
    top_p: pydantic.StrictFloat = pydantic.Field(1.0, examples=[1.0])
    temperature: pydantic.StrictFloat = pydantic.Field(1.0, examples=[1.0])
    seed: pydantic.StrictInt = pydantic.Field(0, examples=[0])


class GenerateRequest(Settings):
    """Body of /generate."""

    texts: List[pydantic.StrictStr] = pydantic.Field(examples=[[_EXAMPLE]])
    num_beams: pydantic.StrictInt = pydantic.Field(1, examples=[1])


class StreamRequest(Settings):
    """Body of /generate/stream."""

    text: pydantic.StrictStr = pydantic.Field(examples=[_EXAMPLE])


class GeneratedTexts(pydantic.BaseModel):
    """Response of /generate, one element per text."""

    generated: List[str]
    scores: List[float] = pydantic.Field(description="Normalized log probabilities.")
    was_cut: List[bool] = pydantic.Field(description="Whether a text was truncated.")


def add_routes(
    app: Any, generator: Any, limits: http_limits.Limits, metrics: http_limits.Metrics
) -> None:
    """Adds the routes of a generator.

    Args:
        app: `FastAPI`.
        generator: `Generator`.
        limits: `Limits`.
        metrics: `Metrics`, which count the generator's texts.
    """
    errors = http_answers.errors_of_predictions(limits)
    at_work = _AtWork(limits.max_waiting)
    _add_writing(app, generator, limits, metrics, at_work, errors)
    _add_streaming(app, generator, limits, metrics, at_work, errors)

    @app.get("/write", response_class=HTMLResponse, responses={500: errors[500]})
    async def write_page():
        """A page for generating texts."""
        return http_answers.html(http_answers.page("write.html"))


def _add_writing(app, generator, limits, metrics, at_work, errors):
    answers = http_answers.answer_of_predictions(GeneratedTexts)

    @app.post("/generate", responses={**errors, **answers})
    async def generate(request: GenerateRequest, client: Request):
        """Generates a text for each text."""
        settings = _allowed(request.model_dump(exclude={"texts"}), generator, limits)
        if len(request.texts) > limits.max_texts:
            raise HTTPException(
                413, "%d texts, at most %d" % (len(request.texts), limits.max_texts)
            )
        with at_work.with_further(len(request.texts)):
            texts, readings = await _while_connected(
                client, generator, request.texts, settings, at_work
            )
        metrics.count_texts(readings, client)
        answer = {
            "generated": [one.text for one in texts],
            "scores": [one.score for one in texts],
            "was_cut": [one.was_cut for one in texts],
        }
        return http_answers.predicted(answer, client)


def _add_streaming(app, generator, limits, metrics, at_work, errors):
    @app.post(
        "/generate/stream", responses={**errors, 200: _STREAM}, response_class=StreamingResponse
    )
    async def stream(request: StreamRequest, client: Request):
        """Generates a text and streams it piece by piece, as server-sent events."""
        settings = _allowed(request.model_dump(exclude={"text"}), generator, limits)
        with contextlib.ExitStack() as counted:
            counted.enter_context(at_work.with_further(1))
            first, events, reading = await run_in_threadpool(
                _begun, generator, request.text, settings
            )
            metrics.count_texts([reading], client)
            counts = http_answers.counts_of(client)
            return _Stream(_sent(first, events), counts, counted.pop_all().close)


def _allowed(settings: Dict[str, Any], generator, limits) -> Dict[str, Any]:
    """Settings with a `max_length`; raises `HTTPException` for settings beyond the limits."""
    longest = limits.max_length or generator.max_length
    for name, most, flag in (
        ("max_length", longest, "max_length"),
        ("num_beams", limits.max_beams, "max_beams"),
    ):
        if (settings.get(name) or 0) > most:
            raise HTTPException(
                400,
                "%s: %d, expected at most %d here: ask for less, or raise --%s of the service"
                % (name, settings[name], most, flag),
            )
    if settings["max_length"] is None:
        settings = dict(settings, max_length=min(longest, generator.max_length))
    return settings


class _AtWork:
    """Counts the texts that are being generated or waiting."""

    def __init__(self, most):
        self._most, self._num_texts = most, 0
        self.limiter = anyio.CapacityLimiter(_REQUESTS_AT_ONCE)

    @contextlib.contextmanager
    def with_further(self, count):
        """Counts further texts; raises `HTTPException` if there are too many."""
        if self._num_texts + count > self._most:
            message = "overloaded (texts being generated: %d): try again later"
            raise HTTPException(503, message % self._num_texts, {"Retry-After": "1"})
        self._num_texts += count
        try:
            yield
        finally:
            self._num_texts -= count


class _Stream(StreamingResponse):
    """Server-sent events; calls a function once they have ended, however they end."""

    media_type = "text/event-stream"

    def __init__(self, events, headers, at_end):
        super().__init__(events, headers=headers)
        self._at_end = at_end

    async def __call__(self, scope, receive, send):
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._at_end()


async def _while_connected(client, generator, texts, settings, at_work):
    """(the generated texts, the `Reading` of each source).

    Generation stops after the current token if the client disconnects or the service stops.
    """
    is_over = threading.Event()

    def work():
        try:
            written = generator.generate(texts, lambda: not is_over.is_set(), **settings)
        except Abandoned:
            return [], []
        return written, [generator.reading(text, **settings) for text in texts]

    try:
        written = anyio.to_thread.run_sync(work, limiter=at_work.limiter)
        return await http_limits.while_connected(client, written)
    finally:
        is_over.set()


def _begun(generator, text, settings):
    """(first event, iterator of the others, the source's `Reading`); raises like `_events`."""
    events = _events(generator, text, settings)
    return next(events), events, generator.reading(text, **settings)


def _events(generator, text, settings: Dict[str, Any]) -> Iterator[str]:
    """Yields events; raises errors of the request before the first event."""
    pieces = generator.stream(text, **settings)
    piece = next(pieces, None)
    try:
        while piece is not None:
            yield _event({"text": piece})
            piece = next(pieces, None)
    except UserError as error:
        yield _event({"error": str(error)})
    yield "data: [DONE]\n\n"


async def _sent(first, events):
    """Yields events; if the client disconnects, stops generation and frees the caches."""
    try:
        yield first
        async for event in iterate_in_threadpool(events):
            yield event
    finally:
        with contextlib.suppress(ValueError):  # a thread still computes the next event
            events.close()


def _event(content):
    return "data: %s\n\n" % json.dumps(content, ensure_ascii=False)
