package org.albertzh;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import org.junit.Test;

/** Equal to span_scores.py. */
public class AnswerDecoderTest {
    @Test
    public void answersEqualSpanScoresPy() throws Exception {
        int numCases = 0;
        for (Path folder : Cases.foldersWith("answers.tsv")) {
            for (String[] row : Cases.rows(folder.resolve("answers.tsv"))) {
                check(row);
                numCases++;
            }
        }
        System.out.println("answers: " + numCases + " cases equal");
        assertTrue(numCases > 0);
    }

    /** Cells: text, longest answer, answers, "threshold or -;penalty", windows, expected ... */
    private static void check(String[] row) {
        AnswerDecoder decoder = decoder(row);
        List<AnswerWindow> windows = new ArrayList<>();
        for (String window : row[4].split("[|]")) {
            windows.add(window(window.split(";", -1)));
        }
        List<Answer> answers = decoder.answers(Cases.text(row[0]), windows);
        String[] expected = row[5].isEmpty() ? new String[0] : row[5].split("[|]");
        assertEquals(row[5], expected.length, answers.size());
        for (int i = 0; i < expected.length; i++) {
            String[] cells = expected[i].split(";", -1);
            Answer answer = answers.get(i);
            assertEquals(Cases.text(cells[0]), answer.text());
            assertEquals(Integer.parseInt(cells[1]), answer.begin());
            assertEquals(Integer.parseInt(cells[2]), answer.end());
            assertEquals(Double.parseDouble(cells[3]), answer.score(), 1e-9);
            assertEquals(Double.parseDouble(cells[4]), answer.probability(), 1e-9);
        }
    }

    static AnswerDecoder decoder(String[] row) {
        String[] numbers = row[3].split(";");
        Double threshold = numbers[0].equals("-") ? null : Double.valueOf(numbers[0]);
        return new AnswerDecoder(
                Integer.parseInt(row[1]),
                Integer.parseInt(row[2]),
                threshold,
                Double.parseDouble(numbers[1]));
    }

    static AnswerWindow window(String[] cells) {
        int[] marks = Cases.integers(cells[3]);
        boolean[] isScored = new boolean[marks.length];
        for (int i = 0; i < marks.length; i++) {
            isScored[i] = marks[i] == 1;
        }
        return new AnswerWindow(
                Integer.parseInt(cells[0]),
                Cases.integers(cells[1]),
                Cases.integers(cells[2]),
                isScored,
                Cases.floats(cells[4]),
                Cases.floats(cells[5]));
    }

    @Test
    public void withoutWindowsThereIsNoAnswer() {
        AnswerDecoder decoder = new AnswerDecoder(9, 3, 0.0);
        assertTrue(decoder.answers("", Collections.<AnswerWindow>emptyList()).isEmpty());
    }

    @Test
    public void whatDoesNotFitIsRefused() {
        int[] two = {0, 1};
        boolean[] marks = {true, true};
        assertThrows(
                IllegalArgumentException.class,
                () -> new AnswerWindow(3, two, two, marks, new float[4], new float[5]));
        assertThrows(
                IllegalArgumentException.class,
                () -> new AnswerWindow(3, two, new int[1], marks, new float[5], new float[5]));
    }
}
