"""Figures of the lessons: arrays in, ``plotly.graph_objects.Figure`` out."""

from nnopt_lab.figures import (
    charts,
    distributed,
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
    "distributed",
    "evidence",
    "normalization",
    "primer",
    "pruning",
    "schedules",
    "shuffling",
    "theme",
]
