"""Learning-rate schedules: pure functions of time.

A schedule maps the time t, a whole number from 0, to the learning rate. What t counts is decided by
who calls it: ``train`` counts steps; ``per_epoch`` makes a schedule count epochs instead. Rates,
deltas and factors may be tensors of shape (K,), one value for each network.

At alpha_0 = 0.1, with delta = 0.1, n = 100, factor 0.5 every 10:

============================ ======== ======== ======== ======== ======== ========
t                                   0        1       10       11       50       99
============================ ======== ======== ======== ======== ======== ========
constant                      0.10000  0.10000  0.10000  0.10000  0.10000  0.10000
inverse_sqrt                  0.10000  0.09535  0.07071  0.06901  0.04082  0.03029
step_decay                    0.10000  0.10000  0.05000  0.05000  0.00313  0.00020
linear                        0.10000  0.09900  0.09000  0.08900  0.05000  0.00100
cosine                        0.10000  0.09998  0.09755  0.09704  0.05000  0.00002
stable_then_decay             0.10000  0.10000  0.10000  0.10000  0.10000  0.00500
warm_up(constant, 20)         0.00500  0.01000  0.05500  0.06000  0.10000  0.10000
============================ ======== ======== ======== ======== ======== ========
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

from nnopt_lab.arguments import above_zero, from_zero, whole

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

Number = float | Tensor
Schedule = Callable[[int], Number]


def constant(alpha0: Number) -> Schedule:
    """Return alpha_0 at all times.

    Parameters
    ----------
    alpha0 : float or Tensor of shape (K,)
        The first learning rate, above 0; so for every schedule.
    """
    alpha0 = above_zero("alpha0", alpha0)
    return lambda _t: alpha0


def inverse_sqrt(alpha0: Number, delta: Number) -> Schedule:
    """Return alpha_0 / sqrt(1 + delta t): halved at t = 3 / delta.

    Parameters
    ----------
    delta : float or Tensor of shape (K,)
        Decay per unit of t, from 0: per step, or per epoch inside ``per_epoch``.
    """
    alpha0 = above_zero("alpha0", alpha0)
    delta = from_zero("delta", delta)
    return lambda t: alpha0 / (1 + delta * t) ** 0.5


def step_decay(alpha0: Number, factor: Number, every: int) -> Schedule:
    """Return alpha_0, multiplied by a factor once every so often.

    Parameters
    ----------
    factor : float or Tensor of shape (K,)
        Above 0, at most 1.
    every : int
        How long each stage lasts, from 1; at 1 the decay is exponential.
    """
    alpha0 = above_zero("alpha0", alpha0)
    factor = above_zero("factor", factor, most=1)
    every = whole("every", every)
    return lambda t: alpha0 * factor ** (t // every)


def linear(alpha0: Number, n: int, end: Number = 0.0) -> Schedule:
    """Return a straight line from alpha_0 at t = 0 to ``end`` at t = n, where it stays.

    Parameters
    ----------
    n : int
        When the end is reached, from 1; training that lasts n steps ends one step before it.
    end : float
        The last rate, from 0.
    """
    alpha0 = above_zero("alpha0", alpha0)
    n = whole("n", n)
    end = from_zero("end", end)
    return lambda t: end + (alpha0 - end) * (1 - min(t, n) / n)


def cosine(alpha0: Number, n: int, end: Number = 0.0) -> Schedule:
    """Return half a cosine from alpha_0 at t = 0 to ``end`` at t = n, where it stays.

    Parameters
    ----------
    n : int
        When the end is reached, from 1. (``CosineAnnealingLR`` rises again from there.)
    end : float
        The last rate, from 0.

    References
    ----------
    Loshchilov and Hutter, "SGDR", arXiv:1608.03983, here without restarts.
    """
    alpha0 = above_zero("alpha0", alpha0)
    n = whole("n", n)
    end = from_zero("end", end)
    return lambda t: end + (alpha0 - end) * (1 + math.cos(math.pi * min(t, n) / n)) / 2


def stable_then_decay(alpha0: Number, n: int, share: float = 0.2) -> Schedule:
    """Return alpha_0, and in the last share of n steps a straight line from there to 0.

    The end need not be known before the decay begins.

    Parameters
    ----------
    n : int
        When 0 is reached, from 1.
    share : float
        Of the n steps, above 0, at most 1: then it is ``linear``.

    References
    ----------
    Hu et al., "MiniCPM", arXiv:2404.06395 (with a warm-up: WSD); Hägele et al., "Scaling laws and
    compute-optimal training beyond fixed training durations", arXiv:2405.18392.
    """
    n = whole("n", n)
    share = float(above_zero("share", share, most=1))
    length = max(round(share * n), 1)
    decay = linear(alpha0, length)
    return lambda t: decay(max(t - (n - length), 0))


def warm_up(schedule: Schedule, n: int) -> Schedule:
    """Return a schedule that rises evenly to its first rate in n steps, and begins then.

    Parameters
    ----------
    n : int
        Length of the rise, from 1: at t = 0 the rate is 1 / n of the first, at t = n - 1 all of it.

    References
    ----------
    Goyal et al., "Accurate, large minibatch SGD", arXiv:1706.02677.
    """
    n = whole("n", n)
    return lambda t: schedule(0) * ((t + 1) / n) if t < n else schedule(t - n)


def per_epoch(schedule: Schedule, steps_per_epoch: int) -> Schedule:
    """Return a schedule whose t counts epochs as one that counts steps.

    Parameters
    ----------
    steps_per_epoch : int
        From 1; ``training.n_steps(data, 1)`` tells.
    """
    steps_per_epoch = whole("steps_per_epoch", steps_per_epoch)
    return lambda step: schedule(step // steps_per_epoch)


def table(schedule: Schedule, n: int) -> NDArray[np.float64]:
    """Return the rates at t = 0 to n - 1, shape (n,) or (n, K).

    Parameters
    ----------
    n : int
        From 1.
    """
    n = whole("n", n)
    return np.array([np.asarray(schedule(t), dtype=float) for t in range(n)])


def scheduler(optimizer: Optimizer, schedule: Schedule) -> LambdaLR:
    """Return a torch scheduler that gives an optimizer the rates of a schedule.

    Call its ``step()`` once after each ``optimizer.step()``, or once an epoch if t counts epochs.
    The first parameter group gets the rates of the schedule, the others keep their ratios to it.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        Made with any learning rate above 0.
    schedule : callable
        t -> one number.

    Raises
    ------
    ValueError
        If the first group was made with a rate of 0, to which the others have no ratio.
    """
    group = optimizer.param_groups[0]
    above_zero("the optimizer's rate", float(group.get("initial_lr", group["lr"])))
    return _Scheduler(optimizer, lambda t: float(schedule(t)))


class _Scheduler(LambdaLR):
    """Gives the first group the rate itself, whatever rate the optimizer was made with."""

    def get_lr(self) -> list[Any]:
        rate = self.lr_lambdas[0](self.last_epoch)
        return [base / self.base_lrs[0] * rate for base in self.base_lrs]


class Probe:
    """Note the learning rate that an optimizer applies, at each of its steps.

    It reads ``optimizer.param_groups``, in any training loop, and changes nothing::

        probe = Probe(optimizer)
        ...                         # train as always
        print(probe.compare(plan))

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        Its first parameter group is read; ``compare`` tells whether another had another rate.

    Attributes
    ----------
    rates : list of float
        One for each step taken since.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        self.rates: list[float] = []
        self._apart: set[int] = set()  # groups with another rate than the first
        self._hook = optimizer.register_step_pre_hook(self._note)

    def _note(self, optimizer: Optimizer, _args: object, _kwargs: object) -> None:
        first, *others = (float(group["lr"]) for group in optimizer.param_groups)
        self.rates.append(first)
        self._apart |= {i for i, rate in enumerate(others, start=1) if rate != first}

    def close(self) -> None:
        """Stop listening."""
        self._hook.remove()

    def compare(self, plan: Schedule) -> str:
        """Say in words where the applied rates part from a plan, step by step.

        Parameters
        ----------
        plan : callable
            Step -> the rate that was meant, one number.
        """
        if not self.rates:
            return "No step was taken: nothing to compare."
        said = compare(table(plan, len(self.rates)), self.rates)
        others = f" This is group 0; groups {sorted(self._apart)} had other rates."
        return said + (others if self._apart else "")


def compare(planned: Sequence[float] | NDArray[np.float64], applied: Sequence[float]) -> str:
    """Say in words where applied rates part from planned ones.

    Parameters
    ----------
    planned, applied : sequence of float
        A rate for each step, equally many.

    Raises
    ------
    ValueError
        If there are no rates, or not equally many.
    """
    plan, practice = np.asarray(planned, dtype=float), np.asarray(applied, dtype=float)
    if plan.shape != practice.shape or plan.ndim != 1 or not len(plan):
        raise ValueError(
            f"planned has shape {plan.shape}, applied {practice.shape}; give (steps,) for both."
        )
    apart = ~np.isclose(practice, plan, rtol=1e-6, atol=1e-12)
    n = len(plan)
    if not apart.any():
        return f"Plan and practice agree at all {n} steps."
    first = int(np.argmax(apart))
    pairs = [[f"{rate[first]:.{digits}g}" for rate in (plan, practice)] for digits in range(4, 18)]
    meant, used = next(pair for pair in pairs if pair[0] != pair[1])
    said = (
        f"Plan and practice part at step {first}: planned {meant}, applied {used}. They differ at "
        f"{apart.sum()} of {n} steps"
    )
    if plan.mean() == 0:
        return f"{said}."
    ratio = practice.mean() / plan.mean()
    return f"{said}; the mean applied rate is {ratio:.2f} times the mean planned one."
