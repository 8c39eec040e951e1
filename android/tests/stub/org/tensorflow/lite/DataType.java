package org.tensorflow.lite;

/** Stands in for LiteRT's class of this name in the tests. */
public enum DataType {
    FLOAT32,
    INT32,
    INT64,
    INT8
}
