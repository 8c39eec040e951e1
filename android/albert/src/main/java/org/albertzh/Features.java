package org.albertzh;

import java.util.Arrays;

/** A row of a model's inputs: [CLS] A [SEP], or [CLS] A [SEP] B [SEP]. */
public final class Features {
    final int[] ids;
    final int[] mask;
    final int[] segmentIds;

    private Features(int length) {
        ids = new int[length];
        mask = new int[length];
        segmentIds = new int[length];
    }

    /**
     * The longest row that a model takes.
     *
     * @param otherwise of a model of dynamic length.
     */
    static int longestRow(TextModel model, int otherwise) {
        return model.sequenceLength() > 0 ? model.sequenceLength() : otherwise;
    }

    /**
     * Texts to a row, as fine-tuning has it; what is too long loses tokens from the end, of a pair
     * the longer text first (the second where both are equally long).
     *
     * @param textB the second text, or null.
     * @param maxLength longest row.
     * @param paddedLength length to pad to, or 0 for none.
     */
    static Features of(
            WordPieceTokenizer tokenizer,
            String textA,
            String textB,
            int maxLength,
            int paddedLength) {
        int[] idsA = tokenizer.encode(textA);
        int[] idsB = textB == null ? new int[0] : tokenizer.encode(textB);
        int room = maxLength - (textB == null ? 2 : 3);
        if (room < 0) {
            throw new IllegalArgumentException("no room for texts in " + maxLength + " tokens");
        }
        int lengthA = idsA.length;
        int lengthB = idsB.length;
        while (lengthA + lengthB > room) {
            if (lengthA > lengthB) {
                lengthA--;
            } else {
                lengthB--;
            }
        }
        idsB = textB == null ? null : Arrays.copyOf(idsB, lengthB);
        return ofIds(tokenizer, Arrays.copyOf(idsA, lengthA), idsB, paddedLength);
    }

    /**
     * Ids of texts to a row.
     *
     * @param idsB of the second text, or null.
     * @param paddedLength length to pad to, or 0 for none.
     */
    static Features ofIds(
            WordPieceTokenizer tokenizer, int[] idsA, int[] idsB, int paddedLength) {
        int startB = idsA.length + 2;
        int length = idsB == null ? startB : startB + idsB.length + 1;
        Features features = new Features(Math.max(length, paddedLength));
        int separator = tokenizer.idOf(WordPieceTokenizer.SEP);
        features.ids[0] = tokenizer.idOf(WordPieceTokenizer.CLS);
        System.arraycopy(idsA, 0, features.ids, 1, idsA.length);
        features.ids[startB - 1] = separator;
        if (idsB != null) {
            System.arraycopy(idsB, 0, features.ids, startB, idsB.length);
            features.ids[length - 1] = separator;
            Arrays.fill(features.segmentIds, startB, length, 1);
        }
        Arrays.fill(features.mask, 0, length, 1);
        return features;
    }

    /** Ids of the tokens; 0 for padding. */
    public int[] ids() {
        return ids.clone();
    }

    /** 1 for a token, 0 for padding. */
    public int[] mask() {
        return mask.clone();
    }

    /** 0 for the first text, 1 for the second. */
    public int[] segmentIds() {
        return segmentIds.clone();
    }
}
