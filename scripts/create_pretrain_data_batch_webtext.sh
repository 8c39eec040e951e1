#!/usr/bin/env bash
# Creates pre-training records from numbered text files, one record file per text file:
#     bash create_pretrain_data_batch_webtext.sh 1 20
#     INPUT=my/part_%d.txt OUTPUT_DIR=my/records bash create_pretrain_data_batch_webtext.sh 1 20 --dupe_factor=5
# processes the files 1 to 20. Settings are environment variables:
#     INPUT          name of the text files, with %d for the number (default:
#                    raw_text/web_text_zh_raw/web_text_zh_%d.txt)
#     OUTPUT_DIR     folder for the record files, named OUTPUT_PREFIX and the text's name with .tfrecord
#                    (default: tf_records)
#     OUTPUT_PREFIX  tf_
# and the settings of scripts/create_pretrain_data_batch.sh, which does the work and skips existing
# files. Further arguments are passed to create_pretraining_data.py.
. "$(dirname -- "$(readlink -f -- "${BASH_SOURCE:-$0}")")/common.sh"
MOST_NAMED=10

main() {
    local first="${1:-}" last="${2:-}" pattern="${INPUT:-raw_text/web_text_zh_raw/web_text_zh_%d.txt}"
    local number inputs=() missing=()
    [ $# -gt 0 ] || { usage >&2 && exit "$EXIT_USER_ERROR"; }
    case "$first" in -h | --help) usage && return ;; esac
    [[ "$first" =~ ^[0-9]{1,9}$ && "$last" =~ ^[0-9]{1,9}$ ]] ||
        die "expected two numbers, of the first and of the last file, found '$first' and '$last'"
    [ $((10#$first)) -le $((10#$last)) ] || die "the first number, $first, is greater than the last, $last"
    case "$pattern" in *%d*) ;; *) die "INPUT: $pattern lacks %d, the place of the number" ;; esac
    refuse_remote "$pattern" "INPUT="
    shift 2
    for ((number = 10#$first; number <= 10#$last; number++)); do
        inputs+=("${pattern//%d/$number}")
        is_there "${inputs[${#inputs[@]} - 1]}" || missing+=("$number")
    done
    [ ${#missing[@]} -eq 0 ] || refuse_gaps "$pattern" "${missing[@]}"
    OUTPUT_DIR="${OUTPUT_DIR:-tf_records}" OUTPUT_PREFIX="${OUTPUT_PREFIX-tf_}" \
        exec bash "$PROJECT_ROOT/scripts/create_pretrain_data_batch.sh" "${inputs[@]}" -- "$@"
}

# refuse_gaps PATTERN NUMBER...: fails before any work is done, and names the missing files.
refuse_gaps() {
    local pattern="$1" further=''
    shift
    [ $# -le "$MOST_NAMED" ] || further=" and $(($# - MOST_NAMED)) more"
    die "$pattern: no such file if %d is $(printf '%s, ' "${@:1:MOST_NAMED}" | sed 's/, $//')$further:" \
        "give the numbers of files that exist, or set INPUT to their names"
}

main "$@"
