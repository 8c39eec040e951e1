"""A linear text classifier: TF-IDF of character n-grams and a linear SVM."""

from typing import Any, Sequence

import numpy as np

NAME = "linear"  # the value of --teachers that selects it
_LEAST_MARGIN = -3.0  # for classes without training texts


def text_model(seed: int = 0, least_texts: int = 1) -> Any:
    """Creates an untrained scikit-learn pipeline of TF-IDF of character n-grams and a linear SVM.

    Args:
        seed: random seed of the order in which the SVM solver visits the rows.
        least_texts: n-grams that occur in fewer texts are ignored (`min_df`).
    """
    from sklearn.feature_extraction.text import TfidfVectorizer  # few runs need it
    from sklearn.pipeline import make_pipeline
    from sklearn.svm import LinearSVC

    grams = TfidfVectorizer(
        analyzer="char", ngram_range=(1, 3), sublinear_tf=True, min_df=least_texts
    )
    return make_pipeline(grams, LinearSVC(C=0.5, random_state=seed))


def margins_of(model: Any, texts: Sequence[str], num_classes: int) -> np.ndarray:
    """Computes the margins of all classes; classes that were not in training get a low margin.

    Args:
        model: a trained `text_model`.
        texts: texts to classify.
        num_classes: C, the number of classes.

    Returns:
        float [n, C].
    """
    found = model.decision_function(texts)
    found = np.stack([-found, found], axis=1) if found.ndim == 1 else found
    margins = np.full([len(found), num_classes], _LEAST_MARGIN)
    margins[:, model.classes_] = found
    return margins
