package org.albertzh;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import org.junit.Test;

/** Equal to albert_zh/tasks/labelling/predictions.py, which Predictor decodes with. */
public class LabelWindowsTest {
    private static final List<String> TAGS = Arrays.asList("O", "B-loc", "I-loc");

    private static WordPieceTokenizer tokenizer() throws IOException {
        return new WordPieceTokenizer(Cases.stream("[UNK]\n[CLS]\n[SEP]\n京\nb\nc\n"), true);
    }

    @Test
    public void spansEqualPredictionsPy() throws Exception {
        int numTexts = 0;
        for (Path folder : Cases.foldersWith("labelled.tsv")) {
            WordPieceTokenizer tokenizer = Cases.tokenizer(folder, true);
            for (String[] row : Cases.rows(folder.resolve("labelled.tsv"))) {
                check(tokenizer, row);
                numTexts++;
            }
        }
        System.out.println("labelled: " + numTexts + " texts equal");
        assertTrue(numTexts > 0);
    }

    /** Cells: text, longest row, stride, width, tags, transitions or "-", rows, logits, spans. */
    private static void check(WordPieceTokenizer tokenizer, String[] row) {
        String text = Cases.text(row[0]);
        List<String> labels = Arrays.asList(row[4].split(" "));
        LabelWindows windows =
                new LabelWindows(
                        tokenizer,
                        text,
                        Integer.parseInt(row[1]),
                        Integer.parseInt(row[2]),
                        Boolean.parseBoolean(row[3]));
        List<String> rows = new ArrayList<>();
        for (Features made : windows.rows(0)) {
            rows.add(Cases.joined(made.ids()));
            assertEquals(made.ids().length, Arrays.stream(made.mask()).sum());
            assertEquals(0, Arrays.stream(made.segmentIds()).sum());
        }
        assertEquals(row[6], String.join("|", rows));
        List<float[][]> logits = new ArrayList<>();
        for (String ofRow : row[7].split("[|]")) {
            logits.add(Cases.matrix(ofRow, labels.size()));
        }
        String[] expected = row[8].isEmpty() ? new String[0] : row[8].split(" ");
        List<TextSpan> spans = windows.spans(TagDecoderTest.decoder(labels, row[5]), logits);
        assertEquals(row[0], expected.length, spans.size());
        for (int i = 0; i < expected.length; i++) {
            String[] cells = expected[i].split(",", -1);
            TextSpan span = spans.get(i);
            assertEquals(Integer.parseInt(cells[0]), span.begin());
            assertEquals(Integer.parseInt(cells[1]), span.end());
            assertEquals(cells[2], span.type());
            assertEquals(Double.parseDouble(cells[3]), span.confidence(), 1e-9);
            assertEquals(text.substring(span.begin(), span.end()), span.text());
        }
    }

    @Test
    public void eachPieceIsPredictedFarFromTheEndsOfItsWindow() throws IOException {
        LabelWindows windows = new LabelWindows(tokenizer(), "\ud83d\ude00 京 b c", 5, 1);
        List<Features> rows = windows.rows(6);
        assertEquals(2, rows.size());
        assertArrayEquals(new int[] {1, 0, 3, 4, 2, 0}, rows.get(0).ids());
        assertArrayEquals(new int[] {1, 1, 1, 1, 1, 0}, rows.get(0).mask());
        assertArrayEquals(new int[] {1, 3, 4, 5, 2, 0}, rows.get(1).ids());
        float[][] first = {{0}, {1}, {2}, {3}, {0}};
        float[][] second = {{0}, {12}, {13}, {14}, {0}};
        float[][] joined = {{1}, {2}, {13}, {14}};
        assertArrayEquals(joined, windows.join(Arrays.asList(first, second)));
    }

    @Test
    public void spansCountCharsOfTheText() throws IOException {
        LabelWindows windows = new LabelWindows(tokenizer(), "\ud83d\ude00 京 b", 128, 0);
        float[][] logits = {{0, 0, 0}, {9, 0, 0}, {0, 9, 0}, {0, 0, 9}, {0, 0, 0}};
        List<TextSpan> spans =
                windows.spans(new TagDecoder(TAGS, null), Collections.singletonList(logits));
        assertEquals("[京 b 3-6 loc (0.9998)]", spans.toString());
    }

    @Test
    public void whatDoesNotFitIsRefused() throws IOException {
        WordPieceTokenizer tokenizer = tokenizer();
        assertThrows(
                IllegalArgumentException.class, () -> new LabelWindows(tokenizer, "b", 2, 0));
        assertThrows(
                IllegalArgumentException.class, () -> new LabelWindows(tokenizer, "b", 9, -1));
        LabelWindows windows = new LabelWindows(tokenizer, "b", 9, 0);
        List<float[][]> none = Collections.emptyList();
        assertThrows(IllegalArgumentException.class, () -> windows.join(none));
        List<float[][]> tooShort = Collections.singletonList(new float[2][3]);
        assertThrows(IllegalArgumentException.class, () -> windows.join(tooShort));
    }
}
