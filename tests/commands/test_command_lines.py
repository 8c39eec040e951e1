"""Tests of all commands: flags that name paths, standard streams, --help."""

import contextlib
import itertools
import os
import re
import subprocess
import sys

from absl import flags
import pytest

from albert_zh.common import path_rules
from albert_zh.common.errors import UserError
from albert_zh.finetuning import flags as finetuning_flags
from albert_zh.tasks import datasets
from command_flags import commands, define_flags_of, path_flags
from crossed_cases import with_slow
import isolated_flags
import small_models
from workspace import ROOT

STARTER = os.path.join(ROOT, "albert_starter_zh")
# Flags with text values that name neither files nor folders.
NO_PATHS = set(
    "albert_config_file albert_hub_module_handle beam_options best_metric damage data_url "
    "datasets devices encoding experiments forced_chars format gcp_project granularities "
    "granularity host label_column label_separator labels layers losses master matryoshka "
    "mining_ranks models objectives option_datasets output_node_names parts precision pythons "
    "query question search_rates search_weights seeds seq_length sets sizes speed_of starts "
    "task_name tasks teacher_seeds teacher_temperatures teacher_weights text text_b_column "
    "text_column tpu_name tpu_zone ways".split()
) | {"more_train"}  # names of files, each followed by a weight
# Commands that write files, and the flags that name these files.
WRITERS = {
    "average_models": "output_dir",
    "build_vocab": "output",
    "convert_albert_pytorch_checkpoint_to_tf": "tf_dump_path",
    "convert_albert_tf_checkpoint_to_pytorch": "pytorch_dump_path",
    "create_pretraining_data": "output_file stats",
    "create_pretraining_data_google": "output_file stats",
    "create_teacher_targets": "output_file teacher_cache",
    "data_augmentation": "output_file",
    "export_model": "output",
    "extend_positions": "output_dir",
    "extract_features": "output_file",
    "freeze_graph": "output_graph",
    "general_distill": "export_dir output_dir",
    "inspect_checkpoint": "output_dir",
    "run_classifier": "cached_dir export_dir output_dir teacher_cache",
    "run_classifier_clue": "cached_dir export_dir output_dir teacher_cache",
    "run_classifier_multiclass": "cached_dir export_dir output_dir teacher_cache",
    "run_classifier_ner": "cached_dir export_dir output_dir teacher_cache",
    "run_classifier_sp_google": "cached_dir export_dir output_dir teacher_cache",
    "run_pretraining": "output_dir export_dir",
    "run_pretraining_google": "output_dir export_dir",
    "run_pretraining_google_fast": "output_dir export_dir",
    "run_reading_comprehension": "cached_dir export_dir output_dir teacher_cache",
    "run_sentence_embedding": "cached_dir export_dir output_dir teacher_cache",
    "run_seq2seq": "cached_dir export_dir output_dir teacher_cache",
    "run_seq_labelling": "cached_dir export_dir output_dir teacher_cache",
    "run_squad": "cached_dir export_dir output_dir teacher_cache",
    "squad_evaluate": "out_file",
    "scripts/check_student": "cached_dir export_dir output_dir teacher_cache",
    "scripts/compare_distilled": "output_dir",
    "task_distill": "cache_dir cached_dir export_dir output_dir teacher_cache",
    "scripts/pack_model": "output_dir",
    "scripts/pack_text": "output_file",
    "scripts/pretrain_on_gpu": "output_dir",
    "scripts/split_corpus": "output_dir",
    "scripts/task_texts": "output_file",
    "scripts/title_pairs": "output_file",
    "scripts/train_starter": "out",
    "benchmarks/dialogue_tasks": "output_dir",
    "benchmarks/distillation": "output_dir",
    "benchmarks/distillation_chart": "chart",
    "benchmarks/embedding_results": "output_dir",
    "benchmarks/layer_distillation": "output_dir",
    "benchmarks/multi_label": "output_dir",
    "benchmarks/objectives": "chart output_dir",
    "benchmarks/objectives_on_gpu": "output_dir",
    "benchmarks/results": "output_dir write",
    "benchmarks/slots": "output_dir",
    "benchmarks/versions": "output_dir",
    "data/entities_sample/make_entities": "output_dir",
    "data/pairs_sample/make_pairs": "output_dir",
    "data/questions_sample/make_questions": "output_dir",
    "data/titles_sample/make_titles": "output_dir",
    "resources/create_pretraining_data_roberta": "output_file stats",
}
READERS_ALONE = set(
    "android/make_character_data ask classify cmrc2018_evaluate drcd_evaluate fill_mask "
    "generate inspect_tfrecord label serve similarity test_changes "
    "benchmarks/distillation_speed benchmarks/document_answers benchmarks/generation_speed "
    "benchmarks/labelling_baseline benchmarks/overlap_baseline benchmarks/questions_baseline "
    "benchmarks/start_up benchmarks/topics_baseline".split()
)


INPUTS = (path_rules.FILES, path_rules.DATA, path_rules.MODEL)
OUTPUTS = (path_rules.OUTPUT, path_rules.MODEL_OUTPUT)


def test_every_command_has_a_row():
    assert set(commands()) == set(WRITERS) | READERS_ALONE


@pytest.mark.parametrize("command", commands())
def test_every_flag_of_text_is_known_to_name_a_path_or_none(command):
    with isolated_flags.flags_of([], define_flags_of(command)):
        texts = {
            name
            for module, defined in flags.FLAGS.flags_by_module_dict().items()
            if not module.startswith("absl")
            for name in (flag.name for flag in defined)
            if flags.FLAGS[name].flag_type() in ("string", "comma separated list of strings")
        }
    assert not texts - set(path_rules.PATH_FLAGS) - NO_PATHS
    assert path_flags(command, *OUTPUTS) == sorted(WRITERS.get(command, "").split())


_MODEL_CONVERSION = "bert_config_file config_file vocab_file"
_DATA_CREATION = "input_file output_file vocab_file stats"
# The flags for which commands accept paths in remote storage.
_PRETRAINING = (
    "bert_config_file config_file eval_file export_dir init_checkpoint input_file output_dir "
    "vocab_file"
)
_CLASSIFICATION = (
    "bert_config_file config_file cached_dir class_weights data_dir export_dir init_checkpoint "
    "output_dir spm_model_file teacher_cache teachers unlabelled_file vocab_file"
)
_LABELLING = _CLASSIFICATION.replace("class_weights ", "")
_READING = _LABELLING + " train_file dev_file predict_file"
SERVED = {
    "run_classifier": _CLASSIFICATION,
    "run_classifier_clue": _CLASSIFICATION,
    "run_classifier_multiclass": _CLASSIFICATION,
    "run_classifier_ner": _LABELLING,
    "run_classifier_sp_google": _CLASSIFICATION,
    "scripts/check_student": _CLASSIFICATION,
    "run_reading_comprehension": _READING,
    "run_seq2seq": _READING,
    "run_seq_labelling": _LABELLING,
    "run_squad": _READING,
    "run_sentence_embedding": _READING + " corpus_file",
    "run_pretraining": _PRETRAINING,
    "run_pretraining_google": _PRETRAINING,
    "run_pretraining_google_fast": _PRETRAINING,
    "general_distill": _PRETRAINING,
    "create_pretraining_data": _DATA_CREATION,
    "create_pretraining_data_google": _DATA_CREATION,
    "resources/create_pretraining_data_roberta": _DATA_CREATION,
    "convert_albert_pytorch_checkpoint_to_tf": "pytorch_model_path tf_dump_path "
    + _MODEL_CONVERSION,
    "convert_albert_tf_checkpoint_to_pytorch": "tf_checkpoint_path pytorch_dump_path "
    + _MODEL_CONVERSION,
    "export_model": "model_dir output representative_texts bert_config_file config_file",
    "freeze_graph": "input_checkpoint output_graph input_meta_graph",
    "inspect_checkpoint": "output_dir bert_config_file config_file",
    "inspect_tfrecord": "vocab_file",
    "ask": "context documents model_dir",
    "average_models": "model_dirs output_dir",
    "build_vocab": "corpus forced_chars_file output report vocab_file",
    "classify": "input_file model_dir",
    "extend_positions": "model_dir output_dir",
    "extract_features": "bert_config_file config_file init_checkpoint input_file model_dir "
    "output_file vocab_file",
    "fill_mask": "bert_config_file config_file model_dir vocab_file",
    "generate": "input_file model_dir",
    "label": "input_file model_dir",
    "serve": "corpus embedding_dir generator_dir model_dir",
    "similarity": "corpus dev_file encoder_dir model_dir pairs queries",
    "squad_evaluate": "na-prob-file na_prob_file out_file",
}


@pytest.mark.parametrize("command", commands())
def test_remote_storage_is_served_or_refused_at_every_flag(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names, served = path_flags(command), SERVED.get(command, "").split()
    assert set(served) <= set(names)
    with isolated_flags.defined(define_flags_of(command)):
        for flag in names:
            argument = "--%s=gs://bucket/folder/x" % flag
            if flag in served:
                with isolated_flags.parsed([argument]):
                    continue
            with pytest.raises(UserError) as caught, isolated_flags.parsed([argument]):
                pass
            shown = argument.replace("--config_file", "--bert_config_file")  # the flag's alias
            assert str(caught.value).startswith((argument, shown))
            assert "gs://bucket/folder/x: remote storage is not supported" in str(caught.value)
            assert "\n" not in str(caught.value)
    assert os.listdir(str(tmp_path)) == []


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Creates a file, a folder of data and a model folder to use as inputs."""
    folder = tmp_path_factory.mktemp("sources")
    (folder / "file").write_text("今天天气很好。\n")
    (folder / "data").mkdir()
    (folder / "data" / "train.txt").write_text("好\t坏\t0\n")
    small_models.write_model(str(folder / "model"))
    return folder


def content_of(folder):
    """Returns {path: bytes} of all files below a folder."""
    return {
        os.path.join(place, name): open(os.path.join(place, name), "rb").read()  # noqa: SIM115
        for place, _, names in os.walk(str(folder))
        for name in names
    }


@pytest.mark.parametrize("command", sorted(WRITERS))
def test_no_input_is_written_over(command, sources, tmp_path):
    """Each output flag names each input: by the same path, by a link and by a hard link."""
    before = content_of(sources)
    names = {path_rules.FILES: ["file"], path_rules.DATA: ["data"], path_rules.MODEL: ["model"]}
    names[path_rules.MODEL] += ["model/vocab.txt", "model/checkpoint", "model/albert_model.ckpt"]
    inputs, outputs = path_flags(command, *INPUTS), path_flags(command, *OUTPUTS)
    cases = [(flag, name) for flag in inputs for name in names[path_rules.PATH_FLAGS[flag]]]
    with isolated_flags.defined(define_flags_of(command)):
        for count, (source, name) in enumerate(cases):
            path = str(sources / name)
            of_model = path_rules.PATH_FLAGS[source] == path_rules.MODEL
            given = str(sources / "model") if of_model else path
            for output, spelling in itertools.product(outputs, spellings(path, tmp_path, count)):
                arguments = ["--%s=%s" % (source, given), "--%s=%s" % (output, spelling)]
                with pytest.raises(
                    UserError, match="is an input too"
                ) as caught, isolated_flags.parsed(arguments):
                    pass
                assert "\n" not in str(caught.value)
    assert content_of(sources) == before


@pytest.mark.parametrize("command", sorted(WRITERS))
def test_no_file_of_a_model_is_written_over(command, sources):
    """Of a model that the command does not read."""
    before = content_of(sources)
    names = ["vocab.txt", "checkpoint", "albert_config.json"]
    names += ["albert_model.ckpt.index", "albert_model.ckpt.data-00000-of-00001"]
    with isolated_flags.defined(define_flags_of(command)):
        for output in path_flags(command, path_rules.OUTPUT):
            for name in names:
                arguments = ["--%s=%s" % (output, sources / "model" / name)]
                expected = r"%s: this is a file of the model .* \(weights: albert_model" % name
                with pytest.raises(UserError, match=expected) as caught, isolated_flags.parsed(
                    arguments
                ):
                    pass
                assert "\n" not in str(caught.value)
    assert content_of(sources) == before


def test_reports_beside_a_model_are_written_again(sources):
    """As are model files in a folder without weights, such as a vocabulary that is built again."""
    names = ["report.json", "features.npy", "texts.txt"]
    paths = [sources / "model" / name for name in names] + [sources / "data" / "vocab.txt"]
    accepted = []
    with isolated_flags.defined(define_flags_of("extract_features")):
        for path in paths:
            path.write_text("{}")
            with isolated_flags.parsed(["--output_file=%s" % path]):
                accepted.append(path)
    assert accepted == paths


def spellings(path, folder, count):
    """Returns spellings of a path: as it is, with a dot in it, and as links numbered by `count`."""
    links = [(os.symlink, "link")] + [(os.link, "hard")] * os.path.isfile(path)
    found = [path, os.path.join(os.path.dirname(path), ".", os.path.basename(path))]
    for make, kind in links:
        found.append(str(folder / ("%s%d" % (kind, count))))
        make(path, found[-1])
    return found


# Inputs that the flags alone do not show: found by patterns, folders, arguments or defaults.
FOUND_LATER = [
    ("build_vocab.py --corpus={0}/* --output={0}/file", "file"),
    ("create_pretraining_data.py --input_file={0} --vocab_file={1} --output_file={0}/file", "file"),
    ("inspect_checkpoint.py {0}/model --drop_optimizer --output_dir={0}/model", "own folder"),
    ("scripts/split_corpus.py --input_file={0} --output_dir={0}", "train.txt"),
    ("freeze_graph.py --input_checkpoint={0}/model/albert_model.ckpt --output_node_names=x "
     "--output_graph={0}/model/albert_model.ckpt.meta", "albert_model.ckpt.meta"),
    ("export_model.py --model_dir={0}/model --format=frozen --output={0}/model/vocab.txt", "vocab"),
    ("similarity.py --model_dir={0}/model --corpus={0}/file --query=x", None),
]  # fmt: skip


@pytest.mark.parametrize("line, named", with_slow(FOUND_LATER, FOUND_LATER[:2] + FOUND_LATER[-1:]))
def test_no_input_that_is_found_later_is_written_over(line, named, tmp_path):
    (tmp_path / "file").write_text("今天天气很好。\n")
    (tmp_path / "train.txt").write_text("我们去公园。\n")
    small_models.write_model(str(tmp_path / "model"))
    if named is None:  # the cache to be written is a link to another input
        (tmp_path / "file.vectors").symlink_to(tmp_path / "model")
    before = content_of(tmp_path)
    words = line.format(tmp_path, os.path.join(STARTER, "vocab.txt")).split()
    done = subprocess.run([sys.executable] + words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    last = done.stderr.strip().split("\n")[-1]
    assert ": error: " in last and (named or "model") in last and "Traceback" not in done.stderr
    assert content_of(tmp_path) == before


@pytest.mark.slow
def test_a_model_that_is_there_does_not_give_way_to_another(tmp_path):
    from albert_zh.commands import convert_albert_pytorch_checkpoint_to_tf as to_tf
    from albert_zh.commands import convert_albert_tf_checkpoint_to_pytorch as to_torch

    source, other = (
        small_models.write_model(str(tmp_path / name), seed=seed)
        for name, seed in (("model", 1), ("other", 2))
    )
    torch = str(tmp_path / "torch")
    for _ in range(2):  # converting the same model again is allowed
        to_torch.convert(os.path.join(source, "albert_model.ckpt"), torch)
    before = content_of(tmp_path)
    weights = os.path.join(torch, "model.safetensors")
    for convert in (
        lambda: to_tf.convert(weights, other),
        lambda: to_torch.convert(os.path.join(other, "albert_model.ckpt"), torch),
    ):
        with pytest.raises(
            UserError, match="contains another model .its .* differs.: name another"
        ):
            convert()
        assert content_of(tmp_path) == before
    to_tf.convert(weights, str(tmp_path / "back"))
    to_tf.convert(weights, str(tmp_path / "back"))


def test_arguments_of_benchmarks_are_checked_alike(tmp_path):
    import argparse

    (tmp_path / "records").write_text("x")
    given = argparse.Namespace(records=str(tmp_path / "records"), chart=str(tmp_path / "records"))
    with pytest.raises(UserError, match="--chart=.*records: it is an input too .--records"):
        path_rules.check_arguments(given)
    path_rules.forget_inputs()


# These scripts take settings from the environment.
@pytest.mark.parametrize(
    "script, name",
    [("create_pretrain_data.sh", name) for name in ("INPUT_FILE", "OUTPUT_FILE", "VOCAB_FILE")]
    + [("create_pretrain_data_batch.sh", name) for name in ("OUTPUT_DIR", "VOCAB_FILE")]
    + [
        ("run_%s.sh" % task, name)
        for task in ["classifier_" + name for name in ("lcqmc", "clue", "multiclass", "distill")]
        + ["sequence_labelling", "reading", "sentence_embedding"]
        for name in ("DATA_DIR", "MODEL_DIR", "OUTPUT_DIR")
    ]
    + [("run_classifier_distill.sh", name) for name in ("TEACHERS", "UNLABELLED")]
    + [
        ("train_starter.sh", name)
        for name in ("CORPUS", "OUT", "EXCLUDE", "VOCAB_FILE", "CONFIG_FILE", "DATA_DIR")
    ],
)
def test_remote_storage_is_refused_by_scripts(script, name, tmp_path):
    given = dict(os.environ, CORPUS="x", OUT="y")
    given[name] = "gs://bucket/x"
    done = subprocess.run(
        ["bash", os.path.join(ROOT, "scripts", script), "x.txt"],
        cwd=str(tmp_path),
        env=given,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    message = "%s: error: %s=gs://bucket/x: remote storage is not supported" % (script, name)
    assert done.stderr.startswith(message) and done.stderr.count("\n") == 1
    assert os.listdir(str(tmp_path)) == []


def python_scripts():
    return ["scripts/check_environment", "scripts/fetch_assets"]


@contextlib.contextmanager
def model_and_texts(folder):
    small_models.write_model(str(folder / "model"))
    (folder / "pairs.txt").write_text("今天\t天气\n")
    (folder / "texts.txt").write_text("今天天气很好\n")
    yield {"model": folder / "model", "pairs": folder / "pairs.txt", "texts": folder / "texts.txt"}


PRINTING = [
    "classify.py --model_dir={model} 今天",
    "similarity.py --model_dir={model} --pairs={pairs}",
    "similarity.py --model_dir={model} 今天 天气",
    "fill_mask.py --model_dir={model} 今天[MASK]气",
    "extract_features.py --model_dir={model} --input_file={texts}",
    "inspect_checkpoint.py {model}",
    "build_vocab.py --report={texts} --vocab_file={model}/vocab.txt",
    "scripts/fetch_assets.py --list",
    "scripts/check_environment.py 0.1",
]


@pytest.mark.slow
@pytest.mark.parametrize("command", commands() + python_scripts())
def test_help_of_every_command(command):
    """The status is 0; a full disk is an error, and a closed pipe gives status 141 silently."""
    line = "'%s' %s.py --help" % (sys.executable, os.path.join(ROOT, command))
    for after, status in (
        ("", 0),
        (">/dev/full", 2),
        ("| (exec <&-; sleep 1); exit ${PIPESTATUS[0]}", 141),
        (">&-", 0),
    ):
        check_ending(line, after, status)


@pytest.mark.parametrize(
    "family, names",
    [
        ("sequence_labelling", ["ner", "cws"]),
        ("reading_comprehension", ["questions", "cmrc2018", "drcd"]),
        ("sentence_embedding", ["sentences"]),
        ("generation", ["seq2seq"]),
    ],
)
def test_the_tasks_of_a_command_are_in_its_help(family, names):
    """Regression: commands of other tasks than classification recommended lcqmc and multiclass."""
    options = flags.FlagValues()
    finetuning_flags.define_flags(family, options)
    words = re.findall(r"\w+", options["task_name"].help)
    named = {name for name in datasets.TASKS if name in words}
    of_family = {name for name, task in datasets.TASKS.items() if task.objective == family}
    assert named == set(names) == of_family


@pytest.mark.slow
@pytest.mark.parametrize("line", PRINTING)
def test_output_of_commands_that_print(line, tmp_path):
    with model_and_texts(tmp_path) as names:
        line = "'%s' %s" % (sys.executable, line.format(**names))
        check_ending(line, ">/dev/full", 2)
        check_ending(line, "| (exec <&-; sleep 1); exit ${PIPESTATUS[0]}", 141)


@pytest.mark.slow
def test_interactive_similarity_without_input(tmp_path):
    with model_and_texts(tmp_path) as names:
        line = "'%s' similarity.py --model_dir=%s" % (sys.executable, names["model"])
        for flag in (" --interactive", ""):
            stderr = check_ending(line + flag, "<&-", 2)
            assert "standard input is closed" in stderr


def check_ending(line, after, status):
    done = subprocess.run(
        "%s %s" % (line, after),
        shell=True,
        executable="/bin/bash",
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == status, (line, after, done.stderr)
    errors = [text for text in done.stderr.split("\n") if "error" in text.lower()]
    assert len(errors) == (status == 2) and "Traceback" not in done.stderr
    return done.stderr
