package org.albertzh;

import java.io.IOException;
import java.io.InputStream;
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
 * for (WordPiece piece : tokenizer.tokenizeWithOffsets(text)) { ... }
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
        List<String> tokens = new ArrayList<>();
        for (Word word : Word.of(text)) {
            for (WordPiece piece : piecesOf(word.normalized(lowerCase))) {
                tokens.add(piece.token());
            }
        }
        return tokens;
    }

    /**
     * Splits a text into word pieces and locates each of them, as the toolkit's offsets.py does.
     *
     * <p>Positions count Java chars (UTF-16 code units) of the text as it was given, before lower
     * case and the removal of accents; Python's count code points. An accent belongs to the piece
     * of its letter, blanks and control characters between pieces belong to none. Pieces of a
     * character that was decomposed (Hangul) share its range; an unknown word is one piece.
     */
    public List<WordPiece> tokenizeWithOffsets(String text) {
        List<WordPiece> located = new ArrayList<>();
        for (Word word : Word.of(text)) {
            String normalized = word.normalized(lowerCase);
            List<int[]> spans = word.spans(lowerCase);
            int numBefore = 0;
            int counted = 0;
            for (WordPiece piece : piecesOf(normalized)) {
                int first = numBefore + normalized.codePointCount(counted, piece.begin());
                int next = first + normalized.codePointCount(piece.begin(), piece.end());
                int begin = spans.get(first)[0];
                int end = spans.get(next - 1)[1];
                located.add(new WordPiece(piece.token(), piece.id(), begin, end));
                numBefore = next;
                counted = piece.end();
            }
        }
        return located;
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

    /** The pieces, located in a word whose ideographs and punctuation marks are separate words. */
    private List<WordPiece> piecesOf(String word) {
        List<WordPiece> pieces = new ArrayList<>();
        int start = 0;
        int size;
        for (int i = 0; i < word.length(); i += size) {
            int codePoint = word.codePointAt(i);
            size = Character.charCount(codePoint);
            if (Characters.isIsolated(codePoint)) {
                addPieces(word.substring(start, i), start, pieces);
                addPieces(word.substring(i, i + size), i, pieces);
                start = i + size;
            }
        }
        addPieces(word.substring(start), start, pieces);
        return pieces;
    }

    /**
     * Adds the longest pieces of a part, or the unknown token where any of it is unknown.
     *
     * @param offset where the part begins in its word.
     */
    private void addPieces(String part, int offset, List<WordPiece> pieces) {
        int numBefore = pieces.size();
        int start = 0;
        boolean isKnown = part.codePointCount(0, part.length()) <= MAX_WORD_LENGTH;
        while (isKnown && start < part.length()) {
            int end = endOfLongestPiece(part, start);
            isKnown = end > start;
            if (isKnown) {
                pieces.add(located(piece(part, start, end), offset + start, offset + end));
            }
            start = end;
        }
        if (!isKnown) {
            pieces.subList(numBefore, pieces.size()).clear();
            pieces.add(located(UNKNOWN, offset, offset + part.length()));
        }
    }

    private WordPiece located(String token, int begin, int end) {
        return new WordPiece(token, ids.get(token), begin, end);
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
