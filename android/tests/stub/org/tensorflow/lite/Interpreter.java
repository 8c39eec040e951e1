package org.tensorflow.lite;

import java.lang.reflect.Array;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;

/**
 * Stands in for LiteRT's class of this name in the tests: the methods that the library calls.
 *
 * <p>Its "model" is a text, a line for each tensor: "name type size,size"; INT32 and INT64 are
 * inputs. The first numbers of the outputs are the sums of the inputs, in their order; 100 more in
 * the second output.
 */
public final class Interpreter implements AutoCloseable {
    public static final List<Interpreter> OPENED = new ArrayList<>();

    public final Options options;
    public boolean isClosed;
    private final List<FakeTensor> inputs = new ArrayList<>();
    private final List<FakeTensor> outputs = new ArrayList<>();
    private boolean isAllocated = true;

    /** LiteRT's options. */
    public static class Options {
        public int threads;

        public Options setNumThreads(int numThreads) {
            threads = numThreads;
            return this;
        }
    }

    public Interpreter(ByteBuffer model, Options options) {
        if (!model.isDirect()) {
            throw new IllegalArgumentException("Model ByteBuffer should be a direct buffer");
        }
        for (String line : StandardCharsets.UTF_8.decode(model).toString().split("\n")) {
            FakeTensor tensor = new FakeTensor(line.split(" "));
            (tensor.words[1].matches("INT32|INT64") ? inputs : outputs).add(tensor);
        }
        this.options = options;
        OPENED.add(this);
    }

    public int getInputTensorCount() {
        return inputs.size();
    }

    public Tensor getInputTensor(int index) {
        return inputs.get(index);
    }

    public int getOutputTensorCount() {
        return outputs.size();
    }

    public Tensor getOutputTensor(int index) {
        return outputs.get(index);
    }

    public void resizeInput(int index, int[] shape) {
        inputs.get(index).shape = shape;
        isAllocated = false;
    }

    public void allocateTensors() {
        isAllocated = true;
    }

    public void runForMultipleInputsOutputs(Object[] values, Map<Integer, Object> arrays) {
        if (isClosed || !isAllocated) {
            throw new IllegalStateException("closed, or tensors not allocated");
        }
        for (Map.Entry<Integer, Object> entry : arrays.entrySet()) {
            float[] first = firstRow(entry.getValue(), outputs.get(entry.getKey()).signature);
            for (int i = 0; i < values.length; i++) {
                first[i] = 100 * entry.getKey() + sum((int[][]) values[i], inputs.get(i));
            }
        }
    }

    private static int sum(int[][] rows, FakeTensor input) {
        if (!Arrays.equals(input.shape, new int[] {rows.length, rows[0].length})) {
            throw new IllegalArgumentException(input.name() + " has another shape");
        }
        return Arrays.stream(rows[0]).sum();
    }

    /** The first row of an output of one row of inputs; -1 in the signature is their length. */
    private float[] firstRow(Object array, int[] signature) {
        Object row = array;
        for (int i = 0; i < signature.length; i++) {
            int size = signature[i] < 0 ? inputs.get(0).shape[i] : signature[i];
            if (Array.getLength(row) != size) {
                throw new IllegalArgumentException("an output has another shape");
            }
            row = row instanceof float[] ? row : Array.get(row, 0);
        }
        return (float[]) row;
    }

    @Override
    public void close() {
        isClosed = true;
    }

    private static final class FakeTensor implements Tensor {
        private final String[] words;
        private final int[] signature;
        private int[] shape;

        FakeTensor(String[] words) {
            this.words = words;
            signature = Arrays.stream(words[2].split(",")).mapToInt(Integer::parseInt).toArray();
            shape = Arrays.stream(signature).map(Math::abs).toArray();
        }

        @Override
        public String name() {
            return words[0];
        }

        @Override
        public DataType dataType() {
            return DataType.valueOf(words[1]);
        }

        @Override
        public int[] shape() {
            return shape;
        }

        @Override
        public int[] shapeSignature() {
            return signature;
        }
    }
}
