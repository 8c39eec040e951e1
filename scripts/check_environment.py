"""Checks quickly, without imports, whether this Python has the packages that the toolkit needs.

    python scripts/check_environment.py 2.15,2.21,1.15 [requirements.txt ...]

The first argument lists the accepted versions of TensorFlow; for the packages in requirements files
only their names are checked. If packages are missing, prints them and exits with status 1,
otherwise with status 0.
"""

import os
import re
import sys
from typing import Dict, List, Sequence

TENSORFLOW_PACKAGES = ("tensorflow", "tensorflow-cpu", "tensorflow-gpu", "tensorflow-macos")
NEEDED_PACKAGES = ("absl-py", "numpy", "jieba", "tqdm", "matplotlib", "scikit-learn")

_INSTALLED = re.compile(r"([^-]+)-([^-]+)(-.*)?\.(dist|egg)-info$")


def installed_packages() -> Dict[str, str]:
    """Returns {name: version} of installed packages; Python 3.7 has no importlib.metadata."""
    versions = {}
    for folder in filter(os.path.isdir, sys.path):
        for match in filter(None, map(_INSTALLED.match, os.listdir(folder))):
            versions.setdefault(_normalized(match.group(1)), match.group(2))
    return versions


def required_names(path: str) -> List[str]:
    """Lists the names of the packages in a requirements file that apply to this Python."""
    with open(path, encoding="utf-8") as lines:
        matches = [re.match(r"([A-Za-z0-9][\w.-]*)[^;]*(?:;(.*))?", line) for line in lines]
    return [_normalized(match.group(1)) for match in matches if match and _applies(match.group(2))]


def _applies(marker):
    """Whether the marker after the ";" of a requirement applies; True without pip, as with uv."""
    try:
        from pip._vendor.packaging.markers import Marker
    except ImportError:
        return True
    return not marker or Marker(marker).evaluate()


def lacking(tensorflow_versions: Sequence[str], requirement_files: Sequence[str]) -> List[str]:
    """Lists what is missing: ["TensorFlow 2.15 or 1.15 (2.17.0 is there)", "jieba"]."""
    versions = installed_packages()
    version = next((versions[name] for name in TENSORFLOW_PACKAGES if name in versions), None)
    missing = []
    if version is None or ".".join(version.split(".")[:2]) not in tensorflow_versions:
        wanted = "TensorFlow " + " or ".join(tensorflow_versions)
        missing.append(wanted + (" (%s is there)" % version if version else ""))
    names = list(NEEDED_PACKAGES)
    for path in requirement_files:
        names += [name for name in required_names(path) if name not in TENSORFLOW_PACKAGES]
    return missing + [name for name in dict.fromkeys(names) if name not in versions]


def _normalized(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def main() -> int:
    """Prints what is missing; returns the exit status."""
    arguments = sys.argv[1:]
    if not arguments or {"-h", "--help"} & set(arguments):
        print(__doc__.strip())
        return 0 if arguments else 2
    missing_packages = lacking(arguments[0].split(","), arguments[1:])
    if missing_packages:
        print(", ".join(missing_packages))
    return 1 if missing_packages else 0


if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    try:
        from albert_zh.common.errors import run_program
    except ImportError:  # a copy of scripts/ alone
        sys.exit(main())
    run_program(main)
