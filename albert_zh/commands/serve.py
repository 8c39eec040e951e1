r"""A small HTTP service around a fine-tuned model, with a page to try it on.

    pip install -r requirements-serve.txt
    python serve.py --model_dir=lcqmc_output/best
    curl -s 127.0.0.1:8000/similarity -H 'Content-Type: application/json' \
        -d '{"pairs": [["怎么开户", "如何开通账户"]]}'
    python serve.py --embedding_dir=embedding_output/best --corpus=faq.txt

With --embedding_dir vectors of texts are served in OpenAI's form (POST /v1/embeddings) and in that
of text-embeddings-inference (/embed, /rerank); with --corpus the lines of that file are searched
(/search), as it is at any time, by the vectors of the bundled model where none is named. A model of
pairs beside it (--model_dir) reranks.

With --generator_dir texts are written (POST /generate, and /generate/stream as server-sent events),
by a model of run_seq2seq.py.

Ctrl-C or SIGTERM ends it after the pending requests are answered; a second Ctrl-C, at once.
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
SECONDS_TO_REFUSE = 2  # those whose requests take longer than that
SECONDS_OF_ONE_STOP = 1  # within which several signals are one: of the terminal, of a supervisor
BACKLOG = 2048  # connections that the system keeps until the server takes them


def define_flags() -> None:
    """Defines the command's flags."""
    model_flags.define(
        "Model folder, SavedModel folder, .tflite or .onnx file; the newest *_output/best if none."
    )
    _define_flags_of_vectors()
    flags.DEFINE_string("generator_dir", None, "Model folder of run_seq2seq.py that writes texts.")
    model_flags.define_granularity()
    flags.DEFINE_boolean(
        "check_text_form",
        True,
        "Whether to refuse (400) single texts if the model was trained on pairs, and the reverse.",
    )
    flags.DEFINE_string("host", "127.0.0.1", "Address to listen at; 0.0.0.0 for all.")
    flags.DEFINE_integer("port", 8000, "Port to listen at; 0 for any free one.", 0, 65535)
    flags.DEFINE_integer("max_texts", 1000, "Texts in a request; more are refused (413).", 1, 10**6)
    flags.DEFINE_integer("max_body_bytes", 1 << 20, "Bytes of a request; more: 413.", 1, 1 << 30)
    flags.DEFINE_float(
        "body_seconds", 10, "How long a client may take to send a request.", 0.1, 3600
    )
    flags.DEFINE_integer(
        "max_batch_size",
        256,
        "Texts of waiting requests predicted at once; 1: none together.",
        1,
        10**6,
    )
    flags.DEFINE_integer(
        "max_waiting", 4000, "Texts that may wait; more are refused (503).", 1, 10**7
    )
    flags.DEFINE_float("max_wait_ms", 0, "How long a batch waits for further texts.", 0, 60000)
    flags.DEFINE_integer(
        "max_connections", 1000, "Open connections; more are refused (503).", 2, 10**6
    )
    _define_limits_of_generation()
    path_rules.serve_remote_everywhere(FLAGS)


def _define_limits_of_generation():
    flags.DEFINE_integer(
        "max_length",
        None,
        "Tokens of a text that is written at most, as in training by default; requests of more "
        "are refused (400).",
        1,
        1 << 20,
    )
    flags.DEFINE_integer(
        "max_beams", 16, "Hypotheses of a beam search; requests of more: 400.", 1, 64
    )


def _define_flags_of_vectors():
    flags.DEFINE_string(
        "embedding_dir",
        None,
        "Model folder whose vectors to serve; with --corpus by default the newest of "
        "run_sentence_embedding.py (*_output/best) or the bundled albert_starter_zh/embedding.",
    )
    flags.DEFINE_string("corpus", None, "File to search in, a text per line.")
    flags.DEFINE_string("encoding", "utf-8", "Encoding of --corpus.")
    flags.DEFINE_enum(
        "vectors", "float32", vector_index.STORAGES, "How vectors of --corpus are held in memory."
    )


def run() -> None:
    """Serves until a signal ends it."""
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
        _install_signal_handlers(server.handle_exit)  # as the server does, but from now on
        print("serving at %s (Ctrl-C ends)" % _url(listener), file=sys.stderr, flush=True)
        server.run(sockets=[listener])
    _install_signal_handlers(signal.SIG_IGN)  # what is left takes no time
    print("ended", file=sys.stderr)


def _note_flags_in_vain(embedding_dir):
    """Notes on standard error flags of what is not served."""
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
    """The folder of the model whose vectors are served; None where none are."""
    if FLAGS.embedding_dir or not FLAGS.corpus:
        return FLAGS.embedding_dir
    return model_choice.usual_embedding_model()


def _predictor(models, embedding_dir):
    """The predictor of --model_dir; None where only models of other kinds are given."""
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
    """The `EmbeddingModel` of a folder and --corpus."""
    from albert_zh.inference.serving import embedding_routes

    if reranker is not None:
        reranker.similarity_column()  # raises for what compares no sentences
    length = None if FLAGS.model_dir else FLAGS.max_seq_length  # else it is the classifier's
    encoder = text_encoder.TextEncoder(path, max_seq_length=length, precision=FLAGS.precision)
    models.enter_context(encoder)
    print(printable("embedding model: %s" % path), file=sys.stderr)
    if encoder.notes is None:
        print("note: it is not trained for vectors: the mean of its tokens", file=sys.stderr)
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
    """What clients call a model: its folder, of OUTPUT_DIR/best that above."""
    folder = os.path.abspath(path)
    name = os.path.basename(folder)
    return os.path.basename(os.path.dirname(folder)) if name == "best" else name


def _install_signal_handlers(handler):
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, handler)


def _server(uvicorn, app):
    """The server, which a signal ends; a second one only later than a second after the first."""
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            log_config=None,  # its own would close other libraries' handlers
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
    """Ends the process then, if it is still there: a thread may be at work on a very long text."""
    timer = threading.Timer(seconds, stop_at_once)
    timer.daemon = True
    timer.start()


def _limits(http_service, embedding_dir):
    compares_vectors = bool(embedding_dir) and not FLAGS.model_dir
    if FLAGS.max_waiting < FLAGS.max_texts + compares_vectors:
        raise UserError(
            "--max_waiting=%d: expected at least --max_texts=%d%s, or a full request never fits in"
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
    """A bound socket; raises `UserError` if the address cannot be had."""
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
