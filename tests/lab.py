"""JupyterLab in a headless Chromium, as a learner uses it; for browser tests and benchmarks."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jupyter_client.blocking import BlockingKernelClient
from jupyter_core.paths import jupyter_runtime_dir
from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def find_chromium() -> str | None:
    """Return the browser to test with: $NNOPT_LAB_CHROMIUM, or the first on the path."""
    named = os.environ.get("NNOPT_LAB_CHROMIUM")
    names = [named] if named else ["chromium", "chromium-browser", "google-chrome"]
    return next(filter(None, map(shutil.which, names)), None)


class Lab:
    """One page of JupyterLab with one notebook open."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.console: list[str] = []
        self.requests: list[str] = []
        self.n_bytes = 0
        page.on("console", self._note)
        page.on("pageerror", self._note_error)
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("websocket", lambda ws: ws.on("framereceived", self._count))

    def _note(self, message: object) -> None:
        if message.type in ("error", "warning"):
            self.console.append(f"{message.type}: {message.text}")

    def _note_error(self, error: object) -> None:
        if "[anywidget] Failed to initialize model" not in str(error):  # a busy page; it is drawn
            self.console.append(f"pageerror: {error}")

    def _count(self, frame: str | bytes) -> None:
        self.n_bytes += len(frame)

    def open(self, notebook: str) -> None:
        """Open a notebook and wait for its kernel."""
        self.page.goto(f"{self.url}/lab/tree/{notebook}?reset")
        self.wait_for_kernel()

    def wait_for_kernel(self) -> None:
        self.page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=20_000)
        self.page.wait_for_function(
            "document.getElementById('jp-main-statusbar')?.innerText.includes('| Idle')",
            timeout=20_000,
        )

    def run_all(self) -> None:
        """Choose Run All Cells from the menu; does not wait."""
        self.page.click(".lm-MenuBar-itemLabel:text-is('Run')")
        self.page.click(".lm-Menu-itemLabel:text-is('Run All Cells')")

    def unfold(self) -> None:
        """Show what stands below folded headings."""
        for button in self.page.locator(".jp-showHiddenCellsButton").all():
            button.click()

    def replace_cell(self, number: int, source: str) -> None:
        """Type another source into a code cell, counted from 0, and run it."""
        self.page.locator(".jp-CodeCell").nth(number).locator(".cm-content").click()
        self.page.keyboard.press("Control+a")
        self.page.keyboard.insert_text(source)
        self.page.keyboard.press("Control+Enter")

    def wait_for_cell(self, count: int, seconds: float = 60) -> None:
        """Wait until the cell of this execution count has ended."""
        self.page.wait_for_function(
            "n => [...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')]"
            ".some(p => p.textContent === `[${n}]:`)",
            arg=count,
            timeout=seconds * 1000,
            polling=250,  # not at every frame: that would slow down what is waited for
        )

    def wait_until_drawn(self, n_figures: int) -> None:
        """Wait for this many figures of ours."""
        self.page.wait_for_function(
            "n => document.querySelectorAll('.nnopt-lab-figure .main-svg:first-child').length >= n",
            arg=n_figures,
            timeout=20_000,
        )
        self.page.wait_for_timeout(300)

    def set_values(self, name: str, **values: object) -> None:
        """Set controls of an Explorer in the kernel, and wait for the browser to follow."""
        pairs = list(values.items())
        self.ask_kernel(f"[setattr({name}.controls[n], 'value', v) for n, v in {pairs!r}]")
        self.page.wait_for_timeout(300)

    def kernel_id(self) -> str:
        with urllib.request.urlopen(f"{self.url}/api/kernels") as answer:
            return json.load(answer)[0]["id"]

    def kernel_pid(self) -> int:
        found = subprocess.run(
            ["pgrep", "-f", f"ipykernel_launcher.*{self.kernel_id()}"], capture_output=True
        )
        return int(found.stdout.split()[0])

    def ask_kernel(self, expression: str) -> object:
        """Evaluate an expression in the notebook's kernel; what it gives must be JSON.

        A kernel whose cell has just failed drops what came in meanwhile; then it is asked again.
        """
        client = BlockingKernelClient()
        client.load_connection_file(f"{jupyter_runtime_dir()}/kernel-{self.kernel_id()}.json")
        client.start_channels()
        try:
            reply = {"content": {"status": "aborted"}}
            while reply["content"]["status"] == "aborted":
                reply = client.execute_interactive(
                    "import json as _json",
                    user_expressions={"it": f"_json.dumps({expression})"},
                    store_history=False,
                    silent=True,
                    timeout=60,
                )
        finally:
            client.stop_channels()
            client.context.destroy(linger=0)  # or its files stay open until it is collected
        answer = reply["content"]["user_expressions"]["it"]
        if answer["status"] != "ok":
            raise RuntimeError(answer["evalue"])
        return json.loads(eval(answer["data"]["text/plain"]))


@contextmanager
def open_browser(chromium: str) -> Iterator[Browser]:
    """Start a headless browser; end it."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


@contextmanager
def open_lab(
    folder: Path, browser: Browser, width: int = 1400, **environment: str
) -> Iterator[Lab]:
    """Start JupyterLab on a free loopback port, and a page of a browser; end both."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    mine = tempfile.mkdtemp()  # neither read nor change the settings of who runs the tests
    server = subprocess.Popen(
        [
            *(sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", "--allow-root"),
            *(f"--port={port}", "--IdentityProvider.token=", f"--ServerApp.root_dir={folder}"),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ
        | {"JUPYTERLAB_SETTINGS_DIR": mine, "JUPYTERLAB_WORKSPACES_DIR": mine}
        | environment,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(f"{url}/api/status")
        page = browser.new_page(viewport={"width": width, "height": 900})
        page.set_default_timeout(10_000)
        yield Lab(page, url)
        page.close()
    finally:
        server.terminate()
        server.wait(30)
        shutil.rmtree(mine)


def _wait_for(url: str, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while True:
        try:
            urllib.request.urlopen(url).close()
            return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)
