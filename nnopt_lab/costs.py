"""What a network costs in use: bytes in a file, seconds for a batch, work for a machine."""

import gzip
import inspect
import io
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

from nnopt_lab.arguments import whole
from nnopt_lab.networks import chain

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
        if rows.dtype not in (torch.float32, torch.float64):
            raise TypeError(f"CSR multiplies float32 and float64, not {rows.dtype}.")
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
        if x.ndim != 2:
            raise ValueError(f"the inputs have shape {tuple(x.shape)}; give (samples, features).")
        outputs: Tensor = self.layers(x.T.contiguous())
        return outputs.T


def csr(network: nn.Sequential) -> nn.Module:
    """Return a network with the same outputs that stores and multiplies only what is not zero.

    Parameters
    ----------
    network : nn.Sequential
        Linear layers and ReLU, in float32 or float64; it is not changed. The result takes inputs of
        shape (samples, features) and cannot be trained.

    Raises
    ------
    TypeError
        If the network holds another kind of module or of numbers, is no ``nn.Sequential``, uses a
        layer twice, or a layer does more than its type says.
    """
    layers: list[nn.Module] = []
    for module in chain(network):
        if type(module) not in (nn.Linear, nn.ReLU):
            raise TypeError(f"csr() takes linear layers and ReLU, not {type(module).__name__}.")
        layers.append(CSR(module) if isinstance(module, nn.Linear) else nn.ReLU())
    return _Transposed(nn.Sequential(*layers))


@torch.no_grad()
def seconds(
    calls: Mapping[str, Callable[[], object]],
    *,
    rounds: int = 5,
    repeats: int = 5,
    n_threads: int = 1,
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
    n_threads : int
        On how many threads torch computes meanwhile, from 1.

    Returns
    -------
    xarray.DataArray
        Seconds, dimensions ``call`` and ``round``.

    Raises
    ------
    ValueError
        If there is nothing to time, or one of the numbers is no whole number from 1.
    TypeError
        If a call returns what is not done yet: its time would not be that of the work.
    """
    if not calls:
        raise ValueError("there is nothing to time; give one call or more.")
    rounds, repeats = whole("rounds", rounds), whole("repeats", repeats)
    n_threads = whole("n_threads", n_threads)
    functions, order = [*calls.values()], np.random.default_rng(0)
    taken = np.empty((len(functions), rounds * repeats))
    with _threads(n_threads):
        for call in functions * 3:
            if _goes_on(result := call()):
                raise TypeError(
                    f"a call returned {type(result).__name__}, whose work goes on; wait for it "
                    "within the call, as by .result()."
                )
        for repeat in range(rounds * repeats):
            for i in order.permutation(len(functions)):
                start = time.perf_counter()
                functions[i]()
                if torch.cuda.is_initialized():
                    torch.cuda.synchronize()  # a call returns before the work of a GPU is done
                taken[i, repeat] = time.perf_counter() - start
    medians = np.median(taken.reshape(-1, rounds, repeats), axis=2)
    return xr.DataArray(medians, {"call": [*calls]}, ("call", "round"))


def _goes_on(result: object) -> bool:
    """Whether what a call returned stands for work that is still to be done."""
    lazy = inspect.isawaitable(result) or inspect.isgenerator(result)
    return lazy or any(hasattr(result, name) for name in ("add_done_callback", "is_alive", "poll"))


@contextmanager
def _threads(n_threads: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class Work(NamedTuple):
    """What a machine has to do: operations on numbers, and bytes that pass through its memory."""

    operations: float
    n_bytes: float


def work(layer: nn.Linear | CSR, n_samples: int) -> Work:
    """Return what a layer has to do for some samples, each weight and value moved once.

    Operations are a multiplication and an addition for each weight that is not zero, so that zeros
    which are multiplied all the same count as wasted time, not as work.

    Parameters
    ----------
    layer : nn.Linear or CSR
    n_samples : int
        From 1.

    References
    ----------
    Williams, Waterman, Patterson 2009, "Roofline: an insightful visual performance model for
    multicore architectures", Communications of the ACM 52(4).
    """
    weight = layer.weight.detach()
    n_out, n_in = weight.shape
    if isinstance(layer, CSR):
        n_weights = weight.values().numel()
        stored = 8 * n_weights + 4 * (n_out + 1)  # a value and a column each; where rows begin
    else:
        n_weights, stored = int(weight.count_nonzero()), 4 * weight.numel()
    values = 4 * (n_in * n_samples + n_out * n_samples + n_out)
    return Work(2 * n_weights * n_samples, stored + values)


def measured(
    layers: Mapping[str, nn.Linear | CSR], n_samples: int, *, n_threads: int = 1
) -> xr.Dataset:
    """Return what some layers have to do for random inputs, and how long they take, side by side.

    Parameters
    ----------
    layers : mapping of str to nn.Linear or CSR
    n_samples, n_threads : int
        As for ``work`` and ``seconds``.

    Returns
    -------
    xarray.Dataset
        By ``version``: ``operations``, ``n_bytes`` and ``seconds``.
    """
    calls = {}
    for name, layer in layers.items():
        x = torch.rand(n_samples, layer.weight.shape[1])
        calls[name] = partial(layer, x.T.contiguous() if isinstance(layer, CSR) else x)
    taken = seconds(calls, n_threads=n_threads).median("round")
    works = np.array([work(layer, n_samples) for layer in layers.values()])
    columns = {"operations": works[:, 0], "n_bytes": works[:, 1], "seconds": taken.values}
    return xr.Dataset(
        {name: ("version", column) for name, column in columns.items()}, {"version": [*layers]}
    )


def roof(n_threads: int = 1) -> Work:
    """Return what this machine can do in a second, measured, in float32.

    Operations: products of two square matrices, the best of three sizes. Bytes: a copy of 128 MB,
    read and written.

    Parameters
    ----------
    n_threads : int
        On how many threads torch computes, from 1.
    """
    squares = {n: torch.rand(n, n) for n in (256, 512, 1024)}
    there, here = torch.rand(2**25), torch.empty(2**25)
    calls = {str(n): partial(torch.mm, square, square) for n, square in squares.items()}
    copy = partial(here.copy_, there)
    taken = seconds({**calls, "copy": copy}, n_threads=n_threads).min("round")
    best = max(2 * n**3 / float(taken.sel(call=str(n))) for n in squares)
    return Work(best, 8 * len(there) / float(taken.sel(call="copy")))
