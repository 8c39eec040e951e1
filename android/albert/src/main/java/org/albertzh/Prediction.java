package org.albertzh;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Locale;

/** What the classifier found in a text: a probability for every label. */
public final class Prediction {
    private final List<String> labels;
    private final float[] probabilities;
    private final int best;

    Prediction(List<String> labels, float[] probabilities) {
        this.labels = labels;
        this.probabilities = probabilities;
        int highest = 0;
        for (int i = 1; i < probabilities.length; i++) {
            if (probabilities[i] > probabilities[highest]) {
                highest = i;
            }
        }
        this.best = highest;
    }

    /** The most probable label. */
    public String label() {
        return labels.get(best);
    }

    /** The probability of {@link #label()}. */
    public float probability() {
        return probabilities[best];
    }

    /** All probabilities, in the order of {@link AlbertClassifier#labels()}. */
    public float[] probabilities() {
        return probabilities.clone();
    }

    /** The most probable labels, best first; at most {@code count} of them. */
    public List<String> topLabels(int count) {
        List<Integer> order = new ArrayList<>();
        for (int i = 0; i < probabilities.length; i++) {
            order.add(i);
        }
        Collections.sort(order, (a, b) -> Float.compare(probabilities[b], probabilities[a]));
        List<String> top = new ArrayList<>();
        for (int i : order.subList(0, Math.min(count, order.size()))) {
            top.add(labels.get(i));
        }
        return top;
    }

    @Override
    public String toString() {
        return String.format(Locale.ROOT, "%s (%.4f)", label(), probability());
    }
}
