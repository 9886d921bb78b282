"""Batch norm: its formula, what it does inside a network while it trains, and how it goes away.

============== ===================================================================================
the formula    ``batch_norm`` in its four steps, and the ``Running`` averages
a microscope   ``inside`` and ``changes``, measures for a ``Recorder``
two modes      ``in_mode``, ``accuracy_in_batches``, ``recalibrate``
for use        ``fold``, the same network without batch norm
============== ===================================================================================
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import NamedTuple

from nnopt_lab.arguments import check_samples, whole
from nnopt_lab.networks import Model, Population, chain, modes_kept

import torch
from torch import Tensor, nn

EPS = 1e-5  # of torch's batch norm
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)

# Spreads are counted in bins of a quarter of a decade; what lies outside counts in the outermost.
LOWEST, HIGHEST, BINS_A_DECADE = -5, 2, 4
DECADES = (
    torch.arange(LOWEST, HIGHEST, 1 / BINS_A_DECADE) + 0.5 / BINS_A_DECADE
)  # the bins' middles


class Steps(NamedTuple):
    """What batch norm computes: of each feature ``mean`` and ``variance``, then each value."""

    mean: Tensor
    variance: Tensor
    normalised: Tensor
    output: Tensor


def batch_norm(
    x: Tensor, gamma: Tensor | float = 1.0, beta: Tensor | float = 0.0, eps: float = EPS
) -> Steps:
    """Normalise each feature over the samples of a batch, then scale and shift it.

    Parameters
    ----------
    x : Tensor
        Shape (samples, features), two samples at least.
    gamma, beta : Tensor or float
        Scale and shift, (features,) or one for all.
    eps : float
        Added to the variance, so that nothing is divided by 0.

    Returns
    -------
    Steps
        Mean and variance (that of the batch: divided by n, not n - 1), shape (features,);
        normalised values and output, shape (samples, features).

    Raises
    ------
    ValueError
        If there are not two samples.

    References
    ----------
    Ioffe, Szegedy 2015, arXiv:1502.03167, algorithm 1.
    """
    if x.ndim != 2 or len(x) < 2:
        raise ValueError(
            f"x has shape {tuple(x.shape)}; give (samples, features), and two samples at least: "
            "one alone has no spread."
        )
    mean = x.mean(0)
    variance = (x - mean).square().mean(0)
    normalised = (x - mean) / (variance + eps).sqrt()
    return Steps(mean, variance, normalised, gamma * normalised + beta)


class Running(NamedTuple):
    """The averages that batch norm collects in training, and normalises by in evaluation mode."""

    mean: Tensor
    variance: Tensor

    def after(self, x: Tensor, momentum: float = 0.1) -> "Running":
        """Return the averages after one batch more, as torch computes them.

        Parameters
        ----------
        x : Tensor
            Shape (samples, features).
        momentum : float
            The weight of the newest batch; other libraries call one minus it so.
        """
        return Running(
            torch.lerp(self.mean, x.mean(0), momentum),
            torch.lerp(self.variance, x.var(0, correction=1), momentum),  # n - 1 here
        )


@contextmanager
def in_mode(model: nn.Module, *, training: bool) -> Iterator[None]:
    """Put a model into a mode for a while, without gradients; then its modes and buffers come back.

    Parameters
    ----------
    model : nn.Module
    training : bool
        Whether batch norm normalises by the batch, not by its averages.
    """
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    try:
        with modes_kept(model), torch.no_grad():
            model.train(training)
            yield
    finally:
        for buffer, before in buffers:
            buffer.copy_(before)


def inside(
    x: Tensor, *, before: type[nn.Module] = nn.ReLU, training: bool = True
) -> Callable[[Model], dict[str, Tensor]]:
    """Return what measures, on a fixed batch, the values that go into each ReLU.

    For ``Recorder``. A network is left as it was: no average moves, and no hook stays.

    Parameters
    ----------
    x : Tensor
        The batch, shape (samples, features).
    before : type
        Before which modules it looks.
    training : bool
        In which mode.

    Returns
    -------
    callable
        model -> by name, (K, layers) each, and ``histogram`` (K, layers, bins): ``mean`` of all
        values; ``spread``, how much a neuron differs between samples (standard deviation, mean of
        all neurons); ``dead``, the share of neurons above 0 for no sample; and the share of
        neurons with a spread in each bin, whose middles in log10 are ``DECADES``.

    Raises
    ------
    ValueError
        If the model has no such module.
    """

    def measure(model: Model) -> dict[str, Tensor]:
        layers: list[dict[str, Tensor]] = []

        def look(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            values = inputs[0]
            if not isinstance(model, Population):  # (samples, units, ...) of a single network
                values = values.transpose(0, 1).flatten(1).unsqueeze(0)
            layers.append(_statistics(values))

        watched = [module for module in model.modules() if isinstance(module, before)]
        if not watched:
            raise ValueError(
                f"there is no {before.__name__} in the model; say before which modules to look: "
                "inside(x, before=nn.Linear)."
            )
        hooks = [module.register_forward_pre_hook(look) for module in watched]
        try:
            with in_mode(model, training=training):
                model(x.unsqueeze(0))
        finally:
            for hook in hooks:
                hook.remove()
        return {name: torch.stack([layer[name] for layer in layers], 1) for name in layers[0]}

    return measure


def _statistics(values: Tensor) -> dict[str, Tensor]:
    """Return statistics of one layer's values, (K, units, samples)."""
    spread = values.std(-1, correction=0)
    bins = ((spread.log10() - LOWEST) * BINS_A_DECADE).floor().clamp(0, len(DECADES) - 1)
    is_in = bins.unsqueeze(-1) == torch.arange(len(DECADES), device=bins.device)  # NaN in none
    return {
        "mean": values.mean((1, 2)),
        "spread": spread.mean(1),
        "dead": (values <= 0).all(-1).to(values.dtype).mean(1),
        "histogram": is_in.to(values.dtype).mean(1),
    }


def changes() -> Callable[[Model], dict[str, Tensor]]:
    """Return what measures how far each layer's weights have moved since it measured last.

    For ``Recorder``; after one update it is the update-to-weight ratio.

    Returns
    -------
    callable
        model -> ``change``, (K, layers): the norm of the difference over the norm before; NaN at
        first.
    """
    before: list[Tensor] = []

    def measure(model: Model) -> dict[str, Tensor]:
        n = model.n_networks
        weights = [
            parameter.detach().clone().view(n, -1)
            for name, parameter in model.named_parameters()
            if name.endswith("weight")
            and parameter.ndim > (2 if isinstance(model, Population) else 1)
        ]
        old = before or [torch.full_like(weight, torch.nan) for weight in weights]
        ratios = [(w - o).norm(dim=1) / o.norm(dim=1) for w, o in zip(weights, old, strict=True)]
        before[:] = weights
        return {"change": torch.stack(ratios, 1)}

    return measure


def accuracy_in_batches(
    model: Model, x: Tensor, y: Tensor, batch_size: int, *, training: bool = True
) -> Tensor:
    """Return the accuracy in batches of some size, in training mode or not; nothing else changes.

    Parameters
    ----------
    model : Model
        K networks.
    x, y : Tensor
        Inputs (samples, features) and classes (samples,). A last, short batch is left out.
    batch_size : int
    training : bool

    Returns
    -------
    Tensor
        Share of right answers, shape (K,).

    Raises
    ------
    TypeError, ValueError
        If inputs and classes do not fit each other, or there is no whole batch.
    """
    check_samples(x, y)
    batch_size = whole("batch_size", batch_size, most=len(x))
    n = len(x) // batch_size * batch_size
    with in_mode(model, training=training):
        batches = zip(x[:n].split(batch_size), y[:n].split(batch_size), strict=True)
        right = [model(xs.unsqueeze(0)).argmax(-1) == ys for xs, ys in batches]
    return torch.cat(right, -1).float().mean(-1)


@torch.no_grad()
def recalibrate(model: Model, x: Tensor, batch_size: int = 200) -> None:
    """Compute the averages of all batch-norm layers anew, with the weights as they are now.

    Parameters
    ----------
    model : Model
        K networks; changed in place, and left in the mode it was in.
    x : Tensor
        Training inputs, shape (samples, features), in no particular order.
    batch_size : int
    """
    batch_size = whole("batch_size", batch_size)
    norms = [m for m in model.modules() if getattr(m, "running_mean", None) is not None]
    momenta = [norm.momentum for norm in norms]
    if not norms:
        return
    try:
        with modes_kept(model):
            model.train(False)  # dropout is off
            for norm in norms:
                norm.train(True)
                norm.num_batches_tracked.zero_()  # type: ignore[operator]
                norm.momentum = None  # type: ignore[assignment]
            for batch in x.split(batch_size):
                model(batch.unsqueeze(0))
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum


def fold(network: nn.Sequential) -> nn.Sequential:
    """Return a network that computes in evaluation mode the same, with no batch norm in it.

    In evaluation mode batch norm only scales and shifts; so can the linear layer beside it.

    Parameters
    ----------
    network : nn.Sequential
        Of ordinary layers; each ``nn.BatchNorm1d`` stands after or before an ``nn.Linear``.

    Returns
    -------
    nn.Sequential
        A copy, in evaluation mode.

    Raises
    ------
    TypeError
        If the network is no ``nn.Sequential``, or uses a layer twice.
    ValueError
        If a batch norm stands beside no linear layer, or keeps no running averages.
    """
    rest, folded = [deepcopy(layer) for layer in chain(network)], list[nn.Module]()
    while rest:
        layer = rest.pop(0)
        if type(layer) is not nn.BatchNorm1d:
            folded.append(layer)
        elif folded and type(folded[-1]) is nn.Linear:
            _fold(folded[-1], layer, is_before=False)
        elif rest and type(rest[0]) is nn.Linear:
            _fold(rest[0], layer, is_before=True)
        else:
            raise ValueError(
                f"batch norm number {len(network) - len(rest) - 1} of the network stands beside "
                "no nn.Linear, which could scale and shift in its place."
            )
    left = [type(m).__name__ for layer in folded for m in layer.modules() if isinstance(m, NORMS)]
    if left:
        raise ValueError(f"fold() folds nn.BatchNorm1d beside an nn.Linear, not {left}.")
    return nn.Sequential(*folded).train(False)


@torch.no_grad()
def _fold(linear: nn.Linear, norm: nn.BatchNorm1d, *, is_before: bool) -> None:
    """Let a linear layer scale and shift what comes in, or what goes out, as batch norm does."""
    if norm.running_mean is None or norm.running_var is None:
        raise ValueError("this batch norm keeps no running averages; there is nothing to fold.")
    scale = (norm.running_var + norm.eps).rsqrt()
    scale = scale if norm.weight is None else scale * norm.weight
    shift = -norm.running_mean * scale
    shift = shift if norm.bias is None else shift + norm.bias
    if linear.bias is None:
        linear.bias = nn.Parameter(torch.zeros_like(linear.weight[:, 0]))
    if is_before:
        linear.bias.add_(linear.weight @ shift)
        linear.weight.mul_(scale)
    else:
        linear.bias.mul_(scale).add_(shift)
        linear.weight.mul_(scale.unsqueeze(1))
