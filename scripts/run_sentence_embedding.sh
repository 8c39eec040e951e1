#!/usr/bin/env bash
# Trains sentence vectors for searching a FAQ, and compares them with TF-IDF:
#     bash run_sentence_embedding.sh
#     EPOCHS=2 bash run_sentence_embedding.sh
#     MODEL_DIR=my_model DATA_DIR=my_faq OUTPUT_DIR=my_output bash run_sentence_embedding.sh --seed=7
# It installs and downloads what it needs first. Settings are environment variables:
#     MODEL_DIR      folder with config JSON, vocab.txt or spiece.model and, unless training starts
#                    from random weights, a checkpoint (default: the released albert_tiny_zh, or the
#                    bundled albert_starter_zh if that is not available)
#     DATA_DIR       folder with train.tsv, dev.tsv and test.tsv, one question and its FAQ entry per
#                    line, and faq.txt with all entries (default: data/faq_sample)
#     OBJECTIVE      infonce; cosent for rows of two texts and a score; see --help
#     OUTPUT_DIR     folder for all output (default: embedding_output)
#     EPOCHS         4     BATCH_SIZE      64     LEARNING_RATE  2e-4
#     MAX_SEQ_LENGTH 64    SEED            default of run_sentence_embedding.py
#     ALBERT_OFFLINE 1 forbids downloads
# Further arguments are passed to run_sentence_embedding.py, whose --helpfull lists them; they override
# the settings. Then: python similarity.py --model_dir=OUTPUT_DIR/best --corpus=FAQ --query=QUESTION
. "$(dirname -- "$(readlink -f -- "${BASH_SOURCE:-$0}")")/classifiers.sh"

main() {
    local python model data
    case "${1:-}" in -h | --help) usage && return ;; esac
    check_local DATA_DIR MODEL_DIR OUTPUT_DIR
    check_folders
    python="$(bash "$PROJECT_ROOT/scripts/setup.sh")"
    choose_model
    data="${DATA_DIR:-$PROJECT_ROOT/data/faq_sample}"
    run_classifier run_sentence_embedding.py \
        --objective="${OBJECTIVE:-infonce}" \
        --do_train=true --do_eval=true --do_predict=true \
        --max_seq_length="${MAX_SEQ_LENGTH:-64}" \
        --train_batch_size="${BATCH_SIZE:-64}" \
        $(rate_flag 2e-4 "$@") \
        --num_train_epochs="${EPOCHS:-4}" \
        --output_dir="${OUTPUT_DIR:-$(shown "$PROJECT_ROOT/embedding_output")}" \
        "$@"
}

main "$@"
