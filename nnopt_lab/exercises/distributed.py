"""The lesson on distributed training: its questions with their findings, exercises and clinic."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from nnopt_lab.distributed import ring as rings
from nnopt_lab.distributed import scaling
from nnopt_lab.exercises.checks import diagnosed, expect, number, tensor
from nnopt_lab.exercises.exercise import Exercise, Wrong
from nnopt_lab.explorer import Prediction, Stops
from nnopt_lab.figures.distributed import ROUNDING
from nnopt_lab.statistics import Findings, Verdict, interval, paired

import numpy as np
import torch
import xarray as xr
from torch import Generator, Tensor, nn
from torch.utils.data import DistributedSampler, TensorDataset

Rule = Callable[..., Any]
PLAIN, DROPOUT, NORMED = "plain", "with dropout", "with batch norm"
TUNED, LINEAR, WARM = "tuned", "linear rule", "linear rule, warm-up"


def same(even: xr.DataArray, uneven: xr.DataArray, again: xr.DataArray) -> dict[str, Any]:
    """Ask for which networks several workers form the gradient of one.

    Parameters
    ----------
    even, uneven : xarray.DataArray
        Distance from the gradient of one worker, as a share of its length, in equal and in other
        parts; dimensions ``combine`` (mean, sum, by samples), ``kind`` and ``seed``.
    again : xarray.DataArray
        The same of one worker that forms it a second time; dimensions ``kind`` and ``seed``.
    """
    mean = even.sel(combine="mean", drop=True)
    kinds = (PLAIN, DROPOUT, NORMED)
    plain, dropped, normed = (bool((mean.sel(kind=k) < ROUNDING).all()) for k in kinds)
    answers = {
        (True, True, True): "all three",
        (True, True, False): "plain and with dropout",
        (True, False, False): "the plain one only",
        (False, False, False): "none of them",
    }
    other = uneven.sel(kind=PLAIN, drop=True)
    return {
        "predict": Prediction(
            "Four workers take 16 samples each, and the mean of their gradients is formed. For "
            "which networks is it the gradient that one worker forms on all 64?",
            [*answers.values()],
            answers[plain, dropped, normed],
            "A mean of means over equal parts is the mean over all, if what a sample does to the "
            "gradient depends on nothing else. Batch norm looks at the other samples of the "
            "worker; dropout draws by chance, so not even one worker agrees with itself.",
        ),
        "shows": Findings(
            {
                "Plain, equal parts: a mean over workers differs by rounding only.": plain,
                "A sum is as many times too long as there are workers.": bool(
                    (abs(even.sel(combine="sum", kind=PLAIN) - 3) < 0.01).all()
                ),
                "Uneven parts: a plain mean is off by more than 5 %.": (
                    other.sel(combine="mean", drop=True) - 0.05
                ),
                "A mean weighted by samples is not.": bool(
                    (other.sel(combine="by samples") < ROUNDING).all()
                ),
                "With dropout not even one worker agrees with itself.": (
                    again.sel(kind=DROPOUT, drop=True) - 0.05
                ),
                "With batch norm four workers are off by more than 5 %, however combined.": (
                    even.sel(kind=NORMED, drop=True).min("combine") - 0.05
                ),
            }
        ),
    }


def as_many_times(published: xr.Dataset) -> dict[str, Any]:
    """Ask how many times as fast 32 devices were.

    Parameters
    ----------
    published : xarray.Dataset
        As ``scaling.points`` returns.
    """
    is_asked = (published.model == "BERT-base") & (published.batch == 32)
    found = published.isel(point=(is_asked & (published.devices == 32)).values)
    fast, rate = np.sort(32 * found.efficiency.values), found.efficiency / found.step_seconds
    last = at_most_devices(published)
    return {
        "predict": Prediction(
            "BERT-base in training on 32 GPUs, 8 a machine, 32 samples each; 100 Gbit InfiniBand "
            "between the machines. How many times as fast as one GPU was the best software?",
            Stops(range(1, 33), unit="times"),
            float(fast[-1]),
            "T / 32 would be 32 times. But 440 million bytes of gradients are summed at each step, "
            "over a network that moves 12 billion a second: 0.07 s beside 0.22 s of computation, "
            "and only part of that hides behind it.",
            words=f"{fast[-1]:.1f} times; three others {fast[0]:.1f} to {fast[-2]:.1f} times",
        ),
        "shows": Findings(
            {
                "The same model on the same 32 GPUs: the best software trains more than 1.8 times "
                "as many samples a second as the worst.": bool(rate.max() > 1.8 * rate.min()),
                "17 cases, the best software of each, on the most devices it was measured on: none "
                "reaches T / N.": bool(len(last) == 17 and (last < 1).all()),
                "Half of them lose more than 8 % to it.": bool(last.median() < 0.92),
            }
        ),
    }


def at_most_devices(published: xr.Dataset) -> xr.DataArray:
    """Return the efficiency of each fitted series, compared with one device, at its most devices.

    Parameters
    ----------
    published : xarray.Dataset
        As ``scaling.points`` returns.
    """
    used = published.isel(point=(published.fitted & (published.base_devices == 1)).values)
    grown = used.sortby("devices")
    last = {name: i for i, name in enumerate(scaling.series(grown))}  # later ones replace
    found: xr.DataArray = grown.efficiency.isel(point=[*last.values()])
    return found


def fewer_steps(steps: xr.DataArray, owners: xr.Dataset) -> dict[str, Any]:
    """Ask how many times fewer steps a batch 16 times as large needs.

    Parameters
    ----------
    steps : xarray.DataArray
        To the target, NaN where it was not reached; dimensions ``rule``, ``batch_size``, ``seed``.
    owners : xarray.Dataset
        As ``scaling.time_to_train`` returns.
    """
    bert = owners.isel(point=(owners.benchmark == "BERT").values)
    minutes = [float(bert.minutes[(bert.devices == n).values].item()) for n in (8, 512)]
    by_size = {b: steps.sel(batch_size=b, drop=True) for b in (32, 128, 512, 2048)}
    tuned = {b: found.sel(rule=TUNED, drop=True) for b, found in by_size.items()}
    ratio = tuned[128] / tuned[2048]
    n_late = {rule: int(by_size[2048].sel(rule=rule).isnull().sum()) for rule in (LINEAR, WARM)}
    first = tuned[32] / tuned[128]
    return {
        "predict": Prediction(
            "A batch of 2048 instead of 128, 16 times as large, the rate tuned anew. How many "
            "times fewer steps does the same accuracy take?",
            Stops(range(1, 17), unit="times"),
            float(ratio.mean()),
            "A larger batch makes a better gradient, but it is still one step. Once the batch "
            "tells the direction well, more samples only tell it again.",
            words=f"{interval(ratio)} times",
        ),
        "shows": Findings(
            {
                "From 32 to 128, 4 times as large, more than 2.5 times fewer steps.": first - 2.5,
                "From 512 to 2048, also 4 times as large, the gain is smaller.": (
                    first - tuned[512] / tuned[2048]
                ),
                "By the linear rule, at 2048, some never get there; with warm-up all do.": (
                    n_late[LINEAR] > 0 and n_late[WARM] == 0
                ),
                "Published for BERT: 64 times as many devices, 10 to 12 times as fast.": (
                    10 < minutes[0] / minutes[1] < 12
                ),
            }
        ),
    }


def claims(shared: xr.DataArray, curves: dict[int, xr.DataArray]) -> list[Verdict]:
    """Return the claims of the lesson with their verdicts.

    Parameters
    ----------
    shared : xarray.DataArray
        Test accuracy in [0, 1]; dimensions ``kind``, ``workers`` (1 and 8) and ``seed``.
    curves : dict of int to xarray.DataArray
        By batch size, test accuracy in [0, 1]; dimensions ``rule``, ``step`` and ``seed``.
    """

    def claim(words: str, one: xr.DataArray, other: xr.DataArray, **given: Any) -> Verdict:
        return Verdict(words, 100 * paired(one, other), margin=2, unit="points", **given)

    by_kind = {kind: shared.sel(kind=kind) for kind in (PLAIN, NORMED)}
    end = {b: curve.isel(step=-1) for b, curve in curves.items()}
    samples = 128 * float(end[128].step)
    equal = curves[2048].interp(step=samples / 2048).sel(rule=TUNED)
    return [
        claim("Eight workers end lower than one, plain",
              by_kind[PLAIN].sel(workers=1), by_kind[PLAIN].sel(workers=8)),
        claim("Eight workers end lower than one, each its own batch norm",
              by_kind[NORMED].sel(workers=1), by_kind[NORMED].sel(workers=8)),
        claim("In 5 epochs, batches of 2048 end lower than of 128, tuned",
              end[128].sel(rule=TUNED), equal),
        claim("The linear rule ends lower than the tuned rate, batch 2048",
              end[2048].sel(rule=TUNED), end[2048].sel(rule=LINEAR), compare=False),
        claim("With warm-up it ends lower than the tuned rate, batch 2048",
              end[2048].sel(rule=TUNED), end[2048].sel(rule=WARM), compare=False),
    ]  # fmt: skip


def sent_around(n: int) -> Findings:
    """Say what a ring all-reduce comes to, counted message by message.

    Parameters
    ----------
    n : int
        Ranks.
    """
    steps = rings.ring(n)
    numbers = np.random.default_rng(0).normal(size=(n, n))
    *_, end = rings.run(steps, numbers)
    return Findings(
        {
            "After 2 (N - 1) steps all hold the sum.": bool(
                len(steps) == 2 * (n - 1) and np.allclose(end, numbers.sum(0))
            ),
            "Each has sent 2 (N - 1) / N times what it holds.": bool(
                (rings.n_sent(steps, n) == 2 * (n - 1)).all()
            ),
        }
    )


def predicts(
    published: xr.Dataset, predicted: xr.DataArray, textbook: xr.DataArray, median: xr.DataArray
) -> Findings:
    """Say how far the model lies from what was published.

    Parameters
    ----------
    published : xarray.Dataset
        The fitted points of ``scaling.points``.
    predicted, textbook, median : xarray.DataArray
        Their efficiency: by a model fitted to all other series, if all communication hid, and the
        median of all other series.
    """
    off, far, middle = (
        float(abs(found - published.efficiency).mean()) for found in (predicted, textbook, median)
    )
    worst = float(abs(predicted - published.efficiency).max())
    return Findings(
        {
            "On series it was not fitted to, its mean error of efficiency is below 5 points.": (
                off < 0.05
            ),
            "The textbook's is more than twice that.": far > 2 * off,
            "To say the median of the others each time is worse, but by less than 2 points.": (
                off < middle < off + 0.02
            ),
            "Some points it misses by more than 15 points.": worst > 0.15,
        }
    )


def walled(steps: xr.DataArray) -> Findings:
    """Say what twice the batch is still worth.

    Parameters
    ----------
    steps : xarray.DataArray
        To the target, with the tuned rate; dimensions ``batch_size`` (2048, 4096) and ``seed``.
    """
    half, full = (steps.sel(batch_size=b, drop=True) for b in (2048, 4096))
    return Findings({"Twice the batch, and less than 1.5 times fewer steps.": 1.5 - half / full})


def _solve_average(gradients: Sequence[Tensor], sizes: Sequence[int]) -> Tensor:
    weighted = [size * gradient for gradient, size in zip(gradients, sizes, strict=True)]
    return torch.stack(weighted).sum(0) / sum(sizes)


@Exercise(
    "combine the gradients of workers",
    hints=[
        "Each gradient is a mean over its worker's samples. How do you get back to their sum?",
        "Multiply each by its number of samples, add up, divide by the number of all samples.",
    ],
    solution=(_solve_average,),
)
def average(my_average: Rule) -> str:
    """Check a mean over samples, formed from the means of workers."""
    generator = Generator().manual_seed(0)
    for sizes in ([16, 16, 16, 16], [30, 20, 14], [64, 1], [5]):
        parts = [torch.randn(size, 6, generator=generator) for size in sizes]
        means = [part.mean(0) for part in parts]
        given = tensor(my_average([m.clone() for m in means], list(sizes)), (6,), "The gradient")
        given = given.float()
        right = torch.cat(parts).mean(0)
        if torch.allclose(given, right, atol=1e-5):
            continue
        mistakes = [
            (torch.stack(means).sum(0), "That is the sum: with N workers a step N times as long."),
            (torch.stack(means).mean(0), "That is the mean over workers. A worker with few samples "
             "counts as much as one with many: weight them."),
            (right * sum(sizes), "That is the sum over samples; divide by how many there are."),
        ]  # fmt: skip
        for wrong, why in mistakes:
            if torch.allclose(given, wrong, atol=1e-5):
                raise Wrong(f"With {sizes} samples: {why}")
        raise Wrong(f"With {sizes} samples it is off by {float((given - right).abs().max()):.2g}.")
    return "Samples count alike, not workers. Under DDP, give all workers equally many."


def _solve_speed_up(seconds: float, all_reduce: float, devices: int) -> float:
    return devices * seconds / (seconds + all_reduce)


@Exercise(
    "speed-up if nothing hides the all-reduce",
    hints=[
        "In one step N devices handle N batches. How long does that step take?",
        "N batches in seconds + all_reduce, against one batch in seconds.",
    ],
    solution=(_solve_speed_up,),
)
def speed_up(my_speed_up: Rule) -> str:
    """Check a speed-up in samples per second."""
    for seconds, reduced, n in ((0.1, 0.1, 2), (0.2, 0.05, 16), (0.097, 0.017, 64)):
        step = seconds + reduced
        mistakes = {
            float(n): "That is the chapter's T / N: the all-reduce takes time, too.",
            seconds / step: "That is the efficiency; N devices handle N batches a step.",
            step / seconds / n: "Upside down: samples per second, N devices over one.",
            n * step / seconds: "Upside down: a longer step makes it slower.",
            seconds / (seconds / n + reduced): "That shares one batch out; here each device keeps "
            "a whole one.",
        }
        where = f"Computation {seconds} s, all-reduce {reduced} s, {n} devices:"
        expect(
            my_speed_up(seconds, reduced, n), _solve_speed_up(seconds, reduced, n), where, mistakes
        )
    return "With an all-reduce as long as the computation, half of all devices are lost."


def _solve_sent(parameters: float, devices: int) -> float:
    return 2 * (devices - 1) / devices * 4 * parameters


@Exercise(
    "bytes that a device sends in a ring",
    hints=[
        "A gradient has 4 bytes a parameter, in N chunks. How many chunks does a device send?",
        "N - 1 chunks until the sums are made, and N - 1 to hand them round.",
    ],
    solution=(_solve_sent,),
)
def sent(my_bytes: Rule) -> str:
    """Check the bytes of a ring all-reduce."""
    for parameters, n in ((25_600_000, 8), (1_500_000_000, 1024), (1000, 2)):
        right = _solve_sent(parameters, n)
        mistakes = {
            right / 4: "That is how many numbers; each has 4 bytes.",
            right / 2: "That makes the sums; then they are handed round, which is as much again.",
            4.0 * parameters: "That is all of the gradient, once.",
            8.0 * parameters: "Nearly, for large N: its own chunk a device does not send.",
            8.0
            * parameters
            * (n - 1): "That sends the whole gradient at each step; a chunk is 1/N.",
            4.0 * parameters * (n - 1): "That sends the whole gradient to each of the others.",
        }
        expect(my_bytes(parameters, n), right, f"{parameters:,} parameters, {n} devices:", mistakes)
    return "Hardly more with 1024 devices than with 8; but 2 (N - 1) messages follow one another."


def _solve_ring(n: int) -> list[list[tuple[int, int, int, bool]]]:
    steps = []
    for s in range(2 * (n - 1)):
        adds = s < n - 1
        steps.append([(i, (i + 1) % n, (i - s if adds else i + n - s) % n, adds) for i in range(n)])
    return steps


@Exercise(
    "a ring all-reduce of your own",
    hints=[
        "In step s of the first half, rank i sends chunk (i - s) % n on to rank (i + 1) % n, which "
        "adds it.",
        "After n - 1 steps rank i holds all of chunk (i + 1) % n. In the second half, step s again "
        "from 0, it sends (i + 1 - s) % n on, which replaces what was there.",
    ],
    solution=(_solve_ring,),
)
def ring(my_ring: Rule) -> str:
    """Check a schedule of messages by running it on simulated ranks."""
    for n in (2, 3, 4, 7):
        try:
            steps = [[_message(each, n) for each in messages] for messages in my_ring(n)]
        except TypeError:
            raise Wrong("Return a list of steps, each a list of messages.") from None
        numbers = np.random.default_rng(n).integers(1, 100, (n, n)).astype(float)
        try:
            *_, end = rings.run(steps, numbers)
        except ValueError as error:
            raise Wrong(f"With {n} ranks, {error}") from None
        for s, messages in enumerate(steps, 1):
            senders = [message.sender for message in messages]
            if len(set(senders)) < len(senders):
                raise Wrong(f"With {n} ranks, a rank sends twice in step {s}: one link, one chunk.")
        pairs = {(message.sender, message.receiver) for step in steps for message in step}
        if len(pairs) > n:
            raise Wrong(f"With {n} ranks there are {len(pairs)} links; a ring has {n}.")
        right = np.isclose(end, numbers.sum(0))
        if not right.all():
            rank, chunk = (int(i) for i in np.argwhere(~right)[0])
            raise Wrong(
                f"With {n} ranks, at the end rank {rank} holds {end[rank, chunk]:g} in chunk "
                f"{chunk}; the sum over all ranks is {numbers.sum(0)[chunk]:g}."
            )
        if len(steps) > 2 * (n - 1):
            raise Wrong(f"With {n} ranks it takes {len(steps)} steps; {2 * (n - 1)} are enough.")
    return (
        "All links are busy at every step: no other order sends fewer bytes over the busiest one."
    )


def _message(given: Any, n: int) -> rings.Message:
    try:
        sender, receiver, chunk, adds = given
        return rings.Message(int(sender), int(receiver), int(chunk), bool(adds))
    except (TypeError, ValueError):
        raise Wrong(
            f"With {n} ranks there is a message {given!r}; give (sender, receiver, chunk, adds)."
        ) from None


def _solve_rate(step: int, batch_size: int, n_warm_up: int) -> float:
    rate = 0.05 * batch_size / 64
    return rate * min(1, (step + 1) / n_warm_up)


@Exercise(
    "the linear rule with warm-up",
    hints=[
        "First the rate after warm-up: 0.05 at 64 samples, twice the samples twice the rate.",
        "In step 0 it is 1 / n_warm_up of that, in step 1 twice as much; never more than all.",
    ],
    solution=(_solve_rate,),
)
def rate(my_rate: Rule) -> str:
    """Check a learning rate that grows with the batch, and at first with the step."""
    for batch_size, n in ((64, 10), (512, 50), (2048, 100)):
        full = 0.05 * batch_size / 64
        for step in (0, 1, n // 2, n - 1, n, 10 * n):
            right = _solve_rate(step, batch_size, n)
            mistakes = {
                full * step / n: "In step 0 your rate is 0: that step is lost. Count from 1.",
                full * (step + 1) / n: "After warm-up the rate stays.",
                0.05 * min(1, (step + 1) / n): "The batch is missing: more samples, larger rate.",
                0.05 * (batch_size / 64) ** 0.5 * min(1, (step + 1) / n): "That is the square-root "
                "rule; the linear one was asked for.",
                full: "That is the rate after warm-up.",
            }
            found = my_rate(step, batch_size, n)
            expect(found, right, f"Step {step}, batch {batch_size}, warm-up {n}:", mistakes)
    return "Goyal and others warmed up for five epochs, from the rate of one small batch."


def _flat_gradient(net: nn.Module) -> Tensor:
    if any(parameter.grad is None for parameter in net.parameters()):
        raise Wrong("There is no gradient: call backward() for each part.")
    return torch.cat([p.grad.flatten().clone() for p in net.parameters() if p.grad is not None])


def _solve_parts(net: nn.Module, x: Tensor, y: Tensor, n: int) -> None:
    net.zero_grad()
    for mine in torch.arange(len(x)).chunk(n):
        loss = nn.functional.cross_entropy(net(x[mine]), y[mine])
        (loss * len(mine) / len(x)).backward()


@Exercise(
    "clinic: eight workers diverge",
    hints=[
        "backward() adds to .grad. What stands there after eight means were added?",
        "Divide each loss by n; or, where the parts differ, multiply by len(mine) / len(x).",
    ],
    solution=("b", _solve_parts),
)
def in_parts(diagnosis: Any, mended: Rule) -> str:
    """Check a gradient formed part by part."""
    diagnosed(
        diagnosis, "b",
        {
            "a": "Eight parts of a batch are the batch: there is no more noise in them.",
            "c": "The parts are the same samples, each once.",
        },
    )  # fmt: skip
    generator = Generator().manual_seed(0)
    net, calls = nn.Linear(5, 3), [0]
    net.register_forward_hook(lambda *_: calls.append(calls.pop() + 1))
    for n_samples, n in ((64, 8), (64, 1), (10, 4)):
        x = torch.randn(n_samples, 5, generator=generator)
        y = torch.randint(3, (n_samples,), generator=generator)
        net.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        right = _flat_gradient(net)
        net.zero_grad()
        for time in ("", " the second time it is called"):
            calls[0] = 0
            mended(net, x, y, n)
            where = f"With {n_samples} samples in {n} parts{time}"
            if calls[0] != n:
                raise Wrong(f"{where} the network was called {calls[0]} times, not {n}.")
            found = _flat_gradient(net)
            if torch.allclose(found, right, atol=1e-6):
                continue
            if time:
                raise Wrong(f"{where} it is off: clear .grad first.")
            if torch.allclose(found, n * right, atol=1e-5):
                raise Wrong(f"{where} it is still {n} times as long.")
            if n_samples % n:
                raise Wrong(f"{where} it is off: they have 3, 3, 3 and 1. Weight them.")
            raise Wrong(f"{where} it is not the gradient of the whole batch.")
    return "A sum over workers is a mean with N times the learning rate."


def _solve_accuracy(right: Sequence[int], seen: Sequence[int]) -> float:
    return sum(right) / sum(seen)


@Exercise(
    "clinic: eight workers report another accuracy",
    hints=[
        "How many samples has the last worker, and how much does each of them count?",
        "Add up what is right over all workers, and what was seen, and divide once.",
    ],
    solution=("c", _solve_accuracy),
)
def of_all(diagnosis: Any, mended: Rule) -> str:
    """Check an accuracy over all workers' samples."""
    diagnosed(
        diagnosis, "c",
        {
            "a": "The weights are the same: each worker's own accuracy is right.",
            "b": "Rounding makes a difference in the seventh digit.",
        },
    )  # fmt: skip
    for right, seen in (([9, 9], [10, 10]), ([900, 890, 2], [1000, 1000, 10]), ([8, 0], [10, 0])):
        found = number(mended(list(right), list(seen)), f"With {right} right of {seen},")
        shares = [r / s for r, s in zip(right, seen, strict=True) if s]
        mistakes = {float(np.mean(shares)): "That is still the mean of the workers' accuracies."}
        expect(found, sum(right) / sum(seen), f"With {right} right of {seen}", mistakes)
    return "Counts may be summed over workers, means may not; so with losses and gradients."


def _solve_epochs(sampler: "DistributedSampler[Any]", epochs: int) -> list[list[int]]:
    orders = []
    for epoch in range(epochs):
        sampler.set_epoch(epoch)
        orders.append(list(sampler))
    return orders


@Exercise(
    "clinic: no epoch is new",
    hints=[
        "All workers must cut the same order, so it is drawn from seed and epoch. Who tells it?",
        "sampler.set_epoch(epoch), before each epoch.",
    ],
    solution=("a", _solve_epochs),
)
def epochs(diagnosis: Any, mended: Rule) -> str:
    """Check the orders of several epochs, and that workers share each of them out."""
    diagnosed(
        diagnosis, "a",
        {
            "b": "Without shuffling the indices would go up in steps of two.",
            "c": "The seed must be the same on all workers, or they would not share one order out.",
        },
    )  # fmt: skip
    data = TensorDataset(torch.arange(20))
    samplers: list[DistributedSampler[Any]] = [
        DistributedSampler(data, 2, rank, seed=3) for rank in (0, 1)
    ]
    one, other = ([[int(i) for i in order] for order in mended(s, 4)] for s in samplers)
    if len(one) != 4 or any(len(order) != 10 for order in one + other):
        raise Wrong("For 4 epochs of 20 samples and 2 workers give 4 orders of 10 indices.")
    if any(sorted(mine + theirs) != [*range(20)] for mine, theirs in zip(one, other, strict=True)):
        raise Wrong("In an epoch both workers together must see each sample once.")
    if any(first == second for first, second in pairwise(one)):
        raise Wrong("Two epochs have the same order.")
    if one != _solve_epochs(samplers[0], 4):
        raise Wrong("Epoch 0 must be the order of set_epoch(0), and so on, to be had again.")
    return "No error is raised without it: the same batches come in every epoch."
