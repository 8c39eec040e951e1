#!/usr/bin/env bash
# Fine-tunes an ALBERT model on pairs of sentences (same meaning or not) and evaluates it:
#     bash run_classifier_lcqmc.sh
#     EPOCHS=1 bash run_classifier_lcqmc.sh
#     MODEL_DIR=my_model DATA_DIR=my_pairs OUTPUT_DIR=my_output bash run_classifier_lcqmc.sh --seed=7
# It installs and downloads what it needs first. Settings are environment variables:
#     MODEL_DIR      folder with config JSON, vocab.txt or spiece.model and, unless training starts
#                    from random weights, a checkpoint (default: the released albert_tiny_zh, or the
#                    bundled albert_starter_zh if that is not available)
#     DATA_DIR       folder with train.txt, dev.txt and test.txt, lines `text_a<TAB>text_b<TAB>label`
#                    (default: LCQMC)
#     OUTPUT_DIR     folder for all output (default: lcqmc_output)
#     EPOCHS         5     BATCH_SIZE      64     LEARNING_RATE  1e-4
#     MAX_SEQ_LENGTH 128   SEED            default of run_classifier.py
#     ALBERT_OFFLINE 1 forbids downloads
# Further arguments are passed to run_classifier.py, whose --helpfull lists them; they override the
# settings.
. "$(dirname -- "$(readlink -f -- "${BASH_SOURCE:-$0}")")/classifiers.sh"

LCQMC_DATA="$PROJECT_ROOT/chineseGLUEdatasets/lcqmc"
SAMPLE_DATA="$PROJECT_ROOT/data/pairs_sample"

main() {
    local python model data
    case "${1:-}" in -h | --help) usage && return ;; esac
    check_local DATA_DIR MODEL_DIR OUTPUT_DIR
    check_folders
    check_splits
    python="$(bash "$PROJECT_ROOT/scripts/setup.sh")"
    choose_model
    choose_data
    run_classifier run_classifier.py \
        --task_name=lcqmc --do_train=true --do_eval=true --do_predict=true \
        --max_seq_length="${MAX_SEQ_LENGTH:-128}" \
        --train_batch_size="${BATCH_SIZE:-64}" \
        $(rate_flag 1e-4 "$@") \
        --num_train_epochs="${EPOCHS:-5}" \
        --output_dir="${OUTPUT_DIR:-$(shown "$PROJECT_ROOT/lcqmc_output")}" \
        "$@"
}

# check_splits: checks that the user's data folder has all files.
check_splits() {
    local lacking
    [ -n "${DATA_DIR:-}" ] || return 0
    lacking="$(lacking_splits "$DATA_DIR")"
    [ -z "$lacking" ] ||
        die "DATA_DIR: $DATA_DIR lacks$lacking: expected train.txt, dev.txt and test.txt"
}

# Sets `data` to the first data folder that exists.
choose_data() {
    if [ -n "${DATA_DIR:-}" ]; then
        data="$DATA_DIR"
    elif [ -z "$(lacking_splits "$LCQMC_DATA")" ] ||
        fetched lcqmc "the small sample $(shown "$SAMPLE_DATA")"; then
        data="$LCQMC_DATA"
    else
        data="$SAMPLE_DATA"
    fi
}

lacking_splits() {
    local name
    for name in train dev test; do
        [ -f "$1/$name.txt" ] || printf ' %s.txt' "$name"
    done
}

main "$@"
