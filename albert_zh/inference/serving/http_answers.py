"""Responses of the HTTP service as its OpenAPI document describes them, and its pages."""

import os
from typing import Any, Dict

from fastapi.responses import HTMLResponse, JSONResponse
import pydantic

from albert_zh.common import files, package_files
from albert_zh.inference.serving import http_limits

# The page loads nothing from elsewhere, and connects to this service only.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# {header: (attribute that `Metrics.count_texts` sets, description of the header)}
HEADERS = {
    "X-Texts-Cut": ("num_cut", "Number of texts that were too long and were truncated."),
    "X-Texts-Unknown": (
        "num_unknown",
        "Number of texts of whose word pieces at least half are not in the vocabulary.",
    ),
}
PLAIN_TEXT = {"text/plain": {"schema": {"type": "string"}}}


class Error(pydantic.BaseModel):
    """A one-line description of the error."""

    model_config = pydantic.ConfigDict(extra="forbid")
    error: str


class OpenAIErrorDetails(pydantic.BaseModel):
    """A description of the error, in the form that OpenAI's clients read."""

    message: str
    type: str
    param: Any = None
    code: Any = None


class OpenAIError(pydantic.BaseModel):
    """An error of a route below /v1/."""

    error: OpenAIErrorDetails


def predicted(content: Any, client: Any) -> JSONResponse:
    """A response with the counts of its texts in headers.

    Args:
        content: JSON value.
        client: the `Request` that was passed to `Metrics.count_texts`.
    """
    return JSONResponse(content, headers=counts_of(client))


def counts_of(client: Any) -> Dict[str, str]:
    """The headers of a response; argument as in `predicted`."""
    return {name: str(getattr(client.state, count)) for name, (count, _) in HEADERS.items()}


def answer_of_predictions(model: Any) -> Dict[Any, Any]:
    """Like `answer`, for routes that respond with `predicted`."""
    described = answer(model)
    described[200]["headers"] = described_counts()
    return described


def described_counts() -> Dict[str, Any]:
    """The headers of `counts_of`, in OpenAPI's form."""
    return {
        name: {"description": about, "schema": {"type": "integer"}}
        for name, (_, about) in HEADERS.items()
    }


def answer(model: Any, description: str = "The answer.") -> Dict[Any, Any]:
    """The `responses` of a route that returns JSON of a model."""
    return {200: {"model": model, "description": description}}


def errors(by_status: Dict[int, str], model: Any = Error) -> Dict[Any, Any]:
    """The `responses` of {status: meaning}; OpenAPI's keys are strings."""
    return {
        status: {"model": model, "description": meaning} for status, meaning in by_status.items()
    }


def errors_of_predictions(limits: http_limits.Limits, model: Any = Error) -> Dict[Any, Any]:
    """The errors of routes that predict, in OpenAPI's form."""
    described = errors(
        {
            400: "The body cannot be read, or the model does not accept one of the texts.",
            408: "The body did not come within %g seconds." % limits.body_seconds,
            413: "More than %d texts, or %d bytes." % (limits.max_texts, limits.max_body_bytes),
            415: "The content type is not application/json, or the body is compressed.",
            422: "The body is not JSON of the form that is asked for.",
            500: "An internal error, which the server's log shows.",
            503: "Too many texts are waiting (JSON), or too many connections are open (text).",
        },
        model,
    )
    described[503]["content"] = PLAIN_TEXT
    described[503]["headers"] = {
        "Retry-After": {
            "description": "Seconds; if texts are waiting.",
            "schema": {"type": "string"},
        }
    }
    return described


def page(name: str) -> str:
    """HTML of a page of the package, with the common style.

    Args:
        name: name of the page's file.
    """
    content, style = (
        files.read_text(os.path.join(package_files.WEB, file)) for file in (name, "style.css")
    )
    return content.replace("{{style}}\n", style)


def html(content: str) -> HTMLResponse:
    """An HTML response that may load nothing from other sites."""
    return HTMLResponse(content, headers={"Content-Security-Policy": CONTENT_SECURITY_POLICY})
