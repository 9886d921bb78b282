"""Real processes under torchrun; after each test none of them may be left."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from nnopt_lab.distributed import launch as module
from nnopt_lab.distributed import scaling
from nnopt_lab.distributed.launch import RankError, launch, measure, speed_ups

import numpy as np
import psutil
import pytest
import xarray as xr

WORKER = """
import json, os, signal, sys, time
from datetime import timedelta
from pathlib import Path
import torch
import torch.distributed as dist
from torch.distributed.elastic.multiprocessing.errors import record

@record
def main():
    folder, rank = Path(sys.argv[1]), int(os.environ["RANK"])
    asked = json.loads((folder / "settings.json").read_text())
    dist.init_process_group("gloo", timeout=timedelta(seconds=5))
    if rank == 0:
        (folder / "share").write_text("0.5")
    dist.monitored_barrier(timeout=timedelta(seconds=2), wait_all_ranks=True)
    total = torch.tensor([float(rank + 1)])
    dist.all_reduce(total)
    time.sleep(asked.get("pause", 0))
    threads = os.environ["OMP_NUM_THREADS"]
    (folder / f"{rank}.json").write_text(json.dumps([rank, total.item(), threads]))
    dist.destroy_process_group()

main()
"""


def running(part: Path) -> list[psutil.Process]:
    """Return the processes that have a path in their command line, or in what they were given."""
    found = []
    for process in psutil.process_iter():
        try:
            if str(part) in " ".join(process.cmdline()):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
    return found


def wait_until(is_so, seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.fixture
def worker(tmp_path):
    path = tmp_path / "worker.py"
    path.write_text(WORKER)
    yield path
    wait_until(lambda: not running(path), seconds=20)


def test_each_rank_returns_what_it_found_with_one_thread(worker):
    shares = []
    found = launch(worker, 2, {}, report=shares.append)
    assert found == [[0, 3.0, "1"], [1, 3.0, "1"]]
    assert shares == [0.5]


def test_more_processes_than_cores_take_turns(worker):
    assert len(launch(worker, os.cpu_count() + 1, {})) == os.cpu_count() + 1


def test_all_end_when_asked_to_stop(worker):
    shares = []
    assert launch(worker, 2, {"pause": 1000}, report=shares.append, stop=lambda: shares) == []
    assert not running(worker)


def test_what_does_not_start_says_why(worker):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        options = ["--master-addr=127.0.0.1", f"--master-port={taken.getsockname()[1]}"]
        with pytest.raises(RankError, match=r"(?s)did not start; they said:.*in use"):
            launch(worker, 2, {}, options=options)


def test_bad_input_is_said(worker):
    for bad in (0, True, 1.5):
        with pytest.raises(ValueError, match=r"processes is .*; give a whole number from 1"):
            launch(worker, bad, {})
    with pytest.raises(ValueError, match=r"widths is \[\], .*give whole numbers from 1"):
        measure(1, [], [8])
    with pytest.raises(ValueError, match="a batch is 0; give a whole number from 1"):
        measure(1, [8], [0])
    with pytest.raises(ValueError, match=r"need 30000; there are 20000"):
        measure(3, [8], [8, 10_000])
    for n, fault in ((2, "sleeps"), (1, "raises")):
        with pytest.raises(ValueError, match=r"fault is .*; give one of raises, is killed, never"):
            measure(n, [8], [8], fault=fault)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_who_launched_is_interrupted_or_killed(worker, number):
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from nnopt_lab.distributed.launch import launch\n"
        f"launch({str(worker)!r}, 2, {{'pause': 1000}}, report=lambda share: print(share))"
    )
    command = [sys.executable, "-uc", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as kernel:
        assert kernel.stdout.readline() == b"0.5\n"
        assert len(running(worker)) > 3
        kernel.send_signal(number)
        said = kernel.stderr.read()
    assert (b"KeyboardInterrupt" in said) == (number == signal.SIGINT)


STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if len(sys.argv) == 2:
    subprocess.Popen([sys.executable, *sys.argv, "child"], start_new_session=True)
print("there", flush=True)
time.sleep(1000)
"""


def test_what_ignores_the_request_is_killed_with_its_children(tmp_path):
    path = tmp_path / "stubborn.py"
    path.write_text(STUBBORN)
    command = [sys.executable, Path(module.__file__).parent / "supervise.py"]
    with subprocess.Popen(
        [*command, sys.executable, path, "parent"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as supervisor:
        assert [supervisor.stdout.readline() for _ in range(2)] == [b"there\n"] * 2
        supervisor.stdin.close()
        assert supervisor.wait() != 0
    assert not running(path)


def test_real_networks_in_two_processes_form_one_gradient():
    found = measure(2, [16, 32], [8], steps=3)
    assert dict(found.sizes) == {"width": 2, "batch": 1, "device": 2, "step": 3, "block": 5}
    for name in ("computation", "all_reduce", "loop"):
        assert bool((found[name] > 0).all())
    waits = found.wait.min("device")
    assert bool((waits == 0).all())
    assert float(found.wait.max()) > 0
    assert bool((found.wait.isel(device=found.slowest) == 0).all())
    assert float(found.start.min()) == 0
    assert bool((found.start.diff("step") > 0).all())
    assert set(found.slowest.values.ravel()) <= {0, 1}
    assert found.parameters.values.tolist() == [1098, 2698]
    assert float(found.apart.max()) < 1e-6
    assert float(found.apart_without_sync.min()) > 0.05


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("raises", "rank 1 raised RuntimeError: it was asked to fail"),
        ("is killed", "rank 1 was ended by SIGKILL"),
        ("never arrives", r"rank 0 raised .*[Rr]anks? 1 failed"),
    ],
)
def test_a_fault_on_purpose_names_the_rank(fault, words):
    with pytest.raises(RankError, match=words):
        measure(2, [8], [8], fault=fault)


def test_speed_ups_compare_with_one_process():
    def run_of(n, seconds):
        axes = {"width": [8, 16], "batch": [4, 8], "device": range(n)}
        times = np.broadcast_to(np.array(seconds).reshape(2, 2, 1, 1), (2, 2, n, 3))
        reduced = np.broadcast_to(np.array([1e-3, 2e-3]).reshape(2, 1, 1, 1), times.shape)
        every = [*axes, "step"]
        columns = {"loop": ([*axes, "block"], times), "all_reduce": (every, reduced)}
        return xr.Dataset({**columns, "parameters": ("width", [1e3, 1e6])}, axes)

    runs = {1: run_of(1, [1, 2, 3, 4]), 2: run_of(2, [2, 4, 6, 5])}
    weak, strong = (speed_ups(runs, 16, 8, scaling=how) for how in ("weak", "strong"))
    assert weak.measured.sel(processes=2).values.tolist() == pytest.approx([8 / 5] * 3)
    assert strong.measured.sel(processes=2).values.tolist() == pytest.approx([4 / 6] * 3)
    link = scaling.link_of((4e3, 4e6), (1e-3, 2e-3), 2)
    free = scaling.Free(tax=scaling.FITTED.tax, hidden=0)
    step = [scaling.predict(1e6, c, [2], link=link, free=free).step.item() for c in (4, 3)]
    assert weak.modelled.values.tolist() == pytest.approx([1, 2 * 4 / step[0]])
    assert strong.modelled.values.tolist() == pytest.approx([1, 4 / step[1]])


PLAN = {"width": 8, "batch": 16, "steps": 12, "every": 4, "killed_at": None}
WORKER_FILE = Path(module.__file__).parent / "worker.py"


def test_a_run_that_is_killed_ends_as_if_it_were_not():
    options = ["--standalone", "--max-restarts=1"]
    through, between, before_a_save = (
        launch(WORKER_FILE, 2, {"training": {**PLAN, "killed_at": step}}, options=options)
        for step in (None, 6, 8)
    )
    assert np.allclose(through[0], through[1], rtol=0, atol=0)
    for again in (between, before_a_save):
        assert np.allclose(again, through, rtol=0, atol=1e-6)


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def test_two_agents_run_the_same_file_as_on_two_machines(tmp_path):
    settings = {"cases": [{"width": 8, "batch": 8}], "steps": 2}
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1"]
    meeting = ["--rdzv-backend=c10d", f"--rdzv-endpoint=127.0.0.1:{free_port()}"]
    agents = [subprocess.Popen([*torchrun, *meeting, WORKER_FILE, tmp_path]) for _ in range(2)]
    assert [agent.wait(90) for agent in agents] == [0, 0]
    found = [json.loads((tmp_path / f"{rank}.json").read_text())[0] for rank in (0, 1)]
    assert max(each["apart"] for each in found) < 1e-6
    assert min(each["apart_without_sync"] for each in found) > 0.05
