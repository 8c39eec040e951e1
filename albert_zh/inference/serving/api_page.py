"""A page for an OpenAPI document that loads nothing from other sites, unlike FastAPI's page."""

import html
import json
import os

from albert_zh.common import files, package_files

TEMPLATE = os.path.join(package_files.WEB, "docs.html")


def render(document: dict) -> str:
    """Renders the page.

    Args:
        document: OpenAPI 3.1, as returned by `FastAPI.openapi`.

    Returns:
        HTML.
    """
    operations = [
        _operation(path, method, operation, document)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    schemas = [
        '<section id="%s"><h2>%s</h2>%s</section>' % (name, html.escape(name), _code(schema))
        for name, schema in sorted(document["components"]["schemas"].items())
    ]
    page = files.read_text(TEMPLATE)
    contents = {
        "title": html.escape(document["info"]["title"]),
        "description": html.escape(document["info"]["description"]),
        "operations": "\n".join(operations),
        "schemas": "\n".join(schemas),
    }
    for name, content in contents.items():
        page = page.replace("{{%s}}" % name, content)
    return page


def _operation(path, method, operation, document):
    about = "<p>%s</p>" % html.escape(operation.get("description", ""))
    if "requestBody" in operation:
        body = operation["requestBody"]["content"]["application/json"]
        about += "<p>Body: %s</p>%s" % (_link(body), _request(path, body["schema"], document))
    answers = "".join(
        _answer_row(status, kind, answer, content)
        for status, answer in operation["responses"].items()
        for kind, content in (answer.get("content") or {"": {}}).items()
    )
    return (
        "<section><h2>%s <code>%s</code></h2>%s<table><tr><th>status</th><th>content</th>"
        "<th>when</th></tr>%s</table></section>"
    ) % (method.upper(), html.escape(path), about, answers)


def _answer_row(status, kind, answer, content):
    """A row of the table: status, schema or content type, meaning."""
    cells = (html.escape(status), _link(content) or kind, html.escape(answer["description"]))
    return "<tr><td>%s</td><td>%s</td><td>%s</td></tr>" % cells


def _link(content):
    """A link to the named schema of a content; empty if the schema has no name."""
    name = _name(content.get("schema", {}))
    return name and '<a href="#%s">%s</a>' % (name, html.escape(name))


def _name(schema):
    return schema.get("$ref", "").rpartition("/")[2]


def _request(path, schema, document):
    """A curl command for the request, with the examples of the body's fields."""
    fields = document["components"]["schemas"][_name(schema)]["properties"]
    body = {name: field["examples"][0] for name, field in fields.items()}
    command = "curl -s 127.0.0.1:8000%s -H 'Content-Type: application/json' -d '%s'"
    return "<pre>%s</pre>" % html.escape(command % (path, json.dumps(body, ensure_ascii=False)))


def _code(content):
    return "<pre>%s</pre>" % html.escape(json.dumps(content, ensure_ascii=False, indent=2))
