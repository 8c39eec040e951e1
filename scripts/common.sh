# shellcheck shell=bash
# Functions that the scripts of this folder share; each script begins with
#     . "$(dirname -- "$(readlink -f -- "${BASH_SOURCE:-$0}")")/common.sh"

# If started with `sh SCRIPT` (dash on Debian and Ubuntu), the script restarts itself under bash. Other
# shells read a file command by command, so that they never see the rest of this file.
if [ -z "${BASH_VERSION:-}" ]; then
    command -v bash >/dev/null || {
        printf '%s: error: bash was not found, which runs this script: install it (apt install bash)\n' "$0" >&2
        exit 2
    }
    exec bash "${ZSH_ARGZERO:-$0}" "$@"
fi
set +o posix # set if bash is called as sh; process substitutions are used below
set -euo pipefail

PROJECT_ROOT="$(CDPATH='' cd -P -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)"
EXIT_USER_ERROR=2
EXIT_INTERRUPTED=130
# Log lines of pip and uv from the moment when they begin to change an environment.
INSTALLING_BEGAN='^(Installing collected packages:|Prepared |Uninstalled |Installed )'
# Index with CPU builds of PyTorch, if the package index has none: on Linux plain torch installs
# gigabytes of CUDA libraries.
CPU_PYTORCH_INDEX="${CPU_PYTORCH_INDEX:-}"
PROBE='import ensurepip, sys, venv; assert sys.maxsize > 2**32; print("%d.%d" % sys.version_info[:2])'

# pytest's arguments for running all tests: two files at a time, each of which may need a gigabyte.
# shellcheck disable=SC2034  # used by the scripts that source this file
IN_PARALLEL=(-n 2 --dist loadfile)

# Prints a message on standard error; standard output is for results only (setup.sh prints a path).
say() { printf '%s\n' "$*" >&2; }

# Prints the comment at the top of the script that the user called.
usage() { sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; }

# Prints a path as the user would write it in the current folder.
shown() { printf '%s' "${1#"$PWD"/}"; }

die() {
    say "$(basename -- "$0"): error: $*"
    exit "$EXIT_USER_ERROR"
}

# is_there PATTERN: whether it is an existing file, or matches files.
is_there() { [ -e "$1" ] || matching "$1" >/dev/null; }

# matching PATTERN: prints the paths that match it, one per line; `**` matches folders at any depth.
matching() { (shopt -s globstar 2>/dev/null; compgen -G "$1"); }

# given_flag "NAME..." ARGUMENT...: prints the first argument that is one of these flags, without its
# value; fails if there is none. absl accepts one dash and two.
given_flag() {
    local names="$1" argument flag name
    shift
    for argument in "$@"; do
        flag="${argument%%=*}" name="${argument%%=*}"
        case "$flag" in
            --*) name="${name#--}" ;;
            -*) name="${name#-}" ;;
            *) continue ;; # the value of the preceding flag
        esac
        case " $names " in
            *" $name "*)
                printf '%s' "$flag"
                return 0
                ;;
        esac
    done
    return 1
}

# check_local VARIABLE...: fails if one of these settings names remote storage.
check_local() {
    local name
    for name in "$@"; do
        refuse_remote "${!name:-}" "$name="
    done
}

# refuse_remote PATH [WHAT-STANDS-BEFORE-IT]
refuse_remote() {
    case "$1" in
        *://*) die "${2:-}$1: remote storage is not supported by this command yet:" \
            "copy it to a local path" ;;
    esac
}

# version_of PYTHON: prints e.g. 3.11; fails if it is not a working Python (a pyenv shim of a version
# that is not selected, a link left over from a system upgrade).
version_of() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null </dev/null; }

# find_python FOLDER VERSION...: prints the first working Python of these versions (best first) that
# can create the environment FOLDER and is not inside it.
find_python() {
    local folder="$1" candidate version
    shift
    while IFS= read -r candidate; do
        ! [ "${candidate%/*}" -ef "$folder/bin" ] || continue
        version="$("$candidate" -c "$PROBE" 2>/dev/null </dev/null)" || continue
        case " $* " in
            *" $version "*)
                printf '%s\n' "$candidate"
                return 0
                ;;
        esac
    done < <(python_candidates "$@")
    return 1
}

# python_candidates VERSION...: prints all paths at which such a Python may be, one per line.
python_candidates() {
    local version
    for version in "$@"; do
        type -aP "python$version" || true
        printf '%s\n' "${PYENV_ROOT:-${HOME:-}/.pyenv}"/versions/"$version".*/bin/python
    done
    type -aP python3 || true
    type -aP python || true
}

# active_python TENSORFLOW_VERSIONS REQUIREMENTS...: prints the interpreter of the active environment,
# if it has one of these TensorFlow versions (separated by commas) and the packages that the toolkit
# and the requirements files need.
active_python() {
    local folder lacking
    for folder in "${VIRTUAL_ENV:-}" "${CONDA_PREFIX:-}"; do
        [ -n "$folder" ] && [ -x "$folder/bin/python" ] || continue
        case "$(readlink -f -- "$folder")" in "$PROJECT_ROOT"/.venv*) continue ;; esac
        if lacking="$("$folder/bin/python" "$PROJECT_ROOT/scripts/check_environment.py" "$@" 2>&1)"; then
            printf '%s\n' "$folder/bin/python"
            return 0
        fi
        say "the active environment $folder is not used: it lacks ${lacking##*$'\n'}"
    done
    return 1
}

# ensure_environment FOLDER "VERSION..." REQUIREMENTS...: creates the virtual environment FOLDER with a
# Python of one of these versions and installs the requirements files, unless this is done already.
#
# Safe to kill at any moment: FOLDER/setup.unfinished exists while packages are changed, and an
# environment that is left in this state is created again. FOLDER/setup.installed.NAME is written last
# and records what was installed. Only one set-up of an environment runs at a time; a second one waits.
ensure_environment() {
    local folder="$1" versions="$2" file version
    local python="$folder/bin/python" outdated=()
    shift 2
    lock_set_up "$1"
    version="$(version_of "$python")" || version=""
    if [ -z "$version" ] || is_half_made "$folder"; then
        make_environment "$folder" "$versions"
        version="$(version_of "$python")" || die "$folder: no working Python in it"
    fi
    case " $versions " in
        *" $version "*) ;;
        *) die "$folder has Python $version, one of $versions is needed: move it away and try again" ;;
    esac
    follow_move "$folder"
    for file in "$@"; do
        fingerprint "$version" "$file" | cmp -s - "$(stamp_of "$folder" "$file")" || outdated+=("$file")
    done
    if [ "${#outdated[@]}" -gt 0 ]; then
        install_requirements "$folder" "${outdated[@]}"
        for file in "${outdated[@]}"; do
            fingerprint "$version" "$file" >"$(stamp_of "$folder" "$file")"
        done
        rm -f -- "$folder/setup.unfinished"
    fi
    exec 9<&- # releases the lock; otherwise the program that is run next would hold it
}

# follow_move FOLDER: updates bin/activate and the programs if the project folder was moved or copied:
# Python itself still works, but these contain the old path.
follow_move() {
    local folder="$1" recorded old
    [ -f "$folder/bin/activate" ] || return 0
    recorded="$(sed -n "s/^.*VIRTUAL_ENV=[\"']\{0,1\}\(\/.*[^\"']\)[\"']\{0,1\}\$/\1/p" "$folder/bin/activate")"
    case "$recorded" in "$folder" | "$(readlink -f -- "$folder")") return 0 ;; esac
    old="$("$folder/bin/python" "$PROJECT_ROOT/scripts/relocate_environment.py" "$folder")" ||
        return 0 # it has printed the reason; Python works nevertheless
    [ -z "$old" ] || say "$folder was created as $old: its programs now contain the new path"
}

fingerprint() { printf 'Python %s\n' "$1" && cat -- "$2"; }

stamp_of() { printf '%s/setup.installed.%s' "$1" "$(basename -- "$2")"; }

# lock_set_up REQUIREMENTS: takes the lock, which is the first of an environment's requirements files,
# so that no file is left behind. It is held until the set-up is done, also by an installer that
# outlives a killed shell.
lock_set_up() {
    command -v flock >/dev/null || return 0
    exec 9<"$1"
    if ! flock -n 9; then
        say "another set-up of this environment is running: waiting for it"
        flock 9 || true # on a file system without locks, continue without
    fi
}

# is_half_made FOLDER: whether a set-up failed or was killed while it changed packages; an environment
# that was complete before, and is not changed yet, still counts as complete.
is_half_made() {
    [ -e "$1/setup.unfinished" ] || return 1
    is_new "$1" || grep -qE "$INSTALLING_BEGAN" "$1/setup.log"
}

is_new() { ! any_exists "$1"/setup.installed.*; }

# any_exists PATH...: whether one of the paths exists; an unquoted pattern is expanded by the shell.
any_exists() {
    local path
    for path in "$@"; do
        [ ! -e "$path" ] || return 0
    done
    return 1
}

# make_environment FOLDER "VERSION...": creates the environment; finds a Python before it removes any
# files.
make_environment() {
    local folder="$1" versions="$2" python='' output
    # shellcheck disable=SC2086  # a list of versions
    python="$(find_python "$folder" $versions)" || command -v uv >/dev/null ||
        die "no Python ${versions// / or } with its venv module was found: install one (Debian and" \
            "Ubuntu: apt install python3 python3-venv; Fedora: dnf install python3.11; conda: conda" \
            "create -n albert python=3.11, then activate it) or install uv, and run this again"
    clear_place "$folder"
    if [ -n "$python" ]; then
        say "creating $folder with $python"
        output="$("$python" -m venv -- "$folder" 2>&1)" || die "$python -m venv failed: ${output##*$'\n'}"
    else
        say "creating $folder with uv"
        output="$(uv venv --quiet --allow-existing --python "${versions%% *}" -- "$folder" 2>&1)" ||
            die "uv found no Python ${versions%% *}: ${output##*$'\n'}"
    fi
}

# clear_place FOLDER: creates it as an empty folder with the mark of an unfinished set-up.
clear_place() {
    local folder="$1" output
    if [ -e "$folder" ] || [ -L "$folder" ]; then
        is_of_set_up "$folder" ||
            die "$folder: is not an environment of this set-up: move it away and run this again"
        say "$folder is not complete: creating it again"
        output="$(rm -rf -- "$folder" 2>&1)" || cannot_change "$folder" "$output"
    fi
    output="$({ mkdir -p -- "$folder" && : >"$folder/setup.unfinished"; } 2>&1)" ||
        cannot_change "$folder" "$output"
}

# is_of_set_up PATH: whether the set-up created the folder; it may be empty after a kill.
is_of_set_up() {
    [ -d "$1" ] || return 1
    any_exists "$1"/setup.{unfinished,log} "$1"/setup.installed.* || ! any_exists "$1"/* "$1"/.[!.]*
}

# cannot_change FOLDER OUTPUT: fails with an error that quotes OUTPUT, a program's message.
cannot_change() {
    die "$1: cannot be created (${2##*: }): make its folder writable, or activate an environment that has" \
        "the packages of requirements.txt"
}

# install_requirements FOLDER REQUIREMENTS...: installs with pip, or with uv if uv created the
# environment.
install_requirements() {
    local folder="$1" log="$1/setup.log" file arguments=() extent='' size=600 ticker status=0
    shift
    for file in "$@"; do arguments+=(-r "$file"); done
    case "$*" in *tf1*) size=200 ;; esac
    is_new "$folder" && extent=" (about $size MB to download, some minutes)"
    say "installing ${*##*/} into $folder$extent"
    : >"$log"
    show_progress "$log" 9<&- >&2 &
    ticker=$!
    # shellcheck disable=SC2064  # the current process ID is meant
    trap "kill $ticker 2>/dev/null || true" EXIT
    trap 'say "stopped; it is safe to run the same command again"; exit "$EXIT_INTERRUPTED"' INT
    install_cpu_pytorch "$folder" "$log" "$@"
    : >"$log" # log lines about PyTorch do not indicate an incomplete environment
    : >"$folder/setup.unfinished"
    pip_install "$folder" "${arguments[@]}" >>"$log" 2>&1 || status=$?
    # Compiles what every command imports; other modules, mostly unused, are compiled on import.
    PYTHONDONTWRITEBYTECODE='' "$folder/bin/python" "$PROJECT_ROOT/run_classifier.py" --help >/dev/null 2>&1 || true
    kill "$ticker" 2>/dev/null || true
    wait "$ticker" 2>/dev/null || true
    trap - EXIT INT
    [ "$status" -eq 0 ] || report_failed_install "$log"
}

# pip_install FOLDER ARGUMENTS...: installs with pip, or with uv if uv created the environment. PEP 517
# builds packages that are published as source only (seqeval) in isolation.
pip_install() {
    local folder="$1"
    shift
    if any_exists "$folder"/lib/python*/site-packages/pip; then
        PIP_USER=0 PIP_USE_PEP517=1 PYTHONUNBUFFERED=1 "$folder/bin/python" -m pip install --progress-bar off --no-input \
            --no-compile --disable-pip-version-check "$@" </dev/null
    else
        uv pip install --python "$folder/bin/python" "$@" </dev/null
    fi
}

# install_cpu_pytorch FOLDER LOG REQUIREMENTS...: installs the CPU build of the torch that the files
# require, from the user's package index or CPU_PYTORCH_INDEX, unless torch is installed already.
install_cpu_pytorch() {
    local folder="$1" log="$2" torch
    shift 2
    torch="$(cat -- "$@" | sed -n 's/^\(torch==[0-9.]*\).*/\1/p')"
    [ -n "$torch" ] && [ "$(uname -s)" = Linux ] && [ "$(version_of "$folder/bin/python")" != 3.9 ] || return 0
    ! any_exists "$folder"/lib/python*/site-packages/torch-*.dist-info || return 0
    say "first $torch for the CPU (about 200 MB to download)"
    PIP_RETRIES=1 PIP_DEFAULT_TIMEOUT=20 pip_install "$folder" --no-deps \
        ${CPU_PYTORCH_INDEX:+--extra-index-url "$CPU_PYTORCH_INDEX"} "$torch+cpu" >>"$log" 2>&1 && return 0
    say "the last line of $log: $(tail -n 1 -- "$log")"
    die "the package index has no build of $torch for the CPU: name PyTorch's own index for it in" \
        "CPU_PYTORCH_INDEX, or take the build with CUDA ($folder/bin/python -m pip install $torch); then again"
}

report_failed_install() {
    say "the last lines of $1:"
    tail -n 6 -- "$1" | sed 's/^/    /' >&2
    die "the packages could not be installed. If the package index cannot be reached, name a mirror" \
        "(PIP_INDEX_URL=https://.../simple, or pip config set global.index-url ...); run this again"
}

# show_progress LOG: prints the time and the current step, every second on a terminal, otherwise twice
# a minute. Ends with the shell that started it, even if that shell is killed.
show_progress() {
    local pause=30 before='' after='\n' line
    if [ -t 2 ]; then
        pause=1 before='\r\033[K' after=''
        trap 'printf "\r\033[K"' EXIT
    fi
    trap 'exit 0' TERM
    SECONDS=0
    while kill -0 "$$" 2>/dev/null; do
        sleep "$pause" >/dev/null 2>&1 & # may outlive a killed ticker, so it must not hold pipes open
        wait "$!"
        line="$(grep -aE '^ *[A-Z][a-z]+ing ' -- "$1" | tail -n 1)" || line=''
        printf "$before  %4d s  %s$after" "$SECONDS" "${line:0:70}"
    done
}
