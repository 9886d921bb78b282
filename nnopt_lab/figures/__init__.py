"""Figures of the lessons: arrays in, ``plotly.graph_objects.Figure`` out."""

from nnopt_lab.figures import pruning, theme

__all__ = ["pruning", "theme"]
