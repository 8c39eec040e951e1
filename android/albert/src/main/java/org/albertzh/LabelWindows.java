package org.albertzh;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * A text as rows of a model that labels, and the entities or words that the model finds in it.
 *
 * <pre>{@code
 * LabelWindows windows = new LabelWindows(tokenizer, text, 128, 0, true);
 * List<float[][]> logits = new ArrayList<>();
 * for (Features row : windows.rows(0)) {
 *     logits.add(model.outputs(row).get("logits"));
 * }
 * List<TextSpan> entities = windows.spans(decoder, logits);
 * }</pre>
 *
 * <p>A long text is read in overlapping windows; the prediction of each piece is that of the window
 * in which it is farthest from an end. Equal to the Python package's Predictor, for models that
 * give each piece a tag and have one granularity.
 */
public final class LabelWindows {
    private static final int NUM_SPECIAL = 2;

    private final WordPieceTokenizer tokenizer;
    private final String text;
    private final List<WordPiece> pieces;
    private final List<Window> windows = new ArrayList<>();

    /** Pieces that the model sees at once, and those of them whose prediction is taken from it. */
    private static final class Window {
        final int start;
        final int end;
        int firstOwned;
        int endOwned;

        Window(int start, int end) {
            this.start = start;
            this.end = end;
            this.firstOwned = start;
            this.endOwned = end;
        }
    }

    /**
     * Splits a text.
     *
     * @param maxLength max_seq_length of fine_tuning.json: longest row in tokens, at most the
     *     model's positions; of a model of a fixed length that length.
     * @param stride pieces from a window to the next one; 0 for half a window, as where
     *     fine_tuning.json has none.
     * @param halfWidth half_width of fine_tuning.json, false where it has none: full-width letters
     *     and digits are read as half-width ones.
     * @throws IllegalArgumentException if a row has no place for a piece, or for a negative stride.
     */
    public LabelWindows(
            WordPieceTokenizer tokenizer,
            String text,
            int maxLength,
            int stride,
            boolean halfWidth) {
        int maxPieces = maxLength - NUM_SPECIAL;
        if (maxPieces < 1 || stride < 0) {
            throw new IllegalArgumentException(
                    "rows of " + maxLength + " tokens, stride " + stride
                            + ": expected 3 tokens or more and no negative stride");
        }
        this.tokenizer = tokenizer;
        this.text = text;
        String read = halfWidth ? Characters.halfWidth(text) : text;
        this.pieces = tokenizer.tokenizeWithOffsets(read);
        int step = stride == 0 ? Math.max(1, maxPieces / 2) : Math.min(stride, maxPieces);
        int lastStart = Math.max(0, pieces.size() - maxPieces);
        for (int start = 0; start < lastStart; start += step) {
            addWindow(start, start + maxPieces);
        }
        addWindow(lastStart, pieces.size());
    }

    /** Reads full-width letters and digits as they are. */
    public LabelWindows(WordPieceTokenizer tokenizer, String text, int maxLength, int stride) {
        this(tokenizer, text, maxLength, stride, false);
    }

    /** Adds a window; of the pieces shared with the one before each owns the nearer half. */
    private void addWindow(int start, int end) {
        Window window = new Window(start, end);
        if (!windows.isEmpty()) {
            Window before = windows.get(windows.size() - 1);
            window.firstOwned = (before.end + start + 1) / 2;
            before.endOwned = window.firstOwned;
        }
        windows.add(window);
    }

    /**
     * The model's inputs of each window: [CLS], pieces, [SEP].
     *
     * @param paddedLength length of a model of a fixed length, or 0: see {@link
     *     TextModel#sequenceLength}.
     */
    public List<Features> rows(int paddedLength) {
        int[] ids = pieces.stream().mapToInt(WordPiece::id).toArray();
        List<Features> rows = new ArrayList<>();
        for (Window window : windows) {
            int[] part = Arrays.copyOfRange(ids, window.start, window.end);
            rows.add(Features.ofIds(tokenizer, part, null, paddedLength));
        }
        return rows;
    }

    /** The pieces of the text; {@link TagSpan} counts them. */
    public List<WordPiece> pieces() {
        return new ArrayList<>(pieces);
    }

    /**
     * The logits of the text's pieces, each from the window that owns it.
     *
     * @param logits of each row of {@link #rows}, as the model gives them: of every token.
     * @throws IllegalArgumentException for another number of rows or tokens.
     */
    public float[][] join(List<float[][]> logits) {
        if (logits.size() != windows.size()) {
            throw new IllegalArgumentException(
                    "logits of " + logits.size() + " rows for " + windows.size() + " windows");
        }
        float[][] joined = new float[pieces.size()][];
        for (int i = 0; i < windows.size(); i++) {
            Window window = windows.get(i);
            float[][] row = logits.get(i);
            if (row.length < window.end - window.start + NUM_SPECIAL) {
                throw new IllegalArgumentException(
                        "logits of " + row.length + " tokens for a window of "
                                + (window.end - window.start + NUM_SPECIAL));
            }
            int from = 1 + window.firstOwned - window.start;
            int count = window.endOwned - window.firstOwned;
            System.arraycopy(row, from, joined, window.firstOwned, count);
        }
        return joined;
    }

    /**
     * The entities or words of the text, in order; no character is in two.
     *
     * <p>The words of a segmentation (labels without O) cover all of the text but its whitespace,
     * which parts them: any other character between two words belongs to the first.
     *
     * @param logits as of {@link #join}.
     */
    public List<TextSpan> spans(TagDecoder decoder, List<float[][]> logits) {
        List<TextSpan> spans = new ArrayList<>();
        int end = 0;
        for (TagSpan span : decoder.spans(join(logits))) {
            int begin = Math.max(pieces.get(span.start()).begin(), end);
            int endOfSpan = pieces.get(span.end() - 1).end();
            if (begin < endOfSpan) {
                spans.add(located(begin, endOfSpan, span.type(), span.confidence()));
                end = endOfSpan;
            }
        }
        return decoder.isSegmentation() ? filled(spans) : spans;
    }

    /** The words without gaps between them, then without the whitespace in them. */
    private List<TextSpan> filled(List<TextSpan> words) {
        List<TextSpan> filled = new ArrayList<>();
        for (int i = 0; i < words.size(); i++) {
            int begin = i == 0 ? 0 : words.get(i).begin();
            int end = i + 1 < words.size() ? words.get(i + 1).begin() : text.length();
            addWords(begin, end, words.get(i).confidence(), filled);
        }
        if (words.isEmpty()) {
            addWords(0, text.length(), 1, filled);
        }
        return filled;
    }

    /** Adds what is between whitespace in a part of the text. */
    private void addWords(int begin, int end, double confidence, List<TextSpan> words) {
        int start = begin;
        for (int i = begin; i <= end; i++) {
            if (i == end || Characters.isWhitespace(text.charAt(i))) {
                if (start < i) {
                    words.add(located(start, i, "", confidence));
                }
                start = i + 1;
            }
        }
    }

    private TextSpan located(int begin, int end, String type, double confidence) {
        return new TextSpan(text.substring(begin, end), begin, end, type, confidence);
    }
}
