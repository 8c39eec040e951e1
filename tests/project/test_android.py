"""Tests of the Java library and the sample app with a JDK, and of the app's resource files."""

import glob
import os
import re
import shutil
import subprocess
from xml.etree import ElementTree

import pytest

import java_cases
from project_root import ROOT

SCRIPT = os.path.join(ROOT, "scripts", "run_java_tests.sh")
SAMPLE = os.path.join(ROOT, "android", "sample", "src", "main")
ANDROID = "{http://schemas.android.com/apk/res/android}"
WRAPPER_PROPERTIES = "android/gradle/wrapper/gradle-wrapper.properties"
LIBRARY = (("albert", "src", "main", "java"), ("tests", "stub"))
SKIPPED = 77


def run_script(*arguments, **variables):
    return subprocess.run(
        ["bash", SCRIPT] + list(arguments),
        env=dict(os.environ, **variables),
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_java_library_equals_this_toolkit(tmp_path):
    probe = run_script(str(tmp_path / "none"))
    if probe.returncode == SKIPPED:
        pytest.skip(probe.stderr.strip())
    cases = str(tmp_path / "cases")
    java_cases.write(cases)
    result = run_script(cases)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "decoding: 1000 texts equal" in result.stdout
    for folder in next(os.walk(cases))[1]:
        with open(os.path.join(cases, folder, "texts.tsv")) as handle:
            num_texts = sum(1 for _ in handle)
        assert "%s: %d texts equal" % (folder, num_texts) in result.stdout
    assert "fuzz: 20000 texts equal" in result.stdout
    assert "offsets: 4000 texts equal" in result.stdout
    assert "labelled: 200 texts equal" in result.stdout
    assert "answers: 300 cases equal" in result.stdout
    assert "windows: 300 questions equal" in result.stdout


def test_without_jdk_the_script_says_so(tmp_path):
    for tool in ("bash", "readlink", "dirname", "basename"):
        os.symlink(shutil.which(tool), str(tmp_path / tool))
    result = run_script(PATH=str(tmp_path), JAVA_HOME="")
    assert result.returncode == SKIPPED
    assert "skipped: no JDK: javac does not run: apt install default-jdk" in result.stderr
    result = run_script(JAVA_HOME=str(tmp_path))
    assert "skipped: no JDK: %s/bin/javac does not run" % tmp_path in result.stderr


def test_the_script_needs_no_home_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("HOME", raising=False)
    (tmp_path / "bin").mkdir()
    os.symlink(shutil.which("true"), str(tmp_path / "bin" / "javac"))
    cases = str(tmp_path / "none")
    result = run_script(cases, JAVA_HOME=str(tmp_path), JUNIT_CLASSPATH="junit.jar")
    assert result.returncode == 2
    assert "error: %s: no such folder" % cases in result.stderr and result.stderr.count("\n") == 1


@pytest.fixture
def wrapper_script(tmp_path):
    """Fixture: path of a copy of make_gradle_wrapper.sh in a new project with its properties."""
    for name in ("scripts/common.sh", "scripts/make_gradle_wrapper.sh", WRAPPER_PROPERTIES):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(os.path.join(ROOT, name), str(tmp_path / name))
    return str(tmp_path / "scripts" / "make_gradle_wrapper.sh")


def test_the_gradle_wrapper_is_made_by_any_gradle(wrapper_script, tmp_path):
    if shutil.which("gradle") is None:
        pytest.skip("needs Gradle: apt install gradle")
    subprocess.run(["bash", wrapper_script], check=True, timeout=200)
    properties = (tmp_path / WRAPPER_PROPERTIES).read_text()
    assert "gradle-8.9-bin.zip" in properties  # not the installed version
    # gradlew starts and requests that version from the URL in the properties.
    missing = (tmp_path / "mirror" / "gradle-8.9-bin.zip").as_uri()
    properties = re.sub("distributionUrl=.*", "distributionUrl=" + missing, properties)
    (tmp_path / WRAPPER_PROPERTIES).write_text(properties)
    done = subprocess.run(
        [str(tmp_path / "android" / "gradlew"), "--version"],
        env=dict(os.environ, GRADLE_USER_HOME=str(tmp_path / "home")),
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode != 0
    assert "mirror/gradle-8.9-bin.zip" in done.stdout + done.stderr


@pytest.mark.parametrize("gradle", ["/none/gradle", "false"])
def test_without_a_working_gradle_the_wrapper_is_not_made(wrapper_script, tmp_path, gradle):
    done = subprocess.run(
        ["bash", wrapper_script],
        env=dict(os.environ, GRADLE=gradle),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    expected = "apt install gradle" if gradle != "false" else "false wrapper failed"
    assert expected in done.stderr
    assert not (tmp_path / "android" / "gradlew").exists()


# Declarations that the Java blocks of docs/android.md need but do not contain.
CONTEXT = """import java.io.*;
import java.nio.ByteBuffer;
import java.util.*;
import org.albertzh.*;

abstract class Block%d {
    interface Assets { InputStream open(String name) throws IOException; }
    Assets assets; ByteBuffer buffer; WordPieceTokenizer tokenizer; List<String> labels, questions;
    LiteRtModel model; String text, question; int length;
    void run(%s) throws IOException {
%s
    }
}
"""


def java_blocks():
    with open(os.path.join(ROOT, "docs", "android.md"), encoding="utf-8") as handle:
        return re.findall(r"```java\n(.*?)```", handle.read(), re.S)


def test_the_document_shows_how_each_class_for_models_is_used():
    names = "AlbertClassifier TextEncoder LabelWindows TagDecoder QuestionWindows AnswerDecoder"
    assert [name for name in names.split() if not re.search(name, "".join(java_blocks()))] == []


@pytest.mark.skipif(shutil.which("javac") is None, reason="needs a JDK")
def test_java_blocks_of_the_document_compile(tmp_path):
    android = os.path.join(ROOT, "android")
    sources = glob.glob(os.path.join(android, "albert", "src", "main", "java", "*", "*", "*.java"))
    sources += glob.glob(os.path.join(android, "tests", "stub", "*", "*", "*", "*.java"))
    for number, block in enumerate(java_blocks()):
        mapped = "ByteBuffer model" if "open(model" in block else ""
        path = tmp_path / ("Block%d.java" % number)
        path.write_text(CONTEXT % (number, mapped, block), encoding="utf-8")
        sources.append(str(path))
    command = ["javac", "-encoding", "UTF-8", "-d", str(tmp_path / "classes")] + sources
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", ["android.md", "android_zh.md"])
def test_documents_name_the_versions_of_the_build(page):
    with open(os.path.join(ROOT, "android", "albert", "build.gradle")) as handle:
        of_build = set(re.findall(r"com\.google\.ai\.edge\.litert:[\w-]+:[\d.]+", handle.read()))
    names = {dependency.split(":")[1] for dependency in of_build}
    assert names == {"litert", "litert-api"}
    with open(os.path.join(ROOT, "docs", page), encoding="utf-8") as handle:
        document = handle.read()
    of_document = re.findall(r"com\.google\.ai\.edge\.litert:[\w-]+:[\d.]+", document)
    assert set(of_document) == of_build
    with open(os.path.join(ROOT, WRAPPER_PROPERTIES)) as handle:
        version = re.search(r"/gradle-([\d.]+)-bin\.zip", handle.read()).group(1)
    assert set(re.findall(r"Gradle (\d[\d.]*\d)", document)) == {version}


def test_sample_resources_fit_its_code():
    activity = read("java", "org", "albertzh", "sample", "MainActivity.java")
    manifest = ElementTree.fromstring(read("AndroidManifest.xml"))
    layout = ElementTree.fromstring(read("res", "layout", "main.xml"))
    names = {
        folder: [
            string.get("name")
            for string in ElementTree.fromstring(read("res", folder, "strings.xml"))
        ]
        for folder in ("values", "values-zh")
    }
    assert names["values"] == names["values-zh"]
    assert manifest.find("application/activity").get(ANDROID + "name") == ".MainActivity"
    ids = {
        view.get(ANDROID + "id").split("/")[1]
        for view in layout.iter()
        if ANDROID + "id" in view.attrib
    }
    assert set(re.findall(r"R\.id\.(\w+)", activity)) == ids
    used = set(re.findall(r"R\.string\.(\w+)", activity))
    for element in list(layout.iter()) + list(manifest.iter()):
        values = element.attrib.values()
        used |= {value.split("/")[1] for value in values if value.startswith("@string/")}
    assert used == set(names["values"])


# Stubs of the Android classes that the sample app uses; no asset can be opened, and views print
# their text.
ANDROID_CLASSES = {
    "android/os/Bundle": "public class Bundle {}",
    "android/view/View": """public class View {
    public interface OnClickListener { void onClick(View view); }
    public void setOnClickListener(OnClickListener listener) {}
    public void setEnabled(boolean isEnabled) { System.out.println("enabled: " + isEnabled); }
}""",
    "android/widget/TextView": """public class TextView extends android.view.View {
    public void setText(CharSequence text) { System.out.println(text); }
    public CharSequence getText() { return ""; }
}""",
    "android/widget/Button": "public class Button extends TextView {}",
    "android/widget/EditText": "public class EditText extends TextView {}",
    "android/content/res/AssetFileDescriptor": """public class AssetFileDescriptor
        implements AutoCloseable {
    public java.io.FileDescriptor getFileDescriptor() { return null; }
    public long getStartOffset() { return 0; }
    public long getDeclaredLength() { return 0; }
    public void close() {}
}""",
    "android/content/res/AssetManager": """public class AssetManager {
    public static Throwable failure;
    public java.io.InputStream open(String name) throws java.io.IOException {
        if (failure instanceof java.io.IOException) throw (java.io.IOException) failure;
        if (failure instanceof Error) throw (Error) failure;
        throw (RuntimeException) failure;
    }
    public AssetFileDescriptor openFd(String name) throws java.io.IOException { return null; }
}""",
    "android/app/Activity": """public class Activity {
    protected void onCreate(android.os.Bundle state) {}
    protected void onDestroy() {}
    public void setContentView(int layout) {}
    public void runOnUiThread(Runnable action) { action.run(); }
    public android.content.res.AssetManager getAssets() {
        return new android.content.res.AssetManager();
    }
    public String getString(int id, Object... words) { return id + ": " + words[0]; }
    @SuppressWarnings("unchecked")
    public <T extends android.view.View> T findViewById(int id) {
        return (T) new android.widget.Button();
    }
}""",
    "org/albertzh/sample/R": """public class R {
    static class layout { static final int main = 0; }
    static class id { static final int text_a = 1, text_b = 2, classify = 3, result = 4; }
    static class string { static final int ready = 5, result = 6, failed = 7; }
}""",
    "org/albertzh/sample/Failures": """public class Failures {
    public static void main(String[] names) throws Exception {
        for (String name : names) {
            android.content.res.AssetManager.failure =
                    (Throwable) Class.forName(name).getConstructor(String.class).newInstance("why");
            MainActivity activity = new MainActivity();
            activity.onCreate(null);
            activity.onDestroy();
            while (Thread.activeCount() > 1) Thread.sleep(10);
        }
    }
}""",
}


@pytest.mark.skipif(shutil.which("javac") is None, reason="no JDK")
def test_the_sample_shows_why_a_model_cannot_be_loaded(tmp_path):
    """Includes failures other than a missing or damaged file, such as a missing native library."""
    for name, content in ANDROID_CLASSES.items():
        path = tmp_path / (name + ".java")
        path.parent.mkdir(parents=True, exist_ok=True)
        package = os.path.dirname(name).replace("/", ".")
        path.write_text("package %s;\n%s\n" % (package, content), encoding="utf-8")
    sources = [tmp_path, os.path.join(SAMPLE, "java")]
    sources += [os.path.join(ROOT, "android", *parts) for parts in LIBRARY]
    command = ["javac", "-J-XX:TieredStopAtLevel=1", "-proc:none", "-encoding", "UTF-8"]
    command += ["-d", str(tmp_path), "-sourcepath"]
    command += [os.pathsep.join(map(str, sources))]
    command += [str(tmp_path / "org" / "albertzh" / "sample" / "Failures.java")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    names = "io.IOException lang.IllegalStateException lang.UnsatisfiedLinkError".split()
    names = ["java." + name for name in names]
    command = ["java", "-cp", str(tmp_path), "org.albertzh.sample.Failures"] + names
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    expected = [line for name in names for line in ("7: %s: why" % name, "enabled: false")]
    assert done.stdout.splitlines() == expected, done.stderr


def read(*names):
    with open(os.path.join(SAMPLE, *names), encoding="utf-8") as handle:
        return handle.read()
