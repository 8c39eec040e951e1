package org.albertzh;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.io.IOException;
import java.util.Arrays;
import java.util.List;
import org.junit.Test;

public class AlbertClassifierTest {
    private static final List<String> LABELS = Arrays.asList("体育", "财经", "游戏");

    private static WordPieceTokenizer tokenizer() throws IOException {
        return new WordPieceTokenizer(Cases.stream("[UNK]\n[CLS]\n[SEP]\na\nb\nc\nd\n"), true);
    }

    /** Remembers its input. */
    private static final class FakeModel implements TextModel {
        final int length;
        int[] ids;
        int[] mask;
        int[] segmentIds;
        int timesClosed;

        FakeModel(int length) {
            this.length = length;
        }

        @Override
        public int sequenceLength() {
            return length;
        }

        @Override
        public int numClasses() {
            return 3;
        }

        @Override
        public float[] run(int[] ids, int[] mask, int[] segmentIds) {
            this.ids = ids;
            this.mask = mask;
            this.segmentIds = segmentIds;
            return new float[] {0.25f, 0.125f, 0.625f};
        }

        @Override
        public void close() {
            timesClosed++;
        }
    }

    @Test
    public void oneTextIsPaddedToTheModelsLength() throws IOException {
        FakeModel model = new FakeModel(6);
        AlbertClassifier classifier = new AlbertClassifier(model, tokenizer(), LABELS, 128);
        Prediction prediction = classifier.classify("a b");
        assertArrayEquals(new int[] {1, 3, 4, 2, 0, 0}, model.ids);
        assertArrayEquals(new int[] {1, 1, 1, 1, 0, 0}, model.mask);
        assertArrayEquals(new int[6], model.segmentIds);
        assertEquals("游戏", prediction.label());
        assertEquals(0.625f, prediction.probability(), 0);
        assertArrayEquals(new float[] {0.25f, 0.125f, 0.625f}, prediction.probabilities(), 0);
        assertEquals(Arrays.asList("游戏", "体育"), prediction.topLabels(2));
        assertEquals(3, prediction.topLabels(9).size());
        assertEquals("游戏 (0.6250)", prediction.toString());
        assertEquals(LABELS, classifier.labels());
    }

    @Test
    public void textsAreCutWhereTheyWereInTrainingThoughTheModelTakesMore() throws IOException {
        FakeModel model = new FakeModel(6);
        new AlbertClassifier(model, tokenizer(), LABELS, 4).classify("a b c d");
        assertArrayEquals(new int[] {1, 3, 4, 2, 0, 0}, model.ids);
        new AlbertClassifier(model, tokenizer(), LABELS, 128).classify("a b c d c b");
        assertArrayEquals("no more than it takes", new int[] {1, 3, 4, 5, 6, 2}, model.ids);
    }

    @Test
    public void pairIsCutAtTheEndOfItsLongerText() throws IOException {
        FakeModel model = new FakeModel(0);
        AlbertClassifier classifier = new AlbertClassifier(model, tokenizer(), LABELS, 7);
        classifier.classify("a b c", "d c b a");
        assertArrayEquals("on a tie the second text", new int[] {1, 3, 4, 2, 6, 5, 2}, model.ids);
        assertArrayEquals(new int[] {0, 0, 0, 0, 1, 1, 1}, model.segmentIds);
        classifier.classify("a b c", "d c");
        assertArrayEquals(new int[] {1, 3, 4, 2, 6, 5, 2}, model.ids);
        classifier.classify("a", "b");
        assertArrayEquals("no padding", new int[] {1, 3, 2, 4, 2}, model.ids);
        classifier.classify("", "");
        assertArrayEquals(new int[] {1, 2, 2}, model.ids);
        assertArrayEquals(new int[] {0, 0, 1}, model.segmentIds);
    }

    @Test
    public void closesTheModelOnce() throws IOException {
        FakeModel model = new FakeModel(8);
        AlbertClassifier classifier = new AlbertClassifier(model, tokenizer(), LABELS, 128);
        classifier.close();
        classifier.close();
        assertEquals(1, model.timesClosed);
        assertThrows(IllegalStateException.class, () -> classifier.classify("a"));
    }

    @Test
    public void whatDoesNotFitIsRefused() throws IOException {
        WordPieceTokenizer tokenizer = tokenizer();
        IllegalArgumentException labels =
                assertThrows(
                        IllegalArgumentException.class,
                        () -> new AlbertClassifier(
                                new FakeModel(8), tokenizer, Arrays.asList("0", "1"), 128));
        assertTrue(labels.getMessage().contains("2 labels for a model of 3 classes"));
        AlbertClassifier tooShort = new AlbertClassifier(new FakeModel(2), tokenizer, LABELS, 128);
        assertEquals("游戏", tooShort.classify("a").label());
        assertThrows(IllegalArgumentException.class, () -> tooShort.classify("a", "b"));
        assertThrows(NullPointerException.class, () -> tooShort.classify("a", null));
    }
}
