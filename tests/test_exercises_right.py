"""Right answers as people write them, besides the solution two or more of each exercise.

With torch, numpy or plain Python; as tensors, arrays, lists or numbers; by other ways that do what
is asked.
"""

import copy
import math
from fractions import Fraction

from nnopt_lab.distributed import ring
from nnopt_lab.exercises import (
    combined,
    distributed,
    normalization,
    primer,
    schedules,
    shuffling,
)
from nnopt_lab.exercises import pruning as lesson_01

import numpy as np
import pytest
import torch
from test_exercises import ALL, EXPERIMENTS
from torch import nn
from torch.nn import functional
from torch.nn.utils import prune

# 00


def counted(samples, batch_size):
    return len(torch.arange(samples).split(batch_size))


# 01


def by_kthvalue_and_places(weight, share):
    n = round(share * weight.numel())
    mask = np.ones(weight.numel(), dtype=int)
    mask[np.argsort(np.abs(weight.numpy()).ravel(), kind="stable")[:n]] = 0
    return mask.reshape(weight.shape)


def by_topk(weight, share):
    n = weight.numel() - round(share * weight.numel())
    kept = torch.zeros(weight.numel())
    kept[weight.abs().flatten().topk(n).indices] = 1
    return kept.view(weight.shape)


def by_torch(weight, share):
    layer = nn.Linear(*reversed(weight.shape), bias=False)
    layer.weight.data.copy_(weight)
    return prune.l1_unstructured(layer, "weight", round(share * weight.numel())).weight_mask


def permuted_by_numpy(mask, generator):
    chance = np.random.default_rng(generator.initial_seed())
    return chance.permutation(mask.numpy().ravel()).reshape(mask.shape)


def columns_then_rows(mask, generator):
    flat = mask.reshape(-1).float()
    return flat[torch.rand(len(flat), generator=generator).argsort()].reshape(mask.shape)


def by_index(w1, b1, w2, b2, kept):
    here, gone = kept.nonzero()[:, 0], (~kept).nonzero()[:, 0]
    for i in gone.tolist():
        b2 = b2 + max(float(b1[i]), 0.0) * w2[:, i]
    return [part.tolist() for part in (w1[here], b1[here], w2[:, here], b2)]


def by_hand(network, masks, x, y):
    """Plain gradient descent, the gradients masked instead of the weights."""
    for begin in range(0, len(x), 64):
        network.zero_grad()
        functional.cross_entropy(network(x[begin : begin + 64]), y[begin : begin + 64]).backward()
        with torch.no_grad():
            for name, parameter in network.named_parameters():
                mask = masks[name][0] if name in masks else 1
                parameter -= 0.05 * parameter.grad * mask


def masked_by_torch(network, masks, x, y):
    for layer, name in ((network[0], "0.weight"), (network[2], "2.weight")):
        prune.custom_from_mask(layer, "weight", masks[name][0])
    optimizer = torch.optim.Adam(network.parameters(), lr=0.005)
    for inputs, targets in zip(x.split(64), y.split(64), strict=True):
        optimizer.zero_grad()
        functional.cross_entropy(network(inputs), targets).backward()
        optimizer.step()


def removed_by_name(network):
    for layer in (network[0], network[2]):
        prune.remove(layer, "weight")
    return dict(network.named_parameters())


def multiplied_out(network):
    state = network.state_dict()
    return {
        name.removesuffix("_orig"): value * state.get(f"{name.removesuffix('_orig')}_mask", 1)
        for name, value in state.items()
        if not name.endswith("_mask")
    }


# 02


def fall_by_cases(t, alpha0, n, share):
    begin = n - share * n
    return alpha0 if t < begin else np.interp(t, [begin, n], [alpha0, 0])


class WarmUp:
    def __init__(self, schedule, n):
        self.schedule, self.n = schedule, n

    def __call__(self, t):
        if t >= self.n:
            return self.schedule(t - self.n)
        return torch.tensor(self.schedule(0), dtype=torch.float64) * (1 + t) / self.n


def warm_up_by_def(schedule, n):
    def rate(t):
        return min(1, (t + 1) / n) * schedule(max(0, t - n))

    return rate


def zeroed_after(net, optimizer, scheduler, loader, epochs):
    criterion = nn.CrossEntropyLoss()
    for _epoch in range(epochs):
        for x, y in loader:
            loss = criterion(net(x), y)
            loss.backward()
            optimizer.step()
            net.zero_grad()
        scheduler.step()


def with_closure(net, optimizer, scheduler, loader, epochs):
    for epoch in range(epochs):
        if epoch:
            scheduler.step()
        for x, y in loader:

            def closure(x=x, y=y):
                optimizer.zero_grad(set_to_none=False)
                loss = -functional.log_softmax(net(x), 1)[torch.arange(len(y)), y].mean()
                loss.backward()
                return loss

            optimizer.step(closure)


def save_by_names(net, optimizer, scheduler):
    parts = {"n": net, "o": optimizer, "s": scheduler}
    return {name: part.state_dict() for name, part in parts.items()}


def load_by_names(state, net, optimizer, scheduler):
    for name, part in {"s": scheduler, "o": optimizer, "n": net}.items():
        part.load_state_dict(state[name])


def save_copies(net, optimizer, scheduler):
    return {"all": [copy.deepcopy(part.state_dict()) for part in (net, optimizer, scheduler)]}


def load_copies(state, *parts):
    for part, saved in zip(parts, state["all"], strict=True):
        part.load_state_dict(saved)


# 03


def by_torch_norm(x, gamma, beta, eps):
    n = x.shape[1]
    weight, bias = torch.full((n,), gamma, dtype=x.dtype), torch.full((n,), beta, dtype=x.dtype)
    return functional.batch_norm(x, None, None, weight, bias, training=True, eps=eps)


def by_numpy_norm(x, gamma, beta, eps):
    x = x.numpy().astype(np.float32)
    return gamma * (x - x.mean(0)) / np.sqrt(x.var(0) + eps) + beta


def by_columns(x, gamma, beta, eps):
    columns = []
    for column in x.T.tolist():
        mean = sum(column) / len(column)
        variance = sum((value - mean) ** 2 for value in column) / len(column)
        columns.append([gamma * (v - mean) / math.sqrt(variance + eps) + beta for v in column])
    return torch.tensor(columns).T


def running_in_place(mean, variance, x, momentum):
    return [mean.lerp_(x.mean(0), momentum), variance.lerp_(x.var(0), momentum)]


def running_by_torch(mean, variance, x, momentum):
    functional.batch_norm(x, mean, variance, training=True, momentum=momentum)
    return mean, variance


def running_by_numpy(mean, variance, x, momentum):
    x, old = x.numpy(), np.stack([mean.numpy(), variance.numpy()])
    return (1 - momentum) * old + momentum * np.stack([x.mean(0), x.var(0, ddof=1)])


def folded_by_torch(weight, bias, mean, variance, gamma, beta, eps):
    return nn.utils.fuse_linear_bn_weights(weight, bias, mean, variance, eps, gamma, beta)


def folded_by_matrix(weight, bias, mean, variance, gamma, beta, eps):
    scale = gamma * (variance + eps) ** -0.5
    return [torch.diag(scale) @ weight, scale * bias + beta - scale * mean]


def pair_with_eps(a, b):
    mean = (a + b) / 2
    variance = ((a - mean) ** 2 + (b - mean) ** 2) / 2
    return [(v - mean) / math.sqrt(variance + 1e-8) for v in (a, b)]


def validated_in_a_copy(net, x):
    return copy.deepcopy(net).eval()(x)


def validated_and_put_back(net, x):
    modes = [module.training for module in net.modules()]
    try:
        net.eval()
        with torch.inference_mode():
            return net(x).clone()
    finally:
        for module, mode in zip(net.modules(), modes, strict=True):
            module.train(mode) if not [*module.children()] else setattr(module, "training", mode)


def frozen_by_name(net):
    for _name, layer in net.named_modules():
        if "BatchNorm" in type(layer).__name__:
            layer.train(False).requires_grad_(False)


def frozen_by_recursion(net):
    for layer in net.children():
        frozen_by_recursion(layer)
    if isinstance(net, nn.BatchNorm1d):
        net.training = net.weight.requires_grad = net.bias.requires_grad = False


def averaged_by_state(average, net, decay):
    state, new = average.state_dict(), net.state_dict()
    learned = dict(net.named_parameters())
    average.load_state_dict(
        {k: decay * v + (1 - decay) * new[k] if k in learned else new[k] for k, v in state.items()}
    )


def averaged_with_buffers(average, net, decay):
    """As AveragedModel(use_buffers=True) does."""
    with torch.no_grad():
        for name, old in average.state_dict().items():
            new = net.state_dict()[name]
            old.copy_(decay * old + (1 - decay) * new if old.is_floating_point() else new)


# 04


def by_numpy_average(gradients, sizes):
    return np.average(np.stack(gradients), axis=0, weights=sizes)


def by_loop_average(gradients, sizes):
    return [
        sum(n * float(g[i]) for g, n in zip(gradients, sizes, strict=True)) / sum(sizes)
        for i in range(len(gradients[0]))
    ]


def turned_ring(n):
    return [
        [(-i % n, (-i - 1) % n, chunk, adds) for i, _, chunk, adds in step]
        for step in distributed._solve_ring(n)
    ]


def as_messages(n):
    for step in distributed._solve_ring(n):
        yield tuple(ring.Message(*message) for message in step)


def by_cat(x, all_reduce):
    sums = all_reduce(torch.cat([x.sum(0), x.square().sum(0), torch.tensor([float(len(x))])]))
    total, squares, n = sums[:4], sums[4:8], sums[8]
    return (x - total / n) * torch.rsqrt(squares / n - (total / n) ** 2 + 1e-5)


def in_double(x, all_reduce):
    return distributed._solve_batch_norm(x.double(), all_reduce).tolist()


def list_of_means(rank, all_reduce, loss, gradient):
    return [all_reduce(value) / 2 for value in (loss, gradient)]


def tensor_of_means(rank, all_reduce, loss, gradient):
    return all_reduce(torch.tensor([loss, gradient])) / 2


def by_squares(means, variances):
    mean = means.mean(0)
    return mean, (variances + means**2).mean(0) - mean**2


def by_rows(means, variances):
    n = len(means)
    mean = sum(means) / n
    return [mean.numpy(), (sum(variances) / n + sum((m - mean) ** 2 for m in means) / n).numpy()]


def told_in_a_comprehension(sampler, epochs):
    return [sampler.set_epoch(epoch) or [*sampler] for epoch in range(epochs)]


def with_seeds(sampler, epochs):
    orders, seed = [], sampler.seed
    for epoch in range(epochs):
        sampler.seed = seed + epoch
        orders.append([*sampler])
    return orders


def as_a_tensor(sampler, epochs):
    return torch.tensor(distributed._solve_epochs(sampler, epochs))


# 05


def buffer_as_the_lesson(stream, size, generator):
    """Fill, then swap."""
    held = list(stream[:size])
    for new in stream[size:]:
        slot = int(torch.randint(len(held), (1,), generator=generator))
        yield held[slot]
        held[slot] = new
    yield from (held[i] for i in torch.randperm(len(held), generator=generator))


def buffer_by_random(stream, size, generator):
    held, out = [], []
    for item in stream:
        if len(held) == size:
            out.append(held.pop(int(torch.rand(1, generator=generator) * size)))
        held.append(item)
    order = torch.randperm(len(held), generator=generator)
    return torch.cat([torch.tensor(out, dtype=torch.long), torch.tensor(held)[order]])


def shuffled_by_numbers(x, y, generator):
    order = torch.rand(len(x), generator=generator).argsort()
    return torch.stack([x[i] for i in order]), y.numpy()[order.numpy()]


def shuffled_as_one(x, y, generator):
    both = torch.cat([x, y[:, None].float()], 1)[torch.randperm(len(x), generator=generator)]
    return [both[:, :2].tolist(), both[:, 2].int().tolist()]


def dealt_by_tensor(n, rank, n_workers, seed, epoch):
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed + epoch))
    lacking = -n % n_workers
    return torch.cat([order, order[:lacking]]).view(-1, n_workers)[:, rank]


def dealt_by_loop(n, rank, n_workers, seed, epoch):
    generator = torch.Generator().manual_seed(seed + epoch)
    order = torch.randperm(n, generator=generator).tolist()
    each = math.ceil(n / n_workers)
    return (order[(rank + i * n_workers) % n] for i in range(each))


def entropy_by_numpy(labels):
    share = np.unique(labels, return_counts=True)[1] / len(labels)
    return -(share * np.log2(share)).sum()


def entropy_by_loop(labels):
    counts = {}
    for label in labels.tolist():
        counts[label] = counts.get(label, 0) + 1
    return -sum(n / len(labels) * math.log(n / len(labels), 2) for n in counts.values())


def orders_by_numpy(n, seed, epochs):
    chance = np.random.default_rng(seed)
    return np.stack([chance.permutation(n) for _ in range(epochs)])


def orders_by_epoch(n, seed, epochs):
    for epoch in range(epochs):
        generator = torch.Generator().manual_seed(1000 * seed + epoch)
        yield torch.randperm(n, generator=generator)


def pieces(n, worker, n_workers):
    """In a row, rounded up, so that the last ones may be short or empty."""
    each = -(-n // n_workers)
    return range(min(worker * each, n), min((worker + 1) * each, n))


def by_digits(seed, epoch, worker):
    return torch.Generator().manual_seed(seed * 10**8 + epoch * 10**4 + worker)


def reseeded(seed, epoch, worker):
    """The global generator, seeded anew at each call."""
    return torch.manual_seed(seed * 10**6 + epoch * 10**3 + worker)


def by_hash(seed, epoch, worker):
    generator = torch.Generator()
    generator.manual_seed(hash((seed, epoch, worker)))
    return generator


# 06


def by_array(table):
    table = np.array(table)
    return table[1, 1] - table[1, 0] - table[0, 1] + table[0, 0]


def by_search(table):
    at = [0, 0]
    for i in (0, 1):
        other = [*at]
        other[i] = 1
        if table[other[0]][other[1]] > table[at[0]][at[1]]:
            at = other
    return torch.tensor(table).max() - table[at[0]][at[1]]


def front_by_sorting(costs, gains):
    kept, best = [], -math.inf
    order = sorted(range(len(costs)), key=lambda i: (costs[i], -gains[i]))
    for i in order:
        is_tie = kept and (costs[i], gains[i]) == (costs[kept[-1]], gains[kept[-1]])
        if gains[i] > best or is_tie:
            kept.append(i)
            best = gains[i]
    return {*kept}


def front_by_numpy(costs, gains):
    c, g = np.array(costs), np.array(gains)
    beaten = ((c <= c[:, None]) & (g >= g[:, None])) & ((c < c[:, None]) | (g > g[:, None]))
    return np.flatnonzero(~beaten.any(1))


RIGHT = [
    (primer.steps, lambda n, size: -(-n // size)),
    (primer.steps, counted),
    (primer.steps, lambda n, size: np.ceil(n / size)),
    (lesson_01.sparsity, lambda w: 1 - w.count_nonzero() / w.numel()),
    (lesson_01.sparsity, lambda w: np.mean(w.numpy() == 0)),
    (lesson_01.sparsity, lambda w: sum(v == 0 for v in w.flatten().tolist()) / w.numel()),
    (lesson_01.mask, by_kthvalue_and_places),
    (lesson_01.mask, by_topk),
    (lesson_01.mask, by_torch),
    (lesson_01.control, permuted_by_numpy),
    (lesson_01.control, columns_then_rows),
    (lesson_01.shrink, by_index),
    (lesson_01.shrink, lambda *parts: [*lesson_01._solve_shrink(*parts)]),
    (lesson_01.amounts, "Patient b", lambda amount, n: 1 - (1 - amount) ** (1 / n)),
    (lesson_01.amounts, "(b) Each call cuts a share of what is left.", lesson_01._solve_amounts),
    (lesson_01.amounts, ["B"], lambda a, n: -math.expm1(math.log1p(-a) / n)),
    (lesson_01.amounts, "b)", lambda amount, n: 1 - np.power(1 - amount, 1 / n)),
    (lesson_01.unmasked, "(c)", masked_by_torch),
    (lesson_01.unmasked, ("c",), by_hand),
    (lesson_01.file, "A", removed_by_name),
    (lesson_01.file, {"a"}, multiplied_out),
    (schedules.rate, lambda t, a, d: a / math.sqrt(1 + d * t)),
    (schedules.rate, lambda t, a, d: torch.tensor(a, dtype=torch.float64) * (1 + d * t) ** -0.5),
    (schedules.rate, lambda *args: f"{schedules._solve_rate(*args)}"),
    (schedules.delta, lambda n: (4**2 - 1) / n),
    (schedules.delta, lambda n: Fraction(15, n)),
    (schedules.delta, lambda n: round(15 / n, 4)),
    (schedules.stable_then_decay, fall_by_cases),
    (schedules.stable_then_decay, lambda t, a, n, s: np.clip((n - t) / (s * n), 0, 1) * a),
    (schedules.warm_up, WarmUp),
    (schedules.warm_up, warm_up_by_def),
    (schedules.loop, ["b", "c", "a"], zeroed_after),
    (schedules.loop, "B C A", with_closure),
    (schedules.late, "(c)", lambda epoch: 0.1 / 2 ** ((epoch + 1) // 10)),
    (schedules.late, "c", lambda epoch: np.float32(0.1) * 0.5 ** math.floor((epoch + 1) / 10)),
    (schedules.checkpoint, "b", save_by_names, load_by_names),
    (schedules.checkpoint, ["b"], save_copies, load_copies),
    (normalization.forward, by_torch_norm),
    (normalization.forward, by_numpy_norm),
    (normalization.forward, by_columns),
    (normalization.running, running_in_place),
    (normalization.running, running_by_torch),
    (normalization.running, running_by_numpy),
    (normalization.folding, folded_by_torch),
    (normalization.folding, folded_by_matrix),
    (normalization.pair, pair_with_eps),
    (normalization.pair, lambda a, b: np.sign([a - b, b - a])),
    (normalization.pair, lambda a, b: torch.tensor([a - b, b - a]).sign()),
    (normalization.layer_norm, lambda x, eps: functional.layer_norm(x, x.shape[1:], eps=eps)),
    (normalization.layer_norm, lambda x, eps: by_numpy_norm(x.T, 1, 0, eps).T),
    (normalization.stand_still, "b", validated_in_a_copy),
    (normalization.stand_still, "B", validated_and_put_back),
    (normalization.drift, "c", frozen_by_name),
    (normalization.drift, "(c)", frozen_by_recursion),
    (normalization.left_behind, "a", averaged_by_state),
    (normalization.left_behind, ["a"], averaged_with_buffers),
    (distributed.average, by_numpy_average),
    (distributed.average, by_loop_average),
    (distributed.speed_up, lambda c, a, n: n / (1 + a / c)),
    (distributed.speed_up, lambda c, a, n: np.float64(n) * c / np.add(c, a)),
    (distributed.sent, lambda p, n: 8 * p * (n - 1) // n),
    (distributed.sent, lambda p, n: 2 * (n - 1) * math.ceil(p / n) * 4),
    (distributed.ring, turned_ring),
    (distributed.ring, as_messages),
    (distributed.batch_norm, by_cat),
    (distributed.batch_norm, in_double),
    (distributed.means, "b", list_of_means),
    (distributed.means, "(B)", tensor_of_means),
    (distributed.together, "c", by_squares),
    (distributed.together, "C", by_rows),
    (distributed.epochs, "a", told_in_a_comprehension),
    (distributed.epochs, "A.", as_a_tensor),
    (distributed.epochs, "a", with_seeds),
    (shuffling.together, shuffled_by_numbers),
    (shuffling.together, shuffled_as_one),
    (shuffling.covered, lambda n: 1 - ((n - 1) / n) ** n),
    (shuffling.covered, lambda n: -np.expm1(n * np.log1p(-1 / n))),
    (shuffling.buffer, buffer_as_the_lesson),
    (shuffling.buffer, buffer_by_random),
    (shuffling.worker, dealt_by_tensor),
    (shuffling.worker, dealt_by_loop),
    (shuffling.entropy, entropy_by_numpy),
    (shuffling.entropy, entropy_by_loop),
    (shuffling.same_order, "b", orders_by_numpy),
    (shuffling.same_order, ["B"], orders_by_epoch),
    (shuffling.twice, "(c)", lambda n, i, k: [j for j in range(n) if j % k == i]),
    (shuffling.twice, "c", pieces),
    (shuffling.alike, "a", by_digits),
    (shuffling.alike, "(a)", by_hash),
    (shuffling.alike, "a", reseeded),
    (combined.interaction, by_array),
    (combined.interaction, lambda t: (t[1][1] - t[0][1]) - (t[1][0] - t[0][0])),
    (combined.one_at_a_time, by_search),
    (combined.one_at_a_time, lambda t: np.float32(combined._solve_search(t))),
    (combined.unbeaten, front_by_sorting),
    (combined.unbeaten, front_by_numpy),
    (combined.training_time, lambda e, n, b, s: e * -(-n // b) * s),
    (combined.training_time, lambda e, n, b, s: torch.tensor(math.ceil(n / b) * e * s)),
]


@pytest.mark.parametrize(
    "exercise", [e for name, e in ALL.items() if name not in EXPERIMENTS], ids=lambda e: e.name
)
def test_right_answers_in_other_styles_are_right(exercise):
    styles = [answers for asked, *answers in RIGHT if asked is exercise]
    assert len(styles) >= 2
    for answers in styles:
        feedback = exercise.check(*answers)
        assert feedback.outcome == "right", (answers, feedback)
