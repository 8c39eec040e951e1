"""Whether the Python that runs this has what the toolkit needs, told without importing it (fast).

    python scripts/check_environment.py 2.15,1.15 [requirements.txt ...]

The first argument lists the versions of TensorFlow that will do; of the requirement files only the
names count. Prints what is missing and ends with status 1, else with status 0.
"""

import re
import sys

TENSORFLOW_PACKAGES = ("tensorflow", "tensorflow-cpu", "tensorflow-gpu", "tensorflow-macos")
NEEDED_PACKAGES = ("absl-py", "numpy", "jieba", "tqdm", "matplotlib")


def version_of(package):
    """The installed version of a package, None if it is not installed."""
    if sys.version_info >= (3, 8):
        from importlib import metadata

        try:
            return metadata.version(package)
        except metadata.PackageNotFoundError:
            return None
    import pkg_resources

    try:
        return pkg_resources.get_distribution(package).version
    except pkg_resources.ResolutionError:
        return None


def required_names(path):
    """The names of the packages in a requirements file."""
    with open(path, encoding="utf-8") as lines:
        found = [re.match(r"[A-Za-z0-9][\w.-]*", line) for line in lines]
    return [match.group() for match in found if match]


def lacking(tensorflow_versions, requirement_files):
    """What is missing, as words to show: ["TensorFlow 2.15 or 1.15 (2.17.0 is there)", "jieba"]."""
    found = next(filter(None, map(version_of, TENSORFLOW_PACKAGES)), None)
    missing = []
    if found is None or ".".join(found.split(".")[:2]) not in tensorflow_versions:
        wanted = "TensorFlow " + " or ".join(tensorflow_versions)
        missing.append(wanted + (" (%s is there)" % found if found else ""))
    names = [name for path in requirement_files for name in required_names(path)]
    wanted_names = [name for name in names if name not in TENSORFLOW_PACKAGES]
    missing += [name for name in (*NEEDED_PACKAGES, *wanted_names) if version_of(name) is None]
    return missing


if __name__ == "__main__":
    missing_packages = lacking(sys.argv[1].split(","), sys.argv[2:])
    if missing_packages:
        print(", ".join(missing_packages))
        sys.exit(1)
