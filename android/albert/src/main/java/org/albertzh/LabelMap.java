package org.albertzh;

import java.io.IOException;
import java.io.InputStream;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Reads label_map.json, which fine-tuning writes: {"label": number, ...}. */
public final class LabelMap {
    private static final Pattern START = Pattern.compile("\\s*\\{");
    private static final Pattern ENTRY =
            Pattern.compile(
                    "\\s*\"([^\"\\\\]*(?:\\\\.[^\"\\\\]*)*)\"\\s*:\\s*(\\d{1,9})\\s*([,\\}])\\s*");
    private static final Pattern ESCAPE = Pattern.compile("\\\\(u[0-9a-fA-F]{4}|.)");
    private static final String ESCAPED = "\"\\/bfnrt";
    private static final String MEANT = "\"\\/\b\f\n\r\t";

    private LabelMap() {}

    /**
     * The labels in the order of their numbers.
     *
     * @param stream label_map.json; closed by the caller.
     * @throws IOException if it cannot be read, or the numbers are not 0, 1, 2 ...
     */
    public static List<String> read(InputStream stream) throws IOException {
        String text = TextLines.readText(stream);
        Matcher matcher = START.matcher(text);
        if (!matcher.lookingAt()) {
            throw unexpected(text, 0);
        }
        List<String> names = new ArrayList<>();
        List<Integer> numbers = new ArrayList<>();
        int position = matcher.end();
        matcher.usePattern(ENTRY);
        for (boolean isOpen = true; isOpen; position = matcher.end()) {
            matcher.region(position, text.length());
            if (!matcher.lookingAt()) {
                throw unexpected(text, position);
            }
            names.add(unescaped(matcher.group(1)));
            numbers.add(Integer.parseInt(matcher.group(2)));
            isOpen = matcher.group(3).equals(",");
        }
        if (position != text.length()) {
            throw unexpected(text, position);
        }
        return inOrder(names, numbers);
    }

    private static List<String> inOrder(List<String> names, List<Integer> numbers)
            throws IOException {
        String[] labels = new String[names.size()];
        for (int i = 0; i < labels.length; i++) {
            int number = numbers.get(i);
            if (number >= labels.length || labels[number] != null) {
                throw new IOException(
                        "label map: expected the numbers 0 to " + (labels.length - 1)
                                + ", each once, found " + numbers);
            }
            labels[number] = names.get(i);
        }
        return Collections.unmodifiableList(Arrays.asList(labels));
    }

    private static String unescaped(String quoted) throws IOException {
        Matcher matcher = ESCAPE.matcher(quoted);
        StringBuilder text = new StringBuilder();
        int position = 0;
        while (matcher.find()) {
            String escape = matcher.group(1);
            int index = ESCAPED.indexOf(escape);
            if (escape.length() == 1 && index < 0) {
                throw unexpected(quoted, matcher.start());
            }
            text.append(quoted, position, matcher.start());
            text.append(
                    escape.length() == 1
                            ? MEANT.charAt(index)
                            : (char) Integer.parseInt(escape.substring(1), 16));
            position = matcher.end();
        }
        return text.append(quoted, position, quoted.length()).toString();
    }

    private static IOException unexpected(String text, int position) {
        String found = text.substring(position, Math.min(text.length(), position + 20));
        return new IOException(
                "label map: expected {\"label\": number, ...}, found \"" + found
                        + "\" at character " + position);
    }
}
