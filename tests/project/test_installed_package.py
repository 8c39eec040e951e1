"""The wheel, installed outside the clone: its data files, console command and predictions."""

import email
import glob
import os
import re
import shutil
import signal
import site
import subprocess
import sys
import venv
import zipfile

from packaging import requirements, specifiers
import pytest

import small_models
from workspace import ROOT

pytest.importorskip("setuptools", "77", reason="builds wheels by its present settings")

BUILD = "import sys; from setuptools import build_meta; build_meta.build_%s(sys.argv[1])"
BUILT = "pyproject.toml README.md LICENSE NOTICE requirements*.txt"
BUILT += " albert_zh albert_config albert_starter_zh data"
# {folder of data files in the wheel: (source folder in the clone, name patterns)}.
DATA_FILES = {
    "albert_zh/configs": ("albert_config", "*.json"),
    "albert_zh/albert_starter_zh": (
        "albert_starter_zh",
        "README.md *.json *.txt checkpoint *.index *.data-*",
    ),
    "albert_zh/albert_starter_zh/embedding": ("albert_starter_zh/embedding", "*"),
    "albert_zh/data/pairs_sample": ("data/pairs_sample", "test.txt"),
    "albert_zh/data/topics_sample": ("data/topics_sample", "dev.csv test.csv"),
    "albert_zh/common/fonts": ("albert_zh/common/fonts", "*"),
    "albert_zh/inference/web": ("albert_zh/inference/web", "*"),
    "albert_zh/conversion/pytorch": ("albert_zh/conversion/pytorch", "*.py"),
}
EXTRAS = ("convert", "export", "extra", "serve")
PREDICTION = """
import sys
from albert_zh import Predictor, STARTER_MODEL
with Predictor(sys.argv[1]) as predictor:
    print(predictor.predict([("今天", "明天")])[0][0])
from albert_zh.common import package_files
from albert_zh.finetuning import summary
print(STARTER_MODEL)
print(*summary._program("classify"))
print(package_files.installation_of("serve"))
print(*sorted(str(getattr(module, "__file__", "")) for module in sys.modules.values()), sep="\\n")
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Fixture: a copy of the wheel's sources, because a build leaves files in its folder."""
    folder = tmp_path_factory.mktemp("source")
    for pattern in BUILT.split():
        for path in glob.glob(os.path.join(ROOT, pattern)):
            subprocess.run(["cp", "-R", "-P", path, str(folder)], check=True)
    return folder


def built(kind, source, folder):
    """Builds the wheel or sdist of a project in a folder and returns its path."""
    command = [sys.executable, "-c", BUILD % kind, str(folder)]
    done = subprocess.run(command, cwd=str(source), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (path,) = glob.glob(os.path.join(str(folder), "*.*"))
    return path


@pytest.fixture(scope="module")
def wheel(source, tmp_path_factory):
    return built("wheel", source, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def programs(wheel, tmp_path_factory):
    """Fixture: bin folder of a new environment with the wheel and this environment's libraries."""
    folder = str(tmp_path_factory.mktemp("environment"))
    venv.create(folder, with_pip=True, symlinks=True)
    (packages,) = glob.glob(os.path.join(folder, "lib", "python*", "site-packages"))
    with open(os.path.join(packages, "libraries.pth"), "w", encoding="utf-8") as paths:
        paths.write("".join(path + "\n" for path in site.getsitepackages()))
    programs = os.path.join(folder, "bin")
    install = ["-m", "pip", "install", "--quiet", "--no-deps", "--no-index", wheel]
    subprocess.run([os.path.join(programs, "python")] + install, check=True)
    return programs


@pytest.fixture
def users_variables(monkeypatch):
    """Fixture: sets the variables of a user's shell, in which no path leads to the clone."""
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.setenv("PYTHONIOENCODING", "utf-8")


@pytest.fixture
def call(programs, users_variables, tmp_path):
    """Fixture: function that runs a program of the environment in an empty folder."""

    def call(name, *arguments, **settings):
        command = [os.path.join(programs, name)] + list(arguments)
        return subprocess.run(
            command,
            cwd=str(tmp_path),
            capture_output=True,
            encoding="utf-8",
            timeout=300,
            **settings,
        )

    return call


def packed_files(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist() if "dist-info" not in name}


def metadata_of(wheel):
    """The METADATA file of the wheel, parsed as e-mail headers."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith("dist-info/METADATA")]
        return email.message_from_bytes(archive.read(name))


def expected_files():
    """{name in the wheel: path in the clone} of the modules and the data files."""
    found = {
        os.path.relpath(os.path.join(folder, name), ROOT): os.path.join(folder, name)
        for folder, _, names in os.walk(os.path.join(ROOT, "albert_zh"))  # does not follow links
        for name in names
        if name.endswith(".py")
    }
    for packed, (folder, patterns) in DATA_FILES.items():
        for pattern in patterns.split():
            paths = glob.glob(os.path.join(ROOT, folder, pattern))
            assert paths, pattern
            found.update({"%s/%s" % (packed, os.path.basename(path)): path for path in paths})
    return found


def test_wheel_has_modules_and_data_files_and_nothing_else(wheel):
    expected = expected_files()
    assert len(expected) > 120
    packed = packed_files(wheel)
    assert sorted(packed) == sorted(expected)
    for name, path in expected.items():
        with open(path, "rb") as source:
            assert packed[name] == source.read(), name


@pytest.mark.parametrize(
    "version, of_tensorflow, of_numpy",
    [
        ("3.9", "2.15.1", "1.26.4"),
        ("3.10", "2.15.1", "1.26.4"),
        ("3.11", "2.15.1", "1.26.4"),
        ("3.12", "2.21.0", "2.5.5"),
        ("3.13", "2.21.0", "2.5.5"),
    ],
)
def test_metadata_names_one_version_of_each_library(wheel, version, of_tensorflow, of_numpy):
    metadata = metadata_of(wheel)
    assert specifiers.SpecifierSet(metadata["Requires-Python"]).contains(version)
    assert "Programming Language :: Python :: " + version in metadata.get_all("Classifier")
    assert set(metadata.get_all("Provides-Extra")) == set(EXTRAS)
    for extra in ("",) + EXTRAS:
        place = {"python_version": version, "sys_platform": "linux", "extra": extra}
        place["platform_machine"] = "x86_64"
        needed = [
            one
            for one in map(requirements.Requirement, metadata.get_all("Requires-Dist"))
            if one.marker is None or one.marker.evaluate(place)
        ]
        names = [one.name for one in needed]
        assert len(set(names)) == len(names)
        wanted = {one.name: str(one.specifier) for one in needed}
        assert wanted["tensorflow"] == "==" + of_tensorflow
        assert wanted["numpy"] == "==" + of_numpy
    assert not specifiers.SpecifierSet(metadata["Requires-Python"]).contains("3.14")


@pytest.mark.slow
def test_wheel_of_the_source_distribution_is_the_same(source, wheel, tmp_path):
    archive = built("sdist", source, tmp_path)
    shutil.unpack_archive(archive, str(tmp_path / "unpacked"))
    (project,) = (tmp_path / "unpacked").iterdir()
    assert packed_files(built("wheel", project, tmp_path / "wheel")) == packed_files(wheel)


@pytest.mark.parametrize("words", [("albert-zh",), ("python", "-m", "albert_zh", "--help")])
def test_commands_are_listed(words, call):
    listed = call(*words)
    assert listed.returncode == 0 and listed.stderr == ""
    usage, commands, model = listed.stdout.split("\n\n")
    assert usage.startswith("usage: albert-zh COMMAND ")
    names = {path[:-3] for path in os.listdir(os.path.join(ROOT, "albert_zh", "commands"))}
    rows = [line.split(None, 1) for line in commands.splitlines()]
    assert {name for name, _ in rows} == {name for name in names if not name.startswith("__")}
    assert model.strip().endswith(os.path.join("site-packages", "albert_zh", "albert_starter_zh"))


def test_unknown_command(call):
    refused = call("albert-zh", "classifier")
    assert refused.returncode == 2 and refused.stdout == ""
    assert refused.stderr.startswith("albert-zh: error: unknown command 'classifier': expected one")
    assert refused.stderr.count("\n") == 1 and " classify, " in refused.stderr


@pytest.mark.slow
@pytest.mark.reference
def test_help_and_mistakes_name_the_console_command(call):
    helped = call("albert-zh", "similarity", "--help")
    assert (
        helped.returncode == 0
        and "\n  --corpus: File to search, one text per line" in helped.stdout
    )
    assert "\n    albert-zh similarity --interactive\n" in helped.stdout
    assert "similarity.py" not in helped.stdout
    refused = call("python", "-m", "albert_zh", "similarity", "--corpora=x")
    assert refused.returncode == 2
    assert refused.stderr.startswith("albert-zh similarity: error: Unknown command line flag")


@pytest.mark.reference
def test_prediction_imports_nothing_of_the_clone(call, tmp_path):
    folder = small_models.write_model(tmp_path / "model", labels=("否", "是"))
    printed = call("python", "-c", PREDICTION, folder)
    assert printed.returncode == 0, printed.stderr
    label, starter, words, installation, *paths = printed.stdout.splitlines()
    assert label in ("否", "是")
    assert os.path.exists(os.path.join(starter, "albert_model.ckpt.index"))
    assert words == "-m albert_zh classify"
    assert installation == 'pip install "albert-zh-toolkit[serve]"'
    ours = [path for path in paths if os.sep + "albert_zh" + os.sep in path]
    assert len(ours) > 20 and all("site-packages" in path for path in ours)
    libraries = tuple(os.path.join(path, "") for path in site.getsitepackages())
    of_clone = [path for path in paths if path.startswith(os.path.join(ROOT, ""))]
    assert [path for path in of_clone if not path.startswith(libraries)] == []


@pytest.mark.slow
@pytest.mark.reference
def test_models_are_found_without_flags(call, tmp_path):
    notes = {"columns": ["text_a", "text_b", "label"]}
    small_models.write_model(tmp_path / "my_output" / "best", settings=notes)
    scored = call("albert-zh", "similarity", "今天", "明天")
    assert scored.returncode == 0 and scored.stdout.startswith("今天\t明天\t0.")
    assert scored.stderr == "model: %s\n" % os.path.join("my_output", "best")


@pytest.mark.slow
def test_outputs_of_the_bundled_model_go_to_the_current_folder(call, tmp_path):
    exported = call("albert-zh", "export_model", "--task=encoder", "--format=frozen")
    assert exported.returncode == 0, exported.stderr
    assert "on 104 texts" in exported.stdout  # 100 of them from the package's data files
    model = re.search(r"^model +(.*) \(brightmart layout\)$", exported.stdout, re.M).group(1)
    assert os.path.join("site-packages", "albert_zh", "albert_starter_zh", "") in model
    assert (tmp_path / "albert_starter_zh" / "albert_encoder.pb").exists()


@pytest.mark.slow
@pytest.mark.reference
def test_ctrl_c_ends_a_command(programs, users_variables, tmp_path):
    folder = small_models.write_model(tmp_path / "model")
    command = [os.path.join(programs, "albert-zh"), "similarity", "--model_dir=" + folder]
    settings = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen(command, cwd=str(tmp_path), encoding="utf-8", **settings) as process:
        process.stdin.write("今天\t明天\n")
        process.stdin.flush()
        assert process.stdout.readline().startswith("今天\t明天\t0.")
        process.send_signal(signal.SIGINT)
        errors = process.stderr.read()
    assert process.returncode == 130
    assert errors.endswith("stopped; it is safe to run the same command again\n")
    assert "Traceback" not in errors


FIRST_PREDICTION = """
import sys
from albert_zh import Predictor
import tensorflow as tf
with Predictor(sys.argv[1]) as predictor:
    print(tf.__version__, predictor.predict([("今天", "明天")])[0][0])
"""


def python_of(version):
    """Path of a Python of that version, as setup.sh finds it, or None."""
    common = os.path.join(ROOT, "scripts", "common.sh")
    find = ["bash", "-c", '. "$0"; find_python "$1"', common, version]
    found = subprocess.run(find, capture_output=True, text=True)
    return found.stdout.strip() if found.returncode == 0 else None


@pytest.mark.slow
@pytest.mark.parametrize(
    "version, of_tensorflow", [("3.9", "2.15"), ("3.11", "2.15"), ("3.13", "2.21")]
)
def test_installs_with_its_dependencies_and_predicts(
    version, of_tensorflow, wheel, users_variables, tmp_path
):
    python = python_of(version)
    if python is None:
        pytest.skip("needs a Python %s" % version)
    folder = tmp_path / "environment"
    subprocess.run([python, "-m", "venv", str(folder)], check=True)
    python = str(folder / "bin" / "python")
    install = [python, "-m", "pip", "install", "--quiet", "--no-compile"]
    if subprocess.run(install + ["six"]).returncode:
        pytest.skip("needs a package index")
    subprocess.run(install + [wheel], check=True)
    subprocess.run([python, "-m", "pip", "check"], check=True)
    model = small_models.write_model(tmp_path / "model", labels=("否", "是"))
    command = [python, "-c", FIRST_PREDICTION, model]
    printed = subprocess.run(
        command, cwd=str(tmp_path), capture_output=True, encoding="utf-8", timeout=300
    )
    assert printed.returncode == 0 and printed.stderr == "", printed.stderr
    tensorflow, label = printed.stdout.split()
    assert tensorflow.startswith(of_tensorflow + ".") and label in ("否", "是")
