#!/usr/bin/env bash
# Creates pre-training records from many text files, one record file per text file:
#     bash scripts/create_pretrain_data_batch.sh my/*.txt more/*.gz
#     OUTPUT_DIR=my/records bash scripts/create_pretrain_data_batch.sh my/*.txt -- --dupe_factor=5
# A text file is skipped if its record file exists and is newer; an interrupted file is resumed. The
# same command, run again, thus does the remaining work. With other settings use another OUTPUT_DIR or
# AGAIN=1, since existing files are recognized only by their modification time. Settings are
# environment variables:
#     OUTPUT_DIR     folder for NAME.tfrecord of a text NAME.txt (default: the folder of the text)
#     OUTPUT_PREFIX  prefix of NAME (default: none)
#     AGAIN          1 creates all files again
# and the settings of create_pretrain_data.sh (VOCAB_FILE, MAX_SEQ_LENGTH, MAX_PREDICTIONS,
# MASKED_LM_PROB). Arguments after -- are passed to create_pretraining_data.py. The exit status is 2 if
# a file failed.
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
            say "$input: $output exists, skipped (AGAIN=1 creates it again)"
            num_skipped=$((num_skipped + 1))
        elif make_records "$input" "$output" "$@"; then
            num_made=$((num_made + 1))
        else
            [ $? -ne "$EXIT_INTERRUPTED" ] || exit "$EXIT_INTERRUPTED"
            failed+=("$input")
        fi
    done
    say "$num_made created, $num_skipped skipped, ${#failed[@]} failed${failed[*]:+: ${failed[*]}}"
    [ ${#failed[@]} -eq 0 ] || exit "$EXIT_USER_ERROR"
}

# refuse_paths ARGUMENT...: refuses path flags that would be the same for all texts.
refuse_paths() {
    local flag
    ! flag="$(given_flag "input_file output_file" "$@")" ||
        die "$flag: each text has its own: the texts are named before --, the records by OUTPUT_DIR" \
            "and OUTPUT_PREFIX"
}

# check_inputs INPUT...: checks that all inputs exist before the first one is processed.
check_inputs() {
    local input
    for input in "$@"; do
        refuse_remote "$input"
        is_there "$input" || die "$input: no such file, and no file matches the pattern (flags go after --)"
    done
}

# expand_patterns INPUT...: sets `inputs` to the inputs, with quoted patterns replaced by their matches.
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
    [ ${#inputs[@]} -gt 0 ] || die "$*: only folders: expected files, as in my/*.txt"
}

make_records() {
    local input="$1" output="$2" resume=true
    [ -z "${AGAIN:-}" ] || resume=false
    shift 2
    say "$input"
    INPUT_FILE="$input" OUTPUT_FILE="$output" \
        bash "$PROJECT_ROOT/scripts/create_pretrain_data.sh" "--resume=$resume" "$@"
}

# output_of INPUT: prints the path of its record file.
output_of() {
    local name
    name="$(basename -- "$1")"
    name="${name%.gz}"
    printf '%s/%s.tfrecord' "${OUTPUT_DIR:-$(dirname -- "$1")}" "${OUTPUT_PREFIX:-}${name%.*}"
}

# check_names INPUT...: checks that no two inputs write the same file, and that each writes one file.
check_names() {
    local twice input output
    for input in "$@"; do
        output="$(output_of "$input")"
        case "$output" in
            *,*) die "$output: contains a comma, which separates names of outputs: rename the file" ;;
        esac
    done
    twice="$(for input; do output_of "$input"; printf '\n'; done | sort | uniq -d | head -n 1)"
    [ -z "$twice" ] || die "two inputs would be written to $twice: choose another OUTPUT_DIR for one"
}

main "$@"
