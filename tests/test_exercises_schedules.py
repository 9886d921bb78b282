"""The lesson on learning-rate decay: checks with typical wrong answers."""

from nnopt_lab import schedules
from nnopt_lab.exercises import schedules as LESSON

from torch import nn


def every_batch(net, optimizer, scheduler, loader, epochs):
    for _ in range(epochs):
        for x, y in loader:
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(x), y).backward()
            optimizer.step()
            scheduler.step()


def never_zeroed(net, optimizer, scheduler, loader, epochs):
    for _ in range(epochs):
        for x, y in loader:
            nn.functional.cross_entropy(net(x), y).backward()
            optimizer.step()
        scheduler.step()


def by_hand(net, optimizer, scheduler, loader, epochs):
    """With the rates of one plan, whatever the scheduler says."""
    for epoch in range(epochs):
        for x, y in loader:
            optimizer.param_groups[0]["lr"] = 0.1 * 0.5 ** (epoch // 2)
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(x), y).backward()
            optimizer.step()


def save_two(net, optimizer, scheduler):
    return {"net": net.state_dict(), "optimizer": optimizer.state_dict()}


def load_two(state, net, optimizer, scheduler):
    net.load_state_dict(state["net"])
    optimizer.load_state_dict(state["optimizer"])


def save_all(net, optimizer, scheduler):
    return save_two(net, optimizer, scheduler) | {"scheduler": scheduler.state_dict()}


def load_at_ten(state, net, optimizer, scheduler):
    load_two(state, net, optimizer, scheduler)
    scheduler.last_epoch = 10


def load_without_momentum(state, net, optimizer, scheduler):
    net.load_state_dict(state["net"])
    scheduler.load_state_dict(state["scheduler"])
    for group in optimizer.param_groups:
        group["lr"] = scheduler.get_last_lr()[0]


WRONG = [
    ("rate", (lambda t, a, d: a / (1 + d * t),), "the root is missing"),
    ("rate", (lambda t, a, d: a / (1 + d * (t + 1)) ** 0.5,), "one step ahead"),
    ("rate", (lambda t, a, d: a / (1 + d * t**0.5),), "not over t alone"),
    ("rate", (lambda t, a, d: "0.1x",), "return a number"),
    ("rate", (lambda t, a, d: a,), "At t = 30"),
    ("delta", (lambda n: 3 / n,), "a quarter was asked"),
    ("delta", (lambda n: 16 / n,), "the 1 counts"),
    ("delta", (lambda n: 1 / n,), "70.7 % of the rate is left"),
    ("delta", (lambda n: -15 / n,), "only if it is above 0"),
    ("rate", (lambda *args: round(LESSON._solve_rate(*args), 3),), "At t = 7"),
    ("stable_then_decay", (lambda t, a, n, s: a * (n - t) / (s * n),), "until the fall begins"),
    ("stable_then_decay", (lambda t, a, n, s: a * (1 - t / n),), "falls from the start"),
    ("stable_then_decay", (lambda t, a, n, s: a * (t < n - s * n),), "At t = 99 of 100"),
    ("stable_then_decay", (lambda t, a, n, s: a if t < n - s * n else a * (1 - (n - t) / s / n),),
     "rises to the end"),
    ("warm_up", (lambda s, n: lambda t: s(0) * t / n if t < n else s(t - n),), "wasted"),
    ("warm_up", (lambda s, n: lambda t: s(0) * (t + 1) / n if t < n else s(t),),
     "it must begin at its own t = 0"),
    ("warm_up", (lambda s, n: lambda t: s(0) * max(t, 1) / n if t < n else s(t - n),),
     "At t = 1 your rate is 1/10"),
    ("warm_up", (lambda s, n: s(n),), "a function of t; this is a float"),
    ("loop", ("abc", every_batch), "was multiplied at every batch"),
    ("loop", ("bca", every_batch), "part at step 2"),
    ("loop", ("bca", lambda *_: None), "0 steps were taken"),
    ("loop", ("b", every_batch), "Give 3 letters, in order"),
    ("loop", ("bca", by_hand), "part at step"),
    ("loop", ("bca", lambda *parts: LESSON._solve_loop(*parts[:-1], 6)), "24 steps were taken"),
    ("loop", ("b, c, a", never_zeroed), "the weights go another way"),
    ("late", ("a", lambda epoch: 0.1), "look at when it is used"),
    ("late", ("c", lambda epoch: 0.1 * 0.5 ** (epoch // 10)), "At the end of epoch 9"),
    ("checkpoint", ("a", save_two, load_two), "it is the rate that jumps"),
    ("checkpoint", ("b", save_two, load_two), "After a restart at step 10"),
    ("checkpoint", ("b", save_two, lambda *_: None), "not those that were saved"),
    ("checkpoint", ("b", lambda *_: [], load_two), "must return a dict"),
    ("checkpoint", ("b", save_all, load_at_ten), "After a restart at step 4"),
    ("checkpoint", ("b", lambda net, *_: {"net": net}, load_two), "torch.save and torch.load take"),
    ("checkpoint", ("b", save_all, load_without_momentum), "is the momentum lost"),
]  # fmt: skip


def test_the_experiment_tells_a_decay_to_zero_from_the_best_constant_rate():
    ahead = LESSON.ahead
    assert ahead.solution().feedback.outcome == "right"
    behind = ahead.check(lambda n: schedules.inverse_sqrt(0.05, delta=0.03))
    assert behind.outcome == "wrong"
    assert "against the constant rate; 7 were asked" in behind.words
    assert "below 0" in ahead.check(lambda n: lambda t: 0.1 - t).words
    assert "a function of t" in ahead.check(lambda n: 0.1).words
