#!/usr/bin/env bash
# Fine-tunes an ALBERT model on pairs of sentences (same meaning or not) and evaluates it:
#     bash run_classifier_lcqmc.sh
#     EPOCHS=1 bash run_classifier_lcqmc.sh
#     MODEL_DIR=my_model DATA_DIR=my_pairs OUTPUT_DIR=my_output bash run_classifier_lcqmc.sh --seed=7
# What it needs is installed and downloaded first. Settings, each an environment variable:
#     MODEL_DIR      folder with config JSON, vocab.txt and, unless training starts from random
#                    weights, a checkpoint (default: the released albert_tiny_zh)
#     DATA_DIR       folder with train.txt, dev.txt and test.txt, lines `text_a<TAB>text_b<TAB>label`
#                    (default: LCQMC)
#     OUTPUT_DIR     where everything goes (default: lcqmc_output)
#     EPOCHS         5     BATCH_SIZE      64     LEARNING_RATE  1e-4
#     MAX_SEQ_LENGTH 128   SEED            run_classifier.py's own
#     ALBERT_OFFLINE 1 forbids downloads
# Further arguments go to run_classifier.py, whose --helpfull lists them; they win over the settings.
set -euo pipefail
. "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/common.sh"

RELEASED_MODEL="$PROJECT_ROOT/prev_trained_model/albert_tiny_zh"
STARTER_MODEL="$PROJECT_ROOT/albert_starter_zh"
LCQMC_DATA="$PROJECT_ROOT/chineseGLUEdatasets/lcqmc"
SAMPLE_DATA="$PROJECT_ROOT/data/pairs_sample"

main() {
    local python model data config weights
    case "${1:-}" in -h | --help) usage && return ;; esac
    python="$(bash "$PROJECT_ROOT/scripts/setup.sh")"
    choose_model
    choose_data
    config="$(config_in "$model")"
    weights="$(weights_in "$model")"
    exec "$python" "$(shown "$PROJECT_ROOT/run_classifier.py")" \
        --task_name=lcqmc --do_train=true --do_eval=true --do_predict=true \
        --data_dir="$(shown "$data")" \
        --vocab_file="$(shown "$model/vocab.txt")" \
        --bert_config_file="$(shown "$config")" \
        ${weights:+--init_checkpoint="$(shown "$weights")"} \
        --max_seq_length="${MAX_SEQ_LENGTH:-128}" \
        --train_batch_size="${BATCH_SIZE:-64}" \
        --eval_batch_size="${BATCH_SIZE:-64}" \
        --predict_batch_size="${BATCH_SIZE:-64}" \
        --learning_rate="${LEARNING_RATE:-1e-4}" \
        --num_train_epochs="${EPOCHS:-5}" \
        ${SEED:+--seed="$SEED"} \
        --output_dir="${OUTPUT_DIR:-$(shown "$PROJECT_ROOT/lcqmc_output")}" \
        "$@"
}

usage() { sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"; }

# Sets `model` to the first model folder that is there.
choose_model() {
    if [ -n "${MODEL_DIR:-}" ]; then
        model="$MODEL_DIR"
        [ -d "$model" ] || die "MODEL_DIR: $model: no such folder"
        is_model "$model" || die "MODEL_DIR: $model lacks vocab.txt or albert_config*.json: expected" \
            "a model folder"
    elif { is_model "$RELEASED_MODEL" && [ -n "$(weights_in "$RELEASED_MODEL")" ]; } ||
        fetched albert_tiny_489k "the model $(shown "$STARTER_MODEL")"; then
        model="$RELEASED_MODEL"
    else
        model="$STARTER_MODEL"
    fi
}

# Sets `data` to the first data folder that is there.
choose_data() {
    local lacking
    if [ -n "${DATA_DIR:-}" ]; then
        data="$DATA_DIR"
        [ -d "$data" ] || die "DATA_DIR: $data: no such folder"
        lacking="$(lacking_splits "$data")"
        [ -z "$lacking" ] || die "DATA_DIR: $data lacks$lacking: expected train.txt, dev.txt and test.txt"
    elif [ -z "$(lacking_splits "$LCQMC_DATA")" ] ||
        fetched lcqmc "the small sample $(shown "$SAMPLE_DATA")"; then
        data="$LCQMC_DATA"
    else
        data="$SAMPLE_DATA"
    fi
}

# fetched NAME INSTEAD: downloads; where that fails, says why and what is used instead.
fetched() {
    local problem status=0
    problem="$("$python" "$PROJECT_ROOT/scripts/fetch_assets.py" "$1" 2>&1 >&3)" || status=$?
    [ "$status" -ne "$EXIT_INTERRUPTED" ] || exit "$status"
    [ "$status" -eq 0 ] || say "${problem#*error: }: using $2 instead"
    return "$status"
}

is_model() { [ -f "$1/vocab.txt" ] && [ -n "$(config_in "$1")" ]; }

config_in() { first_file "$1"/albert_config*.json "$1"/bert_config*.json "$1"/config.json; }

# The folder itself where weights of any kind lie in it (run_classifier.py finds their name, or says
# what is wrong with them: training must not start from random weights unasked); else nothing.
weights_in() {
    local found
    found="$(first_file "$1"/*.index "$1"/*.data-* "$1"/*.bin "$1"/*.pt "$1"/*.pth "$1"/*.safetensors)"
    printf '%s' "${found:+$1}"
}

lacking_splits() {
    local name
    for name in train dev test; do
        [ -f "$1/$name.txt" ] || printf ' %s.txt' "$name"
    done
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

# A path as the user would write it here.
shown() { printf '%s' "${1#"$PWD"/}"; }

exec 3>&2 # progress of downloads, while their errors are kept for a line of ours
main "$@"
