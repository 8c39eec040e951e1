# shellcheck shell=bash
# What the run_classifier_*.sh scripts share: which model and data there are, what is downloaded, the
# command line. Each begins with
#     . "$(dirname -- "$(readlink -f -- "${BASH_SOURCE:-$0}")")/classifiers.sh"
. "$(dirname -- "$(readlink -f -- "${BASH_SOURCE:-$0}")")/common.sh"

RELEASED_MODEL="$PROJECT_ROOT/prev_trained_model/albert_tiny_zh"
STARTER_MODEL="$PROJECT_ROOT/albert_starter_zh"

# run_classifier SCRIPT ARGUMENT...: becomes one of the commands, on `model` and `data`.
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

# check_folders: whoever mistypes DATA_DIR or MODEL_DIR hears of it before anything is installed or
# downloaded.
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

# choose_model FOLDER...: sets `model` to the first model folder that is there, of these first.
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

# fetched NAME INSTEAD: downloads; where that fails, says why and what is used instead.
fetched() {
    local problem status=0
    problem="$("$python" "$PROJECT_ROOT/scripts/fetch_assets.py" "$1" 2>&1 >&3)" || status=$?
    [ "$status" -ne "$EXIT_INTERRUPTED" ] || exit "$status"
    [ "$status" -eq 0 ] || say "${problem#*error: }: using $2 instead"
    return "$status"
}

# rate_flag DEFAULT ARGUMENTS: --learning_rate; nothing where --search among them has its own rates.
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

# The folder itself where it holds weights of any kind (run_classifier.py finds their name, or says
# what is wrong with them: training must not start from random weights unasked); else nothing.
weights_in() {
    local found
    found="$(first_file "$1"/*.index "$1"/*.data-* "$1"/*.bin "$1"/*.pt "$1"/*.pth "$1"/*.safetensors)"
    printf '%s' "${found:+$1}"
}

# The first of its arguments that is a file; nothing if none is.
first_file() {
    local path
    for path in "$@"; do
        if [ -f "$path" ]; then
            printf '%s' "$path"
            return 0
        fi
    done
}

exec 3>&2 # progress of downloads, while their errors are kept for a line of ours
