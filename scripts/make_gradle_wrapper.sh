#!/usr/bin/env bash
# Creates android/gradlew, which downloads the Gradle that the Android build needs and runs it:
#     bash scripts/make_gradle_wrapper.sh
#     android/gradlew -p android :sample:installDebug
# This requires a Gradle of any version (apt install gradle, or GRADLE=/path/to/bin/gradle); the
# version that gradlew downloads is set in android/gradle/wrapper/gradle-wrapper.properties.
# Android Studio needs no gradlew: it reads that file itself.
. "$(dirname -- "$(readlink -f -- "${BASH_SOURCE:-$0}")")/common.sh"

GRADLE="${GRADLE:-gradle}"

# make_wrapper FOLDER: creates it in an empty project, as android/ itself requires a recent Gradle.
make_wrapper() {
    local output
    : >"$1/settings.gradle"
    output="$(cd -- "$1" && "$GRADLE" --no-daemon --quiet wrapper 2>&1 </dev/null)" ||
        die "$GRADLE wrapper failed: ${output%%$'\n'*}"
}

main() {
    case "${1:-}" in -h | --help) usage && return ;; esac
    local android="$PROJECT_ROOT/android"
    command -v "$GRADLE" >/dev/null ||
        die "Gradle was not found: install one of any version (apt install gradle), or set GRADLE"
    work="$(mktemp -d)"
    trap 'rm -rf -- "$work"' EXIT
    make_wrapper "$work"
    cp -- "$work/gradlew" "$work/gradlew.bat" "$android/"
    cp -- "$work/gradle/wrapper/gradle-wrapper.jar" "$android/gradle/wrapper/"
    say "created $(shown "$android/gradlew")"
}

main "$@"
