package org.albertzh;

import static org.junit.Assert.assertTrue;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** Reads what tests/support/java_cases.py wrote: folders with a vocabulary and texts with their ids. */
final class Cases {
    private Cases() {}

    /** The folders; the property "cases" names the folder they are in. */
    static List<Path> folders() throws IOException {
        List<Path> folders = new ArrayList<>();
        Path root = Paths.get(System.getProperty("cases"));
        try (DirectoryStream<Path> found = Files.newDirectoryStream(root, Files::isDirectory)) {
            found.forEach(folders::add);
        }
        assertTrue("no cases in " + root, !folders.isEmpty());
        return folders;
    }

    /** The folders that have a file. */
    static List<Path> foldersWith(String name) throws IOException {
        List<Path> folders = folders();
        folders.removeIf(folder -> !Files.exists(folder.resolve(name)));
        return folders;
    }

    static WordPieceTokenizer tokenizer(Path folder, boolean lowerCase) throws IOException {
        try (InputStream stream = Files.newInputStream(folder.resolve("vocab.txt"))) {
            return new WordPieceTokenizer(stream, lowerCase);
        }
    }

    /** The tab-separated cells of a file's lines. */
    static List<String[]> rows(Path file) throws IOException {
        List<String[]> rows = new ArrayList<>();
        for (String line : Files.readAllLines(file, StandardCharsets.US_ASCII)) {
            rows.add(line.split("\t", -1));
        }
        return rows;
    }

    /** A text written as hexadecimal code points. */
    static String text(String codePoints) {
        StringBuilder text = new StringBuilder();
        if (!codePoints.isEmpty()) {
            for (String codePoint : codePoints.split(" ")) {
                text.appendCodePoint(Integer.parseInt(codePoint, 16));
            }
        }
        return text.toString();
    }

    /** Numbers with blanks between them. */
    static int[] integers(String cell) {
        return Arrays.stream(words(cell)).mapToInt(Integer::parseInt).toArray();
    }

    static float[] floats(String cell) {
        String[] words = words(cell);
        float[] numbers = new float[words.length];
        for (int i = 0; i < words.length; i++) {
            numbers[i] = Float.parseFloat(words[i]);
        }
        return numbers;
    }

    /** Numbers in rows of so many. */
    static float[][] matrix(String cell, int width) {
        float[] numbers = floats(cell);
        float[][] matrix = new float[numbers.length / width][];
        for (int i = 0; i < matrix.length; i++) {
            matrix[i] = Arrays.copyOfRange(numbers, i * width, (i + 1) * width);
        }
        return matrix;
    }

    private static String[] words(String cell) {
        return cell.isEmpty() ? new String[0] : cell.split(" ");
    }

    /** Numbers as the cells have them. */
    static String joined(int[] numbers) {
        return Arrays.toString(numbers).replaceAll("[\\[\\],]", "");
    }

    static InputStream stream(String text) {
        return new ByteArrayInputStream(text.getBytes(StandardCharsets.UTF_8));
    }
}
