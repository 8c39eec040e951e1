"""The code blocks of the documents."""

import os
import re

from project_root import ROOT


def blocks_of(name):
    """The Python blocks of a file of docs/."""
    with open(os.path.join(ROOT, "docs", name), encoding="utf-8") as handle:
        return re.findall(r"```python\n(.*?)```", handle.read(), re.S)
