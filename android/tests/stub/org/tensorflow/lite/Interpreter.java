package org.tensorflow.lite;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;

/**
 * Stands in for LiteRT's class of this name in the tests: the methods that the library calls.
 *
 * <p>Its "model" is a text, a line for each tensor, the output last: "name type size,size". The
 * output's numbers are the sums of the inputs, in their order.
 */
public final class Interpreter implements AutoCloseable {
    public static final List<Interpreter> OPENED = new ArrayList<>();

    public final Options options;
    public boolean isClosed;
    private final List<FakeTensor> inputs = new ArrayList<>();
    private final FakeTensor output;
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
            inputs.add(new FakeTensor(line.split(" ")));
        }
        this.output = inputs.remove(inputs.size() - 1);
        this.options = options;
        OPENED.add(this);
    }

    public int getInputTensorCount() {
        return inputs.size();
    }

    public Tensor getInputTensor(int index) {
        return inputs.get(index);
    }

    public Tensor getOutputTensor(int index) {
        return index == 0 ? output : null;
    }

    public void resizeInput(int index, int[] shape) {
        inputs.get(index).shape = shape;
        isAllocated = false;
    }

    public void allocateTensors() {
        isAllocated = true;
    }

    public void runForMultipleInputsOutputs(Object[] values, Map<Integer, Object> outputs) {
        if (isClosed || !isAllocated) {
            throw new IllegalStateException("closed, or tensors not allocated");
        }
        float[] sums = ((float[][]) outputs.get(0))[0];
        for (int i = 0; i < values.length; i++) {
            int[][] rows = (int[][]) values[i];
            if (!Arrays.equals(inputs.get(i).shape, new int[] {rows.length, rows[0].length})) {
                throw new IllegalArgumentException("input " + i + " has another shape");
            }
            sums[i] = Arrays.stream(rows[0]).sum();
        }
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
