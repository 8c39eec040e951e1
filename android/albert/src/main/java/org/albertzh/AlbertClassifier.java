package org.albertzh;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/**
 * A fine-tuned classifier on the phone: one text or a pair in, label and probabilities out.
 *
 * <pre>{@code
 * try (AlbertClassifier classifier = AlbertClassifier.open(model, tokenizer, labels, 4)) {
 *     Prediction prediction = classifier.classify("怎么开户", "如何开通账户");
 * }
 * }</pre>
 *
 * <p>Classifying takes milliseconds: call it from a worker thread. Safe for use by several threads,
 * which wait for each other.
 */
public final class AlbertClassifier implements AutoCloseable {
    /** Longest row of a model that takes any length, unless told otherwise. */
    public static final int DEFAULT_MAX_LENGTH = 128;

    private final TextModel model;
    private final WordPieceTokenizer tokenizer;
    private final List<String> labels;
    private final int maxLength;
    private boolean isClosed;

    /**
     * Opens a model that export_model.py wrote with --format=tflite.
     *
     * @param model the .tflite file in a direct or mapped buffer.
     * @param tokenizer of the model's vocabulary.
     * @param labels the labels in the order of their numbers, see {@link LabelMap}.
     * @param threads number of threads that the model may use.
     * @throws IllegalArgumentException if model and labels do not fit together.
     */
    public static AlbertClassifier open(
            ByteBuffer model, WordPieceTokenizer tokenizer, List<String> labels, int threads) {
        LiteRtModel opened = new LiteRtModel(model, threads);
        try {
            int maxLength = Features.longestRow(opened, DEFAULT_MAX_LENGTH);
            return new AlbertClassifier(opened, tokenizer, labels, maxLength);
        } catch (RuntimeException e) {
            opened.close();
            throw e;
        }
    }

    /**
     * Uses a model, which {@link #close()} closes.
     *
     * @param maxLength longest row in tokens, at most the model's positions: max_seq_length of
     *     fine_tuning.json, beyond which texts were cut in training. No row is longer than a model
     *     of a fixed length takes.
     * @throws IllegalArgumentException if model and labels do not fit together.
     */
    public AlbertClassifier(
            TextModel model, WordPieceTokenizer tokenizer, List<String> labels, int maxLength) {
        if (labels.size() != model.numClasses()) {
            throw new IllegalArgumentException(
                    labels.size() + " labels for a model of " + model.numClasses()
                            + " classes: are they from the same folder?");
        }
        this.model = model;
        this.tokenizer = tokenizer;
        this.labels = Collections.unmodifiableList(new ArrayList<>(labels));
        this.maxLength = Math.min(maxLength, Features.longestRow(model, maxLength));
    }

    /** Classifies a text. */
    public Prediction classify(String text) {
        return predictionOf(text, null);
    }

    /** Classifies a pair of texts. */
    public Prediction classify(String textA, String textB) {
        if (textB == null) {
            throw new NullPointerException("textB is null: use classify(text) for a single text");
        }
        return predictionOf(textA, textB);
    }

    /** The labels in the order of their numbers. */
    public List<String> labels() {
        return labels;
    }

    /** Frees the model. */
    @Override
    public synchronized void close() {
        if (!isClosed) {
            isClosed = true;
            model.close();
        }
    }

    private synchronized Prediction predictionOf(String textA, String textB) {
        if (isClosed) {
            throw new IllegalStateException("the classifier is closed");
        }
        Features row = Features.of(tokenizer, textA, textB, maxLength, model.sequenceLength());
        return new Prediction(labels, model.run(row.ids, row.mask, row.segmentIds));
    }
}
