"""Figures of the lesson on pruning."""
