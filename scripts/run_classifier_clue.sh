#!/usr/bin/env bash
# Fine-tunes an ALBERT model on CLUE's tasks by the published recipe and writes the submission files:
#     bash run_classifier_clue.sh                  # the six tasks of CLUE's site, one after another
#     bash run_classifier_clue.sh tnews            # one of afqmc cmnli csl iflytek tnews wsc copa xnli
#     bash run_classifier_clue.sh tnews predict    # only predicts, with the model trained before
#     bash run_classifier_clue.sh predict          # the same for all six
# A task that cannot be run, for lack of its data for instance, does not keep the others from being
# run; the last lines say what became of each, and the exit status is 0 only if all were run.
# What it needs is installed and downloaded first, except the data of copa and xnli: put them into
# CLUEdataset/TASK, or name their DATA_DIR. Settings, each an environment variable:
#     MODEL_DIR      model folder (default: albert_tiny, else the released
#                    prev_trained_model/albert_tiny_zh, else the bundled albert_starter_zh)
#     DATA_DIR       folder of one task's train.json, dev.json and test.json (default:
#                    CLUEdataset/TASK)
#     OUTPUT_DIR     where everything of one task goes (default: TASK_output); the file for CLUE's
#                    site is TASK_predict.json there
#     EPOCHS, BATCH_SIZE, LEARNING_RATE, MAX_SEQ_LENGTH   in place of the recipe's
#     SEED           run_classifier_clue.py's own
#     ALBERT_OFFLINE 1 forbids downloads
# Further arguments go to run_classifier_clue.py, whose --helpfull lists them; they win over the
# settings.
. "$(dirname -- "$(readlink -f -- "${BASH_SOURCE:-$0}")")/classifiers.sh"

CLUE_TASKS="afqmc cmnli csl iflytek tnews wsc"
TASKS="$CLUE_TASKS copa xnli"

main() {
    local python model task=all steps=(--do_train=true --do_eval=true)
    case "${1:-}" in -h | --help) usage && return ;; esac
    check_local DATA_DIR MODEL_DIR OUTPUT_DIR
    case "${1:-}" in -* | '' | predict) ;; *) task="$1" && shift ;; esac
    if [ "${1:-}" = predict ]; then
        steps=(--do_train=false)
        shift
        refuse_word "$@"
    fi
    if [ "$task" != all ] && [ -z "$(recipe "$task")" ]; then
        die "unknown task $task: expected all or one of $TASKS"
    fi
    [ "$task" != all ] || refuse_one_folder "$@"
    check_folders
    python="$(bash "$PROJECT_ROOT/scripts/setup.sh")"
    choose_model "$PROJECT_ROOT/albert_tiny"
    if [ "$task" = all ]; then
        run_all "$@"
    else
        run_task "$task" "$@"
    fi
}

# refuse_word ARGUMENT...: behind predict come flags; the name of a task stands before it.
refuse_word() {
    case "${1:-}" in
        -* | '') ;;
        *) die "unexpected argument $1 behind predict, where flags go: expected: tnews predict" ;;
    esac
}

# refuse_one_folder ARGUMENT...: for all tasks there is none.
refuse_one_folder() {
    local flag
    [ -z "${DATA_DIR:-}${OUTPUT_DIR:-}" ] ||
        die "DATA_DIR and OUTPUT_DIR are of one task, not of all: name it, such as tnews"
    ! flag="$(given_flag "data_dir output_dir" "$@")" ||
        die "$flag is of one task, not of all: name it, such as tnews"
}

# run_all ARGUMENT...: runs each task, says what became of it; the status is the highest of theirs.
run_all() {
    local task status highest=0 summary=()
    for task in $CLUE_TASKS; do
        say "== $task"
        status=0
        (run_task "$task" "$@") || status=$?
        [ "$status" -ne "$EXIT_INTERRUPTED" ] || exit "$status"
        summary+=("$(printf '%-8s %s' "$task" "$(outcome "$task" "$status")")")
        [ "$status" -le "$highest" ] || highest="$status"
    done
    say "== summary"
    say "$(printf '%s\n' "${summary[@]}")"
    return "$highest"
}

# outcome TASK STATUS: what became of a run, with the best dev accuracy in its folder.
outcome() {
    local data="$PROJECT_ROOT/CLUEdataset/$1" results="$PROJECT_ROOT/$1_output/eval_results_albert_zh.txt"
    if [ "$2" -eq 0 ] && [ -f "$results" ]; then
        printf 'done, dev accuracy %s' "$(sed -n 's/^eval_accuracy = //p' "$results" | sort -g | tail -n 1)"
    elif [ "$2" -eq 0 ]; then
        printf 'done'
    elif [ ! -f "$data/train.json" ]; then
        printf 'not run: there is no data in %s' "$(shown "$data")"
    else
        printf 'failed with status %s: see above' "$2"
    fi
}

# recipe TASK: longest sequence, batch, learning rate, epochs; nothing for an unknown task.
recipe() {
    case "$1" in
        iflytek) echo "128 32 2e-5 3" ;;
        cmnli | xnli) echo "128 64 3e-5 2" ;;
        csl) echo "128 16 1e-5 5" ;;
        wsc) echo "128 16 1e-5 10" ;;
        afqmc | tnews | copa) echo "128 16 2e-5 3" ;;
    esac
}

# run_task TASK ARGUMENT...: becomes the run of one task.
run_task() {
    local task="$1" data length batch rate epochs
    shift
    choose_data "$task"
    read -r length batch rate epochs <<<"$(recipe "$task")"
    run_classifier run_classifier_clue.py --task_name="$task" \
        "${steps[@]}" --do_predict=true \
        --max_seq_length="${MAX_SEQ_LENGTH:-$length}" \
        --train_batch_size="${BATCH_SIZE:-$batch}" \
        $(rate_flag "$rate" "$@") \
        --num_train_epochs="${EPOCHS:-$epochs}" \
        --output_dir="${OUTPUT_DIR:-$(shown "$PROJECT_ROOT/${task}_output")}" \
        "$@"
}

# Sets `data` to the folder of a task, downloaded if it is not there.
choose_data() {
    data="${DATA_DIR:-$PROJECT_ROOT/CLUEdataset/$1}"
    if [ -z "${DATA_DIR:-}" ] && [ ! -f "$data/train.json" ]; then
        "$python" "$PROJECT_ROOT/scripts/fetch_assets.py" "$1" >&2 || {
            [ $? -ne "$EXIT_INTERRUPTED" ] || exit "$EXIT_INTERRUPTED"
            die "the data of $1 could not be downloaded: put train.json, dev.json and test.json into" \
                "$(shown "$data"), or name their folder with DATA_DIR"
        }
    fi
}

main "$@"
