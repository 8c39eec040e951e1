package org.albertzh;

import java.io.IOException;
import java.io.InputStream;
import java.text.Normalizer;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * Text to word pieces to ids, the same as the toolkit's tokenization.py.
 *
 * <pre>{@code
 * WordPieceTokenizer tokenizer = new WordPieceTokenizer(assets.open("vocab.txt"), true);
 * int[] ids = tokenizer.encode("北京有哪些好玩的地方?");
 * }</pre>
 *
 * <p>Safe for use by several threads.
 */
public final class WordPieceTokenizer {
    public static final String UNKNOWN = "[UNK]";
    public static final String CLS = "[CLS]";
    public static final String SEP = "[SEP]";

    private static final int MAX_WORD_LENGTH = 200;
    private static final String CONTINUATION = "##";
    private static final char LONE_SURROGATE = '\udc00';

    private final List<String> tokens;
    private final Map<String, Integer> ids;
    private final int longestPiece;
    private final boolean lowerCase;

    /**
     * Reads the vocabulary.
     *
     * @param vocabulary the model's vocab.txt, a token per line; closed by the caller.
     * @param lowerCase whether to lower-case and strip accents: as in training.
     * @throws IOException if it cannot be read or is no vocabulary of BERT's kind.
     */
    public WordPieceTokenizer(InputStream vocabulary, boolean lowerCase) throws IOException {
        this.tokens = TextLines.read(vocabulary);
        this.ids = new HashMap<>(2 * tokens.size());
        this.lowerCase = lowerCase;
        int longest = 0;
        for (int id = 0; id < tokens.size(); id++) {
            ids.put(tokens.get(id), id);
            longest = Math.max(longest, tokens.get(id).length());
        }
        this.longestPiece = longest;
        for (String token : new String[] {UNKNOWN, CLS, SEP}) {
            if (!ids.containsKey(token)) {
                throw new IOException(
                        "the vocabulary of " + tokens.size() + " entries has no " + token
                                + ": is it the vocab.txt of the model's folder?");
            }
        }
    }

    /** Splits a text into word pieces. */
    public List<String> tokenize(String text) {
        List<String> pieces = new ArrayList<>();
        for (String word : words(text)) {
            addParts(lowerCase ? withoutAccents(word) : word, pieces);
        }
        return pieces;
    }

    /** The ids of a text's word pieces, without [CLS] and [SEP]. */
    public int[] encode(String text) {
        List<String> pieces = tokenize(text);
        int[] encoded = new int[pieces.size()];
        for (int i = 0; i < encoded.length; i++) {
            encoded[i] = ids.get(pieces.get(i));
        }
        return encoded;
    }

    /**
     * The id of a token.
     *
     * @throws IllegalArgumentException if the vocabulary has no such token.
     */
    public int idOf(String token) {
        Integer id = ids.get(token);
        if (id == null) {
            throw new IllegalArgumentException("the vocabulary has no token " + token);
        }
        return id;
    }

    /** The token of an id, from 0 to {@link #size()} - 1. */
    public String tokenOf(int id) {
        return tokens.get(id);
    }

    /** Number of entries of the vocabulary. */
    public int size() {
        return tokens.size();
    }

    /** The text split at whitespace, without control characters. */
    private static List<String> words(String text) {
        List<String> words = new ArrayList<>();
        StringBuilder word = new StringBuilder();
        int size;
        for (int i = 0; i < text.length(); i += size) {
            int codePoint = text.codePointAt(i);
            size = Character.charCount(codePoint);
            char kind = Characters.kind(codePoint);
            if (kind == Characters.SPACE) {
                addWord(word, words);
            } else if (isLoneSurrogate(codePoint)) {
                // Two of them must not become a pair when what stood between them is dropped.
                word.append(LONE_SURROGATE);
            } else if (kind != Characters.DROPPED) {
                word.appendCodePoint(codePoint);
            }
        }
        addWord(word, words);
        return words;
    }

    private static boolean isLoneSurrogate(int codePoint) {
        return codePoint >= Character.MIN_SURROGATE && codePoint <= Character.MAX_SURROGATE;
    }

    private static void addWord(StringBuilder word, List<String> words) {
        if (word.length() > 0) {
            words.add(word.toString());
            word.setLength(0);
        }
    }

    private static String withoutAccents(String word) {
        String decomposed = Normalizer.normalize(Characters.toLowerCase(word), Normalizer.Form.NFD);
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

    /** Adds the pieces of a word, whose ideographs and punctuation marks are words of their own. */
    private void addParts(String word, List<String> pieces) {
        int start = 0;
        int size;
        for (int i = 0; i < word.length(); i += size) {
            int codePoint = word.codePointAt(i);
            size = Character.charCount(codePoint);
            if (Characters.isIsolated(codePoint)) {
                addPieces(word.substring(start, i), pieces);
                addPieces(word.substring(i, i + size), pieces);
                start = i + size;
            }
        }
        addPieces(word.substring(start), pieces);
    }

    /** Adds the longest pieces of a word, or the unknown token where some part of it is unknown. */
    private void addPieces(String word, List<String> pieces) {
        if (word.codePointCount(0, word.length()) > MAX_WORD_LENGTH) {
            pieces.add(UNKNOWN);
            return;
        }
        int numBefore = pieces.size();
        int start = 0;
        while (start < word.length()) {
            int end = endOfLongestPiece(word, start);
            if (end == start) {
                pieces.subList(numBefore, pieces.size()).clear();
                pieces.add(UNKNOWN);
                return;
            }
            pieces.add(piece(word, start, end));
            start = end;
        }
    }

    private int endOfLongestPiece(String word, int start) {
        int end = Math.min(word.length(), start + longestPiece);
        while (end > start && !ids.containsKey(piece(word, start, end))) {
            end--;
        }
        return end;
    }

    private static String piece(String word, int start, int end) {
        String part = word.substring(start, end);
        return start == 0 ? part : CONTINUATION + part;
    }
}
