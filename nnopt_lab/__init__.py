"""Interactive lessons on making neural networks smaller and their training faster.

Import this package before torch: OpenMP reads its settings once, when torch is loaded.
"""

import os

import joblib

# torch's idle OpenMP threads spin, by default so long that two processes that train on the same
# cores nearly stop each other. A short spin is as fast alone and lets the others run.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")
# joblib knows a container's quota of processors; torch counts those of the machine.
os.environ.setdefault("OMP_NUM_THREADS", str(joblib.cpu_count(only_physical_cores=True)))
