package org.albertzh;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.Arrays;
import java.util.List;
import org.junit.Test;

/** Equal to albert_zh/tasks/labelling/decoding.py. */
public class TagDecoderTest {
    private static final List<String> TAGS = Arrays.asList("O", "B-loc", "I-loc");

    @Test
    public void forbiddenMovesAreNotTaken() {
        float[][] logits = {{0, 1, 5}, {0, 0, 5}, {4, 0, 3}};
        assertArrayEquals(new int[] {2, 2, 0}, new TagDecoder(TAGS, null).tags(logits));
        TagDecoder decoder = new TagDecoder(TAGS, new float[3][3]);
        assertArrayEquals(new int[] {1, 2, 0}, decoder.tags(logits));
        List<TagSpan> spans = decoder.spans(logits);
        assertEquals("[0-2 loc (0.0179)]", spans.toString());
        assertTrue(decoder.spans(new float[0][]).isEmpty());
    }

    @Test
    public void whatIsNoTagIsRefused() {
        for (List<String> labels : Arrays.asList(Arrays.asList("体育"), Arrays.asList("O", "X-loc"))) {
            assertThrows(IllegalArgumentException.class, () -> new TagDecoder(labels, null));
        }
        assertThrows(
                IllegalArgumentException.class, () -> new TagDecoder(TAGS, new float[2][2]));
    }

    @Test
    public void tagsAndSpansEqualDecodingPy() throws Exception {
        Path file = Paths.get(System.getProperty("cases")).resolve("decoding.tsv");
        List<String[]> rows = Cases.rows(file);
        for (String[] row : rows) {
            List<String> labels = Arrays.asList(row[0].split(" "));
            float[][] logits = matrix(row[2], labels.size());
            TagDecoder decoder =
                    new TagDecoder(labels, row[1].equals("-") ? null : matrix(row[1], labels.size()));
            assertEquals(row[3], Arrays.toString(decoder.tags(logits)).replaceAll("[\\[\\],]", ""));
            String[] spans = row[4].isEmpty() ? new String[0] : row[4].split(" ");
            List<TagSpan> found = decoder.spans(logits);
            assertEquals(spans.length, found.size());
            for (int i = 0; i < spans.length; i++) {
                String[] cells = spans[i].split(",", -1);
                assertEquals(Integer.parseInt(cells[0]), found.get(i).start());
                assertEquals(Integer.parseInt(cells[1]), found.get(i).end());
                assertEquals(cells[2], found.get(i).type());
                assertEquals(Double.parseDouble(cells[3]), found.get(i).confidence(), 1e-9);
            }
        }
        System.out.println("decoding: " + rows.size() + " texts equal");
        assertTrue(rows.size() >= 1000);
    }

    /** Numbers in rows of so many. */
    private static float[][] matrix(String numbers, int width) {
        String[] cells = numbers.isEmpty() ? new String[0] : numbers.split(" ");
        float[][] matrix = new float[cells.length / width][width];
        for (int i = 0; i < cells.length; i++) {
            matrix[i / width][i % width] = Float.parseFloat(cells[i]);
        }
        return matrix;
    }
}
