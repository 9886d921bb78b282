"""Orders: in which sequence the samples of an epoch are seen."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Generator, Tensor


def reshuffled(n: int, seeds: Sequence[int]) -> Callable[[int], Tensor]:
    """Return the default order: a new permutation for each seed and epoch.

    Parameters
    ----------
    n : int
        How many samples there are.
    seeds : sequence of int
        One for each network.

    Returns
    -------
    callable
        epoch -> indices, shape (K, n); networks of equal seed see equal orders.
    """
    distinct, rows = np.unique(np.asarray(seeds), return_inverse=True)

    def order(epoch: int) -> Tensor:
        streams = [np.random.SeedSequence([int(seed), epoch]) for seed in distinct]
        generators = [Generator().manual_seed(int(s.generate_state(1)[0])) for s in streams]
        return torch.stack([torch.randperm(n, generator=g) for g in generators])[rows]

    return order
