"""The HTTP service around a predictor: routes, limits, metrics. Needs requirements-serve.txt.

    GET  /            a page to try the model on
    POST /predict     {"texts": ["text", ["text a", "text b"], ...]}
    POST /similarity  {"pairs": [["text a", "text b"], ...]}
    GET  /health      what is served
    GET  /metrics     for Prometheus
    GET  /docs        what can be asked, for people
    GET  /openapi.json  and for programs

Errors are {"error": "one line"}, but for uvicorn's own at too many connections. Nothing in a
request names a file or is run.
"""

import asyncio
import collections
import contextlib
import json
import os
import time
from typing import Any, Dict, List, Literal, Optional, Tuple, Union

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse
import prometheus_client
import pydantic
from starlette.exceptions import HTTPException as StarletteHTTPException

from albert_zh.common import files, package_files
from albert_zh.common.errors import UserError
from albert_zh.inference import api_page, micro_batching

PAGE = os.path.join(package_files.WEB, "index.html")
TEXT_FORMS = {None: "any", True: "pairs", False: "single"}  # in the page, by what the model takes
LINGER_SECONDS = 2.0  # see `_refuse`
SECONDS_BETWEEN_LOOKS = 0.2  # whether who waits for an answer is still there
PATHS = ("/", "/predict", "/similarity", "/health", "/metrics", "/docs", "/openapi.json")
# The page loads nothing, and talks to this service only.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

Limits = collections.namedtuple(
    "Limits",
    "max_texts max_body_bytes body_seconds max_batch_size max_waiting max_wait_seconds",
    defaults=(1000, 1 << 20, 10.0, 256, 4000, 0.0),
)
Limits.__doc__ = """What the service takes on.

Fields:
    max_texts: texts in a request.
    max_body_bytes: bytes of a request.
    body_seconds: how long a client may take to send them.
    max_batch_size, max_waiting, max_wait_seconds: see `MicroBatcher`.
"""

Pair = Tuple[pydantic.StrictStr, pydantic.StrictStr]


class PredictRequest(pydantic.BaseModel):
    """Body of /predict."""

    model_config = pydantic.ConfigDict(extra="forbid")
    texts: List[Union[pydantic.StrictStr, Pair]] = pydantic.Field(
        description="Each a text, or a pair of texts: what the model was trained on.",
        examples=[["苹果发布新手机"], [["怎么开户", "如何开通账户"]]],
    )


class SimilarityRequest(pydantic.BaseModel):
    """Body of /similarity."""

    model_config = pydantic.ConfigDict(extra="forbid")
    pairs: List[Pair] = pydantic.Field(examples=[[["怎么开户", "如何开通账户"]]])


class Predictions(pydantic.BaseModel):
    """Answer of /predict, a row for each text."""

    classes: List[str] = pydantic.Field(description="Names of the columns of the probabilities.")
    labels: Union[List[str], List[List[str]], List[float]] = pydantic.Field(
        description="The most probable class; of a multi-label model a list; else a value."
    )
    probabilities: List[List[float]] = pydantic.Field(
        description="A column for each class; of a regression its values, as the only column."
    )


class Similarities(pydantic.BaseModel):
    """Answer of /similarity."""

    similarities: List[float] = pydantic.Field(
        description="How probably the texts of each pair mean the same."
    )


class Health(pydantic.BaseModel):
    """What is served."""

    status: Literal["ok"]
    objective: str = pydantic.Field(description="The kind of task, such as single_label.")
    classes: List[str]
    max_seq_length: int = pydantic.Field(description="In tokens; longer texts are cut.")


class Error(pydantic.BaseModel):
    """What is wrong, in a line."""

    model_config = pydantic.ConfigDict(extra="forbid")
    error: str


class Metrics:
    """What /metrics shows; a separate registry, so that several services fit into a process."""

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
        self.batch_size = prometheus_client.Histogram(
            "albert_batch_size",
            "Texts predicted at once.",
            buckets=[2**power for power in range(11)],
            **settings,
        )
        self.waiting = prometheus_client.Gauge("albert_waiting_texts", "Waiting texts.", **settings)


def create_app(predictor: Any, limits: Optional[Limits] = None) -> FastAPI:
    """The service.

    Args:
        predictor: `Predictor`; stays the caller's, who closes it after the service has ended.
        limits: `Limits`.

    Returns:
        `FastAPI`.
    """
    limits = limits or Limits()
    metrics = Metrics()
    batcher = micro_batching.MicroBatcher(
        predictor.predict,
        limits.max_batch_size,
        limits.max_waiting,
        limits.max_wait_seconds,
        metrics.batch_size.observe,
    )
    metrics.waiting.set_function(lambda: batcher.num_waiting)

    @contextlib.asynccontextmanager
    async def lifespan(app):
        batcher.start()
        yield
        await batcher.stop()

    app = FastAPI(
        title="Chinese ALBERT",
        version="1",
        description="A fine-tuned model of texts or pairs of texts. Of errors each is a line of "
        "JSON, also of paths that are none (404) and of other methods (405).",
        docs_url=None,  # FastAPI's pages load scripts from elsewhere
        redoc_url=None,
        openapi_url=None,
        lifespan=lifespan,
    )
    app.add_middleware(BodyLimits, limits=limits)
    app.add_middleware(MeasuredRequests, metrics=metrics)
    _add_error_handlers(app)
    _add_predictions(app, predictor, batcher, limits, metrics)
    _add_pages(app, predictor, metrics)
    return app


def _add_predictions(app, predictor, batcher, limits, metrics):
    async def predicted(texts, client):
        if len(texts) > limits.max_texts:
            raise HTTPException(
                413, "%d texts, at most %d at once" % (len(texts), limits.max_texts)
            )
        predictor.checked(texts)  # before it is a part of a batch
        try:
            prediction = await _while_connected(client, batcher.submit(texts))
        except micro_batching.QueueIsFull as error:
            message = "too much to do (%s): try again soon" % error
            raise HTTPException(503, message, {"Retry-After": "1"}) from error
        metrics.texts.inc(len(texts))
        return prediction

    errors = _errors_of_predictions(limits)

    @app.post("/predict", responses={**errors, **_answer(Predictions)})
    async def predict(request: PredictRequest, client: Request):
        """Predicts texts: their classes, or what else the model was fine-tuned for."""
        decoded, outputs = await predicted(request.texts, client)
        return JSONResponse(predictor.kind.answer(decoded, outputs, predictor.labels))

    @app.post("/similarity", responses={**errors, **_answer(Similarities)})
    async def similarity(request: SimilarityRequest, client: Request):
        """How probably the two texts of each pair mean the same, by a model of sentence pairs."""
        column = predictor.similarity_column()
        _, probabilities = await predicted(request.pairs, client)
        return JSONResponse({"similarities": probabilities[:, column].tolist()})


_PLAIN_TEXT = {"text/plain": {"schema": {"type": "string"}}}


def _answer(model, description="The answer."):
    """The `responses` of a route that answers with JSON of a model."""
    return {200: {"model": model, "description": description}}


def _errors(by_status):
    """The `responses` of {status: what it means}; a key of OpenAPI is a str."""
    return {
        status: {"model": Error, "description": meaning} for status, meaning in by_status.items()
    }


def _errors_of_predictions(limits):
    """The errors of routes that predict, as OpenAPI has them."""
    errors = _errors(
        {
            400: "The body cannot be read, or a text is none that the model takes.",
            408: "The body did not come within %g seconds." % limits.body_seconds,
            413: "More than %d texts, or %d bytes." % (limits.max_texts, limits.max_body_bytes),
            415: "The content type is not application/json.",
            422: "The body is not JSON of the form that is asked for.",
            500: "An internal error, which the server's log shows.",
            503: "Too many texts are waiting (JSON), or too many connections are open (text).",
        }
    )
    errors[503]["content"] = _PLAIN_TEXT
    errors[503]["headers"] = {
        "Retry-After": {
            "description": "Seconds; where texts are waiting.",
            "schema": {"type": "string"},
        }
    }
    return errors


async def _while_connected(client, coroutine):
    """The result of a coroutine, which is cancelled when the client has gone away before."""
    task = asyncio.ensure_future(coroutine)
    try:
        while not (await asyncio.wait([task], timeout=SECONDS_BETWEEN_LOOKS))[0]:
            if await client.is_disconnected():
                raise HTTPException(499, "the client has gone away")  # nginx's number for it
        return task.result()
    except asyncio.CancelledError:  # by the server, whose time to end is over
        raise HTTPException(503, "the service is ending") from None
    finally:
        task.cancel()


def _add_pages(app, predictor, metrics):
    page = files.read_text(PAGE).replace("{{text_form}}", TEXT_FORMS[predictor.takes_pairs])
    errors = _errors({500: "An internal error, which the server's log shows."})
    errors[503] = {"description": "Too many connections are open.", "content": _PLAIN_TEXT}

    def html(content):
        return HTMLResponse(content, headers={"Content-Security-Policy": CONTENT_SECURITY_POLICY})

    @app.get("/", response_class=HTMLResponse, responses=errors)
    async def index():
        """A page to try the model on."""
        return html(page)

    @app.get("/docs", response_class=HTMLResponse, responses=errors)
    async def docs():
        """This document, for people."""
        return html(api_page.render(app.openapi()))

    @app.get("/openapi.json", responses={**errors, **_answer(Dict[str, Any])})
    async def openapi():
        """This document, for programs."""
        return JSONResponse(app.openapi())

    @app.get("/health", responses={**errors, **_answer(Health)})
    async def health():
        """What is served."""
        return JSONResponse(
            {
                "status": "ok",
                "objective": predictor.objective,
                "classes": predictor.labels,
                "max_seq_length": predictor.max_seq_length,
            }
        )

    @app.get("/metrics", response_class=PlainTextResponse, responses=errors)
    async def show_metrics():
        """Requests, seconds, batch sizes and waiting texts, for Prometheus."""
        content = prometheus_client.generate_latest(metrics.registry)
        return Response(content, media_type=prometheus_client.CONTENT_TYPE_LATEST)


def _add_error_handlers(app):
    """Errors are a line of JSON, which never repeats what was sent."""

    @app.exception_handler(StarletteHTTPException)
    async def on_http_error(request: Request, error):
        return _error(error.status_code, str(error.detail), error.headers)

    @app.exception_handler(RequestValidationError)
    async def on_invalid(request: Request, error):
        first = error.errors()[0]
        location = ".".join(str(key) for key in first["loc"])
        return _error(422, "%s: %s" % (location, first["msg"]))

    @app.exception_handler(UserError)
    async def on_user_error(request: Request, error):
        return _error(400, str(error))

    @app.exception_handler(Exception)
    async def on_unforeseen(request: Request, error):
        return _error(500, "internal error: see the server's log")


def _error(status, message, headers=None):
    return JSONResponse({"error": message}, status, headers)


class MeasuredRequests:
    """ASGI middleware that counts and times requests."""

    def __init__(self, app: Any, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"] if scope["path"] in PATHS else "other"
        status = [500]

        async def counting_send(message):
            if message["type"] == "http.response.start":
                status[0] = message["status"]
            await send(message)

        start = time.perf_counter()
        try:
            await self._app(scope, receive, counting_send)
        finally:
            self._metrics.requests.labels(path, status[0]).inc()
            self._metrics.seconds.labels(path).observe(time.perf_counter() - start)


class BodyLimits:
    """ASGI middleware that takes JSON only, of bounded size, and within bounded time."""

    def __init__(self, app: Any, limits: Limits) -> None:
        self._app = app
        self._limits = limits

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        try:
            _check_content_type(scope)
            body = await asyncio.wait_for(self._body(scope, receive), self._limits.body_seconds)
        except asyncio.TimeoutError:
            message = "the body did not come within %g s" % self._limits.body_seconds
            await _refuse(receive, send, 408, message)
        except HTTPException as error:
            await _refuse(receive, send, error.status_code, error.detail)
        else:
            if body is not None:
                await self._app(scope, _replayed(body, receive), send)

    async def _body(self, scope, receive):
        """The body, or None if the client went away."""
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


def _check_content_type(scope):
    content_type = _header(scope, b"content-type").split(b";")[0].strip().lower()
    if content_type != b"application/json":
        raise HTTPException(415, "expected Content-Type: application/json")


def _header(scope, name):
    return next((value for key, value in scope["headers"] if key == name), b"")


def _replayed(body, receive):
    """A `receive` that gives the body first."""
    given = []

    async def replay():
        if not given:
            given.append(True)
            return {"type": "http.request", "body": body, "more_body": False}
        return await receive()

    return replay


async def _refuse(receive, send, status, message):
    """Answers without having read all of the body; the connection ends with it.

    What the client still sends is read and dropped for a while: a connection that is closed with
    bytes unread is reset, and the client would lose the answer.
    """
    content = json.dumps({"error": message}).encode("utf-8")
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
    """Reads up to the end of the body, or until the client goes away."""
    while (await receive()).get("more_body", False):
        pass
