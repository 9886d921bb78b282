"""The lesson that combines all: questions answered, and checks with typical wrong answers."""

from nnopt_lab.exercises import combined as LESSON

import numpy as np
import pytest
import xarray as xr

PLACES = {
    "batch_norm": [LESSON.PLAIN, LESSON.NORMED],
    "shuffle": [LESSON.SORTED, LESSON.SHUFFLED],
    "decay": [LESSON.CONSTANT, LESSON.DECAYED],
    "pruning": [LESSON.WHOLE, LESSON.PRUNED],
}
SEEDS = np.array([-0.001, 0.001] * 4)


def table(**gains):
    """Return accuracies: 0.2, and what each place, or pair of places, gains."""
    axes = {**PLACES, "seed": range(8)}
    found = xr.DataArray(np.full((2, 2, 2, 2, 8), 0.2) + SEEDS, axes, [*axes], name="test_accuracy")
    for names, gain in gains.items():
        found.loc[{name: PLACES[name][1] for name in names.split("__")}] += gain
    return found


def test_which_pair_helps_is_computed():
    usual = table(shuffle=0.4, shuffle__batch_norm=0.1, batch_norm=-0.1, shuffle__pruning=-0.08)
    asked = LESSON.helping(usual)
    assert asked["predict"].answers[asked["predict"].right] == "shuffle and batch norm"
    assert [row["holds"] for row in asked["shows"].rows] == [True] * 4
    other = LESSON.helping(table(shuffle=0.1, decay__pruning=0.1))
    assert other["predict"].answers[other["predict"].right] == "decay and pruning"
    assert not any(row["holds"] for row in other["shows"].rows)


@pytest.mark.parametrize(
    ("at_own", "answer", "holds"),
    [
        (0.2, "it grows", [True, False]),
        (0.105, "it stays, within a point", [True, False]),
        (0.05, "it shrinks, to more than 2 points", [True, False]),
        (-0.01, "it is gone, or turns into a loss", [True, True]),
    ],
)
def test_what_becomes_of_a_gain_at_its_own_rate(at_own, answer, holds):
    asked = LESSON.flipped(table(batch_norm=at_own), table(batch_norm=0.1))
    assert asked["predict"].answers[asked["predict"].right] == answer
    assert asked["predict"].measured == f"{100 * at_own:.1f} points instead of 10.0"
    assert [row["holds"] for row in asked["shows"].rows] == holds


@pytest.mark.parametrize(
    ("small", "answer"),
    [(0.1, "about four fifths"), (0.25, "about half"), (0.4, "about a fifth"),
     (0.49, "next to nothing"), (0.6, "next to nothing")],
)  # fmt: skip
def test_what_cutting_saves_is_measured(small, answer):
    calls = ["whole", "folded", "cut", "small"]
    rows = np.array([1, 0.5, 0.5, small])[:, None] * np.ones(5)
    seconds = xr.DataArray(rows, {"call": calls}, ["call", "round"])
    asked = LESSON.taken_away(seconds, dict(zip(calls, [100, 90, 33, 32], strict=True)))
    assert asked["predict"].answers[asked["predict"].right] == answer
    timed, counted = asked["shows"]
    assert [row["holds"] for row in [*timed.rows, *counted.rows]] == [True] * 3
    slow = seconds.copy(data=rows[::-1])
    large = LESSON.taken_away(slow, dict(zip(calls, [100, 80, 80, 60], strict=True)))["shows"]
    assert not any(row["holds"] for found in large for row in found.rows)


def test_claims_read_the_right_differences():
    own = table(
        shuffle=0.4, shuffle__batch_norm=0.11, batch_norm=-0.1, decay=0.03,
        decay__batch_norm=-0.02, decay__pruning=-0.01,
    )  # fmt: skip
    common = table(batch_norm=0.08)
    verdicts = LESSON.claims(own, common)
    assert [round(v.interval.mean, 1) for v in verdicts] == [-11, 0, 8, 2, 1, -1, -2]
    assert {v.margin for v in verdicts} == {2}


ARMS = {"plain": [0.6, 0.3], "batch norm": [0.6, 0.12], "anew": [0.6, 0.35]}
RATES = {"a tenth": [0.6, 0.5], "again": [0.605, 0.55]}


@pytest.mark.parametrize(
    ("arms", "rates", "holds"),
    [
        (ARMS, RATES, True),
        ({**{name: [0.6, 0.3] for name in ARMS}, "anew": [0.5, 0.3]},
         {"a tenth": [0.6, 0.5], "again": [0.65, 0.5]}, False),
    ],
)  # fmt: skip
def test_what_cutting_does_to_statistics_and_rates_is_checked(arms, rates, holds):
    def over_seeds(table, axis):
        axes = {axis: [*table], "sparsity": [0, 0.8], "seed": range(8)}
        rows = np.array([*table.values()])[..., None] + SEEDS
        return xr.DataArray(rows, axes, [*axes])

    behind = xr.DataArray([0, 0 if holds else 0.2], {"batch_norm": ["plain", "batch norm"]})
    again = over_seeds(rates, "rate") - behind
    cut, retrained = LESSON.cut_once(over_seeds(arms, "statistics"), again)
    assert [row["holds"] for row in [*cut.rows, *retrained.rows]] == [holds] * 6


@pytest.mark.parametrize("holds", [True, False])
def test_how_close_layers_come_to_the_roof_is_checked(holds):
    """A roof of 100 operations a second, and 80 to do; narrow and wide, one sample and many."""
    narrow = [[10, 10], [10, 10], [9, 9]] if holds else [[1, 1], [1, 1], [0.3, 0.3]]
    wide = [[1, 1], [1, 1.1], [1, 0.3]] if holds else [[1, 1], [1, 0.5], [1, 0.9]]
    dims = ["layer", "version", "samples"]
    columns = {"operations": np.full((2, 3, 2), 80.0), "n_bytes": np.ones((2, 3, 2))}
    layers = xr.Dataset({n: (dims, v) for n, v in {**columns, "seconds": [narrow, wide]}.items()})
    found = LESSON.under_the_roof(layers, (100, 1000))
    assert [row["holds"] for row in found.rows] == [holds] * 4
    assert not found.compare


def not_last(costs, gains):
    return [i for i in LESSON._solve_front(costs, gains) if i]


def without_equals(costs, gains):
    """Of two equal recipes keep none."""
    n = range(len(costs))
    return [
        i for i in n if not any(j != i and costs[j] <= costs[i] and gains[j] >= gains[i] for j in n)
    ]


def from_the_start(t):
    """Keep the second if that is better than both off."""
    first = int(t[1][0] > t[0][0])
    return max(map(max, t)) - t[first][int(t[first][1] > t[0][0])]


def stopping(t):
    """Give up when the first technique does not help."""
    return LESSON._solve_search(t) if t[1][0] > t[0][0] else max(map(max, t)) - t[0][0]


WRONG = [
    ("interaction", (lambda t: t[1][1] - t[0][0],), "both gain together"),
    ("interaction", (lambda t: t[1][1] - max(t[1][0], t[0][1]),), "over the better one alone"),
    ("interaction", (lambda t: LESSON._solve_gains(t) / 2,), "often halve it"),
    ("interaction", (lambda t: -LESSON._solve_gains(t),), "The sign"),
    ("interaction", (lambda t: abs(LESSON._solve_gains(t)),), "It may be negative"),
    ("interaction", (lambda t: max(0, LESSON._solve_gains(t)),), "It may be negative"),
    ("interaction", (lambda t: (t[1][0] - t[0][0] + t[1][1] - t[0][1]) / 2,), "main effect"),
    ("one_at_a_time", (lambda t: max(map(max, t)) - t[0][0],), "over both off"),
    ("one_at_a_time", (lambda t: max(map(max, t)) - t[1][0],), "the second, too"),
    ("one_at_a_time", (lambda t: max(map(max, t)) - max(t[0][0], t[1][0]),), "try the second"),
    ("one_at_a_time", (stopping,), "the second, too"),
    ("one_at_a_time", (from_the_start,), "you give 5"),
    ("unbeaten", (lambda costs, gains: range(len(costs)),), "another beats number"),
    ("unbeaten", (not_last,), "none beats number 0"),
    ("unbeaten", (lambda costs, gains: [g == max(gains) for g in gains],), "not true and false"),
    ("unbeaten", (without_equals,), "none beats number 0"),
    ("unbeaten", (lambda costs, gains: 3,), "Return the numbers of recipes, not 3"),
    ("training_time", (lambda e, n, b, s: s * e * (n // b),), "last, short batch"),
    ("training_time", (lambda e, n, b, s: s * e * n / b,), "a whole step"),
    ("training_time", (lambda e, n, b, s: s * e,), "an epoch for a step"),
]
