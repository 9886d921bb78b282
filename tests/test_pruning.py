from collections.abc import Callable
from copy import deepcopy
from itertools import pairwise

from nnopt_lab import costs, pruning
from nnopt_lab.data import digits
from nnopt_lab.grid import grid
from nnopt_lab.networks import BatchNorm, mlp, single
from nnopt_lab.training import evaluate, train

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import prune
from torch.nn.utils.parametrizations import weight_norm

RUNS = grid(seed=range(3))
SPARSITIES = [0.0, 0.1, 0.333, 0.5, 0.9, 0.99, 1.0]


def model() -> nn.Module:
    return mlp([20, 16, 16, 10], RUNS, norm=BatchNorm)


def linear_layers(network: nn.Sequential) -> dict[str, nn.Linear]:
    return {f"{i}.weight": m for i, m in enumerate(network) if isinstance(m, nn.Linear)}


@pytest.mark.parametrize("amount", SPARSITIES)
def test_global_magnitude_masks_are_torchs(amount):
    population = model()
    ours = pruning.keep_largest(pruning.magnitude(population), amount)
    for i in range(3):
        layers = linear_layers(population.unstack(i))
        prune.global_unstructured(
            [(layer, "weight") for layer in layers.values()],
            pruning_method=prune.L1Unstructured,
            amount=amount,
        )
        for name, layer in layers.items():
            assert torch.equal(layer.weight_mask.bool(), ours[name][i])


@pytest.mark.parametrize("amount", SPARSITIES)
def test_layerwise_magnitude_masks_are_torchs(amount):
    population = model()
    ours = pruning.keep_largest(pruning.magnitude(population), amount, by_layer=True)
    for name, layer in linear_layers(population.unstack(1)).items():
        prune.l1_unstructured(layer, "weight", amount=amount)
        assert torch.equal(layer.weight_mask.bool(), ours[name][1])


@pytest.mark.parametrize("sparsity", SPARSITIES)
@pytest.mark.parametrize("by_layer", [False, True])
def test_exactly_the_share_asked_goes_even_when_scores_tie(sparsity, by_layer):
    scores = {"a": torch.zeros(3, 8, 25), "b": torch.ones(3, 10, 10)}
    masks = pruning.keep_largest(scores, sparsity, by_layer=by_layer)
    for layers in [["a"], ["b"]] if by_layer else [["a", "b"]]:
        n = sum(scores[name][0].numel() for name in layers)
        kept = sum(masks[name].sum((1, 2)) for name in layers)
        assert kept.tolist() == [n - round(sparsity * n)] * 3


def test_each_network_can_have_its_own_sparsity():
    scores = pruning.magnitude(model())
    masks = pruning.keep_largest(scores, torch.tensor([0.0, 0.5, 1.0]))
    assert pruning.sparsity(masks).tolist() == pytest.approx([0, 0.5, 1])


def test_threshold_keeps_what_is_not_smaller():
    scores = {"0.weight": torch.tensor([[[0.1, 0.2, 0.3]]])}
    assert pruning.keep_above(scores, 0.2)["0.weight"].tolist() == [[[False, True, True]]]
    assert pruning.keep_above(scores, 0)["0.weight"].all()


def test_only_weights_are_pruned():
    names = [*pruning.weights(model())]
    assert names == ["0.weight", "3.weight", "6.weight"]  # no bias, no batch norm


def test_of_equal_scores_torch_too_prunes_exactly_the_share_asked():
    """Which of them go differs: ours are the later ones."""
    layer = nn.Linear(8, 4)
    nn.init.ones_(layer.weight)
    ours = pruning.keep_largest(pruning.magnitude(layer), 0.25)["weight"][0]
    prune.l1_unstructured(layer, "weight", amount=0.25)
    assert layer.weight_mask.sum() == ours.sum() == 24
    assert ours.flatten()[:24].all()


@pytest.mark.parametrize("amount", SPARSITIES)
def test_random_masks_are_torchs_for_the_same_scores(amount):
    """Of torch's random scores the largest go."""
    layers = linear_layers(model().unstack(0))
    torch.manual_seed(5)
    scores = {name: 1 - torch.rand_like(layer.weight)[None] for name, layer in layers.items()}
    ours = pruning.keep_largest(scores, amount, by_layer=True)
    torch.manual_seed(5)
    for name, layer in layers.items():
        prune.random_unstructured(layer, "weight", amount=amount)
        assert torch.equal(layer.weight_mask.bool(), ours[name][0])


@pytest.mark.parametrize("amount", SPARSITIES)
def test_global_random_masks_are_torchs_for_the_same_scores(amount):
    layers = linear_layers(model().unstack(0))
    sizes = [layer.weight.numel() for layer in layers.values()]
    torch.manual_seed(5)
    parts = (1 - torch.rand(sum(sizes))).split(sizes)
    scores = {
        name: part.view_as(layer.weight)[None]
        for (name, layer), part in zip(layers.items(), parts, strict=True)
    }
    ours = pruning.keep_largest(scores, amount)
    torch.manual_seed(5)
    prune.global_unstructured(
        [(layer, "weight") for layer in layers.values()],
        pruning_method=prune.RandomUnstructured,
        amount=amount,
    )
    for name, layer in layers.items():
        assert torch.equal(layer.weight_mask.bool(), ours[name][0])


@pytest.mark.parametrize("amount", [0.0, 0.25, 0.5, 0.8])
def test_masks_of_neurons_are_torchs(amount):
    network = mlp([20, 16, 16, 10], RUNS).unstack(2)
    ours = pruning.keep_neurons(pruning.magnitude(network), amount)
    *hidden, last = linear_layers(network).items()
    for name, layer in hidden:
        prune.ln_structured(layer, "weight", amount=amount, n=2, dim=0)
        assert torch.equal(layer.weight_mask.bool(), ours[name][0])
    assert ours[last[0]].all()


def test_shuffled_masks_keep_the_numbers_and_not_the_places():
    masks = pruning.keep_largest(pruning.magnitude(model()), 0.8)
    control = pruning.shuffled(masks, [0, 1, 0])
    for name, mask in masks.items():
        assert torch.equal(control[name].sum((1, 2)), mask.sum((1, 2)))
        assert not torch.equal(control[name], mask)
    again = pruning.shuffled(masks, [0, 1, 0])
    assert all(torch.equal(control[name], again[name]) for name in masks)


def test_gradual_masks_grow_cubically_and_never_come_back():
    data, population = digits(), mlp([64, 32, 10], RUNS)
    masks = pruning.gradual(torch.tensor([0.5, 0.8, 0.9]), 3, first_epoch=7)
    seen = []

    def masking(epoch, network):
        seen.append(masks(epoch, network))
        return seen[-1]

    train(population, data, RUNS, epochs=5, lr=0.1, masks=masking, first_epoch=7)
    ramp = 1 - (1 - torch.tensor([1, 2, 3, 3, 3]) / 3) ** 3
    for mask, progress in zip(seen, ramp, strict=True):
        expected = (torch.tensor([0.5, 0.8, 0.9]) * progress).tolist()
        assert pruning.sparsity(mask).tolist() == pytest.approx(expected, abs=1e-3)
    for before, after in pairwise(seen):
        assert all((after[name] <= before[name]).all() for name in before)


def test_one_shot_is_gradual_in_one_epoch():
    population = model()
    gradual = pruning.gradual(0.7, 1)(0, population)
    at_once = pruning.keep_largest(pruning.magnitude(population), 0.7)
    assert all(torch.equal(gradual[name], at_once[name]) for name in at_once)


def pruned(norm: type | None, masks: dict) -> nn.Sequential:
    data, population = digits(), mlp([64, 16, 16, 10], RUNS, norm=norm)
    pruning.apply(population, masks)
    train(population, data, RUNS, epochs=2, lr=0.1, masks=masks)
    return population.unstack(0)


@pytest.mark.parametrize("norm", [None, BatchNorm])
@pytest.mark.parametrize("share", [0.25, 0.5, 1.0])
def test_a_shrunken_network_without_its_neurons_gives_the_same_outputs(norm, share):
    scores = pruning.magnitude(mlp([64, 16, 16, 10], RUNS, norm=norm))
    network = pruned(norm, pruning.keep_neurons(scores, share))
    x = digits().x_test
    small = pruning.shrink(network)
    widths = [m.out_features for m in small if isinstance(m, nn.Linear)]
    assert widths == [max(1, round(16 * (1 - share)))] * 2 + [10]
    torch.testing.assert_close(small(x), network(x), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(small.double()(x.double()), network.double()(x.double()))


@pytest.mark.parametrize("sparsity", [0.0, 0.9, 0.97, 0.995])
def test_neurons_without_inputs_or_outputs_are_found_in_any_pruned_network(sparsity):
    masks = pruning.keep_largest(pruning.magnitude(mlp([64, 16, 16, 10], RUNS)), sparsity)
    network, x = pruned(None, masks), digits().x_test
    small = pruning.shrink(network)
    torch.testing.assert_close(small(x), network(x), atol=1e-5, rtol=1e-5)
    n_small = sum(weight.numel() for weight in pruning.weights(small).values())
    assert (n_small == 64 * 16 + 16 * 16 + 160) == (sparsity == 0)
    again = pruning.shrink(small)
    assert [p.shape for p in again.parameters()] == [p.shape for p in small.parameters()]


def test_shrink_leaves_its_argument_alone_and_needs_no_bias():
    network = nn.Sequential(nn.Linear(4, 3, bias=False), nn.Sigmoid(), nn.Linear(3, 2, bias=False))
    with torch.no_grad():
        network[0].weight[1] = 0  # always gives sigmoid(0) = 1/2
    before = network.state_dict()
    small, x = pruning.shrink(network), torch.randn(5, 4)
    assert small[0].weight.shape == (2, 4)
    torch.testing.assert_close(small(x), network(x))
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_an_ordinary_module_is_one_network():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(),
        nn.Linear(288, 10),
    )  # fmt: skip
    masks = pruning.keep_largest(pruning.magnitude(network), 0.7)
    assert [*masks] == ["1.weight", "5.weight"]
    pruning.apply(network, masks)
    prefixed = {f"module.{name}": mask for name, mask in masks.items()}
    train(single(network), digits(), grid(seed=[0]), epochs=1, lr=0.05, masks=prefixed)
    assert torch.equal(network[1].weight != 0, masks["1.weight"][0])
    assert torch.equal(network[5].weight != 0, masks["5.weight"][0])


def test_random_scores_are_the_seeds_alone():
    first, second = pruning.random(model(), [0, 1, 0]), pruning.random(model(), [0, 1, 0])
    for name, score in first.items():
        assert torch.equal(score, second[name])
        assert torch.equal(score[0], score[2])
        assert not torch.equal(score[0], score[1])
        assert 0 <= score.min() <= score.max() < 1


def test_apply_zeroes_once_and_training_keeps_at_zero():
    data, runs = digits(), RUNS
    population = mlp([64, 32, 10], runs)
    masks = pruning.keep_largest(pruning.magnitude(population), 0.8)
    pruning.apply(population, masks)
    assert all((w == 0)[~masks[n]].all() for n, w in pruning.weights(population).items())
    train(population, data, runs, epochs=2, lr=0.1, masks=masks)
    for name, weight in pruning.weights(population).items():
        assert torch.equal(weight != 0, masks[name])


def test_retraining_recovers_accuracy():
    data, runs = digits(), RUNS
    population = mlp([64, 32, 10], runs)
    train(population, data, runs, epochs=20, lr=0.1)
    masks = pruning.keep_largest(pruning.magnitude(population), 0.9)
    pruning.apply(population, masks)
    before = evaluate(population, data.x_test, data.y_test)[1].mean()
    history = train(population, data, runs, epochs=20, lr=0.1, masks=masks, first_epoch=20)
    assert history.test_accuracy.mean().item() > before + 0.1


@pytest.mark.parametrize("sparsity", [-0.1, 1.1, float("nan")])
def test_bad_shares_are_refused(sparsity):
    with pytest.raises(ValueError, match="give a number from 0 to 1"):
        pruning.keep_largest(pruning.magnitude(model()), sparsity)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="a number from 0"):
        pruning.keep_above(pruning.magnitude(model()), -1)
    with pytest.raises(ValueError, match="2 seeds and 3 networks"):
        pruning.random(model(), [0, 1])
    with pytest.raises(ValueError, match=r"no parameter '9\.weight'"):
        pruning.apply(model(), {"9.weight": torch.ones(1)})
    with pytest.raises(ValueError, match=r"the mask of '0\.weight' has shape \(1, 2\)"):
        pruning.apply(model(), {"0.weight": torch.ones(1, 2)})
    with pytest.raises(ValueError, match="2 seeds and 3 networks"):
        pruning.shuffled(pruning.magnitude(model()), [0, 1])
    with pytest.raises(ValueError, match="give a number from 0 to 1"):
        pruning.keep_neurons(pruning.magnitude(model()), 2)
    with pytest.raises(ValueError, match="epochs is 0"):
        pruning.gradual(0.5, 0)
    with pytest.raises(TypeError, match=r"across \['Flatten'\]"):
        pruning.shrink(nn.Sequential(nn.Linear(4, 4), nn.Flatten(), nn.Linear(4, 2)))
    with pytest.raises(TypeError, match=r"not of \['Conv1d'\]"):
        pruning.shrink(nn.Sequential(nn.Conv1d(1, 2, 3), nn.Flatten(), nn.Linear(8, 2)))
    pruning.shrink(nn.Sequential(nn.Flatten(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)))


ACTIVATIONS = (nn.ReLU, nn.LeakyReLU, nn.GELU, nn.Tanh, nn.Sigmoid, nn.Dropout)


def random_chain(seed: int) -> nn.Sequential:
    """Return a chain of linear layers, with and without what may stand between, some dead."""
    draw = np.random.default_rng(seed)
    torch.manual_seed(seed)
    widths = draw.integers(1, 8, draw.integers(2, 5)).tolist()
    layers: list[nn.Module] = [nn.Flatten()] if draw.random() < 0.3 else []
    for i, (n_in, n_out) in enumerate(pairwise(widths)):
        layers.append(nn.Linear(n_in, n_out, bias=draw.random() < 0.7))
        weight = layers[-1].weight.data
        weight[draw.random(n_out) < 0.4] = 0  # nothing enters
        weight[:, draw.random(n_in) < 0.3] = 0  # nothing leaves the one before
        if i == len(widths) - 2:
            continue
        if draw.random() < 0.5:
            norm = nn.BatchNorm1d(n_out, affine=draw.random() < 0.7)
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 2)
            layers.append(norm)
        kind = ACTIVATIONS[draw.integers(len(ACTIVATIONS))]
        if kind in (nn.ReLU, nn.LeakyReLU, nn.Dropout):
            layers.append(kind(inplace=bool(draw.random() < 0.5)))
        else:
            layers.append(kind())
    if draw.random() < 0.3:
        layers.append(nn.LogSoftmax(dim=1))
    return nn.Sequential(*layers)


@pytest.mark.parametrize("seed", range(150))
def test_any_chain_computes_the_same_after_it_shrank(seed):
    chain = random_chain(seed).eval()
    before = {name: value.clone() for name, value in chain.state_dict().items()}
    first = next(module for module in chain if isinstance(module, nn.Linear))
    x = torch.randn(16, first.in_features)
    small = pruning.shrink(chain)
    expected = chain(x.clone())
    apart = (small(x.clone()) - expected).abs().max()
    assert apart <= 1e-5 * expected.abs().max()
    assert all(torch.equal(value, before[name]) for name, value in chain.state_dict().items())
    for own, layer in zip(small, chain, strict=True):
        assert all(a <= b for a, b in zip(_sizes(own), _sizes(layer), strict=True))


def _sizes(layer: nn.Module) -> tuple[int, ...]:
    return tuple(layer.weight.shape) if isinstance(layer, nn.Linear) else ()


class Skip(nn.Sequential):
    def forward(self, x):
        return super().forward(x) + x


class Doubled(nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


def changed(change: Callable[[nn.Linear], object]) -> nn.Sequential:
    """Return a network whose first layer was changed."""
    network = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    change(network[0])
    return network


TIED = nn.Linear(4, 4)
NOT_PLAIN = {
    "no Sequential": nn.Linear(4, 4),
    "a forward of its own": Skip(nn.Linear(4, 4)),
    "a layer with a forward of its own": nn.Sequential(Doubled(4, 4)),
    "a population": mlp([4, 3, 2], grid(seed=[0])),
    "nested": nn.Sequential(nn.Sequential(nn.Linear(4, 4)), nn.Linear(4, 4)),
    "a layer twice": nn.Sequential(TIED, nn.ReLU(), TIED),
    "a weight twice": changed(lambda layer: setattr(layer, "weight", TIED.weight)).append(TIED),
    "pruned by torch": changed(lambda layer: prune.l1_unstructured(layer, "weight", 0.5)),
    "bias pruned by torch": changed(lambda layer: prune.l1_unstructured(layer, "bias", 0.5)),
    "weight norm": nn.Sequential(weight_norm(nn.Linear(4, 4)), nn.ReLU(), nn.Linear(4, 4)),
    "a hook": changed(lambda layer: layer.register_forward_hook(lambda m, i, o: 2 * o)),
    "a hook before": changed(lambda layer: layer.register_forward_pre_hook(lambda m, i: i)),
    "forward replaced": changed(lambda layer: setattr(layer, "forward", lambda x: x)),
    "a convolution": nn.Sequential(nn.Conv1d(1, 2, 3), nn.Flatten(), nn.Linear(4, 4)),
    "an embedding": nn.Sequential(nn.EmbeddingBag(9, 4), nn.Linear(4, 4)),
    "layer norm": nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4), nn.Linear(4, 4)),
}  # fmt: skip


@pytest.mark.parametrize("do", [pruning.shrink, costs.csr], ids=["shrink", "csr"])
@pytest.mark.parametrize("name", NOT_PLAIN)
def test_what_is_no_plain_chain_is_refused(name, do):
    with pytest.raises(TypeError):
        do(NOT_PLAIN[name])


@pytest.mark.parametrize("between", [nn.Softmax(1), nn.Flatten(), nn.PReLU(), nn.Identity()])
def test_shrinking_across_what_mixes_neurons_is_refused(between):
    with pytest.raises(TypeError, match=type(between).__name__):
        pruning.shrink(nn.Sequential(nn.Linear(4, 4), between, nn.Linear(4, 4)))


def test_batch_norm_without_averages_is_refused():
    norm = nn.BatchNorm1d(4, track_running_stats=False)
    with pytest.raises(TypeError, match="keeps no running averages"):
        pruning.shrink(nn.Sequential(nn.Linear(4, 4), norm, nn.Linear(4, 2)))


def test_a_weight_that_is_made_of_others_is_not_pruned():
    for change in (prune.l1_unstructured, prune.random_unstructured):
        with pytest.raises(TypeError, match=r"layer '0' .* torch\.nn\.utils\.prune\.remove"):
            pruning.weights(changed(lambda layer, change=change: change(layer, "weight", 0.5)))


def test_what_is_left_out_is_said():
    parts = {
        "embedding": nn.Embedding(9, 4), "recurrent": nn.LSTM(3, 4), "own": Doubled(4, 4),
        "turned": nn.ConvTranspose2d(4, 4, 3), "attention": nn.MultiheadAttention(4, 2),
        "linear": nn.Linear(4, 4), "deep": nn.Conv2d(4, 4, 3, groups=4),
    }  # fmt: skip
    with pytest.warns(UserWarning, match="only linear and convolutional layers") as said:
        found = pruning.magnitude(nn.ModuleDict(parts))
    assert [*found] == ["linear.weight", "deep.weight"]
    for name in ("embedding", "recurrent", "own", "turned", "attention"):
        assert f"{name}." in str(said[0].message)


@pytest.mark.parametrize("kind", [nn.Conv1d, nn.Conv2d, nn.Conv3d])
def test_convolutions_are_pruned_as_torch_does(kind):
    layer = kind(4, 6, 3, groups=2)
    mine = nn.Sequential(deepcopy(layer))
    pruning.apply(mine, pruning.keep_largest(pruning.magnitude(mine), 0.4))
    assert torch.equal(prune.l1_unstructured(layer, "weight", 0.4).weight, mine[0].weight)


def test_a_weight_that_two_layers_share_is_pruned_once():
    embedding, linear = nn.Embedding(9, 4), nn.Linear(4, 9, bias=False)
    linear.weight = embedding.weight
    both = nn.ModuleDict({"in": embedding, "out": linear})
    masks = pruning.keep_largest(pruning.magnitude(both), 0.5)
    assert [*masks] == ["in.weight"]
    pruning.apply(both, masks)
    assert (embedding.weight == 0).sum() == 18


def test_the_layer_of_the_outputs_can_be_named():
    network = nn.ModuleDict({"head": nn.Linear(6, 3), "body": nn.Linear(4, 6)})
    masks = pruning.keep_neurons(pruning.magnitude(network), 0.34, output="head.weight")
    assert {name: (~mask.any(2)).sum().item() for name, mask in masks.items()} == {
        "head.weight": 0, "body.weight": 2,
    }  # fmt: skip


@pytest.mark.parametrize("share", [0.05, 0.15, 0.35, 0.45, 0.85, 0.95])
def test_a_share_in_float32_cuts_as_many(share):
    scores = {"w": torch.arange(10.0).view(1, 1, 10)}
    cut = [
        pruning.sparsity(pruning.keep_largest(scores, given)).item()
        for given in (share, torch.tensor(share), torch.tensor([share]), np.float32(share))
    ]
    assert cut == [pytest.approx(round(share * 10) / 10)] * 4


def test_what_is_pruned_is_a_plain_zero():
    layer = nn.Linear(3, 1)
    layer.weight.data[:] = torch.tensor([[torch.inf, torch.nan, -1.0]])
    pruning.apply(layer, {"weight": torch.zeros(1, 1, 3)})
    assert layer.weight.tolist() == [[0, 0, 0]]
    assert not layer.weight.signbit().any()
