"""Interactive lessons on making neural networks smaller and their training faster.

Import this package before torch: OpenMP reads its settings once, when torch is loaded.
"""

import ctypes
import os
import platform

import joblib

# torch's idle OpenMP threads spin, by default so long that two processes that train on the same
# cores nearly stop each other. A short spin is as fast alone and lets the others run.
os.environ.setdefault("GOMP_SPINCOUNT", "3000")
# joblib knows a container's quota of processors; torch counts those of the machine.
os.environ.setdefault("OMP_NUM_THREADS", str(joblib.cpu_count(only_physical_cores=True)))


def _keep_freed_memory() -> None:
    """Let the C library keep what training frees, up to 1 GB, for the next step.

    Otherwise it hands activations back to the system at every step and asks for them anew, page
    by page, which takes up to half of the time of a large population.
    """
    if platform.libc_ver()[0] == "glibc":
        trim_threshold, mmap_threshold = -1, -3
        ctypes.CDLL(None).mallopt(trim_threshold, 1 << 30)
        ctypes.CDLL(None).mallopt(mmap_threshold, 1 << 25)


_keep_freed_memory()
