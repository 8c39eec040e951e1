"""A local stand-in for Google Cloud Storage, used by TensorFlow's own gs:// client.

    with object_store.running(folder) as store:  # environment variables name proxy and certificate
        store.objects["bucket/name"] = b"..."
        subprocess.run([...], env=dict(os.environ, **store.environment))

The proxy variables of the client's HTTP library lead it to this server, which terminates TLS with
a certificate created for the test. The server implements the requests of the JSON API that the
client sends: metadata, paged listings, range reads, resumable uploads, copies and deletions.
"""

import contextlib
import http.server
import json
import os
import ssl
import subprocess
import threading
import urllib.parse

_HOSTS = ("www.googleapis.com", "storage.googleapis.com")
TOKEN = "token-that-nobody-may-see"
_PAGE = 700  # names per response, so that 2,000 need several


class Store:
    """The server's objects, the requests that it received, and the failures that it simulates.

    Attributes:
        objects: {"bucket/name": bytes}.
        requests: list of "METHOD path".
        failures: list of (method, text in the path, status); each fails one request.
        always: like `failures`, for all matching requests.
        environment: {name: value} of the environment variables of client processes.
    """

    def __init__(self):
        self.objects, self.requests = {}, []
        self.failures, self.always = [], []
        self.uploads, self.environment = {}, {}
        self.lock = threading.RLock()

    def failure_of(self, method, path):
        """The error status to respond with, or None."""
        for failures in (self.failures, self.always):
            for failure in list(failures):
                if failure[0] == method and failure[1] in urllib.parse.unquote(path):
                    if failures is self.failures:
                        failures.remove(failure)
                    return failure[2]
        return None


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_CONNECT(self):  # noqa: N802  (http.server's names)
        if self.path.split(":")[0] not in _HOSTS:
            self._answer(502)
            return
        self.send_response(200)
        self.end_headers()
        self.wfile.flush()
        self.connection = self.server.tls.wrap_socket(self.connection, server_side=True)
        self.rfile = self.connection.makefile("rb")
        self.wfile = self.connection.makefile("wb")
        self.close_connection = False

    def _answer(self, status, body=b"", **headers):
        if isinstance(body, (dict, list)):
            body = json.dumps(body).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.wfile.flush()

    def _body(self):
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        blocks = []
        while True:
            size = int(self.rfile.readline(), 16)
            blocks.append(self.rfile.read(size))
            self.rfile.readline()
            if not size:
                return b"".join(blocks)

    def _serve(self):
        store = self.server.store
        body = self._body()
        url = urllib.parse.urlsplit(self.path)
        words = [urllib.parse.unquote(word) for word in url.path.strip("/").split("/")]
        query = dict(urllib.parse.parse_qsl(url.query))
        with store.lock:
            store.requests.append("%s %s" % (self.command, urllib.parse.unquote(self.path)))
            named = store.uploads.get(query.get("number"), [""])[0]
            status = store.failure_of(self.command, self.path + " " + named)
            if status:
                self._answer(status, {"error": {"code": status, "message": "as the test says"}})
            elif words[:3] == ["storage", "v1", "b"]:
                self._metadata(store, words[3:], query)
            elif words[:4] == ["upload", "storage", "v1", "b"]:
                self._upload(store, words[4], query, body)
            else:
                self._content(store, "/".join(words))

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _serve  # noqa: N815

    def _metadata(self, store, words, query):
        bucket = words[0]
        if len(words) == 1:
            is_there = any(name.startswith(bucket + "/") for name in store.objects)
            self._answer(200 if is_there else 404, {"location": "US"})
        elif len(words) == 2:
            self._listing(store, bucket, query)
        else:
            self._object(store, bucket, words)

    def _object(self, store, bucket, words):
        name = bucket + "/" + words[2]
        if name not in store.objects:
            self._answer(404, {"error": {"code": 404, "message": "Not Found"}})
        elif self.command == "DELETE":
            del store.objects[name]
            self._answer(204)
        elif "rewriteTo" in words:
            store.objects[words[5] + "/" + words[7]] = store.objects[name]
            self._answer(200, {"done": True})
        else:
            content = store.objects[name]
            about = {"size": str(len(content)), "updated": "2026-01-01T00:00:00.000Z"}
            self._answer(200, dict(about, name=words[2], generation="1"))

    def _listing(self, store, bucket, query):
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter")
        names, folders = [], set()
        for name in sorted(store.objects):
            if not name.startswith(bucket + "/" + prefix):
                continue
            name = name[len(bucket) + 1 :]
            rest = name[len(prefix) :]
            if delimiter and delimiter in rest:
                folders.add(prefix + rest.split(delimiter)[0] + delimiter)
            else:
                names.append(name)
        first = int(query.get("pageToken", 0))
        end = first + min(_PAGE, int(query.get("maxResults", _PAGE)))
        answer = {
            "items": [
                {
                    "name": name,
                    "size": str(len(store.objects[bucket + "/" + name])),
                    "updated": "2026-01-01T00:00:00.000Z",
                    "generation": "1",
                }
                for name in names[first:end]
            ],
            "prefixes": sorted(folders) if first == 0 else [],
        }
        if end < len(names):
            answer["nextPageToken"] = str(end)
        self._answer(200, answer)

    def _upload(self, store, bucket, query, body):
        if self.command == "POST":
            number = str(len(store.uploads))
            store.uploads[number] = [bucket + "/" + query["name"], b""]
            place = "https://www.googleapis.com/upload/storage/v1/b/%s/o?number=%s"
            self._answer(200, Location=place % (bucket, number))
            return
        upload = store.uploads[query["number"]]
        upload[1] += body
        whole = int(self.headers.get("Content-Range", "*/0").split("/")[1])
        if len(upload[1]) < whole:  # the client asks how much of a failed upload has arrived
            self._answer(308, **({"Range": "0-%d" % (len(upload[1]) - 1)} if upload[1] else {}))
            return
        store.objects[upload[0]] = upload[1]
        self._answer(200, {"name": upload[0]})

    def _content(self, store, name):
        content = store.objects.get(name)
        if content is None:
            self._answer(404)
            return
        begin, end = self.headers.get("Range", "bytes=0-").split("=")[1].split("-")
        begin, end = int(begin), int(end or len(content)) + 1
        if begin >= len(content):
            self._answer(416)
            return
        self._answer(206, content[begin:end])


def _make_certificate(folder):
    """Creates a certificate for the host names of the service; returns its and the key's path."""
    paths = [os.path.join(folder, name) for name in ("certificate.pem", "key.pem")]
    names = ",".join("DNS:" + host for host in _HOSTS)
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
        + ["-subj", "/CN=" + _HOSTS[0], "-addext", "subjectAltName=" + names]
        + ["-out", paths[0], "-keyout", paths[1]],
        check=True,
        capture_output=True,
    )
    return paths


@contextlib.contextmanager
def running(folder):
    """Runs a server; yields its `Store`.

    Args:
        folder: an empty folder for its certificate.
    """
    certificate, key = _make_certificate(str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.handle_error = lambda *_: None  # ignores clients that disconnect
    server.daemon_threads = True
    server.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.tls.load_cert_chain(certificate, key)
    server.store = store = Store()
    address = "http://127.0.0.1:%d" % server.server_address[1]
    store.environment = {
        "https_proxy": address,
        "HTTPS_PROXY": address,
        "no_proxy": "",
        "NO_PROXY": "",
        "CURL_CA_BUNDLE": certificate,
        "NO_GCE_CHECK": "true",
        "GOOGLE_AUTH_TOKEN_FOR_TESTING": TOKEN,
        "GCS_RETRY_CONFIG_INIT_DELAY_TIME_US": "1000",
        "GCS_RETRY_CONFIG_MAX_DELAY_TIME_US": "2000",
        "GCS_RETRY_CONFIG_MAX_RETRIES": "2",
        "GCS_STAT_CACHE_MAX_AGE": "0",
        "TF_CPP_MIN_LOG_LEVEL": "2",
    }
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield store
    finally:
        server.shutdown()
        server.server_close()
