#!/usr/bin/env bash
# Pre-trains a small model on your own texts, from raw text to a model folder:
#     CORPUS='texts/*' OUT=my_model bash scripts/train_starter.sh
#     CORPUS='texts/*' OUT=my_model INIT_CHECKPOINT=albert_starter_zh bash scripts/train_starter.sh
#     CORPUS='texts/*' OUT=my_model EXCLUDE='tasks/*/test.txt' VOCAB_SIZE=12000 PRECISION=bfloat16 \
#         bash scripts/train_starter.sh --optimizer=lamb
# It installs what it needs first. It can be interrupted at any time: run the same command again to
# resume; finished stages are not repeated. Everything but the model is stored in OUT.work. Settings
# are environment variables:
#     CORPUS         text with one sentence per line and blank lines between documents; patterns,
#                    folders and .gz files, separated by commas
#     ENCODING       utf-8     encoding of the text; gb18030 for GBK
#     OUT            model folder to create
#     EXCLUDE        files (evaluation sets); documents that contain one of their lines are skipped
#     HELD_OUT_EVERY 200       one document in this many is held out for evaluation
#     INIT_CHECKPOINT
#                    model folder (or checkpoint) to continue from, with its vocabulary and config:
#                    recommended for less than some 50 MB of text. The defaults are then one phase of
#                    1000 steps at a learning rate of 0.0005: STEPS 0, PAIR_STEPS 1000,
#                    PAIR_DUPE_FACTOR 5, PAIR_LEARNING_RATE 0.0005, SIMILAR_STEPS 0, SAVE_STEPS 250
#     VOCAB_SIZE     entries of a vocabulary to build from the text (default: none is built)
#     VOCAB_FILE     (default: that of INIT_CHECKPOINT, or albert_starter_zh/vocab.txt)
#     CONFIG_FILE    (default: that of INIT_CHECKPOINT, or albert_starter_zh/albert_config_tiny.json)
#     SPLIT_SENTENCES false    true if lines are paragraphs, which are then split into sentences
#     ONE_SEGMENT    false     true if each document is a single sentence, such as a title: the model
#                              then learns only masked words, in one phase
#     SEGMENTER      jieba     rjieba, which must be installed, is faster; none: no segmentation
#     DUPE_FACTOR    2         number of passes over the text, each with different pairs
#                    (PAIR_DUPE_FACTOR 1 in the second phase, SIMILAR_DUPE_FACTOR 1 in the third)
#     MAX_SEQ_LENGTH 128   MAX_PREDICTIONS 20
#     STEPS          10000     first phase: masked words and order of segments; 0 skips it
#     PAIR_STEPS     7500      second phase: masked words, and whether two texts belong together;
#                              0 skips it
#     SIMILAR_STEPS  3000      third phase: the same, with texts that share rare words; 0 skips it
#     WARMUP_STEPS, PAIR_WARMUP_STEPS, SIMILAR_WARMUP_STEPS
#                    a tenth of the steps, at most 1000, 200 and 200
#     LEARNING_RATE  0.0005    PAIR_LEARNING_RATE 0.0004    SIMILAR_LEARNING_RATE 0.0003
#     BATCH_SIZE     64
#     PRECISION      float32   bfloat16 is faster on CPUs and GPUs that support it
#     SAVE_STEPS     500       steps between checkpoints, each of which is evaluated
#     DATA_DIR       folders of labelled data on which to score the model, separated by commas; empty
#                    for none (default: data/pairs_sample,data/topics_sample)
# Further arguments are passed to run_pretraining.py, whose --helpfull lists them; they override the
# settings.
. "$(dirname -- "$(readlink -f -- "${BASH_SOURCE:-$0}")")/common.sh"

SETTINGS="CORPUS ENCODING OUT EXCLUDE HELD_OUT_EVERY INIT_CHECKPOINT VOCAB_SIZE VOCAB_FILE CONFIG_FILE
    SPLIT_SENTENCES ONE_SEGMENT SEGMENTER DUPE_FACTOR PAIR_DUPE_FACTOR SIMILAR_DUPE_FACTOR MAX_SEQ_LENGTH MAX_PREDICTIONS STEPS
    PAIR_STEPS SIMILAR_STEPS WARMUP_STEPS PAIR_WARMUP_STEPS SIMILAR_WARMUP_STEPS LEARNING_RATE
    PAIR_LEARNING_RATE SIMILAR_LEARNING_RATE BATCH_SIZE PRECISION SAVE_STEPS DATA_DIR"

main() {
    local python name flags=()
    case "${1:-}" in -h | --help) usage && return ;; esac
    check_local $SETTINGS
    [ -n "${CORPUS:-}" ] || die "CORPUS is missing: name the texts, such as CORPUS='texts/*'"
    [ -n "${OUT:-}" ] || die "OUT is missing: name the model folder to make, such as OUT=my_model"
    python="$(bash "$PROJECT_ROOT/scripts/setup.sh")"
    for name in $SETTINGS; do
        [ -z "${!name+set}" ] || flags+=("--${name,,}=${!name}")
    done
    exec "$python" "$(shown "$PROJECT_ROOT/scripts/train_starter.py")" "${flags[@]}" -- "$@"
}

main "$@"
