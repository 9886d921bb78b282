"""Many figures in few bytes: whatever occurs twice, in one figure or in two, is stored once."""

import base64
import gzip
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


def with_arrays(value: Any) -> Any:
    """Return a figure as plotly serialises it with its typed arrays as numpy arrays again."""
    if isinstance(value, Mapping):
        if "bdata" in value:
            flat = np.frombuffer(base64.b64decode(value["bdata"]), value["dtype"])
            shape = str(value.get("shape", flat.size)).split(",")
            return flat.reshape([int(length) for length in shape])
        return {key: with_arrays(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [with_arrays(item) for item in value]
    return value


def n_bytes(value: Any) -> int:
    """Return about how many bytes a frame takes in memory."""
    if isinstance(value, Mapping | list | tuple):
        return sum(map(n_bytes, value.values() if isinstance(value, Mapping) else value))
    return int(np.asarray(value).nbytes)


def pack(frames: list[Any]) -> bytes:
    """Return frames (nested dicts, lists, arrays, texts, numbers) as gzipped JSON.

    The JSON holds ``nodes``, each either ``{"v": value}``, ``{"l": [nodes]}`` or
    ``{"d": {key: node}}``, and ``frames``, the node of each frame. Arrays become the typed arrays
    that plotly.js reads; floats keep 24 bits where that moves none by a ten-thousandth of their
    range.
    """
    nodes: list[dict[str, Any]] = []
    known: dict[str, int] = {}

    def intern(value: Any) -> int:
        if isinstance(value, Mapping):
            node: dict[str, Any] = {"d": {str(key): intern(item) for key, item in value.items()}}
        elif isinstance(value, list | tuple):
            node = {"l": [intern(item) for item in value]}
            if all("v" in nodes[child] for child in node["l"]):  # a list of leaves is a leaf
                node = {"v": [_leaf(item) for item in value]}
        else:
            node = {"v": _leaf(value)}
        key = json.dumps(node, allow_nan=False)
        if key not in known:
            known[key] = len(nodes)
            nodes.append(node)
        return known[key]

    roots = [intern(frame) for frame in frames]
    text = json.dumps({"nodes": nodes, "frames": roots}, separators=(",", ":"))
    return gzip.compress(text.encode(), compresslevel=6, mtime=0)


def _leaf(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, np.ndarray):
        return _typed(value)
    if isinstance(value, list | tuple):
        return [_leaf(item) for item in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def _is_close(small: NDArray[np.float32], array: NDArray[Any]) -> bool:
    is_there = np.isfinite(array)
    if not is_there.any():
        return True
    finite = array[is_there].astype(np.float64)
    return bool(np.abs(finite - small[is_there]).max() <= 1e-4 * np.ptp(finite))


def _typed(array: NDArray[Any]) -> Any:
    """Return plotly.js's spelling of an array, or a list where it has none."""
    if array.dtype.kind == "f":
        small = array.astype("<f4")
        small = small if _is_close(small, array) else array.astype("<f8")
    elif array.dtype.kind in "iu" and array.size and np.abs(array.astype(float)).max() < 2**31:
        small = array.astype("<i4")
    else:
        return _leaf(array.tolist())
    spec = {
        "dtype": small.dtype.str[1:],
        "bdata": base64.b64encode(small.tobytes()).decode(),
    }
    if array.ndim > 1:
        spec["shape"] = ", ".join(map(str, array.shape))
    return spec
