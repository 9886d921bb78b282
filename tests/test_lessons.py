"""What can be counted of a lesson: how much of it there is, and that it asks before it answers."""

import ast
import re
from collections import Counter
from pathlib import Path

import nbformat
import pytest

FOLDER = Path(__file__).parent.parent / "notebooks"
LESSONS = sorted(FOLDER.glob("0[1-6]*.ipynb"))
ALL = sorted(FOLDER.glob("0*.ipynb"))
CELLS, LINES, LINES_OF_A_CELL, LINES_OF_A_FIGURE, WORDS, MINUTES = 16, 90, 15, 6, 1600, 45


class Lesson:
    """A notebook, and what of it stands before the exercises."""

    def __init__(self, path: Path) -> None:
        self.cells = nbformat.read(path, as_version=4).cells
        ends = [i for i, cell in enumerate(self.cells) if cell.source.startswith("## Exercises")]
        self.core = self.cells[: ends[0]] if ends else self.cells
        self.visible = [cell for cell in self.core if is_code(cell) and not is_folded(cell)]

    @property
    def words(self) -> int:
        text = "\n".join(cell.source for cell in self.core if cell.cell_type == "markdown")
        without = re.sub(r"```.*?```|\$\$.*?\$\$|\]\([^)]*\)|[|*#`]", " ", text, flags=re.DOTALL)
        return len(without.split())

    @property
    def minutes(self) -> float:
        covers = sum(is_covered(cell) for cell in self.core)
        goals = sum(cell.source.count("**Goal:**") for cell in self.core)
        lines = sum(map(n_lines, self.visible))
        return self.words / 180 + lines / 6 + 2 * goals + covers


def is_code(cell) -> bool:
    return cell.cell_type == "code"


def is_folded(cell) -> bool:
    return bool(cell.metadata.get("jupyter", {}).get("source_hidden"))


def is_covered(cell) -> bool:
    return bool(cell.metadata.get("jupyter", {}).get("outputs_hidden"))


def has_tag(cell, tag: str) -> bool:
    return tag in cell.metadata.get("tags", [])


def n_lines(cell) -> int:
    return sum(bool(line.strip()) for line in cell.source.splitlines())


def plain(source: str) -> ast.Module:
    return ast.parse(source)


@pytest.fixture(params=LESSONS, ids=lambda path: path.stem)
def lesson(request) -> Lesson:
    return Lesson(request.param)


def test_the_core_is_short(lesson):
    assert len(lesson.visible) <= CELLS
    assert sum(map(n_lines, lesson.visible)) <= LINES
    assert lesson.words <= WORDS
    assert lesson.minutes <= MINUTES
    for cell in lesson.visible:
        assert n_lines(cell) <= LINES_OF_A_CELL, cell.source
        if "Explorer(" in cell.source:
            assert n_lines(cell) <= LINES_OF_A_FIGURE, cell.source


def test_folded_cells_train_nothing(lesson):
    for cell in filter(is_folded, lesson.core):
        calls = [node for node in ast.walk(plain(cell.source)) if isinstance(node, ast.Call)]
        assert "train" not in {getattr(call.func, "id", "") for call in calls}


def test_two_to_five_figures_are_covered_and_their_source_tells_nothing(lesson):
    covered = [cell for cell in lesson.core if is_code(cell) and is_covered(cell)]
    assert 2 <= len(covered) <= 5
    for cell in covered:
        assert not re.search(r"\d\s*%|\bpoints\b", cell.source)


def test_every_explorer_has_a_goal_or_a_prediction(lesson):
    for i, cell in enumerate(lesson.core):
        if is_code(cell) and "Explorer(" in cell.source and not is_covered(cell):
            around = lesson.core[i - 1].source + lesson.core[i + 1].source
            assert "**Goal:**" in around or "claims" in cell.source, cell.source


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_no_cell_asserts(path):
    for cell in filter(is_code, Lesson(path).cells):
        assert not any(isinstance(node, ast.Assert) for node in ast.walk(plain(cell.source)))


def assigned(cell) -> set[str]:
    """Return the variables that a cell gives a value, loops and functions apart."""
    return (
        {
            node.id
            for statement in plain(cell.source).body
            if isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign)
            for target in ast.walk(statement)
            for node in ast.walk(target)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        }
        - {"_"}
        - comprehended(cell)
    )


def comprehended(cell) -> set[str]:
    """Return the variables of comprehensions, which end with them."""
    return {
        node.id
        for comprehension in ast.walk(plain(cell.source))
        if isinstance(comprehension, ast.comprehension)
        for node in ast.walk(comprehension.target)
        if isinstance(node, ast.Name)
    }


def stored(cell) -> set[str]:
    """Return every name that gets a value somewhere in a cell, in its functions, too."""
    nodes = [n for n in ast.walk(plain(cell.source)) if isinstance(n, ast.Name)]
    return {n.id for n in nodes if isinstance(n.ctx, ast.Store)}


def loaded(cell) -> set[str]:
    nodes = [n for n in ast.walk(plain(cell.source)) if isinstance(n, ast.Name)]
    arguments = {n.arg for n in ast.walk(plain(cell.source)) if isinstance(n, ast.arg)}
    return {n.id for n in nodes if isinstance(n.ctx, ast.Load)} - arguments


def test_a_name_is_assigned_in_one_cell(lesson):
    own = [c for c in lesson.cells if not has_tag(c, "exercise") and not has_tag(c, "solution")]
    counts = Counter(name for cell in filter(is_code, own) for name in assigned(cell))
    assert not [name for name, n in counts.items() if n > 1]


def test_no_core_cell_needs_an_optional_one(lesson):
    core = [cell for cell in lesson.core if is_code(cell)]
    assert not any(has_tag(cell, "optional") for cell in core)
    optional = [cell for cell in lesson.cells if is_code(cell) and has_tag(cell, "optional")]
    made = {name for cell in optional for name in assigned(cell)}
    needed = {name for cell in core for name in loaded(cell) - stored(cell)}
    assert not made & needed


def test_what_is_optional_stands_folded_behind_the_exercises(lesson):
    (heading,) = [c for c in lesson.cells if c.source.startswith("## Go deeper")]
    assert heading.metadata.get("jp-MarkdownHeadingCollapsed") is True
    position = lesson.cells.index(heading)
    for i, cell in enumerate(lesson.cells):
        if is_code(cell) and has_tag(cell, "optional"):
            assert i > position
