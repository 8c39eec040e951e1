"""A small HTTP service around a fine-tuned model, with a page to try it on.

    pip install -r requirements-serve.txt
    python serve.py --model_dir=lcqmc_output/best
    curl -s 127.0.0.1:8000/similarity -H 'Content-Type: application/json' \
        -d '{"pairs": [["怎么开户", "如何开通账户"]]}'

Ctrl-C or SIGTERM ends it after the requests at hand are answered.
"""

import os
import signal
import socket
import sys

from absl import flags

from errors import UserError, run_command
import predictor

FLAGS = flags.FLAGS
SECONDS_TO_END = 60
BACKLOG = 2048  # connections that the system keeps until the server takes them


def define_flags():
    """Defines the command's flags."""
    flags.DEFINE_string(
        "model_dir",
        None,
        "Model folder, SavedModel folder or .tflite file; the newest *_output/best if left out.",
    )
    flags.DEFINE_string("host", "127.0.0.1", "Address to listen at; 0.0.0.0 for all.")
    flags.DEFINE_integer("port", 8000, "Port to listen at; 0 for any free one.", 0, 65535)
    flags.DEFINE_integer("max_seq_length", None, "Longest input in tokens; as in training.")
    flags.DEFINE_enum("precision", "float32", ["float32", "bfloat16"], "Precision of the products.")
    flags.DEFINE_integer("max_texts", 1000, "Texts in a request; more are refused (413).", 1)
    flags.DEFINE_integer("max_body_bytes", 1 << 20, "Bytes of a request; more: 413.", 1)
    flags.DEFINE_float("body_seconds", 10, "How long a client may take to send a request.", 0.1)
    flags.DEFINE_integer(
        "max_batch_size", 256, "Texts of waiting requests predicted at once; 1: none together.", 1
    )
    flags.DEFINE_integer("max_waiting", 4000, "Texts that may wait; more are refused (503).", 1)
    flags.DEFINE_float("max_wait_ms", 0, "How long a batch waits for further texts.", 0)
    flags.DEFINE_integer("max_connections", 1000, "Open connections; more are refused (503).", 2)


def main():
    """Serves until a signal ends it."""
    try:
        import uvicorn

        import serving
    except ImportError as error:
        raise UserError(
            "serving needs %s: pip install -r requirements-serve.txt" % error.name
        ) from error
    listener = _listener(FLAGS.host, FLAGS.port)
    root = os.path.dirname(os.path.abspath(__file__))
    path = FLAGS.model_dir or os.path.relpath(predictor.newest_best_folder(root))
    settings = {"max_seq_length": FLAGS.max_seq_length, "precision": FLAGS.precision}
    with predictor.Predictor(path, **settings) as model:
        model.predict(["预热"])  # the first prediction of a session takes longer
        server = _server(uvicorn, serving.create_app(model, _limits(serving)))
        listener.listen(BACKLOG)
        print("model: %s" % path, file=sys.stderr)
        print("serving at %s (Ctrl-C ends)" % _url(listener), file=sys.stderr, flush=True)
        # The server takes both signals while it runs and passes them on when it has ended.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: None)
        server.run(sockets=[listener])
    print("ended", file=sys.stderr)


def _server(uvicorn, app):
    return uvicorn.Server(
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


def _limits(serving):
    if FLAGS.max_waiting < FLAGS.max_texts:
        raise UserError(
            "--max_waiting=%d: expected at least --max_texts=%d, or a full request never fits in"
            % (FLAGS.max_waiting, FLAGS.max_texts)
        )
    return serving.Limits(
        FLAGS.max_texts,
        FLAGS.max_body_bytes,
        FLAGS.body_seconds,
        FLAGS.max_batch_size,
        FLAGS.max_waiting,
        FLAGS.max_wait_ms / 1000.0,
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


if __name__ == "__main__":
    define_flags()
    run_command(main)
