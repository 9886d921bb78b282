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

import numpy as np
import torch
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
    _positive("alpha0", alpha0)
    return lambda _t: alpha0


def inverse_sqrt(alpha0: Number, delta: Number) -> Schedule:
    """Return alpha_0 / sqrt(1 + delta t): halved at t = 3 / delta.

    Parameters
    ----------
    delta : float or Tensor of shape (K,)
        Decay per unit of t, from 0: per step, or per epoch inside ``per_epoch``.
    """
    _positive("alpha0", alpha0)
    _at_least_zero("delta", delta)
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
    _positive("alpha0", alpha0)
    _positive("factor", factor, most=1)
    _whole("every", every)
    return lambda t: alpha0 * factor ** (t // every)


def linear(alpha0: Number, n: int, end: float = 0.0) -> Schedule:
    """Return a straight line from alpha_0 at t = 0 to ``end`` at t = n, where it stays.

    Parameters
    ----------
    n : int
        When the end is reached, from 1; training that lasts n steps ends one step before it.
    end : float
        The last rate, from 0.
    """
    _positive("alpha0", alpha0)
    _whole("n", n)
    _at_least_zero("end", end)
    return lambda t: end + (alpha0 - end) * (1 - min(t, n) / n)


def cosine(alpha0: Number, n: int, end: float = 0.0) -> Schedule:
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
    _positive("alpha0", alpha0)
    _whole("n", n)
    _at_least_zero("end", end)
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
    _whole("n", n)
    _positive("share", share, most=1)
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
    _whole("n", n)
    return lambda t: schedule(0) * ((t + 1) / n) if t < n else schedule(t - n)


def per_epoch(schedule: Schedule, steps_per_epoch: int) -> Schedule:
    """Return a schedule whose t counts epochs as one that counts steps.

    Parameters
    ----------
    steps_per_epoch : int
        From 1; ``training.n_steps(data, 1)`` tells.
    """
    _whole("steps_per_epoch", steps_per_epoch)
    return lambda step: schedule(step // steps_per_epoch)


def table(schedule: Schedule, n: int) -> NDArray[np.float64]:
    """Return the rates at t = 0 to n - 1, shape (n,) or (n, K).

    Parameters
    ----------
    n : int
        From 1.
    """
    _whole("n", n)
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
    """
    group = optimizer.param_groups[0]
    made_with = float(group.get("initial_lr", group["lr"]))
    return LambdaLR(optimizer, lambda t: float(schedule(t)) / made_with)


class Probe:
    """Note the learning rate that an optimizer applies, at each of its steps.

    It reads ``optimizer.param_groups``, in any training loop, and changes nothing::

        probe = Probe(optimizer)
        ...                         # train as always
        print(probe.compare(plan))

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        Its first parameter group is read.

    Attributes
    ----------
    rates : list of float
        One for each step taken since.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        self.rates: list[float] = []
        self._hook = optimizer.register_step_pre_hook(self._note)

    def _note(self, optimizer: Optimizer, _args: object, _kwargs: object) -> None:
        self.rates.append(float(optimizer.param_groups[0]["lr"]))

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
        planned = table(plan, len(self.rates))
        return compare(planned, self.rates)


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
    return (
        f"Plan and practice part at step {first}: planned {plan[first]:.4g}, applied "
        f"{practice[first]:.4g}. They differ at {apart.sum()} of {n} steps; the mean applied rate "
        f"is {practice.mean() / plan.mean():.2f} times the mean planned one."
    )


def _positive(name: str, value: Number, most: float = math.inf) -> None:
    numbers = torch.as_tensor(value)
    if not bool(((numbers > 0) & (numbers <= most) & torch.isfinite(numbers)).all()):
        limit = "" if math.isinf(most) else f", at most {most:g}"
        raise ValueError(f"{name} is {value}; give numbers above 0{limit}.")


def _at_least_zero(name: str, value: Number) -> None:
    numbers = torch.as_tensor(value)
    if not bool(((numbers >= 0) & torch.isfinite(numbers)).all()):
        raise ValueError(f"{name} is {value}; give numbers from 0.")


def _whole(name: str, value: int) -> None:
    if type(value) is not int or value < 1:
        raise ValueError(f"{name} is {value!r}; give a whole number from 1.")
