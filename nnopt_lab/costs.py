"""What a network costs when it is used: bytes in a file, seconds for a batch."""

import gzip
import io
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn


def n_bytes(network: nn.Module, *, gzipped: bool = False) -> int:
    """Return the size of the file that ``torch.save`` makes of a network's ``state_dict``.

    Parameters
    ----------
    network : nn.Module
    gzipped : bool
        Whether the file is compressed with gzip.
    """
    file = io.BytesIO()
    torch.save(network.state_dict(), file)
    content = file.getvalue()
    return len(gzip.compress(content, mtime=0)) if gzipped else len(content)


class CSR(nn.Module):
    """A linear layer that stores and multiplies only the weights that are not zero.

    Compressed sparse rows: for each weight its value and its column, 4 bytes each, and for each
    row where it begins. Maps (in, samples) to (out, samples).
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Sparse CSR", UserWarning)  # "in beta state"
            rows = layer.weight.detach().to_sparse_csr()
            places = rows.crow_indices().int(), rows.col_indices().int()
            self.register_buffer(
                "weight",
                torch.sparse_csr_tensor(*places, rows.values(), rows.shape, check_invariants=True),
            )
        zeros = layer.weight.new_zeros(layer.out_features)
        self.register_buffer("bias", zeros if layer.bias is None else layer.bias.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        """Return ``weight @ x + bias``."""
        return torch.addmm(self.bias.unsqueeze(1), self.weight, x)


class _Transposed(nn.Module):
    """Inputs (samples, features) for layers that take (features, samples)."""

    def __init__(self, layers: nn.Sequential) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.layers(x.T.contiguous())
        return outputs.T


def csr(network: nn.Sequential) -> nn.Module:
    """Return a network with the same outputs that stores and multiplies only what is not zero.

    Parameters
    ----------
    network : nn.Sequential
        Linear layers and ReLU; it is not changed. The result cannot be trained.

    Raises
    ------
    TypeError
        If the network holds another kind of module.
    """
    layers: list[nn.Module] = []
    for module in network:
        if not isinstance(module, nn.Linear | nn.ReLU):
            raise TypeError(f"csr() takes linear layers and ReLU, not {type(module).__name__}.")
        layers.append(CSR(module) if isinstance(module, nn.Linear) else nn.ReLU())
    return _Transposed(nn.Sequential(*layers))


@torch.no_grad()
def seconds(
    calls: Mapping[str, Callable[[], object]], *, rounds: int = 5, repeats: int = 5
) -> xr.DataArray:
    """Time some functions side by side, so that whatever else the machine does hits all alike.

    Each repeat calls every function once, in an order of its own, since a call finds in the cache
    what the one before left there. On one thread, without gradients, after three calls of each that
    do not count. Each round gives a median, since a mean is at the mercy of the worst call; how far
    the rounds lie apart tells how far to trust them.

    Parameters
    ----------
    calls : mapping of str to callable
        What to time, by name; without arguments.
    rounds, repeats : int
        How many medians, and of how many calls each, from 1.

    Returns
    -------
    xarray.DataArray
        Seconds, dimensions ``call`` and ``round``.

    Raises
    ------
    ValueError
        If there is nothing to time, or ``rounds`` or ``repeats`` is no whole number from 1.
    """
    if not calls or any(type(n) is not int or n < 1 for n in (rounds, repeats)):
        raise ValueError(
            f"there are {len(calls)} calls, {rounds!r} rounds and {repeats!r} repeats; give 1 or "
            "more of each."
        )
    functions, order = [*calls.values()], np.random.default_rng(0)
    taken = np.empty((len(functions), rounds * repeats))
    with _one_thread():
        for call in functions * 3:
            call()
        for repeat in range(rounds * repeats):
            for i in order.permutation(len(functions)):
                start = time.perf_counter()
                functions[i]()
                taken[i, repeat] = time.perf_counter() - start
    medians = np.median(taken.reshape(-1, rounds, repeats), axis=2)
    return xr.DataArray(medians, {"call": [*calls]}, ("call", "round"))


@contextmanager
def _one_thread() -> Iterator[None]:
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)
