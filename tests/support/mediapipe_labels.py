"""Prints a label for each line of text, with MediaPipe.

    python tests/support/mediapipe_labels.py model.tflite < texts.txt

tests/export/test_formats.py runs it in a separate environment that contains MediaPipe.
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
