"""setup.sh and the scripts that call it, with fast stand-ins for Python, pip and uv."""

import functools
import glob
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from crossed_cases import with_slow
from project_root import ROOT

sys.path.insert(0, os.path.join(ROOT, "scripts"))

import check_environment
import relocate_environment

TOOLS = (
    "bash basename cat cmp cp dirname env flock grep mkdir readlink rm sed sleep tail uname".split()
)
COPIED = ("setup.sh", "common.sh", "check_environment.py", "relocate_environment.py")

# Stand-in for Python: does what setup.sh needs and logs the arguments of pip.
PYTHON = """#!/bin/bash
case "$1 $2" in
    "-c "*) echo {version} ;;
    "-m venv")
        mkdir -p "$4/bin" "$4/lib/python{version}/site-packages/pip"
        cp "$0" "$4/bin/python"
        ;;
    "-m pip")
        echo "$*" >>"$STAND_IN_LOG"
        echo "Collecting things"
        sleep "${{DOWNLOAD_SECONDS:-0}}"
        if [[ -n "${{TORCH_FAILS:-}}" && "$*" == *+cpu ]]; then echo "ERROR: no torch"; exit 1; fi
        if [ -n "${{DOWNLOAD_FAILS:-}}" ]; then echo "ERROR: no route to the index"; exit 1; fi
        echo "Installing collected packages: things"
        sleep "${{INSTALL_SECONDS:-0}}"
        ;;
    "-m pytest") echo "$*" ;;
    */"relocate_environment.py "*) exec "$REAL_PYTHON" "$@" ;;
    */"run_classifier.py --help") echo "$*" >>"$STAND_IN_LOG.compiled"; exit 1 ;;
    *) exit 1 ;;
esac
"""
UV = """#!/bin/bash
echo "uv $*" >>"$STAND_IN_LOG"
for folder; do :; done  # the last argument
case "$1" in venv) mkdir -p "$folder/bin" && cp "$STAND_IN_PYTHON" "$folder/bin/python" ;; esac
"""
BROKEN_SHIM = "#!/bin/bash\necho 'pyenv: python3.11: command not found' >&2\nexit 127\n"


def write_program(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


class Machine:
    """A project in an awkwardly named folder, on a machine with only the programs a test adds."""

    def __init__(self, base):
        self.base = base
        self.project = base / "我的 项目 [1]"
        self.log = base / "log"
        self.log.write_text("")
        for name in COPIED:
            (self.project / "scripts").mkdir(parents=True, exist_ok=True)
            shutil.copy(os.path.join(ROOT, "scripts", name), str(self.project / "scripts"))
        (self.project / "requirements.txt").write_text("tensorflow==2.15.1\n")
        (self.project / "requirements-dev.txt").write_text("# tests\npytest==1\n")
        (base / "tools").mkdir()
        for name in TOOLS:
            if shutil.which(name):
                os.symlink(shutil.which(name), str(base / "tools" / name))
        self.environment = {
            "PATH": "%s:%s" % (base / "bin", base / "tools"),
            "HOME": str(base),
            "STAND_IN_LOG": str(self.log),
            "REAL_PYTHON": sys.executable,
        }

    def add_python(self, name="python3.11", version="3.11", folder="bin"):
        write_program(self.base / folder / name, PYTHON.format(version=version))

    def start(self, *arguments, **environment):
        return subprocess.Popen(
            [shutil.which("bash"), str(self.project / "scripts" / "setup.sh"), *arguments],
            cwd=str(self.base),
            env=dict(self.environment, **environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            universal_newlines=True,
            encoding="utf-8",
            start_new_session=True,
        )

    def setup(self, *arguments, **environment):
        """Runs setup.sh and returns its exit status, stdout and stderr."""
        process = self.start(*arguments, **environment)
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err

    @property
    def installs(self):
        """The arguments of pip and uv, one line per call."""
        return self.log.read_text().splitlines()

    @property
    def venv_python(self):
        return "%s\n" % (self.project / ".venv" / "bin" / "python")


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def test_first_and_second_run(machine):
    machine.add_python()
    status, out, err = machine.setup()
    assert (status, out) == (0, machine.venv_python)
    assert "installing requirements.txt into " in err
    assert [line.split("--no-input")[1] for line in machine.installs] == [
        " --no-compile --disable-pip-version-check -r requirements.txt"
    ]
    compiled = "%s --help\n" % (machine.project / "run_classifier.py")
    assert (machine.base / "log.compiled").read_text() == compiled
    assert machine.setup() == (0, machine.venv_python, "")
    assert len(machine.installs) == 1


def test_more_requirements_are_installed_on_top_once(machine):
    machine.add_python()
    machine.setup()
    for _ in range(2):
        assert machine.setup("requirements-dev.txt")[:2] == (0, machine.venv_python)
    assert len(machine.installs) == 2
    assert machine.installs[1].endswith("-r requirements-dev.txt")


@pytest.fixture
def machine_for_torch(machine):
    if not sys.platform.startswith("linux"):
        pytest.skip("only on Linux is there another torch than the one for the CPU")
    machine.add_python()
    text = "# PyTorch\ntorch==9.8.7 ; python_version >= '3.10'\ntransformers==5\n"
    (machine.project / "requirements-convert.txt").write_text(text)
    return machine


def test_pytorch_is_the_build_for_the_cpu(machine_for_torch):
    index = "https://mirror.example/cpu"
    for _ in range(2):
        setup = machine_for_torch.setup("requirements-convert.txt", CPU_PYTORCH_INDEX=index)
        assert setup[0] == 0
    of_torch, of_all = machine_for_torch.installs
    assert of_torch.endswith(" --no-deps --extra-index-url %s torch==9.8.7+cpu" % index)
    assert of_all.endswith(" -r requirements.txt -r requirements-convert.txt")


def test_without_pytorch_for_the_cpu_the_environment_stays_as_it_was(machine_for_torch):
    machine_for_torch.setup()
    status, out, err = machine_for_torch.setup("requirements-convert.txt", TORCH_FAILS="1")
    assert (status, out) == (2, "")
    assert "ERROR: no torch" in err and "no build of torch==9.8.7 for the CPU" in err
    assert "CPU_PYTORCH_INDEX" in err and "extra-index" not in machine_for_torch.installs[-1]
    assert machine_for_torch.setup() == (0, machine_for_torch.venv_python, "")
    assert len(machine_for_torch.installs) == 2


def test_pytorch_that_is_there_is_kept(machine_for_torch):
    machine_for_torch.setup()
    packages = machine_for_torch.project / ".venv" / "lib" / "python3.11" / "site-packages"
    (packages / "torch-9.8.7.dist-info").mkdir()
    assert machine_for_torch.setup("requirements-convert.txt")[0] == 0
    assert not any("+cpu" in line for line in machine_for_torch.installs)


def test_requirements_for_other_pythons_are_not_asked_for(tmp_path):
    path = tmp_path / "requirements.txt"
    path.write_text("one==1 ; python_version < '3'\ntwo[x]==1 ; python_version > '3'\nThree_3\n")
    sys.path.insert(0, os.path.join(ROOT, "scripts"))
    import check_environment

    assert check_environment.required_names(str(path)) == ["two", "three-3"]


def test_changed_requirements_are_installed_into_the_same_environment(machine):
    machine.add_python()
    machine.setup()
    kept = machine.project / ".venv" / "kept"
    kept.write_text("")
    (machine.project / "requirements.txt").write_text("tensorflow==2.15.1\nnumpy==1.26.4\n")
    assert machine.setup()[0] == 0
    assert len(machine.installs) == 2
    assert kept.exists()


def test_the_lock_does_not_outlive_the_set_up(machine):
    """run_tests_tf1.sh replaces itself with pytest, and the tests call setup.sh again."""
    machine.add_python()
    scripts = machine.project / "scripts"
    (scripts / "go_on.sh").write_text(
        '. "%s/common.sh"\n' % scripts
        + 'ensure_environment "%s/.venv" 3.11 requirements.txt\n' % machine.project
        + "exec bash -c 'bash \"%s/setup.sh\"; exit $?'\n" % scripts
    )
    done = subprocess.run(
        [shutil.which("bash"), str(scripts / "go_on.sh")],
        cwd=str(machine.project),
        env=machine.environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=30,
    )
    assert (done.returncode, done.stdout) == (0, machine.venv_python)
    assert "waiting for it" not in done.stderr


def test_missing_requirements_file(machine):
    machine.add_python()
    status, out, err = machine.setup("nothing.txt")
    assert (status, out) == (2, "")
    assert "nothing.txt: no such requirements file" in err


def test_broken_shims_and_other_versions_are_passed_over(machine):
    write_program(machine.base / "bin" / "python3.11", BROKEN_SHIM)
    machine.add_python("python3", "3.14")
    machine.add_python("python3.10", "3.10", folder="further")
    machine.add_python("python3.9", "3.9")
    machine.environment["PATH"] += ":%s" % (machine.base / "further")
    status, _, err = machine.setup()
    assert status == 0
    assert "with %s" % (machine.base / "further" / "python3.10") in err


@pytest.mark.parametrize("version", ["3.12", "3.13"])
def test_a_machine_with_a_newer_python_alone(machine, version):
    machine.add_python("python3", version)
    assert machine.setup()[:2] == (0, machine.venv_python)
    machine.add_python()
    assert machine.setup() == (0, machine.venv_python, "")  # the existing environment stays


def test_pyenv_version_that_is_not_chosen(machine):
    write_program(machine.base / "bin" / "python3.11", BROKEN_SHIM)
    machine.add_python("python", "3.11", folder=".pyenv/versions/3.11.7/bin")
    assert machine.setup()[:2] == (0, machine.venv_python)


def test_a_machine_without_a_home_folder(machine):
    machine.add_python("python3")
    del machine.environment["HOME"]
    assert machine.setup()[:2] == (0, machine.venv_python)


def test_no_python(machine):
    machine.add_python("python3", "3.14")
    machine.add_python("python", "2.7")
    status, out, err = machine.setup()
    assert (status, out) == (2, "")
    assert "no Python 3.11 or 3.10 or 3.9 or 3.13 or 3.12 with its venv module was found" in err
    assert "apt install python3 python3-venv" in err
    assert not (machine.project / ".venv").exists()


def test_uv_where_there_is_no_python(machine):
    machine.add_python(folder="elsewhere")
    write_program(machine.base / "bin" / "uv", UV)
    stand_in = str(machine.base / "elsewhere" / "python3.11")
    assert machine.setup(STAND_IN_PYTHON=stand_in)[:2] == (0, machine.venv_python)
    assert machine.installs[0].startswith("uv venv")
    assert "--python 3.11" in machine.installs[0]
    assert machine.installs[1].startswith("uv pip install --python ")
    assert machine.setup(STAND_IN_PYTHON=stand_in)[0] == 0
    assert len(machine.installs) == 2


def test_index_that_cannot_be_reached(machine):
    machine.add_python()
    status, out, err = machine.setup(DOWNLOAD_FAILS="1")
    assert (status, out) == (2, "")
    assert "    ERROR: no route to the index" in err
    assert "PIP_INDEX_URL" in err
    assert machine.setup()[:2] == (0, machine.venv_python)


def test_failed_download_of_more_does_not_cost_what_is_there(machine):
    machine.add_python()
    machine.setup()
    assert machine.setup("requirements-dev.txt", DOWNLOAD_FAILS="1")[0] == 2
    assert machine.setup() == (0, machine.venv_python, "")
    assert machine.setup("requirements-dev.txt")[0] == 0
    assert len(machine.installs) == 3


@pytest.mark.parametrize("is_complete", [False, True])
def test_killed_while_installing(machine, is_complete):
    machine.add_python()
    if is_complete:
        machine.setup()
    process = machine.start("requirements-dev.txt", INSTALL_SECONDS="30")
    log, mark = (machine.project / ".venv" / name for name in ("setup.log", "setup.unfinished"))
    wait_until(lambda: mark.exists() and log.exists() and "Installing" in log.read_text())
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    status, out, err = machine.setup()
    assert (status, out) == (0, machine.venv_python)
    assert "is not complete: creating it again" in err
    assert machine.setup() == (0, machine.venv_python, "")


def wait_until(is_true, seconds=20):
    end = time.time() + seconds
    while not is_true():
        assert time.time() < end
        time.sleep(0.02)


def test_interpreter_that_is_gone(machine):
    machine.add_python()
    machine.setup()
    (machine.project / ".venv" / "bin" / "python").unlink()
    assert machine.setup()[:2] == (0, machine.venv_python)
    assert len(machine.installs) == 2


def test_without_another_python_nothing_is_removed(machine):
    machine.add_python()
    machine.setup()
    (machine.project / ".venv" / "bin" / "python").unlink()
    (machine.base / "bin" / "python3.11").unlink()
    status, out, err = machine.setup()
    assert (status, out) == (2, "") and "no Python 3.11 or 3.10" in err
    assert (machine.project / ".venv" / "setup.installed.requirements.txt").exists()


def test_an_environment_is_not_made_with_itself(machine):
    """An unfinished environment is not recreated with its own Python, even if it is active."""
    machine.add_python()
    machine.setup()
    (machine.project / ".venv" / "setup.unfinished").write_text("")
    (machine.project / ".venv" / "setup.installed.requirements.txt").unlink()
    (machine.project / ".venv" / "bin" / "python3.11").symlink_to("python")
    (machine.base / "link").symlink_to(machine.project)
    path = "%s/link/.venv/bin:%s" % (machine.base, machine.environment["PATH"])
    status, out, err = machine.setup(PATH=path)
    assert (status, out) == (0, machine.venv_python)
    assert "creating %s/.venv with %s/bin/python3.11" % (machine.project, machine.base) in err


def make_file(path):
    path.write_text("mine")


def make_foreign_folder(path):
    (path / "bin").mkdir(parents=True)
    (path / "bin" / "mine").write_text("")


def make_dangling_link(path):
    path.symlink_to(path.parent / "none")


@pytest.mark.parametrize("make", [make_file, make_foreign_folder, make_dangling_link])
def test_what_set_up_did_not_make_is_left_alone(machine, make):
    machine.add_python()
    place = machine.project / ".venv"
    make(place)
    status, out, err = machine.setup()
    assert (status, out) == (2, "")
    expected = "%s: is not an environment of this set-up: move it away and run this again" % place
    assert err == "setup.sh: error: %s\n" % expected
    assert place.is_symlink() or place.is_file() or (place / "bin" / "mine").exists()


def test_an_empty_folder_may_be_filled(machine):
    machine.add_python()
    (machine.project / ".venv").mkdir()
    assert machine.setup()[:2] == (0, machine.venv_python)


@pytest.mark.parametrize("tool", ["mkdir", "rm"])
def test_a_place_that_cannot_be_changed(machine, tool):
    machine.add_python()
    if tool == "rm":
        (machine.project / ".venv").mkdir()
    place = machine.project / ".venv"
    refuses = '#!/bin/bash\necho "%s: cannot do: Read-only file system" >&2\nexit 1\n' % tool
    write_program(machine.base / "bin" / tool, refuses)
    status, out, err = machine.setup()
    assert (status, out) == (2, "")
    assert err.splitlines()[-1] == (
        "setup.sh: error: %s: cannot be created (Read-only file system): make its folder "
        "writable, or activate an environment that has the packages of requirements.txt" % place
    )


def test_environment_of_another_version_is_not_touched(machine):
    machine.add_python("python", "3.14", folder=os.path.join("我的 项目 [1]", ".venv", "bin"))
    status, _, err = machine.setup()
    assert status == 2
    assert ".venv has Python 3.14, one of 3.11 3.10 3.9 3.13 3.12 is needed: move it away" in err
    assert os.listdir(os.path.dirname(machine.venv_python)) == ["python"]
    assert machine.installs == []


# ------------------------------------------------------------------ a project that is moved


FOR_SH = "#!/bin/sh\n'''exec' \"%s\" \"$0\" \"$@\"\n' '''\n"
PROGRAM = "import sys\nprint(sys.argv[1:])\n"


def write_environment(folder, place, quoted='"%s"'):
    """Writes programs of an environment as if it had been created at `place`; returns `folder`."""
    files = {
        "activate": "unset VIRTUAL_ENV\nexport VIRTUAL_ENV=%s\n" % (quoted % place),
        "activate.fish": "set -gx VIRTUAL_ENV %s\n" % (quoted % place),
        "pip": "#!%s/bin/python3.11\n" % place + PROGRAM,
        "long": FOR_SH % (place + "/bin/python") + PROGRAM,
        "foreign": "#!/usr/bin/python\n# %s/bin/python\n" % place,
    }
    for name, text in files.items():
        write_program(folder / "bin" / name, text)
    (folder / "bin" / "binary").write_bytes(b"\x7fELF" + place.encode())
    return folder


def contents(folder):
    return {path.name: path.read_bytes() for path in (folder / "bin").iterdir()}


@pytest.mark.parametrize("quoted", ['"%s"', "'%s'", "%s"])
@pytest.mark.parametrize("name", ["new", "b/old", "a b", "it's", "x" * 120])
def test_a_moved_environment_names_its_new_place(tmp_path, name, quoted):
    place = "/b/old"
    folder = write_environment(tmp_path / name, place, quoted)
    (tmp_path / name / "bin" / "python").symlink_to(sys.executable)
    before = contents(folder)
    assert relocate_environment.relocate(str(folder)) == place
    after = contents(folder)
    for unchanged in ("foreign", "binary", "python"):
        assert after[unchanged] == before[unchanged]
    for program, interpreter in (("pip", "python3.11"), ("long", "python")):
        path = "%s/bin/%s" % (folder, interpreter)
        is_plain = len(path) <= 120 and " " not in path
        header = "#!%s\n" % path if is_plain else FOR_SH % path
        assert after[program].decode() == header + PROGRAM
        assert os.access(str(folder / "bin" / program), os.X_OK)
    shown = subprocess.check_output(
        ["bash", "-c", '. "$1/bin/activate"; printf "%s" "$VIRTUAL_ENV"', "-", str(folder)]
    )
    assert shown.decode() == str(folder)
    assert "set -gx VIRTUAL_ENV '" in after["activate.fish"].decode()
    assert relocate_environment.relocate(str(folder)) is None and contents(folder) == after


def test_a_moved_program_runs(tmp_path):
    """It runs by its path, though the interpreter's path has a space, which #! does not allow."""
    folder = write_environment(tmp_path / "a b", "/old")
    (folder / "bin" / "python3.11").symlink_to(sys.executable)
    relocate_environment.relocate(str(folder))
    shown = subprocess.check_output([str(folder / "bin" / "pip"), "x  y"], text=True)
    assert shown == "['x  y']\n"


def test_set_up_follows_a_moved_project(machine):
    machine.add_python()
    machine.setup()
    write_environment(machine.project / ".venv", "%s/.venv" % machine.project)
    assert machine.setup() == (0, machine.venv_python, "")
    old, machine.project = machine.project, machine.base / "moved 项目"
    old.rename(machine.project)
    status, out, err = machine.setup()
    assert (status, out) == (0, machine.venv_python)
    expected = "%s/.venv was created as %s/.venv: its programs now contain the new path\n"
    assert err == expected % (machine.project, old)
    assert str(old) not in (machine.project / ".venv" / "bin" / "pip").read_text()
    assert machine.setup() == (0, machine.venv_python, "")
    assert len(machine.installs) == 1


def test_a_moved_environment_that_cannot_be_written_is_used_all_the_same(machine):
    machine.add_python()
    machine.setup()
    folder = write_environment(machine.project / ".venv", "/old")
    (folder / "bin" / "long.new").mkdir()
    status, out, err = machine.setup()
    assert (status, out) == (0, machine.venv_python)
    assert "long.new: Is a directory: make it writable" in err and err.count("\n") == 1


def test_tflite_convert_of_an_environment_that_was_moved(tmp_path, project):
    active = make_environment(tmp_path / "env", SUITABLE)
    program = "#!/old/bin/python\nimport sys\nprint(sys.argv[1:])\n"
    write_program(active / "bin" / "tflite_convert", program)
    shown = subprocess.check_output(
        [str(project.root / "scripts" / "tflite_convert"), "--output_file=a b"],
        env=dict(project.environment, VIRTUAL_ENV=str(active)),
        text=True,
    )
    assert shown == "['--enable_v1_converter', '--output_file=a b']\n"


@pytest.mark.parametrize(
    "flags", [["--graph_def_file=no.pb"], ["--graph_def_file", "no.pb", "--output_file=x"]]
)
def test_tflite_convert_names_a_file_that_is_not_there(flags, tmp_path):
    done = subprocess.run(
        [os.path.join(ROOT, "scripts", "tflite_convert"), *flags],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "tflite_convert: error: --graph_def_file=no.pb: no such file or directory: "
        "name a model that is there\n"
    )


def test_an_environment_behind_a_link_is_of_its_own_place(machine):
    machine.add_python()
    machine.setup()
    place = machine.project / ".venv"
    elsewhere = machine.base / "elsewhere"
    place.rename(elsewhere)
    place.symlink_to(elsewhere)
    for recorded in (elsewhere, place):
        write_environment(elsewhere, str(recorded))
        before = contents(elsewhere)
        assert machine.setup() == (0, machine.venv_python, "")
        assert contents(elsewhere) == before


@pytest.mark.skipif(shutil.which("flock") is None, reason="needs flock")
def test_two_at_once(machine):
    machine.add_python()
    runs = [machine.start(INSTALL_SECONDS="1") for _ in range(2)]
    results = [run.communicate(timeout=60) for run in runs]
    assert [out for out, _ in results] == [machine.venv_python] * 2
    assert len(machine.installs) == 1
    assert "waiting for it" in results[0][1] + results[1][1]


def make_environment(folder, packages):
    """Creates a virtual environment that claims to contain the packages {name: version}."""
    subprocess.check_call([sys.executable, "-m", "venv", "--without-pip", str(folder)])
    packages_folder = next(folder.glob("lib/python*/site-packages"))
    for name, version in packages.items():
        info = packages_folder / ("%s-%s.dist-info" % (name.replace("-", "_"), version))
        info.mkdir()
        (info / "METADATA").write_text(
            "Metadata-Version: 2.1\nName: %s\nVersion: %s\n" % (name, version)
        )
    return folder


SUITABLE = dict.fromkeys(check_environment.NEEDED_PACKAGES, "1.0")
SUITABLE["tensorflow"] = "2.15.0"


def test_an_active_environment_needs_all_requirements_but_optional_ones():
    names = check_environment.required_names(os.path.join(ROOT, "requirements.txt"))
    optional = {"tensorflow", "tensorflow-addons", "tokenizers", "setuptools", "ai-edge-litert"}
    assert set(names) - optional == set(check_environment.NEEDED_PACKAGES)


@pytest.mark.parametrize("variable", ["VIRTUAL_ENV", "CONDA_PREFIX"])
def test_active_environment_is_used(machine, variable):
    active = make_environment(machine.base / "mein env", SUITABLE)
    result = machine.setup(**{variable: str(active)})
    assert result == (0, "%s\n" % (active / "bin" / "python"), "")
    assert not (machine.project / ".venv").exists()


@pytest.mark.parametrize(
    "change, message",
    [
        ({"tensorflow": "2.17.1"}, "it lacks TensorFlow 2.15 or 2.21 or 1.15 (2.17.1 is there)"),
        ({"tensorflow": None, "jieba": None}, "it lacks TensorFlow 2.15 or 2.21 or 1.15, jieba"),
    ],
)
def test_active_environment_that_does_not_suit(machine, change, message):
    machine.add_python()
    packages = {k: v for k, v in dict(SUITABLE, **change).items() if v}
    active = make_environment(machine.base / "env", packages)
    status, out, err = machine.setup(VIRTUAL_ENV=str(active))
    assert (status, out) == (0, machine.venv_python)
    assert "the active environment %s is not used: %s" % (active, message) in err


def test_active_environment_without_the_tests_packages(machine):
    machine.add_python()
    active = make_environment(machine.base / "env", SUITABLE)
    status, out, err = machine.setup("requirements-dev.txt", VIRTUAL_ENV=str(active))
    assert (status, out) == (0, machine.venv_python)
    assert "it lacks pytest" in err


def test_ctrl_c_while_packages_are_installed_ends_the_test_command(tmp_path):
    for name in ("common.sh", "run_tests.sh"):
        (tmp_path / "scripts").mkdir(exist_ok=True)
        shutil.copy(os.path.join(ROOT, "scripts", name), str(tmp_path / "scripts"))
    python = tmp_path / ".venv" / "bin" / "python"
    set_up = '#!/bin/bash\n[ $# -gt 1 ] || { echo "%s"; exit; }\necho "$*" >>"%s"\nexit 130\n'
    write_program(tmp_path / "scripts" / "setup.sh", set_up % (python, tmp_path / "log"))
    write_program(python, "#!/bin/bash\necho tests\n")
    done = subprocess.run(
        ["bash", str(tmp_path / "scripts" / "run_tests.sh")], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (130, "")
    assert len((tmp_path / "log").read_text().splitlines()) == 1


# ------------------------------------------------------------------ run_tests_tf2_21.sh


EXTRAS = "dev export serve extra convert".split()


def run_tests_of_2_21(machine, *arguments, **environment):
    """Runs run_tests_tf2_21.sh on a machine and returns the finished process."""
    name = "run_tests_tf2_21.sh"
    shutil.copy(os.path.join(ROOT, "scripts", name), str(machine.project / "scripts"))
    for extra in EXTRAS:
        text = "torch==9.8.7\n" if extra == "convert" else "package==1\n"
        (machine.project / ("requirements-%s.txt" % extra)).write_text(text)
    return subprocess.run(
        [shutil.which("bash"), str(machine.project / "scripts" / name), *arguments],
        env=dict(machine.environment, **environment),
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )


@pytest.mark.parametrize("version", ["3.13", "3.12"])
def test_the_tests_of_2_21_have_an_environment_beside_the_first(machine, version):
    machine.add_python()
    machine.setup()
    machine.add_python("python" + version, version)
    done = run_tests_of_2_21(machine, "tests/model", "--slow")
    words = "-m pytest -q -rs --durations=10 --beside-reference tests/model --slow\n"
    assert (done.returncode, done.stdout) == (0, words)
    python = machine.project / ".venv-tf2.21" / "bin" / "python"
    assert subprocess.check_output([str(python), "-c", ""], text=True) == version + "\n"
    names = [" -r requirements-%s.txt" % extra for extra in EXTRAS]
    assert machine.installs[-1].endswith(names[-1])
    of_all = [line for line in machine.installs if " -r requirements.txt" in line][-1]
    assert all(name in of_all for name in names[:-1])


def test_the_tests_of_2_21_run_without_a_pytorch(machine):
    machine.add_python("python3.13", "3.13")
    done = run_tests_of_2_21(machine, "--version", TORCH_FAILS="1")
    words = "-m pytest -q -rs --durations=10 --beside-reference --version\n"
    assert (done.returncode, done.stdout) == (0, words)
    assert done.stderr.endswith("SKIPPED: the tests that need requirements-convert.txt\n")


def test_the_tests_of_2_21_are_skipped_without_a_python_for_them(machine):
    machine.add_python()
    done = run_tests_of_2_21(machine)
    assert (done.returncode, done.stdout, machine.installs) == (0, "", [])
    assert "SKIPPED: the tests on TensorFlow 2.21 need Python 3.13 or 3.12" in done.stderr


def test_the_tests_of_2_21_are_those_of_a_machine_with_nothing_else(machine):
    machine.add_python("python3.12", "3.12")
    machine.setup()
    done = run_tests_of_2_21(machine)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith("SKIPPED: the tests on TensorFlow 2.21 are those of scripts/run_")


# ------------------------------------------------------------------ run_classifier_lcqmc.sh


SHOWS_ARGUMENTS = "import json, os, sys\nprint(json.dumps([os.getcwd()] + sys.argv[1:]))\n"


class Project:
    """A project whose commands print their arguments; a suitable environment is active."""

    def __init__(self, base, environment_folder):
        self.root = base / "项目 a"
        shutil.copytree(os.path.join(ROOT, "scripts"), str(self.root / "scripts"))
        package = self.root / "albert_zh"
        shutil.copytree(os.path.join(ROOT, "albert_zh", "common"), str(package / "common"))
        shutil.copy(os.path.join(ROOT, "albert_zh", "__init__.py"), str(package))
        for name in ("lcqmc", "clue", "multiclass", "distill"):
            script = "run_classifier_%s.sh" % name
            os.symlink("scripts/" + script, str(self.root / script))
        for name in ("", "_clue", "_multiclass"):
            (self.root / ("run_classifier%s.py" % name)).write_text(SHOWS_ARGUMENTS)
        add_model(self.root / "albert_starter_zh")
        add_data(self.root / "data" / "pairs_sample")
        self.environment = {
            "PATH": os.environ["PATH"],
            "VIRTUAL_ENV": str(environment_folder),
            # No server listens on this port.
            "ALBERT_MODELS_URL": "http://127.0.0.1:9/models",
            "ALBERT_LCQMC_URL": "http://127.0.0.1:9/lcqmc",
        }

    def run(self, *arguments, **environment):
        """(status, {flag: value} of run_classifier.py, stderr lines) of run_classifier_lcqmc.sh."""
        status, runs, lines = self.run_all("lcqmc", *arguments, **environment)
        return status, (runs[0] if status == 0 else {}), lines

    def show_arguments_of(self, *names):
        """Replaces scripts with programs that print their arguments."""
        for name in names:
            (self.root / "scripts" / (name + ".py")).write_text(SHOWS_ARGUMENTS)

    def run_all(self, name, *arguments, **environment):
        """Like `run`, for run_classifier_NAME.sh: a dict of flags for each run of its command."""
        cwd = environment.pop("cwd", self.root)
        process = subprocess.Popen(
            ["bash", str(self.root / ("run_classifier_%s.sh" % name)), *arguments],
            cwd=str(cwd),
            env=dict(self.environment, **environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            universal_newlines=True,
            encoding="utf-8",
        )
        out, err = process.communicate(timeout=60)
        runs = []
        for line in out.splitlines() if process.returncode == 0 else ():
            folder, *words = json.loads(line)
            assert folder == str(cwd)
            runs.append(dict(word[2:].split("=", 1) for word in words))
        return process.returncode, runs, err.splitlines()


def add_model(folder, checkpoint=None, config="albert_config_tiny.json"):
    folder.mkdir(parents=True)
    for name in (config, "vocab.txt") + ((checkpoint + ".index",) if checkpoint else ()):
        (folder / name).write_text("x")


def add_data(folder, names=("train", "dev", "test")):
    folder.mkdir(parents=True)
    for name in names:
        (folder / (name + ".txt")).write_text("a\tb\t1\n")


@pytest.fixture(scope="module")
def environment_folder(tmp_path_factory):
    return make_environment(tmp_path_factory.mktemp("active") / "env", SUITABLE)


@pytest.fixture
def project(tmp_path, environment_folder):
    return Project(tmp_path, environment_folder)


def test_original_settings_and_fallbacks(project):
    status, flags, lines = project.run()
    assert status == 0
    assert flags == {
        "task_name": "lcqmc",
        "do_train": "true",
        "do_eval": "true",
        "do_predict": "true",
        "data_dir": "data/pairs_sample",
        "vocab_file": "albert_starter_zh/vocab.txt",
        "bert_config_file": "albert_starter_zh/albert_config_tiny.json",
        "max_seq_length": "128",
        "train_batch_size": "64",
        "learning_rate": "1e-4",
        "num_train_epochs": "5",
        "output_dir": "lcqmc_output",
    }
    assert lines == [
        "http://127.0.0.1:9/models/albert_tiny_489k.zip: cannot be reached: Connection refused: "
        "using the model albert_starter_zh instead",
        "http://127.0.0.1:9/lcqmc/train.txt: cannot be reached: Connection refused: "
        "using the small sample data/pairs_sample instead",
    ]


def test_offline(project):
    status, _, lines = project.run(ALBERT_OFFLINE="1")
    assert status == 0
    assert [line.split(": ")[1] for line in lines] == [
        "not downloaded, as ALBERT_OFFLINE is set"
    ] * 2


def test_what_is_there_is_used(project):
    add_model(project.root / "prev_trained_model" / "albert_tiny_zh", "albert_model.ckpt")
    add_data(project.root / "chineseGLUEdatasets" / "lcqmc")
    status, flags, lines = project.run()
    assert (status, lines) == (0, [])
    assert flags["init_checkpoint"] == "prev_trained_model/albert_tiny_zh"
    assert flags["vocab_file"] == "prev_trained_model/albert_tiny_zh/vocab.txt"
    assert flags["data_dir"] == "chineseGLUEdatasets/lcqmc"


def test_the_bundled_model_is_trained_from_its_weights(project):
    (project.root / "albert_starter_zh" / "albert_model.ckpt.index").write_text("x")
    status, flags, lines = project.run(ALBERT_OFFLINE="1")
    assert status == 0
    assert lines[0].endswith("using the model albert_starter_zh instead")
    assert flags["init_checkpoint"] == "albert_starter_zh"
    assert flags["vocab_file"] == "albert_starter_zh/vocab.txt"
    assert flags["bert_config_file"] == "albert_starter_zh/albert_config_tiny.json"


@pytest.mark.parametrize("name", ["albert_model.ckpt.data-00000-of-00001", "pytorch_model.bin"])
def test_weights_that_cannot_be_loaded_are_not_passed_over(project, tmp_path, name):
    """run_classifier.py reports the error; only a folder without weights gets random weights."""
    add_model(tmp_path / "mine")
    (tmp_path / "mine" / name).write_text("")
    _, flags, _ = project.run(MODEL_DIR=str(tmp_path / "mine"))
    assert flags["init_checkpoint"] == str(tmp_path / "mine")


def test_own_model_data_settings_and_flags_from_another_folder(project, tmp_path):
    add_model(tmp_path / "m 1", "bert_model.ckpt", "bert_config.json")
    add_data(tmp_path / "数据")
    status, flags, lines = project.run(
        "--seed=3",
        "--learning_rate=1e-3",
        cwd=tmp_path,
        MODEL_DIR="m 1",
        DATA_DIR="数据",
        OUTPUT_DIR="out 1",
        EPOCHS="1",
        BATCH_SIZE="8",
        MAX_SEQ_LENGTH="32",
        SEED="1",
    )
    assert (status, lines) == (0, [])
    assert flags["init_checkpoint"] == "m 1"
    assert flags["bert_config_file"] == "m 1/bert_config.json"
    assert flags["data_dir"] == "数据"
    assert flags["output_dir"] == "out 1"
    assert flags["num_train_epochs"] == "1"
    assert flags["train_batch_size"] == "8"
    assert flags["max_seq_length"] == "32"
    # The later of two flags wins, as in absl.
    assert (flags["seed"], flags["learning_rate"]) == ("3", "1e-3")


def test_a_sentencepiece_model_is_a_vocabulary(project, tmp_path):
    add_model(tmp_path / "mine", "albert_model.ckpt")
    (tmp_path / "mine" / "vocab.txt").rename(tmp_path / "mine" / "spiece.model")
    status, flags, _ = project.run(MODEL_DIR=str(tmp_path / "mine"), ALBERT_OFFLINE="1")
    assert status == 0
    assert flags["vocab_file"] == str(tmp_path / "mine" / "spiece.model")


def test_output_goes_to_the_project_by_default(project, tmp_path):
    flags = project.run(cwd=tmp_path, ALBERT_OFFLINE="1")[1]
    assert flags["output_dir"] == "项目 a/lcqmc_output"


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"MODEL_DIR": "nowhere"}, "MODEL_DIR: nowhere: no such folder"),
        ({"MODEL_DIR": "data"}, "MODEL_DIR: data lacks vocab.txt or albert_config*.json"),
        ({"DATA_DIR": "half"}, "DATA_DIR: half lacks dev.txt test.txt"),
        ({"DATA_DIR": "nowhere"}, "DATA_DIR: nowhere: no such folder"),
    ],
)
def test_own_folder_that_lacks_files_is_an_error(project, settings, message):
    add_data(project.root / "half", ["train"])
    status, _, lines = project.run(**settings)
    assert status == 2
    assert len(lines) == 1 and message in lines[0]  # before anything is downloaded


@pytest.mark.parametrize("setting", ["DATA_DIR", "MODEL_DIR"])
@pytest.mark.parametrize(
    "path", glob.glob(os.path.join(ROOT, "run_*.sh")), ids=lambda path: os.path.basename(path)
)
def test_a_mistyped_folder_is_told_before_the_set_up(tmp_path, path, setting):
    task = ["tnews"] if "clue" in path else []
    no_python = {"VIRTUAL_ENV": str(tmp_path), "PATH": os.environ["PATH"], setting: "nowhere"}
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").write_text("#!/bin/sh\necho set-up >&2\nexit 1\n")
    (tmp_path / "bin" / "python").chmod(0o755)
    done = subprocess.run(
        ["bash", path, *task], env=dict(no_python, ALBERT_OFFLINE="1"), capture_output=True
    )
    shown = done.stderr.decode()
    assert done.returncode == 2
    assert shown.startswith("%s: error: %s: nowhere: no such f" % (os.path.basename(path), setting))
    assert shown.count("\n") == 1


def test_half_a_model_in_the_default_place(project):
    add_model(project.root / "prev_trained_model" / "albert_tiny_zh")
    status, flags, lines = project.run()
    assert status == 0
    assert "albert_tiny_zh: exists but lacks *.index" in lines[0]
    assert lines[0].endswith("using the model albert_starter_zh instead")
    assert flags["vocab_file"] == "albert_starter_zh/vocab.txt"


# Scripts that users call; the others in the folder are parts of them or pass --help on.
USERS_SCRIPTS = sorted(glob.glob(os.path.join(ROOT, "*.sh"))) + [
    os.path.join(ROOT, "scripts", name)
    for name in ("setup.sh", "train_starter.sh", "create_pretrain_data_batch.sh")
]
SHELLS = {
    "bash": ["bash"],
    "dash": ["dash"],  # sh of Debian and Ubuntu
    "busybox": ["busybox", "sh"],  # of Alpine
    "posix": ["bash", "--posix"],  # sh of Fedora and macOS
    "executable": [],
}


@pytest.mark.parametrize("shell", list(SHELLS))
@pytest.mark.parametrize("path", USERS_SCRIPTS, ids=os.path.basename)
def test_any_shell_can_start_a_script(tmp_path, path, shell):
    command = SHELLS[shell]
    if command and not shutil.which(command[0]):
        pytest.skip("there is no %s here" % command[0])
    (tmp_path / "a b").symlink_to(ROOT, target_is_directory=True)
    name = os.path.join(str(tmp_path), "a b", os.path.relpath(path, ROOT))
    result = subprocess.run(command + [name, "--help"], cwd=str(tmp_path), capture_output=True)
    assert (result.returncode, result.stderr) == (0, b"")
    with open(path, encoding="utf-8") as script:
        title = script.read().splitlines()[1]  # after #!
    assert result.stdout.decode().splitlines()[0] == title[2:]


@pytest.mark.skipif(shutil.which("dash") is None, reason="there is no dash here")
def test_dash_passes_on_arguments_and_status(project):
    script = str(project.root / "run_classifier_lcqmc.sh")
    run = functools.partial(subprocess.run, capture_output=True, cwd=str(project.root))
    done = run(
        ["dash", script, "--output_dir=a  b"], env=dict(project.environment, ALBERT_OFFLINE="1")
    )
    assert done.returncode == 0
    assert "--output_dir=a  b" in json.loads(done.stdout.decode())
    failed = run(["dash", script], env=dict(project.environment, MODEL_DIR="nowhere"))
    assert failed.returncode == 2
    assert failed.stderr.decode() == (
        "run_classifier_lcqmc.sh: error: MODEL_DIR: nowhere: no such folder\n"
    )


@pytest.mark.skipif(shutil.which("dash") is None, reason="there is no dash here")
def test_a_machine_without_bash(machine):
    (machine.base / "tools" / "bash").unlink()
    done = subprocess.run(
        [shutil.which("dash"), str(machine.project / "scripts" / "setup.sh")],
        env=machine.environment,
        capture_output=True,
    )
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"setup.sh: error: bash was not found" in done.stderr and done.stderr.count(b"\n") == 1


def test_help(project):
    command = ["bash", str(project.root / "run_classifier_lcqmc.sh"), "--help"]
    shown = subprocess.check_output(command, env=project.environment).decode()
    assert shown.startswith("Fine-tunes an ALBERT model")
    assert "MODEL_DIR=my_model" in shown
    assert "set -euo" not in shown


# ------------------------------------------------- run_classifier_clue.sh, ..._multiclass.sh

RECIPES = {  # longest sequence, batch, learning rate, epochs
    "afqmc": ("128", "16", "2e-5", "3"),
    "cmnli": ("128", "64", "3e-5", "2"),
    "csl": ("128", "16", "1e-5", "5"),
    "iflytek": ("128", "32", "2e-5", "3"),
    "tnews": ("128", "16", "2e-5", "3"),
    "wsc": ("128", "16", "1e-5", "10"),
}


def add_clue_data(project, names):
    for name in names:
        folder = project.root / "CLUEdataset" / name
        folder.mkdir(parents=True)
        (folder / "train.json").write_text("{}")


def recipe_of(flags):
    names = ("max_seq_length", "train_batch_size", "learning_rate", "num_train_epochs")
    return tuple(flags.get(name) for name in names)


@pytest.mark.parametrize("arguments", [[], ["all"], ["--seed=3"]])
def test_clue_recipes(project, arguments):
    add_clue_data(project, RECIPES)
    status, runs, lines = project.run_all("clue", *arguments, ALBERT_OFFLINE="1")
    assert status == 0
    titles = ["== " + name for name in RECIPES] + ["== summary"]
    assert [line for line in lines if "==" in line] == titles
    assert [line.split() for line in lines[-6:]] == [[name, "done"] for name in RECIPES]
    assert [flags["task_name"] for flags in runs] == list(RECIPES)
    assert {flags["task_name"]: recipe_of(flags) for flags in runs} == RECIPES
    assert {flags.get("seed") for flags in runs} == {"3" if "--seed=3" in arguments else None}
    for flags in runs:
        assert flags["data_dir"] == "CLUEdataset/" + flags["task_name"]
        assert flags["output_dir"] == flags["task_name"] + "_output"
        assert (flags["do_train"], flags["do_eval"], flags["do_predict"]) == ("true",) * 3


@pytest.mark.parametrize(
    "arguments, names",
    [
        (["predict"], list(RECIPES)),
        (["tnews", "predict", "--seed=3"], ["tnews"]),
        (["all", "predict"], list(RECIPES)),
    ],
)
def test_clue_predicts_only_if_asked_to(project, arguments, names):
    add_clue_data(project, RECIPES)
    status, runs, _ = project.run_all("clue", *arguments, ALBERT_OFFLINE="1")
    assert status == 0
    assert [flags["task_name"] for flags in runs] == names
    for flags in runs:
        assert (flags["do_train"], flags["do_predict"]) == ("false", "true")
        assert "do_eval" not in flags
        assert flags.get("seed") == ("3" if names == ["tnews"] else None)


def test_clue_mistakes(project):
    status, _, lines = project.run_all("clue", "predictions")
    assert status == 2
    assert "unknown task predictions: expected all or one of afqmc cmnli csl" in lines[-1]
    status, _, lines = project.run_all("clue", "all", OUTPUT_DIR="o", ALBERT_OFFLINE="1")
    assert status == 2
    assert "DATA_DIR and OUTPUT_DIR are for a single task: name it" in lines[-1]
    for words in (["predict", "tnews"], ["tnews", "predict", "csl", "--seed=1"]):
        status, _, lines = project.run_all("clue", *words, ALBERT_OFFLINE="1")
        word = words[words.index("predict") + 1]
        message = (
            "unexpected argument %s after predict, which is followed by flags: expected: tnews "
            "predict"
        )
        assert status == 2 and lines[-1].endswith(message % word) and len(lines) == 1
    for words in (["--output_dir=o"], ["all", "-data_dir", "d"], ["predict", "--data_dir=d"]):
        status, _, lines = project.run_all("clue", *words, ALBERT_OFFLINE="1")
        flag = [word.split("=")[0] for word in words if word[0] == "-"][0]
        assert status == 2 and len(lines) == 1
        assert "error: %s is for a single task: name it, such as tnews" % flag in lines[0]


def test_clue_takes_folders_of_one_task(project):
    add_clue_data(project, RECIPES)
    words = ["tnews", "predict", "--output_dir=o", "--data_dir=d"]
    status, runs, _ = project.run_all("clue", *words, ALBERT_OFFLINE="1")
    assert status == 0 and (runs[0]["output_dir"], runs[0]["data_dir"]) == ("o", "d")


def test_clue_goes_on_without_the_data_of_a_task(project):
    add_clue_data(project, ["cmnli", "tnews", "wsc"])
    (project.root / "run_classifier_clue.py").write_text(
        SHOWS_ARGUMENTS + "sys.exit(5 * ('--task_name=tnews' in sys.argv))\n"
    )
    (project.root / "cmnli_output").mkdir()
    (project.root / "cmnli_output" / "eval_results_albert_zh.txt").write_text(
        "***** Eval results a *****\neval_accuracy = 0.62\n"
        "***** Eval results b *****\neval_accuracy = 0.7061\neval_loss = 0.9\n"
        "***** Eval results c *****\neval_accuracy = 0.70\n"
    )
    status, _, lines = project.run_all("clue", ALBERT_OFFLINE="1")
    assert status == 5
    assert [" ".join(line.split()) for line in lines[-6:]] == [
        "afqmc not run: there is no data in CLUEdataset/afqmc",
        "cmnli done, dev accuracy 0.7061",
        "csl not run: there is no data in CLUEdataset/csl",
        "iflytek not run: there is no data in CLUEdataset/iflytek",
        "tnews failed with status 5: see above",
        "wsc done",
    ]


@pytest.mark.parametrize("name", ["clue", "lcqmc"])
def test_models_of_clue_are_in_a_folder_of_the_root(project, name):
    """The original's CLUE script downloads its model to albert_tiny/; its other scripts do not."""
    add_model(project.root / "albert_tiny", "albert_model.ckpt")
    add_clue_data(project, RECIPES)
    arguments = ["tnews"] if name == "clue" else []
    _, runs, _ = project.run_all(name, *arguments, ALBERT_OFFLINE="1")
    expected = "albert_tiny" if name == "clue" else None
    assert runs[0].get("init_checkpoint") == expected


def test_multiclass_recipe_and_settings(project):
    (project.root / "data" / "topics_sample").mkdir()
    status, runs, _ = project.run_all("multiclass", ALBERT_OFFLINE="1")
    assert status == 0
    assert recipe_of(runs[0]) == ("128", "32", "1e-4", "10")
    assert runs[0]["data_dir"] == "data/topics_sample"
    assert runs[0]["output_dir"] == "multiclass_output"
    assert "task_name" not in runs[0]  # the command's own default
    _, runs, _ = project.run_all(
        "multiclass", "--multi_label=true", ALBERT_OFFLINE="1", LEARNING_RATE="3e-5", EPOCHS="2"
    )
    assert recipe_of(runs[0]) == ("128", "32", "3e-5", "2") and runs[0]["multi_label"] == "true"


def test_distillation_trains_teachers_and_a_student_of_them(project):
    project.show_arguments_of("compare_distilled", "check_student")
    (project.root / "albert_starter_zh" / "albert_model.ckpt.index").write_text("x")
    status, runs, lines = project.run_all("distill", "--fgm_epsilon=0.5", EPOCHS="2", SEED="3")
    assert status == 0 and len(lines) == 6
    checked, *runs = runs
    assert checked == runs[-2]  # the student's flags, before any training
    names = ["teacher_11", "teacher_12", "teacher_13", "plain", "student"]
    assert [run["output_dir"] for run in runs[:-1]] == ["distill_output/" + n for n in names]
    assert [run["seed"] for run in runs[:-1]] == ["11", "12", "13", "3", "3"]
    for run in runs[:-1]:
        assert run["data_dir"] == "data/pairs_sample" and run["fgm_epsilon"] == "0.5"
        assert run["init_checkpoint"] == "albert_starter_zh" and run["num_train_epochs"] == "2"
    teachers = ["distill_output/%s/best" % name for name in names[:3]]
    assert [run.get("teachers") for run in runs[:-1]] == [None] * 4 + [",".join(teachers)]
    assert runs[-1] == {"output_dir": "distill_output", "teachers": ",".join(names[:3])}
    (project.root / "a").mkdir()
    (project.root / "b.tsv").write_text("")
    settings = {"TEACHERS": "a, b.tsv,linear", "UNLABELLED": "x/*"}
    status, runs, _ = project.run_all("distill", "--dev_seed=5", **settings)
    assert runs[0] == runs[2]
    assert [run.get("dev_seed") for run in runs[1:]] == ["5", "5", None]
    assert [run.get("teachers") for run in runs[1:]] == [None, "a, b.tsv,linear", ""]
    assert [run.get("unlabelled_file") for run in runs[1:]] == [None, "x/*", None]


def test_a_student_that_is_refused_costs_no_teacher(project):
    project.show_arguments_of("compare_distilled")
    (project.root / "scripts" / "check_student.py").write_text("import sys\nsys.exit(2)\n")
    status, runs, lines = project.run_all("distill")
    assert (status, runs) == (2, []) and not [line for line in lines if "with seed" in line]
    status, _, lines = project.run_all("distill", TEACHER_SEEDS="11 1x")
    expected = "run_classifier_distill.sh: error: TEACHER_SEEDS: 1x: expected integers separated by"
    assert status == 2 and len(lines) == 1 and lines[0].startswith(expected)


def test_how_a_student_learns_is_told_the_student_alone(project):
    project.show_arguments_of("compare_distilled", "check_student")
    arguments = ["--temperature=4", "--unlabelled_file=a b.tsv", "--fgm_epsilon=0.5"]
    status, runs, _ = project.run_all("distill", *arguments, TEACHERS="linear")
    checked, plain, student, _ = runs
    assert checked == student
    assert status == 0 and "temperature" not in plain and "unlabelled_file" not in plain
    assert student["temperature"] == "4" and student["unlabelled_file"] == "a b.tsv"
    assert plain["fgm_epsilon"] == student["fgm_epsilon"] == "0.5"


@pytest.mark.parametrize("name", with_slow(["clue", "multiclass", "lcqmc"], ["lcqmc"]))
def test_a_search_has_rates_of_its_own(project, name):
    add_clue_data(project, RECIPES)
    (project.root / "data" / "topics_sample").mkdir()
    settings = {"ALBERT_OFFLINE": "1"}
    for search in ("--search=true", "--search=True", "--search=1"):
        _, runs, _ = project.run_all(name, search, **settings)
        assert "learning_rate" not in runs[0]
    _, runs, _ = project.run_all(name, "--search=false", **settings)
    assert "learning_rate" in runs[0]
    # If both are given, the command itself reports it.
    _, runs, _ = project.run_all(name, "--search=true", LEARNING_RATE="1e-3", **settings)
    assert runs[0]["learning_rate"] == "1e-3"
