"""ONNX files contain the ONNX operators for LayerNorm and GELU."""

import collections
import itertools
import math

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="needs requirements-export.txt")
onnxruntime = pytest.importorskip("onnxruntime", reason="needs requirements-export.txt")
pytest.importorskip("tf2onnx", reason="needs requirements-export.txt")

from albert_zh.export import common as export_common
from albert_zh.export import comparison as export_comparison
from albert_zh.export import exported_model, onnx_nodes, to_onnx
from crossed_cases import with_slow
import small_models

NUM_LAYERS = 2
LAYOUTS = {
    "brightmart": {},
    "brightmart, pre-LN": {"ln_type": "preln"},
    "google": {"num_hidden_groups": 1, "inner_group_num": 1},
    "google_fast": {"num_hidden_groups": 2, "inner_group_num": 1, "ffn_groups": 4},
    "bert": {"embedding_size": None},
    "nezha": {"embedding_size": None, "use_relative_position": True},
    "electra": {"model_type": "electra", "embedding_size": 8},
    "swish": {"hidden_act": "swish"},
}
TANH, ERF = "tanh", "none"
FORMS = {"electra": ERF, "swish": None}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("layouts")
    return {
        name: small_models.write_model(root / str(number), **config)
        for number, (name, config) in enumerate(sorted(LAYOUTS.items()))
    }


def exported(folder, path, task="classifier", quantize="none", largest=1e-5):
    """Exports a model whose outputs may differ from the checkpoint's by `largest`."""
    model = export_common.read_model(folder, task)
    texts = [("今天天气", "怎么样"), ("", None), ("ab12" * 30, None)]
    examples = export_comparison.Examples(model, task, export_common.session_of, texts)
    limits = export_comparison.Limits(largest=largest, mean=None, equal_labels=None)
    options = exported_model.Options(task, None, quantize, limits, [], False, False)
    comparison = to_onnx.write(model, examples, path, options)
    assert comparison.num_texts == 3 + len(export_comparison.ODD_TEXTS)
    return onnx.load(path)


def counted(proto):
    return collections.Counter(node.op_type for node in proto.graph.node)


def attribute(node, name):
    values = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    value = values.get(name, b"none" if name == "approximate" else None)
    return value.decode() if isinstance(value, bytes) else value


@pytest.mark.parametrize(
    "layout, task",
    with_slow(
        list(itertools.product(sorted(LAYOUTS), ["classifier", "pretraining"])),
        [("electra", "classifier")],
    ),
)
def test_layer_norms_and_gelus_are_nodes(layout, task, folders, tmp_path):
    proto = exported(folders[layout], str(tmp_path / "model.onnx"), task)
    with_head = 1 if task == "pretraining" else 0  # the masked-LM transform has one of each
    norms_before_first_token = 1 if "pre-LN" in layout and task == "classifier" else 0
    counts = counted(proto)
    form = FORMS.get(layout, TANH)
    expected = 2 * NUM_LAYERS + 1 + with_head + norms_before_first_token
    assert counts["LayerNormalization"] == expected
    assert counts["Gelu"] == (NUM_LAYERS + with_head if form else 0)
    nodes = proto.graph.node
    assert {attribute(n, "approximate") for n in nodes if n.op_type == "Gelu"} <= {form}
    norms = [node for node in nodes if node.op_type == "LayerNormalization"]
    epsilons = [attribute(node, "epsilon") for node in norms]
    np.testing.assert_allclose(epsilons, 1e-12, rtol=1e-5)
    assert not {"Reciprocal", "ReduceMean", "Erf", "Sqrt"} & set(counts)
    assert {o.domain: o.version for o in proto.opset_import}[""] == 20
    onnx.checker.check_model(proto, full_check=True)


def test_integers_have_them_too(folders, tmp_path):
    path = str(tmp_path / "model.onnx")
    counts = counted(exported(folders["brightmart"], path, quantize="int8", largest=1.0))
    assert counts["LayerNormalization"] == 2 * NUM_LAYERS + 1 and counts["Gelu"] == NUM_LAYERS
    assert counts["MatMulInteger"] >= 5 * NUM_LAYERS


def gelu_graph(half=0.5, swapped=False, also=()):
    """Returns a model of one GELU (erf) in basic operators; `also` names further outputs."""
    constants = {"half": half, "one": 1.0, "root": math.sqrt(2.0)}

    def node(operator, *names):
        inputs = names[:-1][::-1] if swapped and operator in ("Mul", "Add") else names[:-1]
        return onnx.helper.make_node(operator, inputs, names[-1:])

    nodes = [
        node("Mul", "half", "x", "halved"),
        node("Div", "x", "root", "scaled"),
        node("Erf", "scaled", "erf"),
        node("Add", "one", "erf", "factor"),
        node("Mul", "halved", "factor", "y"),
    ]
    arrays = [
        onnx.numpy_helper.from_array(np.array(value, np.float32), name)
        for name, value in constants.items()
    ]
    kind = onnx.TensorProto.FLOAT
    tensor = onnx.helper.make_tensor_value_info
    outputs = [tensor(name, kind, [None]) for name in ("y",) + also]
    graph = onnx.helper.make_graph(nodes, "gelu", [tensor("x", kind, [None])], outputs, arrays)
    return onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=8
    )


def run(proto):
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, {"x": np.linspace(-4, 4, 41, dtype=np.float32)})


@pytest.mark.parametrize("swapped", [False, True])
def test_operands_may_be_in_either_order(swapped):
    proto = gelu_graph(swapped=swapped)
    expected = [0.5 * x * (1 + math.erf(x / math.sqrt(2))) for x in np.linspace(-4, 4, 41)]
    assert onnx_nodes.use_native_nodes(proto) == {"Gelu": 1}
    assert counted(proto) == {"Gelu": 1} and not proto.graph.initializer
    np.testing.assert_allclose(run(proto)[0], expected, atol=1e-6)


def test_other_numbers_are_no_gelu():
    proto = gelu_graph(half=0.4)
    expected = run(proto)
    assert onnx_nodes.use_native_nodes(proto) == {}
    assert counted(proto)["Erf"] == 1
    np.testing.assert_array_equal(run(proto)[0], expected[0])


def test_what_else_is_needed_stays():
    proto = gelu_graph(also=("erf",))
    expected = run(proto)
    assert onnx_nodes.use_native_nodes(proto) == {"Gelu": 1}
    assert counted(proto) == {"Gelu": 1, "Div": 1, "Erf": 1}
    assert [array.name for array in proto.graph.initializer] == ["root"]
    np.testing.assert_allclose(run(proto)[1], expected[1], atol=1e-6)
