"""The lesson on pruning: checks with typical wrong answers, and questions answered by the run."""

from nnopt_lab import pruning
from nnopt_lab.exercises import pruning as LESSON

import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn


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


def counts_by_filling(weight):
    weight[weight != 0] = 1
    return 1 - weight.mean()


def rounded_down(weight, share):
    return LESSON._solve_mask(weight, int(share * weight.numel()) / weight.numel())


def only_rows_of_columns(mask, generator):
    columns = [c[torch.randperm(len(c), generator=generator)] for c in mask.T]
    return torch.stack(columns, 1)


def shifted(mask, generator):
    by = int(torch.randint(1, mask.numel(), (1,), generator=generator))
    return mask.flatten().roll(by).view(mask.shape)


def elsewhere(mask, generator):
    free = (~mask.flatten()).nonzero()[:, 0]
    order = torch.randperm(len(free), generator=generator)
    control = torch.zeros(mask.numel(), dtype=torch.bool)
    control[free[order[: int(mask.sum())]]] = True
    return control.view(mask.shape)


def in_place(mask, generator):
    return mask.copy_(LESSON._solve_control(mask, generator))


def in_halves(network, masks, x, y):
    for inputs, targets in zip(x.split(32), y.split(32), strict=True):
        trained(network, masks, inputs, targets)


def one_batch_again(network, masks, x, y):
    for _ in range(10):
        trained(network, masks, x[:64], y[:64])


def never_zeroed(network, masks, x, y):
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    for inputs, targets in zip(x.split(64), y.split(64), strict=True):
        nn.functional.cross_entropy(network(inputs), targets).backward()
        optimizer.step()
        pruning.apply(network, masks)


def biases_only(network, masks, x, y):
    optimizer = torch.optim.SGD([network[0].bias, network[2].bias], lr=0.1)
    for inputs, targets in zip(x.split(64), y.split(64), strict=True):
        network.zero_grad()
        nn.functional.cross_entropy(network(inputs), targets).backward()
        optimizer.step()


def chosen_anew(network, masks, x, y):
    for inputs, targets in zip(x.split(64), y.split(64), strict=True):
        step_down(network, inputs, targets, lr=3)
        pruning.apply(network, pruning.keep_largest(pruning.magnitude(network), 0.8))


def cut_more(network, masks, x, y):
    in_batches(trained)(network, masks, x, y)
    pruning.apply(network, pruning.keep_largest(pruning.magnitude(network), 0.9))


def trained(network, masks, inputs, targets):
    step_down(network, inputs, targets)
    pruning.apply(network, masks)


def in_double(network):
    return {name: value.double() for name, value in LESSON._solve_file(network).items()}


def in_parts(network):
    state = LESSON._solve_file(network)
    whole = {name: torch.zeros(100_000, *value.shape[1:]) for name, value in state.items()}
    for name, value in state.items():
        whole[name][: len(value)] = value
    return {name: whole[name][: len(value)] for name, value in state.items()}


WRONG = [
    ("sparsity", (lambda w: (w != 0).float().mean(),), "share of weights that are kept"),
    ("sparsity", (lambda w: (w == 0).sum(),), "Give a share, not a number"),
    ("sparsity", (lambda w: (w.abs() < 1e-6).float().mean(),), "1e-30"),
    ("mask", (half_open,), "Look at ties"),
    ("mask", (lowest,), "small means near 0"),
    ("mask", (lambda w, s: w.mul_(0),), "changes the weights"),
    ("mask", (lambda w, s: [1],), "has shape (1,)"),
    ("sparsity", (counts_by_filling,), "changes the weights"),
    ("mask", (lambda w, s: w * LESSON._solve_mask(w, s),), "1 or true"),
    ("mask", (rounded_down,), "asked"),
    ("shrink", (lambda *parts: [part + torch.nan for part in LESSON._solve_shrink(*parts)],),
     "differ by"),
    ("amounts", ("b", lambda amount, n: -0.2), "is no share"),
    ("control", (by_chance,), "shuffle the mask itself"),
    ("control", (lambda m, g: m,), "same control"),
    ("control", (only_columns,), "Each row keeps its number"),
    ("control", (only_rows,), "Each row keeps its number"),
    ("control", (only_rows_of_columns,), "Each column keeps its number"),
    ("control", (lambda m, g: m.flatten()[torch.randperm(m.numel())].view(m.shape),),
     "The same generator"),
    ("control", (shifted,), "only shifted"),
    ("control", (elsewhere,), "too rarely"),
    ("control", (in_place,), "changes the mask"),
    ("shrink", (forget_constant,), "where has that gone"),
    ("shrink", (forget_activation,), "passes the activation"),
    ("shrink", (lambda w1, b1, w2, b2, k: (w1[k], b1[k], w2[k], b2),), "w2 has shape"),
    ("amounts", ("a", lambda amount, n: amount), "signs do not matter"),
    ("amounts", ("b", lambda amount, n: amount), "leave 12.5 % of the weights; 50 %"),
    ("amounts", ("b", lambda amount, n: amount / n), "they do not add"),
    ("amounts", ("x", lambda amount, n: amount), "one of the letters"),
    ("unmasked", ("a", in_batches(steps_only)), "ten times smaller"),
    ("unmasked", ("c", one_batch), "trained on 1 batches"),
    ("unmasked", ("c", in_batches(steps_only)), "must be at every step"),
    ("unmasked", ("c", masked_at_the_end), "must be at every step"),
    ("unmasked", ("c", mask_only), "trained on 0 batches"),
    ("unmasked", ("c", in_batches(climbs)), "must still be trained"),
    ("unmasked", ("c", in_halves), "of sizes [32]"),
    ("unmasked", ("c", one_batch_again), "Not all samples"),
    ("unmasked", ("c", never_zeroed), "the gradients of the batch before"),
    ("unmasked", ("c", biases_only), "were not trained"),
    ("unmasked", ("c", chosen_anew), "of the pruned weights were not zero"),
    ("unmasked", ("c", cut_more), "are zero than the masks cut"),
    ("file", ("b", apply_no_remove), "does not compress"),
    ("file", ("a", in_double), "your file holds ['torch.float64']"),
    ("file", ("a", in_parts), "parts of larger ones"),
    ("file", ("a", lambda network: network.state_dict()), "still holds 0.weight_orig"),
    ("file", ("a", apply_no_remove), "are they pruned"),
]  # fmt: skip


def test_the_experiment_tells_good_schedules_from_one_cut():
    def at_once(epoch, model):
        if epoch == 0:
            at_once.masks = pruning.keep_largest(pruning.magnitude(model), 0.95)
        return at_once.masks

    wide = LESSON.wide
    one_shot = wide.check(at_once)
    assert one_shot.outcome == "wrong"
    assert "When is most cut" in one_shot.words
    assert wide.solution().feedback.outcome == "right"
    too_little = wide.check(lambda _, m: pruning.keep_largest(pruning.magnitude(m), 0.9))
    assert "90.0 % of the weights are zero" in too_little.words


def array(dims: str, values: object, **coordinates: object) -> xr.DataArray:
    return xr.DataArray(np.asarray(values, dtype=float), coordinates, dims.split())


SEEDS = np.array([-0.001, 0.001] * 4)


def outcomes(findings: object) -> list[bool]:
    return [row["holds"] for row in findings.rows]


@pytest.mark.parametrize(("left", "right"), [(0.12, 0), (0.5, 1), (0.9, 2)])
def test_the_question_of_half_a_cut_is_answered_by_what_was_measured(left, right):
    share = array("epsilon seed", np.array([[0, 0.36, 0.5, 0.9]]).T + 0 * SEEDS)
    levels = np.array([0.6, 0.6 * left**0.1, 0.6 * left, 0.1])
    asked = LESSON.half_cut(array("epsilon seed", levels[:, None] + SEEDS), share)
    assert asked["predict"].right == right
    assert asked["predict"].measured == f"{100 * left:.0f} % of the dense accuracy"
    assert outcomes(asked["shows"])[1] == (left > 0.8)


@pytest.mark.parametrize(("lead", "right"), [(0.0, 0), (0.05, 1), (0.2, 2)])
def test_the_question_of_which_weights_stay_is_answered_by_what_was_measured(lead, right):
    rules, cuts = ["largest", "shuffled", "random"], [0, 0.8, 0.9]
    levels = np.array([[0.64, 0.6, 0.5], [0.64, 0.5, 0.5 - lead], [0.64, 0.5, 0.5 - lead]])
    tuned = array("rule sparsity seed", levels[:, :, None] + SEEDS, rule=rules, sparsity=cuts)
    held_back = tuned - 0.03 * (tuned.sparsity == 0)
    asked = LESSON.which_stay(tuned, held_back)
    assert asked["predict"].right == right
    assert outcomes(asked["shows"]) == [lead > 0.1, lead > 0.1, True]
    assert not outcomes(LESSON.which_stay(tuned, tuned)["shows"])[2]


def test_the_questions_on_zeros_and_costs_are_answered_by_what_was_measured():
    zeros = array(
        "cut step seed", np.full((2, 2, 8), 0.3) + SEEDS, cut=[0.5, 0.98], step=[1, 63]
    )  # fmt: skip
    asked = LESSON.survivors(zeros)
    assert asked["predict"].answers[asked["predict"].right] == "30 %"
    assert outcomes(asked["shows"]) == [False, False]
    kinds = ["dense", "zeros", "CSR", "gzip", "neurons out"]
    left = [[1, 1], [1, 1], [0.9, 0.2], [0.6, 0.3], [0.5, 0.1]]
    size = array("kind sparsity", left, kind=kinds, sparsity=[0.5, 0.9])
    fast = array("kind sparsity", [[1], [0.1], [0.2], [np.nan], [0.9]], kind=kinds, sparsity=[0.9])
    asked = LESSON.cheaper(size, fast)
    assert asked["predict"].right == 0
    assert [outcomes(findings) for findings in asked["shows"]] == [
        [True, True, False],
        [False, False],
    ]
