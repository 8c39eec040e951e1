package org.albertzh;

import java.util.Locale;

/** An entity, or a word, in characters of a text. */
public final class TextSpan {
    private final String text;
    private final int begin;
    private final int end;
    private final String type;
    private final double confidence;

    TextSpan(String text, int begin, int end, String type, double confidence) {
        this.text = text;
        this.begin = begin;
        this.end = end;
        this.type = type;
        this.confidence = confidence;
    }

    /** Its characters. */
    public String text() {
        return text;
    }

    /** Its first char (UTF-16 code unit) in the text, as substring takes it. */
    public int begin() {
        return begin;
    }

    /** One past its last char. */
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
        return String.format(Locale.ROOT, "%s %d-%d %s (%.4f)", text, begin, end, type, confidence);
    }
}
