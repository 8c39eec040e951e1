"""A web application in a thread, and requests to it."""

import contextlib
import http.client
import json
import socket
import threading
import time

import uvicorn


@contextlib.contextmanager
def running(app):
    """Serves an app in a thread; yields the port."""
    settings = {"log_config": None, "log_level": "error", "timeout_graceful_shutdown": 30}
    server = uvicorn.Server(uvicorn.Config(app, **settings))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(60)
            assert not thread.is_alive()


def check_answer(document, method, path, status, headers, answer):
    """Asserts that a response is one that an OpenAPI document allows for the request."""
    kind = headers["content-type"].split(";")[0]
    is_head = method == "HEAD"  # as GET without the body
    operation = document["paths"].get(path, {}).get("get" if is_head else method.lower())
    if operation is None:
        assert status in (404, 405) and (is_head or list(json.loads(answer)) == ["error"])
        return
    content = operation["responses"][str(status)]["content"][kind]
    assert not (is_head and answer)
    if kind == "application/json" and not is_head:
        assert fits(json.loads(answer), content["schema"], document["components"]["schemas"])
    if status == 200 and "requestBody" in operation:
        assert operation["requestBody"]["required"]


def fits(value, schema, schemas):
    """Whether a value is valid by a JSON schema; knows only the keywords that the service uses."""
    known = {"$ref", "type", "anyOf", "properties", "required", "items", "prefixItems", "enum"}
    known |= {"minItems", "maxItems", "additionalProperties", "const", "title", "description"}
    assert set(schema) - known <= {"examples"}, "the test knows no %s" % sorted(schema)
    if "$ref" in schema:
        return fits(value, schemas[schema["$ref"].rpartition("/")[2]], schemas)
    if "anyOf" in schema:
        return any(fits(value, choice, schemas) for choice in schema["anyOf"])
    types = {"object": dict, "array": list, "string": str, "number": (int, float), "integer": int}
    types.update(null=type(None), boolean=bool)
    if "type" in schema and not isinstance(value, types[schema["type"]]):
        return False
    if "const" in schema and value != schema["const"]:
        return False
    if "enum" in schema and value not in schema["enum"]:
        return False
    if isinstance(value, list):
        kinds = schema.get("prefixItems", []) or [schema.get("items", {})] * len(value)
        is_long_enough = schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", 10**9)
        return is_long_enough and all(fits(v, kind, schemas) for v, kind in zip(value, kinds))
    if isinstance(value, dict):
        fields = schema.get("properties", {})
        others = set(value) - set(fields)
        return (
            set(schema.get("required", [])) <= set(value)
            and not (others and schema.get("additionalProperties", True) is False)
            and all(fits(value[name], fields[name], schemas) for name in set(value) & set(fields))
        )
    return True


def send(port, method, path, body=None, headers=None, timeout=60):
    """(status, headers, body) of a request."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        body = body.encode("utf-8") if isinstance(body, str) else body
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read().decode("utf-8")
    finally:
        connection.close()


def ask(port, method, path, body=None, headers=None, timeout=60):
    """(status, headers, body) of a request; `body` as str or bytes.

    The response is checked against the service's OpenAPI document.
    """
    status, headers, answer = send(port, method, path, body, headers, timeout)
    document = json.loads(send(port, "GET", "/openapi.json")[2])
    check_answer(document, method, path, status, headers, answer)
    return status, headers, answer


def post(port, path, value, **settings):
    """(status, headers, parsed JSON) for a value posted as JSON; str and bytes are sent as such."""
    body = value if isinstance(value, (str, bytes)) else json.dumps(value, ensure_ascii=False)
    headers = {"Content-Type": "application/json"}
    status, headers, answer = ask(port, "POST", path, body, headers, **settings)
    return status, headers, json.loads(answer)
