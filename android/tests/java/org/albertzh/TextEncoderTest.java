package org.albertzh;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;

import java.io.IOException;
import java.util.Arrays;
import java.util.List;
import org.junit.Test;

public class TextEncoderTest {
    /** Counts how often a row has each of three ids. */
    private static final class CountingModel implements TextModel {
        final int length;
        int timesClosed;

        CountingModel(int length) {
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
            float[] counts = new float[3];
            for (int i = 0; i < ids.length; i++) {
                assertEquals(0, segmentIds[i]);
                if (mask[i] == 1 && ids[i] >= 3) {
                    counts[ids[i] - 3]++;
                }
            }
            return counts;
        }

        @Override
        public void close() {
            timesClosed++;
        }
    }

    private static TextEncoder encoder(TextModel model) throws IOException {
        return new TextEncoder(
                model,
                new WordPieceTokenizer(Cases.stream("[UNK]\n[CLS]\n[SEP]\na\nb\nc\n"), true),
                6);
    }

    @Test
    public void vectorsAreThoseOfTheModel() throws IOException {
        for (int length : new int[] {0, 6}) {
            TextEncoder encoder = encoder(new CountingModel(length));
            assertEquals(3, encoder.width());
            assertArrayEquals(new float[] {2, 1, 0}, encoder.encode("a b a"), 0);
            assertArrayEquals("cut", new float[] {4, 0, 0}, encoder.encode("a a a a b c"), 0);
            assertArrayEquals(new float[3], encoder.encode(""), 0);
        }
    }

    @Test
    public void theNearestComeFirst() throws IOException {
        TextEncoder encoder = encoder(new CountingModel(0));
        List<float[]> vectors = encoder.encode(Arrays.asList("c", "a b", "", "a a"));
        assertEquals(
                Arrays.asList(3, 1, 0), TextEncoder.nearest(encoder.encode("a"), vectors, 3));
        assertEquals(4, TextEncoder.nearest(encoder.encode("a"), vectors, 9).size());
        assertEquals(Math.sqrt(0.5), TextEncoder.cosine(vectors.get(1), vectors.get(3)), 1e-6);
        assertEquals("no length", 0, TextEncoder.cosine(vectors.get(2), vectors.get(3)), 0);
        assertThrows(
                IllegalArgumentException.class,
                () -> TextEncoder.cosine(new float[3], new float[4]));
    }

    @Test
    public void closesTheModelOnce() throws IOException {
        CountingModel model = new CountingModel(0);
        TextEncoder encoder = encoder(model);
        encoder.close();
        encoder.close();
        assertEquals(1, model.timesClosed);
        assertThrows(IllegalStateException.class, () -> encoder.encode("a"));
    }
}
