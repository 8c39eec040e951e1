#!/usr/bin/env bash
# Fine-tunes an ALBERT model on CLUE's tasks by the published recipe and writes the submission files:
#     bash run_classifier_clue.sh                  # the six tasks of CLUE's site, one after another
#     bash run_classifier_clue.sh tnews            # one of afqmc cmnli csl iflytek tnews wsc copa xnli
#     bash run_classifier_clue.sh tnews predict    # only predicts, with the model trained before
#     bash run_classifier_clue.sh predict          # the same for all six tasks
# If a task cannot be run, for example because its data is missing, the other tasks are still run; the
# last lines report the result of each task, and the exit status is 0 only if all tasks were run.
# It installs and downloads what it needs first, except the data of copa and xnli: put them into
# CLUEdataset/TASK, or set DATA_DIR. Settings are environment variables:
#     MODEL_DIR      model folder (default: the first available of albert_tiny, the released
#                    prev_trained_model/albert_tiny_zh and the bundled albert_starter_zh)
#     DATA_DIR       folder with train.json, dev.json and test.json of one task (default:
#                    CLUEdataset/TASK)
#     OUTPUT_DIR     folder for all output of one task (default: TASK_output), including
#                    TASK_predict.json, the file to submit to CLUE's site
#     EPOCHS, BATCH_SIZE, LEARNING_RATE, MAX_SEQ_LENGTH   override the values of the recipe
#     SEED           default of run_classifier_clue.py
#     ALBERT_OFFLINE 1 forbids downloads
# Further arguments are passed to run_classifier_clue.py, whose --helpfull lists them; they override
# the settings.
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

# refuse_word ARGUMENT...: refuses a word after predict: the name of a task must precede it.
refuse_word() {
    case "${1:-}" in
        -* | '') ;;
        *) die "unexpected argument $1 after predict, which is followed by flags: expected: tnews predict" ;;
    esac
}

# refuse_one_folder ARGUMENT...: refuses to use one data or output folder for all tasks.
refuse_one_folder() {
    local flag
    [ -z "${DATA_DIR:-}${OUTPUT_DIR:-}" ] ||
        die "DATA_DIR and OUTPUT_DIR are for a single task: name it, such as tnews"
    ! flag="$(given_flag "data_dir output_dir" "$@")" ||
        die "$flag is for a single task: name it, such as tnews"
}

# run_all ARGUMENT...: runs each task and reports its result; returns the highest exit status.
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

# outcome TASK STATUS: prints the result of a run, with the best dev accuracy in its folder.
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

# recipe TASK: prints maximum sequence length, batch size, learning rate and epochs; nothing for an
# unknown task.
recipe() {
    case "$1" in
        iflytek) echo "128 32 2e-5 3" ;;
        cmnli | xnli) echo "128 64 3e-5 2" ;;
        csl) echo "128 16 1e-5 5" ;;
        wsc) echo "128 16 1e-5 10" ;;
        afqmc | tnews | copa) echo "128 16 2e-5 3" ;;
    esac
}

# run_task TASK ARGUMENT...: replaces the shell with the run of one task.
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

# Sets `data` to the folder of a task, which is downloaded if it does not exist.
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
