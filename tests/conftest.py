"""Pytest configuration: the import path, selection and order of tests, shared fixtures."""

import collections
import gc
import os
import sys

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SHARED = os.path.join(ROOT, "..", "shared")
sys.path.insert(0, ROOT)
gc.disable()  # until everything is imported: saves a quarter of the import time

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
# PyTorch's threads wait for one another by spinning: if another test worker is running, a layer of
# a small model takes a hundred times as long.
os.environ.setdefault("OMP_NUM_THREADS", "1")

IS_OLD_PYTHON = sys.version_info < (3, 8)  # only used with TensorFlow 1.15

# The environment of TensorFlow 2.15, the reference, runs everything. The other environments run the
# tests whose outcome may differ there, and the rest only with --slow. The tables list the files
# that they skip: files that do not use TensorFlow (project/test_sources.py tests that the older
# Python can read all files), and commands with the same modules as those that are run end to end.
#
# On 1.15, what remains are the modules that build graphs, and one command.
LEFT_OUT_ON_1_15 = {
    "commands": "build_vocab classify command_lines create_pretraining_data data_augmentation "
    "fill_mask general_distill inspect_checkpoint inspect_tfrecord label "
    "run_classifier_multiclass run_classifier_sp_google run_pretraining run_sentence_embedding "
    "similarity task_distill the_three_changes",
    "common": "config_flag errors validation",
    "conversion": "convert",
    "corpus": "pipeline reader",
    "export": "comparison embedding_exports exported_models formats graph_tokenizer layouts "
    "text_signatures",
    "finetuning": "remote_storage teaching",
    "inference": "*",
    "model": "weight_averages",
    "pretraining": "remote_storage",
    "project": "android deploy doc_snippets entities_sample fetch_assets fine_tuning_benchmark "
    "installed_package migration pairs_sample python_api questions_sample readme "
    "results_benchmark setup sources split_corpus starter_model structure topics_sample "
    "train_starter",
    "tasks": "data_checks dev_split",
    "tasks/reading": "kind",
    "tasks/embedding": "kind text_files",
    "tasks/generation": "kind",
    "tasks/labelling": "labelling_kind",
}
# On 2.21 (run_tests_tf2_21.sh), NumPy, protobuf, scikit-learn, ONNX, LiteRT, SentencePiece, Faiss
# and Python's Unicode tables have other versions, too. One example of each area remains: golden
# values of models, optimizers, objectives and heads, the training engine, a resumed run,
# tokenization, masks and plots, every export format, models in memory, one kind of task from its
# data to its service, the wheel.
LEFT_OUT_ON_2_21 = {
    "commands": "build_vocab classify closed_bucket command_lines create_pretraining_data "
    "data_augmentation fill_mask general_distill google_flags inspect_checkpoint inspect_tfrecord "
    "label reading_evaluation remote_storage run_classifier run_classifier_multiclass "
    "run_classifier_sp_google run_pretraining run_sentence_embedding similarity task_distill "
    "the_three_changes",
    "common": "config_flag errors object_store path_rules progress validation",
    "compatibility": "*",
    "conversion": "convert",
    "corpus": "pipeline reader remote_records",
    "distillation": "*",
    "export": "comparison embedding_exports formats graph_tokenizer layouts onnx_nodes "
    "text_signatures",
    "finetuning": "gradient_accumulation halves recompute remote_storage teaching",
    "inference": "augmentation decoding documents embedding_service generation_service generator "
    "http_service lexical_index marked_text micro_batching negative_mining predictor search "
    "search_choice text_encoder whitening",
    "layer_distillation": "*",
    "model": "albert_config attention_masks checkpoints incremental_decoding packed_weights "
    "position_extension slot_fusion slot_templates weight_averages",
    "pretraining": "input_pipeline learning_rate model_fn remote_storage replaced_tokens unilm",
    "project": "android batch_sizes_benchmark deploy doc_snippets docs_languages embedding_model "
    "entities_sample faq_sample fetch_assets fine_tuning_benchmark migration objectives_benchmarks "
    "objectives_on_gpu pairs_sample python_api questions_sample readme results_benchmark setup "
    "signatures sources split_corpus starter_model structure title_pairs titles_sample "
    "topics_sample train_starter training_costs versions_benchmark",
    "tasks": "data_checks dev_split label_rules reader",
    "tasks/classification": "input_pipeline",
    "tasks/embedding": "kind rows text_files",
    "tasks/generation": "damage kind pair_files raw_texts text_scores",
    "tasks/labelling": "alignment decoding distillation error_analysis features granularity "
    "granularity_kind labelling_kind labelling_readers labelling_scores original_tags "
    "prediction_files tag_schemes",
    "tasks/reading": "answer_scores distillation error_analysis kind original_windows "
    "question_files records scorer windows",
    "tasks/slots": "*",
    "training": "batching multi_worker tpu_finetuning tpu_graphs",
}


def left_out(config):
    """Returns {folder: names of its files, or "*"} of the files that this environment skips."""
    if config.getoption("--slow"):
        return {}
    if IS_OLD_PYTHON:
        return LEFT_OUT_ON_1_15
    return LEFT_OUT_ON_2_21 if config.getoption("--beside-reference") else {}


# Files with a few tests that take many seconds each. They are run first; otherwise one process may
# still be running the last of them while the other has nothing to do.
LONG_FILES = [
    os.path.join(*path.split("/")) + ".py"
    for path in (
        "common/test_object_store "
        "pretraining/test_remote_storage finetuning/test_remote_storage pretraining/test_model_fn "
        "pretraining/test_replaced_tokens commands/test_google_flags commands/test_run_pretraining "
        "tasks/labelling/test_labelling_kind tasks/reading/test_kind tasks/test_task_type "
        "model/test_training_golden compatibility/test_pretraining "
        "compatibility/test_classification project/test_python_api project/test_train_starter"
    ).split()
]


def pytest_addoption(parser):
    parser.addoption(
        "--slow", action="store_true", help="also run end-to-end tests of minutes, and more cases"
    )
    parser.addoption(
        "--beside-reference", action="store_true", help="run what may differ from TensorFlow 2.15"
    )


def pytest_ignore_collect(collection_path, config):
    """Skips the files in `left_out`; a file that is named on the command line is run."""
    folder, name = os.path.split(os.path.relpath(str(collection_path), os.path.dirname(__file__)))
    names = left_out(config).get(folder.replace(os.sep, "/"), "").split()
    is_left_out = name.startswith("test_") and (
        name[len("test_") : -len(".py")] in names or "*" in names
    )
    return True if is_left_out else None


def pytest_collection_modifyitems(config, items):
    tests_of_files = collections.Counter(str(item.fspath) for item in items)
    items.sort(  # files in the order in which processes take them, see --no-loadscope-reorder
        key=lambda item: (
            not str(item.fspath).endswith(tuple(LONG_FILES)),
            -tests_of_files[str(item.fspath)],
        )
    )
    if config.getoption("--slow"):
        return
    reasons = {"slow": "takes long or adds little to another case; run with --slow"}
    beside = ["reference"] if IS_OLD_PYTHON or config.getoption("--beside-reference") else []
    for mark in beside + ["newest"] * IS_OLD_PYTHON:
        reasons[mark] = "as on TensorFlow 2.15; run with --slow"
    for mark, reason in reasons.items():
        for item in items:
            if item.get_closest_marker(mark):  # not in `keywords`, which also has folders
                item.add_marker(pytest.mark.skip(reason=reason))


def pytest_collection_finish():
    """Freezes imported objects for the garbage collector: saves 8 % of the test time."""
    gc.freeze()
    gc.set_threshold(20000, 50, 50)
    gc.enable()


@pytest.fixture(autouse=True)
def _graphs_end_with_their_test():
    """Frees graphs with custom gradients, which TensorFlow would keep: gigabytes in all."""
    if "tensorflow" not in sys.modules:
        yield
        return
    from albert_zh.training import tensorflow_internals

    with tensorflow_internals.gradients_forgotten():
        yield


@pytest.fixture(scope="module", autouse=True)
def _graphs_run_as_they_are_built(request):
    """Disables TensorFlow's graph rewriting in this process: it takes a quarter of the test time.

    Commands in separate processes, modules marked `rewritten_graphs` and --slow keep it.
    """
    is_marked = request.node.get_closest_marker("rewritten_graphs")
    if is_marked or request.config.getoption("--slow") or "tensorflow" not in sys.modules:
        yield
        return
    import tensorflow.compat.v1 as tf

    build = tf.Session.__init__

    def build_without_rewriting(self, target="", graph=None, config=None):
        settings = tf.ConfigProto()
        if config is not None:
            settings.CopyFrom(config)
        settings.graph_options.rewrite_options.disable_meta_optimizer = True
        build(self, target, graph, settings)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(tf.Session, "__init__", build_without_rewriting)
        yield


@pytest.fixture(scope="session")
def shared():
    """Path of the development data next to the checkout; users' machines do not have it."""
    if not os.path.isdir(SHARED):
        pytest.skip("needs ../shared, the developers' data, which is not here")
    return SHARED


@pytest.fixture
def recomputed_chains(monkeypatch):
    """A list to which every recomputed chain that is built appends its number of layers."""
    from albert_zh.model import encoder

    chains = []
    build = encoder.recomputed_chain

    def spy(functions, x):
        chains.append(len(functions))
        return build(functions, x)

    monkeypatch.setattr(encoder, "recomputed_chain", spy)
    return chains
