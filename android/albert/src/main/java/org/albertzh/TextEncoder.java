package org.albertzh;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/**
 * Vectors of texts on the phone, and which of some texts are most like another one.
 *
 * <pre>{@code
 * try (TextEncoder encoder = TextEncoder.open(model, tokenizer, 4)) {
 *     List<float[]> vectors = encoder.encode(questions);
 *     int best = TextEncoder.nearest(encoder.encode("怎么开户"), vectors, 1).get(0);
 * }
 * }</pre>
 *
 * <p>Pooling and normalization are in the model's file. Encoding takes milliseconds: call it from a
 * worker thread. Safe for use by several threads, which wait for each other.
 */
public final class TextEncoder implements AutoCloseable {
    /** Longest row of a model that takes any length, unless another is given. */
    public static final int DEFAULT_MAX_LENGTH = 128;

    private final TextModel model;
    private final WordPieceTokenizer tokenizer;
    private final int maxLength;
    private boolean isClosed;

    /**
     * Opens a model that export_model.py wrote with --format=tflite --task=embedding.
     *
     * @param model the .tflite file in a direct or mapped buffer.
     * @param tokenizer of the model's vocabulary.
     * @param threads number of threads that the model may use.
     */
    public static TextEncoder open(ByteBuffer model, WordPieceTokenizer tokenizer, int threads) {
        LiteRtModel opened = new LiteRtModel(model, threads);
        int maxLength = Features.longestRow(opened, DEFAULT_MAX_LENGTH);
        return new TextEncoder(opened, tokenizer, maxLength);
    }

    /**
     * Uses a model, which {@link #close()} closes.
     *
     * @param maxLength longest row in tokens, at most the model's positions: max_seq_length of
     *     sentence_embedding.json. No row is longer than a model of a fixed length takes.
     */
    public TextEncoder(TextModel model, WordPieceTokenizer tokenizer, int maxLength) {
        this.model = model;
        this.tokenizer = tokenizer;
        this.maxLength = Math.min(maxLength, Features.longestRow(model, maxLength));
    }

    /** Number of values of a vector. */
    public int width() {
        return model.numClasses();
    }

    /** The vector of a text. */
    public synchronized float[] encode(String text) {
        if (isClosed) {
            throw new IllegalStateException("the encoder is closed");
        }
        Features row = Features.of(tokenizer, text, null, maxLength, model.sequenceLength());
        return model.run(row.ids, row.mask, row.segmentIds);
    }

    /** The vectors of texts, in their order. */
    public List<float[]> encode(List<String> texts) {
        List<float[]> vectors = new ArrayList<>();
        for (String text : texts) {
            vectors.add(encode(text));
        }
        return vectors;
    }

    /**
     * The cosine of two vectors, from -1 to 1; 0 if one of them has no length.
     *
     * @throws IllegalArgumentException if they are of different widths.
     */
    public static float cosine(float[] a, float[] b) {
        if (a.length != b.length) {
            throw new IllegalArgumentException(
                    "vectors of " + a.length + " and " + b.length + " values");
        }
        double product = 0;
        double squaresA = 0;
        double squaresB = 0;
        for (int i = 0; i < a.length; i++) {
            product += (double) a[i] * b[i];
            squaresA += (double) a[i] * a[i];
            squaresB += (double) b[i] * b[i];
        }
        double lengths = Math.sqrt(squaresA * squaresB);
        return lengths == 0 ? 0 : (float) (product / lengths);
    }

    /** Positions of the vectors with the highest cosines, the highest first. */
    public static List<Integer> nearest(float[] query, List<float[]> vectors, int count) {
        float[] cosines = new float[vectors.size()];
        List<Integer> order = new ArrayList<>();
        for (int i = 0; i < cosines.length; i++) {
            cosines[i] = cosine(query, vectors.get(i));
            order.add(i);
        }
        Collections.sort(order, (a, b) -> Float.compare(cosines[b], cosines[a]));
        return new ArrayList<>(order.subList(0, Math.min(count, order.size())));
    }

    /** Frees the model. */
    @Override
    public synchronized void close() {
        if (!isClosed) {
            isClosed = true;
            model.close();
        }
    }
}
