"""K networks of one shape as one module: every parameter has a leading dimension of size K.

A layer then is one batched matrix product, and K networks train in little more than the time of a
few. Inside, activations are stored features first, (K, features, samples): the softmax over ten
classes and the product with a narrow last layer run several times faster than samples first.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from functools import partial
from itertools import pairwise

from nnopt_lab.arguments import whole
from nnopt_lab.grid import Grid

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

Masks = Mapping[str, Tensor]  # by parameter name: what is kept, and where 0 or false what is pruned


# Layers that act on each number by itself, wherever it stands.
ELEMENTWISE = (nn.ReLU, nn.LeakyReLU, nn.GELU, nn.Tanh, nn.Sigmoid, nn.Dropout)


class Stacked(nn.Module):
    """A layer of K networks that knows the ordinary layer of one: all it holds has K rows."""

    def unstack(self) -> nn.Module:
        """Return an ordinary layer of this shape."""
        raise NotImplementedError


class Linear(Stacked):
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


class BatchNorm(Stacked):
    """K batch-norm layers: as ``nn.BatchNorm1d``, statistics per network and feature.

    Maps activations of shape (K, features, samples), or (1, features, samples) for all, to
    (K, features, samples). Parameters and running statistics have shape (K, features).

    Parameters
    ----------
    features : int
    runs : Grid
        Names the K networks.
    momentum : float or None
        Weight of the newest batch in the running statistics; None for the mean of all batches.
    n_workers : int
        How many workers share a batch in equal parts, one after the other. Each normalises its part
        alone, and the running statistics are those of the first, as under
        ``DistributedDataParallel``.
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(
        self, features: int, runs: Grid, momentum: float | None = 0.1, n_workers: int = 1
    ) -> None:
        super().__init__()
        shape = len(runs), features
        self.momentum, self.n_workers = momentum, n_workers
        self.weight = nn.Parameter(torch.ones(shape, dtype=torch.float32))
        self.bias = nn.Parameter(torch.zeros(shape, dtype=torch.float32))
        self.register_buffer("running_mean", torch.zeros(shape, dtype=torch.float32))
        self.register_buffer("running_var", torch.ones(shape, dtype=torch.float32))
        self.register_buffer("num_batches_tracked", torch.zeros(len(runs), dtype=torch.long))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise over the samples in training mode, by the running statistics otherwise."""
        newest, n_parts = self.momentum, self.n_workers if self.training else 1
        if self.training:
            self.num_batches_tracked += 1
            newest = 1 / int(self.num_batches_tracked[0]) if newest is None else newest
        batches = x.expand(len(self.weight), -1, -1).unflatten(-1, (n_parts, -1)).transpose(1, 2)
        mean, variance, weight, bias = (
            each.unsqueeze(1).repeat(1, n_parts, 1)
            for each in (self.running_mean, self.running_var, self.weight, self.bias)
        )
        normalised = functional.batch_norm(
            batches.reshape(1, -1, batches.shape[-1]),  # torch normalises each channel: here one
            mean.flatten(),  # for each network, part and feature
            variance.flatten(),
            weight.flatten(),
            bias.flatten(),
            training=self.training,
            momentum=newest or 0.0,
        )
        if self.training:
            self.running_mean.copy_(mean[:, 0])
            self.running_var.copy_(variance[:, 0])
        return normalised.view(batches.shape).transpose(1, 2).flatten(-2)

    def unstack(self) -> nn.BatchNorm1d:
        """Return an ordinary ``nn.BatchNorm1d`` of this shape."""
        return nn.BatchNorm1d(self.weight.shape[1], momentum=self.momentum)


class GroupNorm(Stacked):
    """K layers that normalise each sample by itself, over groups of its features.

    Maps activations of shape (K, features, samples), or (1, features, samples) for all, to
    (K, features, samples). The same in training and in evaluation mode.

    Parameters
    ----------
    features : int
    runs : Grid
        Names the K networks.
    n_groups : int
        1 is layer norm.

    References
    ----------
    Wu, He 2018, arXiv:1803.08494.
    """

    def __init__(self, features: int, runs: Grid, n_groups: int = 1) -> None:
        super().__init__()
        self.n_groups = whole("n_groups", n_groups)
        if features % self.n_groups:
            raise ValueError(f"{features} features do not divide into {n_groups!r} groups.")
        shape = len(runs), features
        self.weight = nn.Parameter(torch.ones(shape, dtype=torch.float32))
        self.bias = nn.Parameter(torch.zeros(shape, dtype=torch.float32))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise each sample."""
        samples = x.expand(len(self.weight), -1, -1).transpose(1, 2)
        normalised = functional.group_norm(samples.flatten(0, 1), self.n_groups)
        back = normalised.view_as(samples).transpose(1, 2)
        return back * self.weight.unsqueeze(-1) + self.bias.unsqueeze(-1)

    def unstack(self) -> nn.GroupNorm:
        """Return an ordinary ``nn.GroupNorm`` of this shape."""
        return nn.GroupNorm(self.n_groups, self.weight.shape[1])


def _ordinary(layer: nn.Module) -> nn.Module:
    """Return a layer for one network; our ReLU works in place, an ordinary one need not."""
    if isinstance(layer, Stacked):
        return layer.unstack()
    return nn.ReLU() if isinstance(layer, nn.ReLU) else deepcopy(layer)


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
        TypeError
            If a layer does not know its ordinary layer nor is known to act on each number by
            itself, or the population or a layer does more than its type says, as by a hook.
        """
        _check_index(i, self.n_networks)
        if type(self).forward is not Population.forward:
            raise TypeError(
                f"{type(self).__name__} has a forward of its own, which an nn.Sequential would not "
                "have; unstack a Population."
            )
        self._check_layers(ELEMENTWISE)
        for name, module in self.named_modules():
            _check_plain(name, module)
        network = nn.Sequential(*map(_ordinary, self))
        state = {name: stacked[i] for name, stacked in self.state_dict().items()}
        network.to(next(iter(state.values())))
        network.load_state_dict(state)
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(self.get_parameter(name).requires_grad)
        for own, layer in zip(network, self, strict=True):
            own.train(layer.training)
        network.training = self.training
        return network

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
        TypeError
            If a layer holds what is not stacked, or two layers share a parameter.
        """
        for i in rows.unique().tolist():
            _check_index(i, self.n_networks)
        self._check_layers()
        copy = deepcopy(self)
        for module in copy.modules():
            for name, parameter in module.named_parameters(recurse=False):
                taken = nn.Parameter(parameter.detach()[rows], parameter.requires_grad)
                setattr(module, name, taken)
            for name, buffer in module.named_buffers(recurse=False):
                setattr(module, name, buffer[rows])
        return copy

    def _check_layers(self, unstacked: tuple[type[nn.Module], ...] = ()) -> None:
        """Refuse what does not have a row for each network, before anything is copied.

        ``unstacked`` are the types allowed without rows; none given, all that hold nothing are.
        """
        held: list[Tensor] = []
        for module in self.modules():
            own = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
            held += own
            is_known = not unstacked or module is self or type(module) in unstacked
            if isinstance(module, Stacked):  # a subclass may compute anything else
                is_known = not unstacked or "unstack" in vars(type(module))
            if not is_known or (own and not isinstance(module, Stacked)):
                raise TypeError(
                    f"the population holds {type(module).__name__}, and it is not known what of it "
                    "is one network's; build it of Stacked layers and of "
                    f"{', '.join(kind.__name__ for kind in ELEMENTWISE)}."
                )
        if not unstacked and len({*map(id, held)}) < len(held):
            raise TypeError("two layers share a parameter, which copies would not.")


class Single(nn.Module):
    """Any module as a population of one."""

    n_networks = 1

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        """Map (1, samples, ...) to (1, samples, classes).

        Raises
        ------
        TypeError
            If the module returns anything else.
        """
        outputs: Tensor = self.module(x.squeeze(0))
        if not isinstance(outputs, Tensor) or outputs.ndim != 2 or len(outputs) != x.shape[1]:
            shape = getattr(outputs, "shape", None)
            raise TypeError(
                f"the module returned {type(outputs).__name__}"
                f"{'' if shape is None else f' of shape {tuple(shape)}'} for {x.shape[1]} samples; "
                "single() takes one that returns a tensor of shape (samples, classes)."
            )
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


def check_model(model: object) -> None:
    """Refuse what is neither a population nor a single.

    Raises
    ------
    TypeError
        If it is something else.
    """
    if not isinstance(model, Population | Single):
        raise TypeError(
            f"the model is {type(model).__name__}; give a Population, or wrap a module: "
            "single(module)."
        )


@contextmanager
def modes_kept(model: nn.Module) -> Iterator[None]:
    """Leave each module of a model in the mode it was in, training or evaluation."""
    modes = {module: module.training for module in model.modules()}
    try:
        yield
    finally:
        for module, was_training in modes.items():
            module.training = was_training


def is_computed(layer: nn.Module) -> bool:
    """Whether weight or bias of a layer are made of other parameters, as torch's pruning does."""
    return bool({"weight", "bias"} & vars(layer).keys())


def chain(network: nn.Module) -> list[nn.Module]:
    """Return the layers of a network that computes one after the other, each as its type says.

    Parameters
    ----------
    network : nn.Module

    Raises
    ------
    TypeError
        If it is no ``nn.Sequential`` itself, a layer with parameters stands in it twice, or one
        does something else besides: by a hook, or by weights that are made of others.
    """
    if type(network) is not nn.Sequential:
        raise TypeError(
            f"this takes an nn.Sequential itself, where layers follow one another, and was given "
            f"{type(network).__name__}; of a population, unstack one network."
        )
    layers = [*network]
    owners = [id(parameter) for layer in layers for parameter in layer.parameters()]
    if len({*owners}) < len(owners):
        raise TypeError("the network uses a layer or a parameter twice; give each place its own.")
    for name, module in network.named_modules():
        _check_plain(name, module)
    return layers


def _check_plain(name: str, module: nn.Module) -> None:
    hooks = (module._forward_hooks, module._forward_pre_hooks)
    if is_computed(module) or any(hooks) or "forward" in vars(module):
        raise TypeError(
            f"layer {name!r}, {type(module).__name__}, does more than its type says: by a hook, or "
            "by a weight made of others. Make it plain first, as by "
            "torch.nn.utils.prune.remove(layer, 'weight')."
        )


def kept(model: nn.Module, masks: Masks) -> dict[str, Tensor]:
    """Return which weights some masks keep, in the shapes of the parameters that they are for.

    Parameters
    ----------
    model : nn.Module
        A population, or an ordinary module.
    masks : mapping of str to Tensor
        By parameter name, (K, out, in), or (1, out, in) for an ordinary module; 0 or false where a
        weight is pruned.

    Returns
    -------
    dict
        Boolean masks on the parameters' device.

    Raises
    ------
    ValueError
        If the model has no parameter of a mask's name, or a mask not the shape of its parameter.
    """
    parameters = dict(model.named_parameters())
    for name, mask in masks.items():
        if name not in parameters:
            raise ValueError(f"there is no parameter {name!r}, only {[*parameters]}.")
        shape = parameters[name].shape
        if mask.shape not in (shape, (1, *shape)):
            raise ValueError(
                f"the mask of {name!r} has shape {tuple(mask.shape)}; its parameter has "
                f"{tuple(shape)}."
            )
    return {
        name: mask.to(parameters[name].device).view_as(parameters[name]) != 0
        for name, mask in masks.items()
    }


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


Initialise = Callable[[Tensor, Tensor, Generator], None]
INITIALISATIONS: dict[str, Initialise] = {"default": _default, "he": _he}


# What a hidden layer consists of, by where its normalisation stands.
PLACES = {
    "before layer": ("norm", "linear", "relu"),
    "before relu": ("linear", "norm", "relu"),
    "after relu": ("linear", "relu", "norm"),
}


def mlp(
    widths: Sequence[int],
    runs: Grid,
    *,
    norm: Callable[[int, Grid], nn.Module] | None = None,
    norm_at: str = "before relu",
    initialisation: str | Sequence[str] = "default",
) -> Population:
    """Return K multilayer perceptrons with ReLU, one for each run of a grid.

    Parameters
    ----------
    widths : sequence of int
        Number of features of the input, of each hidden layer, and of the output, as in
        ``[40, 64, 64, 10]``. Two numbers are a linear classifier.
    runs : Grid
        Names the K networks. Those of equal ``seed`` start with equal weights.
    norm : callable, optional
        (features, runs) -> a layer that normalises (K, features, samples): ``BatchNorm``,
        ``GroupNorm``, or another ``Stacked`` layer.
    norm_at : {"before layer", "before relu", "after relu"}
        Where it stands: before each linear layer, the first and the last too, or in each hidden
        layer before or after its ReLU.
    initialisation : str, or sequence of str
        For all, or one for each network. ``"default"`` is that of ``nn.Linear``, number for number
        after ``torch.manual_seed``; ``"he"`` is normal with variance 2 / in and zero biases.

    Returns
    -------
    Population
        In training mode, float32, on the CPU.

    Raises
    ------
    ValueError
        If a width is not a positive whole number, or an initialisation or a place is unknown.
    """
    if len(widths) < 2:
        raise ValueError(f"widths is {widths!r}; give two or more whole numbers from 1.")
    widths = [whole("a width", width) for width in widths]
    if norm_at not in PLACES:
        raise ValueError(f"norm_at is {norm_at!r}; use one of {[*PLACES]}.")
    names = [initialisation] * len(runs) if isinstance(initialisation, str) else [*initialisation]
    if len(names) != len(runs) or not {*names} <= INITIALISATIONS.keys():
        raise ValueError(
            f"initialisation is {initialisation!r}; use one of {[*INITIALISATIONS]}, for all or "
            f"for each of {len(runs)} networks."
        )
    draws = [
        (INITIALISATIONS[name], Generator().manual_seed(int(seed)))
        for name, seed in zip(names, runs["seed"], strict=True)
    ]
    parts = [part for part in PLACES[norm_at] if norm or part != "norm"]
    layers: list[nn.Module] = []
    for i, (inputs, outputs) in enumerate(pairwise(widths), start=1):
        make: dict[str, Callable[[], nn.Module]] = {
            "linear": partial(_linear, inputs, outputs, draws),
            "relu": partial(nn.ReLU, inplace=True),
        }
        if norm:
            make["norm"] = partial(norm, inputs if norm_at == "before layer" else outputs, runs)
        is_last = i == len(widths) - 1  # whose linear layer gives the outputs
        layers += [make[part]() for part in parts[: parts.index("linear") + 1 if is_last else None]]
    return Population(*layers)


def _linear(inputs: int, outputs: int, draws: Sequence[tuple[Initialise, Generator]]) -> Linear:
    """Return one stacked layer, each network's part drawn from its own generator."""
    weight = torch.empty(len(draws), outputs, inputs, dtype=torch.float32)
    bias = torch.empty(len(draws), outputs, dtype=torch.float32)
    for i, (initialise, generator) in enumerate(draws):
        initialise(weight[i], bias[i], generator)
    return Linear(weight, bias)
