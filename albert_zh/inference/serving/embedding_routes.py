"""Routes of an embedding model: vectors for OpenAI clients, reranking, and search in a corpus.

    POST /v1/embeddings  like OpenAI: {"input": text or list, "encoding_format", "dimensions"}
    GET  /v1/models      the model's name
    POST /embed          like text-embeddings-inference: {"inputs": text or list}
    POST /similarity     likewise: {"inputs": {"source_sentence": text, "sentences": [text, ...]}};
                         with a pair classifier, the classifier's route {"pairs": ...} instead
    GET  /info           likewise: the model's name, its maximum length, maximum texts per request
    POST /rerank         likewise: {"query": text, "texts": [text, ...]}
    POST /search         {"query": text, "top_k": 5}, if there is a corpus
    GET  /search         a page for searches

Texts are reranked by the pair classifier if there is one, and by the cosine otherwise.
"""

import base64
import contextlib
import functools
import sys
import threading
from typing import Any, Callable, Iterator, List, Literal, NamedTuple, Optional, Union

from fastapi import HTTPException, Request
from fastapi.responses import HTMLResponse, JSONResponse
import numpy as np
import pydantic
from starlette.concurrency import run_in_threadpool

from albert_zh.common.errors import printable
from albert_zh.inference import input_rows
from albert_zh.inference.retrieval import corpus_cache, search, search_choice
from albert_zh.inference.serving import http_answers

SECONDS_BETWEEN_REFRESHES = 1.0  # how often to check the corpus file for changes
_LARGEST_ODDS = 1e7  # at probability 1, and 1 / odds at 0, so that raw scores are finite
_TRUNCATE = "false: texts with more tokens than the model reads are refused (413)."
_EXAMPLE = ["怎么开户", "如何开通账户"]


class EmbeddingModel(NamedTuple):
    """The models and the corpus to serve.

    `encoder`: `TextEncoder`; `name`: the model's name for clients; `reranker`: `Predictor` of
    sentence pairs, or None; `corpus`: `search.Corpus` or None; `choice`: how to rank the lines of
    the corpus, None: by the default ranking.
    """

    encoder: Any
    name: str
    reranker: Any = None
    corpus: Optional[search.Corpus] = None
    choice: Optional[search_choice.Choice] = None

    @property
    def ranking(self) -> search_choice.Choice:
        """The ranking of the corpus lines."""
        assert self.corpus is not None
        return self.choice or search_choice.Choice("mixed", self.corpus.usual_weights)


Texts = Union[
    pydantic.StrictStr,
    List[pydantic.StrictStr],
    List[pydantic.StrictInt],
    List[List[pydantic.StrictInt]],
]


class EmbeddingsRequest(pydantic.BaseModel):
    """Body of /v1/embeddings."""

    input: Texts = pydantic.Field(description="A text, or a list of texts.", examples=[_EXAMPLE])
    model: Optional[str] = pydantic.Field(
        None, description="Ignored: there is one model.", examples=["albert"]
    )
    encoding_format: Optional[Literal["float", "base64"]] = pydantic.Field(
        "float", description="base64: encodes little-endian float32.", examples=["float"]
    )
    dimensions: Optional[pydantic.StrictInt] = pydantic.Field(
        None, description="Number of leading values to keep (Matryoshka).", ge=1, examples=[None]
    )


class Embedding(pydantic.BaseModel):
    """The vector of a text."""

    object: Literal["embedding"]
    index: int
    embedding: Union[List[float], str]


class Usage(pydantic.BaseModel):
    """Number of tokens that were encoded."""

    prompt_tokens: int
    total_tokens: int


class Embeddings(pydantic.BaseModel):
    """Response of /v1/embeddings."""

    object: Literal["list"]
    data: List[Embedding]
    model: str
    usage: Usage


class ModelName(pydantic.BaseModel):
    """A model."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class Models(pydantic.BaseModel):
    """Response of /v1/models."""

    object: Literal["list"]
    data: List[ModelName]


class EmbedRequest(pydantic.BaseModel):
    """Body of /embed; texts that are too long are truncated, unless `truncate` is false."""

    inputs: Union[pydantic.StrictStr, List[pydantic.StrictStr]] = pydantic.Field(
        examples=[_EXAMPLE]
    )
    normalize: bool = pydantic.Field(True, examples=[True])
    truncate: Optional[bool] = pydantic.Field(True, description=_TRUNCATE, examples=[True])
    truncation_direction: Literal["Right", "right"] = pydantic.Field("Right", examples=["Right"])
    prompt_name: None = pydantic.Field(None, examples=[None])
    dimensions: Optional[pydantic.StrictInt] = pydantic.Field(None, ge=1, examples=[None])


class ComparedTexts(pydantic.BaseModel):
    """A text and the texts to compare it with."""

    source_sentence: pydantic.StrictStr
    sentences: List[pydantic.StrictStr]


class SimilarityRequest(pydantic.BaseModel):
    """Body of /similarity."""

    inputs: ComparedTexts = pydantic.Field(
        examples=[{"source_sentence": "怎么开户", "sentences": ["如何开通账户", "今天天气"]}]
    )


class Info(pydantic.BaseModel):
    """Response of /info."""

    model_config = pydantic.ConfigDict(protected_namespaces=())  # for names with model_
    model_id: str
    max_input_length: int
    max_client_batch_size: int


class RerankRequest(pydantic.BaseModel):
    """Body of /rerank."""

    query: pydantic.StrictStr = pydantic.Field(examples=["怎么开户"])
    texts: List[pydantic.StrictStr] = pydantic.Field(examples=[["如何开通账户", "今天天气"]])
    raw_scores: bool = pydantic.Field(
        False, description="Return log odds instead of probabilities.", examples=[False]
    )
    return_text: bool = pydantic.Field(False, examples=[False])
    truncate: Optional[bool] = pydantic.Field(True, description=_TRUNCATE, examples=[True])
    truncation_direction: Literal["Right", "right"] = pydantic.Field("Right", examples=["Right"])


class Rank(pydantic.BaseModel):
    """A text and its score."""

    index: int
    score: float
    text: Optional[str] = None


class SearchRequest(pydantic.BaseModel):
    """Body of /search."""

    model_config = pydantic.ConfigDict(extra="forbid")
    query: pydantic.StrictStr = pydantic.Field(examples=["怎么开户"])
    top_k: pydantic.StrictInt = pydantic.Field(5, ge=1, le=1000, examples=[5])


class FoundLine(pydantic.BaseModel):
    """A line of the corpus, see `search.Hit`."""

    line: int
    text: str
    cosine: float
    probability: Optional[float]
    lexical: float
    score: float


class FoundLines(pydantic.BaseModel):
    """Response of /search, the best line first."""

    hits: List[FoundLine]
    ranking: str


def add_routes(app: Any, model: EmbeddingModel, batch: Callable[..., Any], limits: Any) -> None:
    """Adds the routes to a `FastAPI` app.

    Args:
        app: the service.
        model: the models and the corpus to serve.
        batch: function from a prediction function to its `BatchedModel`.
        limits: `Limits`.
    """
    batched = batch(model.encoder.encode_with_lengths)
    _add_openai(app, model, batched, limits)
    if model.reranker is None:
        scores = functools.partial(_cosines, model, batched)
        _add_similarity(app, model, batched, limits)  # otherwise the classifier has it
    else:
        scores = functools.partial(
            _probabilities, model.reranker, batch(model.reranker.predict_with_readings)
        )
    _add_vectors(app, model, batched, limits)
    _add_reranking(app, model, batched, scores, limits)
    if model.corpus is not None:
        _add_search(app, model, batch(functools.partial(_found, model)), limits)


def _add_openai(app, model, batched, limits):
    errors = http_answers.errors_of_predictions(limits, http_answers.OpenAIError)
    errors.pop(422)  # OpenAI's clients expect 400

    @app.post(
        "/v1/embeddings", responses={**errors, **http_answers.answer_of_predictions(Embeddings)}
    )
    async def embeddings(request: EmbeddingsRequest, client: Request):
        """Returns vectors of texts, in OpenAI's format; texts that are too long are truncated."""
        texts = _checked_texts(request.input)
        batched.check_number(len(texts))
        width = model.encoder.checked_width(request.dimensions, "dimensions")
        lengths, vectors = await batched.run(texts, client)
        vectors = model.encoder.finished(vectors, width=width)
        entries = _as_base64(vectors) if request.encoding_format == "base64" else vectors.tolist()
        data = [
            {"object": "embedding", "index": index, "embedding": entry}
            for index, entry in enumerate(entries)
        ]
        usage = {"prompt_tokens": sum(lengths), "total_tokens": sum(lengths)}
        content = {"object": "list", "data": data, "model": model.name, "usage": usage}
        return http_answers.predicted(content, client)

    of_pages = http_answers.errors(
        {500: "An internal error, which the server's log shows."}, http_answers.OpenAIError
    )

    @app.get("/v1/models", responses={**of_pages, **http_answers.answer(Models)})
    async def models():
        """Returns the model's name."""
        entry = {"id": model.name, "object": "model", "created": 0, "owned_by": "albert_zh"}
        return JSONResponse({"object": "list", "data": [entry]})


def _add_similarity(app, model, batched, limits):
    errors = http_answers.errors_of_predictions(limits)

    @app.post(
        "/similarity", responses={**errors, **http_answers.answer_of_predictions(List[float])}
    )
    async def similarity(request: SimilarityRequest, client: Request):
        """Returns the cosines of a text with others, in text-embeddings-inference's format."""
        texts = _checked_texts(request.inputs.sentences, "inputs.sentences")
        source = _checked_texts([request.inputs.source_sentence], "inputs.source_sentence")
        batched.check_number(len(texts))
        cosines = await _cosines(model, batched, source + texts, client)
        return http_answers.predicted(cosines.tolist(), client)


def _add_vectors(app, model, batched, limits):
    errors = http_answers.errors_of_predictions(limits)
    of_vectors = http_answers.answer_of_predictions(List[List[float]])

    @app.post("/embed", responses={**errors, **of_vectors})
    async def embed(request: EmbedRequest, client: Request):
        """Returns vectors of texts, in the format of text-embeddings-inference."""
        texts = _checked_texts(request.inputs, "inputs")
        batched.check_number(len(texts))
        if request.truncate is False:
            await run_in_threadpool(_check_lengths, model.encoder, texts, "inputs")
        width = model.encoder.checked_width(request.dimensions, "dimensions")
        _, vectors = await batched.run(texts, client)
        vectors = model.encoder.finished(vectors, request.normalize, width)
        return http_answers.predicted(vectors.tolist(), client)

    of_pages = http_answers.errors({500: "An internal error, which the server's log shows."})

    @app.get("/info", responses={**of_pages, **http_answers.answer(Info)})
    async def info():
        """Returns what clients of text-embeddings-inference request before they start."""
        return {
            "model_id": model.name,
            "max_input_length": model.encoder.max_seq_length,
            "max_client_batch_size": limits.max_texts,
        }


def _add_reranking(app, model, batched, scores_of, limits):
    errors = http_answers.errors_of_predictions(limits)

    @app.post(
        "/rerank",
        response_model_exclude_none=True,
        responses={**errors, **http_answers.answer_of_predictions(List[Rank])},
    )
    async def rerank(request: RerankRequest, client: Request):
        """Ranks texts by the probability that they mean the same as a query, highest first."""
        batched.check_number(len(request.texts))
        _checked_texts(request.texts, "texts"), _checked_texts([request.query], "query")
        if request.truncate is False:
            await run_in_threadpool(_check_reranked, model, request)
        scores = await scores_of([request.query] + request.texts, client)
        if request.raw_scores and model.reranker is not None:
            scores = _logits(scores)
        entries = [
            {"index": index, "score": float(scores[index])}
            for index in np.argsort(-scores, kind="stable").tolist()
        ]
        if request.return_text:
            entries = [dict(entry, text=request.texts[entry["index"]]) for entry in entries]
        return http_answers.predicted(entries, client)


async def _probabilities(reranker, batched, texts, client):
    """float [n - 1]: the probability that the first text means the same as each other text."""
    _, probabilities = await batched.run([(texts[0], text) for text in texts[1:]], client)
    return np.asarray(probabilities, np.float64)[:, reranker.similarity_column()]


def _logits(probabilities):
    odds = probabilities / np.maximum(1 - probabilities, 1 / _LARGEST_ODDS)
    return np.log(np.clip(odds, 1 / _LARGEST_ODDS, _LARGEST_ODDS))


async def _cosines(model, batched, texts, client):
    """float [n - 1]: the cosine of the first text with each other text."""
    _, vectors = await batched.run(texts, client)
    vectors = model.encoder.finished(vectors, normalize=True)
    return vectors[1:] @ vectors[0]


def _found(model, asked, is_wanted):
    """((answer, the query's `Reading`) of (query, top_k), None), for `BatchedModel`."""
    del is_wanted  # a query is a single row
    choice = model.ranking
    ranking = {"ranking": choice.ranking, "weights": choice.weights}
    found = [
        model.corpus.search([query], model.reranker, top_k, **ranking)[0] for query, top_k in asked
    ]
    answers = [{"hits": [hit._asdict() for hit in hits], "ranking": str(choice)} for hits in found]
    readings = [model.encoder.reading(corpus_cache.as_read(query)) for query, _ in asked]
    return list(zip(answers, readings)), None


def _add_search(app, model, batched, limits):
    errors = http_answers.errors_of_predictions(limits)

    @app.post("/search", responses={**errors, **http_answers.answer_of_predictions(FoundLines)})
    async def find(request: SearchRequest, client: Request):
        """Finds the lines of the corpus that are most similar to a query."""
        if not request.query.strip():
            raise HTTPException(400, "query: is empty")
        answers, _ = await batched.run([(request.query, request.top_k)], client)
        return http_answers.predicted(answers[0], client)

    of_page = http_answers.errors({500: "An internal error, which the server's log shows."})

    @app.get("/search", response_class=HTMLResponse, responses=of_page)
    async def show_search():
        """A page for searches in the corpus."""
        return http_answers.html(http_answers.page("search.html"))


@contextlib.contextmanager
def following(corpus: Optional[search.Corpus]) -> Iterator[None]:
    """Context manager in which the corpus follows changes of its file.

    Leaving it does not wait for encoding: once its model is closed, it ends after a whole block.

    Args:
        corpus: `search.Corpus` or None.
    """
    is_over = threading.Event()
    if corpus is not None:
        threading.Thread(target=_follow, args=(corpus, is_over), daemon=True).start()
    try:
        yield
    finally:
        is_over.set()


def _follow(corpus, is_over):
    problem = None
    while not is_over.wait(SECONDS_BETWEEN_REFRESHES):
        try:
            corpus.refresh()
            problem = None
        except Exception as error:  # the file is being replaced: keep the old lines
            if str(error) != problem and not is_over.is_set():
                problem = str(error)
                print(printable("corpus not reloaded: %s" % problem), file=sys.stderr)


def _checked_texts(texts, field="input"):
    """A text or a list of texts as a list; raises `HTTPException` for other values.

    Args:
        texts: value of the request.
        field: name of the field, for the error.
    """
    texts = [texts] if isinstance(texts, str) else texts
    if not texts:
        raise HTTPException(400, field + ": expected a text or a list of texts, found none")
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise HTTPException(
                400,
                field + ": found token ids, which belong to another model's vocabulary: send texts "
                "(LangChain: OpenAIEmbeddings(check_embedding_ctx_length=False))",
            )
        if not text.strip():
            raise HTTPException(400, "%s: text %d is empty" % (field, index))
    return texts


def _check_reranked(model, request):
    """`_check_lengths` for the texts that a request for /rerank makes the model read."""
    if model.reranker is None:
        _check_lengths(model.encoder, [request.query], "query")
        _check_lengths(model.encoder, request.texts, "texts")
    else:
        _check_lengths(model.reranker.use, request.texts, "texts", [request.query])


def _check_lengths(model, texts, field, before=()):
    """Raises `HTTPException` for a text that the model would truncate.

    Args:
        model: `TextEncoder`, or the `use` of a `Predictor`.
        texts: list of str.
        field: name of the texts in the request, for the error.
        before: the text that the model reads before each of the texts, if there is one.
    """
    for index, text in enumerate(texts):
        length = input_rows.num_tokens(model.tokenizer, *before, text)
        if length > model.max_seq_length:
            raise HTTPException(
                413,
                "%s: text %d has %d tokens%s, at most %d are read: shorten it, or leave out "
                "truncate=false"
                % (field, index, length, " with the query" * len(before), model.max_seq_length),
            )


def _as_base64(vectors):
    return [base64.b64encode(row.astype("<f4").tobytes()).decode("ascii") for row in vectors]
