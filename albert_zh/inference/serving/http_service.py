"""The HTTP service for models in memory. Needs requirements-serve.txt.

    GET  /            a page to try the model on
    POST /predict     {"texts": ["text", ["text a", "text b"], ...]}
    POST /similarity  {"pairs": [["text a", "text b"], ...]}
    GET  /health      what is served
    GET  /metrics     metrics for Prometheus
    GET  /docs        the API for people
    GET  /openapi.json  and for programs

An embedding model adds the routes of `embedding_routes`, and a generator the routes of
`generation_routes`.

Errors are {"error": "one line"}, except for uvicorn's error at too many connections. Nothing in a
request is used as a file name or executed.
"""

import contextlib
from typing import Any, Dict, List, Literal, Optional, Tuple, Union

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse
import prometheus_client
import pydantic
from starlette.exceptions import HTTPException as StarletteHTTPException

from albert_zh.common.errors import UserError
from albert_zh.inference.serving import (
    api_page,
    embedding_routes,
    generation_routes,
    http_answers,
    http_limits,
)
from albert_zh.inference.serving.http_limits import (
    BatchedModel,
    BodyLimits,
    Limits,
    MeasuredRequests,
    Metrics,
    PathsOfUris,
)

TEXT_FORMS = {None: "any", True: "pairs", False: "single"}  # for the page, by the model's input
# What a client can do about a text of another form than the training texts, for
# `Predictor.checked`.
_WAYS_OUT = {
    True: 'give ["text_a", "text_b"]; for single texts start the server with '
    "--check_text_form=false",
    False: "give one text; for pairs start the server with --check_text_form=false",
}
Pair = Tuple[pydantic.StrictStr, pydantic.StrictStr]


class AnnotatedText(pydantic.BaseModel):
    """A text that is passed with its slots."""

    model_config = pydantic.ConfigDict(extra="forbid")
    text: pydantic.StrictStr = pydantic.Field(
        validation_alias=pydantic.AliasChoices("text", "text_a")
    )
    text_b: Optional[pydantic.StrictStr] = None
    slots: Any = pydantic.Field(
        None, description='[{"begin": 3, "end": 6, "name": "singer"}], or {"singer": "吴雨霏"}.'
    )
    slots_b: Any = None

    def given(self) -> Any:
        """The value for `Predictor.predict`: a text or pair of texts if it has no slots."""
        if self.slots is None and self.slots_b is None:
            return self.text if self.text_b is None else (self.text, self.text_b)
        return self.model_dump(exclude_none=True)


class PredictRequest(pydantic.BaseModel):
    """Body of /predict."""

    model_config = pydantic.ConfigDict(extra="forbid")
    texts: List[Union[pydantic.StrictStr, Pair, AnnotatedText]] = pydantic.Field(
        description="Each is a text or a pair of texts, as the model was trained on; for a model "
        "with slots, also an object that has them.",
        examples=[["苹果发布新手机"], [["怎么开户", "如何开通账户"]]],
    )


class SimilarityRequest(pydantic.BaseModel):
    """Body of /similarity."""

    model_config = pydantic.ConfigDict(extra="forbid")
    pairs: List[Pair] = pydantic.Field(examples=[[["怎么开户", "如何开通账户"]]])


class Predictions(pydantic.BaseModel):
    """Response of /predict, one row per text."""

    classes: List[str] = pydantic.Field(description="Names of the probability columns.")
    labels: Union[List[str], List[List[str]], List[float]] = pydantic.Field(
        description="The most probable class; multi-label: a list of classes; regression: a value."
    )
    probabilities: List[List[float]] = pydantic.Field(
        description="One column per class; for a regression, its values as the only column."
    )


class Decoded(pydantic.BaseModel):
    """Response of /predict if the model predicts spans of the texts, or texts."""

    predictions: List[Any] = pydantic.Field(description="The prediction for each text.")


class Similarities(pydantic.BaseModel):
    """Response of /similarity."""

    similarities: List[float] = pydantic.Field(
        description="The probability that the texts of each pair mean the same."
    )


class Health(pydantic.BaseModel):
    """What is served."""

    status: Literal["ok"]
    objective: str = pydantic.Field(description="The kind of task, such as single_label.")
    classes: List[str] = pydantic.Field(description="Empty if predictions are spans or texts.")
    max_seq_length: int = pydantic.Field(description="In tokens; longer texts are truncated.")


def create_app(
    predictor: Any = None,
    limits: Optional[Limits] = None,
    embedding: Optional[embedding_routes.EmbeddingModel] = None,
    generator: Any = None,
) -> FastAPI:
    """Creates the service of a predictor, an embedding model or a generator, or of several.

    Args:
        predictor: `Predictor` or None; the caller keeps it and closes it after the service has
            stopped.
        limits: `Limits`.
        embedding: `EmbeddingModel` or None; the caller keeps its models and corpus.
        generator: `Generator` or None; the caller keeps it.

    Returns:
        `FastAPI`.
    """
    limits, metrics = limits or Limits(), Metrics()
    batched = []
    corpus = embedding.corpus if embedding else None

    @contextlib.asynccontextmanager
    async def lifespan(app):
        for model in batched:
            model.start()
        with embedding_routes.following(corpus):
            yield
        for model in batched:
            await model.stop()

    def batch(predict):
        batched.append(BatchedModel(predict, limits, metrics))
        return batched[-1]

    app = _empty_app(lifespan)
    _add_error_handlers(app)
    if predictor is not None:
        _add_predictions(app, predictor, batch(predictor.predict_with_readings), limits)
    if embedding is not None:
        embedding_routes.add_routes(app, embedding, batch, limits)
    if generator is not None:
        generation_routes.add_routes(app, generator, limits, metrics)
    metrics.waiting.set_function(lambda: sum(model.num_waiting for model in batched))
    _add_pages(app, (predictor, embedding, generator), metrics)
    _answer_head_as_get(app)
    app.add_middleware(BodyLimits, limits=limits)
    paths = [route.path for route in app.routes]
    app.add_middleware(MeasuredRequests, metrics=metrics, paths=paths)
    app.add_middleware(PathsOfUris)
    return app


def _empty_app(lifespan):
    app = FastAPI(
        title="Chinese ALBERT",
        version="1",
        description="A fine-tuned model of texts or pairs of texts. Every error is a line of JSON, "
        "also for unknown paths (404) and other methods (405).",
        docs_url=None,  # FastAPI's pages load scripts from elsewhere
        redoc_url=None,
        openapi_url=None,
        lifespan=lifespan,
    )
    app.router.route_class = http_limits.Route
    return app


def _add_predictions(app, predictor, batched, limits):
    async def predicted(texts, client):
        batched.check_number(len(texts))
        predictor.checked(texts, _WAYS_OUT)  # before it enters a batch
        return await batched.run(texts, client)

    errors = http_answers.errors_of_predictions(limits)
    form = Predictions if predictor.kind.is_classification else Decoded

    @app.post("/predict", responses={**errors, **http_answers.answer_of_predictions(form)})
    async def predict(request: PredictRequest, client: Request):
        """Predicts the classes of texts, or whatever the model was fine-tuned for."""
        texts = [
            text.given() if isinstance(text, AnnotatedText) else text for text in request.texts
        ]
        decoded, outputs = await predicted(texts, client)
        content = predictor.kind.answer(decoded, outputs, predictor.labels)
        return http_answers.predicted(content, client)

    of_pairs = http_answers.answer_of_predictions(Similarities)

    @app.post("/similarity", responses={**errors, **of_pairs})
    async def similarity(request: SimilarityRequest, client: Request):
        """Predicts the probability that the texts of each pair mean the same."""
        column = predictor.similarity_column()
        _, probabilities = await predicted(request.pairs, client)
        content = {"similarities": probabilities[:, column].tolist()}
        return http_answers.predicted(content, client)


def _add_pages(app, models, metrics):
    page = _first_page(*models)
    errors = http_answers.errors({500: "An internal error, which the server's log shows."})
    errors[503] = {
        "description": "Too many connections are open.",
        "content": http_answers.PLAIN_TEXT,
    }

    @app.get("/", response_class=HTMLResponse, responses=errors)
    async def index():
        """A page to try the model out."""
        return http_answers.html(page or api_page.render(app.openapi()))

    @app.get("/docs", response_class=HTMLResponse, responses=errors)
    async def docs():
        """This document, for people."""
        return http_answers.html(api_page.render(app.openapi()))

    @app.get("/openapi.json", responses={**errors, **http_answers.answer(Dict[str, Any])})
    async def openapi():
        """This document, for programs."""
        return JSONResponse(app.openapi())

    @app.get("/health", responses={**errors, **http_answers.answer(Health)})
    async def health():
        """What is served."""
        return JSONResponse(_health(*models))

    @app.get("/metrics", response_class=PlainTextResponse, responses=errors)
    async def show_metrics():
        """Requests, durations, batch sizes and waiting texts, for Prometheus."""
        content = prometheus_client.generate_latest(metrics.registry)
        return Response(content, media_type=prometheus_client.CONTENT_TYPE_LATEST)


def _answer_head_as_get(app):
    """Answers HEAD requests of load balancers like GET; the server then omits the body."""
    for route in list(app.routes):
        if "GET" in route.methods:
            app.head(route.path, include_in_schema=False)(route.endpoint)


def _first_page(predictor, embedding, generator):
    """The page at /; None if there is nothing to show but the API document."""
    if predictor is not None:
        form = TEXT_FORMS[predictor.takes_pairs]
        return http_answers.page("index.html").replace("{{text_form}}", form)
    if embedding is not None and embedding.corpus is not None:
        return http_answers.page("search.html")
    return None if generator is None else http_answers.page("write.html")


def _health(predictor, embedding, generator):
    if predictor is None and embedding is None:
        kind, labels, length = "generation", [], generator.max_source_length
    elif predictor is None:
        kind, labels, length = "sentence_embedding", [], embedding.encoder.max_seq_length
    else:
        kind, length = predictor.objective, predictor.max_seq_length
        has_columns = predictor.rules.has_classes or predictor.kind.is_classification
        labels = predictor.labels if has_columns else []
    return {"status": "ok", "objective": kind, "classes": labels, "max_seq_length": length}


def _add_error_handlers(app):
    """Makes every error a line of JSON, which never repeats the request."""

    @app.exception_handler(StarletteHTTPException)
    async def on_http_error(request: Request, error):
        return _error(request, error.status_code, str(error.detail), error.headers)

    @app.exception_handler(RequestValidationError)
    async def on_invalid(request: Request, error):
        nearest = max(error.errors(), key=_nearness)
        location = ".".join(str(key) for key in nearest["loc"])
        status = 400 if request.url.path.startswith(http_limits.OPENAI_PATHS) else 422
        return _error(request, status, "%s: %s" % (location, nearest["msg"]))

    @app.exception_handler(UserError)
    async def on_user_error(request: Request, error):
        return _error(request, 400, str(error))

    @app.exception_handler(Exception)
    async def on_unforeseen(request: Request, error):
        return _error(request, 500, "internal error: see the server's log")


def _nearness(error):
    """How well a value matches one of several forms: errors inside it, errors beyond its type.

    Args:
        error: error of pydantic.
    """
    return len(error["loc"]), not error["type"].endswith("_type")


def _error(request, status, message, headers=None):
    content = http_limits.error_content(request.url.path, status, message)
    return JSONResponse(content, status, headers)
