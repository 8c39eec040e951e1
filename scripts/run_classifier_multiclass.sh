#!/usr/bin/env bash
# Fine-tunes an ALBERT model on a folder of labelled texts, evaluates it and predicts the test file:
#     bash run_classifier_multiclass.sh
#     DATA_DIR=my_texts OUTPUT_DIR=my_output bash run_classifier_multiclass.sh
#     DATA_DIR=my_texts bash run_classifier_multiclass.sh --multi_label=true --label_separator=,
# It installs and downloads what it needs first. Settings are environment variables:
#     MODEL_DIR      folder with config JSON, vocab.txt or spiece.model and, unless training starts
#                    from random weights, a checkpoint (default: the released albert_tiny_zh, or the
#                    bundled albert_starter_zh if that is not available)
#     DATA_DIR       folder with train.csv and, if there are any, dev.csv and test.csv (or .tsv,
#                    .json), columns text_a, label or text_a, text_b, label (default: the sample
#                    data/topics_sample)
#     OUTPUT_DIR     folder for all output (default: multiclass_output)
#     EPOCHS         10    BATCH_SIZE      32     LEARNING_RATE  1e-4
#     MAX_SEQ_LENGTH 128   SEED            default of run_classifier_multiclass.py
#     ALBERT_OFFLINE 1 forbids downloads
# Further arguments are passed to run_classifier_multiclass.py, whose --helpfull lists them; they
# override the settings.
. "$(dirname -- "$(readlink -f -- "${BASH_SOURCE:-$0}")")/classifiers.sh"

SAMPLE_DATA="$PROJECT_ROOT/data/topics_sample"

main() {
    local python model data
    case "${1:-}" in -h | --help) usage && return ;; esac
    check_local DATA_DIR MODEL_DIR OUTPUT_DIR
    check_own_model
    data="${DATA_DIR:-$SAMPLE_DATA}"
    [ -e "$data" ] || die "DATA_DIR: $data: no such folder or file"
    python="$(bash "$PROJECT_ROOT/scripts/setup.sh")"
    choose_model
    run_classifier run_classifier_multiclass.py \
        --do_train=true --do_eval=true --do_predict=true \
        --max_seq_length="${MAX_SEQ_LENGTH:-128}" \
        --train_batch_size="${BATCH_SIZE:-32}" \
        $(rate_flag 1e-4 "$@") \
        --num_train_epochs="${EPOCHS:-10}" \
        --output_dir="${OUTPUT_DIR:-$(shown "$PROJECT_ROOT/multiclass_output")}" \
        "$@"
}

main "$@"
