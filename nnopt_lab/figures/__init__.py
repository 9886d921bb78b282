"""Figures of the lessons: arrays in, ``plotly.graph_objects.Figure`` out."""

from nnopt_lab.figures import (
    charts,
    evidence,
    normalization,
    primer,
    pruning,
    schedules,
    shuffling,
    theme,
)

__all__ = [
    "charts",
    "evidence",
    "normalization",
    "primer",
    "pruning",
    "schedules",
    "shuffling",
    "theme",
]
