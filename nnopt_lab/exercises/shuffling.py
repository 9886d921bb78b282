"""The lesson on shuffling: its questions with their findings, its exercises and its clinic."""

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations, product
from typing import Any

from nnopt_lab.exercises.checks import diagnosed, expect, tensor, two_parts
from nnopt_lab.exercises.exercise import Exercise, Wrong
from nnopt_lab.explorer import Prediction, Stops
from nnopt_lab.statistics import Findings, Verdict, interval, paired

import numpy as np
import torch
import xarray as xr
from torch import Generator, Tensor
from torch.utils.data import Dataset, DistributedSampler, IterableDataset

Rule = Callable[..., Any]
WITHOUT, WITH = "without batch norm", "with batch norm"
OWN, OVER_ALL = "each its own batch norm", "batch norm over all workers"


class Stream(IterableDataset[int]):
    """The whole numbers below n, one after the other, as from a file."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __len__(self) -> int:
        """Return how many there are."""
        return self.n

    def __iter__(self) -> Iterator[int]:
        """Yield them all, whoever asks."""
        yield from range(self.n)


class Noisy(Dataset[float]):
    """Noise to add to n samples, from a generator that the data set holds."""

    def __init__(self, n: int) -> None:
        self.n = n
        self.generator = Generator().manual_seed(0)

    def __len__(self) -> int:
        """Return how many there are."""
        return self.n

    def __getitem__(self, _i: int) -> float:
        """Draw the noise of a sample."""
        return float(torch.rand(1, generator=self.generator))


def forgotten(known: xr.DataArray) -> Findings:
    """Say what becomes of what was learned, when one class comes after the other.

    Parameters
    ----------
    known : xarray.DataArray
        Share of right answers in [0, 1]; dimensions ``order`` (by digit, shuffled), ``digit``,
        ``step`` and ``seed``.
    """
    by_digit = known.sel(order="by digit", drop=True)
    end = known.isel(step=-1, drop=True).mean("digit")
    ahead = end.sel(order="shuffled", drop=True) - end.sel(order="by digit", drop=True)
    return Findings(
        {
            "By digit, most of the time some digit is right in more than half of the cases.": bool(
                (by_digit.mean("seed").max("digit") > 0.5).mean() > 0.5
            ),
            "All the same, never are more than 30 % of all right.": (
                0.3 - by_digit.mean("digit").max("step")
            ),
            "Shuffled, the networks know more after the same number of steps.": ahead,
        }
    )


def straight(best: xr.DataArray, fixed: xr.DataArray) -> dict[str, Any]:
    """Ask what sorted data leave, straight from the file.

    Parameters
    ----------
    best, fixed : xarray.DataArray
        Test accuracy in [0, 1] at the best rate for each buffer, and at one rate for all;
        dimensions ``norm``, ``buffer`` (from 1, the last one holds all) and ``seed``.
    """
    n = int(best.buffer[-1])
    plain, normed, untuned = best.sel(norm=WITHOUT), best.sel(norm=WITH), fixed.sel(norm=WITHOUT)
    bare, batch, half, full = (plain.sel(buffer=b, drop=True) for b in (1, 64, n // 2, n))
    left = float(bare.mean() / full.mean())
    showed = {
        "Sorted, at one rate for all, less than half of a full shuffle is left.": (
            untuned.sel(buffer=n, drop=True) / 2 - untuned.sel(buffer=1, drop=True)
        ),
        "At its best rate it still costs more than 5 points.": full - bare - 0.05,
        "With batch norm less than half is left even so.": (
            normed.sel(buffer=n, drop=True) / 2 - normed.sel(buffer=1, drop=True)
        ),
        "A buffer of one batch, 64, still costs more than 5 points, too.": full - batch - 0.05,
        "A buffer of half of the data costs less than 7 points.": 0.07 - full + half,
    }
    return {
        "predict": Prediction(
            "The data come sorted, straight from the file, and the rate suits that. What share of "
            "a full shuffle's accuracy do networks without batch norm reach?",
            {"a fifth, as by guessing": 0.2, "half": 0.5, "three quarters": 0.75},
            left,
            "What is forgotten is learned again each time, and a small rate forgets slowly. At "
            "one that suits shuffled data they learn hardly anything.",
            words=f"{100 * left:.0f} %",
        ),
        "shows": Findings(showed),
    }


def once_or_again(tested: xr.DataArray, lead: xr.DataArray) -> dict[str, Any]:
    """Ask whether one shuffle before training will do.

    Parameters
    ----------
    tested : xarray.DataArray
        Test accuracy in [0, 1]; dimensions ``norm``, ``rule`` and ``seed``.
    lead : xarray.DataArray
        Of networks with batch norm, on training samples: the accuracy among the batch-mates of the
        first epoch minus that among others; dimensions ``rule`` and ``seed``.
    """
    gain = tested.sel(rule="reshuffled", drop=True) - tested.sel(rule="shuffled once", drop=True)
    gains = {norm: gain.sel(norm=norm, drop=True) for norm in (WITHOUT, WITH)}
    more = {norm: float(g.mean()) > 0.02 for norm, g in gains.items()}
    answers = {
        (False, False): "by less than 2 points either way",
        (True, False): "by more, but only without batch norm",
        (False, True): "by more, but only with batch norm",
        (True, True): "by more, either way",
    }
    once, again = (lead.sel(rule=r, drop=True) for r in ("shuffled once", "reshuffled"))
    reason = (
        "Batch norm computes with the batch a sample stands in. If the same samples meet in every "
        "epoch, the network can learn to rely on its batch-mates, and then they are gone."
    )
    said = (f"{interval(100 * g)} points {norm}" for norm, g in gains.items())
    return {
        "predict": Prediction(
            "One shuffle before training, or a new one before each of 30 epochs: by how much does "
            "the new one end ahead?",
            [*answers.values()],
            answers[more[WITHOUT], more[WITH]],
            reason,
            words=" and ".join(said),
        ),
        "shows": Findings(
            {
                "With batch norm, a new shuffle each epoch ends more than 2 points ahead.": (
                    gains[WITH] - 0.02
                ),
                "Shuffled once, they are more than 8 points better among their own batch-mates.": (
                    once - 0.08
                ),
                "Reshuffled, by less than 3 points: it hardly matters who is around.": (
                    0.03 - abs(again)
                ),
            }
        ),
    }


def apart(known: xr.DataArray) -> dict[str, Any]:
    """Ask what networks learn from labels that were shuffled away from their inputs.

    Parameters
    ----------
    known : xarray.DataArray
        Accuracy in [0, 1]; dimensions ``on`` (training samples, test samples) and ``seed``.
    """
    on_training, on_test = (known.sel(on=on, drop=True) for on in known.on.values)
    return {
        "predict": Prediction(
            "Inputs and labels were shuffled, each in an order of its own, and networks trained on "
            "them for 50 epochs. What share of these training samples do they get right?",
            Stops(range(0, 101, 5), unit="%"),
            100 * float(on_training.mean()),
            "The labels mean nothing now, but they can be learned by heart, one by one. No error, "
            "and a loss that falls: only samples that were held back tell.",
            words=f"{interval(100 * on_training)} %, and of the test samples "
            f"{interval(100 * on_test)} %",
        ),
        "shows": Findings(
            {
                "The networks get more than 90 % of their training samples right.": on_training
                - 0.9,
                "On the test set they guess: between 8 and 12 % are right.": 0.02
                - abs(on_test - 0.1),
            }
        ),
    }


def shared_out(accuracy: xr.DataArray) -> dict[str, Any]:
    """Ask what is left if workers keep sorted parts, and each has batch statistics of its own.

    Parameters
    ----------
    accuracy : xarray.DataArray
        Test accuracy in [0, 1]; dimensions ``norm``, ``way``, ``workers`` and ``seed``.
    """
    eight = accuracy.sel(workers=8, drop=True)
    together, local = (eight.sel(way=way, drop=True) for way in ("global", "local"))
    cost = [(together - local).sel(norm=norm, drop=True) for norm in (WITHOUT, OWN, OVER_ALL)]
    left = float(local.sel(norm=OWN).mean() / together.sel(norm=OWN).mean())
    reason = (
        "Without batch norm the gradients of all workers are averaged, so the whole batch counts, "
        "and it is mixed. Batch norm looks at the worker's own eight samples, of a digit or two."
    )
    return {
        "predict": Prediction(
            "Eight workers keep an eighth of the sorted data each, and shuffle that alone. Each "
            "normalises its own samples. How much of the accuracy of a global shuffle is left?",
            {"all of it": 1, "three quarters": 0.75, "half of it or less": 0.5},
            left,
            reason,
            words=f"{100 * left:.0f} % of it",
        ),
        "shows": Findings(
            {
                "Without batch norm, keeping sorted parts costs less than 3 points.": 0.03
                - cost[0],
                "With batch norm of each worker's own it costs more than 10 points.": cost[1] - 0.1,
                "With batch norm over all workers, less than 3 again.": 0.03 - cost[2],
            }
        ),
    }


def claims(again: xr.DataArray, buffers: xr.DataArray, workers: xr.DataArray) -> list[Verdict]:
    """Return the claims of the lesson with their verdicts.

    Parameters
    ----------
    again, buffers, workers : xarray.DataArray
        Test accuracy in [0, 1], as for ``once_or_again``, ``straight`` and ``shared_out``.
    """

    def claim(
        words: str, found: xr.DataArray, axis: str, better: Any, other: Any, *, compare: bool = True
    ) -> Verdict:
        pair = paired(found.sel({axis: better}), found.sel({axis: other}))
        return Verdict(words, 100 * pair, margin=2, unit="points", compare=compare)

    plain, normed = again.sel(norm=WITHOUT), again.sel(norm=WITH)
    eight, once, drawn = workers.sel(workers=8), "shuffled once", "with replacement"
    # not compared: what lies near a margin, or across it, another processor may turn
    return [
        claim("Without batch norm, sorted is worse than shuffled, at best rates",
              buffers.sel(norm=WITHOUT), "buffer", buffers.buffer[-1], 1),
        claim("Without batch norm, reshuffling beats shuffling once",
              plain, "rule", "reshuffled", once, compare=False),
        claim("With batch norm, reshuffling beats shuffling once",
              normed, "rule", "reshuffled", once),
        claim("Without batch norm, reshuffling beats replacement",
              plain, "rule", "reshuffled", drawn, compare=False),
        claim("With batch norm, reshuffling beats replacement",
              normed, "rule", "reshuffled", drawn, compare=False),
        claim("Workers with sorted parts are worse, without batch norm",
              eight.sel(norm=WITHOUT), "way", "global", "local"),
        claim("Workers with sorted parts are worse, each its own batch norm",
              eight.sel(norm=OWN), "way", "global", "local"),
    ]  # fmt: skip


def chance(accuracy: xr.DataArray) -> Findings:
    """Say how much of the spread between networks the order makes, and how much the first weights.

    Parameters
    ----------
    accuracy : xarray.DataArray
        Test accuracy in [0, 1]; dimensions ``order`` and ``seed``, crossed.
    """
    by_order = float(accuracy.std("order", ddof=1).mean())
    by_weights = float(accuracy.std("seed", ddof=1).mean())
    return Findings(
        {
            "The order alone spreads the networks by more than half a point.": by_order > 0.005,
            "The first weights alone spread them more.": by_weights > by_order,
        }
    )


def sharded(accuracy: xr.DataArray) -> Findings:
    """Say what many small files are worth.

    Parameters
    ----------
    accuracy : xarray.DataArray
        Test accuracy in [0, 1]; dimensions ``shards``, ``buffer`` and ``seed``.
    """
    few, many = (accuracy.sel(buffer=64, drop=True).isel(shards=i, drop=True) for i in (0, -1))
    return Findings(
        {
            "With a buffer of 64, many files read in random order are more than 20 points ahead of "
            "one sorted file.": many - few - 0.2
        }
    )


def slopes(error: xr.DataArray) -> Findings:
    """Say how fast the error falls with the number of epochs.

    Parameters
    ----------
    error : xarray.DataArray
        Of least squares; dimensions ``rule`` and ``epochs``.
    """
    found = {
        str(rule): float(np.polyfit(np.log(error.epochs), np.log(error.sel(rule=rule)), 1)[0])
        for rule in error.rule.values
    }
    return Findings(
        {
            "Drawn with replacement, twice the epochs leave about half of the error.": (
                -1.3 < found["with replacement"] < -0.7
            ),
            "Reshuffled, twice the epochs leave less than a third.": found["reshuffled"] < -1.6,
        }
    )


def _is_turned(order: Sequence[int], other: Sequence[int]) -> bool:
    """Whether an order is another one that begins elsewhere."""
    first, one = [*order], [*other]
    begin = one.index(first[0])
    return first == one[begin:] + one[:begin]


def _solve_together(x: Tensor, y: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
    order = torch.randperm(len(x), generator=generator)
    return x[order], y[order]


@Exercise(
    "shuffle inputs and labels together",
    hints=[
        "How many random orders do you need, one or two?",
        "torch.randperm(len(x), generator=generator) is one; index both tensors by it.",
    ],
    solution=(_solve_together,),
)
def together(my_shuffle: Rule) -> str:
    """Check that pairs stay pairs."""
    y = torch.arange(40)
    x = torch.stack([y, -y], 1).float()
    orders = []
    for seed in range(5):
        given = x.clone(), y.clone()
        result = my_shuffle(*given, Generator().manual_seed(seed))
        parts = two_parts(result, "two tensors: the inputs and the labels")
        if not (torch.equal(x, given[0]) and torch.equal(y, given[1])):
            raise Wrong("Your function changes the tensors it is given; return new ones.")
        inputs = tensor(parts[0], (40, 2), "The inputs")
        labels = tensor(parts[1], (40,), "The labels").long()
        if not torch.equal(labels.sort().values, y):
            raise Wrong("Each label must come out once: some are missing, some are there twice.")
        if not torch.equal(inputs[:, 0].long(), labels):
            raise Wrong("Inputs and labels came out in different orders: use one for both.")
        orders.append(labels)
    if _is_turned(orders[0].tolist(), y.tolist()):
        raise Wrong("They come out as they went in, or only begin elsewhere: nothing is mixed.")
    _, again = my_shuffle(x, y, Generator().manual_seed(0))
    repeats = torch.equal(orders[0], torch.as_tensor(again).long())
    if torch.equal(orders[0], orders[1]) or not repeats:
        raise Wrong("The order must come from the generator you are handed, and from it alone.")
    return "One permutation, used for both: in symbols, P X and P y with the same matrix P."


def _solve_covered(n: int) -> float:
    return 1 - (1 - 1 / n) ** n


@Exercise(
    "what an epoch covers with replacement",
    hints=[
        "A draw misses one given sample with probability 1 - 1/n.",
        "All n draws miss it with probability (1 - 1/n) ** n.",
    ],
    solution=(_solve_covered,),
)
def covered(my_share: Rule) -> str:
    """Check the share of samples that n draws cover."""
    for n in (2, 10, 2048):
        mistakes = {
            1 - math.exp(-1): "That is the share for n without end; at small n it is larger.",
            (1 - 1 / n) ** n: "That is the share that is *not* seen.",
        }
        expect(my_share(n), _solve_covered(n), f"For n = {n}", mistakes)
    return "About 63 % of the samples are seen, and a quarter of all more than once."


def _solve_buffer(stream: Sequence[int], size: int, generator: Generator) -> list[int]:
    held, given = [], []
    for item in stream:
        held.append(item)
        if len(held) > size - 1:
            slot = int(torch.randint(len(held), (1,), generator=generator))
            given.append(held.pop(slot))
    for slot in torch.randperm(len(held), generator=generator).tolist():
        given.append(held[slot])
    return given


@Exercise(
    "a shuffle buffer",
    hints=[
        "Fill the buffer first. Then, for each new item, give out a random one of those it holds.",
        "What is still in the buffer when the stream ends? Give that out, too, in random order.",
    ],
    solution=(_solve_buffer,),
)
def buffer(my_buffer: Rule) -> str:
    """Check what comes out of a buffer, how early, and how mixed."""
    n, alone = 60, Generator()
    for size in (1, 5, 20, 60, 100):
        drawn = [
            [int(item) for item in my_buffer(list(range(n)), size, alone.manual_seed(seed))]
            for seed in [*range(80), 0]
        ]
        for order in drawn:
            if sorted(order) != list(range(n)):
                raise Wrong(
                    f"{n} items went in, and {len(set(order))} different ones came out with size "
                    f"{size}: each must come out once, those at the end of the stream, too."
                )
        early = max(item - place for order in drawn for place, item in enumerate(order))
        late = max(place - item for order in drawn for place, item in enumerate(order))
        if early >= size:
            raise Wrong(
                f"With size {size}, an item came out {early} places early: it cannot have been in "
                "the buffer yet."
            )
        if drawn[0] != drawn[-1] or (size > 1 and drawn[0] == drawn[1]):
            raise Wrong("The order must come from the generator you are handed, and from it alone.")
        if 1 < size < 10 and late < 2 * size:
            raise Wrong(
                f"With size {size} no item ever comes {2 * size} places late: you shuffle block by "
                "block. A buffer takes a new item in for each one that it gives out."
            )
        if early < (size - 1 if size <= n / 3 else 0.8 * min(size, n) - 1):
            raise Wrong(
                f"With size {size} no item comes more than {early} places early: it is too "
                "small, or nothing is drawn from it."
            )
        firsts = {order[0] for order in drawn}
        if size <= 5 and firsts != set(range(size)):
            raise Wrong(
                f"With size {size}, in 80 epochs the first item to come out is always one of "
                f"{sorted(firsts)}; any that the buffer holds must have a chance."
            )
    return "An item can come out late, but always fewer places early than the buffer is large."


def _solve_rank(n: int, rank: int, n_workers: int, seed: int, epoch: int) -> list[int]:
    order = torch.randperm(n, generator=Generator().manual_seed(seed + epoch)).tolist()
    total = -(-n // n_workers) * n_workers
    filled = (order * n_workers)[:total]
    return filled[rank::n_workers]


@Exercise(
    "what one worker sees",
    hints=[
        "torch.randperm(n, generator=Generator().manual_seed(seed + epoch)) is the same for all.",
        "Fill it up from its own beginning until it divides; then take every n_workers-th, from "
        "`rank` on.",
    ],
    solution=(_solve_rank,),
)
def worker(my_indices: Rule) -> str:
    """Check the rule of DistributedSampler against torch's."""
    for n, n_workers, seed, epoch in ((12, 3, 0, 0), (12, 3, 0, 1), (10, 4, 7, 2)):
        shuffled = torch.randperm(n, generator=Generator().manual_seed(seed + epoch)).tolist()
        for rank in range(n_workers):
            sampler: DistributedSampler[int] = DistributedSampler(
                Stream(n), n_workers, rank, seed=seed
            )
            sampler.set_epoch(epoch)
            right: list[int] = [*sampler]
            found = [int(i) for i in my_indices(n, rank, n_workers, seed, epoch)]
            if found == right:
                continue
            each = len(right)
            still = torch.randperm(n, generator=Generator().manual_seed(seed)).tolist()
            why = {
                tuple(shuffled[rank * each : (rank + 1) * each]): "That is a piece of the order in "
                "a row; torch deals them out like cards, every n_workers-th.",
                tuple(shuffled[rank::n_workers]): "Each worker needs as many: fill the order up "
                "from its beginning until it divides.",
                tuple((still + still)[rank : each * n_workers : n_workers]): "Every epoch is the "
                "same: add the epoch to the seed.",
            }
            raise Wrong(
                why.get(tuple(found), "")
                or f"For n = {n}, rank {rank} of {n_workers}, seed {seed}, epoch {epoch} you give "
                f"{found}; torch gives {right}."
            )
    return (
        "With 10 samples for 4 workers two are seen twice: an average over them counts them double."
    )


def _solve_entropy(labels: Tensor) -> float:
    share = torch.bincount(labels).double() / len(labels)
    share = share[share > 0]
    return float(-(share * share.log2()).sum())


@Exercise(
    "how mixed a batch is",
    hints=[
        "torch.bincount(labels) / len(labels) is the share p of each class.",
        "Minus the sum of p log2 p; leave out the classes whose share is 0.",
    ],
    solution=(_solve_entropy,),
)
def entropy(my_entropy: Rule) -> str:
    """Check the entropy of labels."""
    for labels, what in (
        ([3] * 8, "a batch of one class"),
        ([0, 1] * 4, "two classes, half of each"),
        ([0, 0, 0, 2], "three quarters of one class, a quarter of another"),
        ([*range(8)], "eight classes, one of each"),
    ):
        right = _solve_entropy(torch.tensor(labels))
        given = my_entropy(torch.tensor(labels))
        if isinstance(given, Tensor) and given.isnan().any():
            raise Wrong(f"For {what} you give NaN: a class that is not there has p log p = 0.")
        mistakes = {
            right * math.log(2): "That is in nats; one bit is a choice between two, so use log2.",
            -right: "The sign: logarithms of shares are negative.",
        }
        expect(given, right, f"For {what}", mistakes, abs_tol=1e-6)
    return "0 bits for a single class, log2 of the number of classes if all are equally frequent."


def _solve_orders(n: int, seed: int, epochs: int) -> list[list[int]]:
    generator = Generator().manual_seed(seed)
    return [torch.randperm(n, generator=generator).tolist() for _ in range(epochs)]


@Exercise(
    "clinic: every epoch the same",
    hints=[
        "Where does the seed stand, before the loop over epochs or inside?",
        "Make one generator before the loop, and draw all orders from it.",
    ],
    solution=("b", _solve_orders),
)
def same_order(diagnosis: Any, mended: Rule) -> str:
    """Check orders that differ from epoch to epoch and can be had again."""
    diagnosed(
        diagnosis, "b",
        {
            "a": "That five numbers of 2048 agree by chance does not happen in a lifetime.",
            "c": "randperm gives a new order at each call, unless its generator is set back.",
        },
    )  # fmt: skip
    first, again, other = mended(20, 0, 4), mended(20, 0, 4), mended(20, 1, 4)
    orders = [[int(i) for i in order] for order in first]
    if len(orders) != 4 or any(sorted(order) != list(range(20)) for order in orders):
        raise Wrong("For 4 epochs of 20 samples give 4 orders, each with all of 0 to 19.")
    if any(_is_turned(one, other) for one, other in combinations(orders, 2)):
        raise Wrong("Two epochs have the same order, or one that only begins elsewhere.")
    if [[int(i) for i in order] for order in again] != orders:
        raise Wrong("The same seed must give the same orders: somebody wants to repeat this run.")
    if [[int(i) for i in order] for order in other] == orders:
        raise Wrong("Another seed gives the same orders.")
    return "A seed stands before the loop; inside it, every epoch is the first."


def _solve_items(n: int, worker_id: int, n_workers: int) -> list[int]:
    return list(range(n))[worker_id::n_workers]


@Exercise(
    "clinic: every sample twice",
    hints=[
        "Each worker process has a copy of the data set, and iterates over the whole of it.",
        "torch.utils.data.get_worker_info() tells a worker its id and how many there are: let it "
        "take every n_workers-th item from its id on.",
    ],
    solution=("c", _solve_items),
)
def twice(diagnosis: Any, mended: Rule) -> str:
    """Check that workers share a stream without overlap."""
    diagnosed(
        diagnosis, "c",
        {
            "a": "A batch size does not repeat anything.",
            "b": "Nothing here is drawn by chance.",
        },
    )  # fmt: skip
    for n, n_workers in ((6, 2), (7, 3), (5, 1), (2, 4)):
        parts = [[int(i) for i in mended(n, i, n_workers)] for i in range(n_workers)]
        seen = sorted(item for part in parts for item in part)
        if seen != list(range(n)):
            what = "some come twice" if len(seen) > len(set(seen)) else "some are missing"
            raise Wrong(f"{n} items, {n_workers} workers: together they yield {seen}; {what}.")
        if 1 < n_workers < n and max(map(len, parts)) == n:
            raise Wrong(f"{n} items, {n_workers} workers: one gets all of them; share them out.")
    return "An iterable data set must be told who it is; with an index, the sampler does that."


def _first_draws(generator: Any) -> tuple[float, ...]:
    if not isinstance(generator, Generator):
        kind = f"{type(generator).__module__}.{type(generator).__name__}"
        raise Wrong(f"Return a torch.Generator; this is a {kind}.")
    return tuple(torch.rand(4, generator=generator).tolist())


def _solve_generator(seed: int, epoch: int, worker_id: int) -> Generator:
    stream = np.random.SeedSequence([seed, epoch, worker_id])
    return Generator().manual_seed(int(stream.generate_state(1)[0]))


@Exercise(
    "clinic: all workers draw alike",
    hints=[
        "Each worker gets a copy of the data set, and so a copy of its generator, as it was.",
        "np.random.SeedSequence([seed, epoch, worker_id]).generate_state(1)[0] is a seed that "
        "differs if any of the three does; a sum does not.",
    ],
    solution=("a", _solve_generator),
)
def alike(diagnosis: Any, mended: Rule) -> str:
    """Check generators that differ by seed, epoch and worker."""
    diagnosed(
        diagnosis, "a",
        {
            "b": "The data set was made once; it is copied for each worker, with all it holds.",
            "c": "torch seeds its own generator differently in each worker; this is another one.",
        },
    )  # fmt: skip
    drawn: dict[tuple[float, ...], tuple[int, int, int]] = {}
    for who in product((0, 1, 7, 31, 50, 64, 100), repeat=3):
        seed, epoch, worker_id = who
        one, other = (_first_draws(mended(seed, epoch, worker_id)) for _ in range(2))
        if one != other:
            raise Wrong("The same seed, epoch and worker must draw the same: this run is lost.")
        if one in drawn:
            raise Wrong(
                f"Seed, epoch and worker {who} draw what {drawn[one]} did. Do you add them up? (Of "
                "a seed torch uses the lowest 32 bits.)"
            )
        drawn[one] = seed, epoch, worker_id
    return "What is copied draws alike; who draws must be part of the seed."
