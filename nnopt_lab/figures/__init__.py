"""Figures of the lessons: arrays in, ``plotly.graph_objects.Figure`` out."""

from nnopt_lab.figures import charts, data, evidence, pruning, schedules, theme

__all__ = ["charts", "data", "evidence", "pruning", "schedules", "theme"]
