package org.albertzh;

import java.lang.reflect.Array;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.tensorflow.lite.DataType;
import org.tensorflow.lite.Interpreter;
import org.tensorflow.lite.Tensor;

/**
 * A model that export_model.py wrote with --format=tflite, run by LiteRT.
 *
 * <p>{@link #run} is for classifiers and encoders, {@link #outputs} for models that label or read.
 * For one thread at a time.
 */
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
        float[][] probabilities = new float[1][numClasses];
        run(ids, mask, segmentIds, Collections.<Integer, Object>singletonMap(0, probabilities));
        return probabilities[0];
    }

    /**
     * All outputs of a row of F tokens by their names.
     *
     * @return of a model that labels "logits" [F][K] and "transitions" [K][K], all 0 without a CRF;
     *     of a reader "start_logits" and "end_logits" [1][F].
     * @throws IllegalArgumentException for a row of another length than the model's, or outputs
     *     that are no floats.
     */
    public Map<String, float[][]> outputs(Features row) {
        Map<Integer, Object> arrays = new HashMap<>();
        for (int i = 0; i < interpreter.getOutputTensorCount(); i++) {
            check(interpreter.getOutputTensor(i), DataType.FLOAT32);
            arrays.put(i, emptyOutput(interpreter.getOutputTensor(i), row.ids.length));
        }
        run(row.ids, row.mask, row.segmentIds, arrays);
        Map<String, float[][]> outputs = new HashMap<>();
        for (Map.Entry<Integer, Object> entry : arrays.entrySet()) {
            Object array = entry.getValue();
            boolean isMatrix = array instanceof float[][];
            float[][] rows = isMatrix ? (float[][]) array : ((float[][][]) array)[0];
            outputs.put(plainName(interpreter.getOutputTensor(entry.getKey())), rows);
        }
        return outputs;
    }

    /** An array of an output's shape for one row; a size that is not fixed is the row's length. */
    private static Object emptyOutput(Tensor output, int length) {
        int[] shape = output.shapeSignature().clone();
        for (int i = 0; i < shape.length; i++) {
            shape[i] = shape[i] < 0 ? length : shape[i];
        }
        shape[0] = 1;
        return Array.newInstance(float.class, shape);
    }

    private void run(int[] ids, int[] mask, int[] segmentIds, Map<Integer, Object> outputs) {
        if (ids.length != allocatedLength) {
            resize(ids.length);
        }
        Object[] inputs = new Object[3];
        inputs[idsIndex] = new int[][] {ids};
        inputs[maskIndex] = new int[][] {mask};
        inputs[segmentsIndex] = new int[][] {segmentIds};
        interpreter.runForMultipleInputsOutputs(inputs, outputs);
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
