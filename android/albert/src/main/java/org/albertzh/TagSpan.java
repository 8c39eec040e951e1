package org.albertzh;

import java.util.Locale;

/** An entity, or a word, in pieces of a text. */
public final class TagSpan {
    private final int start;
    private final int end;
    private final String type;
    private final double confidence;

    TagSpan(int start, int end, String type, double confidence) {
        this.start = start;
        this.end = end;
        this.type = type;
        this.confidence = confidence;
    }

    /** Its first piece. */
    public int start() {
        return start;
    }

    /** One past its last piece. */
    public int end() {
        return end;
    }

    /** Its type; empty for words. */
    public String type() {
        return type;
    }

    /** The lowest probability of a tag of the span. */
    public double confidence() {
        return confidence;
    }

    @Override
    public String toString() {
        return String.format(Locale.ROOT, "%d-%d %s (%.4f)", start, end, type, confidence);
    }
}
