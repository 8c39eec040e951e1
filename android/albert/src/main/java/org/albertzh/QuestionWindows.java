package org.albertzh;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * A question and the text that it asks about as rows of a reader, and the answers to it.
 *
 * <pre>{@code
 * QuestionWindows windows = new QuestionWindows(tokenizer, question, text, 384, 128, 64);
 * List<float[]> starts = new ArrayList<>();
 * List<float[]> ends = new ArrayList<>();
 * for (Features row : windows.rows(0)) {
 *     Map<String, float[][]> outputs = model.outputs(row);
 *     starts.add(outputs.get("start_logits")[0]);
 *     ends.add(outputs.get("end_logits")[0]);
 * }
 * List<Answer> answers = windows.answers(decoder, starts, ends);
 * }</pre>
 *
 * <p>A text that does not fit beside its question is read in several windows; each piece is scored
 * in the one where it has the most context on both sides. The same as the toolkit's
 * tasks/reading/windows.py, for readers that were trained without --original_features.
 */
public final class QuestionWindows {
    private static final int NUM_SPECIAL = 3;

    private final WordPieceTokenizer tokenizer;
    private final String text;
    private final int[] query;
    private final List<WordPiece> pieces;
    /** {first piece, one past the last} of each window. */
    private final List<int[]> bounds = new ArrayList<>();

    /**
     * Splits a question and a text; the settings are those of fine_tuning.json.
     *
     * @param maxLength max_seq_length: longest row in tokens, at most the model's positions; of a
     *     model of a fixed length that length.
     * @param docStride doc_stride: pieces from the beginning of a window to that of the next one.
     * @param maxQueryLength max_query_length: pieces of the question at most; the others are left
     *     out.
     * @throws IllegalArgumentException if a question may leave no place for a piece of the text, or
     *     windows would not advance.
     */
    public QuestionWindows(
            WordPieceTokenizer tokenizer,
            String question,
            String text,
            int maxLength,
            int docStride,
            int maxQueryLength) {
        if (maxQueryLength < 0 || maxLength <= maxQueryLength + NUM_SPECIAL || docStride < 1) {
            throw new IllegalArgumentException(
                    "rows of " + maxLength + " tokens, stride " + docStride + ", questions of "
                            + maxQueryLength + ": expected a stride of 1 or more, and rows longer"
                            + " than the question and 3 special tokens");
        }
        this.tokenizer = tokenizer;
        this.text = text;
        int[] ids = tokenizer.encode(question);
        this.query = Arrays.copyOf(ids, Math.min(ids.length, maxQueryLength));
        this.pieces = tokenizer.tokenizeWithOffsets(text);
        int size = maxLength - query.length - NUM_SPECIAL;
        int end = 0;
        for (int begin = 0; end < pieces.size(); begin += Math.min(size, docStride)) {
            end = Math.min(begin + size, pieces.size());
            bounds.add(new int[] {begin, end});
        }
    }

    /**
     * The model's inputs of each window: [CLS], question, [SEP], pieces of the text, [SEP].
     *
     * @param paddedLength length of a model of a fixed length, or 0: see {@link
     *     TextModel#sequenceLength}.
     * @return none for a text without a piece.
     */
    public List<Features> rows(int paddedLength) {
        int[] ids = pieces.stream().mapToInt(WordPiece::id).toArray();
        List<Features> rows = new ArrayList<>();
        for (int[] window : bounds) {
            int[] part = Arrays.copyOfRange(ids, window[0], window[1]);
            rows.add(Features.ofIds(tokenizer, query, part, paddedLength));
        }
        return rows;
    }

    /**
     * The windows as {@link AnswerDecoder} takes them.
     *
     * @param startLogits the model's start_logits of each row of {@link #rows}.
     * @param endLogits its end_logits.
     * @throws IllegalArgumentException for another number of rows, or rows that are too short.
     */
    public List<AnswerWindow> windows(List<float[]> startLogits, List<float[]> endLogits) {
        if (startLogits.size() != bounds.size() || endLogits.size() != bounds.size()) {
            throw new IllegalArgumentException(
                    "logits of " + startLogits.size() + " and " + endLogits.size() + " rows for "
                            + bounds.size() + " windows");
        }
        int[] codePoints = codePointsBefore(text);
        int[] bestWindows = bestWindows();
        List<AnswerWindow> windows = new ArrayList<>();
        for (int i = 0; i < bounds.size(); i++) {
            int first = bounds.get(i)[0];
            int size = bounds.get(i)[1] - first;
            int[] begins = new int[size];
            int[] ends = new int[size];
            boolean[] isScored = new boolean[size];
            for (int at = 0; at < size; at++) {
                begins[at] = codePoints[pieces.get(first + at).begin()];
                ends[at] = codePoints[pieces.get(first + at).end()];
                isScored[at] = bestWindows[first + at] == i;
            }
            float[] starts = startLogits.get(i);
            windows.add(
                    new AnswerWindow(
                            query.length + 2, begins, ends, isScored, starts, endLogits.get(i)));
        }
        return windows;
    }

    /**
     * The best answers, best first.
     *
     * @param startLogits as of {@link #windows}.
     * @param endLogits as of {@link #windows}.
     */
    public List<Answer> answers(
            AnswerDecoder decoder, List<float[]> startLogits, List<float[]> endLogits) {
        return decoder.answers(text, windows(startLogits, endLogits));
    }

    /**
     * The number of the window in which each piece has the most context.
     *
     * <p>That is the smaller one of its distances to the window's ends; of windows that are equal
     * in this the longer one, then the first.
     */
    private int[] bestWindows() {
        double[] bestScores = new double[pieces.size()];
        int[] best = new int[pieces.size()];
        for (int i = 0; i < bounds.size(); i++) {
            int begin = bounds.get(i)[0];
            int end = bounds.get(i)[1];
            for (int at = begin; at < end; at++) {
                double score = Math.min(at - begin, end - 1 - at) + 0.01 * (end - begin);
                if (score > bestScores[at]) {
                    bestScores[at] = score;
                    best[at] = i;
                }
            }
        }
        return best;
    }

    /** The number of code points before each char of a text, and of all. */
    private static int[] codePointsBefore(String text) {
        int[] before = new int[text.length() + 1];
        for (int i = 0; i < text.length(); i++) {
            boolean isSecond =
                    i > 0 && Character.isSurrogatePair(text.charAt(i - 1), text.charAt(i));
            before[i + 1] = before[i] + (isSecond ? 0 : 1);
        }
        return before;
    }
}
