"""Run notebooks in place, the way they are to be committed.

Pictures take the place of live views, covered ones are folded, there is no widget state, and what
is false or so close that another processor could turn it over is refused.
"""

import base64
import io
import os
import sys
from pathlib import Path

from nnopt_lab.combined import code_up_to

import nbformat
from lab import find_chromium
from nbclient import NotebookClient
from nbformat import NotebookNode
from PIL import Image


def run(path: Path) -> NotebookNode:
    """Return the executed notebook."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=300,
        store_widget_state=False,
        resources={"metadata": {"path": path.parent}},
    )
    client.execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # when it ran: differs every time, tells nothing
        if any(output.get("metadata", {}).get("covered") for output in cell.get("outputs", [])):
            cell.metadata["jupyter"] = {**cell.metadata.get("jupyter", {}), "outputs_hidden": True}
    digests = code_up_to(notebook)  # tells later whether a verdict is of this code
    for cell, output in ((c, output) for c in notebook.cells for output in c.get("outputs", [])):
        if "image/png" in output.get("data", {}):
            output.data["image/png"] = in_128_colours(output.data["image/png"])
        if output.output_type == "error":  # where this machine keeps its packages is nobody's need
            output.traceback = [line.replace(f"{sys.prefix}/", "") for line in output.traceback]
        if "verdicts" in output.get("metadata", {}):
            output.metadata["code"] = digests[cell.id]
    notebook.metadata.pop("widgets", None)
    notebook.metadata["language_info"] = {"name": "python"}
    return notebook


def in_128_colours(picture: str) -> str:
    """Return a base64 PNG in a third of the bytes; the eye sees no difference in a line figure."""
    small = io.BytesIO()
    image = Image.open(io.BytesIO(base64.b64decode(picture))).convert("RGB")
    image.quantize(128).save(small, "PNG", optimize=True)
    return base64.b64encode(small.getvalue()).decode()


def refused(notebook: NotebookNode) -> list[str]:
    """Return findings that are false, what another processor could turn, and what is on stderr."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    found = [output.get("metadata", {}) for output in outputs]
    findings = [row for metadata in found for row in metadata.get("findings", [])]
    claims = [row for metadata in found for row in metadata.get("verdicts", [])]
    return [
        *(f"false: {row['sentence']}" for row in findings if not row["holds"]),
        *(f"close: {row['sentence']}" for row in findings if row["holds"] and not row["is_clear"]),
        *(f"close: {row['claim']}" for row in claims if not row["is_clear"]),
        *(
            f"on stderr: {output.text[:60]!r}"
            for output in outputs
            if output.get("name") == "stderr"
        ),
    ]


def main() -> None:
    """Run each notebook named; write it only if it may be committed."""
    chromium = find_chromium()
    if chromium is None:
        sys.exit("Pictures need a Chromium; install one, or name it in NNOPT_LAB_CHROMIUM.")
    os.environ["NNOPT_LAB_PNG"] = "1"
    os.environ["BROWSER_PATH"] = chromium
    for path in map(Path, sys.argv[1:]):
        notebook = run(path)
        wrong = refused(notebook)
        if wrong:
            sys.exit(
                f"{path} is not written. {'; '.join(wrong)}. What is false must not be said. What "
                "is close to its bound could turn over on another processor: give a finding a "
                "rounder bound, or write compare=False; change neither margin nor seeds of a claim."
            )
        nbformat.write(notebook, path)


if __name__ == "__main__":
    main()
