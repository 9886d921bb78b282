"""From key press to redraw in JupyterLab: an Explorer beside the same figure as FigureWidget.

And from Stop to the end of a live training.

Run it on an idle machine: python tests/benchmarks/explorer.py
"""

import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import nbformat
import numpy as np

TESTS = Path(__file__).parent.parent
sys.path.insert(0, str(TESTS))

from lab import Lab, find_chromium, open_browser, open_lab  # noqa: E402
from load import described, others  # noqa: E402

SLIDERS = """[...document.querySelectorAll('.jp-OutputArea .noUi-handle')]
  .filter(h => h.closest('.jp-OutputArea-output').querySelector('.js-plotly-plot'))"""

# Presses ArrowRight and ArrowLeft in turn on the n-th slider; notes when its figure is redrawn.
PRESS = """async ([n, presses]) => {
  const handle = SLIDERS[n];
  const output = handle.closest('.jp-OutputArea-output');
  const figure = output.querySelector('.js-plotly-plot');
  const times = [];
  for (let i = 0; i < presses; i++) {
    const key = i % 2 ? 'ArrowLeft' : 'ArrowRight';
    handle.focus();
    const start = performance.now();
    times.push(await new Promise(done => {
      const drawn = () => { figure.removeListener('plotly_afterplot', drawn);
                            done(performance.now() - start); };
      figure.on('plotly_afterplot', drawn);
      setTimeout(() => { figure.removeListener('plotly_afterplot', drawn); done(NaN); }, 2000);
      handle.dispatchEvent(new KeyboardEvent('keydown', {key, bubbles: true, cancelable: true}));
    }));
    await new Promise(rest => setTimeout(rest, 100));
  }
  return times;
}""".replace("SLIDERS", SLIDERS)

LINES = """
import numpy as np
import plotly.graph_objects as go
from nnopt_lab.explorer import Explorer
from nnopt_lab.figures import theme
x = np.linspace(0, 100, 60)
def draw(a):
    lines = [theme.line(x, np.cos(x / (9 + a + i)), f"line {i}", i)[0] for i in range(6)]
    return theme.figure(lines, title="Six lines of 60 points", x="x", y="y")
Explorer(draw, a=range(10))"""

PANELS = """
def three(a):
    panels = {
        name: theme.Panel([t for i in range(3) for t in theme.line(x, np.cos(x / (9 + a + i)),
                           f"line {i}", i, half_width=0.2 + 0 * x)], {"title": "x"}, {"title": "y"})
        for name in ("one", "two", "three")
    }
    return theme.side_by_side(panels, title="Three panels of three lines with bands")
Explorer(three, a=range(10))"""

WIDGET = """
from ipywidgets import IntSlider, VBox
figure, slider = go.FigureWidget(draw(0)), IntSlider(max=9)
def move(change):
    with figure.batch_update():
        for trace, new in zip(figure.data, draw(change.new).data):
            trace.y = new.y
slider.observe(move, "value")
VBox([slider, figure])"""

TRAIN = """
from nnopt_lab.data import mnist1d
from nnopt_lab.networks import mlp
from nnopt_lab.grid import grid
from nnopt_lab.training import train
runs = grid(seed=range(40))
train(mlp([40, 64, 64, 10], runs), mnist1d(), runs, epochs=10_000, lr=0.05)"""

LIVE = """
import plotly.graph_objects as go
from nnopt_lab.data import mnist1d
from nnopt_lab.explorer import Live
from nnopt_lab.networks import mlp
from nnopt_lab.grid import grid
from nnopt_lab.training import train
def run(report, stop, lr):
    losses, runs = [], grid(seed=range(40))
    def watch(updates, model, loss):
        losses.append(0 if loss is None else loss.mean().item())
        if updates % 20 == 1:
            report(losses[1::20], 0.5)
    train(mlp([40, 64, 64, 10], runs), mnist1d(), runs, epochs=10_000, lr=lr, watch=[watch],
          stop=stop)
    return ""
Live(run, lambda results: go.Figure([go.Scatter(y=y) for y in results.values()]), lr=0.05)"""

# Presses Train, waits for a curve, presses Stop; notes when the panel says that it has stopped.
STOP = """async (presses) => {
  const [train, stop] = document.querySelectorAll('.jp-OutputArea .jupyter-button');
  const says = words => document.querySelector('[role=status]').innerText.startsWith(words);
  const rest = ms => new Promise(done => setTimeout(done, ms));
  const times = [];
  for (let i = 0; i < presses; i++) {
    train.click();
    while (!says('Training')) await rest(5);
    await rest(500);
    const start = performance.now();
    stop.click();
    while (!says('Stopped')) await rest(5);
    times.push(performance.now() - start);
  }
  return times;
}"""


def report(name: str, lab: Lab, slider: int = 0) -> None:
    """Press 40 times and print."""
    first = np.array(lab.page.evaluate(PRESS, [slider, 4]), dtype=float)
    if np.isnan(first).all():
        print(f"  {name:30s} no redraw within 2 s")
        return
    times = np.array(lab.page.evaluate(PRESS, [slider, 40]), dtype=float)
    lost = int(np.isnan(times).sum())
    middle, high = np.nanpercentile(times, [50, 95])
    print(f"  {name:30s} median {middle:5.1f} ms, 95th percentile {high:5.1f} ms, lost {lost}")


def write(folder: Path, sources: list[str]) -> None:
    """Write a notebook named bench.ipynb."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(s) for s in sources])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3 (ipykernel)"}
    nbformat.write(notebook, folder / "bench.ipynb")


def main() -> None:
    """Measure line figures in every state of the kernel, and all figures of each notebook."""
    chromium = find_chromium()
    if chromium is None:
        sys.exit("This needs a Chromium.")
    print(described([others() for _ in range(3)]))
    folder = Path(tempfile.mkdtemp())
    with open_browser(chromium) as browser:
        write(folder, [LINES, WIDGET, PANELS, TRAIN])
        with open_lab(folder, browser) as lab:
            lab.open("bench.ipynb")
            print("six lines, 40 presses")
            lab.run_all()
            lab.wait_until_drawn(1)
            lab.page.wait_for_selector(".jp-OutputArea-output >> nth=1")
            lab.page.wait_for_timeout(3000)
            report("Explorer, kernel trains", lab)
            report("FigureWidget, kernel trains", lab, 1)
            lab.page.click("[data-jp-item-name=interrupt]")
            lab.page.wait_for_timeout(2000)
            report("Explorer, kernel idle", lab)
            report("FigureWidget, kernel idle", lab, 1)
            report("Explorer, three panels", lab, 2)
            pid = lab.kernel_pid()
            os.kill(pid, signal.SIGSTOP)
            report("Explorer, kernel stopped", lab)
            os.kill(pid, signal.SIGCONT)
        write(folder, [LIVE])
        with open_lab(folder, browser) as lab:
            lab.open("bench.ipynb")
            lab.run_all()
            lab.wait_until_drawn(1)
            times = lab.page.evaluate(STOP, 20)
            print("Live, 40 networks, 20 times")
            print(
                f"  Stop to stopped: median {np.median(times):.0f} ms, longest {max(times):.0f} ms"
            )
        for path in sorted((TESTS.parent / "notebooks").glob("[0-9]*.ipynb")):
            shutil.copy(path, folder)
            with open_lab(folder, browser, NNOPT_LAB_OPEN="1") as lab:
                lab.open(path.name)
                print(path.name)
                start = time.monotonic()
                lab.run_all()
                lab.wait_until_drawn(1)
                print(f"  first figure after {time.monotonic() - start:.1f} s")
                cells = [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
                lab.wait_for_cell(len(cells), seconds=240)
                print(f"  Run All took {time.monotonic() - start:.1f} s")
                gigabytes = lab.ask_kernel("__import__('resource').getrusage(0).ru_maxrss") / 1e6
                print(f"  {lab.n_bytes / 1e6:.2f} MB to the browser, {gigabytes:.2f} GB resident")
                lab.page.wait_for_timeout(2000)
                for i in range(lab.page.evaluate(f"{SLIDERS}.length")):
                    report(f"slider {i + 1}", lab, i)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
