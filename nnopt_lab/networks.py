"""K networks of one shape as one module: every parameter has a leading dimension of size K.

A layer then is one batched matrix product, and K networks train in little more than the time of a
few. Inside, activations are stored features first, (K, features, samples): the softmax over ten
classes and the product with a narrow last layer run several times faster than samples first.
"""

from collections.abc import Callable, Sequence
from copy import deepcopy
from itertools import pairwise

from nnopt_lab.grid import Grid

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional


class _Stacked(nn.Module):
    """A layer of K networks that knows the ordinary layer of one."""

    def unstack(self) -> nn.Module:
        """Return an ordinary layer of this shape."""
        raise NotImplementedError


class Linear(_Stacked):
    """K linear layers: ``weight`` (K, out, in), ``bias`` (K, out), as in ``nn.Linear`` but for K.

    Maps activations of shape (K, in, samples), or (1, in, samples) for all, to (K, out, samples).
    """

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``weight @ x + bias``, network by network."""
        batches = x.expand(len(self.weight), -1, -1)
        return torch.baddbmm(self.bias.unsqueeze(-1), self.weight, batches)

    def unstack(self) -> nn.Linear:
        """Return an ordinary ``nn.Linear`` of this shape."""
        out_features, in_features = self.weight.shape[1:]
        return nn.Linear(in_features, out_features)


class BatchNorm(_Stacked):
    """K batch-norm layers: as ``nn.BatchNorm1d``, statistics per network and feature.

    Parameters and running statistics have shape (K, features); activations (K, features, samples).
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, n_networks: int, features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(n_networks, features))
        self.bias = nn.Parameter(torch.zeros(n_networks, features))
        self.register_buffer("running_mean", torch.zeros(n_networks, features))
        self.register_buffer("running_var", torch.ones(n_networks, features))
        self.register_buffer("num_batches_tracked", torch.zeros(n_networks, dtype=torch.long))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise over the samples in training mode, by the running statistics otherwise."""
        if self.training:
            self.num_batches_tracked += 1
        channels = x.reshape(1, -1, x.shape[-1])  # torch normalises each channel: one per feature
        normalised = functional.batch_norm(
            channels,
            self.running_mean.flatten(),
            self.running_var.flatten(),
            self.weight.flatten(),
            self.bias.flatten(),
            training=self.training,
        )
        return normalised.view_as(x)

    def unstack(self) -> nn.BatchNorm1d:
        """Return an ordinary ``nn.BatchNorm1d`` of this shape."""
        return nn.BatchNorm1d(self.weight.shape[1])


class Population(nn.Sequential):
    """K networks as one module; parameters have the names that ``nn.Sequential`` gives each.

    ``forward`` maps inputs (K, samples, features), or (1, samples, features) for all networks
    alike, to outputs (K, samples, classes).
    """

    @property
    def n_networks(self) -> int:
        """K, the number of networks."""
        return len(next(self.parameters()))

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs of all networks, (K, samples, classes)."""
        outputs: Tensor = super().forward(x.mT)
        return outputs.mT

    def unstack(self, i: int) -> nn.Sequential:
        """Return a copy of network i as an ordinary ``nn.Sequential``, to save, prune or export.

        Parameters
        ----------
        i : int
            From 0 to K - 1; ``runs.index(...)`` finds it.

        Raises
        ------
        IndexError
            If there is no network i.
        """
        _check_index(i, self.n_networks)
        network = nn.Sequential(
            *(layer.unstack() if isinstance(layer, _Stacked) else nn.ReLU() for layer in self)
        )
        state = {name: stacked[i] for name, stacked in self.state_dict().items()}
        network.to(next(iter(state.values())))
        network.load_state_dict(state)
        return network.train(self.training)

    def take(self, rows: Tensor) -> "Population":
        """Return a new population: copies of these networks, in this order.

        Parameters
        ----------
        rows : Tensor
            Which networks, whole numbers, shape (K,) of the new population; one may come often.

        Raises
        ------
        IndexError
            If there is no such network.
        """
        for i in rows.unique().tolist():
            _check_index(i, self.n_networks)
        copy = deepcopy(self)
        for module in copy.modules():
            for name, parameter in module.named_parameters(recurse=False):
                setattr(module, name, nn.Parameter(parameter.detach()[rows]))
            for name, buffer in module.named_buffers(recurse=False):
                setattr(module, name, buffer[rows])
        return copy


class Single(nn.Module):
    """Any module as a population of one."""

    n_networks = 1

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        """Map (1, samples, ...) to (1, samples, classes)."""
        outputs: Tensor = self.module(x.squeeze(0))
        return outputs.unsqueeze(0)

    def unstack(self, i: int) -> nn.Module:
        """Return the module itself."""
        _check_index(i, 1)
        return self.module


Model = Population | Single


def single(module: nn.Module) -> Single:
    """Make any classifier a population of one, that ``train`` and ``evaluate`` accept.

    Parameters
    ----------
    module : nn.Module
        Maps (samples, ...) to (samples, classes). It is trained itself, not a copy.

    Raises
    ------
    TypeError
        If it is no ``nn.Module``.
    """
    if not isinstance(module, nn.Module):
        raise TypeError(f"single() takes an nn.Module, and was given {type(module).__name__}.")
    return Single(module)


def _check_index(i: int, n_networks: int) -> None:
    if not 0 <= i < n_networks:
        raise IndexError(f"network {i} was asked for; there are networks 0 to {n_networks - 1}.")


def _default(weight: Tensor, bias: Tensor, generator: Generator) -> None:
    """Initialise one layer as ``nn.Linear`` does: uniform within 1 / sqrt(in)."""
    bound = weight.shape[1] ** -0.5
    weight.uniform_(-bound, bound, generator=generator)
    bias.uniform_(-bound, bound, generator=generator)


def _he(weight: Tensor, bias: Tensor, generator: Generator) -> None:
    """Initialise one layer for ReLU: normal, variance 2 / in (He et al., arXiv:1502.01852)."""
    nn.init.kaiming_normal_(weight, nonlinearity="relu", generator=generator)
    bias.zero_()


INITIALISATIONS: dict[str, Callable[[Tensor, Tensor, Generator], None]] = {
    "default": _default,
    "he": _he,
}


def mlp(
    widths: Sequence[int],
    runs: Grid,
    *,
    batch_norm: bool = False,
    initialisation: str = "default",
) -> Population:
    """Return K multilayer perceptrons with ReLU, one for each run of a grid.

    Parameters
    ----------
    widths : sequence of int
        Number of features of the input, of each hidden layer, and of the output, as in
        ``[40, 64, 64, 10]``. Two numbers are a linear classifier.
    runs : Grid
        Names the K networks. Those of equal ``seed`` start with equal weights.
    batch_norm : bool
        Whether batch norm stands between each hidden linear layer and its ReLU.
    initialisation : {"default", "he"}
        ``"default"`` is that of ``nn.Linear``, number for number after ``torch.manual_seed``;
        ``"he"`` is normal with variance 2 / in and zero biases.

    Returns
    -------
    Population
        In training mode, float32, on the CPU.

    Raises
    ------
    ValueError
        If a width is not a positive whole number, or the initialisation is unknown.
    """
    if len(widths) < 2 or any(type(width) is not int or width < 1 for width in widths):
        raise ValueError(f"widths is {widths!r}; give two or more positive whole numbers.")
    if initialisation not in INITIALISATIONS:
        raise ValueError(f"initialisation is {initialisation!r}; use one of {[*INITIALISATIONS]}.")
    generators = [Generator().manual_seed(int(seed)) for seed in runs["seed"]]
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [_linear(inputs, outputs, generators, INITIALISATIONS[initialisation])]
        if batch_norm:
            layers += [BatchNorm(len(runs), outputs)]
        layers += [nn.ReLU(inplace=True)]
    return Population(*layers[: -2 if batch_norm else -1])  # the last layer gives the outputs


def _linear(
    inputs: int,
    outputs: int,
    generators: Sequence[Generator],
    initialise: Callable[[Tensor, Tensor, Generator], None],
) -> Linear:
    """Return one stacked layer, each network's part drawn from its own generator."""
    weight = torch.empty(len(generators), outputs, inputs)
    bias = torch.empty(len(generators), outputs)
    for i, generator in enumerate(generators):
        initialise(weight[i], bias[i], generator)
    return Linear(weight, bias)
