"""Memory of one echo state network by ReservoirPy, stored for comparison with our linear memory.

Run where `reservoirpy` 0.4 is installed: `python scripts/reservoirpy_memory.py`. Its recipe: input u uniform
on [-0.8, 0.8]; states with u[t] already in them; lags 1 to `k_max`, lag 0 left out; the first `k_max` steps
of the training part discarded; ridge regression with a free constant on the training part, all lags at once;
the squared correlation of target and prediction on the test part, which follows in time.
"""

import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
from reservoirpy.nodes import Reservoir, Ridge
from reservoirpy.observables import memory_capacity

SETTINGS = {"units": 20, "spectral_radius": 0.9, "seed": 5, "k_max": 60, "steps": 120_000, "ridge": 1e-9}
STORE = Path(__file__).parents[1] / "tests" / "oracles" / "reservoirpy_memory.json"


def network(units: int, spectral_radius: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Recurrent weights, normal and scaled to a spectral radius, and input weights, uniform on [-1, 1]."""
    rng = np.random.default_rng(seed)
    weights = rng.standard_normal((units, units))
    weights *= spectral_radius / np.abs(np.linalg.eigvals(weights)).max()
    return weights, rng.uniform(-1, 1, (units, 1))


def main() -> None:
    weights, into = network(SETTINGS["units"], SETTINGS["spectral_radius"], SETTINGS["seed"])
    model = Reservoir(W=weights, Win=into, bias=0.0, lr=1.0) >> Ridge(ridge=SETTINGS["ridge"])
    series = np.random.default_rng(6).uniform(-0.8, 0.8, (SETTINGS["steps"], 1))
    capacities = memory_capacity(model, SETTINGS["k_max"], as_list=True, series=series, test_size=0.5)
    told = {
        "_about": "made by scripts/reservoirpy_memory.py, which says how; capacities[i] is for lag i + 1",
        "reservoirpy": version("reservoirpy"),
        "settings": SETTINGS,
        "weight_hh": weights.tolist(),
        "weight_ih": into.tolist(),
        "capacities": capacities.tolist(),
        "total": float(capacities.sum()),
    }
    STORE.write_text(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
