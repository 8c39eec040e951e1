package org.albertzh;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * Turns the outputs of a model that labels texts into entities or words.
 *
 * <pre>{@code
 * TagDecoder decoder = new TagDecoder(labels, transitions);
 * for (TagSpan span : decoder.spans(logits)) { ... }
 * }</pre>
 *
 * <p>The labels are tags such as B-LOC, of any scheme that fine-tuning knows (BIO, BIOES, BMES, BILOU
 * ...). Equal to the Python package's decoding: with a CRF's transitions the best path that the
 * scheme allows, otherwise the best tag of each piece. {@link LabelWindows} makes the model's inputs
 * and gives spans in characters.
 */
public final class TagDecoder {
    private static final double IMPOSSIBLE = -1e9;

    /** What a tag's letter means; OUTSIDE comes last. */
    private enum Role {
        BEGIN,
        INSIDE,
        END,
        SINGLE,
        OUTSIDE
    }

    /** The letters of the roles in each scheme, BEGIN first; a blank where it has no such role. */
    private static final String[] SCHEMES = {"BI  O", "BI SO", "BIESO", "BMESO", "BMEWO", "BILUO"};

    private final Role[] roles;
    private final String[] types;
    private final double[][] transitions;
    private final double[] starts;
    private final double[] ends;

    /**
     * Prepares the moves between tags.
     *
     * @param labels the tags in the order of their numbers, see {@link LabelMap}.
     * @param transitions of the model's CRF, row: tag before; null for a model without one.
     * @throws IllegalArgumentException for labels that are tags of no scheme, or transitions of
     *     another number of tags.
     */
    public TagDecoder(List<String> labels, float[][] transitions) {
        int count = labels.size();
        if (transitions != null && transitions.length != count) {
            throw new IllegalArgumentException(
                    transitions.length + " rows of transitions for " + count + " tags");
        }
        String scheme = schemeOf(labels);
        roles = new Role[count];
        types = new String[count];
        for (int i = 0; i < count; i++) {
            String label = labels.get(i);
            roles[i] = Role.values()[scheme.indexOf(label.charAt(0))];
            types[i] = label.length() > 2 ? label.substring(2) : "";
        }
        boolean needsEnd = scheme.charAt(Role.END.ordinal()) != ' ';
        starts = new double[count];
        ends = new double[count];
        for (int i = 0; i < count; i++) {
            starts[i] = continues(roles[i]) ? IMPOSSIBLE : 0;
            ends[i] = needsEnd && isOpen(roles[i]) ? IMPOSSIBLE : 0;
        }
        this.transitions = transitions == null ? null : allowed(transitions);
    }

    /**
     * The best tag of each piece, as numbers of labels.
     *
     * @param logits of the pieces, a row for each, without those of [CLS] and [SEP].
     */
    public int[] tags(float[][] logits) {
        if (transitions == null) {
            int[] tags = new int[logits.length];
            for (int step = 0; step < tags.length; step++) {
                for (int tag = 1; tag < roles.length; tag++) {
                    if (logits[step][tag] > logits[step][tags[step]]) {
                        tags[step] = tag;
                    }
                }
            }
            return tags;
        }
        return logits.length == 0 ? new int[0] : bestPath(logits);
    }

    /**
     * The entities or words of a text, in the order of its pieces.
     *
     * @param logits as in {@link #tags}.
     */
    public List<TagSpan> spans(float[][] logits) {
        int[] tags = tags(logits);
        List<TagSpan> spans = new ArrayList<>();
        int start = -1;
        for (int step = 0; step <= tags.length; step++) {
            if (step > 0 && step < tags.length && goesOn(tags[step - 1], tags[step])) {
                continue;
            }
            if (start >= 0) {
                double confidence = lowestProbability(logits, tags, start, step);
                spans.add(new TagSpan(start, step, types[tags[start]], confidence));
            }
            start = step < tags.length && roles[tags[step]] != Role.OUTSIDE ? step : -1;
        }
        return spans;
    }

    /** Whether every piece belongs to a word: no tag is outside of all. */
    boolean isSegmentation() {
        return !Arrays.asList(roles).contains(Role.OUTSIDE);
    }

    /** Viterbi's algorithm; of equal paths the one of the lowest numbers. */
    private int[] bestPath(float[][] logits) {
        int count = roles.length;
        int last = logits.length - 1;
        int[][] before = new int[logits.length][count];
        double[] best = new double[count];
        for (int step = 0; step <= last; step++) {
            double[] next = new double[count];
            for (int tag = 0; tag < count; tag++) {
                double score = logits[step][tag];
                score += step == 0 ? starts[tag] : 0;
                score += step == last ? ends[tag] : 0;
                next[tag] = score;
                if (step > 0) {
                    before[step][tag] = bestBefore(best, tag);
                    next[tag] += best[before[step][tag]] + transitions[before[step][tag]][tag];
                }
            }
            best = next;
        }
        int[] tags = new int[logits.length];
        tags[last] = highest(best);
        for (int step = last; step > 0; step--) {
            tags[step - 1] = before[step][tags[step]];
        }
        return tags;
    }

    private int bestBefore(double[] best, int tag) {
        double[] paths = new double[best.length];
        for (int i = 0; i < paths.length; i++) {
            paths[i] = best[i] + transitions[i][tag];
        }
        return highest(paths);
    }

    private static int highest(double[] numbers) {
        int highest = 0;
        for (int i = 1; i < numbers.length; i++) {
            if (numbers[i] > numbers[highest]) {
                highest = i;
            }
        }
        return highest;
    }

    /** The transitions, those that the scheme forbids impossible. */
    private double[][] allowed(float[][] given) {
        double[][] allowed = new double[roles.length][roles.length];
        for (int i = 0; i < roles.length; i++) {
            for (int j = 0; j < roles.length; j++) {
                boolean isAllowed = continues(roles[j]) ? goesOn(i, j) : ends[i] == 0;
                allowed[i][j] = isAllowed ? given[i][j] : IMPOSSIBLE;
            }
        }
        return allowed;
    }

    /** Whether a tag continues the span of the tag before it. */
    private boolean goesOn(int before, int tag) {
        return isOpen(roles[before]) && continues(roles[tag]) && types[before].equals(types[tag]);
    }

    private static boolean isOpen(Role role) {
        return role == Role.BEGIN || role == Role.INSIDE;
    }

    private static boolean continues(Role role) {
        return role == Role.INSIDE || role == Role.END;
    }

    /** The lowest probability, by the softmax of the logits, of the tags of a span. */
    private static double lowestProbability(float[][] logits, int[] tags, int start, int end) {
        double lowest = 1;
        for (int step = start; step < end; step++) {
            double sum = 0;
            for (float logit : logits[step]) {
                sum += Math.exp((double) logit - logits[step][tags[step]]);
            }
            lowest = Math.min(lowest, 1 / sum);
        }
        return lowest;
    }

    private static String schemeOf(List<String> labels) {
        for (String scheme : SCHEMES) {
            boolean fits = true;
            for (String label : labels) {
                boolean isTag = label.length() == 1 || label.matches(".[-_].+");
                fits &= isTag && scheme.indexOf(label.charAt(0)) >= 0;
            }
            if (fits && !labels.isEmpty()) {
                return scheme;
            }
        }
        throw new IllegalArgumentException(
                labels + " are tags of no scheme: is this the label map of a model that labels?");
    }
}
