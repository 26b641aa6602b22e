"""Real trained models, from the packages that ship them, profiled and compared."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import hitherto
from hitherto.architectures.outside import Reading, find

QUICK = hitherto.Settings(sequences=8, steps=120)
SAME = ("silero_vad_16k_sequence.onnx", "silero_vad_openvino_16k.onnx", "silero_vad_16k_op15.onnx")
OTHERS = ("silero_vad_half.onnx", "silero_vad_16k.safetensors")


@pytest.fixture(scope="module")
def folder() -> Path:
    """Where the silero-vad package keeps its files; the package itself is not imported."""
    spec = find_spec("silero_vad")
    if spec is None or spec.origin is None:
        pytest.skip("silero-vad is not installed; `make test` installs it")
    return Path(spec.origin).parent / "data"


def half_life(model: hitherto.Model) -> float:
    return float(hitherto.measure("gradient_half_life", model, settings=QUICK).value)


def test_variants_with_the_same_weights_have_the_same_memory_and_others_do_not(folder):
    same = {half_life(hitherto.load(folder / name)) for name in SAME}
    assert len(same) == 1
    different = {half_life(hitherto.load(folder / name)) for name in OTHERS}
    assert len(different | same) == 1 + len(OTHERS)


@pytest.mark.slow
def test_every_recurrent_model_of_every_variant_is_profiled(folder):
    found = {}
    for path in sorted(folder.glob("*.onnx")):
        for one in find(path, Reading()):
            found[path.name, one.name] = half_life(one.model)
    assert len(found) == 8  # six files, two of them with a second model for 8 kHz
    assert all(0 < value < 100 for value in found.values())


@pytest.mark.slow
def test_the_whole_profile_of_a_voice_detector(folder, tmp_path):
    model = hitherto.load(folder / "silero_vad_16k.safetensors")
    profile = hitherto.profile(model, settings=hitherto.Settings(sequences=16, steps=200, step_seconds=0.032))
    assert profile.verdict[0].startswith("Forgets half of an input within")
    assert profile.provenance["state_size"] == 256
    assert "ms" in profile.verdict[0] or " s)" in profile.verdict[0]
    profile.to_html(tmp_path / "report.html")
    dimension = profile.estimate("participation_ratio")
    assert 1 < dimension.value < 128
    assert np.isfinite(dimension.standard_error)
