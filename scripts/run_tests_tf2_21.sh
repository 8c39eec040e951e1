#!/usr/bin/env bash
# Runs the tests on TensorFlow 2.21 and Python 3.13 or 3.12, in .venv-tf2.21 (without --slow only tests
# that depend on versions of packages, see tests/conftest.py); arguments are passed to pytest:
#     bash scripts/run_tests_tf2_21.sh
# If there is no such Python, or run_tests.sh uses this TensorFlow anyway, it prints a message and ends
# with status 0.
. "$(dirname -- "$(readlink -f -- "${BASH_SOURCE:-$0}")")/common.sh"

PYTHON_VERSIONS="3.13 3.12"
ENVIRONMENT="$PROJECT_ROOT/.venv-tf2.21"

skip() {
    say "SKIPPED: the tests on TensorFlow 2.21 $*"
    exit 0
}

main() {
    local python="$ENVIRONMENT/bin/python"
    cd -- "$PROJECT_ROOT"
    case " $PYTHON_VERSIONS " in
        *" $(version_of "$PROJECT_ROOT/.venv/bin/python") "*) skip "are those of scripts/run_tests.sh here" ;;
    esac
    if ! version_of "$python" >/dev/null; then
        # shellcheck disable=SC2086  # a list of versions
        find_python "$ENVIRONMENT" $PYTHON_VERSIONS >/dev/null || skip "need Python 3.13 or 3.12, and none was found here"
    fi
    # The first file is used as the lock, so it must differ from that of setup.sh, which may be running.
    ensure_environment "$ENVIRONMENT" "$PYTHON_VERSIONS" requirements-dev.txt requirements.txt \
        requirements-{export,serve,extra}.txt
    (ensure_environment "$ENVIRONMENT" "$PYTHON_VERSIONS" requirements-convert.txt) ||
        say "SKIPPED: the tests that need requirements-convert.txt"
    [ "$#" -gt 0 ] || set -- "${IN_PARALLEL[@]}" --no-loadscope-reorder # long files first: tests/conftest.py
    exec "$python" -m pytest -q -rs --durations=10 --beside-reference "$@"
}

main "$@"
