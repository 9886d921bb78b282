"""How fast a population trains, in ratios measured side by side in one run.

The loop that a user would write runs in a process that imports nothing of ours, with torch's own
settings. All train 40-64-64-10 on 4 000 samples, 64 a step, in an own order for each network, and
record the training loss. Run it on an idle machine: python tests/benchmarks/training.py
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from functools import partial
from itertools import pairwise

from load import described, others

WIDTHS = [40, 64, 64, 10]
K = 40
SECONDS = 3.0


def loop() -> float:
    """Train one network after the other with DataLoader, nn.Sequential and optim.SGD."""
    import torch
    from torch import nn
    from torch.utils.data import DataLoader, TensorDataset

    data = TensorDataset(torch.randn(4000, 40), torch.randint(0, 10, (4000,)))
    steps, start = 0, time.perf_counter()
    while time.perf_counter() - start < SECONDS:
        network = nn.Sequential(
            nn.Linear(40, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)
        )
        optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
        criterion = nn.CrossEntropyLoss()
        total = 0.0
        for x, y in DataLoader(data, batch_size=64, shuffle=True):
            optimizer.zero_grad()
            loss = criterion(network(x), y)
            loss.backward()
            optimizer.step()
            total += loss.item()
            steps += 1
    return steps / (time.perf_counter() - start)


def population(n_networks: int = K) -> float:
    """Train with ``train``, as shipped."""
    from nnopt_lab.data import Data
    from nnopt_lab.grid import grid
    from nnopt_lab.networks import mlp
    from nnopt_lab.training import train

    import torch

    x, y = torch.randn(4000, 40), torch.randint(0, 10, (4000,))
    data = Data(x, y, x[:1], y[:1], x[:1], y[:1])  # nothing to validate: training is compared
    runs = grid(seed=range(n_networks))
    model = mlp(WIDTHS, runs)
    train(model, data, runs, epochs=1, lr=0.05)
    steps, start = 0, time.perf_counter()
    while time.perf_counter() - start < SECONDS:
        steps += train(model, data, runs, epochs=20, lr=0.05).attrs["steps"]
    return n_networks * steps / (time.perf_counter() - start)


def products(features_first: bool = True) -> float:
    """Do only the batched matrix products of a step."""
    import nnopt_lab  # noqa: F401  the same settings as ours

    import torch

    def batch(width: int) -> torch.Tensor:
        return torch.randn(K, width, 64) if features_first else torch.randn(K, 64, width).mT

    sizes = list(pairwise(WIDTHS))
    weights = [torch.randn(K, outputs, inputs) for inputs, outputs in sizes]
    if not features_first:
        weights = [weight.mT.contiguous().mT for weight in weights]  # stored as (K, in, out)
    inputs = [batch(width) for width in WIDTHS[:-1]]
    gradients = [batch(width) for width in WIDTHS[1:]]
    steps, start = 0, time.perf_counter()
    while time.perf_counter() - start < SECONDS:
        for layer, (weight, x, gradient) in enumerate(zip(weights, inputs, gradients, strict=True)):
            if features_first:
                torch.bmm(weight, x)
                torch.bmm(gradient, x.mT)
            else:
                torch.bmm(x.mT, weight.mT)
                torch.bmm(x, gradient.mT)
            if layer:
                product = (weight.mT, gradient) if features_first else (gradient.mT, weight)
                torch.bmm(*product)
        steps += 1
    return K * steps / (time.perf_counter() - start)


def evaluation() -> float:
    """Evaluate on samples that all networks share; return networks times 200 samples a second."""
    from nnopt_lab.grid import grid
    from nnopt_lab.networks import mlp
    from nnopt_lab.training import evaluate

    import torch

    model = mlp(WIDTHS, grid(seed=range(K)))
    x, y = torch.randn(10_000, WIDTHS[0]), torch.randint(0, 10, (10_000,))
    batches, start = 0, time.perf_counter()
    while time.perf_counter() - start < SECONDS:
        evaluate(model, x, y)
        batches += len(x) // 200
    return K * batches / (time.perf_counter() - start)


def forward_products(one_first: bool = False) -> float:
    """Do only the products of an evaluation; the first layer as one, or network by network."""
    import nnopt_lab  # noqa: F401  the same settings as ours

    import torch

    weights = [torch.randn(K, outputs, inputs) for inputs, outputs in pairwise(WIDTHS)]
    x = torch.randn(1, WIDTHS[0], 200)
    batches, start = 0, time.perf_counter()
    while time.perf_counter() - start < SECONDS:
        first = weights[0]
        if one_first:
            activations = (first.flatten(0, 1) @ x[0]).unflatten(0, first.shape[:2])
        else:
            activations = torch.bmm(first, x.expand(K, -1, -1))
        for weight in weights[1:]:
            activations = torch.bmm(weight, activations)
        batches += 1
    return K * batches / (time.perf_counter() - start)


def busy() -> float:
    """Compute in plain Python."""
    start, steps = time.perf_counter(), 0
    while time.perf_counter() - start < SECONDS:
        steps += 1
    return steps / SECONDS


WORK = {
    "loop": loop,
    "population": population,
    "products": products,
    "samples first": partial(products, features_first=False),
    "evaluation": evaluation,
    "its products": forward_products,
    "first as one": partial(forward_products, one_first=True),
    "busy": busy,
}


def start(work: str, **environment: str) -> subprocess.Popen[str]:
    """Start a measurement in a process of its own."""
    return subprocess.Popen(
        [sys.executable, __file__, "--work", work],
        stdout=subprocess.PIPE, text=True, env=os.environ | environment,
    )  # fmt: skip


def rate(process: subprocess.Popen[str]) -> float:
    """Return the network-steps a second that a process measured."""
    return float(process.communicate()[0])


def compare(rounds: int) -> None:
    """Print ours against the loop and against the products alone."""
    found: dict[str, list[float]] = {name: [] for name in WORK if name != "busy"}
    busy_before = []
    for _ in range(rounds):
        busy_before.append(others())
        for work, rates in found.items():
            rates.append(rate(start(work)))
    print(f"network-steps a second, {K} networks, median of {rounds} (lowest to highest);")
    print("in evaluation, steps of 200 samples")
    for work, rates in found.items():
        print(
            f"  {work:13s} {statistics.median(rates):7.0f} ({min(rates):.0f} to {max(rates):.0f})"
        )
    for ours, other, name in (
        ("population", "loop", "times the loop"),
        ("population", "products", "of the rate of its products alone"),
        ("population", "samples first", "of the rate of the same products, stored samples first"),
        ("evaluation", "its products", "of the rate of its products alone, in evaluation"),
        ("evaluation", "first as one", "of the same with the first layer as one product"),
    ):
        ratios = [a / b for a, b in zip(found[ours], found[other], strict=True)]
        print(f"  {statistics.median(ratios):.2f} {name} ({min(ratios):.2f} to {max(ratios):.2f})")
    print(f"  {described(busy_before, found['products'])}")


def spin(counts: list[str], rounds: int) -> None:
    """Print how a population trains beside others, for spin counts up to OpenMP's own, 300 000."""
    print("spin count: network-steps a second alone / beside Python / beside another population")
    for count in counts:
        setting = {"GOMP_SPINCOUNT": count}
        rows = []
        for _ in range(rounds):
            alone = rate(start("population", **setting))
            pair = start("population", **setting), start("busy")
            beside_python = rate(pair[0])
            pair[1].wait()
            pair = start("population", **setting), start("population", **setting)
            rows.append((alone, beside_python, min(map(rate, pair))))
        medians = [statistics.median(column) for column in zip(*rows, strict=True)]
        print(f"  {count:>8s}  " + " / ".join(f"{value:6.0f}" for value in medians))


def main() -> None:
    """Measure what is asked, or everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", choices=WORK, help="measure this alone, print its rate")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    if arguments.work:
        print(WORK[arguments.work]())
        return
    compare(arguments.rounds)
    spin(["1000", "3000", "10000", "30000", "300000"], max(1, arguments.rounds // 2))


if __name__ == "__main__":
    main()
