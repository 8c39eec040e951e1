#!/usr/bin/env bash
# Pre-trains a small model on texts of your own, from the texts to a model folder:
#     CORPUS='texts/*' OUT=my_model bash scripts/train_starter.sh
#     CORPUS='texts/*' OUT=my_model INIT_CHECKPOINT=albert_starter_zh bash scripts/train_starter.sh
#     CORPUS='texts/*' OUT=my_model EXCLUDE='tasks/*/test.txt' VOCAB_SIZE=12000 PRECISION=bfloat16 \
#         bash scripts/train_starter.sh --optimizer=lamb
# What it needs is installed first. It can be interrupted at any time: typed again, the same command
# goes on; what is done is not done again. All but the model is in OUT.work. Settings, each an
# environment variable:
#     CORPUS         text, a sentence a line, a blank line between documents; patterns, folders and
#                    .gz files, commas between
#     ENCODING       utf-8     of the text; gb18030 for GBK
#     OUT            model folder to make
#     EXCLUDE        files (evaluation sets); a document that has a line of one is left out
#     HELD_OUT_EVERY 200       of so many documents one is held out, to measure on
#     INIT_CHECKPOINT
#                    model folder (or checkpoint) to go on from, with its vocabulary and config: right
#                    for less than some 50 MB of text. Defaults are then one phase of 1000 steps at a
#                    rate of 0.0005: STEPS 0, PAIR_STEPS 1000, PAIR_DUPE_FACTOR 5,
#                    PAIR_LEARNING_RATE 0.0005, SIMILAR_STEPS 0, SAVE_STEPS 250
#     VOCAB_SIZE     entries of a vocabulary to build from the text (default: none is built)
#     VOCAB_FILE     (default: that beside INIT_CHECKPOINT, else albert_starter_zh/vocab.txt)
#     CONFIG_FILE    (default: that beside INIT_CHECKPOINT, else albert_starter_zh/albert_config_tiny.json)
#     SPLIT_SENTENCES false    true where lines are paragraphs: they are parted into sentences
#     ONE_SEGMENT    false     true where a document is a single sentence, as of titles: masked words
#                              alone are learnt, in one phase
#     SEGMENTER      jieba     rjieba, once installed, is faster; none: no words
#     DUPE_FACTOR    2         how often each text is used, paired in another way
#                    (PAIR_DUPE_FACTOR 1 in the second phase, SIMILAR_DUPE_FACTOR 1 in the third)
#     MAX_SEQ_LENGTH 128   MAX_PREDICTIONS 20
#     STEPS          10000     first phase: masked words, order of segments; 0 leaves it out
#     PAIR_STEPS     7500      second phase: masked words, and whether two texts belong together;
#                              0 leaves it out
#     SIMILAR_STEPS  3000      third phase: the same, with texts that share rare words; 0 leaves it out
#     WARMUP_STEPS, PAIR_WARMUP_STEPS, SIMILAR_WARMUP_STEPS
#                    a tenth of the steps, at most 1000, 200 and 200
#     LEARNING_RATE  0.0005    PAIR_LEARNING_RATE 0.0004    SIMILAR_LEARNING_RATE 0.0003
#     BATCH_SIZE     64
#     PRECISION      float32   bfloat16 is faster on CPUs and GPUs that compute in it
#     SAVE_STEPS     500       steps between checkpoints, each of which is evaluated
#     DATA_DIR       folders of labelled data to score the model on, commas between; empty for none
#                    (default: data/pairs_sample,data/topics_sample)
# Further arguments go to run_pretraining.py, whose --helpfull lists them; they win over the settings.
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
