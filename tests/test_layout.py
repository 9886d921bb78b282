"""Who may import whom, and what must not stand in the package."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import joblib
import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "nnopt_lab"
MODULES = sorted(PACKAGE.rglob("*.py"))
TECHNIQUES = {"pruning", "schedules", "normalization", "shuffling"}
WIDGETS = {"ipywidgets", "anywidget", "IPython"}


def imports(path: Path) -> set[str]:
    """Return the modules that a file imports at its top level, packages of ours in full."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    standard = sys.stdlib_module_names
    return {name for name in found if name.split(".")[0] not in standard}


def roots(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imports(path)}


def test_the_modules_are_where_they_are_looked_for():
    names = {path.relative_to(PACKAGE).as_posix() for path in MODULES}
    assert {"data.py", "networks.py", "training.py", "pruning.py", "statistics.py"} <= names
    assert not {"utils.py", "config.py", "helpers.py"} & {path.name for path in MODULES}


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_imports(path):
    folder, found = path.parent.name, imports(path)
    if path.parent == PACKAGE and path.stem in TECHNIQUES:
        assert roots(path) <= {"torch", "numpy", "xarray"}
    if path.parent == PACKAGE and path.stem in {
        "training",
        "networks",
        "grid",
        "data",
        "statistics",
    }:
        assert not {name for name in found if TECHNIQUES & set(name.split("."))}
    if folder == "figures":
        assert "torch" not in roots(path)
        ours = {n for n in found if n.startswith("nnopt_lab.") and "figures" not in n}
        assert {n.split(".")[1] for n in ours} <= {"statistics"}
    if folder == "explorer":
        assert not {n for n in found if n.startswith("nnopt_lab.") and "explorer" not in n}
    if folder not in {"explorer", "exercises"}:
        assert not roots(path) & WIDGETS
    if folder != "figures" and folder != "explorer":
        assert "plotly" not in roots(path)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_no_global_seed(path):
    text = path.read_text()
    assert "torch.manual_seed(" not in text
    assert "np.random.seed(" not in text


def test_every_module_has_its_test_and_every_technique_its_figures_and_exercises():
    for path in PACKAGE.glob("*.py"):
        if path.stem != "__init__":
            assert (ROOT / "tests" / f"test_{path.stem}.py").exists()
    for stem in TECHNIQUES:
        is_there = (PACKAGE / f"{stem}.py").exists()
        for folder in ("figures", "exercises"):
            assert (PACKAGE / folder / f"{stem}.py").exists() == is_there


def environment_after_import(**environment: str) -> list[str]:
    code = (
        "import nnopt_lab, os, sys; print('torch' in sys.modules);"
        "print(os.environ['GOMP_SPINCOUNT']); import torch; print(torch.get_num_threads())"
    )
    kept = {k: v for k, v in os.environ.items() if k not in ("GOMP_SPINCOUNT", "OMP_NUM_THREADS")}
    answer = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, text=True, check=True, env=kept | environment,
    )  # fmt: skip
    return answer.stdout.split()


def test_importing_the_package_sets_threads_before_torch_is_loaded():
    loaded, spins, threads = environment_after_import()
    assert loaded == "False"
    assert int(spins) < 100_000
    assert int(threads) == joblib.cpu_count(only_physical_cores=True)


def test_what_the_user_set_is_kept():
    _, spins, threads = environment_after_import(GOMP_SPINCOUNT="77", OMP_NUM_THREADS="1")
    assert (spins, threads) == ("77", "1")
