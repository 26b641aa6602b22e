"""Measures speed and memory against what people run today, both in one run, and writes benchmarks/results.md.

python benchmarks/run.py [SECTION ...]
"""

import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import median

import jax
import numpy as np
import torch
import training_step
from engine import engine_table

import hitherto
from hitherto.core.names import known
from hitherto.files import write
from hitherto.measures.lag_jacobian import PROBES, lag_jacobian
from hitherto.measures.trajectory import Trajectory, drive

RESULTS = Path(__file__).parent / "results.md"
WIDTH, SEQUENCES, STEPS, LAGS = 128, 32, 1000, 61
RUNS = 3
LENGTHS = (1000, 2000, 4000, 8000)


def seconds(action: Callable[[], object]) -> float:
    """Wall time of one call."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def signs(shape: torch.Size, seed: int) -> torch.Tensor:
    """A Rademacher probe."""
    return torch.randint(0, 2, shape, generator=torch.Generator().manual_seed(seed)).double() * 2 - 1


def loop_over_lags(layer: torch.nn.LSTM, x: torch.Tensor, lags: int) -> np.ndarray:
    """rms |dh[T]/dx[T-k]|, k = 0..lags, as usually written: one run, a backward pass for every lag and probe."""
    steps = [step.clone().requires_grad_() for step in x.unbind(1)]
    h = layer(torch.stack(steps, 1))[0][:, -1]
    curve = []
    for k in range(lags + 1):
        squares = torch.zeros(len(x), dtype=x.dtype)
        for seed in range(PROBES):
            (gradient,) = torch.autograd.grad((h * signs(h.shape, seed)).sum(), steps[-1 - k], retain_graph=True)
            squares += (gradient**2).sum(-1) / PROBES
        curve.append(float(squares.mean().sqrt()))
    return np.array(curve)


def one_pass(layer: torch.nn.LSTM, x: torch.Tensor, lags: int) -> np.ndarray:
    """The same by somebody who knows that one backward pass holds all lags: one run, one backward pass a probe."""
    x = x.clone().requires_grad_()
    h = layer(x)[0][:, -1]
    squares = torch.zeros(x.shape[:2], dtype=x.dtype)
    for seed in range(PROBES):
        (gradient,) = torch.autograd.grad((h * signs(h.shape, seed)).sum(), x, retain_graph=True)
        squares += (gradient**2).sum(-1) / PROBES
    return squares.mean(0).sqrt().numpy()[::-1][: lags + 1]


def jacobian_table() -> list[str]:
    """The three ways on the same LSTM and sequences, float64, the same number of probes and lags."""
    torch.manual_seed(0)
    torch.set_num_threads(os.cpu_count() or 1)
    layer = torch.nn.LSTM(WIDTH, WIDTH, batch_first=True).double()
    model = hitherto.load(layer)
    one_window, whole = (
        drive(model, sequences=SEQUENCES, steps=LAGS + 1),
        drive(model, sequences=SEQUENCES, steps=STEPS),
    )
    x = torch.tensor(one_window.inputs[:, -2 * (LAGS + 1) :])
    cold = seconds(lambda: lag_jacobian(one_window, max_lag=LAGS))
    warm = median(seconds(lambda: lag_jacobian(one_window, max_lag=LAGS)) for _ in range(RUNS))
    lag_jacobian(whole, max_lag=LAGS)
    every = median(seconds(lambda: lag_jacobian(whole, max_lag=LAGS)) for _ in range(RUNS))
    known = median(seconds(lambda: one_pass(layer, x, LAGS)) for _ in range(RUNS))
    looped = seconds(lambda: loop_over_lags(layer, x, LAGS))
    gap = np.abs(one_pass(layer, x, LAGS) / curve(one_window) - 1)[:20].max()
    rows = [
        ("loop over lags, PyTorch autograd", 1, looped),
        ("one backward pass a probe, PyTorch autograd", 1, known),
        ("`lag_jacobian`, first call (compiles)", 1, cold),
        ("`lag_jacobian`, later calls", 1, warm),
        ("`lag_jacobian`, every window of the run", STEPS // (LAGS + 1), every),
    ]
    return [
        "| way | ends per sequence | seconds | times faster than the loop, for all its ends |",
        "| --- | --- | --- | --- |",
        *(f"| {name} | {ends} | {t:.2f} | {ends * looped / t:.1f} |" for name, ends, t in rows),
        "",
        f"LSTM({WIDTH}), {SEQUENCES} sequences, lags 0 to {LAGS}, {PROBES} Rademacher probes, float64. Largest gap "
        f"of the curves over lags 0 to 19, from the probes: {gap:.1%}.",
    ]


def curve(run: Trajectory) -> np.ndarray:
    """Our rms curve."""
    return np.asarray(lag_jacobian(run, max_lag=LAGS)[0].value)


def process(arguments: list[str]) -> tuple[float, float, float]:
    """Wall seconds, CPU seconds and peak memory in MB of one command.

    A small process between us and the command keeps our own memory out of the child's peak.
    """
    code = (
        "import resource, subprocess, sys; "
        "subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True); "
        "u = resource.getrusage(resource.RUSAGE_CHILDREN); print(u.ru_utime + u.ru_stime, u.ru_maxrss / 1024)"
    )
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    cpu, peak = map(float, done.stdout.split())
    return time.perf_counter() - began, cpu, peak


def command_table() -> list[str]:
    """Whole commands as a user runs them."""
    command = str(Path(sys.executable).parent / "hitherto")
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "lstm.safetensors"
        hitherto.save(hitherto.build(hitherto.LSTM(WIDTH, WIDTH)), model)
        narrow = Path(folder) / "narrow.safetensors"
        hitherto.save(hitherto.build(hitherto.LSTM(1, WIDTH)), narrow)
        out = ["--out", f"{folder}/report.html"]
        rows = [
            ("`hitherto --help`", [process([command, "--help"]) for _ in range(RUNS)]),
            (
                f"`hitherto profile`, LSTM(1, {WIDTH}), {SEQUENCES} x {STEPS}",
                [process([command, "profile", str(narrow), *out])],
            ),
            (
                f"`hitherto profile`, LSTM({WIDTH}, {WIDTH}), {SEQUENCES} x {STEPS}",
                [process([command, "profile", str(model), *out])],
            ),
            ("`hitherto profile`, the embedded LSTM and its text", [process([command, "profile", *out])]),
        ]
    lines = ["| command | seconds | CPU seconds | peak MB |", "| --- | --- | --- | --- |"]
    for name, runs in rows:
        wall, cpu, peak = (median(run[i] for run in runs) for i in range(3))
        lines.append(f"| {name} | {wall:.2f} | {cpu:.2f} | {peak:.0f} |")
    return lines


def length_table() -> list[str]:
    """Peak memory of the Jacobian curve against the length of the run; linear, not square."""
    code = (
        "import sys, hitherto; from hitherto.measures.trajectory import drive; "
        "from hitherto.measures.lag_jacobian import lag_jacobian; "
        f"m = hitherto.build(hitherto.LSTM(1, {WIDTH})); steps = int(sys.argv[1]); "
        "lag_jacobian(drive(m, sequences=8, steps=steps), max_lag=steps // 2)"
    )
    lines = ["| steps | seconds | peak MB |", "| --- | --- | --- |"]
    for steps in LENGTHS:
        wall, _, peak = process([sys.executable, "-c", code, str(steps)])
        lines.append(f"| {steps} | {wall:.1f} | {peak:.0f} |")
    return [*lines, "", f"LSTM(1, {WIDTH}), 8 sequences, lags up to half of the steps, run and curve together."]


def tables_of(script: str) -> list[str]:
    """What a script prints that keeps to one core, and so is a process of its own."""
    ran = subprocess.run([sys.executable, Path(__file__).parent / script], capture_output=True, text=True)
    if ran.returncode:
        raise RuntimeError(ran.stderr)
    return ran.stdout.splitlines()


def recorded() -> dict[str, list[str]]:
    """The sections of the results file by title."""
    parts = RESULTS.read_text().split("\n## ")[1:] if RESULTS.exists() else []
    return {title: body.strip().splitlines() for title, _, body in (part.partition("\n") for part in parts)}


def main(wanted: Sequence[str]) -> None:
    """All tables, or those that are named anew and the others as they stand."""
    sections = {
        "The experiment engine": engine_table,  # first, for it tells the memory of this process
        "Separation ranks": partial(tables_of, "separation_rank.py"),
        "Depth": partial(tables_of, "depth.py"),
        "Unitary": partial(tables_of, "unitary.py"),
        "Linear bias": partial(tables_of, "linear_bias.py"),
        "Mean field": partial(tables_of, "mean_field.py"),
        "Jacobian by lag": jacobian_table,
        "Whole commands": command_table,
        "Memory against length": length_table,
        "Training step": training_step.main,
    }
    versions = f"Python {platform.python_version()}, JAX {jax.__version__}, PyTorch {torch.__version__}"
    about = f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, {versions}."
    tables = recorded()
    for title in wanted or sections:
        print(f"{title} ...", flush=True)
        tables[title] = [about, "", *sections[known(title, sections, "section")]()]
    text = [
        "# Benchmarks",
        "",
        "Made by `make bench`; ratios within one run are what counts, seconds are this machine's.",
    ]
    for title in sections:
        if title in tables:
            text += ["", f"## {title}", "", *tables[title]]
    write(RESULTS, ("\n".join(text) + "\n").encode())
    print("\n".join(text))


if __name__ == "__main__":
    main(sys.argv[1:])
