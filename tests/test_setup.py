"""What can be checked of make, pip, Binder and the README without the machines they serve."""

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
TRACKED = subprocess.run(
    ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
).stdout.split("\n")[:-1]
CPU_INDEX = "download.pytorch.org"


def requirements() -> list[str]:
    return (ROOT / "requirements.txt").read_text().split()


def extras() -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return project["optional-dependencies"]["test"]


def test_every_direct_dependency_is_pinned_and_installed_so():
    for line in requirements() + extras():
        name, version = line.split("==")
        assert importlib.metadata.version(name).split("+")[0] == version


def test_everything_imported_is_required():
    listed = {line.split("==")[0].replace("-", "_").lower() for line in requirements()}
    names = {"IPython": "ipykernel"}
    found = set()
    for path in (ROOT / "nnopt_lab").rglob("*.py"):
        for name in re.findall(r"^(?:from|import) (\w+)", path.read_text(), re.MULTILINE):
            found.add(names.get(name, name))
    found -= {*sys.stdlib_module_names, "nnopt_lab"}
    assert found <= listed


def test_no_package_host_is_named_but_the_cpu_index_where_it_may_be():
    hosts = re.compile(r"[\w.-]*(?:pypi|pythonhosted|npmjs|pytorch\.org|debian\.org)[\w.-]*\.?\w*")
    allowed = {"README.md": CPU_INDEX, "binder/requirements.txt": CPU_INDEX}
    for name in TRACKED:
        path = ROOT / name
        if path.suffix in {".npz", ".png"} or name.startswith("tests/"):
            continue
        for host in hosts.findall(path.read_text()):
            assert "." not in host or host == allowed.get(name), f"{name}: {host}"


def make(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    shutil.copy(ROOT / "Makefile", folder)
    for name in ("requirements.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    (folder / "binder").mkdir(exist_ok=True)
    shutil.copy(ROOT / "binder" / "overrides.json", folder / "binder")
    kept = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    return subprocess.run(
        ["make", *arguments], cwd=folder, capture_output=True, text=True, env=kept | environment
    )


def address() -> str:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return project["urls"]["Repository"].removeprefix("https://github.com/")


def test_the_address_of_the_repository_stands_in_one_place_and_the_others_agree(tmp_path):
    places = [
        found
        for name in TRACKED
        if not name.endswith((".npz", ".png")) and name != "tests/test_setup.py"
        for found in re.findall(
            r"(?:mybinder\.org/v2/gh|github\.com)/([\w.-]+/nnopt_lab)", (ROOT / name).read_text()
        )
    ]
    assert set(places) == {address()}
    assert len(places) == 2  # pyproject.toml, and the README's badge
    shutil.copy(ROOT / "README.md", tmp_path)
    make(tmp_path, "--version")
    text = (tmp_path / "pyproject.toml").read_text()
    (tmp_path / "pyproject.toml").write_text(text.replace(address(), "somebody/a-copy"))
    subprocess.run(["make", "address"], cwd=tmp_path, check=True, capture_output=True)
    expected = (ROOT / "README.md").read_text().replace(address(), "somebody/a-copy")
    assert (tmp_path / "README.md").read_text() == expected


def fake_python(folder: Path, script: str) -> str:
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return f"PYTHON={path}"


def test_make_says_what_is_missing(tmp_path):
    absent = make(tmp_path, "lab", "PYTHON=/no/such/python")
    assert "Install Python 3.11 or newer" in absent.stdout
    old = make(
        tmp_path, "lab",
        fake_python(tmp_path, 'test "$1" = --version && echo Python 3.9.2; test "$1" = --version'),
    )  # fmt: skip
    assert "This is Python 3.9.2; nnopt_lab needs Python 3.11 or newer" in old.stdout
    no_venv = make(tmp_path, "lab", fake_python(tmp_path, 'test "$1" = -c'))
    assert "apt install python3-venv" in no_venv.stdout
    for result in (absent, old, no_venv):
        assert result.returncode != 0
    assert not (tmp_path / ".venv").exists()


def planned(folder: Path, *arguments: str, **environment: str) -> str:
    return make(folder, "--dry-run", *arguments, **environment).stdout


def test_make_installs_again_only_when_requirements_changed(tmp_path):
    make(tmp_path, "--version")
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "pip").touch()
    assert "pip install" in planned(tmp_path, "lab")
    for name in ("lab", "test"):
        (tmp_path / ".venv" / name).touch()
    os.utime(tmp_path / ".venv" / "bin" / "pip", (0, 0))
    ahead = 4_000_000_000
    for name in ("lab", "test"):
        os.utime(tmp_path / ".venv" / name, (ahead, ahead))
    assert "pip install" not in planned(tmp_path, "lab")
    assert "jupyter lab" in planned(tmp_path, "lab")
    os.utime(tmp_path / ".venv" / "lab", (1, 1))  # older than requirements.txt
    assert "--requirement requirements.txt" in planned(tmp_path, "lab")


def test_make_uses_an_index_for_torch_only_when_told(tmp_path):
    assert "index-url" not in planned(tmp_path, "test")
    told = planned(tmp_path, "test", "TORCH_INDEX=https://example.invalid/cpu")
    assert "--extra-index-url https://example.invalid/cpu" in told


def test_make_lab_opens_a_browser_only_where_there_is_a_display(tmp_path):
    without = planned(tmp_path, "lab", DISPLAY="", WAYLAND_DISPLAY="")
    assert "open_browser=False" in without
    assert "open_browser=True" in planned(tmp_path, "lab", DISPLAY=":0")
    assert ("--allow-root" in without) == (os.getuid() == 0)


def test_what_hangs_fails_by_its_name_also_where_ctrl_c_is_ignored(tmp_path):
    """As in a job that a shell has started with ``&``."""
    (tmp_path / "test_it.py").write_text("def test_that_hangs():\n    while True:\n        pass\n")
    answer = subprocess.run(
        [
            *("bash", "-c", 'trap "" INT; exec "$@"', "bash"),
            *(sys.executable, "-m", "pytest", "-c", ROOT / "pyproject.toml"),
            *(f"--rootdir={tmp_path}", "-o", "timeout=2", tmp_path / "test_it.py"),
        ],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert re.search(r"FAILED .*::test_that_hangs", answer.stdout), answer.stdout
    assert "Timeout (>2.0s)" in answer.stdout


def test_first_notebook_exists():
    first = re.search(r"^FIRST := (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert first is not None
    assert (ROOT / first.group(1)).exists()


def test_scripts_can_be_run():
    for name in (".ci/run", "binder/postBuild"):
        assert os.access(ROOT / name, os.X_OK)
        subprocess.run(["bash", "-n", ROOT / name], check=True)


def test_binder_builds_this_environment():
    """repo2docker prints the Dockerfile without a Docker engine."""
    program = shutil.which("jupyter-repo2docker", path=str(Path(sys.executable).parent))
    result = subprocess.run(
        [program, "--no-build", "--debug", str(ROOT)], capture_output=True, text=True, check=True
    )
    dockerfile = result.stdout + result.stderr
    assert '-r "binder/requirements.txt"' in dockerfile
    assert "./binder/postBuild" in dockerfile
    assert "3.11" in (ROOT / "binder" / "runtime.txt").read_text()


def test_binder_requires_what_the_machine_does():
    lines = (ROOT / "binder" / "requirements.txt").read_text().split("\n")
    assert f"--extra-index-url https://{CPU_INDEX}/whl/cpu" in lines
    assert "-r ../requirements.txt" in lines
    assert "-e ." in lines


def test_readme_names_what_there_is():
    readme = (ROOT / "README.md").read_text()
    for command in ("make lab", "make test"):
        assert command in readme
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        assert path.name in readme
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", readme):
        assert (ROOT / target).exists(), target
    assert "lab/tree/notebooks/" in readme
