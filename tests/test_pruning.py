from nnopt_lab import pruning
from nnopt_lab.data import digits
from nnopt_lab.networks import mlp
from nnopt_lab.training import evaluate, grid, train

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

RUNS = grid(seed=range(3))
SPARSITIES = [0.0, 0.1, 0.333, 0.5, 0.9, 0.99, 1.0]


def model() -> nn.Module:
    return mlp([20, 16, 16, 10], RUNS, batch_norm=True)


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
    with pytest.raises(ValueError, match="a share from 0 to 1"):
        pruning.keep_largest(pruning.magnitude(model()), sparsity)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="a number from 0"):
        pruning.keep_above(pruning.magnitude(model()), -1)
    with pytest.raises(ValueError, match="2 seeds and 3 networks"):
        pruning.random(model(), [0, 1])
    with pytest.raises(KeyError, match=r"no parameter '9\.weight'"):
        pruning.apply(model(), {"9.weight": torch.ones(1)})
