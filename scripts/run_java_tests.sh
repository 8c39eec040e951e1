#!/usr/bin/env bash
# Compiles the Java library in android/ as Java 8, with stubs for LiteRT's classes, and runs its tests,
# which compare it with the results of tokenization.py and fine-tuning for the same texts:
#     bash scripts/run_java_tests.sh
#     bash scripts/run_java_tests.sh CASES      # a folder that tests/support/java_cases.py wrote before
# Without a JDK or JUnit it prints how to install them and ends with status 77, which means skipped.
. "$(dirname -- "$(readlink -f -- "${BASH_SOURCE:-$0}")")/common.sh"

EXIT_SKIPPED=77

skip() {
    say "$(basename -- "$0"): skipped: $*"
    exit "$EXIT_SKIPPED"
}

# find_jar PATTERN...: prints the last file that matches the first pattern with a match.
find_jar() {
    local found=() pattern
    for pattern in "$@"; do
        mapfile -t found < <(compgen -G "$pattern" | grep -vE -- '-(sources|javadoc)\.jar$' | sort -V)
        if [ "${#found[@]}" -gt 0 ]; then
            printf '%s\n' "${found[-1]}"
            return 0
        fi
    done
    return 1
}

# find_junit: prints JUNIT_CLASSPATH, or the class path of Debian's, Maven's or Gradle's JUnit 4.
find_junit() {
    local maven="${HOME:-}/.m2/repository" gradle="${HOME:-}/.gradle/caches/modules-2/files-2.1" junit hamcrest
    [ -z "${JUNIT_CLASSPATH:-}" ] || { printf '%s\n' "$JUNIT_CLASSPATH" && return 0; }
    junit="$(find_jar /usr/share/java/junit4.jar "$maven/junit/junit/4.13*/junit-4.*.jar" \
        "$gradle/junit/junit/4.13*/*/junit-4.*.jar")" || return 1
    hamcrest="$(find_jar /usr/share/java/hamcrest-core.jar \
        "$maven/org/hamcrest/hamcrest-core/*/hamcrest-core-*.jar" \
        "$gradle/org.hamcrest/hamcrest-core/*/*/hamcrest-core-*.jar")" || return 1
    printf '%s\n' "$junit:$hamcrest"
}

javac="${JAVA_HOME:+$JAVA_HOME/bin/}javac"
"$javac" -version >/dev/null 2>&1 || skip "no JDK: $javac does not run: apt install" \
    "default-jdk-headless, or set JAVA_HOME to where one is"
junit="$(find_junit)" || skip "JUnit 4 was not found: apt install junit4, or set JUNIT_CLASSPATH to" \
    "junit-4.13.2.jar:hamcrest-core-1.3.jar"

work="$(mktemp -d)"
trap 'rm -rf -- "$work"' EXIT
cases="${1:-$work/cases}"
if [ "$#" -eq 0 ]; then
    python="$(bash "$PROJECT_ROOT/scripts/setup.sh")"
    say "writing the cases"
    "$python" "$PROJECT_ROOT/tests/support/java_cases.py" "$cases"
fi
[ -d "$cases" ] || die "$cases: no such folder: make it with python tests/support/java_cases.py $cases"

android="$PROJECT_ROOT/android"
java8=(--release 8 "-Xlint:all,-options" -Werror)
"$javac" -version 2>&1 | grep -q '^javac 1\.8' && java8=(-Xlint:all -Werror)
say "compiling and testing with $javac"
mkdir -- "$work/classes"
"$javac" "${java8[@]}" -encoding UTF-8 -d "$work/classes" -cp "$junit" \
    "$android"/albert/src/main/java/org/albertzh/*.java \
    "$android"/tests/stub/org/tensorflow/lite/*.java "$android"/tests/java/org/albertzh/*.java
tests=()
for file in "$android"/tests/java/org/albertzh/*Test.java; do
    tests+=("org.albertzh.$(basename -- "$file" .java)")
done
"${javac%javac}java" "-Dcases=$cases" -cp "$work/classes:$junit" org.junit.runner.JUnitCore "${tests[@]}"
