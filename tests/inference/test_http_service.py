"""Tests of the HTTP service over a real socket."""

import concurrent.futures
import contextlib
import gzip
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

from absl import flags
import numpy as np
import pytest

pytest.importorskip("fastapi", reason="needs requirements-serve.txt")
pytest.importorskip("uvicorn", reason="needs requirements-serve.txt")

import uvicorn

from albert_zh.commands import serve
from albert_zh.common import errors
from albert_zh.common.errors import UserError
from albert_zh.inference import input_rows, predictor
from albert_zh.inference.serving import http_answers, http_limits, http_service, micro_batching
from crossed_cases import with_slow
from http_requests import ask, fits, post, running, send
import small_models
from workspace import CHARACTERS, ROOT

PATHS = ("/", "/predict", "/similarity", "/health", "/metrics", "/docs", "/openapi.json")
PAIRS = [["今天天气", "明天天气"], ["好", "好"], ["怎么办理", "什么时候开门"], ["", "今天"]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return small_models.write_model(tmp_path_factory.mktemp("models") / "pairs")


@pytest.fixture(scope="module")
def model(folder):
    with predictor.Predictor(folder) as loaded:
        yield loaded


class Gate:
    """A predictor that can be blocked."""

    def __init__(self, model):
        self._model = model
        self.is_open = threading.Event()
        self.is_open.set()
        self.was_entered = threading.Event()
        self.sizes = []

    def predict_with_readings(self, texts, is_wanted):
        self.was_entered.set()
        assert self.is_open.wait(60)
        self.sizes.append(len(texts))
        return self._model.predict_with_readings(texts, is_wanted)

    def __getattr__(self, name):
        return getattr(self._model, name)


@pytest.fixture(scope="module")
def gate(model):
    return Gate(model)


@pytest.fixture(scope="module")
def port(gate):
    limits = http_service.Limits(
        max_texts=100, max_body_bytes=400000, body_seconds=0.5, max_batch_size=32, max_waiting=120
    )
    with running(http_service.create_app(gate, limits)) as port:
        yield port


def wait_for_metric(port, line):
    """Waits until the service's metrics contain a line that begins with `line`."""
    deadline = time.time() + 30
    while "\n" + line not in ask(port, "GET", "/metrics")[2]:
        assert time.time() < deadline, line
        time.sleep(0.02)


def test_predictions_are_those_of_the_predictor(port, model):
    texts = PAIRS + ["今天", "", "\x00\u202e今", "天" * 100000]
    status, _, answer = post(port, "/predict", {"texts": texts})
    labels, probabilities = model.predict(texts)
    assert status == 200
    assert answer["classes"] == ["0", "1"] and answer["labels"] == labels
    np.testing.assert_allclose(answer["probabilities"], probabilities, atol=1e-5)
    status, _, answer = post(port, "/similarity", {"pairs": PAIRS})
    assert status == 200
    np.testing.assert_allclose(answer["similarities"], model.similarities(PAIRS), atol=1e-5)
    assert post(port, "/predict", {"texts": []})[2]["labels"] == []
    objects = [{"text": "今天"}, {"text_a": PAIRS[0][0], "text_b": PAIRS[0][1]}]
    status, _, answer = post(port, "/predict", {"texts": objects})
    _, probabilities = model.predict(["今天", PAIRS[0]])
    np.testing.assert_allclose(answer["probabilities"], probabilities, atol=1e-5)


def test_answers_say_in_a_header_how_many_texts_were_cut(port):
    """The limit of 48 tokens includes [CLS] and [SEP], and for a pair a second [SEP]."""
    number = float(
        re.search("\nalbert_texts_cut_total (.*)", ask(port, "GET", "/metrics")[2]).group(1)
    )
    texts = ["天" * 46, "天" * 47, ["天" * 20, "天" * 25], ["天" * 20, "天" * 26]]
    assert post(port, "/predict", {"texts": texts})[1]["x-texts-cut"] == "2"
    assert post(port, "/similarity", {"pairs": texts[2:]})[1]["x-texts-cut"] == "1"
    assert post(port, "/similarity", {"pairs": texts[2:3]})[1]["x-texts-cut"] == "0"
    wait_for_metric(port, "albert_texts_cut_total %s" % (number + 3))
    document = json.loads(ask(port, "GET", "/openapi.json")[2])
    for path in ("/predict", "/similarity"):
        answer = document["paths"][path]["post"]["responses"]["200"]
        assert list(answer["headers"]) == ["X-Texts-Cut", "X-Texts-Unknown"]


def test_answers_say_in_a_header_how_many_texts_are_unknown(port):
    """Half of the word pieces of 今ＡＢ are unknown, but only a third of those of 今天ＡＢ."""
    pattern = "\nalbert_texts_unknown_total (.*)"
    number = float(re.search(pattern, ask(port, "GET", "/metrics")[2]).group(1))
    texts = ["今ＡＢ", "今天ＡＢ", "今天", "", ["今天", "鑫犇淼"]]
    assert post(port, "/predict", {"texts": texts})[1]["x-texts-unknown"] == "2"
    assert post(port, "/predict", {"texts": texts[1:4]})[1]["x-texts-unknown"] == "0"
    wait_for_metric(port, "albert_texts_unknown_total %s" % (number + 2))


def test_the_document_has_every_route_and_its_requests_are_as_it_says(port):
    document = json.loads(ask(port, "GET", "/openapi.json")[2])
    assert sorted(document["paths"]) == sorted(PATHS)
    schemas = document["components"]["schemas"]
    assert "HTTPValidationError" not in schemas  # FastAPI's response, which is not used
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert method in ("get", "post") and operation["description"] and operation["summary"]
            for status, answer in operation["responses"].items():
                assert int(status) in range(200, 504) and answer["description"]
            if method == "get":
                assert ask(port, "GET", path)[0] == 200
                continue
            expected = {"200", "400", "408", "413", "415", "422", "500", "503"}
            assert set(operation["responses"]) == expected
            schema = operation["requestBody"]["content"]["application/json"]["schema"]
            (name, field), *_ = schemas[schema["$ref"].rpartition("/")[2]]["properties"].items()
            for example in field["examples"]:
                assert fits({name: example}, schema, schemas)
                assert post(port, path, {name: example})[0] == 200
            for value in ({}, {name: [1]}, {name: [["a"]]}, {name: ["a"], "more": 1}, {name: "a"}):
                assert not fits(value, schema, schemas)
                assert post(port, path, value)[0] == 422
    for limit in ("More than 100 texts, or 400000 bytes", "within 0.5 seconds"):
        assert limit in json.dumps(document)


@pytest.mark.parametrize("name", ["index.html", "search.html", "write.html"])
def test_pages_have_one_style_and_show_errors_in_red(name):
    """Regression: the grey of #about, an id, took precedence over the red of .bad, a class."""
    page = http_answers.page(name)
    assert page.count("<style>") == page.count("{ color-scheme: light dark;") == 1
    assert "{{style}}" not in page and 'id="about"' in page
    assert re.search(r"#about\.bad \{ color: var\(--bad\); \}", page)


def test_the_page_of_the_document_needs_nothing_from_elsewhere(port):
    status, headers, page = ask(port, "GET", "/docs")
    assert status == 200 and headers["content-type"].startswith("text/html")
    assert not re.search(r"(src|href)=[\"']?(https?:)?//|@import|url\(|<script", page)
    for path in PATHS:
        assert "<code>%s</code>" % path in page
    for status in (200, 400, 408, 413, 415, 422, 500, 503):
        assert "<td>%d</td>" % status in page
    assert "curl -s 127.0.0.1:8000/similarity" in page and "{{" not in page
    for name in re.findall('href="#(.*?)"', page):
        assert 'id="%s"' % name in page


@pytest.mark.parametrize(
    "columns, text, other, message",
    [
        (
            ["text_a", "text_b", "label"],
            ["今天", "明天"],
            "今天",
            'a single text, but the model was trained on pairs: give ["text_a", "text_b"]; for '
            "single texts start",
        ),
        (
            ["text_a", "label"],
            "今天",
            ["今天", "明天"],
            "a pair, but the model was trained on single texts: give one text; for pairs start",
        ),
    ],
)
def test_texts_of_another_form_than_training_had(columns, text, other, message, tmp_path):
    folder = small_models.write_model(tmp_path / "m", settings={"columns": columns})
    form = "pairs" if "text_b" in columns else "single"
    with predictor.Predictor(folder) as model, running(http_service.create_app(model)) as port:
        assert post(port, "/predict", {"texts": [text]})[0] == 200
        status, _, answer = post(port, "/predict", {"texts": [text, other]})
        way_out = " the server with --check_text_form=false"  # a flag of serve.py
        assert (status, answer["error"]) == (400, "text 1 is " + message + way_out)
        assert '<body data-text-form="%s">' % form in ask(port, "GET", "/")[2]
    unchecked = predictor.Predictor(folder, check_text_form=False)
    with unchecked as model, running(http_service.create_app(model)) as port:
        assert post(port, "/predict", {"texts": [text, other]})[0] == 200


def test_a_reader_has_no_classes_and_refuses_an_empty_question(tmp_path):
    context = "今天天气很好"
    with predictor.Predictor(small_models.write_reader(tmp_path / "reader")) as model, running(
        http_service.create_app(model)
    ) as port:
        health = json.loads(ask(port, "GET", "/health")[2])
        assert (health["objective"], health["classes"]) == ("reading_comprehension", [])
        status, _, answer = post(port, "/predict", {"texts": [["天气", context]]})
        (first, *_) = answer["predictions"][0]
        assert status == 200 and first["text"] == context[first["begin"] : first["end"]] != ""
        status, _, answer = post(port, "/predict", {"texts": [["天气", context], [" ", context]]})
    assert status == 400 and answer["error"].startswith("text 1: the question is empty")


def test_half_a_character_is_told(port):
    status, _, answer = post(port, "/predict", '{"texts": ["今天", "\\ud800今天"]}')
    assert status == 400 and answer["error"].startswith("text 1: character 1 is \\ud800")


def test_health_and_metrics(port):
    status, _, answer = ask(port, "GET", "/health")
    assert status == 200
    assert json.loads(answer) == {
        "status": "ok",
        "objective": "single_label",
        "classes": ["0", "1"],
        "max_seq_length": 48,
    }

    for path in ("/health", "/", "/metrics"):  # as load balancers do
        status, headers, answer = ask(port, "HEAD", path)
        assert (status, answer) == (200, "") and int(headers["content-length"]) > 0
    assert ask(port, "HEAD", "/predict")[0] == 405

    def metrics():
        status, headers, text = ask(port, "GET", "/metrics")
        assert status == 200 and headers["content-type"].startswith("text/plain")
        return {
            line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1])
            for line in text.splitlines()
            if not line.startswith("#")
        }

    before = metrics()
    post(port, "/predict", {"texts": ["a", "b", "c"]})
    post(port, "/predict", {"texts": 3})
    ask(port, "GET", "/secret/path")
    after = metrics()
    answered = 'albert_requests_total{path="/predict",status="%d"}'
    assert after[answered % 200] == before.get(answered % 200, 0) + 1
    assert after[answered % 422] == before.get(answered % 422, 0) + 1
    assert after['albert_requests_total{path="other",status="404"}'] == 1
    assert after["albert_texts_total"] == before.get("albert_texts_total", 0) + 3
    assert after['albert_request_seconds_count{path="/predict"}'] >= 2
    assert not any("secret" in name for name in after)


NESTED = "[" * 100000 + "]" * 100000
BAD_REQUESTS = {
    "no JSON": ("今天", 422),
    "nothing": ("", 422),
    "cut off": ('{"texts": ["a"', 422),
    "not UTF-8": (b'{"texts": ["\xff\xfe"]}', 400),
    "deeply nested": ('{"texts": %s}' % NESTED, 400),
    "no object": ("[]", 422),
    "no texts": ("{}", 422),
    "unknown key": ('{"texts": ["a"], "model_dir": "/etc"}', 422),
    "one text": ('{"texts": "a"}', 422),
    "null": ('{"texts": [null]}', 422),
    "number": ('{"texts": [1]}', 422),
    "NaN": ('{"texts": [NaN]}', 422),
    "boolean": ('{"texts": [true]}', 422),
    "three texts": ('{"texts": [["a", "b", "c"]]}', 422),
    "pair with null": ('{"texts": [["a", null]]}', 422),
    "too many texts": (json.dumps({"texts": ["a"] * 10000}), 413),
    "too large": (json.dumps({"texts": ["a" * 400000]}), 413),
}


@pytest.mark.parametrize("name", sorted(BAD_REQUESTS))
def test_bad_requests_are_refused_in_a_line(port, name):
    body, expected = BAD_REQUESTS[name]
    status, _, answer = post(port, "/predict", body)
    assert status == expected and list(answer) == ["error"]
    assert 5 < len(answer["error"]) < 200 and "\n" not in answer["error"]
    assert "Traceback" not in answer["error"]
    assert post(port, "/predict", {"texts": ["今天"]})[0] == 200


def test_the_nearest_form_of_a_text_says_what_is_wrong(port):
    status, _, answer = post(port, "/predict", {"texts": [{"text": "今天", "slot": {}}]})
    assert status == 422 and "texts.0.AnnotatedText.slot" in answer["error"]
    answers = [post(port, "/predict", {"texts": [{key: "今天"}]}) for key in ("text", "text_a")]
    assert answers[0][0] == answers[1][0] == 200  # without slots, only the text matters
    assert answers[0][2] == answers[1][2]
    status, _, answer = post(port, "/predict", {"texts": [["a", "b", "c"]]})
    assert status == 422 and "at most 2 items" in answer["error"]


def test_other_ways_to_ask_wrongly(port):
    status, _, answer = ask(port, "POST", "/predict", '{"texts": ["a"]}', {})
    assert status == 415 and "application/json" in answer
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert ask(port, "POST", "/predict", "texts=a", form)[0] == 415
    with_charset = {"Content-Type": "Application/JSON; charset=utf-8"}
    assert ask(port, "POST", "/predict", '{"texts": ["a"]}', with_charset)[0] == 200
    assert ask(port, "GET", "/predict")[0] == 405
    assert ask(port, "GET", "/../etc/passwd")[0] == 404


def raw(port, *parts, pause=0.0):
    """Sends parts over a socket; returns everything that is received."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        for part in parts:
            connection.sendall(part)
            time.sleep(pause)
        received = b""
        while True:
            block = connection.recv(1 << 16)
            received += block
            if not block:
                return received


HEAD = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


def test_a_body_without_a_length_is_limited_too(port):
    chunk = b"%x\r\n%s\r\n" % (100000, b" " * 100000)
    answer = raw(port, HEAD + b"Transfer-Encoding: chunked\r\n\r\n", *[chunk] * 8, pause=0.05)
    assert answer.startswith(b"HTTP/1.1 413 ")  # although the client continues to send


def test_a_client_that_never_ends_its_body_is_left(port, monkeypatch):
    monkeypatch.setattr(http_limits, "LINGER_SECONDS", 0.5)
    chunk = b"%x\r\n%s\r\n" % (500000, b" " * 500000)
    start = time.time()
    answer = raw(port, HEAD + b"Transfer-Encoding: chunked\r\n\r\n", chunk)
    assert answer.startswith(b"HTTP/1.1 413 ") and 0.4 < time.time() - start < 20


def test_a_slow_client_is_not_waited_for(port):
    start = time.time()
    answer = raw(port, HEAD + b"Content-Length: 100\r\n\r\n", b'{"texts"')
    assert answer.startswith(b"HTTP/1.1 408 ") and 0.4 < time.time() - start < 20


@pytest.mark.parametrize(
    "target, path",
    [
        (b"http://127.0.0.1:8000/health", "/health"),
        (b"HTTP://other/health?a=http://b", "/health"),
        (b"https://127.0.0.1", "/"),
        (b"http://127.0.0.1/%68ealth", "/health"),
    ],
)
def test_an_absolute_uri_is_answered_as_its_path(port, target, path):
    """Servers must accept it: RFC 9112, section 3.2.2."""
    request = b"GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % target
    head, _, answer = raw(port, request).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert answer.decode() == ask(port, "GET", path)[2]


def test_clients_that_go_away_harm_nobody(port, gate):
    body = json.dumps({"texts": ["今天"]}).encode()
    gate.is_open.clear()
    try:
        for sent in (HEAD, HEAD + b"Content-Length: 100\r\n\r\n{", None):
            sent = sent or HEAD + b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
            with socket.create_connection(("127.0.0.1", port)) as connection:
                connection.sendall(sent)
                time.sleep(0.05)
    finally:
        gate.is_open.set()
    assert post(port, "/predict", {"texts": ["今天"]})[0] == 200


def test_who_leaves_before_the_body_is_there_counts_as_no_error_of_the_server(model):
    with running(http_service.create_app(model)) as port:
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(HEAD + b"Content-Length: 100\r\n\r\n{")
        wait_for_metric(port, 'albert_requests_total{path="/predict",status="499"} 1.0')
        assert 'status="500"' not in ask(port, "GET", "/metrics")[2]


def test_who_went_away_is_not_predicted(port, gate):
    body = json.dumps({"texts": ["今天"] * 20}).encode()
    del gate.sizes[:]
    gate.is_open.clear()
    gate.was_entered.clear()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        try:
            first = pool.submit(post, port, "/predict", {"texts": ["明天"]})
            assert gate.was_entered.wait(30)
            with socket.create_connection(("127.0.0.1", port)) as connection:
                connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
                wait_for_metric(port, "albert_waiting_texts 20.0\n")
            wait_for_metric(port, "albert_waiting_texts 0.0\n")
        finally:
            gate.is_open.set()
        assert first.result()[0] == 200
    assert post(port, "/predict", {"texts": ["今天"]})[0] == 200
    assert gate.sizes == [1, 1]


class BackendGate:
    """Counts the batches that a model passes to its backend, and can block them."""

    def __init__(self, backend):
        self._run, self.num_batches = backend.run, 0
        self.was_entered, self.is_open = threading.Event(), threading.Event()

    def run(self, *inputs):
        self.num_batches += 1
        self.was_entered.set()
        assert self.is_open.wait(60)
        return self._run(*inputs)


def test_work_ends_with_the_batch_once_its_client_has_gone(model, monkeypatch):
    monkeypatch.setattr(input_rows, "ROWS_PER_BATCH", 4)
    backend = BackendGate(model._backend)
    monkeypatch.setattr(model._backend, "run", backend.run)
    body = json.dumps({"texts": ["今天"] * 100}).encode()
    with running(http_service.create_app(model)) as port:
        try:
            with socket.create_connection(("127.0.0.1", port)) as connection:
                connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
                assert backend.was_entered.wait(30)
            wait_for_metric(port, 'albert_requests_total{path="/predict",status="499"}')
            num_begun = backend.num_batches
        finally:
            backend.is_open.set()
        assert post(port, "/predict", {"texts": ["今天"]})[0] == 200
    assert num_begun < 25 and backend.num_batches == num_begun + 1  # that of the second request


def random_requests(count):
    random = np.random.RandomState(0)

    def text():
        return "".join(random.choice(list(CHARACTERS), random.randint(0, 30)))

    return [[(text(), text()) for _ in range(random.randint(1, 4))] for _ in range(count)]


def test_concurrent_requests_are_predicted_together_and_each_gets_its_answer(port, gate, model):
    requests = random_requests(24)
    num_waiting = sum(map(len, requests[1:]))
    del gate.sizes[:]
    gate.is_open.clear()
    gate.was_entered.clear()
    with concurrent.futures.ThreadPoolExecutor(len(requests)) as pool:
        try:
            answers = [pool.submit(post, port, "/similarity", {"pairs": requests[0]})]
            assert gate.was_entered.wait(30)
            answers += [pool.submit(post, port, "/similarity", {"pairs": r}) for r in requests[1:]]
            wait_for_metric(port, "albert_waiting_texts %d.0\n" % num_waiting)
        finally:
            gate.is_open.set()
        for request, answer in zip(requests, answers):
            status, _, content = answer.result()
            assert status == 200
            np.testing.assert_allclose(
                content["similarities"], model.similarities(request), atol=1e-5
            )
    assert gate.sizes[0] == len(requests[0]) and sum(gate.sizes[1:]) == num_waiting
    # Batches have at most 32 texts, and at least 29 while others wait: a request has up to 4.
    assert max(gate.sizes) <= 32 and min(gate.sizes[1:-1]) >= 29


class SlowWithLongTexts(Gate):
    """A predictor that is blocked by long texts only."""

    def predict_with_readings(self, texts, is_wanted):
        if len(texts[0]) <= micro_batching.MAX_CHARACTERS:
            return self._model.predict_with_readings(texts, is_wanted)
        return super().predict_with_readings(texts, is_wanted)


def test_a_long_text_holds_up_no_other_request(model):
    slow = SlowWithLongTexts(model)
    slow.is_open.clear()
    app = http_service.create_app(slow)
    with running(app) as port, concurrent.futures.ThreadPoolExecutor(2) as pool:
        try:
            texts = ["天" * (micro_batching.MAX_CHARACTERS + 1)]
            tasks = [pool.submit(post, port, "/predict", {"texts": texts}) for _ in range(2)]
            assert slow.was_entered.wait(30)
            wait_for_metric(port, "albert_waiting_texts 1.0\n")
            assert post(port, "/predict", {"texts": ["今天"]}, timeout=30)[0] == 200
            assert not any(task.done() for task in tasks)
        finally:
            slow.is_open.set()
        assert [task.result()[0] for task in tasks] == [200, 200]
    assert slow.sizes == [1, 1]


def test_long_texts_count_among_those_that_may_wait(model):
    slow = SlowWithLongTexts(model)
    slow.is_open.clear()
    app = http_service.create_app(slow, http_service.Limits(max_texts=3, max_waiting=3))
    with running(app) as port, concurrent.futures.ThreadPoolExecutor(2) as pool:
        try:
            texts = ["天" * (micro_batching.MAX_CHARACTERS + 1)]
            tasks = [pool.submit(post, port, "/predict", {"texts": texts}) for _ in range(2)]
            wait_for_metric(port, "albert_waiting_texts 1.0\n")
            assert post(port, "/predict", {"texts": ["今天"] * 2})[0] == 200
            status, _, answer = post(port, "/predict", {"texts": ["今天"] * 3})
            assert status == 503 and "(1 text is waiting)" in answer["error"]
        finally:
            slow.is_open.set()
        assert [task.result()[0] for task in tasks] == [200, 200]


def test_more_than_may_wait_is_told_to_come_later(port, gate):
    gate.is_open.clear()
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        try:
            body = {"texts": ["今天"] * 60}
            gate.was_entered.clear()
            tasks = [pool.submit(post, port, "/predict", body)]
            assert gate.was_entered.wait(30)
            tasks += [pool.submit(post, port, "/predict", body) for _ in range(3)]
            done, _ = concurrent.futures.wait(tasks, 30, concurrent.futures.FIRST_COMPLETED)
            status, headers, answer = done.pop().result()
            assert status == 503 and headers["retry-after"] == "1"
            assert "try again later" in answer["error"]
        finally:
            gate.is_open.set()
        statuses = sorted(task.result()[0] for task in tasks)
    assert statuses == [200, 200, 200, 503]  # one in progress, two waiting
    assert post(port, "/predict", {"texts": ["今天"]})[0] == 200


def test_models_without_pairs_and_closed_ones(tmp_path):
    path = small_models.write_model(tmp_path / "topics", labels=("体育", "财经", "娱乐"))
    topics = predictor.Predictor(path)
    with running(http_service.create_app(topics)) as port:
        status, _, answer = post(port, "/similarity", {"pairs": [["a", "b"]]})
        assert status == 400 and "has 3 classes" in answer["error"]
        assert post(port, "/predict", {"texts": ["今天"]})[2]["classes"] == topics.labels
        shutil.rmtree(path)
        assert post(port, "/predict", {"texts": ["今天"]})[0] == 200
        topics.close()
        status, _, answer = post(port, "/predict", {"texts": ["今天"]})
        assert status == 400 and "is closed" in answer["error"]


@pytest.mark.parametrize(
    "path, body, key",
    [
        ("/predict", '{"texts": ["今天"], "texts": ["好"]}', "texts"),
        ("/predict", '{"texts": [{"text": "今天", "text_b": "好", "text": "天"}]}', "text"),
        ("/similarity", '{"pairs": [], "键": 1, "键": 2}', "键"),
    ],
)
def test_a_key_that_is_there_twice_is_named(port, path, body, key):
    status, _, answer = post(port, path, body.encode("utf-8"))
    assert status == 400
    assert answer == {"error": "body: an object has the key '%s' twice, expected once" % key}


def test_bodies_in_other_encodings_and_compressed_ones_say_what_is_expected(port):
    """curl in a Chinese Windows console sends GBK."""
    body = '{"texts": ["今天"]}'
    assert post(port, "/predict", body.encode("utf-16"))[0] == 200  # JSON parsers recognize UTF-16
    status, _, answer = post(port, "/predict", body.encode("gbk"))
    assert status == 400
    assert answer == {"error": "body: byte 13 is not UTF-8: send the JSON in UTF-8"}
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    status, _, answer = ask(port, "POST", "/predict", gzip.compress(body.encode()), headers)
    assert status == 415 and "send the body uncompressed" in answer


def test_an_unforeseen_error_is_json_too(gate, monkeypatch):
    def fail(texts, is_wanted):
        raise MemoryError("今天")

    monkeypatch.setattr(gate, "predict_with_readings", fail)
    with running(http_service.create_app(gate)) as port:
        status, _, answer = post(port, "/predict", {"texts": ["今天"]})
    assert status == 500 and answer == {"error": "internal error: see the server's log"}


def test_addresses_are_shown_as_urls():
    for host, shown in (("127.0.0.1", r"127\.0\.0\.1"), ("::1", r"\[::1\]")):
        try:
            listener = serve._listener(host, 0)
        except UserError:
            pytest.skip("no IPv6 here")
        with listener:
            assert re.match("http://%s:[1-9][0-9]*/$" % shown, serve._url(listener))


@contextlib.contextmanager
def serving_process(folder):
    """Runs serve.py; yields the process and its port."""
    command = [sys.executable, os.path.join(ROOT, "serve.py"), "--model_dir=" + folder, "--port=0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, universal_newlines=True) as process:
        try:
            assert process.stderr.readline() == "model: %s\n" % folder
            line = process.stderr.readline()
            match = re.match(r"serving at http://127\.0\.0\.1:(\d+)/ \(Ctrl-C ends\)$", line)
            yield process, int(match.group(1))
        finally:
            process.kill()


def test_sigterm_ends_it_after_the_requests_at_hand(folder, model):
    """Many requests are sent at once, and the signal arrives while they are processed."""
    requests = [request * 20 for request in random_requests(40)]
    with serving_process(folder) as (process, port), contextlib.ExitStack() as stack:
        connections = []
        for request in requests:  # their answers are not read yet
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            stack.callback(connection.close)
            headers = {"Content-Type": "application/json"}
            connection.request("POST", "/similarity", json.dumps({"pairs": request}), headers)
            connections.append(connection)
        answers = [connections[0].getresponse()]
        process.send_signal(signal.SIGTERM)
        answers += [connection.getresponse() for connection in connections[1:]]
        for request, answer in zip(requests, answers):
            assert answer.status == 200
            similarities = json.loads(answer.read().decode())["similarities"]
            np.testing.assert_allclose(similarities, model.similarities(request), atol=1e-5)
        assert process.wait(60) == 0
        assert process.stderr.read() == "ended\n"
    with pytest.raises(ConnectionRefusedError):
        post(port, "/predict", {"texts": ["a"]})


@contextlib.contextmanager
def half_sent(port, body):
    """Yields the connection of a request that the server has begun to read: a byte is missing."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n%s" % (len(body), body[:-1]))
        assert ask(port, "GET", "/health")[0] == 200  # answered in the order of connections
        yield connection


@pytest.mark.slow
@pytest.mark.parametrize(
    "signals",
    with_slow(["TERM INT", "INT TERM", "INT INT", "TERM INT INT TERM"], ["TERM INT INT TERM"]),
)
def test_several_signals_within_a_second_are_one(folder, model, signals):
    body = json.dumps({"texts": ["今天天气很好"] * 500}).encode()
    with serving_process(folder) as (process, port), half_sent(port, body) as connection:
        for name in signals.split():
            process.send_signal(getattr(signal, "SIG" + name))
            time.sleep(0.05)
        connection.sendall(body[-1:])
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert answer.status == 200 and len(json.loads(answer.read())["labels"]) == 500
        assert process.wait(60) == 0
        assert process.stderr.read() == "ended\n"


@pytest.mark.slow
def test_a_later_interrupt_ends_it_at_once(folder):
    with serving_process(folder) as (process, port):
        with half_sent(port, b"{}"):
            process.send_signal(signal.SIGTERM)
            time.sleep(serve.SECONDS_OF_ONE_STOP + 0.3)
            process.send_signal(signal.SIGINT)
            assert process.wait(5) == errors.EXIT_INTERRUPTED
        assert process.stderr.read() == errors.STOPPED + "\n"


def test_a_request_that_outlasts_the_end_is_told(gate, monkeypatch):
    gate.is_open.clear()
    gate.was_entered.clear()
    settings = {"log_config": None, "log_level": "error", "timeout_graceful_shutdown": 1}
    server = uvicorn.Server(uvicorn.Config(http_service.create_app(gate), **settings))
    with socket.socket() as listener, concurrent.futures.ThreadPoolExecutor(1) as pool:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            while not server.started:
                time.sleep(0.01)
            body = json.dumps({"texts": ["今天"]})
            kind = {"Content-Type": "application/json"}
            answer = pool.submit(send, port, "POST", "/predict", body, kind)
            assert gate.was_entered.wait(30)
            server.should_exit = True
            status, _, content = answer.result(30)
        finally:
            gate.is_open.set()
            thread.join(60)
    assert status == 503 and json.loads(content) == {"error": "the service is shutting down"}


def test_a_text_that_outlasts_the_end_does_not_keep_the_process(gate, monkeypatch):
    """The thread that predicts the text cannot be stopped, and Python would wait for it."""
    ended = threading.Event()
    monkeypatch.setattr(serve, "stop_at_once", ended.set)
    monkeypatch.setattr(serve, "SECONDS_TO_END", 0.1)
    monkeypatch.setattr(serve, "SECONDS_TO_REFUSE", 0.1)
    with small_models.command_flags(serve, []):
        server = serve._server(uvicorn, http_service.create_app(gate))
        assert not ended.is_set()
        server.handle_exit(signal.SIGTERM, None)
    assert server.should_exit and ended.wait(30)


@pytest.mark.parametrize(
    "flag",
    [
        "body_seconds=nan",
        "body_seconds=inf",
        "body_seconds=1e308",
        "body_seconds=0",
        "max_wait_ms=nan",
        "max_wait_ms=1e308",
        "max_texts=0",
        "max_body_bytes=99999999999999999999",
        "max_connections=1",
        "max_waiting=1e9",
        "max_batch_size=-1",
        "max_length=0",
        "max_beams=65",
    ],
)
def test_limits_that_are_none_are_refused(flag):
    """The parser of absl accepts nan; `run_command` does not."""
    parsed = small_models.command_flags(serve, ["--" + flag])
    with pytest.raises((UserError, flags.Error), match=flag.split("=")[0]), parsed:
        errors._check_numbers(flags.FLAGS)


def test_a_port_in_use_is_told():
    with socket.socket() as other:
        other.bind(("0.0.0.0", 0))
        other.listen(1)
        given = ["--host=0.0.0.0", "--port=%d" % other.getsockname()[1]]
        with pytest.raises(UserError, match=" ".join(given) + ": cannot listen there: Address al"):
            small_models.run_command(serve, given)


def test_flags_limit_the_service():
    values = {
        "max_texts": 11,
        "max_body_bytes": 12,
        "body_seconds": 1.5,
        "max_batch_size": 13,
        "max_waiting": 14,
        "max_length": 15,
        "max_beams": 3,
    }
    given = dict(values, max_wait_ms=1600, max_connections=17)
    with small_models.command_flags(serve, ["--%s=%s" % item for item in given.items()]):
        expected = http_service.Limits(max_wait_seconds=1.6, **values)
        assert serve._limits(http_service, None) == expected
        assert serve._server(uvicorn, app=None).config.limit_concurrency == 17


def test_the_page_shows_scores_as_bars(port, model, tmp_path):
    """A real browser loads nothing from other hosts and reports no errors."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    browsers = [shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome")]
    if not any(browsers):
        pytest.skip("needs Chromium")
    requests, complaints = [], []
    with playwright.sync_playwright() as tool:
        browser = tool.chromium.launch(
            executable_path=next(filter(None, browsers)), args=["--no-sandbox"]
        )
        page = browser.new_page()
        page.on("request", lambda request: requests.append(request.url))
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto("http://127.0.0.1:%d/" % port)
        page.fill("#a", "今天<b>天气</b>")
        page.fill("#b", "明天天气")
        page.press("#b", "Enter")
        page.wait_for_selector(".row")
        names = page.locator(".name").all_inner_texts()
        values = page.locator(".value").all_inner_texts()
        widths = [bar.bounding_box()["width"] for bar in page.locator(".bar").all()]
        track = page.locator(".track").first.bounding_box()["width"]
        page.fill("#b", "")
        with page.expect_response("**/predict"):
            page.click("#go")
        page.locator("#go:enabled").wait_for()
        single = page.locator(".value").all_inner_texts()
        page.screenshot(path=str(tmp_path / "page.png"))
        browser.close()
    probability = float(model.similarities([("今天<b>天气</b>", "明天天气")])[0])
    expected = sorted([(probability, "意思相同"), (1 - probability, "意思不同")], reverse=True)
    assert names == [name for _, name in expected]
    assert values == ["%.1f %%" % (100 * value) for value, _ in expected]
    np.testing.assert_allclose(np.array(widths) / track, [v for v, _ in expected], atol=0.01)
    probabilities = model.predict(["今天<b>天气</b>"])[1][0]
    assert single == ["%.1f %%" % (100 * value) for value in sorted(probabilities)[::-1]]
    assert {url.split("/")[2] for url in requests} == {"127.0.0.1:%d" % port}
    assert complaints == [] and os.path.getsize(str(tmp_path / "page.png")) > 5000


def test_limits_are_checked_before_a_model_is_loaded(monkeypatch):
    monkeypatch.setattr(serve, "_predictor", lambda *_: pytest.fail("a model is loaded"))
    arguments = ["--port=0", "--model_dir=nowhere", "--max_waiting=5"]
    with pytest.raises(UserError, match="--max_waiting=5: expected at least --max_texts"):
        small_models.run_command(serve, arguments)
    with small_models.command_flags(serve, ["--max_waiting=9", "--max_texts=9"]):
        assert serve._limits(http_service, None).max_waiting == 9
        with pytest.raises(UserError, match=r"--max_waiting=9: .* --max_texts=9 \+ 1 \(a query\),"):
            serve._limits(http_service, "embedding")


@pytest.mark.parametrize(
    "arguments, in_vain",
    [
        (["--model_dir=m", "--vectors=int8", "--max_beams=3"], ["vectors", "max_beams"]),
        (["--corpus=c", "--encoding=gbk", "--check_text_form=false"], ["check_text_form"]),
        (["--generator_dir=g", "--max_length=3"], []),
        (
            ["--generator_dir=g", "--max_wait_ms=3", "--max_seq_length=9"],
            ["max_seq_length", "max_wait_ms"],
        ),
        (["--generator_dir=g", "--model_dir=m", "--max_batch_size=3"], []),
        (["--generator_dir=g", "--corpus=c", "--max_batch_size=3"], []),
    ],
)
def test_flags_of_what_is_not_served_are_noted(arguments, in_vain, capsys):
    with small_models.command_flags(serve, arguments):
        serve._note_flags_in_vain("e" if "--corpus=c" in arguments else None)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[1][2:] for line in lines] == in_vain
    assert all("has no effect without --" in line for line in lines)
