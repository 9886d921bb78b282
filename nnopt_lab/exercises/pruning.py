"""Exercises and clinic of the lesson on pruning."""

import io
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from nnopt_lab import pruning
from nnopt_lab.data import mnist1d
from nnopt_lab.exercises.core import Exercise, Wrong, diagnosed
from nnopt_lab.explorer import Progress
from nnopt_lab.networks import Population, mlp
from nnopt_lab.training import grid, n_steps, train

import torch
from torch import Generator, Tensor, nn
from torch.nn.utils import prune

Rule = Callable[..., Any]


def _tensor(result: Any, shape: tuple[int, ...], what: str) -> Tensor:
    """Return a learner's result as a tensor of the shape it must have."""
    if not isinstance(result, Tensor):
        raise Wrong(f"{what} is a {type(result).__name__}; return a tensor.")
    if tuple(result.shape) != shape:
        raise Wrong(f"{what} has shape {tuple(result.shape)}; it must have {shape}.")
    return result


def _random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=Generator().manual_seed(seed))


def _check_sparsity(my_sparsity: Rule) -> str:
    quarter = _random(20, 30)
    quarter[:5] = 0
    for weight, expected, what in (
        (quarter, 0.25, "a tensor with a quarter of zeros"),
        (_random(4, 5), 0.0, "a tensor without zeros"),
        (torch.zeros(3, 3), 1.0, "a tensor of zeros"),
        (torch.tensor([0.0, -0.0, -1.0, 1e-30]), 0.5, "[0, -0, -1, 1e-30]"),
    ):
        found = float(my_sparsity(weight))
        if abs(found - expected) > 1e-6:
            hint = " That is the share of weights that are kept." if found == 1 - expected else ""
            hint = " Give a share, not a number of weights." if found > 1 else hint
            raise Wrong(f"For {what} you return {found:g}; {expected:g} is right.{hint}")
    return "Sparsity is a share: it says nothing of how many bytes or microseconds it saves."


def _solve_sparsity(weight: Tensor) -> Tensor:
    return (weight == 0).float().mean()


sparsity = Exercise(
    "sparsity of a tensor",
    _check_sparsity,
    hints=[
        "Comparing a tensor with 0 gives a tensor of true and false.",
        "The mean of true and false, as floats, is the share of true.",
    ],
    solution=(_solve_sparsity,),
)


def _check_mask(my_mask: Rule) -> str:
    ties = torch.ones(40, 200)
    ties[:20] = -2
    for weight, share, what in (
        (_random(40, 200), 0.5, "random weights"),
        (_random(7, 11, seed=1), 0.9, "random weights"),
        (ties, 0.75, "weights of which many are equal"),
        (_random(6, 6), 0.0, "random weights"),
        (_random(6, 6), 1.0, "random weights"),
    ):
        before = weight.clone()
        mask = _tensor(my_mask(weight, share), tuple(weight.shape), "the mask").bool()
        if not torch.equal(weight, before):
            raise Wrong("Your function changes the weights; return a mask and leave them alone.")
        asked, kept = weight.numel() - round(share * weight.numel()), int(mask.sum())
        if kept != asked:
            look = " Look at ties." if weight is ties else ""
            raise Wrong(
                f"For {what} at sparsity {share:g} your mask keeps {kept} of {weight.numel()} "
                f"weights; {asked} were asked.{look}"
            )
        if 0 < kept < weight.numel() and weight.abs()[mask].min() < weight.abs()[~mask].max():
            raise Wrong(
                f"For {what} your mask prunes a weight of size {weight.abs()[~mask].max():.3g} and "
                f"keeps one of size {weight.abs()[mask].min():.3g}; small means near 0."
            )
    return "A rule by count keeps exactly what was asked, whatever the scale of the weights."


def _solve_mask(weight: Tensor, sparsity: float) -> Tensor:
    order = weight.abs().flatten().argsort()
    mask = torch.ones(weight.numel(), dtype=torch.bool)
    mask[order[: round(sparsity * weight.numel())]] = False
    return mask.view_as(weight)


mask = Exercise(
    "magnitude mask",
    _check_mask,
    hints=[
        "A threshold cannot tell equal weights apart. Which function gives an order?",
        "weight.abs().flatten().argsort() lists the positions from the smallest weight on.",
        "Start from a flat mask of ones, and set the first positions of that list to zero.",
    ],
    solution=(_solve_mask,),
)


def _check_step(my_step: Rule) -> str:
    weight, gradient = _random(30, 20), _random(30, 20, seed=1)
    kept = _random(30, 20, seed=2) > 0
    weight = weight * kept
    found = _tensor(my_step(weight.clone(), gradient, kept, 0.1), (30, 20), "the new weight")
    if (found[~kept] != 0).any():
        n = int((found[~kept] != 0).sum())
        raise Wrong(
            f"{n} of {int((~kept).sum())} pruned weights are no longer zero after the step."
        )
    if torch.equal(found, weight):
        raise Wrong("No weight has moved.")
    if not torch.allclose(found[kept], (weight - 0.1 * gradient)[kept]):
        raise Wrong("The weights that stay must move by minus the rate times the gradient.")
    return "This line after every step is all that holds a pruned network sparse while it trains."


def _solve_step(weight: Tensor, gradient: Tensor, mask: Tensor, lr: float) -> Tensor:
    return (weight - lr * gradient) * mask


step = Exercise(
    "training step with a mask",
    _check_step,
    hints=[
        "The gradient of a pruned weight is not zero.",
        "Take the ordinary step, then multiply by the mask.",
    ],
    solution=(_solve_step,),
)


def _check_control(my_control: Rule) -> str:
    given = _random(64, 40) > 1
    given[:8] = False
    draws = [
        _tensor(my_control(given, Generator().manual_seed(i)), (64, 40), "the control").bool()
        for i in range(20)
    ]
    counts = {int(draw.sum()) for draw in draws}
    if counts != {int(given.sum())}:
        raise Wrong(
            f"The mask keeps {int(given.sum())} weights, your controls {min(counts)} to "
            f"{max(counts)}: shuffle the mask itself, so that the number stays."
        )
    if all(torch.equal(draw, draws[0]) for draw in draws):
        raise Wrong("Twenty generators give the same control; use the one you are handed.")
    if all(not draw[:8].any() for draw in draws):
        raise Wrong("Rows that the mask leaves empty stay empty: shuffle over the whole layer.")
    share = torch.stack(draws).float().mean(0)
    if share[given].mean() > 2 * share[~given].mean():
        raise Wrong("Your controls keep the mask's own places too often to be random.")
    return "Against this control a gain is due to which weights stay, not to how many."


def _solve_control(mask: Tensor, generator: Generator) -> Tensor:
    return mask.flatten()[torch.randperm(mask.numel(), generator=generator)].view_as(mask)


control = Exercise(
    "shuffled control",
    _check_control,
    hints=[
        "torch.randperm(n, generator=generator) is a random order of n things.",
        "Flatten the mask, index it by a random order, and give it its shape again.",
    ],
    solution=(_solve_control,),
)


def _check_shrink(my_shrink: Rule) -> str:
    first, second, x = nn.Linear(12, 10), nn.Linear(10, 5), _random(50, 12)
    with torch.no_grad():
        for i, parameter in enumerate([*first.parameters(), *second.parameters()]):
            parameter.copy_(_random(*parameter.shape, seed=i))
    kept = torch.arange(10) % 3 != 0
    w1, b1, w2, b2 = (p.detach().clone() for p in [*first.parameters(), *second.parameters()])
    w1[~kept] = 0
    expected = torch.relu(x @ w1.T + b1) @ w2.T + b2
    parts = my_shrink(w1, b1, w2, b2, kept)
    if not isinstance(parts, tuple) or len(parts) != 4:
        raise Wrong("Return four tensors: w1, b1, w2, b2 of the smaller network.")
    n = int(kept.sum())
    shapes = {"w1": (n, 12), "b1": (n,), "w2": (5, n), "b2": (5,)}
    s1, c1, s2, c2 = (
        _tensor(part, shape, name)
        for part, (name, shape) in zip(parts, shapes.items(), strict=True)
    )
    found = torch.relu(x @ s1.T + c1) @ s2.T + c2
    difference = (found - expected).abs().max()
    if difference > 1e-4:
        reason = ""
        if torch.equal(c2, b2):
            reason = " A pruned neuron still gives relu of its bias: where has that gone?"
        elif torch.allclose(c2, b2 + w2[:, ~kept] @ b1[~kept]):
            reason = " The value of a pruned neuron passes the activation before it goes on."
        raise Wrong(f"The outputs differ by up to {difference:.2g}.{reason}")
    return "Smaller and faster for real, with the same outputs: no zeros, no masks, plain torch."


def _solve_shrink(
    w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor, kept: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    constant = torch.relu(b1[~kept])
    return w1[kept], b1[kept], w2[:, kept], b2 + w2[:, ~kept] @ constant


shrink = Exercise(
    "take neurons out",
    _check_shrink,
    hints=[
        "A neuron is a row of w1, an entry of b1, and a column of w2.",
        "With all its inputs pruned it gives the same value for every input. Which one?",
        "That value, relu(b1), times its column of w2 belongs into b2.",
    ],
    solution=(_solve_shrink,),
)


WIDE = grid(seed=range(200, 204))  # seeds that the lesson has not used
EPOCHS = 14  # that the experiment trains with the learner's masks
SHARE = 0.93  # of the dense accuracy that it asks for


@cache
def _wide_start() -> Population:
    """Train the networks that are to be pruned for 8 epochs, once a kernel."""
    data, model = mnist1d(), mlp([40, 256, 256, 10], WIDE)
    watch = Progress("4 wide networks, dense", n_steps(data, 8))
    train(model, data, WIDE, epochs=8, lr=0.05, watch=[watch])
    return model


def _wide_accuracy(model: Population, words: str, masks: Rule | None = None) -> float:
    """Train on while the rate falls to 0; return the mean test accuracy in percent."""
    data = mnist1d()
    n = n_steps(data, EPOCHS)
    history = train(
        model, data, WIDE, epochs=EPOCHS, lr=lambda step: 0.05 * (1 - step / n), masks=masks,
        first_epoch=8, watch=[Progress(words, n)],
    )  # fmt: skip
    return 100 * float(history.test_accuracy.mean())


@cache
def _wide_control() -> float:
    """Return the accuracy of the dense networks after as many epochs, trained once a kernel."""
    rows = torch.arange(len(WIDE))
    return _wide_accuracy(_wide_start().take(rows), "4 wide networks, on without masks")


def _check_wide(my_masks: Rule) -> str:
    network = _wide_start().take(torch.arange(len(WIDE)))
    accuracy = _wide_accuracy(
        network, "4 wide networks, with your masks", lambda epoch, model: my_masks(epoch - 8, model)
    )
    share = pruning.sparsity({name: w != 0 for name, w in pruning.weights(network).items()})
    if share.min() < 0.9495:
        raise Wrong(
            f"At the end {100 * share.min():.1f} % of the weights are zero; 95 % were asked."
        )
    if accuracy < SHARE * _wide_control():
        raise Wrong(
            f"Your networks reach {accuracy:.1f} %, and {_wide_control():.1f} % dense: "
            f"{100 * accuracy / _wide_control():.1f} % of it; {100 * SHARE:g} % were "
            "asked. Must all be cut at once?"
        )
    return (
        f"One in twenty weights, and {100 * SHARE:g} % of the accuracy: what is cut late was "
        "chosen knowing more."
    )


def _solve_wide(epoch: int, model: Population) -> dict[str, Tensor]:
    progress = min((epoch + 1) / 10, 1)
    share = 0.95 * (1 - (1 - progress) ** 3)
    return pruning.keep_largest(pruning.magnitude(model), share)


wide = Exercise(
    f"95 % sparse, {100 * SHARE:g} % as good",
    _check_wide,
    hints=[
        f"Your function is called before each of {EPOCHS} epochs, from epoch 0, with the networks "
        "as they are then.",
        "pruning.keep_largest(pruning.magnitude(model), share) prunes a share of what is there; "
        "weights that are zero already go first.",
        "Let the share grow over the first 10 epochs, fast at first: "
        "0.95 * (1 - (1 - (epoch + 1) / 10) ** 3), and stay at 0.95 from then on.",
    ],
    solution=(_solve_wide,),
    seconds=120,
)


def _check_amounts(diagnosis: str, mended: Rule) -> str:
    diagnosed(
        diagnosis, "b",
        {
            "a": "L1Unstructured takes the absolute value; signs do not matter.",
            "c": "A mask stays until prune.remove; the next call starts from it.",
        },
    )  # fmt: skip
    for amount in (0.5, 0.9):
        layer = nn.Linear(80, 50)
        result = mended(layer, amount)
        weight = (layer if result is None else result).weight
        zeros = int((weight == 0).sum())
        if abs(zeros - amount * 4000) > 1:
            raise Wrong(
                f"Asked for {amount:g} in three calls, your layer has {zeros} zeros of 4000; "
                f"{amount * 4000:.0f} were asked."
            )
    return "Shares multiply: n calls with amount a leave (1 - a)^n, not 1 - n a, and not 1 - a."


def _solve_amounts(layer: nn.Linear, amount: float) -> None:
    each = 1 - (1 - amount) ** (1 / 3)
    for _ in range(3):
        prune.l1_unstructured(layer, "weight", amount=each)


amounts = Exercise(
    "clinic: one half, three times",
    _check_amounts,
    hints=[
        "How many of 4000 weights are left after one call with amount=0.5? After the second?",
        "After three calls a share (1 - each)^3 is left. Which `each` leaves 1 - amount?",
    ],
    solution=("b", _solve_amounts),
)


def _check_unmasked(diagnosis: str, mended: Rule) -> str:
    diagnosed(
        diagnosis, "c",
        {
            "a": "Try it: with a rate ten times smaller the zeros are gone after one step as well.",
            "b": "The pruned weights were zero before the first step; the printed share says so.",
        },
    )  # fmt: skip
    data, runs = mnist1d(640), grid(seed=[0])
    network = mlp([40, 32, 10], runs).unstack(0)
    masks = pruning.keep_largest(pruning.magnitude(network), 0.8)
    pruning.apply(network, masks)
    before = pruning.weights(network)["0.weight"]
    mended(network, masks, data.x_train, data.y_train)
    zero = {name: weight == 0 for name, weight in pruning.weights(network).items()}
    share = 1 - float(pruning.sparsity(zero))
    if torch.equal(pruning.weights(network)["0.weight"], before):
        raise Wrong("No weight has moved: the network must still be trained.")
    if share < 0.799:
        raise Wrong(f"After your loop {100 * share:.1f} % of the weights are zero; it was 80 %.")
    return "A pruned weight has a gradient like any other; something must hold it, at every step."


def _solve_unmasked(network: nn.Module, masks: Mapping[str, Tensor], x: Tensor, y: Tensor) -> None:
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
    for inputs, targets in zip(x.split(64), y.split(64), strict=True):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(inputs), targets).backward()
        optimizer.step()
        pruning.apply(network, masks)


unmasked = Exercise(
    "clinic: zeros that vanish",
    _check_unmasked,
    hints=[
        "What is the gradient of a weight that happens to be zero?",
        "One line after optimizer.step() is missing: pruning.apply(network, masks).",
    ],
    solution=("c", _solve_unmasked),
)


def _check_file(diagnosis: str, mended: Rule) -> str:
    diagnosed(
        diagnosis, "a",
        {
            "b": "torch.save packs, but does not compress: zeros take four bytes each.",
            "c": "float32 before and after; the type of the numbers did not change.",
        },
    )  # fmt: skip
    network = nn.Sequential(nn.Linear(40, 64), nn.ReLU(), nn.Linear(64, 10))
    plain = {name: tuple(p.shape) for name, p in network.state_dict().items()}
    for layer in (network[0], network[2]):
        prune.l1_unstructured(layer, "weight", amount=0.9)
    x = _random(20, 40)
    expected = network(x).detach()
    file = io.BytesIO()
    state = mended(network)
    if not isinstance(state, Mapping):
        raise Wrong(f"Return the state_dict; this is a {type(state).__name__}.")
    torch.save(state, file)
    if any(name.endswith(("_orig", "_mask")) for name in state):
        names = [name for name in state if name.endswith(("_orig", "_mask"))]
        raise Wrong(f"The file still holds {', '.join(names)}: {len(file.getvalue())} bytes.")
    if {name: tuple(value.shape) for name, value in state.items()} != plain:
        raise Wrong(f"A plain network needs {[*plain]}; your file holds {[*state]}.")
    fresh = nn.Sequential(nn.Linear(40, 64), nn.ReLU(), nn.Linear(64, 10))
    fresh.load_state_dict(dict(state))
    if not torch.allclose(fresh(x), expected, atol=1e-5):
        raise Wrong("Loaded into a plain network, the weights give other outputs: are they pruned?")
    return "Until prune.remove a pruned module stores every weight and its mask: the file doubles."


def _solve_file(network: nn.Module) -> Mapping[str, Tensor]:
    for module in network.modules():
        if prune.is_pruned(module) and hasattr(module, "weight_mask"):
            prune.remove(module, "weight")
    return network.state_dict()


file = Exercise(
    "clinic: the file that doubled",
    _check_file,
    hints=[
        "Print the names in the state_dict: what is weight_orig?",
        "prune.remove(module, 'weight') makes a pruned weight an ordinary one, for good.",
    ],
    solution=("a", _solve_file),
)
