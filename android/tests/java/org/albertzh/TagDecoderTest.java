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
            float[][] logits = Cases.matrix(row[2], labels.size());
            TagDecoder decoder = decoder(labels, row[1]);
            assertEquals(row[3], Cases.joined(decoder.tags(logits)));
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

    /** A decoder with transitions, or without where the cell is "-". */
    static TagDecoder decoder(List<String> labels, String transitions) {
        boolean hasCrf = !transitions.equals("-");
        return new TagDecoder(labels, hasCrf ? Cases.matrix(transitions, labels.size()) : null);
    }
}
