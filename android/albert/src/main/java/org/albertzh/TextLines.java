package org.albertzh;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/** Reads small text files as the toolkit's files.py does. */
final class TextLines {
    private static final int BUFFER_SIZE = 1 << 14;

    private TextLines() {}

    /**
     * The lines of a UTF-8 text: split at "\n" only, stripped, without a last empty one.
     *
     * @throws IOException if the stream cannot be read or is not UTF-8.
     */
    static List<String> read(InputStream stream) throws IOException {
        String text = readText(stream);
        List<String> lines = new ArrayList<>();
        int start = 0;
        while (start < text.length()) {
            int end = text.indexOf('\n', start);
            end = end < 0 ? text.length() : end;
            lines.add(Characters.strip(text.substring(start, end)));
            start = end + 1;
        }
        return lines;
    }

    /**
     * A UTF-8 text without its byte-order mark.
     *
     * @throws IOException if the stream cannot be read or is not UTF-8.
     */
    static String readText(InputStream stream) throws IOException {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        byte[] buffer = new byte[BUFFER_SIZE];
        for (int size = stream.read(buffer); size >= 0; size = stream.read(buffer)) {
            bytes.write(buffer, 0, size);
        }
        try {
            ByteBuffer content = ByteBuffer.wrap(bytes.toByteArray());
            String text = StandardCharsets.UTF_8.newDecoder().decode(content).toString();
            return text.startsWith("\ufeff") ? text.substring(1) : text;
        } catch (CharacterCodingException e) {
            throw new IOException("not UTF-8 text: is it a vocabulary or a label map?", e);
        }
    }
}
