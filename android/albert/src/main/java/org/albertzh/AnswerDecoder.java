package org.albertzh;

import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.PriorityQueue;

/**
 * Answers from the logits of an exported reader, the same as the toolkit's span_scores.py.
 *
 * <pre>{@code
 * AnswerDecoder decoder = new AnswerDecoder(60, 20, null, 0.6);
 * List<Answer> answers = decoder.answers(text, windows);
 * }</pre>
 */
public final class AnswerDecoder {
    private static final Comparator<Answer> WORST_FIRST = Comparator.comparingDouble(Answer::score);

    private final int maxAnswerLength;
    private final int size;
    private final Double nullThreshold;
    private final double lengthPenalty;

    /**
     * Settings as in fine_tuning.json of the model's folder.
     *
     * @param maxAnswerLength max_answer_length: characters of an answer at most.
     * @param size n_best_size: answers that are ranked.
     * @param nullThreshold null_score_diff_threshold: "there is none" comes first where its score
     *     exceeds the best answer's by more; null where every question has an answer.
     * @param lengthPenalty length_penalty: taken off an answer's score, times the natural logarithm
     *     of its characters; 0 for none.
     */
    public AnswerDecoder(
            int maxAnswerLength, int size, Double nullThreshold, double lengthPenalty) {
        this.maxAnswerLength = maxAnswerLength;
        this.size = size;
        this.nullThreshold = nullThreshold;
        this.lengthPenalty = lengthPenalty;
    }

    /** Without a length penalty. */
    public AnswerDecoder(int maxAnswerLength, int size, Double nullThreshold) {
        this(maxAnswerLength, size, nullThreshold, 0);
    }

    /**
     * The best answers, best first.
     *
     * @param text what was asked about.
     * @param windows all windows of the question over the text.
     */
    public List<Answer> answers(String text, List<AnswerWindow> windows) {
        double nullScore = Double.POSITIVE_INFINITY;
        Map<String, Answer> byText = new LinkedHashMap<>();
        for (AnswerWindow window : windows) {
            double[] starts = window.logProbabilities(window.startLogits);
            double[] ends = window.logProbabilities(window.endLogits);
            nullScore = Math.min(nullScore, starts[0] + ends[0]);
            for (Answer answer : bestTexts(text, window, starts, ends)) {
                keepBetter(byText, answer);
            }
        }
        return withProbabilities(withLengthPenalty(best(byText.values())), nullScore);
    }

    /** Puts an answer in the place of a worse one of the same text. */
    private static void keepBetter(Map<String, Answer> byText, Answer answer) {
        Answer known = byText.get(answer.text());
        if (!answer.text().isEmpty() && (known == null || known.score() < answer.score())) {
            byText.put(answer.text(), answer);
        }
    }

    /** The best answers of one window, whose texts all differ. */
    private Collection<Answer> bestTexts(
            String text, AnswerWindow window, double[] starts, double[] ends) {
        for (int count = size; ; count *= 4) { // the same texts stand there more than once
            Collection<Answer> found = bestOf(text, window, starts, ends, count);
            Map<String, Answer> byText = new LinkedHashMap<>();
            for (Answer answer : found) {
                keepBetter(byText, answer);
            }
            if (byText.size() >= size || found.size() < count) {
                return best(byText.values());
            }
        }
    }

    /** So many of the best answers of one window, which may have equal texts. */
    private Collection<Answer> bestOf(
            String text, AnswerWindow window, double[] starts, double[] ends, int count) {
        PriorityQueue<Answer> best = new PriorityQueue<>(count + 1, WORST_FIRST);
        for (int first = 0; first < window.begins.length; first++) {
            int begin = window.begins[first];
            for (int last = first; window.isScored[first] && last < window.begins.length; last++) {
                int end = window.ends[last];
                if (window.begins[last] - begin >= maxAnswerLength) {
                    break;
                }
                double score = starts[first + 1] + ends[last + 1];
                boolean isBetter = best.size() < count || score > best.peek().score();
                if (isBetter && end - begin <= maxAnswerLength) {
                    best.add(new Answer(substring(text, begin, end), begin, end, score, 0));
                    if (best.size() > count) {
                        best.poll();
                    }
                }
            }
        }
        return best;
    }

    /** The code points of a text from {@code begin} to {@code end}. */
    private static String substring(String text, int begin, int end) {
        int from = text.offsetByCodePoints(0, begin);
        return text.substring(from, text.offsetByCodePoints(from, Math.max(0, end - begin)));
    }

    private List<Answer> best(Collection<Answer> answers) {
        List<Answer> ranked = new ArrayList<>(answers);
        Collections.sort(ranked, WORST_FIRST.reversed());
        return ranked.subList(0, Math.min(size, ranked.size()));
    }

    /** The answers ranked again, by what their lengths leave of their scores. */
    private List<Answer> withLengthPenalty(List<Answer> answers) {
        List<Answer> ranked = new ArrayList<>();
        for (Answer answer : answers) {
            int length = Math.max(1, answer.end() - answer.begin());
            double score = answer.score() - lengthPenalty * Math.log(length);
            ranked.add(new Answer(answer.text(), answer.begin(), answer.end(), score, 0));
        }
        Collections.sort(ranked, WORST_FIRST.reversed());
        return ranked;
    }

    /** The answers, and "there is none" where there is a threshold, with a softmax over these. */
    private List<Answer> withProbabilities(List<Answer> answers, double nullScoreBefore) {
        List<Answer> ranked = new ArrayList<>();
        if (Double.isInfinite(nullScoreBefore)) {
            return ranked;
        }
        boolean ranksNull = nullThreshold != null;
        double nullScore = ranksNull ? nullScoreBefore - nullThreshold : nullScoreBefore;
        double top = ranksNull ? nullScore : Double.NEGATIVE_INFINITY;
        top = answers.isEmpty() ? top : Math.max(top, answers.get(0).score());
        double sum = ranksNull ? Math.exp(nullScore - top) : 0;
        for (Answer answer : answers) {
            sum += Math.exp(answer.score() - top);
        }
        for (Answer answer : answers) {
            double share = Math.exp(answer.score() - top) / sum;
            ranked.add(
                    new Answer(answer.text(), answer.begin(), answer.end(), answer.score(), share));
        }
        if (ranksNull) {
            double share = Math.exp(nullScore - top) / sum;
            insert(ranked, new Answer("", 0, 0, nullScore, share));
        }
        return ranked.subList(0, Math.min(size, ranked.size()));
    }

    /** Puts an answer behind those that are not worse. */
    private static void insert(List<Answer> ranked, Answer answer) {
        int at = 0;
        while (at < ranked.size() && ranked.get(at).score() >= answer.score()) {
            at++;
        }
        ranked.add(at, answer);
    }
}
