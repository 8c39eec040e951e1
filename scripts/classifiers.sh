# shellcheck shell=bash
# Functions that the run_classifier_*.sh scripts share: choosing the model and data, downloads, the
# command line. Each script begins with
#     . "$(dirname -- "$(readlink -f -- "${BASH_SOURCE:-$0}")")/classifiers.sh"
. "$(dirname -- "$(readlink -f -- "${BASH_SOURCE:-$0}")")/common.sh"

RELEASED_MODEL="$PROJECT_ROOT/prev_trained_model/albert_tiny_zh"
STARTER_MODEL="$PROJECT_ROOT/albert_starter_zh"

# run_classifier SCRIPT ARGUMENT...: replaces the shell with a command, run on `model` and `data`.
run_classifier() {
    local script="$1" config weights
    shift
    config="$(config_in "$model")"
    weights="$(weights_in "$model")"
    exec "$python" "$(shown "$PROJECT_ROOT/$script")" \
        --data_dir="$(shown "$data")" \
        --vocab_file="$(shown "$(vocabulary_in "$model")")" \
        --bert_config_file="$(shown "$config")" \
        ${weights:+--init_checkpoint="$(shown "$weights")"} \
        ${SEED:+--seed="$SEED"} \
        "$@"
}

# check_folders: reports an invalid DATA_DIR or MODEL_DIR before anything is installed or downloaded.
check_folders() {
    [ -z "${DATA_DIR:-}" ] || [ -d "$DATA_DIR" ] || die "DATA_DIR: $DATA_DIR: no such folder"
    check_own_model
}

check_own_model() {
    [ -n "${MODEL_DIR:-}" ] || return 0
    [ -d "$MODEL_DIR" ] || die "MODEL_DIR: $MODEL_DIR: no such folder"
    is_model "$MODEL_DIR" || die "MODEL_DIR: $MODEL_DIR lacks vocab.txt or albert_config*.json:" \
        "expected a model folder"
}

# choose_model FOLDER...: sets `model` to MODEL_DIR, or to the first model folder with weights among
# these and the released model, which is downloaded if missing; if that fails, to the starter model.
choose_model() {
    local folder
    if [ -n "${MODEL_DIR:-}" ]; then
        model="$MODEL_DIR"
        return
    fi
    for folder in "$@" "$RELEASED_MODEL"; do
        model="$folder"
        ! is_model "$folder" || [ -z "$(weights_in "$folder")" ] || return 0
    done
    fetched albert_tiny_489k "the model $(shown "$STARTER_MODEL")" || model="$STARTER_MODEL"
}

# fetched NAME INSTEAD: downloads NAME; if that fails, prints the reason and what is used instead.
fetched() {
    local problem status=0
    problem="$("$python" "$PROJECT_ROOT/scripts/fetch_assets.py" "$1" 2>&1 >&3)" || status=$?
    [ "$status" -ne "$EXIT_INTERRUPTED" ] || exit "$status"
    [ "$status" -eq 0 ] || say "${problem#*error: }: using $2 instead"
    return "$status"
}

# rate_flag DEFAULT ARGUMENTS: prints --learning_rate; if --search, which tries several rates, is among
# the arguments, only if LEARNING_RATE is set.
rate_flag() {
    local rate="$1"
    shift
    case " $* " in *" --search "* | *" --search="[Tt1]*) rate="" ;; esac
    rate="${LEARNING_RATE:-$rate}"
    printf '%s' "${rate:+--learning_rate=$rate}"
}

is_model() { [ -n "$(vocabulary_in "$1")" ] && [ -n "$(config_in "$1")" ]; }

vocabulary_in() { first_file "$1/spiece.model" "$1/vocab.txt"; }

config_in() { first_file "$1"/albert_config*.json "$1"/bert_config*.json "$1"/config.json; }

# Prints the folder itself if it contains weights of any kind, otherwise nothing. (run_classifier.py
# finds their name or reports an error: training must not silently start from random weights.)
weights_in() {
    local found
    found="$(first_file "$1"/*.index "$1"/*.data-* "$1"/*.bin "$1"/*.pt "$1"/*.pth "$1"/*.safetensors)"
    printf '%s' "${found:+$1}"
}

# Prints the first of its arguments that is a file; nothing if there is none.
first_file() {
    local path
    for path in "$@"; do
        if [ -f "$path" ]; then
            printf '%s' "$path"
            return 0
        fi
    done
}

exec 3>&2 # for the progress of downloads, while their error messages are captured
