#!/usr/bin/env bash
# Fine-tunes an ALBERT model that finds entities or words in texts, and evaluates it:
#     bash run_sequence_labelling.sh
#     HEAD=global_pointer bash run_sequence_labelling.sh
#     TASK=cws MODEL_DIR=my_model DATA_DIR=my_words OUTPUT_DIR=my_output bash run_sequence_labelling.sh
# It installs and downloads what it needs first. Settings are environment variables:
#     MODEL_DIR      folder with config JSON, vocab.txt or spiece.model and, unless training starts
#                    from random weights, a checkpoint (default: the released albert_tiny_zh, or the
#                    bundled albert_starter_zh if that is not available)
#     DATA_DIR       folder with train.txt, dev.txt and test.txt (or .json, .tsv, .char.bmes ...): one
#                    character and its tag per line, JSON lines as in CLUENER, words separated by
#                    blanks ... (default: data/entities_sample)
#     OUTPUT_DIR     folder for all output (default: ner_output, with TASK=cws cws_output)
#     TASK           ner   HEAD            crf    EPOCHS  10
#     BATCH_SIZE     32    LEARNING_RATE   2e-4   MAX_SEQ_LENGTH 128
#     SEED           default of run_seq_labelling.py
#     ALBERT_OFFLINE 1 forbids downloads
# Further arguments are passed to run_seq_labelling.py, whose --helpfull lists them; they override the
# settings.
. "$(dirname -- "$(readlink -f -- "${BASH_SOURCE:-$0}")")/classifiers.sh"

SAMPLE_DATA="$PROJECT_ROOT/data/entities_sample"

main() {
    local python model data task="${TASK:-ner}"
    case "${1:-}" in -h | --help) usage && return ;; esac
    check_local DATA_DIR MODEL_DIR OUTPUT_DIR
    check_folders
    python="$(bash "$PROJECT_ROOT/scripts/setup.sh")"
    choose_model
    data="${DATA_DIR:-$SAMPLE_DATA}"
    run_classifier run_seq_labelling.py \
        --task_name="$task" --do_train=true --do_eval=true --do_predict=true \
        --head="${HEAD:-crf}" \
        --max_seq_length="${MAX_SEQ_LENGTH:-128}" \
        --train_batch_size="${BATCH_SIZE:-32}" \
        $(rate_flag 2e-4 "$@") \
        --num_train_epochs="${EPOCHS:-10}" \
        --output_dir="${OUTPUT_DIR:-$(shown "$PROJECT_ROOT/${task}_output")}" \
        "$@"
}

main "$@"
