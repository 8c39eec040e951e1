package org.tensorflow.lite;

/** Stands in for LiteRT's interface of this name in the tests. */
public interface Tensor {
    String name();

    DataType dataType();

    int[] shape();

    int[] shapeSignature();
}
