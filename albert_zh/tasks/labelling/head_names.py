"""The names of the heads, which are the values of --head."""

SOFTMAX, CRF = "softmax", "crf"
GLOBAL_POINTER, EFFICIENT_GLOBAL_POINTER = "global_pointer", "efficient_global_pointer"
SPAN_HEADS = (GLOBAL_POINTER, EFFICIENT_GLOBAL_POINTER)
HEADS = (CRF, SOFTMAX) + SPAN_HEADS
