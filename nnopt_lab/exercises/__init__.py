"""Exercises that check themselves, and the questions and findings of each lesson."""

from nnopt_lab.exercises import evidence, pruning, schedules
from nnopt_lab.exercises.core import Exercise, answers

__all__ = ["Exercise", "answers", "evidence", "pruning", "schedules"]
