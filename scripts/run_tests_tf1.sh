#!/usr/bin/env bash
# Runs the tests on TensorFlow 1.15 and Python 3.7, in .venv-tf1 (without --slow only tests of modules
# that build graphs, see tests/conftest.py); arguments are passed to pytest:
#     bash scripts/run_tests_tf1.sh
# Without Python 3.7 it prints a message and ends with status 0.
. "$(dirname -- "$(readlink -f -- "${BASH_SOURCE:-$0}")")/common.sh"

cd -- "$PROJECT_ROOT"
if ! python="$(active_python 1.15 requirements-tf1.txt 2>/dev/null)"; then
    python="$PROJECT_ROOT/.venv-tf1/bin/python"
    if ! version_of "$python" >/dev/null && ! find_python "${python%/bin/python}" 3.7 >/dev/null; then
        say "SKIPPED: the tests on TensorFlow 1.15 need Python 3.7, and none was found here"
        exit 0
    fi
    ensure_environment "$PROJECT_ROOT/.venv-tf1" 3.7 requirements-tf1.txt
fi
[ "$#" -gt 0 ] || set -- "${IN_PARALLEL[@]}"
exec "$python" -m pytest -q -rs --durations=10 "$@"
