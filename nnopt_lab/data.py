"""Two small data sets on hand: no download, no waiting, no global random state.

``python -m nnopt_lab.data`` makes the shipped arrays anew; it needs the packages ``mnist1d`` and
``scikit-learn``.
"""

from dataclasses import astuple, dataclass
from pathlib import Path

from nnopt_lab.arguments import whole

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_ARRAYS = Path(__file__).parent / "arrays"
N_TRAIN, N_VALIDATION, N_TEST = 20_000, 2_000, 10_000


@dataclass(frozen=True)
class Data:
    """Training, validation and test set of a classification problem.

    Attributes
    ----------
    x_train, x_validation, x_test : Tensor
        Inputs, float32, shape (samples, features).
    y_train, y_validation, y_test : Tensor
        Classes, int64, shape (samples,).
    """

    x_train: Tensor
    y_train: Tensor
    x_validation: Tensor
    y_validation: Tensor
    x_test: Tensor
    y_test: Tensor

    @property
    def n_classes(self) -> int:
        """The number of classes; guessing gets one in this many right."""
        return 1 + max(int(y.max()) for y in (self.y_train, self.y_validation, self.y_test))

    def to(self, target: torch.device | str | torch.dtype) -> "Data":
        """Return a copy on another device, or with inputs of another floating-point type."""
        if isinstance(target, torch.dtype):
            return Data(*(t.to(target) if t.is_floating_point() else t for t in astuple(self)))
        return Data(*(t.to(target) for t in astuple(self)))


def mnist1d(n_train: int = 4000) -> Data:
    """Return MNIST-1D: series of 40 numbers in 10 classes, hard enough that techniques differ.

    Parameters
    ----------
    n_train : int
        How many training samples, from 1 to 20 000. The published set has 4 000.

    Returns
    -------
    Data
        ``n_train`` training, 2 000 validation and 10 000 test samples of 40 features, with mean 0
        and standard deviation 1 over all samples. Stored with 11 significant bits (float16).

    Raises
    ------
    ValueError
        If ``n_train`` is not a whole number from 1 to 20 000.

    References
    ----------
    Greydanus and Kobak, "Scaling down deep learning with MNIST-1D", arXiv:2011.14439. Published
    accuracies: logistic regression 32 %, multilayer perceptron 68 %, convolutional network 94 %.
    """
    n_train = whole("n_train", n_train, most=N_TRAIN)
    arrays = np.load(_ARRAYS / "mnist1d.npz")
    x = torch.from_numpy(arrays["x"]).float()
    y = torch.from_numpy(arrays["y"]).long()
    return _split(x, y, N_TRAIN, N_VALIDATION, n_train)


def digits() -> Data:
    """Return scikit-learn's handwritten digits: 8 x 8 pixels in [0, 1], 10 classes.

    Returns
    -------
    Data
        1 000 training, 297 validation and 500 test samples of 64 features. A small network reaches
        97 %: enough to see a failure, too easy to rank good methods.
    """
    arrays = np.load(_ARRAYS / "digits.npz")
    x = torch.from_numpy(arrays["x"]).float() / 16
    y = torch.from_numpy(arrays["y"]).long()
    return _split(x, y, 1000, 297, 1000)


def _split(x: Tensor, y: Tensor, n_train: int, n_validation: int, used: int) -> Data:
    """Cut into training (of which the first ``used`` serve), validation and test samples."""
    test = n_train + n_validation
    return Data(x[:used], y[:used], x[n_train:test], y[n_train:test], x[test:], y[test:])


def make_mnist1d() -> dict[str, NDArray[np.generic]]:
    """Make the arrays of :func:`mnist1d` with the package of its authors."""
    from mnist1d.data import get_dataset_args, make_dataset

    recipe = get_dataset_args()
    recipe.num_samples = N_TRAIN + N_VALIDATION + N_TEST
    recipe.train_split = 1.0
    made = make_dataset(recipe)
    return {"x": made["x"].astype(np.float16), "y": made["y"].astype(np.uint8)}


def make_digits() -> dict[str, NDArray[np.generic]]:
    """Make the arrays of :func:`digits`, in a random order with a seed."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))
    return {"x": x[order].astype(np.uint8), "y": y[order].astype(np.uint8)}


if __name__ == "__main__":
    _ARRAYS.mkdir(exist_ok=True)
    np.savez(_ARRAYS / "mnist1d.npz", **make_mnist1d())  # type: ignore[arg-type]
    np.savez_compressed(_ARRAYS / "digits.npz", **make_digits())  # type: ignore[arg-type]
