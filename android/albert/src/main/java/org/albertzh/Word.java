package org.albertzh;

import java.text.Normalizer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** What stands between two blanks of a text, without control characters, and where it stands. */
final class Word {
    private static final char LONE_SURROGATE = '\udc00';

    private final String text;
    private final int[] begins;

    private Word(String text, int[] begins) {
        this.text = text;
        this.begins = begins;
    }

    /** The words of a text, in order. */
    static List<Word> of(String text) {
        List<Word> words = new ArrayList<>();
        StringBuilder word = new StringBuilder();
        int[] begins = new int[text.length()];
        int count = 0;
        int size;
        for (int i = 0; i < text.length(); i += size) {
            int codePoint = text.codePointAt(i);
            size = Character.charCount(codePoint);
            char kind = Characters.kind(codePoint);
            if (kind == Characters.SPACE) {
                addWord(word, begins, count, words);
                count = 0;
            } else if (kind != Characters.DROPPED || isLoneSurrogate(codePoint)) {
                // Two of them must not become a pair when what stood between them is dropped.
                word.appendCodePoint(isLoneSurrogate(codePoint) ? LONE_SURROGATE : codePoint);
                begins[count++] = i;
            }
        }
        addWord(word, begins, count, words);
        return words;
    }

    private static boolean isLoneSurrogate(int codePoint) {
        return codePoint >= Character.MIN_SURROGATE && codePoint <= Character.MAX_SURROGATE;
    }

    private static void addWord(StringBuilder word, int[] begins, int count, List<Word> words) {
        if (count > 0) {
            words.add(new Word(word.toString(), Arrays.copyOf(begins, count)));
            word.setLength(0);
        }
    }

    /** The word as it is looked up: in lower case and without accents, unless case counts. */
    String normalized(boolean lowerCase) {
        return lowerCase ? withoutMarks(decomposed(text)) : text;
    }

    private static String decomposed(String text) {
        return Normalizer.normalize(Characters.toLowerCase(text), Normalizer.Form.NFD);
    }

    private static String withoutMarks(String decomposed) {
        StringBuilder plain = new StringBuilder(decomposed.length());
        int size;
        for (int i = 0; i < decomposed.length(); i += size) {
            int codePoint = decomposed.codePointAt(i);
            size = Character.charCount(codePoint);
            if (Characters.kind(codePoint) != Characters.MARK) {
                plain.appendCodePoint(codePoint);
            }
        }
        return plain.toString();
    }

    /**
     * The chars of the text that each code point of {@link #normalized} stands for.
     *
     * <p>A mark belongs to the letter before it; behind an ideograph, which is a word by itself, to
     * none. What a character was decomposed into (Hangul) shares its range.
     *
     * @return {first char, one past the last} of each.
     */
    List<int[]> spans(boolean lowerCase) {
        List<int[]> spans = new ArrayList<>(begins.length);
        int numWithoutMarks = 0;
        int at = 0;
        for (int begin : begins) {
            int codePoint = text.codePointAt(at);
            int size = Character.charCount(codePoint);
            int[] span = {begin, begin + size};
            if (lowerCase) {
                String decomposed = decomposed(text.substring(at, at + size));
                addSpans(decomposed, span, numWithoutMarks, spans);
            } else {
                spans.add(span);
            }
            if (Characters.isIdeograph(codePoint)) {
                numWithoutMarks = spans.size();
            }
            at += size;
        }
        return spans;
    }

    /**
     * Adds the range of each code point of a decomposed character; a mark extends the one before.
     *
     * @param numWithoutMarks number of the first ranges that no mark extends.
     */
    private static void addSpans(
            String decomposed, int[] span, int numWithoutMarks, List<int[]> spans) {
        int size;
        for (int i = 0; i < decomposed.length(); i += size) {
            int codePoint = decomposed.codePointAt(i);
            size = Character.charCount(codePoint);
            if (Characters.kind(codePoint) != Characters.MARK) {
                spans.add(span.clone());
            } else if (spans.size() > numWithoutMarks) {
                spans.get(spans.size() - 1)[1] = span[1];
            }
        }
    }
}
