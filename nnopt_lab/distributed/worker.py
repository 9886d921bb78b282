"""What each process of a real run does: data-parallel training, with a clock at every phase.

``torchrun --nproc-per-node 2 worker.py folder`` starts it; so does ``launch.runs``. The same file
runs on several machines under ``torchrun --nnodes``, and on GPUs, one a process, with NCCL.

``folder/settings.json`` holds ``cases``, a list of {"width", "batch"} (samples of a process), and
``steps``. Each rank writes ``folder/<rank>.json``: for each case the seconds of its phases, and how
far the gradient lies from that of one process.
"""

import json
import os
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

LIMIT = timedelta(seconds=10)  # for any message; gloo's own is 30 minutes
ARRIVAL = timedelta(seconds=5)  # until a rank that is missing is named
WARM_UP = 5  # steps that are not measured


class Rank:
    """One process: who it is, where it computes, and its part of the work."""

    def __init__(self) -> None:
        has_gpu = torch.cuda.is_available()
        self.device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if has_gpu else "cpu"
        if has_gpu:
            torch.cuda.set_device(self.device)
        dist.init_process_group("nccl" if has_gpu else "gloo", timeout=LIMIT)
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
            dist.monitored_barrier(timeout=ARRIVAL, wait_all_ranks=True)

    def batch(self, n: int) -> tuple[Tensor, Tensor]:
        """Return n samples of this rank's own, and their classes."""
        data = mnist1d(20_000)
        mine = torch.arange(self.rank, len(data.x_train), self.size)[:n]
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
    """Return when each step began, had computed, had waited for the others, had all-reduced."""
    net, (x, y) = network(case["width"]).to(rank.device), rank.batch(case["batch"])
    optimizer, ready = torch.optim.SGD(net.parameters(), lr=0.05), torch.zeros(1)
    times = []
    for _ in range(WARM_UP + steps):
        begin = rank.now()
        optimizer.zero_grad()
        cross_entropy(net(x), y).backward()
        computed = rank.now()
        dist.all_reduce(ready.to(rank.device))  # one number: all have computed
        waited = rank.now()
        gradient = _flat(net)
        dist.all_reduce(gradient)
        reduced = rank.now()
        vector_to_parameters(gradient / rank.size, _gradients(net))
        optimizer.step()
        times.append([begin, computed, waited, reduced])
    return times[WARM_UP:]


def step_seconds(rank: Rank, case: Mapping[str, int], steps: int) -> list[float]:
    """Return what each step takes under DistributedDataParallel, which hides what it can."""
    net = DistributedDataParallel(network(case["width"]).to(rank.device))
    optimizer, (x, y) = torch.optim.SGD(net.parameters(), lr=0.05), rank.batch(case["batch"])
    times = []
    for _ in range(WARM_UP + steps):
        begin = rank.now()
        optimizer.zero_grad()
        cross_entropy(net(x), y).backward()
        optimizer.step()
        times.append(rank.now() - begin)
    return times[WARM_UP:]


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


def _flat(net: nn.Module) -> Tensor:
    return parameters_to_vector(_gradients(net))


def _gradients(net: nn.Module) -> list[Tensor]:
    return [p.grad for p in net.parameters() if p.grad is not None]


@record
def main() -> None:
    """Measure each case, and write what came of it."""
    folder = Path(sys.argv[1])
    settings = json.loads((folder / "settings.json").read_text())
    rank, found = Rank(), []
    cases: list[dict[str, Any]] = settings["cases"]
    for i, case in enumerate(cases, 1):
        rank.wait_for_all()
        found.append(
            {
                "phases": phases(rank, case, settings["steps"]),
                "step": step_seconds(rank, case, settings["steps"]),
                "apart": distance(rank, case, sync=True),
                "apart_without_sync": distance(rank, case, sync=False),
            }
        )
        if rank.rank == 0:
            (folder / "share").write_text(str(i / len(cases)))
    (folder / f"{rank.rank}.json").write_text(json.dumps(found))
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
