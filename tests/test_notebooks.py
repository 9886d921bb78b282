"""The notebooks as files, and whether comparing them would notice a change."""

import copy
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from run_notebooks import refused, run

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def code_cells(path: Path) -> list[nbformat.NotebookNode]:
    return [cell for cell in read(path).cells if cell.cell_type == "code"]


def outputs(path: Path) -> list[nbformat.NotebookNode]:
    return [output for cell in code_cells(path) for output in cell.outputs]


LESSONS = [path for path in NOTEBOOKS if not path.stem.startswith("00")]


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def path(request) -> Path:
    return request.param


def test_is_stored_executed_from_top_to_bottom(path):
    counts = [cell.execution_count for cell in code_cells(path)]
    assert counts == list(range(1, len(counts) + 1))


def test_is_stored_without_widgets(path):
    assert "widgets" not in read(path).metadata
    kinds = {kind for output in outputs(path) for kind in output.get("data", {})}
    assert kinds <= {"text/plain", "text/html", "image/png"}
    assert path.stat().st_size < 1_000_000


def test_errors_are_expected_ones(path):
    for cell in code_cells(path):
        has_error = any(output.output_type == "error" for output in cell.outputs)
        assert has_error == ("raises-exception" in cell.metadata.get("tags", []))


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_exercises_are_stored_not_attempted_and_each_solution_is_right_and_folded(path):
    cells = code_cells(path)
    tags = [cell.metadata.get("tags", []) for cell in cells]
    solutions = [i for i, tag in enumerate(tags) if "solution" in tag]
    assert solutions
    for i in solutions:
        assert "exercise" in tags[i - 1]
        assert "Not attempted" in cells[i - 1].outputs[-1].data["text/plain"]
        assert cells[i].outputs[-1].data["text/plain"].splitlines()[-1].startswith("Right.")
        assert cells[i].metadata["jupyter"] == {"source_hidden": True}
        assert cells[i].outputs[-1].data["text/html"].startswith("<details>")


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_all_claims_of_a_lesson_are_one_figure(path):
    stored = [output.get("metadata", {}) for output in outputs(path)]
    assert sum("verdicts" in metadata for metadata in stored) == 1


def headings(path: Path) -> set[str]:
    """Return the places that a link can lead to, as JupyterLab names them."""
    sources = [cell.source for cell in read(path).cells if cell.cell_type == "markdown"]
    titles = re.findall(r"^#+ (.+)$", "\n".join(sources), re.MULTILINE)
    return {title.strip().replace(" ", "-") for title in titles}


def test_links_lead_to_a_notebook_and_a_place_in_it_that_are_there(path):
    text = "\n".join(cell.source for cell in read(path).cells if cell.cell_type == "markdown")
    links = re.findall(r"\]\(((?:[\w.-]+\.ipynb)?)(?:#([^)]*))?\)", text)
    assert path.stem.startswith("02") or links
    for name, place in links:
        target = path.parent / name if name else path
        assert target.exists()
        assert not place or place in headings(target), f"{name}#{place}"


def test_findings_are_true_and_clear_and_covered_figures_are_folded(path):
    assert not refused(read(path))
    for cell in code_cells(path):
        covered = [output.get("metadata", {}).get("covered", False) for output in cell.outputs]
        assert cell.metadata.get("jupyter", {}).get("outputs_hidden", False) == any(covered)
        assert not any(covered) or len(covered) == 1  # the question is the first line that is seen


SAMPLE = {
    "stream": "print('a printed line')",
    "value": "41 + 1",
    "explorer": """
        from nnopt_lab.explorer import Explorer
        import plotly.graph_objects as go
        Explorer(lambda n: go.Figure(layout_title_text="Title"), n=[1, 2])""",
    "progress": """
        from nnopt_lab.explorer import Progress
        Progress("ten networks", 1)(0)""",
    "verdict": """
        from nnopt_lab.statistics import Verdict
        Verdict("it works", [5, 6, 5, 6, 5, 6, 5, 6], margin=1, unit="points")""",
    "covered": """
        from nnopt_lab.explorer import Prediction
        from nnopt_lab.statistics import Findings
        Explorer(
            lambda: go.Figure(layout_title_text="Title"),
            predict=Prediction("Which?", ["a", "b"], "a", ["yes", "no"]),
            shows=Findings({"it is a": True}),
        )""",
    "error": "1 / 0",
}


def corrupt(output: nbformat.NotebookNode) -> None:
    """Change what the learner reads, by one character."""
    if output.output_type == "error":
        output.evalue += "!"
    elif output.output_type == "stream":
        output.text += "!"
    else:
        output.data["text/plain"] += "!"


def sample_notebook(folder: Path) -> nbformat.NotebookNode:
    cells = []
    for kind, source in SAMPLE.items():
        lines = "\n".join(
            line[8:] if line.startswith(" " * 8) else line for line in source.split("\n")
        )
        cells.append(nbformat.v4.new_code_cell(lines.strip(), id=kind))
    cells[-1].metadata["tags"] = ["raises-exception"]
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(notebook, folder / "sample.ipynb")
    return run(folder / "sample.ipynb")


def test_a_changed_output_of_any_kind_is_noticed(tmp_path, monkeypatch, chromium):
    monkeypatch.setenv("NNOPT_LAB_PNG", "1")
    monkeypatch.setenv("BROWSER_PATH", chromium)
    whole = sample_notebook(tmp_path)
    changed = copy.deepcopy(whole)
    for cell in changed.cells:
        corrupt(cell.outputs[0])
    nbformat.write(whole, tmp_path / "whole.ipynb")
    nbformat.write(changed, tmp_path / "changed.ipynb")
    monkeypatch.delenv("NNOPT_LAB_PNG")

    def compare(name: str) -> list[str]:
        result = subprocess.run(
            [sys.executable, "-m", "pytest", "--nbval", "-rfp", "-p", "no:cacheprovider", name],
            cwd=tmp_path, capture_output=True, text=True,
        )  # fmt: skip
        return [line.split()[0] for line in result.stdout.splitlines() if "ipynb::" in line]

    assert compare("whole.ipynb").count("PASSED") == len(SAMPLE)
    assert compare("changed.ipynb").count("FAILED") == len(SAMPLE)


def test_without_a_browser_nothing_is_run(tmp_path):
    result = subprocess.run(
        [sys.executable, ROOT / "tests" / "run_notebooks.py", "missing.ipynb"],
        capture_output=True, text=True, env={"PATH": "", "HOME": str(tmp_path)},
    )  # fmt: skip
    assert result.returncode == 1
    assert "need a Chromium" in result.stderr


@pytest.mark.parametrize(
    ("shown", "reason"),
    [
        ('Verdict("it works", [2.4, 2.6] * 4, margin=2.39, unit="points")', "close: it works"),
        ('Findings({"it works": np.array([2.0, -1.9] * 4)})', "close: it works"),
        ('Findings({"it works": np.array([-1.0, -1.1] * 4)})', "false: it works"),
        ('Findings({"it works": False}, compare=False)', "false: it works"),
        ('[print("oops", file=__import__("sys").stderr), Findings({})][1:]', "on stderr: 'oops"),
        ('Verdict("c", [2.4, 2.6] * 4, margin=2.39, unit="points", compare=False)', ""),
        ('Findings({"it works": np.array([2.0, -1.9] * 4)}, compare=False)', ""),
    ],
)
def test_what_is_false_or_close_is_refused(shown, reason, tmp_path, chromium):
    source = f"""
import numpy as np
import plotly.graph_objects as go
from nnopt_lab.explorer import Explorer
from nnopt_lab.statistics import Findings, Verdict
Explorer(lambda: go.Figure(), shows={shown})"""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    path = tmp_path / "close.ipynb"
    nbformat.write(notebook, path)
    before = path.read_text()
    result = subprocess.run(
        [sys.executable, ROOT / "tests" / "run_notebooks.py", path],
        capture_output=True, text=True, env=os.environ | {"NNOPT_LAB_CHROMIUM": chromium},
    )  # fmt: skip
    assert (result.returncode, reason in result.stderr) == (1 if reason else 0, True)
    assert (path.read_text() == before) == bool(reason)
