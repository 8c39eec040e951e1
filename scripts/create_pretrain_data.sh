#!/usr/bin/env bash
# Creates pre-training records (TFRecord) from raw text, with whole-word masking:
#     bash create_pretrain_data.sh
#     INPUT_FILE='my/*.txt' OUTPUT_FILE=my/records.tfrecord bash create_pretrain_data.sh --dupe_factor=5
# It installs what it needs first. Settings are environment variables:
#     INPUT_FILE     text with one sentence per line and blank lines between documents; also patterns,
#                    .gz files and several names, separated by commas (default: data/news_zh_1.txt,
#                    which is the bundled data/news_sample.txt)
#     OUTPUT_FILE    (default: data/tf_news_2016_zh_raw_news2016zh_1.tfrecord)
#     VOCAB_FILE     (default: albert_config/vocab.txt; if it is missing, the starter model's)
#     MAX_SEQ_LENGTH 512   MAX_PREDICTIONS 51   MASKED_LM_PROB 0.10
# Further arguments are passed to create_pretraining_data.py, whose --help lists them; they override
# the settings.
. "$(dirname -- "$(readlink -f -- "${BASH_SOURCE:-$0}")")/common.sh"

RELEASED_VOCABULARY="$PROJECT_ROOT/albert_config/vocab.txt"
STARTER_VOCABULARY="$PROJECT_ROOT/albert_starter_zh/vocab.txt"

main() {
    local python vocabulary
    case "${1:-}" in -h | --help) usage && return ;; esac
    check_local INPUT_FILE OUTPUT_FILE VOCAB_FILE
    python="$(bash "$PROJECT_ROOT/scripts/setup.sh")"
    choose_vocabulary
    exec "$python" "$(shown "$PROJECT_ROOT/create_pretraining_data.py")" \
        --do_whole_word_mask=true \
        --input_file="${INPUT_FILE:-$(shown "$PROJECT_ROOT/data/news_zh_1.txt")}" \
        --output_file="${OUTPUT_FILE:-$(shown "$PROJECT_ROOT/data/tf_news_2016_zh_raw_news2016zh_1.tfrecord")}" \
        --vocab_file="$(shown "$vocabulary")" \
        --max_seq_length="${MAX_SEQ_LENGTH:-512}" \
        --max_predictions_per_seq="${MAX_PREDICTIONS:-51}" \
        --masked_lm_prob="${MASKED_LM_PROB:-0.10}" \
        "$@"
}

# Sets `vocabulary` to the path of the vocabulary.
choose_vocabulary() {
    vocabulary="${VOCAB_FILE:-$RELEASED_VOCABULARY}"
    if [ -z "${VOCAB_FILE:-}" ] && [ ! -f "$RELEASED_VOCABULARY" ]; then
        vocabulary="$STARTER_VOCABULARY"
        say "$(shown "$RELEASED_VOCABULARY") does not exist (scripts/fetch_assets.py albert_tiny_489k" \
            "downloads it): using $(shown "$STARTER_VOCABULARY") instead"
    fi
}

main "$@"
