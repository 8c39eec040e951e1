package org.albertzh;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Locale;
import org.junit.Test;

public class WordPieceTokenizerTest {
    private static final String VOCABULARY =
            "[PAD]\n[UNK]\n[CLS]\n[SEP]\n北\n京\n，\n"
                    + "un\n##want\n##ed\nrunn\n##ing\n2\n##0\nσ\n##ς\ni\n";

    private static WordPieceTokenizer tokenizer() throws IOException {
        return new WordPieceTokenizer(Cases.stream(VOCABULARY), true);
    }

    private static List<String> tokens(String text) throws IOException {
        return tokenizer().tokenize(text);
    }

    @Test
    public void wordsBecomePieces() throws IOException {
        assertEquals(
                Arrays.asList("un", "##want", "##ed", "，", "runn", "##ing", "北", "京"),
                tokens("UNwant\u00e9d，runNING北京"));
        assertArrayEquals(new int[] {4, 5, 1, 1}, tokenizer().encode("北 京 x 上"));
    }

    @Test
    public void offsetsCountCharsOfTheTextAsGiven() throws IOException {
        String text = "\ud83d\ude00 UN\0want\u00e9\u0301d， 京\u0301";
        assertEquals(
                "[[UNK] 0-2, un 3-5, ##want 6-10, ##ed 10-13, ， 13-14, 京 15-16]",
                tokenizer().tokenizeWithOffsets(text).toString());
    }

    @Test
    public void nothingIsLeftOfControlCharacters() throws IOException {
        assertEquals(Collections.emptyList(), tokens(""));
        assertEquals(Collections.emptyList(), tokens(" \t\r\n\u3000\0\ufffd\u0007\u200b\u2028"));
    }

    @Test
    public void lowerCaseIsThatOfPythonInEveryLocale() throws IOException {
        Locale before = Locale.getDefault();
        Locale.setDefault(new Locale("tr"));
        try {
            assertEquals(Arrays.asList("i", "i", "σ", "##ς"), tokens("I \u0130 ΣΣ"));
        } finally {
            Locale.setDefault(before);
        }
    }

    @Test
    public void loneSurrogatesAreUnknownAndNeverMeet() throws IOException {
        String emoji = "\ud83d\ude00";
        WordPieceTokenizer tokenizer =
                new WordPieceTokenizer(Cases.stream(VOCABULARY + emoji + "\n"), true);
        assertEquals(Collections.singletonList(emoji), tokenizer.tokenize(emoji));
        assertEquals(Collections.singletonList("[UNK]"), tokenizer.tokenize("\ud83d\0\ude00"));
        assertEquals(Collections.singletonList("[UNK]"), tokenizer.tokenize("\ude00\ud83d"));
    }

    @Test
    public void wordsOfMoreThan200CharactersAreUnknown() throws IOException {
        String zeros = String.join("", Collections.nCopies(199, "0"));
        assertEquals(200, tokens("2" + zeros).size());
        assertEquals(Collections.singletonList("[UNK]"), tokens("20" + zeros));
    }

    @Test
    public void vocabularyLinesEndAtNewlineOnlyAndAreStripped() throws IOException {
        String lines = "\ufeff[UNK]\n[CLS]\r\n [SEP] \n\u2028\na\u2028\n\u001fb\u0085\n\na";
        WordPieceTokenizer tokenizer = new WordPieceTokenizer(Cases.stream(lines), true);
        assertEquals(8, tokenizer.size());
        assertEquals(0, tokenizer.idOf("[UNK]"));
        assertEquals(5, tokenizer.idOf("b"));
        assertEquals("of equal entries the last counts", 7, tokenizer.idOf("a"));
        assertEquals("a", tokenizer.tokenOf(4));
        assertEquals(6, tokenizer.idOf(""));
    }

    @Test
    public void errorsNameWhatIsWrong() throws IOException {
        IOException lacking =
                assertThrows(
                        IOException.class,
                        () -> new WordPieceTokenizer(Cases.stream("[UNK]\n[CLS]\na"), true));
        assertTrue(lacking.getMessage(), lacking.getMessage().contains("3 entries has no [SEP]"));
        byte[] latin = {(byte) 0xe9, '\n'};
        IOException encoding =
                assertThrows(
                        IOException.class,
                        () -> new WordPieceTokenizer(new ByteArrayInputStream(latin), true));
        assertTrue(encoding.getMessage(), encoding.getMessage().contains("not UTF-8"));
        WordPieceTokenizer tokenizer = tokenizer();
        assertThrows(IllegalArgumentException.class, () -> tokenizer.idOf("nihao"));
    }
}
