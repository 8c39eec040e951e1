"""Checks of the student's flags that run_classifier_distill.sh makes before training teachers."""

import os
import subprocess
import sys

import pytest

from project_root import ROOT
from workspace import Workspace


@pytest.fixture(name="checked", scope="module")
def checked_fixture(tmp_path_factory):
    """Fixture: function that runs check_student.py with changed flags of run_classifier.py."""
    workspace = Workspace(tmp_path_factory.mktemp("student"))
    workspace.write("pairs.tsv", "今天气好\t明天气好\n")
    workspace.write("words.tsv", "今天\n")

    def checked(**changes):
        changes = {
            name: text.format(folder=workspace.folder) if isinstance(text, str) else text
            for name, text in changes.items()
        }
        flags = workspace.arguments(teachers="gone/best,lost/best", **changes)
        script = os.path.join(ROOT, "scripts", "check_student.py")
        done = subprocess.run(
            [sys.executable, script, *flags], capture_output=True, text=True, timeout=300
        )
        assert not os.path.exists(workspace.output)
        return done

    return checked


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"temperature": 0}, "--temperature=0: expected more than 0"),
        ({"teacher_weights": "1,2,3"}, "--teacher_weights=1,2,3: expected 2 numbers"),
        (
            {"unlabelled_file": "{folder}/words.tsv"},
            "no new text in it: found 1 row (invalid)",
        ),
    ],
)
@pytest.mark.reference
def test_what_is_wrong_with_a_student_is_one_line(checked, changes, message):
    done = checked(**changes)
    assert done.returncode == 2 and message in done.stderr
    assert [line for line in done.stderr.splitlines() if "error: " in line] and not done.stdout


@pytest.mark.reference
def test_teachers_that_are_not_trained_yet_are_no_fault(checked):
    done = checked(unlabelled_file="{folder}/pairs.tsv")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
