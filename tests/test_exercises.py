"""The engine, and every check with the right answer and typical wrong ones."""

import json
import math
import signal
import time

from nnopt_lab import exercises, pruning, schedules
from nnopt_lab.exercises import __main__ as edition
from nnopt_lab.exercises import core
from nnopt_lab.exercises.core import Exercise, Wrong

import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn
from torch.nn.utils import prune

ALL = {
    f"{module.__name__.split('.')[-1]}.{name}": exercise
    for module in (exercises.pruning, exercises.schedules)
    for name, exercise in vars(module).items()
    if isinstance(exercise, Exercise)
}
EXPERIMENTS = {"pruning.wide", "schedules.ahead"}  # which take seconds


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch):
    monkeypatch.setattr(core, "_kept", {})
    monkeypatch.setattr(core, "predictions", list)


def double(x):
    if x == 3:
        raise ValueError("<b>three</b>")
    return 2 * x


def exercise(seconds: float = 5) -> Exercise:
    def check(my_double, factor):
        for x in (1, 2, 0):
            if my_double(x) != factor * x:
                raise Wrong(f"{x} gives {my_double(x)}")
        return "Doubling."

    return Exercise("double", check, hints=["a", "b"], solution=(double, 2), seconds=seconds)


def test_three_outcomes_and_their_reasons():
    task = exercise()
    assert task.check(..., 2).outcome == "not attempted"
    assert task.check(lambda x: ..., 2).outcome == "not attempted"
    assert task.check(lambda x: (1, ...), 2).outcome == "not attempted"
    assert task.check(lambda x: x, 2) == core.Feedback("wrong", "1 gives 1")
    assert task.check(double, 2) == core.Feedback("right", "Doubling.")
    with pytest.raises(TypeError, match=r"takes 2 answers \(my_double, factor\); 1 were given"):
        task.check(double)


def test_an_error_of_the_learners_is_told_with_its_line():
    def check(my_double):
        return str(my_double(3))

    task = Exercise("error", check, hints=["a"], solution=(double,))
    feedback = task.check(double)
    assert feedback.outcome == "wrong"
    assert 'raise ValueError("<b>three</b>")' in feedback.words
    assert "ValueError: <b>three</b>" in feedback.words
    assert "&lt;b&gt;three&lt;/b&gt;" in feedback._repr_html_()
    assert "<b>three" not in feedback._repr_html_()
    assert "cannot be used" in task.check(5).words


def test_what_hangs_is_stopped():
    def hang(_x):
        while True:
            pass

    start = time.monotonic()
    feedback = exercise(0.3).check(hang, 2)
    assert time.monotonic() - start < 3
    assert feedback.outcome == "wrong"
    assert "stopped after 0.3 seconds" in feedback.words
    time.sleep(0.5)  # no interrupt comes after the end
    assert exercise(0.3).check(double, 2).outcome == "right"


def test_a_real_interrupt_is_passed_on():
    def interrupted(_x):
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        exercise().check(interrupted, 2)


def test_hints_come_one_by_one():
    task = exercise()
    assert [repr(task.hint()) for _ in range(3)] == [
        "Hint 1 of 2. a",
        *["Hint 2 of 2. b"] * 2,
    ]


def test_answers_are_kept_but_neither_solutions_nor_a_starter_after_an_answer(tmp_path):
    task = exercise()
    task.solution()
    assert exercises.answers().rows == []
    task.check(..., 2)
    assert exercises.answers().rows[0][1] == "not attempted"
    task.check(lambda x: x, 2)
    task.check(..., 2)
    assert exercises.answers().rows == [("double", "wrong", "1 gives 1")]
    table = exercises.answers()
    assert repr(table) == "wrong: double"
    table.save(tmp_path / "mine.md")
    assert "| double | wrong | 1 gives 1 |" in (tmp_path / "mine.md").read_text()
    with pytest.raises(ValueError, match=r"ends in \.md"):
        table.save("mine.txt")


def test_the_table_begins_with_the_predictions(monkeypatch):
    monkeypatch.setattr(core, "predictions", lambda: [("How much?", "waived", "measured: 3 < 4")])
    exercise().check(double, 2)
    table = exercises.answers()
    assert [row[:2] for row in table.rows] == [("How much?", "waived"), ("double", "right")]
    assert "3 &lt; 4" in table._repr_html_()


@pytest.mark.parametrize("given", ["b", "B", "(b)", ["b"], "b)", " b. "])
def test_a_diagnosis_is_taken_in_any_style(given):
    core.diagnosed(given, "b", {"a": "no"})
    core.diagnosed("b, c, A", "bca", {})
    with pytest.raises(Wrong, match="no"):
        core.diagnosed("(a)", "b", {"a": "no"})
    with pytest.raises(Wrong, match="one of the letters"):
        core.diagnosed("because", "b", {"a": "no"})


@pytest.mark.parametrize("name", sorted(ALL.keys() - EXPERIMENTS))
def test_every_solution_passes_its_own_check_and_has_hints(name):
    solution = ALL[name].solution()
    assert solution.feedback.outcome == "right", solution.feedback
    assert "..." not in solution.source
    assert ALL[name].hint().words


def half_open(weight, share):
    threshold = (
        weight.abs().flatten().sort().values[min(round(share * weight.numel()), weight.numel() - 1)]
    )
    return weight.abs() >= threshold


def lowest(weight, share):
    mask = torch.ones(weight.numel())
    mask[weight.flatten().argsort()[: round(share * weight.numel())]] = 0
    return mask.view_as(weight)


def by_chance(mask, generator):
    return torch.rand(mask.shape, generator=generator) < mask.float().mean()


def only_columns(mask, generator):
    return mask[:, torch.randperm(mask.shape[1], generator=generator)]


def forget_constant(w1, b1, w2, b2, kept):
    return w1[kept], b1[kept], w2[:, kept], b2


def forget_activation(w1, b1, w2, b2, kept):
    return w1[kept], b1[kept], w2[:, kept], b2 + w2[:, ~kept] @ b1[~kept]


def only_rows(mask, generator):
    return mask[torch.randperm(len(mask), generator=generator)]


def step_down(network, inputs, targets, lr=0.05):
    optimizer = torch.optim.SGD(network.parameters(), lr=lr)
    optimizer.zero_grad()
    nn.functional.cross_entropy(network(inputs), targets).backward()
    optimizer.step()


def steps_only(network, masks, inputs, targets):
    step_down(network, inputs, targets)


def climbs(network, masks, inputs, targets):
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, maximize=True)
    optimizer.zero_grad()
    nn.functional.cross_entropy(network(inputs), targets).backward()
    optimizer.step()
    pruning.apply(network, masks)


def in_batches(step):
    def mended(network, masks, x, y):
        for inputs, targets in zip(x.split(64), y.split(64), strict=True):
            step(network, masks, inputs, targets)

    return mended


def one_batch(network, masks, x, y):
    step_down(network, x, y)


def masked_at_the_end(network, masks, x, y):
    in_batches(steps_only)(network, masks, x, y)
    pruning.apply(network, masks)


def mask_only(network, masks, x, y):
    pruning.apply(network, masks)


def apply_no_remove(network):
    return {
        name.removesuffix("_orig"): v
        for name, v in network.state_dict().items()
        if "mask" not in name
    }


def every_batch(net, optimizer, scheduler, loader, epochs):
    for _ in range(epochs):
        for x, y in loader:
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(x), y).backward()
            optimizer.step()
            scheduler.step()


def never_zeroed(net, optimizer, scheduler, loader, epochs):
    for _ in range(epochs):
        for x, y in loader:
            nn.functional.cross_entropy(net(x), y).backward()
            optimizer.step()
        scheduler.step()


def save_two(net, optimizer, scheduler):
    return {"net": net.state_dict(), "optimizer": optimizer.state_dict()}


def load_two(state, net, optimizer, scheduler):
    net.load_state_dict(state["net"])
    optimizer.load_state_dict(state["optimizer"])


def save_all(net, optimizer, scheduler):
    return save_two(net, optimizer, scheduler) | {"scheduler": scheduler.state_dict()}


def load_without_momentum(state, net, optimizer, scheduler):
    net.load_state_dict(state["net"])
    scheduler.load_state_dict(state["scheduler"])
    for group in optimizer.param_groups:
        group["lr"] = scheduler.get_last_lr()[0]


WRONG = [
    ("pruning.sparsity", (lambda w: (w != 0).float().mean(),), "share of weights that are kept"),
    ("pruning.sparsity", (lambda w: (w == 0).sum(),), "Give a share, not a number"),
    ("pruning.sparsity", (lambda w: (w.abs() < 1e-6).float().mean(),), "1e-30"),
    ("pruning.mask", (half_open,), "Look at ties"),
    ("pruning.mask", (lowest,), "small means near 0"),
    ("pruning.mask", (lambda w, s: w.mul_(0),), "changes the weights"),
    ("pruning.mask", (lambda w, s: [1],), "has shape (1,)"),
    ("pruning.control", (by_chance,), "shuffle the mask itself"),
    ("pruning.control", (lambda m, g: m,), "same control"),
    ("pruning.control", (only_columns,), "Each row keeps its number"),
    ("pruning.control", (only_rows,), "Each row keeps its number"),
    ("pruning.shrink", (forget_constant,), "where has that gone"),
    ("pruning.shrink", (forget_activation,), "passes the activation"),
    ("pruning.shrink", (lambda w1, b1, w2, b2, k: (w1[k], b1[k], w2[k], b2),), "w2 has shape"),
    ("pruning.amounts", ("a", lambda amount, n: amount), "signs do not matter"),
    ("pruning.amounts", ("b", lambda amount, n: amount), "leave 12.5 % of the weights; 50 %"),
    ("pruning.amounts", ("b", lambda amount, n: amount / n), "they do not add"),
    ("pruning.amounts", ("x", lambda amount, n: amount), "one of the letters"),
    ("pruning.unmasked", ("a", in_batches(steps_only)), "ten times smaller"),
    ("pruning.unmasked", ("c", one_batch), "used for 1 batches"),
    ("pruning.unmasked", ("c", in_batches(steps_only)), "were trained, then cut again"),
    ("pruning.unmasked", ("c", masked_at_the_end), "were trained, then cut again"),
    ("pruning.unmasked", ("c", mask_only), "used for 0 batches"),
    ("pruning.unmasked", ("c", in_batches(climbs)), "must still be trained"),
    ("pruning.file", ("b", apply_no_remove), "does not compress"),
    ("pruning.file", ("a", lambda network: network.state_dict()), "still holds 0.weight_orig"),
    ("pruning.file", ("a", apply_no_remove), "are they pruned"),
    ("schedules.rate", (lambda t, a, d: a / (1 + d * t),), "the root is missing"),
    ("schedules.rate", (lambda t, a, d: a / (1 + d * (t + 1)) ** 0.5,), "one step ahead"),
    ("schedules.rate", (lambda t, a, d: a / (1 + d * t**0.5),), "not over t alone"),
    ("schedules.rate", (lambda t, a, d: "0.1x",), "return a number"),
    ("schedules.rate", (lambda t, a, d: a,), "At t = 30"),
    ("schedules.delta", (lambda n: 3 / n,), "a quarter was asked"),
    ("schedules.delta", (lambda n: 16 / n,), "the 1 counts"),
    ("schedules.delta", (lambda n: 1 / n,), "70.7 % of the rate is left"),
    ("schedules.cosine", (lambda t, a, n: a * math.cos(math.pi * t / n),), "never negative"),
    ("schedules.cosine", (lambda t, a, n: a * (1 + math.cos(math.pi * t / n)) / 2,), "must stay"),
    ("schedules.cosine", (lambda t, a, n: a * math.cos(math.pi * min(t, n) / n / 2),), "you give"),
    ("schedules.warm_up", (lambda s, n: lambda t: s(0) * t / n if t < n else s(t - n),), "wasted"),
    ("schedules.warm_up", (lambda s, n: lambda t: s(0) * (t + 1) / n if t < n else s(t),),
     "it must begin at its own t = 0"),
    ("schedules.warm_up", (lambda s, n: s(n),), "a function of t; this is a float"),
    ("schedules.floor", (lambda a, h, s: a * s**2 / 4,), "keep the α²"),
    ("schedules.floor", (lambda a, h, s: (a * s) ** 2 / (1 - (1 - a * h) ** 2),), "is h m / 2"),
    ("schedules.floor", (lambda a, h, s: math.inf,), "finite"),
    ("schedules.loop", ("abc", every_batch), "was multiplied at every batch"),
    ("schedules.loop", ("bca", every_batch), "part at step 2"),
    ("schedules.loop", ("bca", lambda *_: None), "0 steps were taken"),
    ("schedules.loop", ("b, c, a", never_zeroed), "the weights go another way"),
    ("schedules.late", ("a", lambda epoch: 0.1), "look at when it is used"),
    ("schedules.late", ("c", lambda epoch: 0.1 * 0.5 ** (epoch // 10)), "At the end of epoch 9"),
    ("schedules.checkpoint", ("a", save_two, load_two), "it is the rate that jumps"),
    ("schedules.checkpoint", ("b", save_two, load_two), "After the restart, at steps 10 to 19"),
    ("schedules.checkpoint", ("b", save_two, lambda *_: None), "not those that were saved"),
    ("schedules.checkpoint", ("b", lambda *_: [], load_two), "must return a dict"),
    ("schedules.checkpoint", ("b", save_all, load_without_momentum), "is the momentum lost"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "given", "reason"), WRONG)
def test_typical_wrong_answers_get_their_own_reason(name, given, reason):
    feedback = ALL[name].check(*given)
    assert feedback.outcome == "wrong", feedback
    assert reason in feedback.words


@pytest.mark.parametrize("lesson", ["pruning", "schedules"])
def test_at_least_five_exercises_and_three_cases_each_with_two_wrong_answers(lesson):
    mine = {name: exercise for name, exercise in ALL.items() if name.startswith(f"{lesson}.")}
    cases = [name for name, exercise in mine.items() if exercise.name.startswith("clinic")]
    assert len(cases) >= 3
    assert len(mine) - len(cases) >= 5
    for name in mine.keys() - EXPERIMENTS:
        assert len([1 for wrong, *_ in WRONG if wrong == name]) >= 2


def masked_by_torch(network, masks, x, y):
    for layer, name in ((network[0], "0.weight"), (network[2], "2.weight")):
        prune.custom_from_mask(layer, "weight", masks[name][0])
    in_batches(steps_only)(network, masks, x, y)


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("pruning.shrink", (lambda *a: list(exercises.pruning._solve_shrink(*a)),)),
        ("pruning.mask", (lambda w, s: exercises.pruning._solve_mask(w, s).float().numpy(),)),
        ("pruning.amounts", (["B"], exercises.pruning._solve_amounts)),
        ("pruning.unmasked", ("(c)", masked_by_torch)),
        ("schedules.loop", (["b", "c", "a"], exercises.schedules._solve_loop)),
    ],
)
def test_right_answers_in_other_styles_are_right(name, given):
    feedback = ALL[name].check(*given)
    assert feedback.outcome == "right", feedback


def test_the_experiment_tells_good_schedules_from_one_cut():
    def at_once(epoch, model):
        if epoch == 0:
            at_once.masks = pruning.keep_largest(pruning.magnitude(model), 0.95)
        return at_once.masks

    wide = ALL["pruning.wide"]
    one_shot = wide.check(at_once)
    assert one_shot.outcome == "wrong"
    assert "When is most cut" in one_shot.words
    assert wide.solution().feedback.outcome == "right"
    too_little = wide.check(lambda _, m: pruning.keep_largest(pruning.magnitude(m), 0.9))
    assert "90.0 % of the weights are zero" in too_little.words


def test_the_experiment_tells_a_decay_to_zero_from_the_best_constant_rate():
    ahead = ALL["schedules.ahead"]
    assert ahead.solution().feedback.outcome == "right"
    behind = ahead.check(lambda n: schedules.inverse_sqrt(0.05, delta=0.03))
    assert behind.outcome == "wrong"
    assert "against the constant rate; 7 were asked" in behind.words
    assert "below 0" in ahead.check(lambda n: lambda t: 0.1 - t).words
    assert "a function of t" in ahead.check(lambda n: 0.1).words


def test_the_student_edition_has_no_solutions(tmp_path):
    code = {"cell_type": "code", "execution_count": 1, "outputs": [], "source": "1", "metadata": {}}
    result = {"output_type": "execute_result", "execution_count": 3, "data": {}, "metadata": {}}
    notebook = {
        "cells": [
            code,
            code | {"execution_count": 2, "metadata": {"tags": ["solution"]}},
            code | {"execution_count": 3, "outputs": [result]},
        ],
        "nbformat": 4,
    }
    (tmp_path / "a.ipynb").write_text(json.dumps(notebook))
    edition.main([str(tmp_path / "a.ipynb"), str(tmp_path / "class" / "b.ipynb")])
    student = json.loads((tmp_path / "class" / "b.ipynb").read_text())
    assert [cell["execution_count"] for cell in student["cells"]] == [1, 2]
    assert student["cells"][1]["outputs"][0]["execution_count"] == 2
    with pytest.raises(SystemExit, match="Give two files"):
        edition.main(["a.ipynb"])
    with pytest.raises(SystemExit, match="Give two files"):
        edition.main([str(tmp_path / "a.ipynb"), str(tmp_path / "class" / ".." / "a.ipynb")])
    with pytest.raises(SystemExit, match="no file"):
        edition.main([str(tmp_path / "missing.ipynb"), "b.ipynb"])


def array(dims: str, values: object, **coordinates: object) -> xr.DataArray:
    return xr.DataArray(np.asarray(values, dtype=float), coordinates, dims.split())


SEEDS = np.array([-0.001, 0.001] * 4)


def outcomes(findings: object) -> list[bool]:
    return [row["holds"] for row in findings.rows]


@pytest.mark.parametrize(("left", "right"), [(0.12, 0), (0.5, 1), (0.9, 2)])
def test_the_question_of_half_a_cut_is_answered_by_what_was_measured(left, right):
    share = array("epsilon seed", np.array([[0, 0.36, 0.5, 0.9]]).T + 0 * SEEDS)
    levels = np.array([0.6, 0.6 * left**0.1, 0.6 * left, 0.1])
    asked = exercises.pruning.half_cut(array("epsilon seed", levels[:, None] + SEEDS), share)
    assert asked["predict"].right == right
    assert asked["predict"].measured == f"{100 * left:.0f} % of the dense accuracy"
    assert outcomes(asked["shows"])[1] == (left > 0.8)


@pytest.mark.parametrize(("lead", "right"), [(0.0, 0), (0.05, 1), (0.2, 2)])
def test_the_question_of_which_weights_stay_is_answered_by_what_was_measured(lead, right):
    rules, cuts = ["largest", "shuffled", "random"], [0, 0.8, 0.9]
    levels = np.array([[0.64, 0.6, 0.5], [0.64, 0.5, 0.5 - lead], [0.64, 0.5, 0.5 - lead]])
    tuned = array("rule sparsity seed", levels[:, :, None] + SEEDS, rule=rules, sparsity=cuts)
    held_back = tuned - 0.03 * (tuned.sparsity == 0)
    asked = exercises.pruning.which_stay(tuned, held_back)
    assert asked["predict"].right == right
    assert outcomes(asked["shows"]) == [lead > 0.1, lead > 0.1, True]
    assert not outcomes(exercises.pruning.which_stay(tuned, tuned)["shows"])[2]


def test_the_questions_on_zeros_and_costs_are_answered_by_what_was_measured():
    zeros = array(
        "cut step seed", np.full((2, 2, 8), 0.3) + SEEDS, cut=[0.5, 0.98], step=[1, 63]
    )  # fmt: skip
    asked = exercises.pruning.survivors(zeros)
    assert asked["predict"].answers[asked["predict"].right] == "30 %"
    assert outcomes(asked["shows"]) == [False, False]
    kinds = ["dense", "zeros", "CSR", "gzip", "neurons out"]
    size = array("kind sparsity", [[1], [1], [0.2], [0.3], [0.1]], kind=kinds, sparsity=[0.9])
    fast = array("kind sparsity", [[1], [0.1], [0.2], [np.nan], [0.9]], kind=kinds, sparsity=[0.9])
    asked = exercises.pruning.cheaper(size, fast)
    assert asked["predict"].right == 0
    assert [outcomes(findings) for findings in asked["shows"]] == [[True, True], [False, False]]
