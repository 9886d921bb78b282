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
TECHNIQUES = {"pruning", "schedules", "normalization", "shuffling", "costs", "distributed"}
WITH_LESSON = {  # and so with figures and exercises of their own
    "pruning": "01_pruning",
    "schedules": "02_learning_rate_decay",
    "normalization": "03_batch_normalization",
    "distributed": "04_distributed_training",
    "shuffling": "05_shuffling",
}
WIDGETS = {"ipywidgets", "anywidget", "IPython"}

# Which rooms of ours a room may use besides itself; ``combined`` and ``exercises`` may use any.
MAY_USE = {
    **{name: set() for name in ("", "arguments", "statistics", "explorer")},
    **{name: {"arguments"} for name in ("data", "grid")},
    **{name: {"arguments", "networks"} for name in TECHNIQUES},
    "networks": {"arguments", "grid"},
    "training": {
        "arguments",
        "data",
        "grid",
        "networks",
        "shuffling",
    },  # of techniques the default order alone
    "recording": {"arguments", "grid", "networks", "training"},
    "figures": {"statistics"},
}


def imports(path: Path) -> set[str]:
    """Return the modules that a file imports anywhere, packages of ours in full."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
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


def room(path: Path) -> str:
    """Return the module or folder of the package that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py").removeprefix("__init__")


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_imports(path):
    mine, found = room(path), imports(path)
    ours = {name.split(".")[1] for name in found if name.startswith("nnopt_lab.")}
    if mine not in ("combined", "exercises"):
        further = {"data"} if path.name == "worker.py" else set()
        assert ours <= MAY_USE[mine] | {mine} | further
    if mine in TECHNIQUES:
        further = {"psutil"} if path.name == "supervise.py" else set()
        assert roots(path) <= {"torch", "numpy", "xarray", "nnopt_lab"} | further
    if mine == "figures":
        assert "torch" not in roots(path)
    if mine not in ("explorer", "exercises"):
        assert not roots(path) & WIDGETS
    if mine not in ("figures", "explorer"):
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
    for stem, lesson in WITH_LESSON.items():
        is_there = (ROOT / "notebooks" / f"{lesson}.ipynb").exists()
        assert (PACKAGE / "figures" / f"{stem}.py").exists() == is_there
        assert (PACKAGE / "exercises" / f"{stem}.py").exists() == is_there
        assert (ROOT / "tests" / f"test_exercises_{stem}.py").exists() == is_there


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
