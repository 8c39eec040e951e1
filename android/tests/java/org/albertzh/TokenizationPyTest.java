package org.albertzh;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;

import java.nio.file.Path;
import java.util.List;
import org.junit.Test;

/** Equal to tokenization.py and to fine-tuning's features. */
public class TokenizationPyTest {
    @Test
    public void idsEqualTokenizationPy() throws Exception {
        for (Path folder : Cases.folders()) {
            WordPieceTokenizer lowerCased = Cases.tokenizer(folder, true);
            WordPieceTokenizer cased = Cases.tokenizer(folder, false);
            List<String[]> rows = Cases.rows(folder.resolve("texts.tsv"));
            for (String[] row : rows) {
                WordPieceTokenizer tokenizer = row[0].equals("cased") ? cased : lowerCased;
                int[] ids = tokenizer.encode(Cases.text(row[1]));
                assertEquals(folder + ": " + row[0] + " " + row[1], row[2], Cases.joined(ids));
            }
            System.out.println(folder.getFileName() + ": " + rows.size() + " texts equal");
        }
    }

    @Test
    public void offsetsEqualOffsetsPy() throws Exception {
        int numTexts = 0;
        for (Path folder : Cases.foldersWith("offsets.tsv")) {
            WordPieceTokenizer lowerCased = Cases.tokenizer(folder, true);
            WordPieceTokenizer cased = Cases.tokenizer(folder, false);
            for (String[] row : Cases.rows(folder.resolve("offsets.tsv"))) {
                WordPieceTokenizer tokenizer = row[0].equals("cased") ? cased : lowerCased;
                String text = Cases.text(row[1]);
                List<WordPiece> pieces = tokenizer.tokenizeWithOffsets(text);
                int[] ids = pieces.stream().mapToInt(WordPiece::id).toArray();
                int[] begins = pieces.stream().mapToInt(WordPiece::begin).toArray();
                int[] ends = pieces.stream().mapToInt(WordPiece::end).toArray();
                String about = row[0] + " " + row[1];
                assertEquals(about, Cases.joined(tokenizer.encode(text)), Cases.joined(ids));
                assertEquals(about, row[2], Cases.joined(begins));
                assertEquals(about, row[3], Cases.joined(ends));
                numTexts++;
            }
        }
        System.out.println("offsets: " + numTexts + " texts equal");
        assertTrue(numTexts > 0);
    }

    @Test
    public void rowsEqualFineTuning() throws Exception {
        int numRows = 0;
        for (Path folder : Cases.foldersWith("rows.tsv")) {
            Path file = folder.resolve("rows.tsv");
            WordPieceTokenizer tokenizer = Cases.tokenizer(folder, true);
            List<String[]> rows = Cases.rows(file);
            for (String[] row : rows) {
                int length = Integer.parseInt(row[0]);
                String textB = row[2].equals("-") ? null : Cases.text(row[2]);
                Features features =
                        Features.of(tokenizer, Cases.text(row[1]), textB, length, length);
                String about = String.join(" | ", row);
                assertEquals(about, row[3], Cases.joined(features.ids));
                assertEquals(about, row[4], Cases.joined(features.mask));
                assertEquals(about, row[5], Cases.joined(features.segmentIds));
            }
            System.out.println(folder.getFileName() + ": " + rows.size() + " rows equal");
            numRows += rows.size();
        }
        assertTrue(numRows > 0);
    }
}
