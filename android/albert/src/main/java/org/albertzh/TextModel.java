package org.albertzh;

/** A model of ids, to probabilities or a vector: {@link LiteRtModel} or another runtime's. */
public interface TextModel extends AutoCloseable {
    /** Length of a row in tokens, shorter ones are padded; 0 where a row may have any length. */
    int sequenceLength();

    /** Number of classes, or of the values of a vector. */
    int numClasses();

    /**
     * Probabilities of the classes of one row, or its vector.
     *
     * @param ids ids of the tokens.
     * @param mask 1 for a token, 0 for padding.
     * @param segmentIds 0 for the first text, 1 for the second.
     */
    float[] run(int[] ids, int[] mask, int[] segmentIds);

    /** Frees the model. */
    @Override
    void close();
}
