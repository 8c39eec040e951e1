"""Tests of the marked spans on serve.py's page, whose script is run by Node.js."""

import json
import os
import re
import shutil
import subprocess

import pytest

from albert_zh.common import package_files

STUB = """
const types = ["loc", "org"];
function element(kind, name, text) {
  const children = text === undefined ? [] : [text];
  return { kind, style: {}, children, append: child => children.push(child) };
}
const shown = node => typeof node === "string" ? node :
  "<" + node.kind + ">" + node.children.map(shown).join("") + "</" + node.kind + ">";
"""
LOC, ORG = {"type": "loc", "confidence": 1.0}, {"type": "org", "confidence": 1.0}
CASES = [
    ("甲京津", [dict(LOC, start=1, end=3)], "甲<mark>京津<small>loc</small></mark>"),
    (
        "😀京津大学好",  # positions count characters; the first one has two UTF-16 units
        [dict(LOC, start=1, end=3), dict(ORG, start=1, end=5)],
        "😀<mark><mark>京津<small>loc</small></mark>大学<small>org</small></mark>好",
    ),
    (
        "你好吗",
        [{"start": 0, "end": 2, "confidence": 1.0}, {"start": 2, "end": 3, "confidence": 1.0}],
        "<mark>你好</mark><mark>吗</mark>",
    ),
    ("<b>", [], "<b>"),
]


@pytest.mark.newest
@pytest.mark.skipif(not shutil.which("node"), reason="needs Node.js")
def test_spans_are_marked_by_characters():
    with open(os.path.join(package_files.WEB, "index.html"), encoding="utf-8") as handle:
        function = re.search(r"function markedText.*?\n}\n", handle.read(), re.DOTALL).group(0)
    calls = ["shown(markedText(%s, %s))" % (json.dumps(t), json.dumps(s)) for t, s, _ in CASES]
    script = "%s%sconsole.log(JSON.stringify([%s]))" % (STUB, function, ", ".join(calls))
    done = subprocess.run(["node", "-e", script], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == ["<div>%s</div>" % expected for _, _, expected in CASES]


ANSWERS = [
    ("甲42乙", [("42", 1, 3), ("4", 1, 2)], ["42", "4"], "甲<mark>42</mark>乙"),
    ("😀好", [("好", 1, 2)], ["好"], "😀<mark>好</mark>"),
    ("甲", [("", 0, 0), ("甲", 0, 1)], ["（没有答案）", "甲"], "甲"),
    ("甲", [], [], "甲"),
]
PAGE_STUB = """
const fields = {}, SHOWN_ANSWERS = 3;
const get = id => fields[id] = fields[id] || {
  replaceChildren: (...children) => { fields[id].children = children; }
};
const row = name => ({ kind: "row", children: [name] });
const texts = () => get("rows").children.map(shown);
"""


@pytest.mark.newest
@pytest.mark.skipif(not shutil.which("node"), reason="needs Node.js")
def test_answers_are_marked():
    functions = functions_of_page("markedText") + functions_of_page("showAnswers")
    calls = []
    for text, entries, _, _ in ANSWERS:
        answers = [
            {"text": answer, "begin": begin, "end": end, "probability": 0.5}
            for answer, begin, end in entries
        ]
        arguments = "%s, %s, 1" % (json.dumps(text), json.dumps(answers))
        calls.append("(showAnswers(%s), texts())" % arguments)
    script = "%s%s%sconsole.log(JSON.stringify([%s]))" % (
        (STUB, PAGE_STUB, functions, ", ".join(calls))
    )
    done = subprocess.run(["node", "-e", script], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [
        ["<row>%s</row>" % name for name in names] + ["<div>%s</div>" % marked]
        for _, _, names, marked in ANSWERS
    ]


def functions_of_page(name):
    """Returns the source of a function of the page."""
    with open(os.path.join(package_files.WEB, "index.html"), encoding="utf-8") as page:
        return re.search(r"function %s\(.*?\n}\n" % name, page.read(), re.DOTALL).group(0)
