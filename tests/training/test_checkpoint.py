"""A training that is interrupted anywhere and started again gives the same bits; what does not fit is refused."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from small_tasks import Delayed

from hitherto import files
from hitherto.architectures.rnn import RNN
from hitherto.core.model import build
from hitherto.training import _checkpoint
from hitherto.training._loop import Program, begin
from hitherto.training.fit import fit, sweep
from hitherto.training.settings import Training

MODEL, TASK = RNN(1, 3, 1), Delayed()
TRAINING = Training(learning_rate=0.01, steps=50, batch=4, validation=8, validate_every=20, dtype="float64")
RUNS = ((0, 1), (0.01, 0.1))


class Interrupted(Exception):
    """Stands for whatever ends a process."""


def interrupt_at(step):
    def progress(p):
        if p.step >= step:
            raise Interrupted

    return progress


def told(fit):
    """All that a result says, as plain arrays."""
    return vars(fit) | dict(best=fit.best.weights, last=fit.last.weights)


def assert_same(found, expected):
    for one, other in zip(found, expected, strict=True):
        jax.tree.map(np.testing.assert_array_equal, told(one), told(other))


@pytest.fixture(scope="module")
def uninterrupted():
    return sweep(MODEL, TASK, TRAINING, *RUNS)


@pytest.mark.parametrize(("sequences", "dtype"), [(None, "float64"), (10, "float32")])
def test_resumed_training_gives_the_same_bits(tmp_path, sequences, dtype):
    training = replace(TRAINING, sequences=sequences, dtype=dtype)
    expected = sweep(MODEL, TASK, training, *RUNS)
    file = tmp_path / "kept"
    for step in (7, 30):
        with pytest.raises(Interrupted):
            sweep(MODEL, TASK, training, *RUNS, checkpoint=file, checkpoint_every=7, progress=interrupt_at(step))
    assert_same(sweep(MODEL, TASK, training, *RUNS, checkpoint=file, checkpoint_every=7), expected)


@pytest.mark.parametrize("writes", [0, 1, 3])
def test_an_unfinished_write_loses_only_itself(tmp_path, monkeypatch, uninterrupted, writes):
    file, replacing, left = tmp_path / "kept", os.replace, iter(range(writes))

    def dying(*names):
        if next(left, None) is None:
            raise Interrupted
        replacing(*names)

    with monkeypatch.context() as patched:
        patched.setattr(files.os, "replace", dying)
        with pytest.raises(Interrupted):
            sweep(MODEL, TASK, TRAINING, *RUNS, checkpoint=file, checkpoint_every=7)
    assert file.exists() == bool(writes)
    assert_same(sweep(MODEL, TASK, TRAINING, *RUNS, checkpoint=file), uninterrupted)


KILLED = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_checkpoint import MODEL, RUNS, TASK, killed_training
from hitherto.training.fit import sweep
sweep(MODEL, TASK, killed_training(), *RUNS, checkpoint=Path(sys.argv[2]), checkpoint_every=1)
"""


def killed_training():
    return replace(TRAINING, steps=3000, validate_every=500)


def test_a_killed_process_loses_at_most_the_last_steps(tmp_path):
    expected = sweep(MODEL, TASK, killed_training(), *RUNS)
    file = tmp_path / "kept"
    with subprocess.Popen([sys.executable, "-c", KILLED, str(Path(__file__).parent), str(file)]) as process:
        while not file.exists():
            assert process.poll() is None
            time.sleep(0.01)
        time.sleep(0.1)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    seen = []
    assert_same(sweep(MODEL, TASK, killed_training(), *RUNS, checkpoint=file, progress=seen.append), expected)
    assert seen, "it was killed too late"


def test_a_finished_training_is_only_read(tmp_path, monkeypatch, uninterrupted):
    file = tmp_path / "kept"
    assert_same(sweep(MODEL, TASK, TRAINING, *RUNS, checkpoint=file), uninterrupted)
    written = file.read_bytes()
    monkeypatch.setattr("hitherto.training._course.advance", None)
    monkeypatch.setattr("hitherto.training._course.evaluate", None)
    assert_same(sweep(MODEL, TASK, TRAINING, *RUNS, checkpoint=file), uninterrupted)
    assert file.read_bytes() == written


def test_runs_that_all_ended_early_are_finished_too(tmp_path, monkeypatch):
    file, training = tmp_path / "kept", replace(TRAINING, optimiser="sgd", learning_rate=1e5, validate_every=50)
    linear = RNN(1, 3, 1, activation="linear")
    found = fit(linear, TASK, training, checkpoint=file)
    assert found.status == "diverged"
    monkeypatch.setattr("hitherto.training._course.advance", None)
    assert_same([fit(linear, TASK, training, checkpoint=file)], [found])


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    file = tmp_path_factory.mktemp("kept") / "kept"
    fit(MODEL, TASK, TRAINING, checkpoint=file)
    return file


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(training=replace(TRAINING, batch=5)), "another training: batch was 4, now 5"),
        (dict(training=replace(TRAINING, steps=60, clip=0.5)), "clip was None, now 0.5; steps was 50, now 60"),
        (dict(start=RNN(1, 4, 1)), "architecture was .*width=3.*, now .*width=4"),
        (dict(task=Delayed(lag=2)), "task was .*lag=1.*, now .*lag=2"),
        (dict(seed=1), "weights was .*seed was \\[0\\], now \\[1\\]"),
        (dict(start=build(MODEL, 5)), "weights was"),
    ],
)
def test_another_training_is_refused(kept, change, message):
    with pytest.raises(ValueError, match=message):
        fit(**dict(start=MODEL, task=TASK, training=TRAINING) | change, checkpoint=kept)


def rewritten(kept, tmp_path, change, arrays_too=lambda arrays: arrays):
    """The checkpoint with its note changed."""
    arrays = safetensors.numpy.load(kept.read_bytes())
    with safetensors.safe_open(kept, framework="numpy") as file:
        note = json.loads(file.metadata()["hitherto_training"])
    changed = tmp_path / "changed"
    metadata = {"hitherto_training": json.dumps(change(note))}
    changed.write_bytes(safetensors.numpy.save(arrays_too(arrays), metadata))
    return changed


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda note: note | dict(format=2), "has format 2, this version reads up to 1; update hitherto"),
        (lambda note: note | dict(sha256="0"), "damaged: its arrays do not give the checksum"),
        (lambda note: note | dict(identity=[]), "is no checkpoint of a training"),
        (lambda note: [], "is no checkpoint of a training"),
    ],
)
def test_other_notes_are_refused(kept, tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        fit(MODEL, TASK, TRAINING, checkpoint=rewritten(kept, tmp_path, change))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda arrays: {n: a for n, a in arrays.items() if n != "run/steps"}, "lacks or has too much: run/steps"),
        (lambda arrays: arrays | {"run/steps": np.zeros((1, 2))}, "should hold run/steps as int32 \\(1,\\)"),
    ],
)
def test_other_arrays_are_refused(kept, tmp_path, monkeypatch, change, message):
    monkeypatch.setattr(_checkpoint, "_digest", lambda arrays: None)
    changed = rewritten(kept, tmp_path, lambda note: note | dict(sha256=None), change)
    with pytest.raises(ValueError, match=message):
        fit(MODEL, TASK, TRAINING, checkpoint=changed)


@pytest.mark.parametrize("keep", [0, 4, 100, -1])
def test_a_cut_checkpoint_is_refused(kept, tmp_path, keep):
    cut = tmp_path / "cut"
    cut.write_bytes(kept.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"cut is damaged or no safetensors file .*delete it to start anew"):
        fit(MODEL, TASK, TRAINING, checkpoint=cut)


def test_a_flipped_bit_is_noticed(kept, tmp_path):
    data = bytearray(kept.read_bytes())
    data[-5] ^= 1
    flipped = tmp_path / "flipped"
    flipped.write_bytes(data)
    with pytest.raises(ValueError, match="is damaged"):
        fit(MODEL, TASK, TRAINING, checkpoint=flipped)


def test_a_place_that_cannot_be_written_is_refused_before_any_work(tmp_path):
    with pytest.raises(ValueError, match="there is no folder"):
        fit(MODEL, TASK, TRAINING, checkpoint=tmp_path / "missing" / "kept", progress=lambda _: pytest.fail("worked"))


def test_complex_numbers_and_random_keys_come_back(tmp_path):
    training = Training(optimiser="noisy_sgd", optimiser_settings=(("key", 5),))
    program = Program(MODEL, "squared", training)
    run = begin(program, jax.tree.map(lambda w: w[None], MODEL.init(jax.random.key(0))), jnp.ones(1))
    tree = dict(run=run, odd=jnp.asarray([[complex(-0.0, 1.0), complex(np.inf, -0.0)]]))
    file = tmp_path / "kept"
    _checkpoint.save(file, {}, _checkpoint.packed(tree))
    back = _checkpoint.unpacked(tree, _checkpoint.load(file, {}, set(_checkpoint.packed(tree))), file)
    assert jax.tree.structure(back) == jax.tree.structure(tree)
    for one, other in zip(
        jax.tree.leaves(_checkpoint.packed(back)), jax.tree.leaves(_checkpoint.packed(tree)), strict=True
    ):
        assert one.tobytes() == other.tobytes()
