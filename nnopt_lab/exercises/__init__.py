"""Exercises that check themselves, and predictions that are kept beside what was measured."""

from nnopt_lab.exercises import pruning, schedules
from nnopt_lab.exercises.core import Exercise, Prediction, answers

__all__ = ["Exercise", "Prediction", "answers", "pruning", "schedules"]
