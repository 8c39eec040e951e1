"""Run by tests/export/test_formats.py in MediaPipe's own environment: labels of texts, a line each.

python tests/support/mediapipe_labels.py model.tflite < texts.txt
"""

import sys

from mediapipe.tasks import python as tasks
from mediapipe.tasks.python import text


def main():
    options = text.TextClassifierOptions(tasks.BaseOptions(model_asset_path=sys.argv[1]))
    with text.TextClassifier.create_from_options(options) as classifier:
        for line in sys.stdin.buffer.read().decode("utf-8").split("\n")[:-1]:
            best = classifier.classify(line).classifications[0].categories[0]
            print("%s\t%.6f" % (best.category_name, best.score))


if __name__ == "__main__":
    main()
