"""Whether a machine does something else while a benchmark runs."""

from collections.abc import Sequence

import psutil

BUSY, SLOW = 10, 0.85  # percent of the processors; share of the rate when idle


def others() -> float:
    """Return how much of the processors is used while we rest for a second, in percent."""
    return float(psutil.cpu_percent(interval=1))


def described(busy: Sequence[float], rates: Sequence[float] = ()) -> str:
    """Say whether the machine was loaded, and so whether its rates can be trusted.

    Parameters
    ----------
    busy : sequence of float
        What ``others`` returned, before each round.
    rates : sequence of float
        Of one fixed piece of work, once a round; the fastest round is taken for the idle machine.
    """
    said = f"others used {min(busy):.0f} to {max(busy):.0f} % of the processors"
    slowest = min(rates) / max(rates) if rates else 1.0
    if rates:
        said += f"; the slowest products ran at {100 * slowest:.0f} % of the fastest"
    if max(busy) > BUSY or slowest < SLOW:
        return f"LOADED MACHINE: {said}. Trust the ratios, not the rates; or run it when idle."
    return f"idle machine: {said}."
