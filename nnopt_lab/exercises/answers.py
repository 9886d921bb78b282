"""The table of what was predicted and answered in a notebook."""

import html
from pathlib import Path

from nnopt_lab.exercises.exercise import outcomes
from nnopt_lab.explorer import predictions


class Answers:
    """What was predicted, then what was answered since the kernel started."""

    def __init__(self) -> None:
        exercises = [(name, kept.outcome, kept.words) for name, kept in outcomes.items()]
        self.rows = predictions() + exercises

    def markdown(self) -> str:
        """Return a table in Markdown."""
        lines = ["| question | outcome | what was said |", "| --- | --- | --- |"]
        for row in self.rows:
            cells_of_row = (part.replace("|", "\\|").replace("\n", " ") for part in row)
            lines.append(f"| {' | '.join(cells_of_row)} |")
        return "\n".join(lines)

    def save(self, path: str | Path) -> None:
        """Write the table to a Markdown file, to hand in; it replaces an older one.

        Raises
        ------
        ValueError
            If the name does not end in ``.md``.
        """
        if not str(path).endswith(".md"):
            raise ValueError(f"the file is {str(path)!r}; give a name that ends in .md.")
        Path(path).write_text(self.markdown() + "\n", encoding="utf-8")

    def __repr__(self) -> str:
        """Return the outcomes, a line each."""
        return "\n".join(f"{outcome}: {name}" for name, outcome, _ in self.rows)

    def _repr_html_(self) -> str:
        left, whole = "text-align: left; vertical-align: top", "; white-space: nowrap"
        rows = "".join(
            f'<tr><td style="{left}">{html.escape(name)}</td>'
            f'<td style="{left}{whole}">{html.escape(outcome)}</td>'
            f'<td style="{left}">{html.escape(words)}</td></tr>'
            for name, outcome, words in self.rows
        )
        return f"<table>{rows}</table>"


def answers() -> Answers:
    """Return the table of what was answered in this notebook."""
    return Answers()
