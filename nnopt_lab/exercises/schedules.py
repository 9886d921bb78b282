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
from nnopt_lab.statistics import Findings, Verdict, at_crossing, interval
from nnopt_lab.training import n_steps, train

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import LambdaLR, StepLR

Rule = Callable[..., Any]
Loader = Sequence[tuple[Tensor, Tensor]]


def half_rate(height: Mapping[tuple[float, float], float]) -> dict[str, Any]:
    """Ask what half of a constant rate leaves of the excess loss on the bowl.

    Parameters
    ----------
    height : mapping of (float, float) to float
        Excess loss by first rate and decay per step.
    """
    left = height[0.2, 0] / height[0.4, 0]
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
                "With half the rate about half of the excess loss is left.": 0.35 < left < 0.6,
                "From α₀ = 0.4, δ = 0.03 leaves less than half of what δ = 0 leaves.": (
                    height[0.4, 0.03] < height[0.4, 0] / 2
                ),
                "A rate that is small at first and falls fast leaves them on the slope.": (
                    height[0.05, 1] > height[0.05, 0.03]
                ),
            }
        ),
    }


def silent_mistakes(warned: Mapping[str, bool]) -> Findings:
    """Say how many mistakes torch notices.

    Parameters
    ----------
    warned : mapping of str to bool
        Whether torch warned, by mistake.
    """
    return Findings(
        {
            "Two of the four mistakes raise a warning; the others are silent.": sum(warned.values())
            == 2
        }
    )


def pairs(validation: xr.DataArray) -> dict[str, Any]:
    """Ask which of two rates is ahead early, and say what the map of all pairs shows.

    Parameters
    ----------
    validation : xarray.DataArray
        Accuracy in [0, 1]; dimensions ``delta``, ``alpha0``, ``seed`` and ``epoch``.
    """
    early, final = validation.sel(epoch=10, drop=True), validation.isel(epoch=-1, drop=True)

    def of(when: xr.DataArray, alpha0: float, delta: float) -> xr.DataArray:
        return when.sel(alpha0=alpha0, delta=delta, drop=True)

    lead = of(early, 0.05, 0) - of(early, 0.05, 0.03)
    return {
        "predict": Prediction(
            "Both start at α₀ = 0.05, one decays with δ = 0.03. Which is ahead after 10 of 25 "
            "epochs?",
            {"the decayed rate": -0.05, "neither by 2 points": 0.0, "the constant rate": 0.05},
            float(lead.mean()),
            "Smaller steps are slower, as long as the larger ones are not too large.",
            words=f"the constant rate is ahead by {interval(100 * lead)} points",
        ),
        "shows": Findings(
            {
                "After 10 epochs, from 0.05, the rate that stays is more than 2 points ahead of "
                "the one that falls with δ = 0.03.": lead - 0.02,
                "In the end, at α₀ = 0.4, a rate that stays leaves fewer than 35 % right.": (
                    0.35 - of(final, 0.4, 0)
                ),
                "There δ = 0.01 lifts that above 55 %.": of(final, 0.4, 0.01) - 0.55,
                "At 0.05 a strong decay (0.1) holds back by more than 5 points.": (
                    of(final, 0.05, 0) - of(final, 0.05, 0.1) - 0.05
                ),
            }
        ),
    }


OWN, EQUAL, LARGE = "its own best", "0.05 for all", "0.2 for all"
LATE = "stable, then decay"
MARGIN = 2.0  # points


def quiet_end(seen: xr.Dataset) -> dict[str, Any]:
    """Ask what it brings to let a constant rate fall to 0 in the last fifth.

    Parameters
    ----------
    seen : xarray.Dataset
        ``test_accuracy`` in [0, 1]; dimensions ``samples``, ``start``, ``schedule``, ``seed`` and
        ``progress``, the share of the training that is done, in percent.
    """
    end = seen.test_accuracy.sel(progress=100, drop=True)
    lead = end - end.sel(schedule="constant", drop=True)
    fresh = lead.sel(samples="nearly fresh", start=EQUAL, schedule=LATE, drop=True)
    own = lead.sel(start=OWN, schedule=["linear", "cosine", LATE], drop=True).min("schedule")
    slower = lead.sel(start=EQUAL, schedule="1/√", drop=True).max("samples")
    return {
        "predict": Prediction(
            "Nearly fresh data; both rates stay at 0.05, until in the last fifth of the training "
            "one falls to 0. How many points of accuracy does the fall bring?",
            {"it costs 4": -0.04, "none": 0.0, "it gains 4": 0.04, "it gains 12": 0.12},
            float(fresh.mean()),
            "The steps dance around what they have found; small last steps let them settle.",
            words=f"{interval(100 * fresh)} points",
        ),
        "shows": Findings(
            {
                "From 0.05, 1/√ is more than a point behind the rate that stays, on both kinds of "
                "data.": -0.01 - slower,
                "Each from its best, linear, cosine and stable-then-decay are all ahead of it by "
                "more than a point when memorising.": own.sel(samples="memorising") - 0.01,
                "On nearly fresh data they are ahead of it by more than 4 points.": (
                    own.sel(samples="nearly fresh") - 0.04
                ),
            }
        ),
    }


def overfitting(seen: xr.Dataset) -> dict[str, Any]:
    """Ask whether decay leaves a smaller gap.

    Parameters
    ----------
    seen : xarray.Dataset
        As for ``quiet_end``, with ``gap`` in [0, 1], ``test_loss`` and ``training_loss``.
    """
    here = seen.sel(samples="memorising", start=OWN, drop=True)
    end = here.gap.sel(progress=100, drop=True)
    more = end.sel(schedule="1/√", drop=True) - end.sel(schedule="constant", drop=True)
    loss = here.test_loss
    at_end = loss.sel(progress=100, drop=True)
    low = at_end.sel(schedule="constant", drop=True) - at_end.sel(schedule=LATE, drop=True)
    rise = at_end - loss.sel(progress=50, drop=True)
    last = seen.sel(samples="memorising", progress=100, drop=True)
    late = last.gap.sel(schedule=LATE, drop=True)
    held = last.training_loss.sel(schedule="constant", start=LARGE, drop=True)
    return {
        "predict": Prediction(
            "4 000 samples, seen 25 times, each rate from its best. With 1/√ the gap, training "
            "accuracy minus test accuracy, ends, compared with the constant rate,",
            {"more than 2 points smaller": -0.05, "about equal": 0.0, "more than 2 larger": 0.05},
            float(more.mean()),
            "What learns the training samples better has the larger gap, unless it learns the "
            "others better, too.",
            words=f"{interval(100 * more)} points larger",
        ),
        "shows": Findings(
            {
                "Memorising, with 1/√ the loss on test samples rises from half-time on.": (
                    rise.sel(schedule="1/√", drop=True)
                ),
                "With stable-then-decay it falls, and ends lower than with a rate that stays.": (
                    np.minimum(-rise.sel(schedule=LATE, drop=True), low)
                ),
                "At a training loss of 0.7 stable-then-decay has a smaller gap than a rate that "
                "stays.": _equal(here, "constant") - _equal(here, LATE),
                "From 0.05 stable-then-decay ends with a gap more than 5 points larger than from "
                "its best rate.": late.sel(start=EQUAL, drop=True)
                - late.sel(start=OWN, drop=True)
                - 0.05,
                "A rate that stays at 0.2 leaves a training loss above 0.7.": held - 0.7,
            }
        ),
    }


def _equal(seen: xr.Dataset, schedule: str) -> xr.DataArray:
    """Return the gap when the training loss is 0.7."""
    here = seen.sel(schedule=schedule, drop=True)
    return at_crossing(here.training_loss, here.gap, 0.7, along="progress")


def claims(seen: xr.Dataset) -> dict[str, list[Verdict]]:
    """Return the verdicts on the lesson's claims, by kind of data.

    Parameters
    ----------
    seen : xarray.Dataset
        As for ``overfitting``.
    """
    kinds = ["memorising", "nearly fresh"]
    return {kind: _claims(seen.sel(samples=kind, drop=True), kind) for kind in kinds}


def _claims(seen: xr.Dataset, kind: str) -> list[Verdict]:
    lead = 100 * (seen.test_accuracy - seen.test_accuracy.sel(schedule="constant", drop=True))
    gap = 100 * (seen.gap.sel(schedule="constant", drop=True) - seen.gap)
    rows = {
        "Faster early, from 0.05: 1/√": (lead, 40, EQUAL, "1/√"),
        "Faster early, each from its best: 1/√": (lead, 40, OWN, "1/√"),
        "Better in the end, from 0.05: stable, then decay": (lead, 100, EQUAL, LATE),
        "Better in the end, each from its best: 1/√": (lead, 100, OWN, "1/√"),
        "Better in the end, each from its best: stable, then decay": (lead, 100, OWN, LATE),
        "Smaller gap in the end, each from its best: 1/√": (gap, 100, OWN, "1/√"),
        "Smaller gap in the end, each from its best: stable, then decay": (gap, 100, OWN, LATE),
    }
    return [
        Verdict(
            f"{claim} ({kind})",
            values.sel(progress=when, start=start, schedule=schedule),
            margin=MARGIN,
            unit="points",
            compare=(claim, kind) not in CLOSE,
        )
        for claim, (values, when, start, schedule) in rows.items()
    ]


# Claims whose interval ends so near to a margin that another processor could turn them over.
CLOSE = {
    ("Faster early, each from its best: 1/√", "memorising"),
    ("Faster early, each from its best: 1/√", "nearly fresh"),
    ("Better in the end, from 0.05: stable, then decay", "memorising"),
    ("Better in the end, from 0.05: stable, then decay", "nearly fresh"),
    ("Better in the end, each from its best: 1/√", "memorising"),
    ("Smaller gap in the end, each from its best: stable, then decay", "memorising"),
    ("Smaller gap in the end, each from its best: stable, then decay", "nearly fresh"),
}


def averages(accuracy: xr.DataArray) -> Findings:
    """Say what an average of the weights gains over the last ones, at a constant rate.

    Parameters
    ----------
    accuracy : xarray.DataArray
        On the test set, in [0, 1]; dimensions ``samples``, ``schedule`` and ``seed``.
    """
    gain = accuracy.sel(schedule="constant, weights averaged", drop=True) - accuracy.sel(
        schedule="constant", drop=True
    )
    return Findings(
        {
            "On both kinds of data, the average of the weights is better than the last ones.": (
                gain.min("samples")
            )
        }
    )


def floors(loss: xr.DataArray) -> Findings:
    """Say how low each schedule comes on the bowl, where the loss is exact.

    Parameters
    ----------
    loss : xarray.DataArray
        Excess loss; dimensions ``schedule``, ``step`` and ``alpha0``.
    """
    end = loss.isel(step=-1, drop=True)
    low, where = end.min("alpha0"), end.idxmin("alpha0")
    others = [name for name in loss.schedule.values.tolist() if name != "constant"]
    lowest = low.sel(schedule=["linear", "cosine", "halved 5 times"]).max()
    return Findings(
        {
            "Each at its best, linear, cosine and halving end below 0.6 times a rate that stays.": (
                bool(lowest < 0.6 * low.sel(schedule="constant"))
            ),
            "1/√ ends between them and it.": bool(
                lowest < low.sel(schedule="1/√") < low.sel(schedule="constant")
            ),
            "Each of them begins with a larger rate than the best that stays.": bool(
                where.sel(schedule=others).min() > where.sel(schedule="constant")
            ),
        }
    )


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
    for t, alpha0, delta in (
        (0, 0.4, 0.1),
        (30, 0.4, 0.1),
        (300, 0.1, 0.01),
        (7, 0.3, 0.03),
        (5, 0.2, 0.0),
    ):
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
        if found <= 0:
            raise Wrong(f"Your δ for n = {n} is {found:.3g}; the rate falls only if it is above 0.")
        left = 1 / math.sqrt(1 + found * n)
        mistakes = {
            3 / n: "That halves the rate; a quarter was asked. Which 1 + δt has the root 4?",
            4 / n: "Then 1 + δn is 5; its root must be 4.",
            16 / n: "1 + δn must be 16: the 1 counts, too.",
        }
        words = f"With your δ, {100 * left:.3g} % of the rate is left at t = {n}; 25 % were asked."
        expect(found, _solve_delta(n), "", mistakes, otherwise=words, rel_tol=0.01)
    return "To halve the rate once more takes four times as long as the first time: 12/δ after 3/δ."


def _solve_stable_then_decay(t: int, alpha0: float, n: int, share: float) -> float:
    left = (n - t) / (share * n)
    return float(alpha0 * min(1, max(0, left)))


@Exercise(
    "stable, then decay",
    hints=[
        "n - t steps are left; the fall lasts share * n steps. Which part of it is left?",
        "alpha0 times that part, but never more than alpha0.",
    ],
    solution=(_solve_stable_then_decay,),
)
def stable_then_decay(my_stable_then_decay: Rule) -> str:
    """Check a schedule that stays, and falls to 0 at the end."""
    for alpha0, n, share in ((0.2, 100, 0.25), (0.3, 80, 0.5)):
        for t in (0, n // 2, n - 1, n - 5, n):
            right = _solve_stable_then_decay(t, alpha0, n, share)
            left = (n - t) / (share * n)
            mistakes = {
                alpha0
                * left: f"At t = {t} your rate is larger than the first: until the fall begins it "
                "is α₀.",
                alpha0 * (1 - t / n): "That falls from the start: only the last share falls.",
                alpha0 * (1 - left): "That rises to the end: which part of the fall is *left*?",
            }
            found = my_stable_then_decay(t, alpha0, n, share)
            where = f"At t = {t} of {n}, with a share of {share:g}"
            expect(found, right, where, mistakes, abs_tol=1e-6)
    return "The end need not be known until the fall begins: that is why long trainings use it."


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
            one_less = f"At t = {t} your rate is {t}/{n} of the first: t + 1 of n is asked."
            wasted = "At t = 0 your rate is 0: the first step would be wasted. Begin at 1/n."
            mistakes = {
                float(inner(0)) * t / n: wasted if t == 0 else one_less,
                float(inner(t)): f"At t = {t} you are where the schedule is without warm-up: it "
                f"must begin at its own t = 0 when the warm-up of {n} steps ends.",
            }
            expect(mine(t), float(right(t)), f"At t = {t}, n = {n}", mistakes)
    return "A function that takes a schedule and returns one goes around any of them."


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
    seconds=20,  # the first optimizer of a process takes some
)
def loop(diagnoses: str, mended: Rule) -> str:
    """Check a loop whose scheduler is stepped once an epoch."""
    signs = (
        "A rate that falls within the first epoch was multiplied at every batch; one that is small "
        "from the start was stepped before; one that never falls begins anew."
    )
    diagnosed(diagnoses, "bca", {"".join(order): signs for order in permutations("abc")})
    for epochs, falls_after, factor in ((6, 2, 0.5), (4, 1, 0.8)):
        _check_loop(mended, epochs, falls_after, factor)
    return "Made once, stepped once an epoch, after the optimizer, and never just to look at it."


def _check_loop(mended: Rule, epochs: int, falls_after: int, factor: float) -> None:
    """Check which rates a loop uses, and where its weights go."""
    net, loader = nn.Linear(5, 2), _loader()
    ours = deepcopy(net)
    optimizer, ours_optimizer = (SGD(each.parameters(), lr=0.1) for each in (net, ours))
    scheduler = StepLR(ours_optimizer, falls_after, factor)
    _solve_loop(ours, ours_optimizer, scheduler, loader, epochs)
    before = net.weight.detach().clone()
    scheduler = StepLR(optimizer, falls_after, factor)
    found = _applied(mended, optimizer, net, optimizer, scheduler, loader, epochs)
    n, plan = len(loader), [0.1 * factor ** (epoch // falls_after) for epoch in range(epochs)]
    if len(found) != epochs * n:
        raise Wrong(
            f"{len(found)} steps were taken; {epochs} epochs of {n} batches are {epochs * n}."
        )
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


def _through_a_file(state: Mapping[str, Any]) -> Any:
    file = io.BytesIO()
    try:
        torch.save(state, file)
        return torch.load(io.BytesIO(file.getvalue()))
    except Exception as error:
        raise Wrong(
            "torch.save and torch.load take a dict of state_dicts, tensors, numbers and words; "
            f"yours is refused: {type(error).__name__}."
        ) from None


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
    seconds=20,
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
    for n in (10, 4):
        _check_restart(save, load, n)
    return (
        "Three states belong to a training: of the network, the optimizer, and the scheduler. "
        "Write them to a file at once: a state_dict holds live tensors, which go on changing."
    )


def _check_restart(save: Rule, load: Rule, n: int) -> None:
    """Check a training that is interrupted after n steps and goes on for n more."""
    plan = schedules.inverse_sqrt(0.1, 0.5)

    def parts() -> tuple[nn.Linear, Optimizer, LambdaLR]:
        net = nn.Linear(5, 2)
        optimizer = SGD(net.parameters(), lr=0.1, momentum=0.9)
        return net, optimizer, schedules.scheduler(optimizer, plan)

    def go(net: nn.Module, optimizer: Optimizer, scheduler: LambdaLR) -> list[float]:
        return _applied(_solve_loop, optimizer, net, optimizer, scheduler, _loader(1), n)

    first = parts()
    go(*first)
    state = save(*first)
    if not isinstance(state, Mapping):
        raise Wrong(f"save must return a dict; this is a {type(state).__name__}.")
    then = parts()
    load(_through_a_file(state), *then)
    if not torch.equal(first[0].weight, then[0].weight):
        raise Wrong("The weights of the network are not those that were saved.")
    words = schedules.compare([float(plan(t)) for t in range(n, 2 * n)], go(*then))
    if "agree" not in words:
        raise Wrong(f"After a restart at step {n}, counted from there: {words}")
    go(*first)  # the training that was not interrupted
    if not torch.equal(first[0].weight, then[0].weight):
        raise Wrong("After the restart the weights go another way: is the momentum lost?")
