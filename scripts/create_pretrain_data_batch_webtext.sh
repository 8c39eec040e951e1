#!/usr/bin/env bash
# Makes pre-training records of numbered text files, a record file for each:
#     bash create_pretrain_data_batch_webtext.sh 1 20
#     INPUT=my/part_%d.txt OUTPUT_DIR=my/records bash create_pretrain_data_batch_webtext.sh 1 20 --dupe_factor=5
# makes those of the files 1 to 20. Settings, each an environment variable:
#     INPUT          name of the texts, with %d for the number (default:
#                    raw_text/web_text_zh_raw/web_text_zh_%d.txt)
#     OUTPUT_DIR     where OUTPUT_PREFIX and the text's name with .tfrecord go (default: tf_records)
#     OUTPUT_PREFIX  tf_
# and those of scripts/create_pretrain_data_batch.sh, which does the work: what is there is skipped.
# Further arguments go to create_pretraining_data.py.
. "$(dirname -- "$(readlink -f -- "${BASH_SOURCE:-$0}")")/common.sh"
MOST_NAMED=10

main() {
    local first="${1:-}" last="${2:-}" pattern="${INPUT:-raw_text/web_text_zh_raw/web_text_zh_%d.txt}"
    local number inputs=() missing=()
    [ $# -gt 0 ] || { usage >&2 && exit "$EXIT_USER_ERROR"; }
    case "$first" in -h | --help) usage && return ;; esac
    [[ "$first" =~ ^[0-9]{1,9}$ && "$last" =~ ^[0-9]{1,9}$ ]] ||
        die "expected two numbers, of the first and of the last file, found '$first' and '$last'"
    [ $((10#$first)) -le $((10#$last)) ] || die "the first number, $first, is above the last, $last"
    case "$pattern" in *%d*) ;; *) die "INPUT: $pattern lacks %d, where the number goes" ;; esac
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

# refuse_gaps PATTERN NUMBER...: ends before any work, naming the files that are not there.
refuse_gaps() {
    local pattern="$1" further=''
    shift
    [ $# -le "$MOST_NAMED" ] || further=" and $(($# - MOST_NAMED)) more"
    die "$pattern: no such file where %d is $(printf '%s, ' "${@:1:MOST_NAMED}" | sed 's/, $//')$further:" \
        "give the numbers of files that are there, or set INPUT to their names"
}

main "$@"
