"""What brings the techniques together: effects, recipes, advice; all verdicts; an own network.

============ ===================================================================================
a factorial  ``gained``, ``effects``, ``front``
advice       ``QUESTIONS``, ``ADVICE``, ``advise``
all lessons  ``judged``: the verdicts that the notebooks store
own network  ``sensitivity``, ``rate_range``, ``refusals``
============ ===================================================================================
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from nnopt_lab import costs, normalization, pruning
from nnopt_lab.data import Data
from nnopt_lab.grid import grid
from nnopt_lab.networks import Model, single
from nnopt_lab.training import evaluate, train

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn


def gained(values: xr.DataArray, factor: str) -> xr.DataArray:
    """Return what the second of two places on an axis gains over the first.

    Twice, it is an interaction: by how much one technique gains more where another is in use.

    Parameters
    ----------
    values : xarray.DataArray
        Any dimensions; two places on ``factor``.
    factor : str

    Raises
    ------
    ValueError
        If the axis is missing, or has not two places.
    """
    if values.sizes.get(factor) != 2:
        raise ValueError(
            f"{factor!r} has {values.sizes.get(factor, 'no')} places; give one of "
            f"{[str(name) for name, size in values.sizes.items() if size == 2]}, which have two."
        )
    without, with_it = (values.isel({factor: i}, drop=True) for i in (0, 1))
    found: xr.DataArray = with_it - without
    return found


def effects(values: xr.DataArray, factors: Sequence[str]) -> xr.DataArray:
    """Return what each factor gains, and how much more where another is in use, seed by seed.

    An effect is a mean over all places of the other factors, so in a full factorial each network
    counts for every one of them.

    Parameters
    ----------
    values : xarray.DataArray
        Dimensions ``seed`` and the factors, two places each.
    factors : sequence of str
        At least one.

    Returns
    -------
    xarray.DataArray
        By ``term``, such as "a" or "a × b", and ``seed``.

    References
    ----------
    Box, Hunter and Hunter 2005, "Statistics for experimenters", chapter 5; an interaction is there
    half as large as here.
    """
    for factor in factors:
        gained(values, factor)  # or it says what is missing
    terms = [*((name,) for name in factors), *combinations(factors, 2)]
    rows = []
    for term in terms:
        found = values
        for factor in term:
            found = gained(found, factor)
        rows.append(found.mean([name for name in factors if name not in term]))
    names = xr.IndexVariable("term", [" × ".join(term) for term in terms])
    together: xr.DataArray = xr.concat(rows, names)
    return together.rename(None if values.name is None else f"{values.name}_difference")


def front(costs: ArrayLike, gains: ArrayLike) -> NDArray[np.bool_]:
    """Return which of some choices no other beats: none is cheaper and at least as good.

    Parameters
    ----------
    costs, gains : array_like
        Shape (choices,). One whose cost or gain is not a number is beaten.
    """
    cost, gain = np.asarray(costs, dtype=float), np.asarray(gains, dtype=float)
    is_no_dearer, is_as_good = cost[:, None] <= cost, gain[:, None] >= gain
    is_better = (cost[:, None] < cost) | (gain[:, None] > gain)
    beaten = (is_no_dearer & is_as_good & is_better).any(0)
    unbeaten: NDArray[np.bool_] = ~beaten & np.isfinite(cost) & np.isfinite(gain)
    return unbeaten


@dataclass(frozen=True)
class Advice:
    """One technique: when to use it, why, and when it harms.

    Parameters
    ----------
    use : str
        What to do.
    when : mapping of str to tuple of str
        For some of ``QUESTIONS`` the answers that it is for; of the others any.
    why, harms : str
        What was measured, in points of test accuracy on small networks, and where it turns round.
    lesson : str
        Where.
    """

    use: str
    when: Mapping[str, tuple[str, ...]]
    why: str
    harms: str
    lesson: str


QUESTIONS = {
    "budget": ("accuracy", "few epochs", "a small file"),
    "data": ("mixed", "sorted"),
    "layers": ("2", "8"),
    "batch": ("64", "8"),
    "devices": ("one", "many"),
}

# In the order in which to use it. The numbers are points of the lessons' small networks.
_READING = "where reading at random is slow: use a buffer"
ADVICE = (
    Advice(
        "Shuffle anew in each epoch", {"data": ("sorted",)},
        "gains 36 points; little helps before", _READING, "06",
    ),
    Advice(
        "Shuffle anew in each epoch", {"data": ("mixed",)},
        "5 points against one shuffle with batch norm, 1 to 2 without", _READING, "05",
    ),
    Advice(
        "Let the rate fall to 0", {},
        "3 points here without batch norm, less than 1 with it; stable, then decay 5 to 6",
        "1/√ from the same first rate is slower at first", "02, 06",
    ),
    Advice(
        "Batch norm", {"layers": ("8",), "batch": ("64",)},
        "8 points, 89 with torch's own first weights", "small batches, sorted data", "03",
    ),
    Advice(
        "Batch norm over all workers", {"layers": ("8",), "batch": ("8",), "devices": ("many",)},
        "eight workers, each with a batch norm of its own, lose 5 points in 2 layers",
        "a message at each such layer", "04",
    ),
    Advice(
        "Another norm, such as layer norm",
        {"layers": ("8",), "batch": ("8",), "devices": ("one",)},
        "it looks at no batch; in batches of 2 it is ahead of batch norm", "not tried in 8 layers",
        "03",
    ),
    Advice(
        "Batch norm", {"budget": ("few epochs",), "layers": ("2",), "batch": ("64",)},
        "8 to 12 points ahead after 3 epochs", "in the end it may lose 4, with a rate that falls",
        "03",
    ),
    Advice(
        "No batch norm", {"budget": ("few epochs",), "layers": ("2",), "batch": ("8",)},
        "it is ahead from batches of 16 on; with 2 it loses 62 points", "slow training", "03",
    ),
    Advice(
        "No batch norm", {"budget": ("accuracy", "a small file"), "layers": ("2",)},
        "each at its own rate, it gains nothing that matters",
        "a rate too low for a plain network", "06",
    ),
    Advice(
        "The rate in proportion to the batch, with warm-up", {"devices": ("many",)},
        "without warm-up a batch of 2048 loses 30 points",
        "few epochs: 16 points less with 2048 than with 128", "04",
    ),
    Advice(
        "Prune half, or 80 % bit by bit", {"budget": ("a small file",)},
        "half costs less than 1 point; 80 % leave a third of the file, for 4 to 9",
        "at 90 % up to 14; it gets no faster; try a small network, too", "01, 06",
    ),
    Advice(
        "Tune the rate, for all of this together", {},
        "at one rate for all batch norm seems to gain 4 points, at its own none",
        "each rate tried costs a training", "06",
    ),
)  # fmt: skip


def advise(**answers: str) -> list[Advice]:
    """Return what to use, in this order.

    Parameters
    ----------
    **answers : str
        To each of ``QUESTIONS``.

    Raises
    ------
    ValueError
        If a question is not answered, or by what is no answer to it.
    """
    for question, allowed in QUESTIONS.items():
        if answers.get(question) not in allowed:
            raise ValueError(
                f"{question} is {answers.get(question)!r}; give one of {', '.join(allowed)}."
            )
    return [
        advice
        for advice in ADVICE
        if all(answers[question] in fits for question, fits in advice.when.items())
    ]


def code_up_to(notebook: Mapping[str, Any]) -> dict[str, str]:
    """Return for each code cell, by its id, a digest of all code from the first cell to this one.

    Parameters
    ----------
    notebook : mapping
        As JSON gives it.
    """
    digests, running = {}, hashlib.sha256()
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            running.update("".join(cell["source"]).encode() + b"\0")
            digests[cell["id"]] = running.hexdigest()[:16]
    return digests


def judged(folder: str | Path) -> list[dict[str, Any]]:
    """Return all verdicts that the notebooks of a folder store, in order.

    Parameters
    ----------
    folder : path

    Returns
    -------
    list of dict
        ``claim``, ``outcome``, ``mean``, ``half_width``, ``margin``, ``unit`` and ``n_seeds`` as a
        ``Verdict`` stores them; ``notebook`` and ``cell`` (its id); and ``remark``: empty where
        all code up to this cell is as it was when ``make notebooks`` ran it (the package's own is
        not looked at), else "stale"; or "run by hand", where nothing tells.

    Raises
    ------
    FileNotFoundError
        If there is no notebook.
    """
    paths = sorted(Path(folder).glob("*.ipynb"))
    if not paths:
        raise FileNotFoundError(f"there is no notebook in {Path(folder).resolve()}.")
    rows = []
    for path in paths:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        digests = code_up_to(notebook)
        for cell in notebook["cells"]:
            for metadata in (output.get("metadata", {}) for output in cell.get("outputs", [])):
                where = {
                    "notebook": path.stem,
                    "cell": cell["id"],
                    "remark": _remark(metadata.get("code"), digests[cell["id"]]),
                }
                rows += [{**row, **where} for row in metadata.get("verdicts", [])]
    return rows


def _remark(stored: str | None, now: str) -> str:
    if stored is None:
        return "run by hand"
    return "" if stored == now else "stale"


def sensitivity(network: nn.Module, data: Data, shares: Sequence[float]) -> xr.DataArray:
    """Return the accuracy with the smallest weights of one layer cut, or of all, not retrained.

    Parameters
    ----------
    network : nn.Module
        Any classifier; it is not changed. Averages of batch norm are computed anew after each cut,
        or they would be to blame for what they do not know.
    data : Data
        The accuracy is that on its validation set.
    shares : sequence of float
        How much is cut, from 0 to 1.

    Returns
    -------
    xarray.DataArray
        Named "validation_accuracy", by ``layer`` (the name of its weight, last "all layers", one
        threshold for all) and ``sparsity``.

    Raises
    ------
    ValueError
        If the network has no linear or convolutional layer.
    """
    scores = pruning.magnitude(network)
    if not scores:
        raise ValueError(
            f"{type(network).__name__} has no linear or convolutional layer, so nothing to cut."
        )
    parts = {**{name: {name: score} for name, score in scores.items()}, "all layers": scores}
    rows = [[_cut(network, part, share, data) for share in shares] for part in parts.values()]
    axes = {"layer": [*parts], "sparsity": [*shares]}
    return xr.DataArray(rows, axes, ["layer", "sparsity"], name="validation_accuracy")


def _cut(network: nn.Module, scores: Mapping[str, Tensor], share: float, data: Data) -> float:
    copy = single(deepcopy(network))
    pruning.apply(copy.module, pruning.keep_largest(scores, share))
    normalization.recalibrate(copy, data.x_train)
    return float(evaluate(copy, data.x_validation, data.y_validation)[1])


def rate_range(
    network: nn.Module, data: Data, rates: Sequence[float], *, seed: int = 0
) -> xr.DataArray:
    """Return the loss on each batch while the learning rate grows from step to step.

    Parameters
    ----------
    network : nn.Module
        Any classifier, not trained; it is not changed.
    data : Data
    rates : sequence of float
        One for each step.
    seed : int
        Of the order of the samples.

    Returns
    -------
    xarray.DataArray
        Named "training_loss", by ``learning_rate``; not a number once it diverges.

    References
    ----------
    Smith 2017, "Cyclical learning rates for training neural networks", arXiv:1506.01186.
    """
    losses: list[float] = []

    def note(_updates: int, _model: Model, loss: Tensor | None) -> None:
        if loss is not None:
            losses.append(float(loss))

    train(
        single(deepcopy(network)), data, grid(seed=[seed]), epochs=len(rates),
        lr=lambda step: rates[step], watch=[note], stop=lambda: len(losses) == len(rates),
    )  # fmt: skip
    return xr.DataArray(
        losses, {"learning_rate": [*rates]}, ["learning_rate"], name="training_loss"
    )


def refusals(network: nn.Module) -> dict[str, str]:
    """Return what the package cannot do for a network, and why.

    Parameters
    ----------
    network : nn.Module
        It is not changed.
    """
    asked: dict[str, Callable[[Any], object]] = {
        "fold batch norm": normalization.fold,
        "drop dead neurons": pruning.shrink,
        "store only what is not zero": costs.csr,
    }
    found = {}
    for name, do in asked.items():
        try:
            do(network)
        except (TypeError, ValueError) as error:
            found[name] = str(error)
    return found
