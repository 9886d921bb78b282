import copy
import random
from functools import partial

from nnopt_lab.grid import grid
from nnopt_lab.networks import (
    INITIALISATIONS,
    BatchNorm,
    GroupNorm,
    Linear,
    Population,
    Stacked,
    kept,
    mlp,
    single,
)

import pytest
import torch
from torch import nn

RUNS = grid(seed=range(3))


def test_a_row_starts_as_torch_would_start_it():
    torch.manual_seed(2)
    alone = nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 3))
    row = mlp([5, 7, 3], RUNS).unstack(2)
    for ours, theirs in zip(row.parameters(), alone.parameters(), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("norm", [None, BatchNorm])
@pytest.mark.parametrize("training", [False, True])
def test_unstack_gives_the_same_outputs(norm, training):
    model = mlp([5, 7, 6, 3], RUNS, norm=norm).double()
    x = torch.randn(3, 16, 5, dtype=torch.float64)
    for _ in range(3):
        model(x)  # running statistics move
    model.train(training)
    rows = [model.unstack(i) for i in range(3)]
    outputs = model(x)
    assert outputs.shape == (3, 16, 3)
    for i, row in enumerate(rows):
        assert torch.allclose(outputs[i], row(x[i]), atol=1e-12)


@pytest.mark.parametrize("norm", [None, BatchNorm])
@pytest.mark.parametrize("norm_at", ["before layer", "before relu", "after relu"])
def test_inputs_shared_by_all_networks(norm, norm_at):
    model = mlp([5, 7, 3], RUNS, norm=norm, norm_at=norm_at)
    x = torch.randn(16, 5)
    assert torch.allclose(model(x[None]), model(x.expand(3, -1, -1)))


@pytest.mark.parametrize(
    ("norm_at", "kinds", "features"),
    [
        ("before layer", "BatchNorm1d Linear ReLU BatchNorm1d Linear", [5, 7]),
        ("before relu", "Linear BatchNorm1d ReLU Linear", [7]),
        ("after relu", "Linear ReLU BatchNorm1d Linear", [7]),
    ],
)
def test_a_norm_stands_where_it_is_asked_for(norm_at, kinds, features):
    row = mlp([5, 7, 3], RUNS, norm=BatchNorm, norm_at=norm_at).unstack(0)
    assert [type(layer).__name__ for layer in row] == kinds.split()
    norms = [layer.num_features for layer in row if isinstance(layer, nn.BatchNorm1d)]
    assert norms == features


@pytest.mark.parametrize("momentum", [0.1, 0.3, None])
def test_running_statistics_are_torchs(momentum):
    ours = BatchNorm(4, RUNS, momentum).double()
    theirs = [nn.BatchNorm1d(4, momentum=momentum).double() for _ in RUNS["seed"]]
    for _ in range(3):
        x = 2 * torch.randn(3, 4, 16, dtype=torch.float64) + 1
        outputs = ours(x)
        for i, norm in enumerate(theirs):
            assert torch.allclose(outputs[i], norm(x[i].mT).mT)
    for i, norm in enumerate(theirs):
        assert torch.allclose(ours.running_mean[i], norm.running_mean)
        assert torch.allclose(ours.running_var[i], norm.running_var)
        assert ours.num_batches_tracked[i] == norm.num_batches_tracked
    assert ours.unstack().momentum == momentum


def test_workers_normalise_their_own_part_and_the_first_keeps_the_statistics():
    ours = BatchNorm(4, RUNS, n_workers=2).double()
    theirs = [[nn.BatchNorm1d(4).double() for _ in range(2)] for _ in RUNS["seed"]]
    for _ in range(3):
        x = 2 * torch.randn(3, 4, 16, dtype=torch.float64) + 1
        outputs = ours(x)
        for i, workers in enumerate(theirs):
            parts = [norm(part.T).T for norm, part in zip(workers, x[i].chunk(2, -1), strict=True)]
            assert torch.allclose(outputs[i], torch.cat(parts, -1))
            assert torch.allclose(ours.running_mean[i], workers[0].running_mean)
            assert torch.allclose(ours.running_var[i], workers[0].running_var)
    ours.eval()
    assert torch.allclose(ours(x)[1], theirs[1][0].eval()(x[1].T).T)


@pytest.mark.parametrize("n_groups", [1, 4])
def test_group_norm_is_that_of_torch(n_groups):
    model = mlp([5, 12, 3], RUNS, norm=lambda f, runs: GroupNorm(f, runs, n_groups)).double()
    for parameter in model[1].parameters():
        nn.init.normal_(parameter, generator=torch.Generator().manual_seed(0))
    alone, x = model.unstack(2), torch.randn(16, 5, dtype=torch.float64)
    assert isinstance(alone[1], nn.GroupNorm)
    torch.testing.assert_close(model(x[None])[2], alone(x))


@pytest.mark.parametrize(
    ("n_groups", "said"), [(0, "n_groups is 0"), (5, "do not divide"), (2.0, "n_groups is 2.0")]
)
def test_groups_that_do_not_divide_the_features_are_refused(n_groups, said):
    with pytest.raises(ValueError, match=said):
        GroupNorm(12, RUNS, n_groups)


def test_any_norm_and_any_layer_can_stand_in_a_population():
    class LayerNorm(Stacked):
        def __init__(self, features, runs):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(len(runs), features))
            self.bias = nn.Parameter(torch.zeros(len(runs), features))

        def forward(self, x):
            normalised = nn.functional.layer_norm(x.mT, x.shape[1:2]).mT
            return normalised * self.weight[:, :, None] + self.bias[:, :, None]

        def unstack(self):
            return nn.LayerNorm(self.weight.shape[1])

    first, *_, last = mlp([5, 7, 3], RUNS, norm=LayerNorm)
    model, x = Population(first, LayerNorm(7, RUNS), nn.Tanh(), last), torch.randn(3, 16, 5)
    assert isinstance(model.unstack(1)[2], nn.Tanh)
    assert torch.allclose(model(x)[1], model.unstack(1)(x[1]), atol=1e-6)


def test_unstacked_networks_are_copies_and_can_be_saved(tmp_path):
    model = mlp([5, 7, 3], RUNS)
    before = copy.deepcopy(model.state_dict())
    row = model.unstack(1)
    nn.init.zeros_(row[0].weight)
    torch.save(row.state_dict(), tmp_path / "row.pt")
    assert torch.load(tmp_path / "row.pt")["0.weight"].abs().max() == 0
    assert all(torch.equal(model.state_dict()[name], value) for name, value in before.items())


def test_take_copies_networks_in_the_order_asked():
    model = mlp([5, 7, 3], RUNS, norm=BatchNorm)
    model(torch.randn(3, 8, 5))
    taken = model.take(torch.tensor([2, 0, 2, 1]))
    assert taken.n_networks == 4
    assert torch.equal(taken[1].running_mean[2], model[1].running_mean[2])
    assert torch.equal(taken[0].weight[1], model[0].weight[0])
    with torch.no_grad():
        taken[0].weight.zero_()
    assert model[0].weight.abs().max() > 0


@pytest.mark.parametrize("initialisation", INITIALISATIONS)
def test_equal_seeds_start_equal(initialisation):
    runs = grid(delta=[0.0, 1.0], seed=[0, 5])
    weight = mlp([5, 7, 3], runs, initialisation=initialisation)[0].weight
    assert torch.equal(weight[:2], weight[2:])
    assert not torch.equal(weight[0], weight[1])


def test_each_network_may_have_an_initialisation_of_its_own():
    mixed = mlp([5, 7, 3], RUNS, initialisation=["he", "default", "he"])[0].weight
    for i, name in enumerate(["he", "default", "he"]):
        assert torch.equal(mixed[i], mlp([5, 7, 3], RUNS, initialisation=name)[0].weight[i])


def test_masks_are_read_in_one_way():
    model, mask = mlp([5, 7, 3], RUNS), torch.rand(3, 7, 5) < 0.5
    for given in (mask, mask.float(), 255 * mask.to(torch.uint8)):
        assert torch.equal(kept(model, {"0.weight": given})["0.weight"], mask)
    alone = kept(model.unstack(0), {"0.weight": mask[:1]})
    assert torch.equal(alone["0.weight"], mask[0])
    with pytest.raises(ValueError, match=r"no parameter 'x'"):
        kept(model, {"x": mask})
    with pytest.raises(ValueError, match=r"has shape \(7, 3, 5\); its parameter has \(3, 7, 5\)"):
        kept(model, {"0.weight": mask.transpose(0, 1)})


def test_he_initialisation_has_variance_two_over_inputs():
    weight = mlp([200, 300, 3], RUNS, initialisation="he")[0].weight
    assert weight.var().item() == pytest.approx(2 / 200, rel=0.02)


def test_single_wraps_any_classifier():
    module = nn.Sequential(nn.Unflatten(1, (1, 5)), nn.Conv1d(1, 2, 3), nn.Flatten())
    model = single(module)
    x = torch.randn(4, 5)
    assert torch.equal(model(x[None]), module(x)[None])
    assert model.unstack(0) is module


def test_global_random_state_is_left_alone():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    mlp([5, 7, 3], RUNS)
    assert torch.rand(1) == expected


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="two or more whole numbers"):
        mlp([40], RUNS)
    with pytest.raises(ValueError, match="a width is 0; give a whole number from 1"):
        mlp([40, 0, 10], RUNS)
    with pytest.raises(ValueError, match="use one of"):
        mlp([40, 10], RUNS, initialisation="xavier")
    with pytest.raises(ValueError, match="for each of 3 networks"):
        mlp([40, 10], RUNS, initialisation=["he"])
    with pytest.raises(ValueError, match="norm_at is 'inside'"):
        mlp([40, 10], RUNS, norm_at="inside")
    with pytest.raises(IndexError, match="networks 0 to 2"):
        mlp([40, 10], RUNS).unstack(3)
    with pytest.raises(IndexError, match="networks 0 to 2"):
        mlp([40, 10], RUNS).take(torch.tensor([-1]))
    with pytest.raises(IndexError, match="networks 0 to 0"):
        single(nn.Linear(2, 2)).unstack(1)
    with pytest.raises(TypeError, match=r"an nn\.Module"):
        single("network")
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        mlp([5, 7, 3], RUNS, norm=BatchNorm)(torch.randn(3, 1, 5))


class Scaled(Linear):
    def forward(self, x):
        return 2 * super().forward(x)


class Residual(Population):
    def forward(self, x):
        return super().forward(x) + x


def scaled():
    (first,) = mlp([4, 4], RUNS)
    return Population(Scaled(first.weight, first.bias))


def hooked():
    model = mlp([4, 4], RUNS)
    model[0].register_forward_hook(lambda _layer, _inputs, outputs: 2 * outputs)
    return model


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (scaled, "the population holds Scaled"),
        (hooked, "layer '0', Linear, does more than its type says"),
        (lambda: Residual(*mlp([4, 4], RUNS)), "Residual has a forward of its own"),
        (lambda: Population(mlp([4, 4], RUNS)), "the population holds Population"),
    ],
)
def test_what_computes_more_than_its_layers_say_is_not_unstacked(make, message):
    with pytest.raises(TypeError, match=message):
        make().unstack(0)


def random_population(seed):
    chance = random.Random(seed)
    widths = [chance.randint(1, 7) for _ in range(chance.randint(2, 5))]
    norms = [None, BatchNorm, partial(BatchNorm, momentum=None), GroupNorm]
    layers = mlp(
        widths, RUNS, norm=chance.choice(norms),
        norm_at=chance.choice(["before layer", "before relu", "after relu"]),
        initialisation=chance.choices([*INITIALISATIONS], k=3),
    )  # fmt: skip
    kinds = [nn.ReLU, nn.LeakyReLU, nn.GELU, nn.Tanh, nn.Sigmoid, nn.Dropout]
    swapped = [chance.choice(kinds)() if isinstance(own, nn.ReLU) else own for own in layers]
    model = Population(*swapped).double()
    for parameter in model.parameters():
        parameter.requires_grad_(chance.random() < 0.7)
    for _ in range(2):
        model(torch.randn(3, 16, widths[0], dtype=torch.float64))  # running statistics move
    return model.eval(), torch.randn(3, 9, widths[0], dtype=torch.float64)


@pytest.mark.parametrize("seed", range(60))
def test_of_random_populations_copies_and_single_networks_compute_the_same(seed):
    model, x = random_population(seed)
    outputs, order = model(x), torch.tensor([2, 0, 0, 1])
    slack = 1e-10 * (1 + outputs.abs().max())
    assert (model.take(order)(x[order]) - outputs[order]).abs().max() <= slack
    for i in range(3):
        assert (model.unstack(i)(x[i]) - outputs[i]).abs().max() <= slack


def test_a_copy_is_frozen_where_the_original_is():
    model = mlp([5, 4, 3], RUNS, norm=BatchNorm)
    model[0].weight.requires_grad_(False)
    model[1].eval()
    for made in (model.take(torch.tensor([2, 0])), model.unstack(1)):
        assert [p.requires_grad for p in made.parameters()] == [False] + [True] * 5
        assert [layer.training for layer in made] == [True, False, True, True]


@pytest.mark.parametrize("layer", [nn.Tanh(), nn.Dropout(0.3), nn.LeakyReLU(0.2), nn.GELU()])
def test_other_activations_stay_what_they_are(layer):
    first, _, last = mlp([5, 4, 3], RUNS)
    model = Population(first, layer, last).eval()
    alone, x = model.unstack(1), torch.randn(7, 5)
    assert type(alone[1]) is type(layer)
    torch.testing.assert_close(model(x[None])[1], alone(x))


@pytest.mark.parametrize("layer", [nn.LayerNorm(4), nn.Softmax(1), nn.Flatten(), nn.Linear(4, 4)])
def test_what_is_not_known_to_act_network_by_network_is_not_unstacked(layer):
    first, _, last = mlp([5, 4, 3], RUNS)
    with pytest.raises(TypeError, match=f"the population holds {type(layer).__name__}"):
        Population(first, layer, last).unstack(0)


def test_copies_of_what_is_shared_are_refused():
    first, relu, last = mlp([4, 4, 4], RUNS)
    last.weight = first.weight
    with pytest.raises(TypeError, match="share a parameter"):
        Population(first, relu, last).take(torch.tensor([0]))
    with pytest.raises(TypeError, match="the population holds Linear"):
        Population(nn.Linear(4, 4)).take(torch.tensor([0]))


@pytest.mark.parametrize("outputs", [lambda x: (x, x), lambda x: {"y": x}, lambda x: x[:, 0]])
def test_a_module_that_returns_no_outputs_by_class_is_refused(outputs):
    module = nn.Linear(4, 3)
    module.forward = outputs
    with pytest.raises(TypeError, match=r"the module returned .* for 7 samples; .* \(samples, "):
        single(module)(torch.randn(1, 7, 4))
