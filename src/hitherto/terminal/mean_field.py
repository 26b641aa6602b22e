"""`predict transition`, `solve mean-field` and `design schedule`: what wide trained networks come to represent."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from hitherto.inputs import load_array
from hitherto.terminal.problem_file import read_problem
from hitherto.theory.mean_field import Problem
from hitherto.theory.mean_field_schedule import next_step, schedule_error, schedule_errors
from hitherto.theory.mean_field_solver import Minimum, Solution, solve
from hitherto.theory.mean_field_transition import Transition, cross_time_correlation, transition
from hitherto.theory.mean_field_weights import outliers

SHOWN = 40  # rows of a table of outputs
ENDS = 5  # best and worst schedules


def problem_of(path: Path | None, given: dict[str, Any]) -> Problem:
    """The problem of a file, or of one input at the first time and a label at the last, with the options given."""
    if path is None:
        settings = dict(times=3, label=1.0) | given
        times, label = settings.pop("times"), settings.pop("label")
        return Problem.pulse(np.array([[label]]), (times - 1,), times, **settings)
    if given:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise ValueError(f"{path} says all, and {options} beside it; write that into the file, or give no file")
    return read_problem(path)


def print_transition(problem: Problem, as_json: bool) -> None:
    """Print the phase, the distance to the threshold and the marks of this depth.

    Raises:
        ValueError: as for `transition`.
    """
    found = transition(problem)
    if as_json:
        print(json.dumps(_plain(asdict(found) | dict(groups=problem.groups))))
        return
    console = Console(highlight=False)
    for line in (*_groups(problem), *_phase(found)):
        console.print(line)


def solve_file(path: Path, seed: int, as_json: bool) -> int:
    """Solve the problem of a file and print every minimum and the outputs of the lowest; 1 if it is not solved.

    Raises:
        ValueError: if the file describes no problem, or one that is not linear.
    """
    problem = read_problem(path)
    found = solve(problem, seed=seed)
    if as_json:
        print(json.dumps(_solution(found)))
        return int(found.status != "solved")
    console = Console(highlight=False)
    for line in (*_groups(problem), *found.notes, f"{found.status}: {found.starts} starts, {found.lost} of them lost"):
        console.print(line)
    if found.minima:
        console.print(_minima(found))
    if found.status == "solved":
        console.print(_outputs(found))
    return int(found.status != "solved")


def print_schedules(targets: Path, steps: tuple[int, ...], count: int | None, as_json: bool, **settings: Any) -> None:
    """Print the schedules of `count` labelled times from best to worst, or the error of `steps` and the best next one.

    Raises:
        ValueError: if the file holds no targets, or times that are not there are named.
    """
    if steps and count is not None:
        raise ValueError(
            f"--count {count} compares all schedules, and --steps {' '.join(map(str, steps))} fixes one; give either"
        )
    members = _targets(targets)
    if count is None:
        _print_next(members, _steps(steps, members.shape[2]), as_json, settings)
        return
    if not 1 <= count < members.shape[2]:
        raise ValueError(
            f"{count} labelled times were asked of {members.shape[2]}; ask for 1 to {members.shape[2] - 1}"
        )
    errors = schedule_errors(members, count, **settings)
    if as_json:
        print(json.dumps([dict(steps=list(steps), error=error) for steps, error in errors.items()]))
        return
    shown = Table("labelled steps", "error at the others, of y^2", box=None, pad_edge=False)
    told = list(errors.items())
    skipped = max(0, len(told) - 2 * ENDS)
    for place, (labelled, error) in enumerate(told):
        if place == ENDS and skipped:
            shown.add_row(f"... {skipped} between", "")
        if place < ENDS or place >= ENDS + skipped:
            shown.add_row(" ".join(map(str, labelled)), f"{error:.4g}")
    console = Console(highlight=False)
    console.print(shown)
    console.print(f"mean {np.mean(list(errors.values())):.4g}; a feedforward network has 1, as it answers 0 there")


def _print_next(members: np.ndarray, steps: tuple[int, ...], as_json: bool, settings: dict[str, Any]) -> None:
    chosen = next_step(members, steps, **settings)
    before = schedule_error(members, steps, **settings) if steps else 1.0
    after = schedule_error(members, tuple(sorted((*steps, chosen))), **settings)
    if as_json:
        print(json.dumps(dict(steps=list(steps), error=before, next_step=chosen, error_with_it=after)))
        return
    named = f"labels at {' '.join(map(str, steps))}: error {before:.4g}" if steps else "no labels: error 1"
    print(f"{named} at the other steps, of y^2; label step {chosen} next: {after:.4g}")


def _targets(path: Path) -> np.ndarray:
    members = load_array(path)
    if members.dtype.kind not in "iuf" or not np.isfinite(members).all():
        raise ValueError(f"{path} is to hold targets, found {members.dtype} not all finite; give finite numbers")
    if members.ndim not in (2, 3) or not members.size:
        raise ValueError(f"{path} has the shape {members.shape}; give (pattern, time) or (member, pattern, time)")
    return (members if members.ndim == 3 else members[None]).astype(float)


def _steps(steps: tuple[int, ...], times: int) -> tuple[int, ...]:
    outside = [step for step in steps if not 0 <= step < times]
    if outside or len(set(steps)) < len(steps):
        raise ValueError(f"labelled steps {list(steps)} of {times} times; name each once, from 0 to {times - 1}")
    return tuple(sorted(steps))


def _groups(problem: Problem) -> tuple[str, ...]:
    kind = "recurrent" if problem.times_sharing.all() else "feedforward" if problem.shared is False else "partly shared"
    sizes = f"{kind} network, {problem.activation}; patterns: {problem.patterns}, times: {problem.times}, "
    groups = problem.groups
    scale = "in units of s_a^2 g_v^2 g^(2(T-1))"
    return (
        f"{sizes}labels: {len(problem.labelled)}",
        f"signal {groups['signal']:.4g}, noise {groups['noise']:.4g} ({scale})",
    )


def _phase(found: Transition) -> list[str]:
    lines = [f"phase: {found.phase}"]
    if found.reason:
        lines.append(found.reason)
    if found.warning:
        lines.append(f"beware: {found.warning}")
    if np.isfinite(found.label_factor):
        kind = "loses its stability (a coherent one may win before)" if found.local else "is no longer the ground state"
        lines.append(f"the incoherent state {kind} at labels {found.label_factor:.6g} times as large")
    if found.order:
        lines.append(
            f"the transition is {found.order}; stability ends at {found.stability_factor:.6g} times the labels"
        )
    if np.isfinite(found.gain):
        lines.append(f"gain r of a layer {found.gain:.6g}, signal Lambda that reaches the chain {found.signal:.6g}")
    if found.landmarks is not None:
        lines.append(", ".join(f"{name} {_number(value)}" for name, value in asdict(found.landmarks).items()))
    if found.susceptibility is not None:
        told = " ".join(f"{value:.4g}" for value in found.susceptibility.diagonal())
        lines.append(f"N <rho^2> of neighbouring times: {told}")
    if found.crossover is not None:
        pairs = zip(found.crossover.factors, found.crossover.correlations, strict=True)
        told = ", ".join(f"{value:.3f} at {factor:g}" for factor, value in pairs)
        lines.append(f"mean |correlation| between times by factor on the labels: {told}")
    return lines


def _minima(found: Solution) -> Table:
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("state", "action F", "least curvature", "|correlation| of times", "outliers of W"):
        shown.add_column(name, overflow="fold")
    for place, minimum in enumerate(found.minima):
        state = "ground state" if place == 0 else "metastable"
        shown.add_row(
            state + (" (one of a mirror pair)" if minimum.mirror is not None else ""),
            f"{minimum.action:.9g}",
            f"{minimum.least_curvature:.3g}",
            f"{cross_time_correlation(minimum.kernel, found.problem.times):.4f}" if found.problem.times > 1 else "none",
            _outliers(found.problem, minimum),
        )
    return shown


def _outliers(problem: Problem, minimum: Minimum) -> str:
    visible = [value for group in outliers(problem, minimum.kernel) for value in group.visible_eigenvalues]
    return ", ".join(_complex(value) for value in visible) or f"none beyond {np.sqrt(problem.recurrent_variance):.4g}"


def _outputs(found: Solution) -> Table:
    problem, prediction, mean = found.problem, found.best.prediction, found.mean
    labels = dict(zip(problem.labelled, problem.labels, strict=True))
    shown = Table(box=None, pad_edge=False, header_style="bold")
    spread = "" if problem.width is None else f"spread at {problem.width} units"
    for name in ("time", "pattern", "label", "output", "sqrt(N) spread", *([spread] if spread else [])):
        shown.add_column(name, justify="right")
    for entry in range(min(SHOWN, problem.size)):
        deviation = np.sqrt(max(prediction.variance[entry], 0.0))
        row = (
            str(entry // problem.patterns),
            str(entry % problem.patterns),
            " ".join(f"{y:.4g}" for y in labels[entry]) if entry in labels else "",
            " ".join(f"{f:.4f}" for f in mean[entry]),
            f"{deviation:.3g}",
        )
        shown.add_row(*row, *([f"{deviation / np.sqrt(problem.width):.3g}"] if problem.width else []))
    if problem.size > SHOWN:
        shown.caption = f"the first {SHOWN} of {problem.size} entries; --json has all"
    return shown


def _solution(found: Solution) -> dict[str, Any]:
    minima = [
        dict(
            action=minimum.action,
            least_curvature=minimum.least_curvature,
            has_mirror=minimum.mirror is not None,
            correlation=cross_time_correlation(minimum.kernel, found.problem.times),
            kernel=minimum.kernel,
            output=minimum.prediction.mean,
            variance=minimum.prediction.variance,
            outliers=[value for group in outliers(found.problem, minimum.kernel) for value in group.eigenvalues],
        )
        for minimum in found.minima
    ]
    about = dict(status=found.status, starts=found.starts, lost=found.lost, notes=found.notes)
    solved = dict(output=found.mean) if found.status == "solved" else {}
    return _plain(about | dict(groups=found.problem.groups, minima=minima) | solved)


def _plain(value: Any) -> Any:
    """As JSON has it: lists for arrays, [real, imaginary] for complex numbers, null where there is no number."""
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, np.ndarray | list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, complex | np.complexfloating):
        return [float(value.real), float(value.imag)]
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value


def _complex(value: complex) -> str:
    return f"{value.real:.4g}" if abs(value.imag) < 1e-12 else f"{value.real:.4g}{value.imag:+.4g}i"


def _number(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
