"""The lesson on distributed training: its questions with their findings, exercises and clinic."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

from nnopt_lab.distributed import launch, ranks, scaling
from nnopt_lab.distributed import ring as rings
from nnopt_lab.exercises.checks import diagnosed, expect, tensor, two_parts
from nnopt_lab.exercises.exercise import Exercise, Wrong
from nnopt_lab.explorer import Prediction, Stops
from nnopt_lab.figures.distributed import ROUNDING
from nnopt_lab.statistics import Findings, Verdict, interval, paired

import numpy as np
import torch
import xarray as xr
from torch import Generator, Tensor
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


def real_runs(runs: Mapping[int, xr.Dataset]) -> dict[str, Any]:
    """Ask how long a step of two real processes takes that share a small batch out.

    Parameters
    ----------
    runs : mapping of int to xarray.Dataset
        By the number of processes, 1 and 2 among them, what ``launch.measure`` returned, of widths
        from 64 to 1024 and batches 32 to 256.
    """
    gained = {
        (width, how): launch.speed_ups(runs, width, batch, scaling=how).measured.sel(processes=2)
        for width, batch, how in ((64, 64, "strong"), (1024, 256, "weak"))
    }
    small, large = (float(found.median()) for found in gained.values())
    answers = {
        "half as long": small > 1.6,
        "shorter, but more than half as long": 1.05 < small <= 1.6,
        "as long": 0.95 <= small <= 1.05,
        "longer": small < 0.95,
    }
    together = [found for n, found in runs.items() if n > 1]
    return {
        "predict": Prediction(
            "Two real processes share a batch of 64 out, for a network of 7 thousand weights. What "
            "does a step take, against that of one process?",
            [*answers],
            next(answer for answer, is_so in answers.items() if is_so),
            "Computing took less than a millisecond before, and half the samples take hardly less "
            "of it. A message takes as long, whatever is in it.",
            words=f"{1 / small:.2g} times as long",
        ),
        "shows": [
            Findings(
                {
                    "7 thousand weights, a batch of 64 shared out: two processes are slower than "
                    "one.": small < 1,
                    "1.1 million weights, 256 samples each: two handle more a second than one.": (
                        large > 1
                    ),
                },
                compare=False,
            ),
            Findings(
                {
                    "The gradient of two and of four processes is that of one on all of their "
                    "samples, to a millionth.": all(
                        bool((found.apart < 1e-6).all()) for found in together
                    ),
                    "Under no_sync each keeps that of its own samples.": all(
                        bool((found.apart_without_sync > 0.05).all()) for found in together
                    ),
                }
            ),
        ],
    }


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
    for seconds, reduced, n in ((0.2, 0.05, 16), (0.1, 0.1, 2), (0.097, 0.017, 64)):
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
        made = my_ring(n)
        try:
            steps = [[_message(each, n) for each in messages] for messages in made]
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
    if isinstance(given, rings.Message):
        return given
    try:
        sender, receiver, chunk, adds = given
        return rings.Message(int(sender), int(receiver), int(chunk), bool(adds))
    except (TypeError, ValueError):
        raise Wrong(
            f"With {n} ranks there is a message {given!r}; give (sender, receiver, chunk, adds)."
        ) from None


def _solve_batch_norm(x: Tensor, all_reduce: ranks.AllReduce) -> Any:
    mine = torch.stack([torch.full_like(x[0], len(x)), x.sum(0), (x**2).sum(0)])
    count, total, squares = all_reduce(mine)
    mean = total / count
    return (x - mean) / torch.sqrt(squares / count - mean**2 + 1e-5)


@Exercise(
    "batch norm over all workers",
    hints=[
        "Mean and variance of all samples follow from three sums over them, which need nothing of "
        "each other: how many there are, the sum of x, and the sum of its squares.",
        "Stack the three into one tensor for the all-reduce. The variance is the mean of the "
        "squares less the square of the mean.",
    ],
    solution=(_solve_batch_norm,),
)
def batch_norm(my_batch_norm: Rule) -> str:
    """Check a batch norm that takes one all-reduce, on simulated ranks."""
    generator = Generator().manual_seed(0)
    for sizes in ([8], [8, 8], [5, 16, 3]):
        parts = [3 * torch.randn(n, 4, generator=generator) + n for n in sizes]
        n_calls = [0] * len(sizes)
        found = _on_ranks(partial(_counting, my_batch_norm, parts, n_calls), len(sizes))
        where = f"With {sizes} samples"
        given = [tensor(x, tuple(y.shape), "The result") for x, y in zip(found, parts, strict=True)]
        together, whole = torch.cat(given).float(), torch.cat(parts)
        if not torch.allclose(together, _normed(whole, whole), atol=1e-3):
            if torch.allclose(together, torch.cat([_normed(x, x) for x in parts]), atol=1e-3):
                raise Wrong(f"{where} each rank uses the mean and variance of its own.")
            alike = torch.cat([part.repeat(math.prod(sizes) // len(part), 1) for part in parts])
            if torch.allclose(together, _normed(whole, alike), atol=1e-3):
                raise Wrong(f"{where} you take the mean of means: weight them by their samples.")
            raise Wrong(f"{where} it is not what one process makes of all of them.")
        if max(n_calls) > 1:
            raise Wrong(f"Right, but it takes {max(n_calls)} all-reduces; one is enough.")
    return (
        "Now workers change nothing; the price is a message in each such layer that all wait for. "
        "Where means are large, squares lose digits: nn.SyncBatchNorm, for GPUs, avoids that, and "
        "lets gradients through."
    )


def _normed(x: Tensor, by: Tensor) -> Tensor:
    """Normalise by the mean and variance of some samples."""
    return (x - by.mean(0)) / (by.var(0, correction=0) + 1e-5).sqrt()


def _counting(
    rule: Rule, parts: Sequence[Tensor], n_calls: list[int], rank: int, all_reduce: ranks.AllReduce
) -> Any:
    """Apply a rule to a rank's part, and count how often it sums over the ranks."""

    def counted(value: Any) -> Any:
        n_calls[rank] += 1
        return all_reduce(value)

    return rule(parts[rank].clone(), counted)


def _on_ranks(program: Callable[[int, ranks.AllReduce], Any], n: int) -> list[Any]:
    try:
        return ranks.run(program, n)
    except ranks.HangError as error:
        raise Wrong(f"With {n} ranks, {error} All must call each all-reduce.") from None


def _of_a_rank(
    rule: Rule,
    losses: Sequence[float],
    gradients: Sequence[float],
    rank: int,
    all_reduce: ranks.AllReduce,
) -> Any:
    return rule(rank, all_reduce, losses[rank], gradients[rank])


def _solve_means(
    rank: int, all_reduce: ranks.AllReduce, loss: float, gradient: float
) -> tuple[float, float]:
    return all_reduce(loss) / 2, all_reduce(gradient) / 2


@Exercise(
    "clinic: a wrong loss, and then a hang",
    hints=[
        "All-reduces are paired by their order, not by their names. Which of rank 1's met the "
        "first of rank 0?",
        "Let both ranks call each all-reduce, in the same order; who prints is another matter.",
    ],
    solution=("b", _solve_means),
)
def means(diagnosis: Any, mended: Rule) -> str:
    """Check means over two simulated ranks."""
    diagnosed(
        diagnosis, "b",
        {
            "a": "With any loss and any gradient it hangs.",
            "c": "However long rank 0 waits, rank 1 has nothing more to send.",
        },
    )  # fmt: skip
    for losses, gradients in (([30.0, 12.0], [0.5, 0.7]), ([2.0, 4.0], [-8.0, 3.0])):
        found = _on_ranks(partial(_of_a_rank, mended, losses, gradients), 2)
        right = sum(losses) / 2, sum(gradients) / 2
        for rank, pair in enumerate(found):
            where = f"Losses {losses}, gradients {gradients}: rank {rank}"
            parts = two_parts(pair, "mean loss and mean gradient")
            for given, value, name in zip(parts, right, ("loss", "gradient"), strict=True):
                mistakes = {2 * value: "That is the sum over both ranks."}
                expect(given, value, f"{where}, mean {name}:", mistakes)
    return (
        "All ranks must call the same collectives in the same order. In a loop nothing would stand "
        "still: sums of unlike things, without an error. TORCH_DISTRIBUTED_DEBUG=DETAIL finds them."
    )


def _solve_together(means: Tensor, variances: Tensor) -> tuple[Tensor, Tensor]:
    return means.mean(0), variances.mean(0) + means.var(0, correction=0)


@Exercise(
    "clinic: batch norm forgets a worker",
    hints=[
        "In training a worker uses its own batch; for later use running averages are saved. Whose?",
        "The variance of all samples is the mean of the workers' variances, and the variance of "
        "their means beside it.",
    ],
    solution=("c", _solve_together),
)
def together(diagnosis: Any, mended: Rule) -> str:
    """Check the mean and variance over all workers."""
    diagnosed(
        diagnosis, "c",
        {
            "a": "After 200 steps running averages have long arrived where they go.",
            "b": "Weights are the same: gradients are averaged, and here nothing was learned.",
        },
    )  # fmt: skip
    generator = Generator().manual_seed(0)
    for n in (2, 5):
        x = torch.randn(n, 50, 3, generator=generator) * 2 + 3 * torch.arange(n).view(n, 1, 1)
        own = x.mean(1), x.var(1, correction=0)
        result = mended(*(each.clone() for each in own))
        mean, variance = two_parts(result, "a mean and a variance")
        mean, variance = tensor(mean, (3,), "The mean"), tensor(variance, (3,), "The variance")
        where = f"With {n} workers"
        if not torch.allclose(mean.float(), x.mean((0, 1)), atol=1e-3):
            raise Wrong(f"{where} the mean is off.")
        if torch.allclose(variance.float(), own[1].mean(0), atol=1e-3):
            raise Wrong(f"{where} the variance lacks that between the workers' means.")
        if not torch.allclose(variance.float(), x.var((0, 1), correction=0), rtol=1e-3):
            raise Wrong(f"{where} the variance is off.")
    return "DDP sends rank 0's buffers to all at every step. nn.SyncBatchNorm has one mean for all."


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
    if one != _solve_epochs(DistributedSampler(data, 2, 0, seed=3), 4):
        raise Wrong("Epoch 0 must be the order of set_epoch(0), and so on, to be had again.")
    return "No error is raised without it: the same batches come in every epoch."
