"""Write the student edition of a notebook: without solutions.

``python -m nnopt_lab.exercises notebooks/01_pruning.ipynb student/01_pruning.ipynb``
"""

import json
import sys
from pathlib import Path
from typing import Any


def student_edition(notebook: dict[str, Any]) -> dict[str, Any]:
    """Return a notebook (as JSON) without the cells tagged ``solution``, numbered anew."""
    cells = [
        dict(cell)
        for cell in notebook["cells"]
        if "solution" not in cell["metadata"].get("tags", [])
    ]
    count = 0
    for cell in cells:
        if cell["cell_type"] == "code":
            count += 1
            cell["execution_count"] = count
            cell["outputs"] = [
                output | {"execution_count": count} if "execution_count" in output else output
                for output in cell["outputs"]
            ]
    return notebook | {"cells": cells}


def main(arguments: list[str]) -> None:
    """Read one notebook, write the other."""
    source, target = map(Path, arguments if len(arguments) == 2 else ("", ""))
    if source.resolve() == target.resolve():
        sys.exit("Give two files: the notebook, and where its student edition goes.")
    if not source.is_file():
        sys.exit(f"There is no file {source}.")
    target.parent.mkdir(parents=True, exist_ok=True)
    edition = student_edition(json.loads(source.read_text(encoding="utf-8")))
    target.write_text(json.dumps(edition, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
