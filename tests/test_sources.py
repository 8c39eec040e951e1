"""What holds for all source files."""

import ast
import glob
import os
import sys

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


@pytest.mark.skipif(sys.version_info < (3, 8), reason="an older Python shows it by running them")
def test_every_file_can_be_read_by_python_3_7():
    patterns = ("*.py", "scripts/*.py", "benchmarks/*.py", "tests/*.py", "pytorch/*.py")
    paths = [path for pattern in patterns for path in glob.glob(os.path.join(ROOT, pattern))]
    assert len(paths) > 100
    for path in paths:
        with open(path, encoding="utf-8") as handle:
            ast.parse(handle.read(), path, feature_version=(3, 7))
    with pytest.raises(SyntaxError):
        ast.parse("if (n := 1): pass", feature_version=(3, 7))
