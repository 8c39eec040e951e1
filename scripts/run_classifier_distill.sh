#!/usr/bin/env bash
# Distils several teachers into one student of the same size, and compares the results:
#     bash run_classifier_distill.sh
#     EPOCHS=1 TEACHER_SEEDS="1 2" bash run_classifier_distill.sh
#     TEACHERS=big_output/best,svm.jsonl UNLABELLED='texts/*.txt' DATA_DIR=my_pairs bash run_classifier_distill.sh
# Trains a model without distillation, a teacher for each seed (unless TEACHERS names some), and a
# student that learns the teachers' averaged outputs; prints the accuracy of each. The student's
# settings and data are checked before any training; finished runs are not repeated.
# Settings are environment variables:
#     MODEL_DIR      folder with config JSON, vocabulary and checkpoint from which all runs start
#                    (default: the bundled albert_starter_zh)
#     DATA_DIR       folder with the task's files (default: data/pairs_sample)
#     TASK           lcqmc; multiclass for your own labelled texts
#     OUTPUT_DIR     folder for all output (default: distill_output)
#     TEACHERS       existing teachers, separated by commas
#     TEACHER_SEEDS  "11 12 13"            UNLABELLED      files of texts without labels
#     EPOCHS         5     BATCH_SIZE      32     LEARNING_RATE  1e-4
#     MAX_SEQ_LENGTH 64    SEED            1, seed of the student and of plain training
# Further arguments are passed to run_classifier.py in all runs; arguments that control how a student
# learns from its teachers (--temperature=4, --distill_weight=0.5, ...) only in the student's run.
. "$(dirname -- "$(readlink -f -- "${BASH_SOURCE:-$0}")")/classifiers.sh"

SAMPLE_DATA="$PROJECT_ROOT/data/pairs_sample"
OF_STUDENTS=" teacher_weights teacher_temperatures teacher_average teacher_cache unlabelled_file
    distill_weight temperature distill_loss "

main() {
    local python model data output teachers seed="${SEED:-1}" of_all=() of_student=() name
    local trained=""
    case "${1:-}" in -h | --help) usage && return ;; esac
    refuse_flags "$@"
    check_local DATA_DIR MODEL_DIR OUTPUT_DIR TEACHERS UNLABELLED
    part_arguments "$@"
    check_folders
    check_teachers
    python="$(bash "$PROJECT_ROOT/scripts/setup.sh")"
    MODEL_DIR="${MODEL_DIR:-$STARTER_MODEL}"
    choose_model
    data="${DATA_DIR:-$SAMPLE_DATA}"
    output="${OUTPUT_DIR:-$(shown "$PROJECT_ROOT/distill_output")}"
    teachers="${TEACHERS:-}"
    if [ -z "$teachers" ]; then
        case "$output" in *,*)
            die "OUTPUT_DIR: $output: teachers are separated by commas: name a folder without" ;;
        esac
        for name in ${TEACHER_SEEDS:-11 12 13}; do
            teachers="${teachers:+$teachers,}$output/teacher_$name/best"
            trained="${trained:+$trained,}teacher_$name"
        done
    fi
    of_student=(--teachers="$teachers" ${UNLABELLED:+--unlabelled_file="$UNLABELLED"}
        ${of_student[@]+"${of_student[@]}"})
    say "checking the flags and data of the student"
    SEED="$seed" run_with scripts/check_student.py student "${of_student[@]}"
    for name in ${trained//,/ }; do
        say "teacher with seed ${name#teacher_}"
        SEED="${name#teacher_}" run_with run_classifier.py "$name"
    done
    say "plain training"
    SEED="$seed" run_with run_classifier.py plain
    say "student"
    SEED="$seed" run_with run_classifier.py student "${of_student[@]}"
    "$python" "$(shown "$PROJECT_ROOT/scripts/compare_distilled.py")" --output_dir="$output" \
        --teachers="$trained"
}

# refuse_flags ARGUMENT...: refuses flags that would be the same in runs that must differ.
refuse_flags() {
    local flag
    ! flag="$(given_flag "seeds search search_rates" "$@")" ||
        die "$flag: this script trains one student: SEED=2 chooses another seed," \
            "run_classifier.py --teachers takes the flag"
    ! flag="$(given_flag seed "$@")" ||
        die "$flag: teachers of one seed would be one model: SEED=2 is for the student and plain" \
            "training, TEACHER_SEEDS=\"1 2\" for the teachers"
    ! flag="$(given_flag output_dir "$@")" ||
        die "$flag: all runs would write to one folder: OUTPUT_DIR=my_output has a folder for each"
    ! flag="$(given_flag teachers "$@")" ||
        die "$flag: plain training would use them, too: TEACHERS=a,b names the student's"
}

# check_teachers: reports an invalid name in TEACHERS, or an invalid seed, before any training.
check_teachers() {
    local names name
    for name in ${TEACHER_SEEDS:-}; do
        case "$name" in *[!0-9]*) die "TEACHER_SEEDS: $name: expected integers separated by" \
            "blanks, such as \"11 12 13\"" ;; esac
    done
    IFS=, read -ra names <<<"${TEACHERS:-}"
    for name in ${names[@]+"${names[@]}"}; do
        name="${name#"${name%%[![:space:]]*}"}"
        name="${name%"${name##*[![:space:]]}"}"
        [ "$name" = linear ] || [ -e "$name" ] ||
            die "TEACHERS: $name: no such file or folder: expected a fine-tuned model, a file of logits or" \
                "probabilities, or the word linear (teachers are separated by commas: a path here has none)"
    done
}

# part_arguments ARGUMENT...: sets `of_student` to the flags in OF_STUDENTS, `of_all` to all other flags.
part_arguments() {
    local argument flag=""
    for argument in "$@"; do
        case "$argument" in -*) flag="${argument%%=*}" ;; esac # else the value of the preceding flag
        [ -n "$flag" ] || die "$argument: flags are written --name=value (--help names the settings)"
        case "$OF_STUDENTS" in
            *[[:space:]]"${flag##*-}"[[:space:]]*) of_student+=("$argument") ;;
            *) of_all+=("$argument") ;;
        esac
    done
}

# run_with COMMAND NAME ARGUMENT...: runs a command with the output folder OUTPUT_DIR/NAME.
run_with() {
    local command="$1" name="$2"
    shift 2
    (run_classifier "$command" \
        --task_name="${TASK:-lcqmc}" --do_train=true --do_eval=true --do_predict=true \
        --max_seq_length="${MAX_SEQ_LENGTH:-64}" \
        --train_batch_size="${BATCH_SIZE:-32}" \
        --eval_batch_size=64 --predict_batch_size=64 \
        --learning_rate="${LEARNING_RATE:-1e-4}" \
        --num_train_epochs="${EPOCHS:-5}" \
        --dev_seed="$seed" \
        --output_dir="$output/$name" \
        ${of_all[@]+"${of_all[@]}"} "$@")
}

main "$@"
