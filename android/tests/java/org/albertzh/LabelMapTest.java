package org.albertzh;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.io.IOException;
import java.util.Arrays;
import org.junit.Test;

public class LabelMapTest {
    @Test
    public void labelsComeInTheOrderOfTheirNumbers() throws IOException {
        String text = "{\n  \"体育\": 1,\n  \"a\\\"b\\\\c\\u4e2d\\n, 3}\": 0,\n  \"\": 2\n}\n";
        assertEquals(
                Arrays.asList("a\"b\\c中\n, 3}", "体育", ""), LabelMap.read(Cases.stream(text)));
    }

    @Test
    public void wrongFilesAreRefused() {
        String[][] wrongAndMessage = {
            {"体育\n财经\n", "expected {\"label\": number, ...}, found \"体育"},
            {"{\"a\": 0", "at character 1"},
            {"{\"a\": 0} x", "found \"x\""},
            {"{\"a\": 0, \"b\": 0}", "0 to 1, each once, found [0, 0]"},
            {"{\"a\": 1}", "0 to 0, each once, found [1]"},
            {"{\"a\": \"b\"}", "at character 1"},
            {"{\"\\x\": 0}", "found \"\\x\""},
            {"", "at character 0"},
        };
        for (String[] pair : wrongAndMessage) {
            IOException error =
                    assertThrows(IOException.class, () -> LabelMap.read(Cases.stream(pair[0])));
            assertTrue(error.getMessage(), error.getMessage().contains(pair[1]));
        }
    }
}
