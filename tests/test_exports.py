"""The public names are those listed, and importing the package alone is light."""

import subprocess
import sys

import pytest

import hitherto


def test_every_public_name_is_there():
    for name in hitherto.__all__:
        assert getattr(hitherto, name) is not None
    assert sorted(hitherto.__all__) == sorted(hitherto._HOME)


def test_public_names_stay_themselves_after_use():
    assert callable(hitherto.profile)
    assert callable(hitherto.profile)
    assert callable(hitherto.embedded_model)


def test_unknown_names_are_refused():
    with pytest.raises(AttributeError, match="nothing_of_this_name"):
        getattr(hitherto, "nothing_of_this_name")  # noqa: B009


def test_importing_loads_neither_jax_nor_numpy():
    code = "import sys, hitherto; print([m for m in ('jax', 'numpy', 'equinox', 'matplotlib') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
