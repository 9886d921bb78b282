"""Figures that answer at once: every stop drawn first, then moved between in the browser."""

from nnopt_lab.explorer.explorer import Explorer
from nnopt_lab.explorer.live import Live
from nnopt_lab.explorer.prediction import Prediction, predictions
from nnopt_lab.explorer.progress import Progress
from nnopt_lab.explorer.stops import Stops

__all__ = ["Explorer", "Live", "Prediction", "Progress", "Stops", "predictions"]
