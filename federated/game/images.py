"""What is learned from: images as a frozen extractor tells them, those to train on and those to test on."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..data import load_data
from ..splits import hold_out
from .settings import Learning


class Images(NamedTuple):
    """Features and labels; the last feature is 1, which carries the bias.

    Attributes:
        train: (N, D) float64 of the images that clients are dealt.
        train_labels: (N,) int64.
        test: (M, D) float64 of the images that accuracy is measured on.
        test_labels: (M,) int64.
    """

    train: NDArray[np.float64]
    train_labels: NDArray[np.int64]
    test: NDArray[np.float64]
    test_labels: NDArray[np.int64]


@cache
def load_images(learning: Learning) -> Images:
    """Fit the extractor to the public images, and apply it to the others; the same for every world and seed.

    Raises:
        ValueError: if there is no such data, or more features are wanted than images or pixels hold.
    """
    try:
        from sklearn.decomposition import PCA

        data = load_data(learning.data)
    except ModuleNotFoundError as error:
        raise ValueError(f"learning.data: needs {error.name}: pip install 'edge-experts[federated]'") from None
    rest, test = hold_out(len(data.labels), learning.test_share, 0)
    private, public = hold_out(len(rest), learning.public_share, 1)
    most = min(len(public), data.images.shape[1])
    if learning.features > most:
        raise ValueError(
            f"learning.features: {learning.features} exceeds {most}, the public images or their pixels; set a lower one"
        )
    shown = PCA(learning.features, svd_solver="full").fit(data.images[rest[public]].astype(np.float64))

    def features(places: NDArray[np.int64]) -> NDArray[np.float64]:
        told = shown.transform(data.images[places].astype(np.float64))
        return np.ascontiguousarray(np.hstack([told, np.ones((len(told), 1))]))

    train = rest[private]
    return Images(features(train), data.labels[train], features(test), data.labels[test])
