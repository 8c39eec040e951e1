package org.albertzh;

/**
 * What a reader says of one window of a text: [CLS] question [SEP] pieces of the text [SEP].
 *
 * <p>{@link QuestionWindows} makes them.
 */
public final class AnswerWindow {
    final int offset;
    final int[] begins;
    final int[] ends;
    final boolean[] isScored;
    final float[] startLogits;
    final float[] endLogits;

    /**
     * Keeps the arrays, which have a length of C, the number of the text's pieces in the window.
     *
     * @param offset position of the first of these pieces.
     * @param begins where each piece begins in the text, in code points.
     * @param ends where it ends.
     * @param isScored whether this is the window in which a piece may begin an answer: of those
     *     that have it the one with the most context.
     * @param startLogits the model's start_logits of the window; what is behind the last piece is
     *     not looked at.
     * @param endLogits its end_logits.
     */
    public AnswerWindow(
            int offset,
            int[] begins,
            int[] ends,
            boolean[] isScored,
            float[] startLogits,
            float[] endLogits) {
        int size = begins.length;
        if (ends.length != size || isScored.length != size) {
            throw new IllegalArgumentException(
                    size + " begins, " + ends.length + " ends, " + isScored.length + " marks");
        }
        if (Math.min(startLogits.length, endLogits.length) < offset + size) {
            throw new IllegalArgumentException(
                    "logits for fewer than " + (offset + size) + " pieces");
        }
        this.offset = offset;
        this.begins = begins;
        this.ends = ends;
        this.isScored = isScored;
        this.startLogits = startLogits;
        this.endLogits = endLogits;
    }

    /** Log softmax over [CLS], which comes first, and the text's pieces: C + 1 of them. */
    double[] logProbabilities(float[] logits) {
        double[] scores = new double[begins.length + 1];
        double top = logits[0];
        for (int i = 0; i < scores.length; i++) {
            scores[i] = logits[i == 0 ? 0 : offset + i - 1];
            top = Math.max(top, scores[i]);
        }
        double sum = 0;
        for (double score : scores) {
            sum += Math.exp(score - top);
        }
        for (int i = 0; i < scores.length; i++) {
            scores[i] -= top + Math.log(sum);
        }
        return scores;
    }
}
