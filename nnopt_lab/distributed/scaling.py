"""How long a step of data-parallel training takes on N devices: a model with two free constants.

Each device computes the gradient of its own samples; then an all-reduce adds the gradients up. With
the time c that one device takes for its batch, a step on N > 1 devices takes

    c (1 + tax)  +  max((1 - hidden) a, a - 2/3 c)

The tax is what working together costs each device: waiting for the slowest, copies, locks. a is the
time of the all-reduce. A share of it hides behind the backward pass, which is about two thirds of c
and no more than that can hide; the rest is waited for, or slows the computation down beside it. a
has no free constant:

    a = buckets (latency of a message x messages)  +  2 (N - 1) / N  bytes / bandwidth

Bytes are 4 a parameter, in buckets of 25 MiB, as torch's DistributedDataParallel makes them.
Messages go round the ring, or up and down a tree where that takes less; a hop of it takes NCCL's
``TREE_LATENCY``, or the link's own latency where that is longer. The bandwidth is that of
the slowest link on the way. Both free constants, ``FITTED``, are fitted to published measurements
(``points``, by ``fit``), of each case the best implementation: others are slower than the model
says. It is one of six forms that were tried on these points. It knows nothing of slow data loading,
nor of memory.
"""

import csv
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

from nnopt_lab.arguments import above_zero, from_zero, whole

import numpy as np
import xarray as xr
from numpy.typing import NDArray

Array = NDArray[np.float64]

BUCKET = 25 * 2**20  # bytes
# Seconds, from NCCL's src/graph/tuning.cc (2022), protocol "simple", as the latencies of ``LINKS``.
RING_BEGINS, TREE_LATENCY = 8.4e-6, 28e-6
BYTES = 4  # of a gradient's number
STATE = 16  # bytes a parameter: weight, gradient, Adam's two averages, 4 bytes each
BACKWARD = 2 / 3  # of the compute time


@dataclass(frozen=True)
class Link:
    """What devices or nodes are connected by.

    Parameters
    ----------
    bandwidth : float
        Bytes per second in one direction, as an all-reduce reaches it: of a device inside a node,
        of a whole node with all its cards between nodes.
    latency : float
        Seconds for one message of a ring.
    """

    bandwidth: float
    latency: float

    def __post_init__(self) -> None:
        if not (0 < self.bandwidth < math.inf and 0 <= self.latency < math.inf):
            raise ValueError(f"{self}; give a bandwidth above 0, and a latency from 0.")


# Bandwidths are rules of thumb for what an all-reduce among all devices of a node reaches, below
# the nominal rates (V100 150, A100 300, H100 450 GB/s); that of A100 is NCCL's own. Ethernet gets
# NCCL's latency of any network, which suits RDMA; plain TCP takes several times as long.
LINKS = {
    "NVLink P100": Link(72e9, 3.4e-6),
    "NVLink V100": Link(120e9, 3.4e-6),
    "NVLink A100": Link(235e9, 3.4e-6),
    "NVLink H100": Link(370e9, 3.4e-6),
    "PCIe 3 x16": Link(12e9, 5.7e-6),
    "PCIe 4 x16": Link(24e9, 5.7e-6),
    "10 Gbit Ethernet": Link(1.1e9, 14e-6),
    "25 Gbit Ethernet": Link(2.9e9, 14e-6),
    "50 Gbit Ethernet": Link(5.6e9, 14e-6),
    "100 Gbit InfiniBand": Link(12e9, 14e-6),
    "400 Gbit InfiniBand": Link(46e9, 14e-6),
    "4 x 100 Gbit InfiniBand": Link(48e9, 14e-6),
    "8 x 400 Gbit InfiniBand": Link(368e9, 14e-6),
}


@dataclass(frozen=True)
class Free:
    """The two free constants of the model.

    Parameters
    ----------
    tax : float
        What working together costs, as a share of the compute time, from 0.
    hidden : float
        Share of the all-reduce that hides behind the backward pass, in [0, 1].
    """

    tax: float
    hidden: float

    def __post_init__(self) -> None:
        if not (0 <= self.tax < math.inf and 0 <= self.hidden <= 1):
            raise ValueError(f"{self}; give a tax from 0, and a hidden share from 0 to 1.")


TEXTBOOK = Free(tax=0.0, hidden=1.0)  # nothing is lost, and all that can hide does
FITTED = Free(tax=0.05, hidden=0.45)  # what ``fit(points())`` gives


@dataclass(frozen=True)
class Workload:
    """A model in training on one device, as ``predict`` asks for it.

    Parameters
    ----------
    parameters : float
    seconds : float
        A step on one device.
    batch : int
        Samples of that step.
    source : str
        Where ``seconds`` comes from.
    """

    parameters: float
    seconds: float
    batch: int
    source: str

    @property
    def memory(self) -> float:
        """Bytes of weights, gradients and Adam's state on each device."""
        return STATE * self.parameters


_ADLR = "in proportion to 1.288 s of 1.2 billion on a V100, nv-adlr.github.io/MegatronLMV1"
# Those of ``points`` have its names and its times. GPT's samples are 1024 tokens long.
WORKLOADS = {
    "ResNet-50": Workload(25.6e6, 0.097, 32, "PyTorch DDP 1.4 on a V100"),
    "VGG16": Workload(138.4e6, 0.41558, 64, "TensorFlow on a P100"),
    "BERT-base": Workload(110.1e6, 0.22037, 32, "OneFlow on a V100"),
    "GPT-2, 1.5 billion": Workload(1.5e9, 1.61, 8, _ADLR),
    "GPT, 7 billion": Workload(7e9, 7.51, 8, _ADLR),
}


def all_reduce_seconds(
    n_bytes: float,
    devices: int,
    *,
    per_node: int = 8,
    link: str | Link,
    network: str | Link | None = None,
) -> float:
    """Return how long it takes to add up gradients on all devices.

    Parameters
    ----------
    n_bytes : float
        Of the gradients, above 0.
    devices : int
        From 1; on one there is nothing to add.
    per_node : int
        Devices of a node.
    link, network : str or Link
        Between the devices of a node and between nodes: names in ``LINKS``, or others.
    """
    above_zero("n_bytes", n_bytes)
    devices = whole("a number of devices", devices)
    per_node = whole("per_node", per_node)
    nodes = math.ceil(devices / per_node)
    if nodes > 1 and network is None:
        raise ValueError(f"{devices} devices are {nodes} nodes: name the network between them.")
    inside = _link("link", link)
    between = inside if network is None else _link("network", network)
    if devices == 1:
        return 0.0
    ring = 2 * (devices - nodes) * inside.latency + 2 * (nodes - 1) * between.latency
    slow, far = (max(TREE_LATENCY, wire.latency) for wire in (inside, between))
    tree = 2 * (slow * (min(devices, per_node) - 1) + far * math.log2(nodes))
    messages = math.ceil(n_bytes / BUCKET) * min(RING_BEGINS + ring, tree)
    bandwidth = inside.bandwidth if nodes == 1 else min(inside.bandwidth, between.bandwidth)
    return messages + 2 * (devices - 1) / devices * n_bytes / bandwidth


def link_of(n_bytes: tuple[float, float], seconds: tuple[float, float], devices: int) -> Link:
    """Return the link that two measured all-reduces inside one machine tell of.

    For links on which a message takes longer than NCCL's ``TREE_LATENCY``, as between processes.

    Parameters
    ----------
    n_bytes : (float, float)
        Of few and of many gradients, less than a bucket.
    seconds : (float, float)
        What their all-reduces took, the second longer.
    devices : int
        That took part, from 2.
    """
    devices = whole("devices", devices)
    (few, many), (short, long) = n_bytes, seconds
    if devices < 2 or not (0 < few < many and 0 < short < long):
        raise ValueError(
            f"n_bytes is {n_bytes}, seconds is {seconds}, devices is {devices}; give few bytes and "
            "many that took longer, among 2 devices or more."
        )
    travels = 2 * (devices - 1) / devices
    bandwidth = travels * (many - few) / (long - short)
    latency = (short - travels * few / bandwidth) / (2 * (devices - 1))
    return Link(bandwidth, max(latency, 0.0))


def predict(
    parameters: float,
    seconds: float,
    devices: Sequence[int],
    *,
    link: str | Link,
    network: str | Link | None = None,
    per_node: int = 8,
    scaling: str = "weak",
    free: Free = FITTED,
) -> xr.Dataset:
    """Return what a step of data-parallel training takes on each number of devices.

    Parameters
    ----------
    parameters : float
        Of the model, such as 25.6e6, above 0.
    seconds : float
        A step on one device, for one device's batch, above 0.
    devices : sequence of int
        From 1 each.
    link, network : str or Link
        Between the devices of a node and between nodes: names in ``LINKS``, or others.
        ``network`` is needed where there is more than one node.
    per_node : int
        Devices of a node, from 1.
    scaling : {"weak", "strong"}
        Whether each device keeps its batch, or the global batch is shared out; then the compute
        time is taken to fall in proportion, which small batches do not reach.
    free : Free
        The free constants.

    Returns
    -------
    xarray.Dataset
        By ``devices``, in seconds: ``computation``, ``tax``, ``all_reduce`` (all of it),
        ``exposed`` (what the step waits for) and ``step`` (computation + tax + exposed);
        ``speed_up`` over one device in samples per second, and ``efficiency``, speed-up over
        devices.

    Raises
    ------
    ValueError
        If a name is unknown, a number makes no sense, or nodes have no network.
    """
    above_zero("parameters", parameters)
    above_zero("seconds", seconds)
    if scaling not in ("weak", "strong"):
        raise ValueError(f"scaling is {scaling!r}; give 'weak' or 'strong'.")
    n = np.array([*devices])
    on_cluster = partial(all_reduce_seconds, per_node=per_node, link=link, network=network)
    reduced = [on_cluster(BYTES * parameters, count) for count in n.tolist()]
    shared_out = n if scaling == "strong" else np.ones(len(n))
    compute, all_reduce = seconds / shared_out, np.array(reduced)
    tax, exposed = compute * free.tax * (n > 1), _exposed(compute, all_reduce, free.hidden)
    step = compute + tax + exposed
    efficiency = seconds / step / shared_out
    columns = {
        "computation": compute, "tax": tax, "all_reduce": all_reduce, "exposed": exposed,
        "step": step, "speed_up": n * efficiency, "efficiency": efficiency,
    }  # fmt: skip
    return xr.Dataset(
        {name: ("devices", column) for name, column in columns.items()}, {"devices": n}
    )


def _exposed(compute: Array, all_reduce: Array, hidden: float | Array) -> Array:
    """Return what a step waits for of an all-reduce, in seconds."""
    return np.maximum((1 - hidden) * all_reduce, all_reduce - BACKWARD * compute)


def timeline(
    seconds: float, all_reduce: float, *, devices: int, steps: int, jitter: float, seed: int = 0
) -> xr.Dataset:
    """Return what each device does in some steps: it computes, waits for the slowest, all-reduces.

    Parameters
    ----------
    seconds : float
        Mean computation time of a step on one device, above 0.
    all_reduce : float
        Seconds of an all-reduce, from 0; here nothing hides it.
    devices, steps : int
        How many, from 1.
    jitter : float
        Spread of the computation time, as a share of its mean, from 0: it is log-normal.
    seed : int
        Of the jitter; more devices leave those that were there as they are.

    Returns
    -------
    xarray.Dataset
        By ``step`` and ``device``: ``computation`` and ``wait`` in seconds; by ``step``: ``start``
        and ``all_reduce`` in seconds, and ``slowest``, the device that all wait for.
    """
    above_zero("seconds", seconds)
    devices, steps = whole("devices", devices), whole("steps", steps)
    from_zero("all_reduce", all_reduce)
    from_zero("jitter", jitter)
    draws = [np.random.default_rng([seed, device]).normal(size=steps) for device in range(devices)]
    spread = math.sqrt(math.log1p(jitter**2))
    computation = seconds * np.exp(spread * np.array(draws).T - spread**2 / 2)
    longest = computation.max(1)
    reduced = np.full(steps, all_reduce if devices > 1 else 0.0)
    ends = np.cumsum(longest + reduced)
    return xr.Dataset(
        {
            "computation": (("step", "device"), computation),
            "wait": (("step", "device"), longest[:, None] - computation),
            "start": ("step", ends - longest - reduced),
            "all_reduce": ("step", reduced),
            "slowest": ("step", computation.argmax(1)),
        }
    )


def points() -> xr.Dataset:
    """Return published measurements, one a ``point``: the columns of ``scaling_points.csv``.

    ``efficiency`` compares with ``base_devices``, mostly one. ``fitted`` is true for the best
    implementation for each hardware, model, precision and batch (at its largest number of devices)
    of those that add gradients up by an all-reduce, and whose time on one device is known. All
    were read in the ``source`` named.
    """
    return _table("scaling_points.csv")


def time_to_train() -> xr.Dataset:
    """Return how long training to one quality took owners of clusters, one run a ``point``.

    The columns of ``time_to_train.csv``: ``minutes`` are means of several runs without the fastest
    and the slowest, ``samples_millions`` a range of what was seen until the quality was reached.
    """
    return _table("time_to_train.csv")


def _table(name: str) -> xr.Dataset:
    with (Path(__file__).parent / name).open(newline="") as file:
        rows = [*csv.DictReader(file)]
    columns = {key: [_READ.get(key, str)(row[key]) for row in rows] for key in rows[0]}
    return xr.Dataset({key: ("point", column) for key, column in columns.items()})


_READ: dict[str, Callable[[str], Any]] = {
    **dict.fromkeys(["batch", "devices", "nodes", "per_node", "base_devices"], int),
    **dict.fromkeys(["parameters", "efficiency", "minutes"], float),
    **dict.fromkeys(["step_seconds", "global_batch"], lambda text: float(text or "nan")),
    "fitted": lambda text: text == "yes",
}


def series(found: xr.Dataset) -> NDArray[np.str_]:
    """Return the series of each point: model, implementation, precision, hardware and batch."""
    names = ("model", "implementation", "precision", "hardware", "batch")
    parts = zip(*(found[name].values for name in names), strict=True)
    return np.array([f"{m}, {i}, {p}, {h}, batch {b}" for m, i, p, h, b in parts])


def efficiency_of(found: xr.Dataset, free: Free = FITTED) -> xr.DataArray:
    """Return the efficiency that the model predicts for each point, not a number without a time.

    Parameters
    ----------
    found : xarray.Dataset
        As ``points`` returns.
    free : Free
    """
    return xr.DataArray(
        _efficiencies(found, np.array([free.tax]), np.array([free.hidden]))[0], dims="point"
    )


def _efficiencies(found: xr.Dataset, tax: Array, hidden: Array) -> Array:
    """Return the predicted efficiency, shape (constants, points)."""
    steps = []
    for count in ("base_devices", "devices"):
        n = found[count].values
        cluster = (
            found[name].values.tolist() for name in ("parameters", "per_node", "link", "network")
        )
        reduced = [
            all_reduce_seconds(BYTES * p, devices, per_node=m, link=link, network=network or None)
            for devices, p, m, link, network in zip(n.tolist(), *cluster, strict=True)
        ]
        c = found.step_seconds.values
        steps.append(
            c * (1 + tax[:, None] * (n > 1)) + _exposed(c, np.array(reduced), hidden[:, None])
        )
    efficiencies: Array = steps[0] / steps[1]
    return efficiencies


GRID = [*product(np.arange(0, 31) / 200, np.arange(0, 21) / 20)]  # tax to 15 %, hidden


def fit(found: xr.Dataset) -> Free:
    """Return the free constants with the smallest mean absolute error of efficiency.

    Parameters
    ----------
    found : xarray.Dataset
        As ``points`` returns; only those that are ``fitted`` count.
    """
    used = found.isel(point=found.fitted.values)
    tax, hidden = np.array(GRID).T
    errors = abs(_efficiencies(used, tax, hidden) - used.efficiency.values).mean(1)
    best = GRID[int(errors.argmin())]
    return Free(*map(float, best))


def leave_one_out(found: xr.Dataset) -> xr.DataArray:
    """Return the efficiency predicted for each fitted point from the other series alone.

    Parameters
    ----------
    found : xarray.Dataset
        As ``points`` returns.
    """
    used = found.isel(point=found.fitted.values)
    names = series(used)
    predicted: xr.DataArray = xr.full_like(used.efficiency, np.nan)
    for name in dict.fromkeys(names):
        mine = names == name
        predicted[mine] = efficiency_of(used.isel(point=mine), fit(used.isel(point=~mine)))
    return predicted


def _link(name: str, value: str | Link | None) -> Link:
    if isinstance(value, Link):
        return value
    if value not in LINKS:
        raise ValueError(f"{name} is {value!r}; give a Link, or one of {', '.join(LINKS)}.")
    return LINKS[value]
