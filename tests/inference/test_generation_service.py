"""Tests of the HTTP service of a generator: whole texts, and server-sent events."""

import contextlib
import gc
import json
import socket
import threading
import time

import pytest

pytest.importorskip("fastapi", reason="needs requirements-serve.txt")

from albert_zh.inference import input_rows
from albert_zh.inference.generator import Abandoned, Generator
from albert_zh.inference.serving import http_service
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
    """Returns the contents of a stream's events."""
    status, headers, content = ask(port, "POST", "/generate/stream", json.dumps(body), JSON)
    assert status == 200 and headers["content-type"].startswith("text/event-stream")
    assert content.endswith("\n\n")
    return [event[len("data: ") :] for event in content[:-2].split("\n\n")]


def test_texts_are_those_of_the_generator(port, generator):
    settings = {"num_beams": 3, "min_length": 4}
    status, _, answer = post(port, "/generate", {"texts": SOURCES, **settings})
    expected = generator.generate(SOURCES, **settings)
    assert status == 200 and answer["generated"] == [one.text for one in expected]
    assert answer["was_cut"] == [one.was_cut for one in expected]


def test_answers_say_in_headers_what_was_not_read(generator):
    """The headers and the metrics count truncated and unknown texts."""
    texts = ["今天", "天" * 99, "鑫鑫"]
    with running(http_service.create_app(generator=generator)) as port:
        _, headers, answer = post(port, "/generate", {"texts": texts})
        assert answer["was_cut"] == [False, True, False]
        assert (headers["x-texts-cut"], headers["x-texts-unknown"]) == ("1", "1")
        for text, cut, unknown in zip(texts, "010", "001"):
            body = json.dumps({"text": text})
            _, headers, _ = ask(port, "POST", "/generate/stream", body, JSON)
            assert (headers["x-texts-cut"], headers["x-texts-unknown"]) == (cut, unknown)
        lines = ask(port, "GET", "/metrics")[2].splitlines()
    for count in ("albert_texts_total 6.0", "albert_texts_cut_total 2.0"):
        assert count in lines
    assert "albert_texts_unknown_total 2.0" in lines


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
        ("/generate", {"texts": ["今天"], "do_sample": True, "top_p": "0.5"}, 422),
        ("/generate", {"texts": ["今天"], "max_length": 0}, 400),
        ("/generate", {"texts": ["今天"], "max_length": 13}, 400),  # the limit of training is 12
        ("/generate", {"texts": ["今天"], "min_length": 13}, 400),
        ("/generate", {"texts": ["今天"], "num_beams": 17}, 400),
        ("/generate/stream", {"text": "今天", "max_length": 13}, 400),
        ("/generate/stream", {"text": " "}, 400),
        ("/generate/stream", {"text": "今天", "top_k": 3}, 400),
    ],
)
def test_errors_are_a_line_of_json(port, path, body, status):
    found, _, answer = post(port, path, body)
    assert found == status and "\n" not in answer["error"]


@pytest.mark.parametrize("longest, asked, expected", [(5, None, 5), (15, None, 12), (15, 15, 15)])
def test_the_services_limit_is_that_of_texts(generator, longest, asked, expected):
    limits = http_service.Limits(max_length=longest, max_beams=2)
    with running(http_service.create_app(limits=limits, generator=generator)) as port:
        body = {"texts": SOURCES[:1], "min_length": 5, "max_length": asked}
        _, _, answer = post(port, "/generate", body)
        refusals = [
            post(port, "/generate", dict(body, **change))[2]
            for change in ({"max_length": longest + 1}, {"num_beams": 3})
        ]
    (written,) = generator.generate(SOURCES[:1], min_length=5, max_length=expected)
    assert answer["generated"] == [written.text]
    assert [error["error"].split(": ask")[0] for error in refusals] == [
        "max_length: %d, expected at most %d here" % (longest + 1, longest),
        "num_beams: 3, expected at most 2 here",
    ]


class Endless:
    """A generator that continues until nobody waits for the text."""

    max_length = 12

    def __init__(self):
        self.has_begun, self.has_ended = threading.Event(), threading.Event()

    def generate(self, texts, is_wanted, **settings):
        self.has_begun.set()
        for _ in range(600):
            if not is_wanted():
                self.has_ended.set()
                raise Abandoned
            time.sleep(0.05)


@contextlib.contextmanager
def asked(port, path, body):
    """Sends a request and yields the connection, which the client closes at the end."""
    content = json.dumps(body).encode("utf-8")
    head = "POST %s HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n" % path
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(head.encode() + b"Content-Length: %d\r\n\r\n" % len(content) + content)
        yield connection


def test_writing_ends_when_the_client_has_gone():
    generator = Endless()
    with running(http_service.create_app(generator=generator)) as port:
        with asked(port, "/generate", {"texts": ["a"]}):
            assert generator.has_begun.wait(20)
        assert generator.has_ended.wait(20)


def test_more_texts_than_may_wait_are_refused():
    generator = Endless()
    limits = http_service.Limits(max_waiting=3)
    with running(http_service.create_app(generator=generator, limits=limits)) as port:
        with asked(port, "/generate", {"texts": ["a", "b"]}):
            assert generator.has_begun.wait(20)
            status, headers, answer = post(port, "/generate", {"texts": ["c", "d"]})
            assert status == 503 and answer["error"].startswith(
                "overloaded (texts being generated: 2)"
            )
            assert headers["retry-after"] == "1"
        assert generator.has_ended.wait(20)


class EndlessStream(Endless):
    """An endless generator that streams its text."""

    def reading(self, text, **settings):
        return input_rows.Reading()

    def stream(self, text, **settings):
        try:
            while True:
                self.has_begun.set()
                yield "a"
                time.sleep(0.05)
        finally:
            self.has_ended.set()


def test_a_stream_ends_when_the_client_has_gone():
    generator = EndlessStream()
    with running(http_service.create_app(generator=generator)) as port:
        with asked(port, "/generate/stream", {"text": "a"}) as connection:
            assert generator.has_begun.wait(20) and connection.recv(100)
        gc.disable()  # the stream must end without the garbage collector, which may run much later
        try:
            assert generator.has_ended.wait(20)
        finally:
            gc.enable()


def test_a_stream_counts_until_it_has_ended():
    generator = EndlessStream()
    limits = http_service.Limits(max_waiting=1)
    with running(http_service.create_app(generator=generator, limits=limits)) as port:
        with asked(port, "/generate/stream", {"text": "a"}) as connection:
            assert connection.recv(100)
            status, _, answer = post(port, "/generate/stream", {"text": "b"})
            assert status == 503 and "texts being generated: 1" in answer["error"]
        assert generator.has_ended.wait(20)
        for _ in range(200):
            with asked(port, "/generate/stream", {"text": "b"}) as connection:
                if connection.recv(100).startswith(b"HTTP/1.1 200"):
                    break
            time.sleep(0.05)
        else:
            pytest.fail("nothing is written any more")


def test_its_pages_and_health(port):
    for path in ("/", "/write"):
        assert "generate/stream" in ask(port, "GET", path)[2]
    assert json.loads(ask(port, "GET", "/health")[2])["objective"] == "generation"
