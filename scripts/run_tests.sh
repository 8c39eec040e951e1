#!/usr/bin/env bash
# Sets up the environment of setup.sh and runs the tests; arguments are passed to pytest (--slow also
# runs tests that take minutes):
#     bash scripts/run_tests.sh
#     bash scripts/run_tests.sh tests/model/test_modeling.py -k gradient
# In a git checkout the style is checked too, as in CI.
. "$(dirname -- "$(readlink -f -- "${BASH_SOURCE:-$0}")")/common.sh"

# set_up EXTRA...: prints the path of Python; Ctrl-C ends this script, not only an installation.
set_up() {
    local status=0
    bash "$PROJECT_ROOT/scripts/setup.sh" requirements-dev.txt "$@" || status=$?
    [ "$status" -ne "$EXIT_INTERRUPTED" ] || exit "$status"
    return "$status"
}

python="$(set_up)"
if [ "$python" = "$PROJECT_ROOT/.venv/bin/python" ]; then # nothing is installed into a user's own environment
    extras=(requirements-{export,serve,convert,extra}.txt)
    set_up "${extras[@]}" >/dev/null ||
        for extra in "${extras[@]}"; do
            set_up "$extra" >/dev/null || say "SKIPPED: the tests that need $extra"
        done
fi
cd -- "$PROJECT_ROOT"
status=0
if [ -e .git ]; then
    "$python" -m ruff check . || status=1
    "$python" -m ruff format --check . || status=1
    "$python" -c 'import sys; from importlinter.cli import lint_imports as lint; sys.exit(lint())' ||
        status=1
    "$python" -m mypy || status=1
fi
[ "$#" -gt 0 ] || set -- "${IN_PARALLEL[@]}" --no-loadscope-reorder # long files first: tests/conftest.py
"$python" -m pytest -q -rs --durations=10 "$@" || status=$?
exit "$status"
