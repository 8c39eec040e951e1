"""The HTTP service of a generator: texts at once, and as server-sent events."""

import json

import pytest

pytest.importorskip("fastapi", reason="needs requirements-serve.txt")

from albert_zh.inference import http_service
from albert_zh.inference.generator import Generator
from http_requests import ask, post, running
import small_models

JSON = {"Content-Type": "application/json"}
SOURCES = ["今天天气很好", "我们去吃饭吧？", "开门"]


@pytest.fixture(name="generator", scope="module")
def generator_fixture(tmp_path_factory):
    folder = tmp_path_factory.mktemp("service") / "best"
    with Generator(small_models.write_generator(folder)) as generator:
        yield generator


@pytest.fixture(name="port", scope="module")
def port_fixture(generator):
    limits = http_service.Limits(max_texts=5)
    with running(http_service.create_app(limits=limits, generator=generator)) as port:
        yield port


def events(port, body):
    """The contents of a stream's events."""
    status, headers, content = ask(port, "POST", "/generate/stream", json.dumps(body), JSON)
    assert status == 200 and headers["content-type"].startswith("text/event-stream")
    assert content.endswith("\n\n")
    return [event[len("data: ") :] for event in content[:-2].split("\n\n")]


def test_texts_are_those_of_the_generator(port, generator):
    settings = {"num_beams": 3, "min_length": 4}
    status, _, answer = post(port, "/generate", {"texts": SOURCES, **settings})
    expected = generator.generate(SOURCES, **settings)
    assert status == 200 and answer["generated"] == [one.text for one in expected]


def test_streams_send_the_text_in_pieces(port, generator):
    settings = {"do_sample": True, "seed": 4, "min_length": 4}
    sent = events(port, {"text": SOURCES[0], **settings})
    assert sent[-1] == "[DONE]" and len(sent) > 4
    text = "".join(json.loads(event)["text"] for event in sent[:-1])
    assert text == generator.generate(SOURCES[:1], **settings)[0].text


@pytest.mark.parametrize(
    "path, body, status",
    [
        ("/generate", {"texts": [""]}, 400),
        ("/generate", {"texts": ["今天"] * 6}, 413),
        ("/generate", {"texts": ["今天"], "num_beams": 0}, 400),
        ("/generate", {"texts": ["今天"], "beams": 2}, 422),
        ("/generate/stream", {"text": " "}, 400),
        ("/generate/stream", {"text": "今天", "top_k": 3}, 400),
    ],
)
def test_errors_are_a_line_of_json(port, path, body, status):
    found, _, answer = post(port, path, body)
    assert found == status and "\n" not in answer["error"]


def test_its_pages_and_health(port):
    for path in ("/", "/write"):
        assert "generate/stream" in ask(port, "GET", path)[2]
    assert json.loads(ask(port, "GET", "/health")[2])["objective"] == "generation"
