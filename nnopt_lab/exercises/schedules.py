"""The lesson on learning-rate decay: its questions with their findings, exercises and clinic."""

import io
import math
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from functools import cache
from itertools import permutations
from typing import Any

from nnopt_lab import schedules
from nnopt_lab.data import mnist1d
from nnopt_lab.exercises.checks import diagnosed, expect, number
from nnopt_lab.exercises.exercise import Exercise, Wrong
from nnopt_lab.explorer import Prediction, Progress, Stops
from nnopt_lab.grid import grid
from nnopt_lab.networks import mlp
from nnopt_lab.statistics import Findings, interval
from nnopt_lab.training import n_steps, train

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import LambdaLR, StepLR

Rule = Callable[..., Any]
Loader = Sequence[tuple[Tensor, Tensor]]


def half_rate(left: float, strongest: float, too_fast: float) -> dict[str, Any]:
    """Ask what half of a constant rate leaves of the excess loss on the bowl.

    Parameters
    ----------
    left : float
        Excess loss at rate 0.2 over that at 0.4.
    strongest : float
        The same of a decayed rate that begins at 0.4.
    too_fast : float
        Excess loss of a small rate that falls fast over that of one that falls slowly.
    """
    return {
        "predict": Prediction(
            "The rate stays, and is halved from 0.4 to 0.2. What share of the excess loss is left?",
            Stops(range(0, 101, 5), unit="%"),
            100 * left,
            "The height of the cloud is nearly proportional to the rate.",
            words=f"{100 * left:.0f} %",
        ),
        "shows": Findings(
            {
                "With half the rate about half of the excess loss is left.": bool(
                    0.35 < left < 0.6
                ),
                "With δ = 0.03 less than half is left of that at α₀ = 0.4.": strongest < 0.5,
                "A rate that is small at first and falls fast leaves them on the slope.": too_fast
                > 1,
            }
        ),
    }


def early_lead(validation: xr.DataArray) -> dict[str, Any]:
    """Ask which of two rates is ahead early, both from 0.05.

    Parameters
    ----------
    validation : xarray.DataArray
        Accuracy in [0, 1]; dimensions ``delta``, ``alpha0``, ``seed`` and ``epoch``.
    """
    at = validation.sel(alpha0=0.05, epoch=10, drop=True)
    lead = at.sel(delta=0, drop=True) - at.sel(delta=0.03, drop=True)
    answers = {"the decayed rate": -5.0, "neither by 2 points": 0.0, "the constant rate": 5.0}
    reason = "Smaller steps are slower, as long as the larger ones are not too large."
    return {
        "predict": Prediction(
            "Both start at α₀ = 0.05, one decays with δ = 0.03. Which is ahead after 10 of 25 "
            "epochs?",
            answers,
            100 * float(lead.mean()),
            [reason] * 3,
            words=f"the constant rate is ahead by {interval(100 * lead)} points",
        ),
        "shows": Findings(
            {
                "After 10 epochs the rate that stays at 0.05 is more than 2 points ahead.": lead
                - 0.02
            }
        ),
    }


def pairs_of_rates(final: xr.DataArray) -> Findings:
    """Say what the map of all pairs shows.

    Parameters
    ----------
    final : xarray.DataArray
        Validation accuracy in percent; dimensions ``delta`` and ``alpha0``.
    """
    best, staying = float(final.max()), float(final.sel(delta=0).max())

    def at(alpha0: float, delta: float) -> float:
        return float(final.sel(alpha0=alpha0, delta=delta))

    return Findings(
        {
            "At α₀ = 0.4 a rate that stays leaves fewer than 35 % right; δ = 0.01 lifts that above "
            "55 %.": at(0.4, 0) < 35 < 55 < at(0.4, 0.01),
            "At 0.05 a strong decay (0.1) holds back by more than 5 points.": at(0.05, 0.1)
            < at(0.05, 0) - 5,
            "At 0.05 no decay helps by 2 points.": float(final.sel(alpha0=0.05).max())
            < at(0.05, 0) + 2,
            "The best pair is more than 2 points above every rate that stays.": best > staying + 2,
        }
    )


def each_at_its_best(accuracy: Mapping[str, xr.DataArray], best: Mapping[str, Any]) -> Findings:
    """Say what the ranking of the schedules shows.

    Parameters
    ----------
    accuracy : mapping of str to xarray.DataArray
        Test accuracy in percent by kind of data; dimensions ``schedule``, ``alpha0``, ``seed``.
    best : mapping of str to xarray.DataArray
        The best first rate by kind of data; dimension ``schedule``.
    """
    found: dict[str, bool] = {}
    for regime, lead in (("memorising", 2), ("nearly fresh", 5)):
        here = accuracy[regime].mean("seed")
        at_5, top = here.sel(alpha0=0.05), here.sel(alpha0=best[regime])
        constant = float(top.sel(schedule="constant"))
        found |= {
            f"{regime}: at 0.05 for all, nothing beats the rate that stays by 2 points.": bool(
                at_5.max() < at_5.sel(schedule="constant") + 2
            ),
            f"{regime}: at 0.05, 1/√ is more than 3 points behind it.": bool(
                at_5.sel(schedule="1/√") < at_5.sel(schedule="constant") - 3
            ),
            f"{regime}: each at its best, linear and cosine are more than {lead} points ahead.": (
                bool(top.sel(schedule=["linear", "cosine"]).min() > constant + lead)
            ),
            f"{regime}: each decay has a larger best rate than the rate that stays.": bool(
                (best[regime].isel(schedule=slice(1, None)) > best[regime].isel(schedule=0)).all()
            ),
        }
    return Findings(found)


def ends(measured: Mapping[tuple[str, str], xr.Dataset]) -> Findings:
    """Say what the fresh seeds show besides the claims.

    Parameters
    ----------
    measured : mapping of (str, str) to xarray.Dataset
        By kind of data and arm: ``accuracy`` and ``gap`` in percent; dimensions ``seed``, ``step``.
    """
    slacks: dict[str, Any] = {}
    for regime, least in (("memorising", 3), ("nearly fresh", 5)):
        arms = {arm: found for (kind, arm), found in measured.items() if kind == regime}
        lead = arms["cosine"].accuracy - arms["constant"].accuracy
        gaps = {arm: float(found.gap.isel(step=-1).mean()) for arm, found in arms.items()}
        slacks |= {
            f"{regime}: in the end cosine is more than {least} points ahead.": lead.isel(step=-1)
            - least,
            f"{regime}: cosine is ahead from half of the training on.": bool(
                interval(lead.isel(step=4)).low > 0
            ),
            f"{regime}: 1/√ from 0.05 has the smallest gap of all: it has learned least.": bool(
                min(gaps, key=lambda arm: gaps[arm]) == "1/√, α₀ 0.05"
            ),
        }
    return Findings(slacks)


def silent_mistakes(warned: Mapping[str, str]) -> Findings:
    """Say how many mistakes torch notices.

    Parameters
    ----------
    warned : mapping of str to str
        What torch said, by mistake.
    """
    n = list(warned.values()).count("torch warns.")
    return Findings({"Two of the four mistakes raise a warning; the others are silent.": n == 2})


def _schedule(made: Any) -> schedules.Schedule:
    """Return what a learner's function made, if it is a schedule."""
    if not callable(made):
        raise Wrong(f"Return a schedule, a function of t; this is a {type(made).__name__}.")
    schedule: schedules.Schedule = made
    return schedule


def _solve_rate(t: int, alpha0: float, delta: float) -> float:
    return float(alpha0 / (1 + delta * t) ** 0.5)


@Exercise(
    "the rate at time t",
    hints=["Put the symbols of the formula into one line.", "A root is ** 0.5."],
    solution=(_solve_rate,),
)
def rate(my_rate: Rule) -> str:
    """Check the formula of decay."""
    for t, alpha0, delta in ((0, 0.4, 0.1), (30, 0.4, 0.1), (300, 0.1, 0.01), (5, 0.2, 0.0)):
        mistakes = {
            alpha0 / (1 + delta * t): "That is 1 / (1 + δt), a faster decay: the root is missing.",
            _solve_rate(t + 1, alpha0, delta): "At t = 0 the rate is α₀: yours is one step ahead.",
            alpha0 / (1 + delta * t**0.5): "The root is over all of 1 + δt, not over t alone.",
        }
        where = f"At t = {t}, α₀ = {alpha0:g}, δ = {delta:g}"
        expect(my_rate(t, alpha0, delta), _solve_rate(t, alpha0, delta), where, mistakes)
    return "A schedule is a function of time: no state, so nothing can be used up."


def _solve_delta(n: int) -> float:
    return 15 / n


@Exercise(
    "a quarter after n steps",
    hints=["Set α₀ / √(1 + δn) = α₀ / 4 and solve for δ.", "√(1 + δn) = 4, so 1 + δn = 16."],
    solution=(_solve_delta,),
)
def delta(my_delta: Rule) -> str:
    """Check the decay that leaves a quarter."""
    for n in (100, 1575):
        found = number(my_delta(n), f"For n = {n}")
        left = 1 / math.sqrt(1 + found * n) if found > 0 else 1.0
        mistakes = {
            3 / n: "That halves the rate; a quarter was asked. Which 1 + δt has the root 4?",
            4 / n: "Then 1 + δn is 5; its root must be 4.",
            16 / n: "1 + δn must be 16: the 1 counts, too.",
        }
        words = f"With your δ, {100 * left:.3g} % of the rate is left at t = {n}; 25 % were asked."
        expect(found, _solve_delta(n), "", mistakes, otherwise=words)
    return "To halve the rate once more takes four times as long as the first time: 12/δ after 3/δ."


def _solve_cosine(t: int, alpha0: float, n: int) -> float:
    return float(alpha0 * (1 + math.cos(math.pi * min(t, n) / n)) / 2)


@Exercise(
    "half a cosine",
    hints=[
        "math.cos goes from 1 to -1 while its argument goes from 0 to math.pi.",
        "Add 1, halve, multiply by alpha0. What must t be at most?",
    ],
    solution=(_solve_cosine,),
)
def cosine(my_cosine: Rule) -> str:
    """Check a schedule that ends at 0 and stays there."""
    for alpha0, n in ((0.2, 100), (0.5, 37)):
        for t in (0, n, n // 2, n // 4, n + 10):
            wave = math.cos(math.pi * t / n)
            mistakes = {
                alpha0 * wave: f"At t = {n} your rate is {-alpha0:g}: a rate is never negative.",
                alpha0 * (1 + wave) / 2: f"After t = n = {n} the rate must stay at 0.",
            }
            right = _solve_cosine(t, alpha0, n)
            expect(my_cosine(t, alpha0, n), right, f"At t = {t} of {n}", mistakes)
    return "Slow at both ends, fast in between: long large steps, long small ones."


def _solve_warm_up(schedule: schedules.Schedule, n: int) -> schedules.Schedule:
    return lambda t: schedule(0) * (t + 1) / n if t < n else schedule(t - n)


@Exercise(
    "a warm-up around any schedule",
    hints=[
        "Return a function of t: `return lambda t: ...`, with two cases.",
        "Up to t = n - 1: schedule(0) * (t + 1) / n. From then on the schedule, n steps later.",
    ],
    solution=(_solve_warm_up,),
)
def warm_up(my_warm_up: Rule) -> str:
    """Check a function from schedules to schedules."""
    for inner, n in ((schedules.cosine(0.4, 90), 10), (schedules.inverse_sqrt(0.1, 0.05), 4)):
        mine, right = _schedule(my_warm_up(inner, n)), _solve_warm_up(inner, n)
        for t in (0, 1, n - 1, n, n + 1, n + 40):
            mistakes = {
                float(inner(0)) * t / n: "At t = 0 your rate is 0: the first step would be wasted. "
                "Begin at 1/n.",
                float(inner(t)): f"At t = {t} you are where the schedule is without warm-up: it "
                f"must begin at its own t = 0 when the warm-up of {n} steps ends.",
            }
            expect(mine(t), float(right(t)), f"At t = {t}, n = {n}", mistakes)
    return "A function that takes a schedule and returns one goes around any of them."


def _solve_floor(alpha: float, h: float, sigma: float) -> float:
    m = (alpha * sigma) ** 2 / (1 - (1 - alpha * h) ** 2)
    return h * m / 2


@Exercise(
    "the noise floor of a constant rate",
    hints=[
        "On the floor a step leaves m as it is: m = (1 - αh)² m + α² σ². Solve for m.",
        "m = α² σ² / (1 - (1 - αh)²), and the excess loss is h m / 2.",
    ],
    solution=(_solve_floor,),
)
def floor(my_floor: Rule) -> str:
    """Check the excess loss against 20 000 steps of its recursion."""
    for alpha, h, sigma in ((0.1, 1.0, 1.0), (0.5, 0.25, 0.3), (0.01, 1.0, 2.0)):
        m = 0.0
        for _ in range(20_000):
            m = (1 - alpha * h) ** 2 * m + (alpha * sigma) ** 2
        mistakes = {
            m: "That is the mean square m; the excess loss is h m / 2.",
            alpha * sigma**2 / 4: "For small α that is close; keep the α² of (1 - αh)².",
        }
        where = f"After 20 000 steps at α = {alpha:g}, h = {h:g}, σ = {sigma:g}"
        expect(my_floor(alpha, h, sigma), h * m / 2, where, mistakes, rel_tol=1e-4)
    return "For small rates it is α σ² / 4: half the rate, half the floor, whatever the curvature."


FRESH = grid(seed=range(200, 208))  # seeds that the lesson has not used
EPOCHS = 5
AHEAD = 7.0  # points that the experiment asks for


def _accuracy(schedule: schedules.Schedule, words: str) -> float:
    """Train on nearly fresh data; return the mean validation accuracy in percent."""
    data = mnist1d(20_000)
    watch = [Progress(words, n_steps(data, EPOCHS))]
    model = mlp([40, 48, 48, 10], FRESH)
    history = train(model, data, FRESH, epochs=EPOCHS, lr=schedule, watch=watch)
    return 100 * float(history.validation_accuracy.isel(epoch=-1).mean())


@cache
def _control() -> float:
    """Return what a good constant rate reaches, trained once a kernel."""
    return _accuracy(schedules.constant(0.1), "8 networks at the constant rate 0.1")


def _solve_ahead(n: int) -> schedules.Schedule:
    return schedules.linear(0.2, n)


@Exercise(
    "seven points ahead",
    hints=[
        "Which schedule was best on nearly fresh data, and at which first rate?",
        "schedules.linear(0.2, n) goes from 0.2 to 0 in n steps.",
    ],
    solution=(_solve_ahead,),
    seconds=60,
)
def ahead(my_schedule: Rule) -> str:
    """Train with the learner's schedule against a good constant rate."""
    n = n_steps(mnist1d(20_000), EPOCHS)
    mine = _schedule(my_schedule(n))
    rates = [number(mine(t), f"At t = {t}") for t in range(n)]
    if min(rates) < 0:
        raise Wrong(f"The rate at t = {int(np.argmin(rates))} is {min(rates):.3g}: below 0.")
    accuracy = _accuracy(lambda t: rates[t], "8 networks at your rates")
    lead = accuracy - _control()
    if lead < AHEAD:
        raise Wrong(
            f"Your networks reach {accuracy:.1f} %, {lead:+.1f} points against the constant rate; "
            f"{AHEAD:g} were asked. A larger first rate? A last rate nearer to 0?"
        )
    return f"More than {AHEAD:g} points ahead: large steps first, none at the end."


def _loader(n_batches: int = 4) -> Loader:
    chance = torch.Generator().manual_seed(0)
    x = torch.randn(n_batches, 8, 5, generator=chance)
    return [(inputs, (inputs.sum(1) > 0).long()) for inputs in x]


def _applied(mended: Rule, optimizer: Optimizer, *inputs: Any) -> list[float]:
    """Return the rates that a learner's loop applies, step by step."""
    probe = schedules.Probe(optimizer)
    mended(*inputs)
    probe.close()
    return probe.rates


def _solve_loop(
    net: nn.Module, optimizer: Optimizer, scheduler: StepLR, loader: Loader, epochs: int
) -> None:
    for _ in range(epochs):
        for x, y in loader:
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(x), y).backward()
            optimizer.step()
        scheduler.step()


@Exercise(
    "clinic: three loops, three rates",
    hints=[
        "Patient 1 has gone through its plan within one epoch. How often was it stepped?",
        "The order is b, c, a. In the mended loop scheduler.step() stands behind the batches.",
    ],
    solution=("bca", _solve_loop),
)
def loop(diagnoses: str, mended: Rule) -> str:
    """Check a loop whose scheduler is stepped once an epoch."""
    signs = (
        "A rate that falls within the first epoch was multiplied at every batch; one that is small "
        "from the start was stepped before; one that never falls begins anew."
    )
    diagnosed(diagnoses, "bca", {"".join(order): signs for order in permutations("abc")})
    net, loader = nn.Linear(5, 2), _loader()
    optimizer = SGD(net.parameters(), lr=0.1)
    ours = deepcopy(net)
    ours_optimizer = SGD(ours.parameters(), lr=0.1)
    _solve_loop(ours, ours_optimizer, StepLR(ours_optimizer, 2, 0.5), loader, 6)
    before = net.weight.detach().clone()
    found = _applied(mended, optimizer, net, optimizer, StepLR(optimizer, 2, 0.5), loader, 6)
    n, plan = len(loader), [0.1 * 0.5 ** (epoch // 2) for epoch in range(6)]
    if len(found) != 6 * n:
        raise Wrong(f"{len(found)} steps were taken; 6 epochs of {n} batches are {6 * n}.")
    if torch.equal(before, net.weight):
        raise Wrong("No weight has moved: the network must still be trained.")
    words = schedules.compare(np.repeat(plan, n), found)
    if "agree" not in words:
        raise Wrong(words)
    if not torch.allclose(net.weight, ours.weight, atol=1e-5):
        raise Wrong(
            "The rates are as planned, but the weights go another way: each batch needs "
            "zero_grad(), the gradient of its cross-entropy, and a step down."
        )
    return "Made once, stepped once an epoch, after the optimizer, and never just to look at it."


def _solve_late(epoch: int) -> float:
    return float(0.1 * 0.5 ** ((epoch + 1) // 10))


@Exercise(
    "clinic: eleven epochs instead of ten",
    hints=[
        "In which epoch is the rate used that is written at the end of epoch 9?",
        "Compute it for epoch + 1.",
    ],
    solution=("c", _solve_late),
)
def late(diagnosis: str, mended: Rule) -> str:
    """Check the rate that is written at the end of an epoch."""
    diagnosed(
        diagnosis, "c",
        {
            "a": "0.5 ** (epoch // 10) falls at epoch 10, 20, 30; look at when it is used.",
            "b": "The rate is a Python float here; halving it is exact.",
        },
    )  # fmt: skip
    for epoch in (0, 8, 9, 10, 18, 19, 39):
        where = f"At the end of epoch {epoch}, for epoch {epoch + 1} that begins then,"
        expect(mended(epoch), _solve_late(epoch), where)
    return "What is written at the end of an epoch is used in the next: write the rate of the next."


def _solve_save(net: nn.Module, optimizer: Optimizer, scheduler: LambdaLR) -> dict[str, Any]:
    return {
        "net": net.state_dict(),
        "optimizer": optimizer.state_dict(),
        "scheduler": scheduler.state_dict(),
    }


def _solve_load(
    state: Mapping[str, Any], net: nn.Module, optimizer: Optimizer, scheduler: LambdaLR
) -> None:
    net.load_state_dict(state["net"])
    optimizer.load_state_dict(state["optimizer"])
    scheduler.load_state_dict(state["scheduler"])


@Exercise(
    "clinic: the rate that jumped at a restart",
    hints=[
        "What does a new scheduler believe, how many steps were taken?",
        "Save and load scheduler.state_dict() beside the two others.",
    ],
    solution=("b", _solve_save, _solve_load),
)
def checkpoint(diagnosis: str, save: Rule, load: Rule) -> str:
    """Check that a training goes on after a restart as if there had been none."""
    diagnosed(
        diagnosis, "b",
        {
            "a": "The weights are the same before and after: it is the rate that jumps.",
            "c": "optimizer.state_dict() holds the rate of the moment; that is why it is right at "
            "the first step, until the scheduler writes its own.",
        },
    )  # fmt: skip
    plan = schedules.inverse_sqrt(0.1, 0.5)

    def parts() -> tuple[nn.Linear, Optimizer, LambdaLR]:
        net = nn.Linear(5, 2)
        optimizer = SGD(net.parameters(), lr=0.1, momentum=0.9)
        return net, optimizer, schedules.scheduler(optimizer, plan)

    def go(net: nn.Module, optimizer: Optimizer, scheduler: LambdaLR) -> list[float]:
        return _applied(_solve_loop, optimizer, net, optimizer, scheduler, _loader(1), 10)

    first = parts()
    go(*first)
    state = save(*first)
    if not isinstance(state, Mapping):
        raise Wrong(f"save must return a dict; this is a {type(state).__name__}.")
    file = io.BytesIO()
    torch.save(state, file)
    then = parts()
    load(torch.load(io.BytesIO(file.getvalue())), *then)
    if not torch.equal(first[0].weight, then[0].weight):
        raise Wrong("The weights of the network are not those that were saved.")
    words = schedules.compare([float(plan(t)) for t in range(10, 20)], go(*then))
    if "agree" not in words:
        raise Wrong(f"After the restart, at steps 10 to 19: {words}")
    go(*first)  # the training that was not interrupted
    if not torch.equal(first[0].weight, then[0].weight):
        raise Wrong("After the restart the weights go another way: is the momentum lost?")
    return "Three states belong to a training: of the network, the optimizer, and the scheduler."
