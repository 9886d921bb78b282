"""What each process of a real run does: data-parallel training, with a clock at every phase.

``torchrun --nproc-per-node 2 worker.py folder`` starts it; so does ``launch.measure``. The same
file runs on several machines under ``torchrun --nnodes``, if all of them see the folder, and on
GPUs, one a process, with NCCL.

``folder/settings.json`` holds one of two things:

- ``cases``, a list of {"width", "batch"} (samples of a process), and ``steps``. Each rank writes
  ``folder/<rank>.json``: for each case the seconds of its phases, and how far the gradient lies
  from that of one process. ``fault``, one of ``FAULTS``, lets the last rank fail.
- ``training``: {"width", "batch", "steps", "every", "killed_at"}. Each rank writes the weights that
  it ends with. A checkpoint is saved every so many steps. At step ``killed_at``, if it is not null,
  the last rank is killed; with ``torchrun --max-restarts=1`` all start again, from the checkpoint.
"""

import gc
import json
import os
import signal
import sys
import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from nnopt_lab.data import mnist1d

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.elastic.multiprocessing.errors import record
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import parameters_to_vector, vector_to_parameters

LIMIT = timedelta(minutes=10)  # for any message
SOON = timedelta(seconds=5)  # the same, where a rank is to fail
SAMPLES = 20_000  # of all ranks
WARM_UP = 3  # steps that are not measured
BLOCKS, BLOCK = 5, 0.04  # how often steps are timed together, for about so many seconds
FAULTS = ("raises", "is killed", "never arrives")


class Rank:
    """One process: who it is, where it computes, and its part of the work."""

    def __init__(self, limit: timedelta = LIMIT) -> None:
        has_gpu = torch.cuda.device_count() >= int(os.environ["LOCAL_WORLD_SIZE"])
        self.device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if has_gpu else "cpu"
        if has_gpu:
            torch.cuda.set_device(self.device)
        dist.init_process_group("nccl" if has_gpu else "gloo", timeout=limit)
        self.limit = limit
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        self.has_gpu = has_gpu

    def now(self) -> float:
        """Return the time of this machine, which all its processes share, in seconds."""
        if self.has_gpu:
            torch.cuda.synchronize()
        return time.monotonic()

    def wait_for_all(self) -> None:
        """Wait until each rank is here; one that does not come is named."""
        if self.has_gpu:
            dist.barrier()
        else:
            dist.monitored_barrier(timeout=self.limit, wait_all_ranks=True)

    def leave(self) -> None:
        """End the group, after all that holds it: its threads must not outlive the interpreter."""
        gc.collect()
        dist.destroy_process_group()

    def batch(self, n: int, step: int = 0) -> tuple[Tensor, Tensor]:
        """Return n samples of this rank's own, and their classes; in each step others."""
        data = mnist1d(SAMPLES)
        own = torch.arange(self.rank, len(data.x_train), self.size)
        mine = own.roll(-step * n)[:n]
        return data.x_train[mine].to(self.device), data.y_train[mine].to(self.device)


def network(width: int) -> nn.Sequential:
    """Return the same network on every rank."""
    net = nn.Sequential(
        nn.Linear(40, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 10)
    )
    generator = torch.Generator().manual_seed(0)
    for parameter in net.parameters():
        nn.init.uniform_(parameter, -0.1, 0.1, generator=generator)
    return net


def phases(rank: Rank, case: Mapping[str, int], steps: int) -> list[list[float]]:
    """Return when each step began, had computed, and had all-reduced.

    All-reduces follow the computation here; the wait for the slowest is the first part of them.
    """
    net, (x, y) = network(case["width"]).to(rank.device), rank.batch(case["batch"])
    optimizer, times = torch.optim.SGD(net.parameters(), lr=0.05), []
    for _ in range(WARM_UP + steps):
        begin = rank.now()
        optimizer.zero_grad()
        cross_entropy(net(x), y).backward()
        computed = rank.now()
        if rank.size > 1:
            gradient = _flat(net)
            dist.all_reduce(gradient)
            vector_to_parameters(gradient / rank.size, _gradients(net))
        reduced = rank.now()
        optimizer.step()
        times.append([begin, computed, reduced])
    return times[WARM_UP:]


def block_seconds(rank: Rank, case: Mapping[str, int]) -> list[float]:
    """Return what a step takes, as the mean of each block of steps.

    Several processes train under DistributedDataParallel, which hides what it can; one trains in
    an ordinary loop.
    """
    net: nn.Module = network(case["width"]).to(rank.device)
    if rank.size > 1:
        net = DistributedDataParallel(net)
    optimizer, (x, y) = torch.optim.SGD(net.parameters(), lr=0.05), rank.batch(case["batch"])

    def timed(steps: int) -> float:
        rank.wait_for_all()
        begin = rank.now()
        for _ in range(steps):
            optimizer.zero_grad()
            cross_entropy(net(x), y).backward()
            optimizer.step()
        return (rank.now() - begin) / steps

    timed(WARM_UP)
    longest = torch.tensor(timed(WARM_UP)).to(rank.device)
    dist.all_reduce(longest, dist.ReduceOp.MAX)  # all must make as many steps
    steps = max(2, round(BLOCK / longest.item()))
    return [timed(steps) for _ in range(BLOCKS)]


def distance(rank: Rank, case: Mapping[str, int], *, sync: bool) -> float:
    """Return how far a rank's gradient lies from one process's on the samples of all.

    With ``sync`` false it is formed under ``no_sync``: that of the rank's own samples.
    """
    net, (x, y) = network(case["width"]).to(rank.device), rank.batch(case["batch"])
    whole = [[torch.empty_like(part) for _ in range(rank.size)] for part in (x, y)]
    for parts, mine in zip(whole, (x, y), strict=True):
        dist.all_gather(parts, mine)
    cross_entropy(net(torch.cat(whole[0])), torch.cat(whole[1])).backward()
    right = _flat(net)
    together = DistributedDataParallel(network(case["width"]).to(rank.device))
    if sync:
        cross_entropy(together(x), y).backward()
    else:
        with together.no_sync():
            cross_entropy(together(x), y).backward()
    return float((_flat(together) - right).norm() / right.norm())


def fail(rank: Rank, fault: str) -> None:
    """Let the last rank raise, be killed, or keep the others waiting."""
    if rank.rank != rank.size - 1:
        return
    if fault == "is killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if fault == "never arrives":
        time.sleep(1000)
    raise RuntimeError("it was asked to fail")


def trained(rank: Rank, plan: Mapping[str, Any], checkpoint: Path) -> list[float]:
    """Train on, from the checkpoint if there is one, and return the weights at the end."""
    net = DistributedDataParallel(network(plan["width"]).to(rank.device))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    is_there = rank.rank == 0 and checkpoint.exists()  # others may see a folder too late
    found: list[Any] = [torch.load(checkpoint, map_location="cpu") if is_there else None]
    dist.broadcast_object_list(found)
    saved, first = found[0], 0
    if saved is not None:
        net.load_state_dict(saved["net"])
        optimizer.load_state_dict(saved["optimizer"])
        first = saved["step"]
    is_first_life = os.environ["TORCHELASTIC_RESTART_COUNT"] == "0"
    for step in range(first, plan["steps"]):
        if step == plan["killed_at"] and is_first_life:
            fail(rank, "is killed")
        if step % plan["every"] == 0 and rank.rank == 0:
            save(checkpoint, net=net.state_dict(), optimizer=optimizer.state_dict(), step=step)
        x, y = rank.batch(plan["batch"], step)
        optimizer.zero_grad()
        cross_entropy(net(x), y).backward()
        optimizer.step()
    weights: list[float] = parameters_to_vector(net.parameters()).tolist()
    return weights


def save(checkpoint: Path, **state: Any) -> None:
    """Save a checkpoint that is whole or not there, whatever fails meanwhile."""
    new = checkpoint.with_suffix(".new")
    with new.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, checkpoint)


def measured(rank: Rank, settings: Mapping[str, Any], share: Path) -> list[dict[str, Any]]:
    """Return what each case took, and how far its gradient is off."""
    cases, steps, found = settings["cases"], settings["steps"], []
    for i, case in enumerate(cases, 1):
        rank.wait_for_all()
        found.append(
            {
                "phases": phases(rank, case, steps),
                "block": block_seconds(rank, case),
                "apart": distance(rank, case, sync=True),
                "apart_without_sync": distance(rank, case, sync=False),
            }
        )
        if rank.rank == 0:
            share.write_text(str(i / len(cases)))
    return found


def _flat(net: nn.Module) -> Tensor:
    return parameters_to_vector(_gradients(net))


def _gradients(net: nn.Module) -> list[Tensor]:
    return [p.grad for p in net.parameters() if p.grad is not None]


@record
def main() -> None:
    """Measure or train, and write what came of it."""
    folder = Path(sys.argv[1])
    settings = json.loads((folder / "settings.json").read_text())
    fault = settings.get("fault")
    rank = Rank(LIMIT if fault is None else SOON)
    if fault is not None:
        fail(rank, fault)
    found: list[Any]
    if "training" in settings:
        found = trained(rank, settings["training"], folder / "checkpoint.pt")
    else:
        found = measured(rank, settings, folder / "share")
    (folder / f"{rank.rank}.json").write_text(json.dumps(found))
    rank.leave()


if __name__ == "__main__":
    main()
