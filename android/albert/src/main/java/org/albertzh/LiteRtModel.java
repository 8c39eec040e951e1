package org.albertzh;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import org.tensorflow.lite.DataType;
import org.tensorflow.lite.Interpreter;
import org.tensorflow.lite.Tensor;

/** A classifier or encoder that export_model.py wrote with --format=tflite, run by LiteRT. */
public final class LiteRtModel implements TextModel {
    private static final String[] ID_NAMES = {"input_ids", "ids"};
    private static final String[] MASK_NAMES = {"input_mask", "mask"};
    private static final String[] SEGMENT_NAMES = {"segment_ids"};
    private static final String SIGNATURE_PREFIX = "serving_default_";

    private final Interpreter interpreter;
    private final int idsIndex;
    private final int maskIndex;
    private final int segmentsIndex;
    private final int sequenceLength;
    private final int numClasses;
    private int allocatedLength;

    /**
     * Opens a model.
     *
     * @param model the .tflite file in a direct or mapped buffer.
     * @param threads number of threads that the model may use.
     * @throws IllegalArgumentException if it is none that export_model.py wrote.
     */
    public LiteRtModel(ByteBuffer model, int threads) {
        interpreter = new Interpreter(model, new Interpreter.Options().setNumThreads(threads));
        try {
            idsIndex = inputIndex(ID_NAMES);
            maskIndex = inputIndex(MASK_NAMES);
            segmentsIndex = inputIndex(SEGMENT_NAMES);
            int[] shape = interpreter.getInputTensor(idsIndex).shapeSignature();
            sequenceLength = Math.max(shape[shape.length - 1], 0);
            allocatedLength = sequenceLength;
            numClasses = numClassesOfOutput();
        } catch (RuntimeException e) {
            interpreter.close();
            throw e;
        }
    }

    @Override
    public int sequenceLength() {
        return sequenceLength;
    }

    @Override
    public int numClasses() {
        return numClasses;
    }

    @Override
    public float[] run(int[] ids, int[] mask, int[] segmentIds) {
        if (ids.length != allocatedLength) {
            resize(ids.length);
        }
        Object[] inputs = new Object[3];
        inputs[idsIndex] = new int[][] {ids};
        inputs[maskIndex] = new int[][] {mask};
        inputs[segmentsIndex] = new int[][] {segmentIds};
        float[][] probabilities = new float[1][numClasses];
        interpreter.runForMultipleInputsOutputs(
                inputs, Collections.<Integer, Object>singletonMap(0, probabilities));
        return probabilities[0];
    }

    @Override
    public void close() {
        interpreter.close();
    }

    private void resize(int length) {
        if (sequenceLength > 0) {
            throw new IllegalArgumentException(
                    "rows of " + length + " tokens, the model takes " + sequenceLength);
        }
        for (int i = 0; i < 3; i++) {
            interpreter.resizeInput(i, new int[] {1, length});
        }
        interpreter.allocateTensors();
        allocatedLength = length;
    }

    /** The number of the input that has one of these names. */
    private int inputIndex(String[] names) {
        List<String> found = new ArrayList<>();
        for (int i = 0; i < interpreter.getInputTensorCount(); i++) {
            found.add(plainName(interpreter.getInputTensor(i)));
        }
        for (String name : names) {
            int index = found.indexOf(name);
            if (index >= 0 && found.size() == 3) {
                check(interpreter.getInputTensor(index), DataType.INT32);
                return index;
            }
        }
        throw new IllegalArgumentException(
                "the model's inputs are " + found + ", expected three with one named "
                        + Arrays.toString(names) + ": export it with export_model.py"
                        + " --format=tflite --task=classifier, or --task=embedding");
    }

    /** A tensor's name as in export_model.py: "serving_default_ids:0" is "ids". */
    private static String plainName(Tensor tensor) {
        String name = tensor.name();
        int colon = name.indexOf(':');
        name = colon < 0 ? name : name.substring(0, colon);
        return name.startsWith(SIGNATURE_PREFIX) ? name.substring(SIGNATURE_PREFIX.length()) : name;
    }

    private int numClassesOfOutput() {
        Tensor output = interpreter.getOutputTensor(0);
        check(output, DataType.FLOAT32);
        int[] shape = output.shape();
        return shape[shape.length - 1];
    }

    private static void check(Tensor tensor, DataType expected) {
        if (tensor.dataType() != expected) {
            throw new IllegalArgumentException(
                    tensor.name() + " is " + tensor.dataType() + ", expected " + expected);
        }
    }
}
