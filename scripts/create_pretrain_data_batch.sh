#!/usr/bin/env bash
# Makes pre-training records of many text files, a record file for each:
#     bash scripts/create_pretrain_data_batch.sh my/*.txt more/*.gz
#     OUTPUT_DIR=my/records bash scripts/create_pretrain_data_batch.sh my/*.txt -- --dupe_factor=5
# A file whose records are there and newer is skipped; one that was stopped goes on where it was. So
# the same command, typed again, does what is left; with other settings give another OUTPUT_DIR or
# AGAIN=1, since files that are there are known by their modification time alone. Settings, each an
# environment variable:
#     OUTPUT_DIR     where NAME.tfrecord is written for a text NAME.txt (default: beside the text)
#     OUTPUT_PREFIX  what stands before NAME (default: nothing)
#     AGAIN          1 creates all files again
# and those of create_pretrain_data.sh (VOCAB_FILE, MAX_SEQ_LENGTH, MAX_PREDICTIONS, MASKED_LM_PROB).
# Arguments behind -- go to create_pretraining_data.py. The exit status is 2 if a file failed.
. "$(dirname -- "$(readlink -f -- "${BASH_SOURCE:-$0}")")/common.sh"

main() {
    local inputs=() input output num_made=0 num_skipped=0 failed=()
    [ $# -gt 0 ] || { usage >&2 && exit "$EXIT_USER_ERROR"; }
    case "$1" in -h | --help) usage && return ;; esac
    while [ $# -gt 0 ] && [ "$1" != -- ]; do
        inputs+=("$1")
        shift
    done
    [ $# -eq 0 ] || shift
    [ ${#inputs[@]} -gt 0 ] || die "no text before --: expected my/*.txt -- --dupe_factor=5"
    check_local OUTPUT_DIR VOCAB_FILE
    refuse_paths "$@"
    check_inputs "${inputs[@]}"
    expand_patterns "${inputs[@]}"
    check_names "${inputs[@]}"
    for input in "${inputs[@]}"; do
        output="$(output_of "$input")"
        if [ -z "${AGAIN:-}" ] && [ "$output" -nt "$input" ]; then
            say "$input: $output is there, skipped (AGAIN=1 creates it again)"
            num_skipped=$((num_skipped + 1))
        elif make_records "$input" "$output" "$@"; then
            num_made=$((num_made + 1))
        else
            [ $? -ne "$EXIT_INTERRUPTED" ] || exit "$EXIT_INTERRUPTED"
            failed+=("$input")
        fi
    done
    say "$num_made made, $num_skipped skipped, ${#failed[@]} failed${failed[*]:+: ${failed[*]}}"
    [ ${#failed[@]} -eq 0 ] || exit "$EXIT_USER_ERROR"
}

# refuse_paths ARGUMENT...: those that would be the same for all texts.
refuse_paths() {
    local flag
    ! flag="$(given_flag "input_file output_file" "$@")" ||
        die "$flag: each text has its own: the texts are named before --, the records by OUTPUT_DIR" \
            "and OUTPUT_PREFIX"
}

# check_inputs INPUT...: each is there before anything is made of the first.
check_inputs() {
    local input
    for input in "$@"; do
        refuse_remote "$input"
        is_there "$input" || die "$input: no such file, and no file fits the pattern (flags go behind --)"
    done
}

# expand_patterns INPUT...: sets `inputs` to them, those in quotes to the files that they fit.
expand_patterns() {
    local input path
    inputs=()
    for input in "$@"; do
        if [ -e "$input" ]; then
            inputs+=("$input")
            continue
        fi
        while IFS= read -r path; do
            [ -d "$path" ] || inputs+=("$path")
        done < <(matching "$input")
    done
    [ ${#inputs[@]} -gt 0 ] || die "$*: folders alone: expected files, as in my/*.txt"
}

make_records() {
    local input="$1" output="$2" resume=true
    [ -z "${AGAIN:-}" ] || resume=false
    shift 2
    say "$input"
    INPUT_FILE="$input" OUTPUT_FILE="$output" \
        bash "$PROJECT_ROOT/scripts/create_pretrain_data.sh" "--resume=$resume" "$@"
}

# output_of INPUT: prints the name of its records.
output_of() {
    local name
    name="$(basename -- "$1")"
    name="${name%.gz}"
    printf '%s/%s.tfrecord' "${OUTPUT_DIR:-$(dirname -- "$1")}" "${OUTPUT_PREFIX:-}${name%.*}"
}

# check_names INPUT...: no two may write the same file, and each writes one.
check_names() {
    local twice input output
    for input in "$@"; do
        output="$(output_of "$input")"
        case "$output" in
            *,*) die "$output: has a comma, which parts names of outputs: rename the file" ;;
        esac
    done
    twice="$(for input; do output_of "$input"; printf '\n'; done | sort | uniq -d | head -n 1)"
    [ -z "$twice" ] || die "two inputs would be written to $twice: choose another OUTPUT_DIR for one"
}

main "$@"
