"""8-bit word tables of ONNX files are stored once; rows and products agree with NumPy's."""

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="needs requirements-export.txt")
onnxruntime = pytest.importorskip("onnxruntime", reason="needs requirements-export.txt")
pytest.importorskip("tf2onnx", reason="needs requirements-export.txt")

from onnx import TensorProto, helper, numpy_helper
from onnxruntime import quantization

from albert_zh.export import common as export_common
from albert_zh.export import comparison as export_comparison
from albert_zh.export import exported_model, onnx_tables, to_onnx
import small_models

ROWS, WIDTH = 50, 8
TABLE = np.random.RandomState(1).normal(size=[ROWS, WIDTH]).astype(np.float32)


def graph_of(tables):
    """Returns a graph that gathers rows of one table twice and multiplies by another table."""
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["rows"], "first"),
        helper.make_node("Gather", ["table", "other_ids"], ["other_rows"], "second"),
        helper.make_node("MatMul", ["vectors", "factor"], ["products"], "product"),
    ]
    inputs = [
        helper.make_tensor_value_info("ids", TensorProto.INT64, [2, 3]),
        helper.make_tensor_value_info("other_ids", TensorProto.INT64, [4]),
        helper.make_tensor_value_info("vectors", TensorProto.FLOAT, [5, WIDTH]),
    ]
    names = ("rows", "other_rows", "products")
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names]
    initializers = [numpy_helper.from_array(array, name) for name, array in tables.items()]
    return helper.make_graph(nodes, "tables", inputs, outputs, initializers)


def quantized(graph, shared, path):
    opset = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), path)
    quantization.quantize_dynamic(
        path,
        path,
        nodes_to_exclude=[name for table in shared for name in table.gathers],
        weight_type=quantization.QuantType.QInt8,
        **to_onnx.QUANTIZED,
    )
    return onnx.load(path)


def test_rows_are_gathered_of_the_integers_of_the_product(tmp_path):
    graph = graph_of({"table": TABLE, "factor": np.ascontiguousarray(TABLE.T)})
    shared = onnx_tables.shared_tables(graph)
    assert shared == [("table", "factor", ["first", "second"])]
    path = str(tmp_path / "tables.onnx")
    proto = quantized(graph, shared, path)
    onnx_tables.store_once(proto.graph, shared)
    onnx.save(proto, path)
    onnx.checker.check_model(path)
    large = [(a.dims, a.data_type) for a in proto.graph.initializer if len(a.dims) == 2]
    assert large == [([ROWS, WIDTH], TensorProto.INT8)]

    ids, other = np.array([[1, 49, 0], [7, 7, 3]]), np.array([2, 2, 48, 5])
    vectors = np.random.RandomState(2).normal(size=[5, WIDTH]).astype(np.float32)
    session = onnxruntime.InferenceSession(path)
    inputs = {"ids": ids, "other_ids": other, "vectors": vectors}
    rows, other_rows, products = session.run(None, inputs)
    half_step = np.abs(TABLE).max(axis=1, keepdims=True) / 64 / 2 * 1.02  # of a row's integer steps
    assert (np.abs(rows - TABLE[ids]) <= half_step[ids]).all()
    assert (np.abs(other_rows - TABLE[other]) <= half_step[other]).all()
    np.testing.assert_allclose(products, vectors @ TABLE.T, atol=0.1)


def test_tables_that_only_look_alike_are_not_shared():
    almost = np.ascontiguousarray(TABLE.T)
    almost[3, 4] += 1e-6
    assert onnx_tables.shared_tables(graph_of({"table": TABLE, "factor": almost})) == []


@pytest.mark.parametrize("config", [{}, {"num_hidden_groups": 1, "inner_group_num": 1}])
def test_the_word_table_of_a_masked_lm_head_is_stored_once(config, tmp_path):
    folder = small_models.write_model(tmp_path / "model", **config)
    model = export_common.read_model(folder, "pretraining")
    texts = [("今天天气", None)]
    examples = export_comparison.Examples(model, "pretraining", export_common.session_of, texts)
    limits = export_comparison.Limits(largest=1.0, mean=None, equal_labels=None)
    options = exported_model.Options("pretraining", None, "int8", limits, [], False, False)
    path = str(tmp_path / "int8.onnx")
    to_onnx.write(model, examples, path, options)
    size = model.config.vocab_size * model.config.embedding_size
    tables = [a for a in onnx.load(path).graph.initializer if np.prod(a.dims) == size]
    assert [table.data_type for table in tables] == [TensorProto.INT8]
