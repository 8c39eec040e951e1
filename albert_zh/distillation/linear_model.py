"""The linear model of texts: TF-IDF of character n-grams and a linear SVM."""

from typing import Any, Sequence

import numpy as np

NAME = "linear"  # in --teachers
_LEAST_MARGIN = -3.0  # of classes that a model has seen no text of


def text_model(seed: int = 0, least_texts: int = 1) -> Any:
    """TF-IDF of character n-grams and a linear SVM, as a pipeline of scikit-learn.

    Args:
        seed: of the order in which the SVM's solver visits the rows.
        least_texts: n-grams in fewer texts are left out.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer  # few runs need it
    from sklearn.pipeline import make_pipeline
    from sklearn.svm import LinearSVC

    grams = TfidfVectorizer(
        analyzer="char", ngram_range=(1, 3), sublinear_tf=True, min_df=least_texts
    )
    return make_pipeline(grams, LinearSVC(C=0.5, random_state=seed))


def margins_of(model: Any, texts: Sequence[str], num_classes: int) -> np.ndarray:
    """Margins of all classes, very low for those that the model has not seen.

    Args:
        model: as of `text_model`, trained.
        texts: those that the labels are of.
        num_classes: C.

    Returns:
        float [n, C].
    """
    found = model.decision_function(texts)
    found = np.stack([-found, found], axis=1) if found.ndim == 1 else found
    margins = np.full([len(found), num_classes], _LEAST_MARGIN)
    margins[:, model.classes_] = found
    return margins
