"""Where the package and its data files are."""

import os

PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ROOT = os.path.dirname(PACKAGE)  # of a clone: the commands, the starter model, downloads
CONFIGS = os.path.join(PACKAGE, "configs")
FONT = os.path.join(PACKAGE, "common", "fonts", "NotoSansSC-GB2312.otf")
WEB = os.path.join(PACKAGE, "inference", "web")
PYTORCH = os.path.join(PACKAGE, "conversion", "pytorch")
