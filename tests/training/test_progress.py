"""What a training says while it goes on."""

import math

import numpy as np
import pytest
from small_tasks import Delayed

from hitherto.architectures.rnn import RNN
from hitherto.training.fit import sweep
from hitherto.training.progress import Progress, shown
from hitherto.training.settings import Training


def test_progress_is_told_from_block_to_block():
    seen = []
    training = Training(steps=70, batch=4, validation=8, validate_every=50, dtype="float64")
    found = sweep(RNN(1, 3, 1), Delayed(), training, (0, 1), (0.01, 0.1), progress=seen.append)
    assert [p.step for p in seen] == [32, 50, 64, 70]
    assert all((p.steps, p.runs, p.running) == (70, 4, 4) for p in seen)
    assert seen[-1].loss == np.median([f.train_loss[-1] for f in found])
    assert seen[0].rate == 0
    assert seen[-1].rate > 0
    assert seen[-1].seconds_left == 0


def test_time_left_follows_from_the_rate():
    assert Progress(20, 100, 1, 1, 0.5, 40.0).seconds_left == 2.0
    assert Progress(20, 100, 1, 1, 0.5, 0.0).seconds_left == math.inf


@pytest.mark.parametrize(
    ("progress", "text"),
    [
        (Progress(20, 100, 1, 1, 0.51234, 40.0), "step 20 of 100, loss 0.5123, 40 steps/s, 2 s left"),
        (Progress(20, 100, 2, 3, 0.5, 0.0), "step 20 of 100, 2 of 3 runs, loss 0.5"),
    ],
)
def test_progress_in_words(progress, text):
    assert str(progress) == text


def test_plain_lines_where_there_is_no_terminal(capsys):
    with shown(every=1000.0) as show:
        for step in (10, 20, 30):
            show(Progress(step, 30, 1, 1, 0.5, 10.0))
    lines = capsys.readouterr().err.splitlines()
    assert lines == [f"hitherto: {Progress(step, 30, 1, 1, 0.5, 10.0)}" for step in (10, 30)]


def test_a_bar_on_a_terminal(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    with shown() as show:
        show(Progress(30, 30, 1, 1, 0.5, 10.0))
    assert "loss 0.5" in capsys.readouterr().err
