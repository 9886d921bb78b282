"""The page on how we know: its question, and what its networks show."""

from typing import Any

from nnopt_lab.explorer import Prediction, Stops
from nnopt_lab.statistics import Findings, over_seeds

import numpy as np
import xarray as xr

FORTY, DRAWS = 40, 200


def spread(accuracy: xr.DataArray) -> dict[str, Any]:
    """Ask how far networks lie apart that differ in nothing but the seed.

    Parameters
    ----------
    accuracy : xarray.DataArray
        Test accuracy in [0, 1]; dimension ``seed``.
    """
    apart = 100 * float(accuracy.max() - accuracy.min())
    return {
        "predict": Prediction(
            f"{len(accuracy)} networks are trained alike, and differ in nothing but the seed. How "
            "many points of accuracy lie between the best and the worst?",
            Stops(range(21), unit="points"),
            apart,
            "First weights and the order of the data are drawn by chance; that alone does it.",
            words=f"{apart:.1f} points",
        ),
        "shows": Findings(
            {
                "The best and the worst lie more than 4 points apart: one network against one "
                "other proves nothing.": apart > 4
            }
        ),
    }


def nothing_to_find(differences: xr.DataArray, history: xr.Dataset) -> Findings:
    """Say how often a verdict is wrong by chance, and how a best of forty flatters itself.

    Parameters
    ----------
    differences : xarray.DataArray
        Between equal networks; dimensions ``draw``, ``experiment`` and ``seed``.
    history : xarray.Dataset
        Of equal networks, as ``train`` returns it; dimension ``seed``.
    """
    found = over_seeds(differences)
    missed = float((abs(found["mean"]) > found.half_width).mean())
    return Findings(
        {
            "Over all draws between 2 and 9 in 100 intervals miss 0.": 0.02 < missed < 0.09,
            "The best of 40 equal networks is by more than half a point worse on the test set than "
            "its validation accuracy promised.": _flattery(history) > 0.005,
        }
    )


def _flattery(history: xr.Dataset) -> float:
    """Return by how much the best of forty on validation looks better than it tests, on average."""
    validation = history.validation_accuracy.isel(epoch=-1).values
    test, chance = history.test_accuracy.values, np.random.default_rng(0)
    found = []
    for _ in range(DRAWS):
        forty = chance.permutation(len(test))[:FORTY]
        best = forty[validation[forty].argmax()]
        promised = validation[best] - validation[forty].mean()
        found.append(promised - (test[best] - test[forty].mean()))
    return float(np.mean(found))
