"""docs/migration.md and its Chinese page: what they name exists, and no flag is missing."""

import functools
import glob
import importlib
import os
import re

from absl import flags
import pytest

from albert_zh.commands import create_pretraining_data, run_classifier_sp_google
from albert_zh.finetuning import runner as finetuning_runner
from albert_zh.pretraining import flags as pretraining_flags
from isolated_flags import flags_of
from workspace import ROOT

# Words of each page for an unchanged flag and a flag without default, and section titles.
PAGES = {
    "migration.md": {"same": "the same", "required": "required"},
    "migration_zh.md": {
        "same": "同",
        "required": "必须",
        "Files": "文件",
        "Names": "名字",
        "Outputs": "输出",
    },
}
# Flags and defaults of the original commands; "required" flags have no default, "" is None.
_TPU = "use_tpu=false tpu_name= tpu_zone= gcp_project= master= num_tpu_cores=8 "
_RECORDS = (
    "do_lower_case=true max_predictions_per_seq=20 random_seed=12345 dupe_factor=10 "
    "masked_lm_prob=0.15 short_seq_prob=0.1 non_chinese=false input_file=required "
    "output_file=required "
)
_CLASSIFIER = (
    "data_dir=required task_name=required output_dir=required init_checkpoint= do_lower_case=true "
    "do_train=false do_eval=false do_predict=false train_batch_size=32 eval_batch_size=8 "
    "predict_batch_size=8 learning_rate=5e-5 num_train_epochs=3 warmup_proportion=0.1 "
    "save_checkpoints_steps=1000 iterations_per_loop=1000 keep_checkpoint_max=5 " + _TPU
)
_PRETRAINING = (
    "input_file=required output_dir=required init_checkpoint= max_predictions_per_seq=20 "
    "do_eval=false iterations_per_loop=1000 max_eval_steps=100 " + _TPU
)
ORIGINALS = {
    "create_pretraining_data.py": _RECORDS
    + "vocab_file=required do_whole_word_mask=false max_seq_length=128",
    "create_pretraining_data_google.py": _RECORDS
    + "vocab_file= spm_model_file= do_whole_word_mask=true do_permutation=false "
    "favor_shorter_ngram=false random_next_sentence=false ngram=3 max_seq_length=512",
    "run_pretraining.py": _PRETRAINING
    + "bert_config_file=required max_seq_length=128 do_train=false train_batch_size=32 "
    "eval_batch_size=8 learning_rate=5e-5 num_train_steps=100000 num_warmup_steps=10000 "
    "save_checkpoints_steps=1000 keep_checkpoint_max=20",
    "run_pretraining_google.py": _PRETRAINING
    + "albert_config_file=required export_dir= max_seq_length=512 do_train=true "
    "train_batch_size=4096 eval_batch_size=64 optimizer=lamb learning_rate=0.00176 poly_power=1.0 "
    "num_train_steps=125000 num_warmup_steps=3125 start_warmup_step=0 save_checkpoints_steps=5000 "
    "init_from_group0=false masked_lm_budget=0",
    "run_classifier.py": _CLASSIFIER
    + "bert_config_file=required vocab_file=required max_seq_length=128",
    "run_classifier_sp_google.py": "albert_config_file=required spm_model_file= "
    "use_pooled_output=true max_seq_length=512 train_step=1000 warmup_step=0 optimizer=adamw "
    "cached_dir= export_dir= threshold_to_export= albert_hub_module_handle=",
}
DEFINED_BY = {
    "create_pretraining_data.py": create_pretraining_data.define_flags,
    "create_pretraining_data_google.py": functools.partial(
        create_pretraining_data.define_flags, google=True
    ),
    "run_pretraining.py": pretraining_flags.define_flags,
    "run_pretraining_google.py": pretraining_flags.define_google_flags,
    "run_classifier.py": finetuning_runner.define_flags,
    "run_classifier_sp_google.py": run_classifier_sp_google.define_flags,
}
# Flags whose default differs from the original, as the table explains.
OTHER_DEFAULTS = {
    ("run_pretraining.py", "learning_rate"),
    ("run_pretraining_google.py", "learning_rate"),
    ("run_classifier_sp_google.py", "train_step"),
    ("run_classifier_sp_google.py", "warmup_step"),
}


def text_of(page):
    with open(os.path.join(ROOT, "docs", page), encoding="utf-8") as handle:
        return handle.read()


def tables(page):
    """{title of a section: list of rows (original, here, remark)}."""
    found, title, headers = {}, None, ("|---", "| albert_zh", "| 选项", "| flag")
    for line in text_of(page).splitlines():
        if line.startswith("#"):
            title = line.strip("# ")
        elif line.startswith("|") and not line.startswith(headers):
            found.setdefault(title, []).append([c.strip() for c in line.split("|")[1:-1]])
    return found


def quoted(cell):
    return re.findall(r"`([^`]+)`", cell)


def of_section(page, name):
    name = PAGES[page].get(name, name)
    return next(rows for title, rows in tables(page).items() if title.startswith(name))


NAMES = [row for page in PAGES for row in of_section(page, "Names")]


@pytest.mark.parametrize("page", PAGES)
def test_files_that_it_names_are_here(page):
    for _, here, _ in of_section(page, "Files"):
        assert quoted(here)
        for path in quoted(here):
            assert os.path.exists(os.path.join(ROOT, path)), path


@pytest.mark.parametrize("row", NAMES, ids=lambda row: quoted(row[0])[0])
def test_names_that_it_names_can_be_imported(row):
    assert quoted(row[1])
    for name in quoted(row[1]):
        module, attribute = name.rsplit(".", 1)
        assert hasattr(importlib.import_module(module), attribute), name


@pytest.mark.parametrize("page", PAGES)
def test_outputs_that_it_names_are_written_by_the_code(page):
    sources = ""
    for path in glob.glob(os.path.join(ROOT, "albert_zh", "**", "*.py"), recursive=True):
        with open(path, encoding="utf-8") as source:
            sources += source.read()
    for _, here, _ in of_section(page, "Outputs"):
        for name in quoted(here):
            split = re.sub(r"(train|dev|test)\.tf_record", ".tf_record", name)
            assert split.rstrip("/").replace("TASK", "%s") in sources, name


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("command", list(ORIGINALS))
def test_every_flag_of_the_original_is_in_the_table_and_defined(command, page):
    words = PAGES[page]
    originals = dict(word.split("=") for word in ORIGINALS[command].split())
    rows = {quoted(flag)[0][2:]: row for flag, *row in of_section(page, "`%s`" % command)}
    assert set(rows) == set(originals)
    with flags_of([], DEFINED_BY[command]):
        for name, default in originals.items():
            assert name in flags.FLAGS, name
            in_table, here = rows[name]
            shown = {words["required"]: "required", "–": ""}.get(in_table, in_table)
            assert shown == default, name
            found = flags.FLAGS[name].default
            if default in ("required", ""):
                assert found is None, name
            elif (command, name) in OTHER_DEFAULTS:
                assert found is None and here != words["same"], name
            else:
                is_same = str(found).lower() == default or float(found) == float(default)
                assert is_same, name


@pytest.mark.parametrize("page", PAGES)
def test_flags_that_it_names_are_defined_by_some_command(page):
    named = set(re.findall(r"`--(\w+)", text_of(page)))
    defined = {"ignore_unknown_flags", "list"}  # of every command; of fetch_assets.py
    for define in DEFINED_BY.values():
        with flags_of([], define):
            defined |= set(flags.FLAGS)
    assert named <= defined
