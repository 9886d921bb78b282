"""Pruning: a rule turns scores into masks; the training loop keeps what is masked at zero.

Weights are the parameters named ``*.weight`` with an output and an input dimension: biases and
batch-norm parameters are never pruned. Every function here works on K stacked networks, weights of
shape (K, out, in).
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Generator, Tensor, nn


def weights(model: nn.Module) -> dict[str, Tensor]:
    """Return what can be pruned, by name: each layer's weights, (K, out, in), as a copy."""
    return {
        name: parameter.detach().clone()
        for name, parameter in model.named_parameters()
        if name.endswith("weight") and parameter.ndim == 3
    }


def magnitude(model: nn.Module) -> dict[str, Tensor]:
    """Return the score by which small weights go first: the absolute value.

    References
    ----------
    Han et al., "Learning both weights and connections", arXiv:1506.02626.
    """
    return {name: weight.abs() for name, weight in weights(model).items()}


def random(model: nn.Module, seeds: Sequence[int]) -> dict[str, Tensor]:
    """Return the score by which weights go at random, (0, 1), the control for every other rule.

    Parameters
    ----------
    seeds : sequence of int
        One for each network; equal seeds give equal scores.

    Raises
    ------
    ValueError
        If there are not as many seeds as networks.
    """
    stacked = weights(model)
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


def keep_above(scores: Mapping[str, Tensor], threshold: float) -> dict[str, Tensor]:
    """Return masks that keep each weight whose score is at least a threshold.

    Parameters
    ----------
    scores : mapping of str to Tensor
        By parameter name, shape (K, out, in).
    threshold : float
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
    if not threshold >= 0:
        raise ValueError(f"threshold is {threshold!r}; give a number from 0.")
    return {name: score >= threshold for name, score in scores.items()}


def keep_largest(
    scores: Mapping[str, Tensor], sparsity: float | Tensor, *, by_layer: bool = False
) -> dict[str, Tensor]:
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
        Boolean masks, true where a weight is kept.

    Raises
    ------
    ValueError
        If a sparsity is not within 0 and 1.
    """
    shares = torch.as_tensor(sparsity, dtype=torch.float64)
    if not bool(((shares >= 0) & (shares <= 1)).all()):
        raise ValueError(f"sparsity is {sparsity!r}; give a share from 0 to 1.")
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


def _keep_largest(scores: Tensor, shares: Tensor) -> Tensor:
    """Mask (K, n) scores; of equal scores the later ones are pruned first."""
    n_pruned = (shares.expand(len(scores)) * scores.shape[1]).round().long()
    ranks = scores.flip(1).argsort(dim=1, stable=True).argsort(dim=1).flip(1)
    kept: Tensor = ranks >= n_pruned[:, None].to(ranks.device)
    return kept


def sparsity(masks: Mapping[str, Tensor]) -> Tensor:
    """Return the share of pruned weights of each network over all layers, shape (K,)."""
    kept = torch.cat([mask.flatten(1) for mask in masks.values()], 1)
    return 1 - kept.double().mean(1)


@torch.no_grad()
def apply(model: nn.Module, masks: Mapping[str, Tensor]) -> None:
    """Set the pruned weights of a model to zero, in place, once.

    Raises
    ------
    KeyError
        If the model has no parameter of a mask's name.
    """
    parameters = dict(model.named_parameters())
    for name, mask in masks.items():
        if name not in parameters:
            raise KeyError(f"there is no parameter {name!r}, only {[*parameters]}.")
        parameters[name].mul_(mask.to(parameters[name]))
