"""Exercises that check themselves, and the questions and findings of each lesson."""

from nnopt_lab.exercises import (
    combined,
    distributed,
    evidence,
    normalization,
    primer,
    pruning,
    schedules,
    shuffling,
)
from nnopt_lab.exercises.answers import answers
from nnopt_lab.exercises.exercise import Exercise

__all__ = [
    "Exercise",
    "answers",
    "combined",
    "distributed",
    "evidence",
    "normalization",
    "primer",
    "pruning",
    "schedules",
    "shuffling",
]
