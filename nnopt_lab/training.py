"""The training loop: K networks at a time, techniques handed in as values."""

from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy

from nnopt_lab.arguments import check_samples, from_zero, holds_whole, whole
from nnopt_lab.data import Data
from nnopt_lab.grid import Grid
from nnopt_lab.networks import Masks, Model, check_model, kept, modes_kept
from nnopt_lab.shuffling import reshuffled

import numpy as np
import torch
import xarray as xr
from torch import Tensor
from torch.nn import functional


def backpropagate(model: Model, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Fill ``.grad`` with the gradient of each network's mean cross-entropy on its batch.

    Parameters
    ----------
    model : Model
        K networks.
    x, y : Tensor
        A batch for each network, (K, samples, features) and (K, samples).

    Returns
    -------
    loss, accuracy : Tensor
        Of each network on this batch, shape (K,).
    """
    outputs = model(x).mT
    losses = functional.cross_entropy(outputs, y, reduction="none")
    losses.backward(torch.full_like(losses, 1 / losses.shape[1]))
    right = outputs.detach().max(1).indices == y
    return losses.detach().mean(1), right.to(outputs.dtype).mean(1)


@torch.no_grad()
def evaluate(model: Model, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean loss and the accuracy of each network on the same samples, shape (K,) each.

    Parameters
    ----------
    model : Model
        K networks; used in evaluation mode, and left in the modes it was in.
    x, y : Tensor
        Inputs (samples, features) and classes (samples,).

    Raises
    ------
    TypeError
        If the model is no ``Model``, or what is given are no tensors.
    ValueError
        If there are no samples, not as many classes as inputs, or a class is no whole number from
        0.
    """
    check_model(model)
    check_samples(x, y)
    sums: float | Tensor = 0.0  # in float64, whatever the model computes in
    with modes_kept(model):
        model.train(False)
        for inputs, classes in zip(x.split(200), y.split(200), strict=True):
            outputs = model(inputs.unsqueeze(0)).mT
            outputs = outputs.to(torch.promote_types(outputs.dtype, torch.float32))
            targets = classes.long().expand(len(outputs), -1)
            losses = functional.cross_entropy(outputs, targets, reduction="none")
            right = outputs.max(1).indices == targets
            sums = sums + torch.stack([losses.sum(1), right.sum(1)]).to("cpu", torch.float64)
    loss, accuracy = (sums / len(x)).to(outputs.device, outputs.dtype)  # type: ignore[union-attr]
    return loss, accuracy


def n_steps(data: Data, epochs: int, batch_size: int = 64) -> int:
    """Return how many updates ``train`` makes: the last, short batch of an epoch counts."""
    n = len(data.x_train)
    return whole("epochs", epochs) * -(-n // whole("batch_size", batch_size, most=n))


def train(
    model: Model,
    data: Data,
    runs: Grid,
    *,
    epochs: int,
    lr: float | Tensor | Callable[[int], float | Tensor],
    batch_size: int = 64,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    order: Callable[[int], Tensor] | None = None,
    masks: Masks | Callable[[int, Model], Masks] | None = None,
    gradient: Callable[[Model, Tensor, Tensor], tuple[Tensor, Tensor]] = backpropagate,
    watch: Sequence[Callable[[int, Model, Tensor | None], object]] = (),
    stop: Callable[[], bool] | None = None,
    first_epoch: int = 0,
) -> xr.Dataset:
    """Train K networks side by side by SGD with momentum, each as if it were alone.

    A second call retrains: weights and batch-norm statistics go on, momentum and step start anew.
    What does not fit is found before the first step.

    Parameters
    ----------
    model : Model
        K networks; changed in place and left in evaluation mode. While it trains, all its modules
        are in training mode, batch norm that was set to evaluation too; a parameter without
        ``requires_grad`` stays.
    data : Data
        On the model's device.
    runs : Grid
        Names the K networks.
    epochs : int
        How many more times each network sees its data.
    lr : float, Tensor of shape (K,), or callable
        Learning rate; or a schedule: step, from 0 in this call -> learning rate.
    batch_size : int
        Samples a step. The last, short batch of an epoch is kept.
    momentum, weight_decay : float
        As in ``torch.optim.SGD``.
    order : callable, optional
        epoch -> indices of training samples, shape (m,) for all or (K, m), in the order of use.
        By default each network reshuffles every epoch, by its seed.
    masks : mapping, or callable, optional
        Parameter name -> mask, 1 to keep and 0 to prune, of the parameter's shape; or
        (epoch, model) -> such a mapping. Applied before the epoch and again after each update.
    gradient : callable
        (model, x, y) -> loss and accuracy, (K,) each; fills ``.grad``.
    watch : sequence of callables
        Each is called with (updates, model, loss): before the first update with 0 and None, then
        after each with how many were made and the loss on its batch, shape (K,).
    stop : callable, optional
        Asked before each step; once it is true, training ends and the epoch begun is not recorded.
    first_epoch : int
        Number of the first epoch, so that retraining does not repeat its orders.

    Returns
    -------
    xarray.Dataset
        By the axes of the grid and ``epoch`` (``first_epoch + 1`` is after one epoch):
        ``training_loss`` and ``training_accuracy``, running means while the weights move,
        ``validation_loss`` and ``validation_accuracy`` after the epoch, and ``learning_rate`` of
        its last step; by the axes alone: ``final_training_loss``, ``final_training_accuracy``,
        ``test_loss`` and ``test_accuracy`` of the weights at the end, and ``diverged``. A network
        that diverged has loss NaN and accuracy 1 / classes from then on.

    Raises
    ------
    TypeError
        If the model is no ``Model``, or a module returns no outputs of shape (samples, classes).
    ValueError
        If model and grid differ in K, a number is out of range, a set of the data does not fit the
        others or the model, or a rate, a mask or an order does not fit.
    """
    check_model(model)
    _check_data(model, data, runs)
    epochs, first_epoch = whole("epochs", epochs), whole("first_epoch", first_epoch, 0)
    batch_size = whole("batch_size", batch_size, most=len(data.x_train))
    schedule = lr if callable(lr) else lambda _step: lr
    masking = masks if callable(masks) else lambda _epoch, _model: masks or {}
    order = order or reshuffled(len(data.x_train), runs["seed"].tolist())
    sgd = _SGD(model, _one("momentum", momentum), _one("weight_decay", weight_decay))
    history = _History(model, data, runs, first_epoch)
    step = 0
    for watcher in watch:
        watcher(step, model, None)
    for epoch in range(first_epoch, first_epoch + epochs):
        sgd.mask(masking(epoch, model))
        rows = _rows(order(epoch), data, model.n_networks)
        if (rows.shape[1] - 1) % batch_size == 0:
            _check_batch_of_one(model, data, rows.shape[1], batch_size)
        model.train(True)
        for x, y in _batches(data, rows, model.n_networks, batch_size):
            if stop is not None and stop():
                return history.dataset(step)
            rate = sgd.broadcast(schedule(step))
            loss, accuracy = gradient(model, x, y)
            sgd.update(rate)
            history.add(loss, accuracy, y.shape[-1])
            step += 1
            for watcher in watch:
                watcher(step, model, loss)
        history.end_epoch(rate, step)
    return history.dataset(step)


def _one(name: str, value: float) -> float:
    """Return one number from 0."""
    number = from_zero(name, value)
    if isinstance(number, Tensor) and number.numel() > 1:
        raise ValueError(f"{name} is {value!r}; give one number for all networks.")
    return float(number)


def _check_data(model: Model, data: Data, runs: Grid) -> None:
    """Try the model on a sample of each set, so that no training ends in an error."""
    if model.n_networks != len(runs):
        raise ValueError(
            f"the model holds {model.n_networks} networks, the grid names {len(runs)}."
        )
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ValueError(
            "the model has no parameter to train: set requires_grad of some, or evaluate it."
        )
    for name in ("train", "validation", "test"):
        x, y = getattr(data, f"x_{name}"), getattr(data, f"y_{name}")
        where = f" in {name}"
        check_samples(x, y, where)
        if x.shape[1:] != data.x_train.shape[1:] or x.dtype != data.x_train.dtype:
            raise ValueError(
                f"a sample{where} has shape {tuple(x.shape[1:])} and type {x.dtype}, one in train "
                f"{tuple(data.x_train.shape[1:])} and {data.x_train.dtype}; give the same."
            )
    with modes_kept(model), torch.no_grad():
        model.train(False)
        n_classes = model(data.x_train[:1].unsqueeze(0)).shape[-1]
    if data.n_classes > n_classes:
        raise ValueError(
            f"a class is {data.n_classes - 1}; the model has {n_classes} outputs, for classes 0 to "
            f"{n_classes - 1}."
        )


def _check_batch_of_one(model: Model, data: Data, n: int, batch_size: int) -> None:
    """Refuse a last batch of one sample, if the model cannot normalise it."""
    try:
        with torch.no_grad():
            deepcopy(model).train(True)(data.x_train[:1].unsqueeze(0))
    except ValueError as error:
        raise ValueError(
            f"{n} samples in batches of {batch_size} leave one alone, which the model does not "
            f"take ({error}); give another batch_size."
        ) from error


def _rows(order: Tensor, data: Data, n_networks: int) -> Tensor:
    """Return which samples each network sees in turn, (1, m) for all or (K, m)."""
    rows = torch.as_tensor(order)
    rows = rows.unsqueeze(0) if rows.ndim == 1 else rows
    if rows.ndim != 2 or len(rows) not in (1, n_networks) or not rows.numel():
        raise ValueError(
            f"the order has shape {tuple(torch.as_tensor(order).shape)}; give (m,) or "
            f"({n_networks}, m), m from 1."
        )
    n = len(data.x_train)
    places = rows.long() if holds_whole(rows) else None
    if places is None or places.min() < 0 or places.max() >= n:
        found = rows if places is None else places
        raise ValueError(
            f"the order holds {rows.dtype} from {found.min()} to {found.max()}; give whole numbers "
            f"from 0 to {n - 1}, places of training samples."
        )
    return places.to(data.x_train.device)


def _batches(
    data: Data, rows: Tensor, n_networks: int, batch_size: int
) -> Iterable[tuple[Tensor, Tensor]]:
    """Yield (K or 1, samples, features) and (K, samples): what each network sees next."""
    classes = data.y_train.long()
    for indices in rows.split(batch_size, dim=1):
        flat = indices.reshape(-1)
        x = data.x_train.index_select(0, flat).unflatten(0, indices.shape)
        y = classes.index_select(0, flat).unflatten(0, indices.shape)
        yield x, y.expand(n_networks, -1)


class _SGD:
    """SGD with momentum whose learning rate differs from network to network."""

    def __init__(self, model: Model, momentum: float, weight_decay: float) -> None:
        self.model = model
        self.parameters = dict(model.named_parameters())
        self.example = next(iter(self.parameters.values()))
        self.n_networks = model.n_networks
        self.velocities = {name: torch.zeros_like(p) for name, p in self.parameters.items()}
        self.masks: dict[str, Tensor] = {}
        self.momentum = momentum
        self.weight_decay = weight_decay
        for parameter in self.parameters.values():
            parameter.grad = None

    @torch.no_grad()
    def mask(self, masks: Masks) -> None:
        """Prune by these masks now and after each update to come."""
        self.masks = {n: m.to(self.parameters[n]) for n, m in kept(self.model, masks).items()}
        for name, mask in self.masks.items():
            self.parameters[name].mul_(mask)

    def broadcast(self, rate: float | Tensor) -> Tensor:
        """Return the learning rate as (K,), on the model's device."""
        is_bool = isinstance(rate, bool)
        if isinstance(rate, int | float) and not is_bool and rate >= 0:
            # Most are, and the checks of a tensor take as long as a layer.
            return self.example.new_full((self.n_networks,), float(rate))
        try:
            rates = torch.as_tensor(rate, dtype=self.example.dtype, device=self.example.device)
        except (TypeError, ValueError, RuntimeError):
            rates = torch.tensor(torch.nan)
        if is_bool or not bool((rates >= 0).all()):
            raise ValueError(f"the learning rate is {rate!r}; give a number from 0.")
        if rates.ndim > 1 or rates.numel() not in (1, self.n_networks):
            raise ValueError(
                f"the learning rate has shape {tuple(rates.shape)}; give one number, or "
                f"{self.n_networks}, one for each network."
            )
        return rates.expand(self.n_networks)

    @torch.no_grad()
    def update(self, rate: Tensor) -> None:
        """Take one step down the gradient in ``.grad``, and clear it."""
        for name, parameter in self.parameters.items():
            gradient = parameter.grad
            if gradient is None:  # as torch.optim: what the loss does not reach stays
                continue
            gradient = gradient.to_dense() if gradient.is_sparse else gradient
            if self.weight_decay:
                gradient = gradient.add(parameter, alpha=self.weight_decay)
            velocity = self.velocities[name]
            torch.add(gradient, velocity, alpha=self.momentum, out=velocity)
            each = rate.view(-1, *(1,) * (parameter.ndim - 1)) if parameter.ndim else rate.squeeze()
            parameter.addcmul_(velocity, each, value=-1)
            if name in self.masks:
                parameter.mul_(self.masks[name])
            parameter.grad = None


class _History:
    """Collects what ``train`` returns."""

    def __init__(self, model: Model, data: Data, runs: Grid, first_epoch: int) -> None:
        self.model, self.data, self.runs, self.first_epoch = model, data, runs, first_epoch
        self.epochs: list[dict[str, Tensor]] = []
        self.steps: list[int] = []
        self._start_epoch()

    def _start_epoch(self) -> None:
        self.n_samples = 0
        self.loss: float | Tensor = 0.0
        self.accuracy: float | Tensor = 0.0

    def add(self, loss: Tensor, accuracy: Tensor, n_samples: int) -> None:
        """Take up one batch's mean loss and accuracy."""
        self.n_samples += n_samples
        self.loss = loss * n_samples + self.loss
        self.accuracy = accuracy * n_samples + self.accuracy

    def end_epoch(self, rate: Tensor, step: int) -> None:
        """Average over the epoch, and validate."""
        loss, accuracy = evaluate(self.model, self.data.x_validation, self.data.y_validation)
        self.epochs.append(
            {
                "training_loss": torch.as_tensor(self.loss / self.n_samples),
                "training_accuracy": torch.as_tensor(self.accuracy / self.n_samples),
                "validation_loss": loss,
                "validation_accuracy": accuracy,
                "learning_rate": rate,
            }
        )
        self.steps.append(step)
        self._start_epoch()

    def dataset(self, steps: int) -> xr.Dataset:
        """Evaluate a last time, and label everything."""
        self.model.train(False)
        last = {}
        for prefix, x, y in (
            ("final_training", self.data.x_train, self.data.y_train),
            ("test", self.data.x_test, self.data.y_test),
        ):
            last[f"{prefix}_loss"], last[f"{prefix}_accuracy"] = evaluate(self.model, x, y)
        diverged = ~torch.isfinite(last["final_training_loss"] + last["test_loss"])
        variables = {}
        names = self.epochs[0] if self.epochs else ()
        by_epoch = {name: torch.stack([e[name] for e in self.epochs], -1) for name in names}
        if self.epochs:
            sound = torch.isfinite(by_epoch["training_loss"] + by_epoch["validation_loss"])
            lost = (~sound).cumsum(-1) > 0  # once lost, lost for good
            diverged = diverged | lost[:, -1]
            for name, values in by_epoch.items():
                variables[name] = self._label(name, values, lost)
        for name, values in last.items():
            variables[name] = self._label(name, values, diverged)
        variables["diverged"] = self._label("diverged", diverged, diverged)
        found = xr.Dataset(variables, attrs={"steps": steps})
        return found.assign_coords(step=("epoch", np.asarray(self.steps, dtype=int)))

    def _label(self, name: str, values: Tensor, lost: Tensor) -> xr.DataArray:
        """Return a variable with its coordinates, what is lost as NaN or as guessing."""
        if name.endswith("loss"):
            values = values.masked_fill(lost, torch.nan)
        elif name.endswith("accuracy"):
            values = values.masked_fill(lost, 1 / self.data.n_classes)
        if values.ndim == 1:
            return self.runs.label(values)
        first = self.first_epoch + 1
        return self.runs.label(values, epoch=range(first, first + len(self.epochs)))
