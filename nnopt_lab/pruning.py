"""Pruning: a rule turns scores into masks; the training loop keeps what is masked at zero.

========= ================================================================================
scores    ``magnitude``, ``random``: what is low goes first
rules     ``keep_above``, ``keep_largest``, ``keep_neurons``, ``shuffled``: scores -> masks
schedule  ``gradual``: masks that grow from epoch to epoch, a value for ``train``
plumbing  ``weights``, ``sparsity``, ``apply``; ``shrink`` takes out what is zero
========= ================================================================================

All but ``shrink`` works on K networks at once: scores and masks have shape (K, out, in). An
ordinary module counts as one network, its masks have shape (1, out, in). Only the weights of linear
and convolutional layers are pruned; biases and batch-norm parameters never are.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from itertools import pairwise
from typing import cast

from nnopt_lab import networks
from nnopt_lab.arguments import from_zero, whole
from nnopt_lab.networks import Masks

import numpy as np
import torch
from torch import Generator, Tensor, nn

# By exact type: what is derived from one may use its weight otherwise.
PRUNED = (networks.Linear, nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
BETWEEN = (*networks.ELEMENTWISE, nn.BatchNorm1d)  # what ``shrink`` can cross
_Span = tuple[nn.Linear, list[nn.Module], nn.Linear]


def weights(model: nn.Module) -> dict[str, Tensor]:
    """Return what can be pruned, by name, as copies.

    Parameters
    ----------
    model : nn.Module
        A population, or any module with linear or convolutional layers. A warning names all other
        weights, which are left out.

    Returns
    -------
    dict
        Weights by parameter name, (K, out, in); of an ordinary module (1, out, in, ...). One that
        two layers share comes once.

    Raises
    ------
    TypeError
        If a weight is made of other parameters, as by ``torch.nn.utils.prune``.
    ValueError
        If there is none.
    """
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    found, others = dict[str, Tensor](), set[str]()
    for prefix, module in model.named_modules():
        if type(module) not in PRUNED:
            if not isinstance(module, networks.Stacked):
                own = module.parameters(recurse=False)
                others |= {names[id(parameter)] for parameter in own if parameter.ndim > 1}
            continue
        if networks.is_computed(module):
            raise TypeError(
                f"the weight of layer {prefix!r} is made of other parameters; make it plain first, "
                "as by torch.nn.utils.prune.remove(layer, 'weight')."
            )
        weight = module.weight.detach().clone()
        is_stacked = isinstance(module, networks.Stacked)
        found[names[id(module.weight)]] = weight if is_stacked else weight.unsqueeze(0)
    if not found:
        raise ValueError(
            f"{type(model).__name__} has no linear or convolutional layer; of others nothing is "
            "pruned."
        )
    if others - found.keys():
        left = ", ".join(sorted(others - found.keys()))
        warnings.warn(f"only linear and convolutional layers are pruned, not {left}.", stacklevel=3)
    return found


def magnitude(model: nn.Module) -> dict[str, Tensor]:
    """Return the score by which small weights go first: the absolute value.

    References
    ----------
    Han et al., "Learning both weights and connections", arXiv:1506.02626.
    """
    return {name: weight.abs() for name, weight in weights(model).items()}


def random(model: nn.Module, seeds: Sequence[int]) -> dict[str, Tensor]:
    """Return the score by which weights go at random, [0, 1), the control for every other rule.

    Parameters
    ----------
    seeds : sequence of int
        One for each network; equal seeds give equal scores.

    Raises
    ------
    ValueError
        If there are not as many seeds as networks.
    """
    return _random_like(weights(model), seeds)


def _random_like(stacked: Mapping[str, Tensor], seeds: Sequence[int]) -> dict[str, Tensor]:
    n_networks = len(next(iter(stacked.values())))
    if len(seeds) != n_networks:
        raise ValueError(f"there are {len(seeds)} seeds and {n_networks} networks; give one each.")
    generators = [
        Generator().manual_seed(int(np.random.SeedSequence([int(s), 0, 1]).generate_state(1)[0]))
        for s in seeds
    ]
    return {
        name: torch.stack([torch.rand(weight.shape[1:], generator=g) for g in generators])
        for name, weight in stacked.items()
    }


def keep_above(scores: Mapping[str, Tensor], threshold: float | Tensor) -> Masks:
    """Return masks that keep each weight whose score is at least a threshold.

    Parameters
    ----------
    scores : mapping of str to Tensor
        By parameter name, shape (K, out, in).
    threshold : float, or Tensor of shape (K,)
        From 0.

    Returns
    -------
    dict
        Boolean masks, true where a weight is kept.

    Raises
    ------
    ValueError
        If the threshold is negative.
    """
    thresholds = torch.as_tensor(from_zero("threshold", threshold))
    _check(scores, thresholds)
    return {
        name: score >= thresholds.view(-1, *(1,) * (score.ndim - 1))
        for name, score in scores.items()
    }


def keep_largest(
    scores: Mapping[str, Tensor], sparsity: float | Tensor, *, by_layer: bool = False
) -> Masks:
    """Return masks that prune exactly a share of each network's weights, those of lowest score.

    Parameters
    ----------
    scores : mapping of str to Tensor
        By parameter name, shape (K, out, in).
    sparsity : float, or Tensor of shape (K,)
        Share to prune, from 0 to 1; the number of weights is rounded as ``round`` does.
    by_layer : bool
        Whether each layer loses this share, or one threshold cuts all layers of a network.

    Returns
    -------
    dict
        Boolean masks, true where a weight is kept. They are those of ``torch.nn.utils.prune`` for
        the same scores, but where scores tie: here the later ones go, there any.

    Raises
    ------
    ValueError
        If a sparsity is not within 0 and 1, or shapes do not fit.
    """
    shares = _shares(sparsity)
    _check(scores, shares)
    if by_layer:
        return {
            name: _keep_largest(score.flatten(1), shares).view_as(score)
            for name, score in scores.items()
        }
    flat = torch.cat([score.flatten(1) for score in scores.values()], 1)
    sizes = [score[0].numel() for score in scores.values()]
    parts = _keep_largest(flat, shares).split(sizes, 1)
    return {
        name: part.reshape(score.shape)
        for (name, score), part in zip(scores.items(), parts, strict=True)
    }


def keep_neurons(
    scores: Mapping[str, Tensor], sparsity: float | Tensor, *, output: str | None = None
) -> Masks:
    """Return masks that prune whole neurons: those whose incoming scores have the lowest L2 norm.

    Parameters
    ----------
    scores : mapping of str to Tensor
        By parameter name, shape (K, out, in).
    sparsity : float, or Tensor of shape (K,)
        Share of each hidden layer's neurons to prune, from 0 to 1.
    output : str, optional
        The weight of the layer whose neurons are the outputs: all of them are kept. By default the
        last, as it is in an ``nn.Sequential``.

    Returns
    -------
    dict
        Boolean masks, false along whole rows; ``shrink`` then takes the rows out.

    Raises
    ------
    ValueError
        If a sparsity is not within 0 and 1, shapes do not fit, or there is no such output.

    References
    ----------
    Li et al., "Pruning filters for efficient ConvNets", arXiv:1608.08710.
    """
    shares = _shares(sparsity)
    _check(scores, shares)
    output = [*scores][-1] if output is None else output
    if output not in scores:
        raise ValueError(f"output is {output!r}; give one of {[*scores]}.")
    masks = {name: torch.ones_like(score, dtype=torch.bool) for name, score in scores.items()}
    for name in scores.keys() - {output}:
        norms = scores[name].flatten(2).norm(dim=2)
        kept = _keep_largest(norms, shares)
        masks[name] &= kept.view(*kept.shape, *(1,) * (scores[name].ndim - 2))
    return masks


def shuffled(masks: Masks, seeds: Sequence[int]) -> Masks:
    """Return masks that keep as many weights of each layer, at random places.

    The control that tells *which* weights a rule keeps from *how many* it keeps in each layer.

    Parameters
    ----------
    masks : mapping of str to Tensor
        By parameter name, shape (K, out, in).
    seeds : sequence of int
        One for each network.

    Raises
    ------
    ValueError
        If there are not as many seeds as networks.
    """
    _check(masks)
    scores = _random_like(masks, seeds)
    return {
        name: _keep_largest(scores[name].flatten(1), 1 - mask.flatten(1).double().mean(1)).view_as(
            mask
        )
        for name, mask in masks.items()
    }


def gradual(
    sparsity: float | Tensor, epochs: int, *, first_epoch: int = 0
) -> Callable[[int, nn.Module], Masks]:
    """Return the masks of iterative magnitude pruning, a value for the argument ``masks``.

    Before the n-th of ``epochs`` epochs a share s (1 - (1 - n / epochs)^3) is pruned, and what is
    pruned stays so: much at first, while there is much to choose from, then less and less.

    Parameters
    ----------
    sparsity : float, or Tensor of shape (K,)
        Share s pruned at the end, from 0 to 1.
    epochs : int
        How many epochs it takes, from 1; 1 is one-shot pruning.
    first_epoch : int
        Number of the first of them, as given to ``train``.

    Raises
    ------
    ValueError
        If a sparsity is not within 0 and 1, or ``epochs`` is no whole number from 1.

    References
    ----------
    Zhu and Gupta, "To prune, or not to prune", arXiv:1710.01878, equation 1.
    """
    shares = _shares(sparsity)
    epochs = whole("epochs", epochs)

    def masks(epoch: int, model: nn.Module) -> Masks:
        progress = min(max((epoch - first_epoch + 1) / epochs, 0), 1)
        return keep_largest(magnitude(model), shares * (1 - (1 - progress) ** 3))

    return masks


def _shares(sparsity: float | Tensor) -> Tensor:
    shares = torch.as_tensor(from_zero("sparsity", sparsity, most=1), dtype=torch.float64)
    return shares.round(decimals=6)  # a share in float32 cuts as many


def _check(stacked: Mapping[str, Tensor], each: Tensor | None = None) -> None:
    """Check the shapes of scores or masks, and whether there is one number for each network."""
    for name, value in stacked.items():
        if value.ndim < 3:
            raise ValueError(
                f"{name!r} has shape {tuple(value.shape)}; give (K, out, in), or (1, out, in) for "
                "one network."
            )
    n_networks = len(next(iter(stacked.values()), ()))
    if not n_networks:
        raise ValueError("there is no layer; give the scores or masks of one or more.")
    if each is not None and each.numel() not in (1, n_networks):
        raise ValueError(
            f"{each.numel()} numbers were given for {n_networks} networks; give one for all, or "
            "one each."
        )


def _keep_largest(scores: Tensor, shares: Tensor) -> Tensor:
    """Mask (K, n) scores; of equal scores the later ones are pruned first."""
    n_pruned = (shares.expand(len(scores)) * scores.shape[1]).round().long()
    ranks = scores.flip(1).argsort(dim=1, stable=True).argsort(dim=1).flip(1)
    kept: Tensor = ranks >= n_pruned[:, None].to(ranks.device)
    return kept


def sparsity(masks: Masks) -> Tensor:
    """Return the share of pruned weights of each network over all layers, shape (K,).

    Raises
    ------
    ValueError
        If a mask is not of shape (K, out, in).
    """
    _check(masks)
    kept = torch.cat([mask.flatten(1) for mask in masks.values()], 1)
    return 1 - kept.double().mean(1)


@torch.no_grad()
def apply(model: nn.Module, masks: Masks) -> None:
    """Set the pruned weights of a model to zero, in place, once.

    Parameters
    ----------
    model : nn.Module
        A population, or an ordinary module.
    masks : mapping of str to Tensor
        By parameter name, (K, out, in), or (1, out, in) for an ordinary module.

    Raises
    ------
    ValueError
        If the model has no parameter of a mask's name, or a mask not the shape of its parameter.
    """
    for name, is_kept in networks.kept(model, masks).items():
        model.get_parameter(name).masked_fill_(~is_kept, 0)


@torch.no_grad()
def shrink(network: nn.Sequential) -> nn.Sequential:
    """Return a smaller network with the same outputs, without the neurons that no longer matter.

    A neuron that nothing enters always gives the same value, which moves into the next biases; one
    that nothing leaves is not missed. One neuron of each layer stays in any case.

    Parameters
    ----------
    network : nn.Sequential
        Linear layers, with activations, batch norm or dropout between them. It is not changed.

    Returns
    -------
    nn.Sequential
        In evaluation mode; its outputs are those of ``network.eval()``, up to rounding.

    Raises
    ------
    TypeError
        If another kind of module stands between two linear layers, or one with weights elsewhere:
        its neurons would stay. If a batch norm keeps no running averages, the network is no
        ``nn.Sequential``, or a layer does more than its type says.
    """
    kinds = (nn.Linear, *BETWEEN)
    modules = networks.chain(network)
    wrong = [type(m).__name__ for m in modules if type(m) not in kinds and [*m.parameters()]]
    if wrong:
        raise TypeError(f"shrink() takes neurons out of linear layers, not of {wrong}.")
    if any(type(m) is nn.BatchNorm1d and m.running_mean is None for m in modules):
        raise TypeError("a batch norm keeps no running averages: no neuron of it is constant.")
    small = deepcopy(network).eval()
    spans = _spans([*small])
    for layer, between, following in spans:
        has_inputs = layer.weight.ne(0).any(1)
        constant = nn.Sequential(*between)(_bias(layer).clone().unsqueeze(0))[0]
        moved = following.weight[:, ~has_inputs] @ constant[~has_inputs]
        if moved.any():
            following.bias = nn.Parameter(_bias(following) + moved)
        following.weight[:, ~has_inputs] = 0
        _keep((layer, between, following), has_inputs)
    for span in reversed(spans):
        _keep(span, span[-1].weight.ne(0).any(0))
    return small


def _spans(modules: list[nn.Module]) -> list[_Span]:
    """Return each linear layer with what stands between it and the next, and the next."""
    places = [i for i, module in enumerate(modules) if type(module) is nn.Linear]
    spans: list[_Span] = []
    for first, after in pairwise(places):
        layer, *between, following = modules[first : after + 1]
        wrong = [type(module).__name__ for module in between if type(module) not in BETWEEN]
        if wrong:
            raise TypeError(f"shrink() cannot take neurons out across {wrong}.")
        spans.append((cast(nn.Linear, layer), between, cast(nn.Linear, following)))
    return spans


def _bias(layer: nn.Linear) -> Tensor:
    """Return the bias of a layer, zeros where it has none."""
    return layer.weight.new_zeros(layer.out_features) if layer.bias is None else layer.bias


def _keep(span: _Span, kept: Tensor) -> None:
    """Keep some outputs of a linear layer, and what acts on them up to the next layer."""
    kept = kept.clone()
    kept[0] |= not kept.any()
    layer, between, following = span
    norms = [module for module in between if isinstance(module, nn.BatchNorm1d)]
    for module in [layer, *norms]:
        for name, parameter in [*module.named_parameters()]:
            setattr(module, name, nn.Parameter(parameter[kept]))
        for name, buffer in [*module.named_buffers()]:
            if buffer.ndim:
                setattr(module, name, buffer[kept])
    following.weight = nn.Parameter(following.weight[:, kept])
    layer.out_features = following.in_features = int(kept.sum())
    for norm in norms:
        norm.num_features = layer.out_features
