"""Limits, metrics and errors of the HTTP service, independent of what it serves.

An error is one line of JSON, {"error": "one line"}; below /v1/ it has the form of OpenAI's errors.
"""

import asyncio
import collections
import contextlib
import json
import re
import time
from typing import Any, Callable, Dict, List, Sequence, Tuple

from fastapi import HTTPException, Request
from fastapi.routing import APIRoute
import prometheus_client

from albert_zh.common import files
from albert_zh.inference import input_rows
from albert_zh.inference.serving import micro_batching

LINGER_SECONDS = 2.0  # see `_refuse`
SECONDS_BETWEEN_LOOKS = 0.2  # at the connection of a waiting client
OPENAI_PATHS = "/v1/"
_AUTHORITY = re.compile("https?://[^/]*", re.IGNORECASE)  # before the path of an absolute URI
CLIENT_HAS_GONE = 499  # nginx's status code for it

Limits = collections.namedtuple(
    "Limits",
    "max_texts max_body_bytes body_seconds max_batch_size max_waiting max_wait_seconds "
    "max_length max_beams",
    defaults=(1000, 1 << 20, 10.0, 256, 4000, 0.0, None, 16),
)
Limits.__doc__ = """Limits of the service.

Fields:
    max_texts: maximum texts per request.
    max_body_bytes: maximum bytes per request.
    body_seconds: maximum time a client may take to send a request.
    max_batch_size, max_waiting, max_wait_seconds: see `MicroBatcher`.
    max_length: maximum tokens of a generated text; None: as in training.
    max_beams: maximum beams of a generator's beam search.
"""


class Metrics:
    """The metrics of /metrics; a separate registry, so that a process can run several services."""

    def __init__(self) -> None:
        self.registry = prometheus_client.CollectorRegistry()
        settings = {"registry": self.registry}
        self.requests = prometheus_client.Counter(
            "albert_requests", "Answered requests.", ["path", "status"], **settings
        )
        self.seconds = prometheus_client.Histogram(
            "albert_request_seconds", "Seconds from a request to its answer.", ["path"], **settings
        )
        self.texts = prometheus_client.Counter("albert_texts", "Predicted texts.", **settings)
        self.cut = prometheus_client.Counter(
            "albert_texts_cut", "Texts that were longer than the model reads.", **settings
        )
        self.unknown = prometheus_client.Counter(
            "albert_texts_unknown",
            "Texts of whose word pieces at least half are not in the vocabulary.",
            **settings,
        )
        self.batch_size = prometheus_client.Histogram(
            "albert_batch_size",
            "Texts predicted in one batch.",
            buckets=[2**power for power in range(11)],
            **settings,
        )
        self.waiting = prometheus_client.Gauge("albert_waiting_texts", "Waiting texts.", **settings)

    def count_texts(self, readings: Sequence[input_rows.Reading], client: Any) -> None:
        """Counts the texts that a model has read.

        Args:
            readings: one `Reading` per text.
            client: `Request`; its `state.num_cut` is set to the number of truncated texts, and
                `state.num_unknown` to the number of texts whose reading `is_unknown`.
        """
        client.state.num_cut = sum(reading.was_cut for reading in readings)
        client.state.num_unknown = sum(reading.is_unknown for reading in readings)
        self.texts.inc(len(readings))
        self.cut.inc(client.state.num_cut)
        self.unknown.inc(client.state.num_unknown)


class BatchedModel:
    """A model that predicts waiting requests together and refuses requests beyond the limits.

    Requests of more than `micro_batching.MAX_CHARACTERS` have a separate queue and thread, so that
    other requests do not wait until all windows of a long text are predicted.
    """

    def __init__(
        self,
        predict: micro_batching.Predict,
        limits: Limits,
        metrics: Metrics,
    ) -> None:
        """`predict`: as in `MicroBatcher`; each answer is (answer, `input_rows.Reading`)."""
        self._limits, self._metrics = limits, metrics
        settings = (limits.max_batch_size, limits.max_waiting, limits.max_wait_seconds)
        self._usual, self._of_long = (
            micro_batching.MicroBatcher(predict, *settings, metrics.batch_size.observe)
            for _ in range(2)
        )

    @property
    def num_waiting(self) -> int:
        """Number of waiting texts."""
        return self._usual.num_waiting + self._of_long.num_waiting

    def start(self) -> None:
        """Starts the batchers; must be called in the event loop."""
        self._usual.start()
        self._of_long.start()

    async def stop(self) -> None:
        """Answers all waiting requests, then stops."""
        await self._usual.stop()
        await self._of_long.stop()

    async def run(self, texts: List[Any], client: Any) -> Tuple[Any, Any]:
        """Predicts checked texts: (answers, array).

        Args:
            texts: the texts of one request, of a checked number; a query may be added.
            client: `Request`, see `Metrics.count_texts`.

        Raises:
            HTTPException: if too many texts are waiting, or the client has disconnected.
        """
        is_long = micro_batching.num_characters(texts) > micro_batching.MAX_CHARACTERS
        batcher = self._of_long if is_long else self._usual
        try:
            micro_batching.check_waiting(self.num_waiting, len(texts), self._limits.max_waiting)
            outputs, array = await while_connected(client, batcher.submit(texts))
        except micro_batching.QueueIsFull as error:
            message = "overloaded (%s): try again later" % error
            raise HTTPException(503, message, {"Retry-After": "1"}) from error
        self._metrics.count_texts([reading for _, reading in outputs], client)
        return [answer for answer, _ in outputs], array

    def check_number(self, count: int) -> None:
        """Raises `HTTPException` for more texts than a request may contain."""
        if count > self._limits.max_texts:
            raise HTTPException(
                413, "%d texts, at most %d at once" % (count, self._limits.max_texts)
            )


async def while_connected(client: Any, coroutine: Any) -> Any:
    """Returns the result of a coroutine, which is cancelled if the client disconnects.

    Args:
        client: `Request`.
        coroutine: computes the answer.

    Raises:
        HTTPException: if the client disconnects, or the service stops.
    """
    task = asyncio.ensure_future(coroutine)
    try:
        while not (await asyncio.wait([task], timeout=SECONDS_BETWEEN_LOOKS))[0]:
            if await client.is_disconnected():
                raise HTTPException(CLIENT_HAS_GONE, "the client has disconnected")
        return task.result()
    except asyncio.CancelledError:  # by the server, when its shutdown time is over
        raise HTTPException(503, "the service is shutting down") from None
    finally:
        task.cancel()


def error_content(path: str, status: int, message: str) -> Dict[str, Any]:
    """The body of an error response, in the form that clients of the path expect."""
    if not path.startswith(OPENAI_PATHS):
        return {"error": message}
    kind = "invalid_request_error" if status < 500 else "server_error"
    return {"error": {"message": message, "type": kind, "param": None, "code": None}}


class Route(APIRoute):
    """A route that refuses (400) bodies that are not UTF-8 or have an object with repeated keys."""

    def get_route_handler(self) -> Callable[..., Any]:
        """Returns FastAPI's handler, but reads the body with another request class."""
        handle = super().get_route_handler()

        async def strict_handle(request: Request) -> Any:
            return await handle(_StrictRequest(request.scope, request.receive))

        return strict_handle


class _StrictRequest(Request):
    async def json(self) -> Any:
        try:
            return json.loads(await self.body(), object_pairs_hook=_object_of_body)
        except UnicodeDecodeError as error:  # such as GBK from a Chinese Windows console
            message = "body: byte %d is not UTF-8: send the JSON in UTF-8" % (error.start + 1)
            raise HTTPException(400, message) from error


def _object_of_body(pairs):
    try:
        return files.object_without_repeated_keys(pairs)
    except ValueError as error:
        raise HTTPException(400, "body: %s" % error) from error


class PathsOfUris:
    """ASGI middleware that reads a request for an absolute URI as one for its path.

    Source: RFC 9112, section 3.2.2: `GET http://host/health HTTP/1.1`, as clients ask a proxy.
    """

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and _AUTHORITY.match(scope["path"]):
            raw_path = _AUTHORITY.sub("", scope["raw_path"].decode("ascii"), 1) or "/"
            path = _AUTHORITY.sub("", scope["path"], 1) or "/"
            scope = dict(scope, path=path, raw_path=raw_path.encode("ascii"))
        await self._app(scope, receive, send)


class MeasuredRequests:
    """ASGI middleware that counts and times requests."""

    def __init__(self, app: Any, metrics: Metrics, paths: Sequence[str]) -> None:
        """`paths`: paths that are counted separately; other paths are counted together."""
        self._app, self._metrics, self._paths = app, metrics, frozenset(paths)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"] if scope["path"] in self._paths else "other"
        begun, unanswered = [], 500

        async def counting_send(message):
            if message["type"] == "http.response.start":
                begun.append(message["status"])
            await send(message)

        start = time.perf_counter()
        try:
            await self._app(scope, receive, counting_send)
            unanswered = CLIENT_HAS_GONE  # before its body was complete
        finally:
            self._metrics.requests.labels(path, begun[0] if begun else unanswered).inc()
            self._metrics.seconds.labels(path).observe(time.perf_counter() - start)


class BodyLimits:
    """ASGI middleware that only accepts JSON, of limited size and within limited time."""

    def __init__(self, app: Any, limits: Limits) -> None:
        self._app = app
        self._limits = limits

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        try:
            _check_form_of_body(scope)
            body = await asyncio.wait_for(self._body(scope, receive), self._limits.body_seconds)
        except asyncio.TimeoutError:
            message = "the body did not come within %g s" % self._limits.body_seconds
            await _refuse(scope["path"], receive, send, 408, message)
        except HTTPException as error:
            await _refuse(scope["path"], receive, send, error.status_code, error.detail)
        else:
            if body is not None:
                await self._app(scope, _replayed(body, receive), send)

    async def _body(self, scope, receive):
        """The body, or None if the client disconnected."""
        limit = self._limits.max_body_bytes
        message = "the body is too large, at most %d bytes" % limit
        announced = _header(scope, b"content-length")
        if announced.isdigit() and int(announced) > limit:
            raise HTTPException(413, message)
        chunks, size = [], 0
        while True:
            part = await receive()
            if part["type"] == "http.disconnect":
                return None
            chunks.append(part.get("body", b""))
            size += len(chunks[-1])
            if size > limit:
                raise HTTPException(413, message)
            if not part.get("more_body", False):
                return b"".join(chunks)


def _check_form_of_body(scope):
    if _header(scope, b"content-encoding").strip().lower() not in (b"", b"identity"):
        raise HTTPException(415, "expected no Content-Encoding: send the body uncompressed")
    content_type = _header(scope, b"content-type").split(b";")[0].strip().lower()
    if content_type != b"application/json":
        raise HTTPException(415, "expected Content-Type: application/json")


def _header(scope, name):
    return next((value for key, value in scope["headers"] if key == name), b"")


def _replayed(body, receive):
    """A `receive` that returns the body first."""
    given = []

    async def replay():
        if not given:
            given.append(True)
            return {"type": "http.request", "body": body, "more_body": False}
        return await receive()

    return replay


async def _refuse(path, receive, send, status, message):
    """Responds without having read all of the body, and then closes the connection.

    The rest of the body is read and dropped for a while: a connection that is closed with unread
    bytes is reset, and the client would lose the response.
    """
    content = json.dumps(error_content(path, status, message)).encode("utf-8")
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(content)),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content, "more_body": True})
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(_rest_of_body(receive), LINGER_SECONDS)
    await send({"type": "http.response.body", "body": b""})


async def _rest_of_body(receive):
    """Reads to the end of the body, or until the client disconnects."""
    while (await receive()).get("more_body", False):
        pass
