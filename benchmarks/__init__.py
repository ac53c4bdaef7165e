"""Speed, memory and accuracy of the recovery, beside its peers: ``python -m benchmarks``."""

import os

# One thread for all that is measured here; it has to be said before NumPy is imported.
for _name in ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "VECLIB_MAXIMUM"):
    os.environ[f"{_name}_NUM_THREADS"] = "1"
