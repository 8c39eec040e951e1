package org.albertzh;

import java.util.Locale;

/** A word piece and the characters of the text that it stands for. */
public final class WordPiece {
    private final String token;
    private final int id;
    private final int begin;
    private final int end;

    WordPiece(String token, int id, int begin, int end) {
        this.token = token;
        this.id = id;
        this.begin = begin;
        this.end = end;
    }

    /** Its entry of the vocabulary, such as "##ing". */
    public String token() {
        return token;
    }

    /** The number of this entry. */
    public int id() {
        return id;
    }

    /** Its first char (UTF-16 code unit): text.substring(begin(), end()) is what it stands for. */
    public int begin() {
        return begin;
    }

    /** One past its last char. */
    public int end() {
        return end;
    }

    @Override
    public String toString() {
        return String.format(Locale.ROOT, "%s %d-%d", token, begin, end);
    }
}
