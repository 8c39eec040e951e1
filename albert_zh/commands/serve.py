"""A small HTTP service around a fine-tuned model, with a page to try it on.

    pip install -r requirements-serve.txt
    python serve.py --model_dir=lcqmc_output/best
    curl -s 127.0.0.1:8000/similarity -H 'Content-Type: application/json' \
        -d '{"pairs": [["怎么开户", "如何开通账户"]]}'

Ctrl-C or SIGTERM ends it after the pending requests are answered; a second Ctrl-C, at once.
"""

import signal
import socket
import sys
import time

from absl import flags

from albert_zh.common import package_files
from albert_zh.common.errors import UserError, printable, run_command, stop_at_once
from albert_zh.inference import model_flags, predictor

__all__ = [
    "BACKLOG",
    "SECONDS_OF_ONE_STOP",
    "SECONDS_TO_END",
    "define_flags",
    "main",
    "run",
]

FLAGS = flags.FLAGS
SECONDS_TO_END = 60
SECONDS_OF_ONE_STOP = 1  # within which several signals are one: of the terminal, of a supervisor
BACKLOG = 2048  # connections that the system keeps until the server takes them


def define_flags():
    """Defines the command's flags."""
    model_flags.define(
        "Model folder, SavedModel folder or .tflite file; the newest *_output/best if left out."
    )
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


def run():
    """Serves until a signal ends it."""
    try:
        import uvicorn

        from albert_zh.inference import http_service
    except ImportError as error:
        raise UserError(
            "serving needs %s: %s" % (error.name, package_files.installation_of("serve"))
        ) from error
    listener = _listener(FLAGS.host, FLAGS.port)
    path = FLAGS.model_dir or model_flags.newest_model()
    with predictor.Predictor(
        path,
        FLAGS.max_seq_length,
        precision=FLAGS.precision,
        check_text_form=FLAGS.check_text_form,
    ) as model:
        # The first prediction of a session takes longer.
        model.predict([("预热", "预热") if model.takes_pairs else "预热"])
        server = _server(uvicorn, http_service.create_app(model, _limits(http_service)))
        listener.listen(BACKLOG)
        _install_signal_handlers(server.handle_exit)  # as the server does, but from now on
        print(printable("model: %s" % path), file=sys.stderr)
        print("serving at %s (Ctrl-C ends)" % _url(listener), file=sys.stderr, flush=True)
        server.run(sockets=[listener])
        _install_signal_handlers(signal.SIG_IGN)  # what is left takes no time
    print("ended", file=sys.stderr)


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
        first_signal.append(time.monotonic())
        if signum == signal.SIGINT and time.monotonic() - first_signal[0] > SECONDS_OF_ONE_STOP:
            stop_at_once()
        server.should_exit = True

    server.handle_exit = handle_exit
    return server


def _limits(http_service):
    if FLAGS.max_waiting < FLAGS.max_texts:
        raise UserError(
            "--max_waiting=%d: expected at least --max_texts=%d, or a full request never fits in"
            % (FLAGS.max_waiting, FLAGS.max_texts)
        )
    return http_service.Limits(
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


def main():
    """Runs the command line."""
    define_flags()
    run_command(run, description=__doc__)
