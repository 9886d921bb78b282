"""Figures of the lessons: arrays in, ``plotly.graph_objects.Figure`` out."""

from nnopt_lab.figures import (
    charts,
    combined,
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
    "combined",
    "distributed",
    "evidence",
    "normalization",
    "primer",
    "pruning",
    "schedules",
    "shuffling",
    "theme",
]
