r"""Serves a fine-tuned model over HTTP, with a web page to try it out.

    pip install -r requirements-serve.txt
    python serve.py --model_dir=lcqmc_output/best
    curl -s 127.0.0.1:8000/similarity -H 'Content-Type: application/json' \
        -d '{"pairs": [["怎么开户", "如何开通账户"]]}'
    python serve.py --embedding_dir=embedding_output/best --corpus=faq.txt

With --embedding_dir, text vectors are served in the formats of OpenAI (POST /v1/embeddings) and of
text-embeddings-inference (/embed, /rerank). With --corpus, the lines of that file are searched
(/search), and changes of the file take effect while the server runs; if no model is named, the
vectors are those of the newest embedding model or the bundled one. If --model_dir also names a
model of pairs, it reranks.

With --generator_dir, a model of run_seq2seq.py generates texts (POST /generate, and
/generate/stream as server-sent events).

Ctrl-C or SIGTERM stops the server after pending requests are answered; a second Ctrl-C stops it
at once.
"""

import contextlib
import os
import signal
import socket
import sys
import threading
import time

from absl import flags

from albert_zh.common import package_files, path_rules
from albert_zh.common.errors import UserError, printable, run_command, stop_at_once
from albert_zh.inference import loaded_model, model_choice, model_flags, predictor, text_encoder
from albert_zh.inference.retrieval import search, vector_index

__all__ = [
    "BACKLOG",
    "SECONDS_OF_ONE_STOP",
    "SECONDS_TO_END",
    "SECONDS_TO_REFUSE",
    "define_flags",
    "main",
    "run",
]

FLAGS = flags.FLAGS
SECONDS_TO_END = 60
SECONDS_TO_REFUSE = 2  # time to refuse requests that take longer than SECONDS_TO_END
SECONDS_OF_ONE_STOP = 1  # signals within this time count as one: from terminal and supervisor
BACKLOG = 2048  # connections that the system queues until the server accepts them


def define_flags() -> None:
    """Defines the command's flags."""
    model_flags.define(
        "Model folder, SavedModel folder, .tflite or .onnx file; default: newest *_output/best."
    )
    _define_flags_of_vectors()
    flags.DEFINE_string("generator_dir", None, "Model folder of run_seq2seq.py for generation.")
    model_flags.define_granularity()
    flags.DEFINE_boolean(
        "check_text_form",
        True,
        "Whether to refuse (400) single texts if the model was trained on pairs, and vice versa.",
    )
    flags.DEFINE_string("host", "127.0.0.1", "Address to listen on; 0.0.0.0: all.")
    flags.DEFINE_integer("port", 8000, "Port to listen on; 0: any free port.", 0, 65535)
    flags.DEFINE_integer("max_texts", 1000, "Maximum texts per request (else 413).", 1, 10**6)
    flags.DEFINE_integer("max_body_bytes", 1 << 20, "Maximum request bytes (else 413).", 1, 1 << 30)
    flags.DEFINE_float(
        "body_seconds", 10, "Maximum seconds a client may take to send a request.", 0.1, 3600
    )
    flags.DEFINE_integer(
        "max_batch_size",
        256,
        "Maximum texts of waiting requests to predict in one batch; 1: no batching.",
        1,
        10**6,
    )
    flags.DEFINE_integer(
        "max_waiting", 4000, "Maximum number of waiting texts; more are refused (503).", 1, 10**7
    )
    flags.DEFINE_float("max_wait_ms", 0, "Milliseconds a batch waits for more texts.", 0, 60000)
    flags.DEFINE_integer(
        "max_connections", 1000, "Maximum open connections; more are refused (503).", 2, 10**6
    )
    _define_limits_of_generation()
    path_rules.serve_remote_everywhere(FLAGS)


def _define_limits_of_generation():
    flags.DEFINE_integer(
        "max_length",
        None,
        "Maximum tokens of a generated text; default: as in training. Requests for more are "
        "refused (400).",
        1,
        1 << 20,
    )
    flags.DEFINE_integer(
        "max_beams", 16, "Maximum beams of a beam search; more are refused (400).", 1, 64
    )


def _define_flags_of_vectors():
    flags.DEFINE_string(
        "embedding_dir",
        None,
        "Model folder whose vectors to serve; default with --corpus: the newest model of "
        "run_sentence_embedding.py (*_output/best) or the bundled albert_starter_zh/embedding.",
    )
    flags.DEFINE_string("corpus", None, "File to search, one text per line.")
    flags.DEFINE_string("encoding", "utf-8", "Encoding of --corpus.")
    flags.DEFINE_enum(
        "vectors", "float32", vector_index.STORAGES, "How to store vectors of --corpus in memory."
    )


def run() -> None:
    """Serves until a signal stops it."""
    try:
        import uvicorn

        from albert_zh.inference.serving import http_service
    except ImportError as error:
        raise UserError(
            "serving needs %s: %s" % (error.name, package_files.installation_of("serve"))
        ) from error
    embedding_dir = _embedding_dir()
    limits = _limits(http_service, embedding_dir)
    _note_flags_in_vain(embedding_dir)
    listener = _listener(FLAGS.host, FLAGS.port)
    with contextlib.ExitStack() as models:
        model = _predictor(models, embedding_dir)
        embedding = _embedding(models, embedding_dir, model) if embedding_dir else None
        generator = _generator(models) if FLAGS.generator_dir else None
        app = http_service.create_app(model, limits, embedding, generator)
        server = _server(uvicorn, app)
        listener.listen(BACKLOG)
        _install_signal_handlers(server.handle_exit)  # the server's handlers, installed early
        print("serving at %s (Ctrl-C ends)" % _url(listener), file=sys.stderr, flush=True)
        server.run(sockets=[listener])
    _install_signal_handlers(signal.SIG_IGN)  # the rest takes no time
    print("ended", file=sys.stderr)


def _note_flags_in_vain(embedding_dir):
    """Prints notes on standard error for flags of functions that are not served."""
    is_classifier = bool(FLAGS.model_dir) or not (embedding_dir or FLAGS.generator_dir)
    in_vain = {
        "--corpus": () if FLAGS.corpus else ("encoding", "vectors"),
        "--generator_dir": () if FLAGS.generator_dir else ("max_beams", "max_length"),
        "--model_dir": () if is_classifier else ("check_text_form", "granularity"),
        "--model_dir or --embedding_dir": ()
        if is_classifier or embedding_dir
        else ("max_seq_length", "max_batch_size", "max_wait_ms"),
    }
    for partner, names in in_vain.items():
        for name in names:
            if FLAGS[name].present:
                print("note: --%s has no effect without %s" % (name, partner), file=sys.stderr)


def _embedding_dir():
    """The folder of the model whose vectors are served; None if no vectors are served."""
    if FLAGS.embedding_dir or not FLAGS.corpus:
        return FLAGS.embedding_dir
    return model_choice.usual_embedding_model()


def _predictor(models, embedding_dir):
    """The predictor of --model_dir; None if only models of other kinds are set."""
    if (embedding_dir or FLAGS.generator_dir) and not FLAGS.model_dir:
        return None
    path = FLAGS.model_dir or model_choice.newest_model()
    model = predictor.Predictor(
        path,
        FLAGS.max_seq_length,
        precision=FLAGS.precision,
        check_text_form=FLAGS.check_text_form,
        granularity=FLAGS.granularity,
    )
    models.enter_context(model)
    # The first prediction of a session takes longer.
    model.predict([("预热", "预热") if model.takes_pairs else "预热"])
    print(printable("model: %s" % path), file=sys.stderr)
    return model


def _embedding(models, path, reranker):
    """The `EmbeddingModel` of a folder, with --corpus."""
    from albert_zh.inference.serving import embedding_routes

    if reranker is not None:
        reranker.similarity_column()  # raises if it does not compare sentences
    length = None if FLAGS.model_dir else FLAGS.max_seq_length  # else the classifier's
    encoder = text_encoder.TextEncoder(path, max_seq_length=length, precision=FLAGS.precision)
    models.enter_context(encoder)
    print(printable("embedding model: %s" % path), file=sys.stderr)
    if encoder.notes is None:
        print(
            "note: it was not trained to compute sentence vectors: the mean of the token vectors "
            "is used",
            file=sys.stderr,
        )
    served = embedding_routes.EmbeddingModel(encoder, _name_of(path), reranker)
    if FLAGS.corpus:
        corpus = search.Corpus(FLAGS.corpus, encoder, FLAGS.encoding, storage=FLAGS.vectors)
        loaded_model.note_cut("texts of --corpus", encoder.num_cut, encoder.max_seq_length)
        loaded_model.note_unknown(FLAGS.corpus, encoder)
        choice = corpus.choice(reranker)
        served = served._replace(corpus=corpus, choice=choice)
        corpus.search(corpus.texts[:1], reranker)
        why = "chosen by" if choice else "as usual, none is chosen by"
        shown = (len(corpus.texts), served.ranking, why)
        print("corpus: %d lines, ranking %s (%s similarity.py --dev_file)" % shown, file=sys.stderr)
    encoder.encode(["预热"])
    return served


def _generator(models):
    """The `Generator` of --generator_dir."""
    from albert_zh.inference.generator import Generator

    generator = models.enter_context(Generator(FLAGS.generator_dir, precision=FLAGS.precision))
    generator.generate(["预热"], max_length=1)
    print(printable("generator: %s" % FLAGS.generator_dir), file=sys.stderr)
    return generator


def _name_of(path):
    """The name of a model for clients: its folder's, or the folder above for OUTPUT_DIR/best."""
    folder = os.path.abspath(path)
    name = os.path.basename(folder)
    return os.path.basename(os.path.dirname(folder)) if name == "best" else name


def _install_signal_handlers(handler):
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, handler)


def _server(uvicorn, app):
    """The server, which a signal stops; a second one counts only a second after the first."""
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            log_config=None,  # uvicorn's would close other libraries' handlers
            log_level="warning",
            access_log=False,
            server_header=False,
            limit_concurrency=FLAGS.max_connections,
            backlog=BACKLOG,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=SECONDS_TO_END,
        )
    )
    first_signal = []

    def handle_exit(signum, frame):
        if not first_signal:
            _stop_after(SECONDS_TO_END + SECONDS_TO_REFUSE)
        first_signal.append(time.monotonic())
        if signum == signal.SIGINT and time.monotonic() - first_signal[0] > SECONDS_OF_ONE_STOP:
            stop_at_once()
        server.should_exit = True

    server.handle_exit = handle_exit
    return server


def _stop_after(seconds):
    """Ends the process after some time, even if a thread still works on a very long text."""
    timer = threading.Timer(seconds, stop_at_once)
    timer.daemon = True
    timer.start()


def _limits(http_service, embedding_dir):
    compares_vectors = bool(embedding_dir) and not FLAGS.model_dir
    if FLAGS.max_waiting < FLAGS.max_texts + compares_vectors:
        raise UserError(
            "--max_waiting=%d: expected at least --max_texts=%d%s, otherwise a full request "
            "is never accepted"
            % (FLAGS.max_waiting, FLAGS.max_texts, " + 1 (a query)" * compares_vectors)
        )
    return http_service.Limits(
        FLAGS.max_texts,
        FLAGS.max_body_bytes,
        FLAGS.body_seconds,
        FLAGS.max_batch_size,
        FLAGS.max_waiting,
        FLAGS.max_wait_ms / 1000.0,
        FLAGS.max_length,
        FLAGS.max_beams,
    )


def _url(listener):
    host, port = listener.getsockname()[:2]
    return "http://%s:%d/" % ("[%s]" % host if ":" in host else host, port)


def _listener(host, port):
    """A bound socket; raises `UserError` if the address is not available."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            "--host=%s --port=%d: cannot listen there: %s" % (host, port, reason)
        ) from error
    return listener


def main() -> None:
    """Runs the command line."""
    define_flags()
    run_command(run, description=__doc__)
