"""Kernels of fully connected networks by neural-tangents, stored for comparison with our recurrent ones.

Run where `neural-tangents` 0.6.5 and a JAX that it works with are installed (0.4.23 does):
`python scripts/neural_tangents_fixtures.py`. That library has no recurrent layers. Its networks

    g[1] = s_u U x / sqrt(m) + s_b b,  g[l+1] = s_w W_l phi(g[l]) / sqrt(n) + s_b b_l,  y = s_v v phi(g[L]) / sqrt(n)

are ours after one step for L = 1. For larger L they have a W for each layer where ours share one over L steps, with x
as the first input and zeros after it; in the limit of great width both have the same kernels.
"""

import json
from importlib.metadata import version
from itertools import product
from pathlib import Path

import jax
import numpy as np
from neural_tangents import stax

jax.config.update("jax_enable_x64", True)  # this script is nobody's library

ACTIVATIONS = {"linear": stax.Identity, "erf": stax.Erf, "relu": stax.Relu}
SIZES = (  # s_w, s_u, s_b, s_v
    (1.0, 1.0, 0.0, 1.0),
    (1.3, 0.7, 0.4, 0.9),
)
LAYERS = (1, 2, 4)
SEED, CHANNELS = 0, 3
STORE = Path(__file__).parents[1] / "tests" / "oracles" / "neural_tangents.json"


def inputs() -> np.ndarray:
    """Two random ones, one near the first, one ten times the second, one opposite to it."""
    first, second, noise = np.random.default_rng(SEED).normal(size=(3, CHANNELS))
    return np.stack([first, second, first + 0.01 * noise, 10 * second, -second])


def kernels(activation: str, layers: int, sizes: tuple[float, ...]) -> dict[str, list[list[float]]]:
    """NNGP and NTK between all inputs."""
    s_w, s_u, s_b, s_v = sizes
    parts = []
    for scale in (s_u, *(s_w,) * (layers - 1)):
        parts += [stax.Dense(1, W_std=scale, b_std=s_b or None), ACTIVATIONS[activation]()]
    _, _, kernel = stax.serial(*parts, stax.Dense(1, W_std=s_v))
    found = kernel(inputs(), None, ("nngp", "ntk"))
    return {"nngp": np.asarray(found.nngp).tolist(), "ntk": np.asarray(found.ntk).tolist()}


def main() -> None:
    cases = [
        {"activation": activation, "layers": layers, "sizes": sizes, **kernels(activation, layers, sizes)}
        for activation, layers, sizes in product(ACTIVATIONS, LAYERS, SIZES)
    ]
    told = {
        "_about": "made by scripts/neural_tangents_fixtures.py, which says how; sizes are s_w, s_u, s_b, s_v",
        "versions": {name: version(name) for name in ("neural-tangents", "jax", "jaxlib", "numpy")},
        "inputs": inputs().tolist(),
        "cases": cases,
    }
    STORE.write_text(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
