"""The gradient of a batch, formed by several workers: what makes it the same as one worker's."""

import math
from collections.abc import Callable, Sequence

from nnopt_lab.networks import Model

import torch
from torch import Tensor, nn

Gradient = Callable[[nn.Module, Tensor, Tensor], tuple[Tensor, Tensor]]
WEIGHTS: dict[str, Callable[[Tensor], Tensor]] = {
    "mean": lambda sizes: torch.full_like(sizes, 1 / len(sizes)),
    "sum": lambda sizes: torch.ones_like(sizes),
    "by samples": lambda sizes: sizes / sizes.sum(),
}


def among(shares: Sequence[float], gradient: Gradient, *, combine: str = "mean") -> Gradient:
    """Return a gradient that workers form together: each on its part of the batch, then combined.

    Every worker has the same weights and takes the mean over its own samples, as under
    ``DistributedDataParallel``. What depends on the batch, such as batch norm in training mode,
    sees the worker's samples only; and of the buffers, such as its running averages, those of the
    first worker stay.

    Parameters
    ----------
    shares : sequence of float
        How much of the batch each worker gets, above 0 each; ``[1] * 4`` for four equal parts, if
        4 divides the batch.
    gradient : callable
        (model, x, y) -> loss and accuracy, (K,) each; fills ``.grad``: what one worker does with
        x, (K or 1, samples, ...), and y, (K, samples). Such as ``training.backpropagate``.
    combine : {"mean", "sum", "by samples"}
        How the workers' gradients are combined: their mean, as DDP does; their sum; or their mean
        weighted by how many samples each has seen.

    Returns
    -------
    callable
        Such a gradient; its loss and accuracy are means over all samples.

    Raises
    ------
    ValueError
        If there is no worker, a share is not above 0, ``combine`` is unknown, or, later, a batch is
        so small that a worker gets no sample.
    """
    if not len(shares) or not all(0 < share < math.inf for share in shares):
        raise ValueError(f"shares is {[*shares]}; give a number above 0 for each worker.")
    if combine not in WEIGHTS:
        raise ValueError(f"combine is {combine!r}; give one of {', '.join(WEIGHTS)}.")
    ends = torch.tensor(shares, dtype=torch.float64).cumsum(0)

    def combined(model: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        cuts = (ends / ends[-1] * y.shape[1]).round().long()
        sizes = cuts.diff(prepend=cuts.new_zeros(1))
        if not sizes.all():
            raise ValueError(
                f"a batch of {y.shape[1]} among {len(shares)} workers leaves one without a sample; "
                "give larger batches or fewer workers."
            )
        inner = cuts[:-1].tolist()
        parts = zip(x.tensor_split(inner, dim=1), y.tensor_split(inner, dim=1), strict=True)
        weights = WEIGHTS[combine](sizes.to(x.dtype))
        before = after = _buffers(model)
        total: dict[str, Tensor] = {}
        means: list[Tensor] = []
        for weight, part in zip(weights, parts, strict=True):
            model.zero_grad()
            model.load_state_dict(before, strict=False)
            means.append(torch.stack(gradient(model, *part)))
            after = _buffers(model) if len(means) == 1 else after
            for name, parameter in model.named_parameters():
                if parameter.grad is not None:
                    total[name] = total.get(name, 0) + weight * parameter.grad
        model.load_state_dict(after, strict=False)
        for name, parameter in model.named_parameters():
            parameter.grad = total.get(name)
        loss, accuracy = (torch.stack(means) * (sizes / sizes.sum()).view(-1, 1, 1)).sum(0)
        return loss, accuracy

    return combined


def _buffers(model: nn.Module) -> dict[str, Tensor]:
    return {name: buffer.clone() for name, buffer in model.named_buffers()}


def distance(model: Model, one: Gradient, other: Gradient, x: Tensor, y: Tensor) -> Tensor:
    """Return how far another gradient lies from the first, as a share of the length of the first.

    Parameters
    ----------
    model : Model
        K networks; their weights and buffers are left as they are, ``.grad`` is cleared.
    one, other : callable
        As for ``among``.
    x, y : Tensor
        A batch.

    Returns
    -------
    Tensor
        Of each network, shape (K,).
    """
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = []
    for gradient in (one, other):
        model.zero_grad()
        gradient(model, x, y)
        gradients = (p.grad for p in model.parameters() if p.grad is not None)
        parts = [each.reshape(model.n_networks, -1) for each in gradients]
        found.append(torch.cat(parts, 1).double())
        model.load_state_dict(before)
    model.zero_grad()
    lengths: Tensor = (found[1] - found[0]).norm(dim=1) / found[0].norm(dim=1)
    return lengths
