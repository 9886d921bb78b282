"""Figures of the lessons: arrays in, ``plotly.graph_objects.Figure`` out."""

from nnopt_lab.figures import data, pruning, schedules, theme

__all__ = ["data", "pruning", "schedules", "theme"]
