#!/usr/bin/env bash
# Creates .venv in the project's root and installs requirements.txt into it:
#     bash scripts/setup.sh [more-requirements.txt ...]
#     source .venv/bin/activate
# The TensorFlow version depends on the Python version: 2.15 on 3.9 to 3.11, 2.21 on 3.12 and 3.13.
# If an active environment has all required packages (TensorFlow 2.15, 2.21 or 1.15), it is used
# instead. The only line on standard output is the path of the Python to use, so other scripts write
#     python="$(bash scripts/setup.sh)"
. "$(dirname -- "$(readlink -f -- "${BASH_SOURCE:-$0}")")/common.sh"

PYTHON_VERSIONS="3.11 3.10 3.9 3.13 3.12"

main() {
    local file
    case "${1:-}" in -h | --help) usage && return ;; esac
    cd -- "$PROJECT_ROOT"
    for file in "$@"; do
        [ -f "$file" ] || die "$file: no such requirements file in $PROJECT_ROOT"
    done
    if ! active_python 2.15,2.21,1.15 "$@"; then
        ensure_environment "$PROJECT_ROOT/.venv" "$PYTHON_VERSIONS" requirements.txt "$@"
        printf '%s\n' "$PROJECT_ROOT/.venv/bin/python"
    fi
}

main "$@"
