#!/usr/bin/env bash
# Trains sentence vectors for searching a FAQ, and measures them beside TF-IDF:
#     bash run_sentence_embedding.sh
#     EPOCHS=2 bash run_sentence_embedding.sh
#     MODEL_DIR=my_model DATA_DIR=my_faq OUTPUT_DIR=my_output bash run_sentence_embedding.sh --seed=7
# What it needs is installed and downloaded first. Settings, each an environment variable:
#     MODEL_DIR      folder with config JSON, vocab.txt or spiece.model and, unless training starts
#                    from random weights, a checkpoint (default: the released albert_tiny_zh, else the
#                    bundled albert_starter_zh)
#     DATA_DIR       folder with train.tsv, dev.tsv and test.tsv, a question and its entry a line, and
#                    faq.txt, all entries (default: data/faq_sample)
#     OBJECTIVE      infonce; cosent for rows of two texts and a score; see --help
#     OUTPUT_DIR     where everything goes (default: embedding_output)
#     EPOCHS         4     BATCH_SIZE      64     LEARNING_RATE  2e-4
#     MAX_SEQ_LENGTH 64    SEED            run_sentence_embedding.py's own
#     ALBERT_OFFLINE 1 forbids downloads
# Further arguments go to run_sentence_embedding.py, whose --helpfull lists them; they win over the
# settings. Then: python similarity.py --model_dir=OUTPUT_DIR/best --corpus=FAQ --query=QUESTION
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
