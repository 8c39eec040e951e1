package org.albertzh;

import java.util.Arrays;

/**
 * What a character means to the tokenizer and how it is lower-cased.
 *
 * <p>By a table of its own ({@link CharacterData}), since java.lang.Character differs between JDKs
 * and versions of Android, and String.toLowerCase has other rules for sigma than Python has.
 */
final class Characters {
    /** Control and format characters: left out. */
    static final char DROPPED = 'D';

    /** Whitespace. */
    static final char SPACE = 'S';

    /** Combining marks: left out with the accents. */
    static final char MARK = 'M';

    /** Ideographs and punctuation marks: each a word of its own. */
    static final char ISOLATED = 'I';

    /** Isolated too; ignored when looking for a cased neighbour. */
    private static final char ISOLATED_IGNORED = 'J';

    /** Letters that have a case. */
    private static final char CASED = 'C';

    /** Part of a word; ignored when looking for a cased neighbour. */
    private static final char IGNORED = 'G';

    /** First and last characters of the blocks of ideographs, as the toolkit's unicode_text.py. */
    private static final int[][] IDEOGRAPHS = {
        {0x3400, 0x4DBF},
        {0x4E00, 0x9FFF},
        {0xF900, 0xFAFF},
        {0x20000, 0x2A6DF},
        {0x2A700, 0x2B73F},
        {0x2B740, 0x2B81F},
        {0x2B820, 0x2CEAF},
        {0x2F800, 0x2FA1F}
    };

    /** From "A" to the full-width "A". */
    private static final char FULL_WIDTH_SHIFT = 0xFEE0;

    private static final int RADIX = 36;
    private static final int SIGMA = 0x3A3;
    private static final int FINAL_SIGMA = 0x3C2;

    /** First characters of the runs of one kind, ascending, and the kinds of the runs. */
    private static final int[] STARTS;
    private static final char[] KINDS;

    /** Runs {first, last, step, distance to the lower case}, ascending. */
    private static final int[][] LOWER_CASE;

    private static final int[] LOWER_CASE_STARTS;

    static {
        String[] kinds = CharacterData.KINDS.split("(?<=[A-Z])");
        STARTS = new int[kinds.length];
        KINDS = new char[kinds.length];
        int next = 0;
        for (int i = 0; i < kinds.length; i++) {
            String length = kinds[i].substring(0, kinds[i].length() - 1);
            STARTS[i] = next;
            KINDS[i] = kinds[i].charAt(length.length());
            next += length.isEmpty() ? 1 : Integer.parseInt(length, RADIX);
        }
        String[] runs = CharacterData.LOWER_CASE.split(" ");
        LOWER_CASE = new int[runs.length][];
        LOWER_CASE_STARTS = new int[runs.length];
        for (int i = 0; i < runs.length; i++) {
            LOWER_CASE[i] = lowerCaseRun(runs[i].split(","));
            LOWER_CASE_STARTS[i] = LOWER_CASE[i][0];
        }
    }

    private Characters() {}

    /** The kind of a character: one of the constants above, or another letter. */
    static char kind(int codePoint) {
        return KINDS[runOf(codePoint, STARTS)];
    }

    /** Whether a character stands as a word of its own. */
    static boolean isIsolated(int codePoint) {
        char kind = kind(codePoint);
        return kind == ISOLATED || kind == ISOLATED_IGNORED;
    }

    /** Whether a character is one of Chinese script; all of these are isolated. */
    static boolean isIdeograph(int codePoint) {
        for (int[] block : IDEOGRAPHS) {
            if (codePoint >= block[0] && codePoint <= block[1]) {
                return true;
            }
        }
        return false;
    }

    /** A word in lower case, as Python's str.lower() writes it; marks may be missing. */
    static String toLowerCase(String word) {
        StringBuilder lower = new StringBuilder(word.length());
        int size;
        for (int i = 0; i < word.length(); i += size) {
            int codePoint = word.codePointAt(i);
            size = Character.charCount(codePoint);
            boolean isFinalSigma = codePoint == SIGMA && isFinal(word, i);
            lower.appendCodePoint(isFinalSigma ? FINAL_SIGMA : toLowerCase(codePoint));
        }
        return lower.toString();
    }

    /** A text with half-width letters and digits for full-width ones; as long as before. */
    static String halfWidth(String text) {
        StringBuilder half = new StringBuilder(text);
        for (int i = 0; i < text.length(); i++) {
            char shifted = (char) (text.charAt(i) - FULL_WIDTH_SHIFT);
            if (isAsciiLetterOrDigit(shifted)) {
                half.setCharAt(i, shifted);
            }
        }
        return half.toString();
    }

    private static boolean isAsciiLetterOrDigit(char unit) {
        return (unit >= '0' && unit <= '9')
                || (unit >= 'A' && unit <= 'Z')
                || (unit >= 'a' && unit <= 'z');
    }

    /** A text without whitespace at its ends, as Python's str.strip() leaves it. */
    static String strip(String text) {
        int start = 0;
        int end = text.length();
        while (start < end && isWhitespace(text.charAt(start))) {
            start++;
        }
        while (start < end && isWhitespace(text.charAt(end - 1))) {
            end--;
        }
        return text.substring(start, end);
    }

    /** Python's str.isspace(): separators, and the control characters that separate. */
    static boolean isWhitespace(char unit) {
        return kind(unit) == SPACE
                || unit == '\u000b'
                || unit == '\f'
                || (unit >= '\u001c' && unit <= '\u001f')
                || unit == '\u0085';
    }

    /** Whether the sigma at an index ends a word: a cased letter comes before it, none after. */
    private static boolean isFinal(String word, int index) {
        int before = index;
        char kind = IGNORED;
        while (before > 0 && isIgnored(kind)) {
            int codePoint = word.codePointBefore(before);
            before -= Character.charCount(codePoint);
            kind = kind(codePoint);
        }
        if (kind != CASED) {
            return false;
        }
        int after = index + 1;
        kind = IGNORED;
        while (after < word.length() && isIgnored(kind)) {
            int codePoint = word.codePointAt(after);
            after += Character.charCount(codePoint);
            kind = kind(codePoint);
        }
        return kind != CASED;
    }

    private static boolean isIgnored(char kind) {
        return kind == IGNORED || kind == MARK || kind == ISOLATED_IGNORED;
    }

    private static int toLowerCase(int codePoint) {
        int index = runOf(codePoint, LOWER_CASE_STARTS);
        if (index < 0) {
            return codePoint;
        }
        int[] run = LOWER_CASE[index];
        boolean isInRun = codePoint <= run[1] && (codePoint - run[0]) % run[2] == 0;
        return isInRun ? codePoint + run[3] : codePoint;
    }

    /** Index of the last run that starts at or before a character, or -1. */
    private static int runOf(int codePoint, int[] starts) {
        int index = Arrays.binarySearch(starts, codePoint);
        return index >= 0 ? index : -index - 2;
    }

    private static int[] lowerCaseRun(String[] numbers) {
        int first = Integer.parseInt(numbers[0], RADIX);
        int count = Integer.parseInt(numbers[1], RADIX);
        int step = Integer.parseInt(numbers[2], RADIX);
        int distance = Integer.parseInt(numbers[3], RADIX);
        return new int[] {first, first + (count - 1) * step, step, distance};
    }
}
