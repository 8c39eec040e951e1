package org.albertzh;

import java.util.Locale;

/** An answer to a question: a span of the text that was asked about, or "there is none". */
public final class Answer {
    private final String text;
    private final int begin;
    private final int end;
    private final double score;
    private final double probability;

    Answer(String text, int begin, int end, double score, double probability) {
        this.text = text;
        this.begin = begin;
        this.end = end;
        this.score = score;
        this.probability = probability;
    }

    /** The answer's characters; "" for "there is no answer". */
    public String text() {
        return text;
    }

    /** Its first character, as a number of code points before it. */
    public int begin() {
        return begin;
    }

    /** The number of code points before the character behind it. */
    public int end() {
        return end;
    }

    /**
     * Its first char (UTF-16 code unit) in the text that was asked about, as substring takes it.
     *
     * @param context this text.
     */
    public int indexIn(String context) {
        return context.offsetByCodePoints(0, begin);
    }

    /**
     * Log probability of its first piece and of its last one in their window, added, without the
     * length penalty.
     */
    public double score() {
        return score;
    }

    /** Share of its score among the answers that were ranked, and "there is none". */
    public double probability() {
        return probability;
    }

    @Override
    public String toString() {
        return String.format(Locale.ROOT, "%s (%.4f)", text, probability);
    }
}
