#!/usr/bin/env bash
# Fine-tunes an ALBERT model for reading comprehension (answering questions on texts) and evaluates it:
#     bash run_reading.sh
#     EPOCHS=1 bash run_reading.sh
#     MODEL_DIR=my_model DATA_DIR=my_questions OUTPUT_DIR=my_output bash run_reading.sh --seed=7
# It installs and downloads what it needs first. Settings are environment variables:
#     MODEL_DIR      folder with config JSON, vocab.txt or spiece.model and, unless training starts
#                    from random weights, a checkpoint (default: the released albert_tiny_zh, or the
#                    bundled albert_starter_zh if that is not available)
#     DATA_DIR       folder with train.json, dev.json and test.json in the format of SQuAD or CMRC 2018
#                    (default: data/questions_sample)
#     OUTPUT_DIR     folder for all output (default: reading_output)
#     EPOCHS         5     BATCH_SIZE      16     LEARNING_RATE  2e-4
#     MAX_SEQ_LENGTH 256   SEED            default of run_reading_comprehension.py
#     ALBERT_OFFLINE 1 forbids downloads
# Further arguments are passed to run_reading_comprehension.py, whose --helpfull lists them; they
# override the settings. Afterwards: python ask.py --context=TEXT_FILE --question=QUESTION
. "$(dirname -- "$(readlink -f -- "${BASH_SOURCE:-$0}")")/classifiers.sh"

main() {
    local python model data
    case "${1:-}" in -h | --help) usage && return ;; esac
    check_local DATA_DIR MODEL_DIR OUTPUT_DIR
    check_folders
    python="$(bash "$PROJECT_ROOT/scripts/setup.sh")"
    choose_model
    data="${DATA_DIR:-$PROJECT_ROOT/data/questions_sample}"
    run_classifier run_reading_comprehension.py \
        --do_train=true --do_eval=true --do_predict=true \
        --max_seq_length="${MAX_SEQ_LENGTH:-256}" \
        --train_batch_size="${BATCH_SIZE:-16}" \
        $(rate_flag 2e-4 "$@") \
        --num_train_epochs="${EPOCHS:-5}" \
        --output_dir="${OUTPUT_DIR:-$(shown "$PROJECT_ROOT/reading_output")}" \
        "$@"
}

main "$@"
