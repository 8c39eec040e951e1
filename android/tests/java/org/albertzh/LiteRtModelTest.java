package org.albertzh;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Collections;
import java.util.Map;
import org.junit.Test;
import org.tensorflow.lite.Interpreter;

/** On a stand-in for the interpreter, whose output is the sum of each input. */
public class LiteRtModelTest {
    private static final int[] IDS = {5, 6, 7};
    private static final int[] MASK = {1, 1, 0};
    private static final int[] SEGMENTS = {0, 0, 0};

    private static ByteBuffer model(String... tensors) {
        byte[] text = String.join("\n", tensors).getBytes(StandardCharsets.UTF_8);
        ByteBuffer buffer = ByteBuffer.allocateDirect(text.length);
        buffer.put(text).rewind();
        return buffer;
    }

    private static Interpreter lastOpened() {
        return Interpreter.OPENED.get(Interpreter.OPENED.size() - 1);
    }

    @Test
    public void inputsAreFoundByTheirNames() {
        ByteBuffer buffer =
                model(
                        "serving_default_segment_ids:0 INT32 1,3",
                        "serving_default_input_ids:0 INT32 1,3",
                        "serving_default_input_mask:0 INT32 1,3",
                        "StatefulPartitionedCall:0 FLOAT32 1,3");
        try (LiteRtModel model = new LiteRtModel(buffer, 4)) {
            assertEquals(3, model.sequenceLength());
            assertEquals(3, model.numClasses());
            assertArrayEquals(new float[] {0, 18, 2}, model.run(IDS, MASK, SEGMENTS), 0);
            assertEquals(4, lastOpened().options.threads);
            assertThrows(
                    IllegalArgumentException.class,
                    () -> model.run(new int[4], new int[4], new int[4]));
        }
        assertTrue(lastOpened().isClosed);
    }

    @Test
    public void rowsOfAnyLengthWithTheNamesOfMetadata() {
        ByteBuffer buffer =
                model(
                        "ids INT32 1,-1",
                        "segment_ids INT32 1,-1",
                        "mask INT32 1,-1",
                        "probabilities FLOAT32 1,3");
        try (LiteRtModel model = new LiteRtModel(buffer, 1)) {
            assertEquals(0, model.sequenceLength());
            for (int length : new int[] {3, 1, 1, 5}) {
                float[] sums = model.run(new int[length], ones(length), new int[length]);
                assertArrayEquals(new float[] {0, 0, length}, sums, 0);
            }
        }
    }

    @Test
    public void outputsAreGivenByTheirNames() throws IOException {
        String[] inputs = {"ids INT32 1,-1", "mask INT32 1,-1", "segment_ids INT32 1,-1"};
        String labelling = "transitions FLOAT32 -1,3,3\nlogits FLOAT32 -1,-1,3";
        String reading = "serving_default_end_logits:0 FLOAT32 1,-1\nstart_logits FLOAT32 1,-1";
        WordPieceTokenizer tokenizer =
                new WordPieceTokenizer(Cases.stream("[UNK]\n[CLS]\n[SEP]\na\n"), true);
        Features row = new QuestionWindows(tokenizer, "a", "a a", 9, 4, 4).rows(0).get(0);
        float[] sums = {1 + 3 + 2 + 3 + 3 + 2, 6, 3};
        float[] sumsAnd100 = {114, 106, 103};
        try (LiteRtModel model = new LiteRtModel(model(String.join("\n", inputs), labelling), 1)) {
            Map<String, float[][]> outputs = model.outputs(row);
            assertEquals(6, outputs.get("logits").length);
            assertEquals(3, outputs.get("transitions").length);
            assertArrayEquals(sums, outputs.get("transitions")[0], 0);
            assertArrayEquals(sumsAnd100, outputs.get("logits")[0], 0);
        }
        try (LiteRtModel model = new LiteRtModel(model(String.join("\n", inputs), reading), 1)) {
            Map<String, float[][]> outputs = model.outputs(row);
            assertArrayEquals(sums, Arrays.copyOf(outputs.get("end_logits")[0], 3), 0);
            assertArrayEquals(sumsAnd100, Arrays.copyOf(outputs.get("start_logits")[0], 3), 0);
            assertEquals(6, outputs.get("start_logits")[0].length);
        }
    }

    @Test
    public void otherModelsAreRefusedAndClosed() {
        String[][] wrongAndMessage = {
            {"x INT32 1,3", "y FLOAT32 1,2", "inputs are [x]"},
            {"ids INT64 1,3", "mask INT64 1,3", "segment_ids INT64 1,3", "y FLOAT32 1,2", "INT64"},
            {"ids INT32 1,3", "mask INT32 1,3", "segment_ids INT32 1,3", "y INT8 1,2", "y is INT8"},
        };
        for (String[] lines : wrongAndMessage) {
            String message = lines[lines.length - 1];
            ByteBuffer buffer = model(Arrays.copyOf(lines, lines.length - 1));
            IllegalArgumentException error =
                    assertThrows(
                            IllegalArgumentException.class, () -> new LiteRtModel(buffer, 1));
            assertTrue(error.getMessage(), error.getMessage().contains(message));
            assertTrue(lastOpened().isClosed);
        }
    }

    @Test
    public void classifierOpensAModelAndClosesItWhereTheLabelsDoNotFit() throws IOException {
        String[] tensors = {
            "ids INT32 1,4", "mask INT32 1,4", "segment_ids INT32 1,4", "probabilities FLOAT32 1,3"
        };
        WordPieceTokenizer tokenizer =
                new WordPieceTokenizer(Cases.stream("[UNK]\n[CLS]\n[SEP]\na\n"), true);
        try (AlbertClassifier classifier =
                AlbertClassifier.open(
                        model(tensors), tokenizer, Arrays.asList("0", "1", "2"), 2)) {
            assertArrayEquals(
                    new float[] {1 + 3 + 2, 3, 0}, classifier.classify("a").probabilities(), 0);
            assertFalse(lastOpened().isClosed);
        }
        assertThrows(
                IllegalArgumentException.class,
                () -> AlbertClassifier.open(
                        model(tensors), tokenizer, Collections.singletonList("0"), 2));
        assertTrue(lastOpened().isClosed);
    }

    private static int[] ones(int length) {
        int[] ones = new int[length];
        Arrays.fill(ones, 1);
        return ones;
    }
}
