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

/** Equal to albert_zh/tasks/reading/windows.py. */
public class QuestionWindowsTest {
    private static WordPieceTokenizer tokenizer() throws IOException {
        return new WordPieceTokenizer(Cases.stream("[UNK]\n[CLS]\n[SEP]\na\nb\nc\n"), true);
    }

    @Test
    public void windowsAndAnswersEqualWindowsPy() throws Exception {
        int numCases = 0;
        for (Path folder : Cases.foldersWith("answers.tsv")) {
            WordPieceTokenizer tokenizer = Cases.tokenizer(folder, true);
            for (String[] row : Cases.rows(folder.resolve("answers.tsv"))) {
                check(tokenizer, row);
                numCases++;
            }
        }
        System.out.println("windows: " + numCases + " questions equal");
        assertTrue(numCases > 0);
    }

    /** Cells as of AnswerDecoderTest, then question, lengths, expected rows. */
    private static void check(WordPieceTokenizer tokenizer, String[] row) {
        List<AnswerWindow> expected = new ArrayList<>();
        List<float[]> starts = new ArrayList<>();
        List<float[]> ends = new ArrayList<>();
        for (String cells : row[4].split("[|]")) {
            AnswerWindow window = AnswerDecoderTest.window(cells.split(";", -1));
            expected.add(window);
            starts.add(window.startLogits);
            ends.add(window.endLogits);
        }
        String text = Cases.text(row[0]);
        int[] lengths = Cases.integers(row[7]);
        QuestionWindows made =
                new QuestionWindows(
                        tokenizer, Cases.text(row[6]), text, lengths[0], lengths[1], lengths[2]);
        checkRows(row[8].split("[|]"), made.rows(0));
        checkWindows(expected, made.windows(starts, ends));
        AnswerDecoder decoder = AnswerDecoderTest.decoder(row);
        List<Answer> answers = made.answers(decoder, starts, ends);
        assertEquals(decoder.answers(text, expected).toString(), answers.toString());
        for (Answer answer : answers) {
            int index = answer.indexIn(text);
            assertEquals(answer.text(), text.substring(index, index + answer.text().length()));
        }
    }

    private static void checkRows(String[] expected, List<Features> rows) {
        assertEquals(expected.length, rows.size());
        for (int i = 0; i < expected.length; i++) {
            Features row = rows.get(i);
            assertEquals(
                    expected[i], Cases.joined(row.ids()) + ";" + Cases.joined(row.segmentIds()));
            assertEquals(row.ids().length, Arrays.stream(row.mask()).sum());
        }
    }

    private static void checkWindows(List<AnswerWindow> expected, List<AnswerWindow> windows) {
        for (int i = 0; i < expected.size(); i++) {
            assertEquals(expected.get(i).offset, windows.get(i).offset);
            assertArrayEquals(expected.get(i).begins, windows.get(i).begins);
            assertArrayEquals(expected.get(i).ends, windows.get(i).ends);
            assertArrayEquals(expected.get(i).isScored, windows.get(i).isScored);
        }
    }

    @Test
    public void rowsArePaddedForModelsOfAFixedLength() throws IOException {
        QuestionWindows windows = new QuestionWindows(tokenizer(), "a", "\ud83d\ude00b", 8, 4, 1);
        Features row = windows.rows(8).get(0);
        assertArrayEquals(new int[] {1, 3, 2, 0, 2, 0, 0, 0}, row.ids());
        assertArrayEquals(new int[] {1, 1, 1, 1, 1, 0, 0, 0}, row.mask());
        assertArrayEquals(new int[] {0, 0, 0, 1, 1, 0, 0, 0}, row.segmentIds());
        List<float[]> logits = Collections.singletonList(new float[8]);
        Answer answer = windows.answers(new AnswerDecoder(9, 1, null), logits, logits).get(0);
        assertEquals("\ud83d\ude00b", answer.text());
    }

    @Test
    public void withoutTextThereIsNoRowAndNoAnswer() throws IOException {
        QuestionWindows windows = new QuestionWindows(tokenizer(), "a", " ", 8, 4, 1);
        assertTrue(windows.rows(0).isEmpty());
        List<float[]> none = Collections.emptyList();
        assertTrue(windows.answers(new AnswerDecoder(9, 1, 0.0), none, none).isEmpty());
    }

    @Test
    public void whatDoesNotFitIsRefused() throws IOException {
        WordPieceTokenizer tokenizer = tokenizer();
        int[][] wrongLengths = {{8, 4, 5}, {8, 0, 1}, {8, 4, -1}};
        for (int[] wrong : wrongLengths) {
            assertThrows(
                    IllegalArgumentException.class,
                    () -> new QuestionWindows(tokenizer, "a", "b", wrong[0], wrong[1], wrong[2]));
        }
        QuestionWindows windows = new QuestionWindows(tokenizer, "a", "b", 8, 4, 4);
        List<float[]> none = Collections.emptyList();
        assertThrows(IllegalArgumentException.class, () -> windows.windows(none, none));
    }
}
