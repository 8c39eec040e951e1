"""Tests of the HTTP service of an embedding model, by OpenAI's and other clients' requests."""

import base64
import contextlib
import json
import queue
import re
import threading
import time

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="needs requirements-serve.txt")

from albert_zh.commands import serve
from albert_zh.common import package_files
from albert_zh.inference import predictor, text_encoder
from albert_zh.inference.retrieval import search, search_choice
from albert_zh.inference.retrieval.ranking import Weights
from albert_zh.inference.serving import embedding_routes, http_service
from albert_zh.model import sentence_vectors
from http_requests import ask, post, running
import small_models

TEXTS = ["今天天气很好", "怎么办理", "好" * 40]
LINES = ["如何退票", "退市股票怎么处理", "银行卡怎么开户", "今天天气好吗", "手机号码怎么注销"]
NOTES = sentence_vectors.SentenceNotes("mean", True, 8, 24, (16, 8, 4))


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    folder = small_models.write_embedding_model(tmp_path_factory.mktemp("m") / "vectors", NOTES)
    with text_encoder.TextEncoder(folder) as loaded:
        yield loaded


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = small_models.write_model(tmp_path_factory.mktemp("m") / "pairs")
    with predictor.Predictor(folder) as loaded:
        yield loaded


@pytest.fixture(scope="module")
def corpus_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("corpus") / "faq.txt"
    path.write_text("\n".join(LINES) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def port(encoder, model, corpus_file):
    corpus = search.Corpus(str(corpus_file), encoder)
    choice = search_choice.Choice("mixed", Weights(0.5, 0.3, 0.2))
    served = embedding_routes.EmbeddingModel(encoder, "small", model, corpus, choice)
    limits = http_service.Limits(max_texts=20)
    with running(http_service.create_app(model, limits, served)) as port:
        yield port


@pytest.fixture(scope="module")
def port_of_vectors(encoder):
    """Yields the port of a service with an embedding model only."""
    served = embedding_routes.EmbeddingModel(encoder, "small")
    with running(http_service.create_app(embedding=served)) as port:
        yield port


def test_openais_client(port, encoder):
    openai = pytest.importorskip("openai", reason="needs requirements-dev.txt")
    client = openai.OpenAI(base_url="http://127.0.0.1:%d/v1" % port, api_key="none", max_retries=0)
    with client:
        assert [entry.id for entry in client.models.list()] == ["small"]
        answer = client.embeddings.create(model="text-embedding-3-small", input=TEXTS)
        vectors = [entry.embedding for entry in answer.data]
        np.testing.assert_allclose(vectors, encoder.encode(TEXTS), atol=1e-6)
        assert [entry.index for entry in answer.data] == [0, 1, 2] and answer.model == "small"
        assert answer.usage.prompt_tokens == answer.usage.total_tokens == 8 + 6 + 24
        for form in ("float", "base64"):
            settings = {"encoding_format": form, "dimensions": 4}
            answer = client.embeddings.create(model="small", input=TEXTS[0], **settings)
            vector = answer.data[0].embedding
            if form == "base64":
                vector = np.frombuffer(base64.b64decode(vector), "<f4")
            expected = encoder.encode(TEXTS[:1], width=4)[0]
            np.testing.assert_allclose(vector, expected, atol=1e-6)
        for wrong, problem in [
            ({"input": [[1, 2, 3]]}, "token ids, .*check_embedding_ctx_length=False"),
            ({"input": [5, 6]}, "token ids"),
            ({"input": ""}, "input: text 0 is empty"),
            ({"input": []}, "expected a text or a list of texts, found none"),
            ({"input": "好", "dimensions": 17}, "dimensions: found 17, expected 1 to 16"),
            ({"input": "好", "dimensions": 0}, "dimensions"),
        ]:
            with pytest.raises(openai.BadRequestError, match=problem) as caught:
                client.embeddings.create(model="small", **wrong)
            assert caught.value.body["type"] == "invalid_request_error"
        with pytest.raises(openai.APIStatusError, match="21 texts, at most 20 at once"):
            client.embeddings.create(model="small", input=["好"] * 21)


def test_answers_say_in_a_header_how_many_texts_were_cut(port, port_of_vectors):
    """The encoder reads at most 24 tokens, the classifier 48."""
    long, longest = "好" * 23, "好" * 40
    similarity = {"source_sentence": long, "sentences": ["好", longest]}
    for path, request, number in (
        ("/v1/embeddings", {"input": ["好" * 22, long, longest]}, "2"),
        ("/embed", {"inputs": TEXTS}, "1"),
        ("/rerank", {"query": "天" * 10, "texts": ["好", longest, long]}, "1"),
        ("/search", {"query": long}, "1"),
        ("/search", {"query": "好" * 22}, "0"),
    ):
        status, headers, _ = post(port, path, request)
        assert (status, headers["x-texts-cut"]) == (200, number), path
    for path, request in (
        ("/similarity", {"inputs": similarity}),
        ("/rerank", {"query": long, "texts": ["好", longest]}),
    ):
        assert post(port_of_vectors, path, request)[1]["x-texts-cut"] == "2"


def test_texts_that_may_not_be_cut_are_refused(port, port_of_vectors):
    """The encoder reads at most 24 tokens, the classifier 48."""
    refused = "%s: text %d has %d tokens%s, at most %d are read: shorten it, or leave out truncate="
    for service, path, request, error in (
        (port, "/embed", {"inputs": ["好" * 22, "好" * 23]}, ("inputs", 1, 25, "", 24)),
        (port, "/embed", {"inputs": "好" * 40}, ("inputs", 0, 42, "", 24)),
        (
            port,
            "/rerank",
            {"query": "天" * 10, "texts": ["好" * 35, "好" * 36]},
            ("texts", 1, 49, " with the query", 48),
        ),
        (
            port_of_vectors,
            "/rerank",
            {"query": "天" * 23, "texts": ["好"]},
            ("query", 0, 25, "", 24),
        ),
    ):
        status, _, answer = post(service, path, dict(request, truncate=False))
        assert status == 413 and answer["error"].startswith(refused % error)
        for truncate in (True, None):
            assert post(service, path, dict(request, truncate=truncate))[0] == 200
    assert post(port, "/embed", {"inputs": ["好" * 22], "truncate": False})[0] == 200


def test_what_is_null_is_not_given(port, encoder):
    request = {"input": "好", "model": None, "encoding_format": None, "dimensions": None}
    status, _, answer = post(port, "/v1/embeddings", request)
    assert status == 200
    np.testing.assert_allclose(answer["data"][0]["embedding"], encoder.encode(["好"])[0], atol=1e-6)


def test_requests_of_text_embeddings_inference(port, encoder, model):
    status, _, answer = post(port, "/embed", {"inputs": TEXTS, "truncate": True})
    assert status == 200
    np.testing.assert_allclose(answer, encoder.encode(TEXTS), atol=1e-6)
    request = {"inputs": TEXTS[0], "normalize": False, "dimensions": 16, "prompt_name": None}
    expected = encoder.encode(TEXTS[:1], normalize=False, width=16)
    np.testing.assert_allclose(post(port, "/embed", request)[2], expected, atol=1e-5)
    request = {"query": "怎么退票", "texts": LINES, "return_text": True, "truncate": False}
    status, _, answer = post(port, "/rerank", request)
    probabilities = model.similarities([("怎么退票", line) for line in LINES])
    order = np.argsort(-probabilities)
    assert status == 200 and [entry["index"] for entry in answer] == order.tolist()
    assert [entry["text"] for entry in answer] == [LINES[index] for index in order]
    np.testing.assert_allclose(
        [entry["score"] for entry in answer], probabilities[order], atol=1e-5
    )
    request = {"query": "怎么退票", "texts": LINES, "raw_scores": True}
    answer = post(port, "/rerank", request)[2]
    scores = np.array([entry["score"] for entry in answer])
    np.testing.assert_allclose(1 / (1 + np.exp(-scores)), probabilities[order], atol=1e-5)
    assert set(answer[0]) == {"index", "score"}
    assert json.loads(ask(port, "GET", "/info")[2]) == {
        "model_id": "small",
        "max_input_length": 24,
        "max_client_batch_size": 20,
    }
    for path, wrong in [
        ("/embed", {"inputs": [[1, 2]]}),
        ("/embed", {"inputs": ["好", " "]}),
        ("/rerank", {"query": "", "texts": ["好"]}),
        ("/rerank", {"query": "好", "texts": ["好", ""]}),
        ("/embed", {"inputs": "好", "truncation_direction": "Left"}),
        ("/embed", {"inputs": "好", "prompt_name": "query"}),
        ("/rerank", {"query": "好", "texts": []}),
        ("/rerank", {"query": "好"}),
    ]:
        status, _, answer = post(port, path, wrong)
        assert status in (400, 422) and list(answer) == ["error"]
        if path == "/rerank" and "" in (wrong["query"], *wrong.get("texts", ())):
            field = "texts: text 1" if wrong["query"] else "query: text 0"
            assert answer["error"] == field + " is empty"
    status, _, answer = post(port, "/embed", {"inputs": "好", "dimensions": 17})
    assert (status, answer["error"]) == (400, "dimensions: found 17, expected 1 to 16, the model's")


def test_a_query_is_none_of_the_texts_of_a_request(encoder):
    """/info gives the maximum number of texts, not counting the query; one more text is refused."""
    served = embedding_routes.EmbeddingModel(encoder, "small")
    limits = http_service.Limits(max_texts=3, max_waiting=4)
    with running(http_service.create_app(None, limits, served)) as port:
        assert json.loads(ask(port, "GET", "/info")[2])["max_client_batch_size"] == 3
        for path, request in (
            ("/rerank", lambda texts: {"query": "好", "texts": texts}),
            (
                "/similarity",
                lambda texts: {"inputs": {"source_sentence": "好", "sentences": texts}},
            ),
            ("/embed", lambda texts: {"inputs": texts}),
            ("/v1/embeddings", lambda texts: {"input": texts}),
        ):
            assert post(port, path, request(TEXTS))[0] == 200, path
            status, _, answer = post(port, path, request(TEXTS + ["好"]))
            assert status == 413 and "4 texts, at most 3 at once" in str(answer["error"]), path


def test_texts_to_rerank_wait_as_all_others_do(encoder, model, corpus_file):
    corpus = search.Corpus(str(corpus_file), encoder)
    served = embedding_routes.EmbeddingModel(encoder, "small", model, corpus)
    limits = http_service.Limits(max_waiting=2)
    with running(http_service.create_app(model, limits, served)) as port:
        request = {"query": "怎么退票", "texts": LINES[:2]}
        assert post(port, "/rerank", request)[0] == 200
        status, headers, answer = post(port, "/rerank", dict(request, texts=LINES[:3]))
        assert status == 503 and "overloaded" in answer["error"], (headers, answer)
        assert post(port, "/search", {"query": "怎么退票"})[0] == 200
        metrics = ask(port, "GET", "/metrics")[2]
    assert "albert_texts_total 3.0" in metrics  # two to rerank, one to search with


def test_search(port, encoder, model, corpus_file):
    status, _, answer = post(port, "/search", {"query": "怎么退票", "top_k": 3})
    assert status == 200 and answer["ranking"] == "mixed 0.5,0.3,0.2"
    (expected,) = search.Corpus(str(corpus_file), encoder).search(
        ["怎么退票"], model, 3, weights=Weights(0.5, 0.3, 0.2)
    )
    assert [hit["text"] for hit in answer["hits"]] == [hit.text for hit in expected]
    for hit, of_search in zip(answer["hits"], expected):
        np.testing.assert_allclose(hit["score"], of_search.score, atol=1e-5)
    assert post(port, "/search", {"query": "好", "top_k": 0})[0] == 422
    assert post(port, "/search", {"query": " "})[0] == 400
    with corpus_file.open("a", encoding="utf-8") as handle:
        handle.write("新的一行\n")
    deadline = time.time() + 60
    while post(port, "/search", {"query": "新的一行"})[2]["hits"][0]["text"] != "新的一行":
        assert time.time() < deadline  # until the service reads the file again
        time.sleep(0.1)


def test_the_page_of_search_needs_nothing_from_elsewhere(port):
    status, headers, page = ask(port, "GET", "/search")
    assert status == 200 and "default-src 'none'" in headers["content-security-policy"]
    assert not re.search(r"(src|href)=[\"']?(https?:)?//|@import|url\(|{{", page)
    assert 'fetch("search"' in page


def test_the_document_has_the_routes_and_their_examples_work(port):
    document = json.loads(ask(port, "GET", "/openapi.json")[2])
    for path in ("/v1/embeddings", "/embed", "/rerank", "/search"):
        schema = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]
        fields = document["components"]["schemas"][schema["schema"]["$ref"].rpartition("/")[2]]
        example = {name: field["examples"][0] for name, field in fields["properties"].items()}
        assert post(port, path, example)[0] == 200
    assert "<code>/v1/embeddings</code>" in ask(port, "GET", "/docs")[2]


def test_an_embedding_model_alone(port_of_vectors, encoder):
    port = port_of_vectors
    health = json.loads(ask(port, "GET", "/health")[2])
    assert health == {
        "status": "ok",
        "objective": "sentence_embedding",
        "classes": [],
        "max_seq_length": 24,
    }
    status, _, page = ask(port, "GET", "/")
    assert status == 200 and "<code>/embed</code>" in page
    assert post(port, "/predict", {"texts": ["好"]})[0] == 404
    assert post(port, "/search", {"query": "好"})[0] == 404
    cosines = encoder.encode(TEXTS) @ encoder.encode(["好"])[0]
    inputs = {"source_sentence": "好", "sentences": TEXTS}
    np.testing.assert_allclose(post(port, "/similarity", {"inputs": inputs})[2], cosines, atol=1e-6)
    assert post(port, "/similarity", {"inputs": dict(inputs, sentences=[])})[0] == 400
    answer = post(port, "/rerank", {"query": "好", "texts": TEXTS})[2]
    assert [entry["index"] for entry in answer] == np.argsort(-cosines).tolist()
    text = ask(port, "GET", "/metrics")[2]
    assert 'albert_requests_total{path="/rerank",status="200"}' in text


def test_a_body_that_cannot_be_read_is_an_error_of_openais_form(port_of_vectors):
    headers = {"Content-Type": "text/plain"}
    status, _, answer = ask(port_of_vectors, "POST", "/v1/embeddings", "{}", headers)
    assert status == 415 and "expected Content-Type" in json.loads(answer)["error"]["message"]
    for body in ("{", '{"input": 3}'):
        status, _, answer = post(port_of_vectors, "/v1/embeddings", body)
        assert status == 400 and set(answer["error"]) == {"message", "type", "param", "code"}


def test_a_corpus_that_cannot_be_read_again_stays(encoder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(embedding_routes, "SECONDS_BETWEEN_REFRESHES", 0.05)
    path = tmp_path / "faq.txt"
    path.write_text("\n".join(LINES) + "\n", encoding="utf-8")
    served = embedding_routes.EmbeddingModel(
        encoder, "small", corpus=search.Corpus(str(path), encoder)
    )
    shown = ""
    with contextlib.ExitStack() as stack:
        port = stack.enter_context(running(http_service.create_app(embedding=served)))
        path.write_text("\n", encoding="utf-8")
        deadline = time.time() + 60
        while "corpus not reloaded: " not in shown:
            assert time.time() < deadline
            time.sleep(0.05)
            shown += capsys.readouterr().err
        hits = post(port, "/search", {"query": LINES[0]})[2]["hits"]
        assert hits[0]["text"] == LINES[0] and hits[0]["probability"] is None
    assert "faq.txt has no text" in shown


def test_the_end_waits_for_no_corpus_that_is_read_again(encoder, corpus_file, monkeypatch):
    monkeypatch.setattr(embedding_routes, "SECONDS_BETWEEN_REFRESHES", 0.05)
    threads, ends = queue.Queue(), threading.Event()

    corpus = search.Corpus(str(corpus_file), encoder)

    def refresh(refreshed):
        if refreshed is corpus:  # not a corpus of another test's server
            threads.put(threading.current_thread())
            ends.wait(30)

    monkeypatch.setattr(search.Corpus, "refresh", refresh)
    served = embedding_routes.EmbeddingModel(encoder, "small", corpus=corpus)
    try:
        with running(http_service.create_app(embedding=served)):
            thread = threads.get(timeout=30)
        assert thread.is_alive() and thread.daemon  # the process can end without waiting for it
    finally:
        ends.set()
    thread.join(30)
    assert not thread.is_alive() and threads.empty()


def test_the_ranking_in_use_is_logged_at_the_start(tmp_path, capsys):
    folder = small_models.write_embedding_model(tmp_path / "vectors")
    (tmp_path / "faq.txt").write_text("今天天气\n怎么办理\n", encoding="utf-8")
    logged = "corpus: 2 lines, ranking %s similarity.py --dev_file)\n"
    flags = ["--embedding_dir=" + folder, "--corpus=%s" % (tmp_path / "faq.txt")]
    with small_models.command_flags(serve, flags), contextlib.ExitStack() as models:
        usual = serve._embedding(models, folder, None)
        weights = ",".join("%g" % weight for weight in usual.corpus.usual_weights)
        shown = "mixed %s (as usual, none is chosen by" % weights
        assert logged % shown in capsys.readouterr().err
        usual.corpus.keep_choice(search_choice.Choice("lexical", usual.corpus.usual_weights))
        assert str(serve._embedding(models, folder, None).ranking) == "lexical"
        assert str(usual.ranking) == "mixed " + weights  # it was loaded before the choice
        assert logged % "lexical (chosen by" in capsys.readouterr().err


def test_lines_that_the_model_reads_in_part_are_noted_at_the_start(tmp_path, capsys):
    folder = small_models.write_embedding_model(tmp_path / "vectors", NOTES)
    corpus = str(tmp_path / "faq.txt")
    with open(corpus, "w", encoding="utf-8") as handle:
        handle.write("今天鑫气很\n%s\n" % ("好" * 40))
    flags = ["--embedding_dir=" + folder, "--corpus=" + corpus, "--max_seq_length=16"]
    with small_models.command_flags(serve, flags), contextlib.ExitStack() as models:
        serve._embedding(models, folder, None)
    shown = capsys.readouterr().err
    assert "note: texts of --corpus of more than 16 tokens, which were truncated: 1\n" in shown
    assert "note: %s: 5.3 %% of the word pieces are unknown to the vocabulary" % corpus in shown
    assert "鑫" in shown and "预热" not in shown  # the warm-up query is not mentioned


def test_a_corpus_alone_is_searched_by_the_bundled_model(monkeypatch):
    monkeypatch.setattr(package_files, "places_of_models", list)  # ignore existing *_output/best
    bundled = package_files.EMBEDDING_MODEL
    expected = {"--corpus=faq.txt": bundled, "--embedding_dir=x": "x", "--model_dir=x": None}
    for argument, folder in expected.items():
        with small_models.command_flags(serve, [argument]):
            assert serve._embedding_dir() == folder
