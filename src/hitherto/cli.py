"""The command line: parse, call one public function, print."""

import os
import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

app = App(name="hitherto", help="What a recurrent model can remember: before it is trained, and after.")


@app.command
def profile(
    model: Path | None = None,
    /,
    *,
    input: Path | None = None,  # the option is --input
    layer: str | None = None,
    steps: int = 1000,
    sequences: int = 32,
    seed: int = 0,
    out: Path = Path("report.html"),
    json: Path | None = None,
    step_seconds: float | None = None,
    precision: Literal["float64", "float32"] = "float64",
    activation: str | None = None,
    recurrent_activation: str | None = None,
    gates: str | None = None,
    reset: Literal["after", "before"] | None = None,
    initial: Path | None = None,
    initial_state: Path | None = None,
    max_bytes: int = 4 * 2**30,
) -> None:
    """Report what a trained recurrent model remembers.

    Parameters
    ----------
    model
        A .safetensors, .npz, .onnx, .h5, .keras or .pt file; without it, the small LSTM that ships with the package.
    input
        Your input sequences, a .npy or a .npz with one array, of floats (time, input) or (sequence, time, input), or of
        integer tokens; without it, white noise, or the package's own text where no model is given.
    layer
        Which recurrent layer of the file, by name.
    steps
        Steps of white noise after the burn-in.
    sequences
        Sequences of white noise.
    seed
        Seed of noise, probes and shuffles.
    out
        Where the HTML report goes.
    json
        Where all numbers go, if wanted.
    step_seconds
        How long a step lasts, to give lags in time as well.
    precision
        Of the forward run; float32 judges the model as it is deployed.
    activation
        Activation of a simple RNN or a candidate, where the file does not say.
    recurrent_activation
        Activation of the gates, where the file does not say.
    gates
        Order of the gate blocks, where names do not tell: ifgo, icfo, iofc, rzn, zrn, ...
    reset
        Reset convention of a GRU, where the file does not say.
    initial
        The same model before training, to be told how lazy training was.
    initial_state
        A .npz with initial_h (and initial_c) to start from instead of zeros.
    max_bytes
        Refuse files whose arrays would take more.
    """
    from hitherto.terminal.profiles import Job, Reading, Settings, profile_file

    profile_file(
        Job(model, layer, input, initial, initial_state, out, json),
        Reading(activation, recurrent_activation, gates, reset, max_bytes),
        Settings(sequences, steps, seed, precision, step_seconds),
    )


@app.command
def compare(
    *models: Path,
    names: Annotated[list[str] | None, Parameter(consume_multiple=True)] = None,
    input: Path | None = None,  # the option is --input
    layer: str | None = None,
    steps: int = 1000,
    sequences: int = 32,
    seed: int = 0,
    out: Path = Path("compare.html"),
    json: Path | None = None,
    step_seconds: float | None = None,
    precision: Literal["float64", "float32"] = "float64",
) -> None:
    """Report what differs between the memories of models, and which differences are real.

    Parameters
    ----------
    models
        Two or more files: models as for `profile`, or what `profile --json` wrote; in the order of training, if they
        are checkpoints.
    names
        One for each, to speak of them; the files' names if not given.
    input
        Input sequences for all of them, as for `profile`; without it, white noise.
    layer
        Which recurrent layer of each file, by name.
    steps
        Steps of white noise after the burn-in.
    sequences
        Sequences of white noise.
    seed
        Seed of noise, probes and shuffles, the same for all.
    out
        Where the page goes.
    json
        Where all numbers go, if wanted.
    step_seconds
        How long a step lasts, to give lags in time as well.
    precision
        Of the forward run; float32 judges the models as they are deployed.
    """
    from hitherto.terminal.compare import Job, Settings, compare_files

    given = Job(models, tuple(names) if names else None, layer, input, out, json)
    compare_files(given, Settings(sequences, steps, seed, precision, step_seconds))


@app.command
def run(
    experiment: str,
    /,
    *,
    size: str = "ci",
    workers: int | None = None,
    scheduler: str | None = None,
    out: Path = Path("results"),
) -> int:
    """Run an experiment; cases that are recorded in the folder are not computed again.

    Parameters
    ----------
    experiment
        Its name, see `hitherto list`.
    size
        ci takes seconds, paper minutes to hours, cluster more.
    workers
        Worker processes on this machine; without it, cases run in this process.
    scheduler
        Address of a running Dask scheduler, such as tcp://10.0.0.1:8786.
    out
        Folder of the results.
    """
    from hitherto.terminal.experiments import run_experiment

    return run_experiment(experiment, out, size, workers, scheduler)


@app.command
def check(name: str | None = None, /, *, size: str = "ci", json: bool = False) -> int:
    """Check theorems against measurements; exit status 1 if one fails.

    Parameters
    ----------
    name
        A paper or a claim, see `hitherto list`; all of them if not given.
    size
        ci for the smallest case of each, paper for the larger ones too.
    json
        One JSON object a line instead of a table.
    """
    from hitherto.terminal.experiments import check_claims

    return check_claims(name, size, json)


@app.command
def reproduce(
    paper: str = "all",
    /,
    *,
    size: str = "paper",
    workers: int | None = None,
    scheduler: str | None = None,
    results: Path = Path("results"),
    out: Path = Path("reproduction"),
) -> int:
    """Check the claims and run the experiments of papers, and write a site of what was found; goes on where it stopped.

    Parameters
    ----------
    paper
        Its name, see `hitherto list`, or all.
    size
        ci for a trial of minutes, paper for the whole: all papers take an hour and a quarter on
        two cores.
    workers
        Worker processes on this machine; as many as cores if not given.
    scheduler
        Address of a running Dask scheduler in place of them.
    results
        Folder of the records, as for `run`.
    out
        Folder of the site: index.html and a page a paper.
    """
    from hitherto.terminal.reproduce import reproduce_papers

    return reproduce_papers(paper, size, (results, out), workers, scheduler)


def whole(text: str) -> int:
    """A whole number as it was written; 2.5 is none."""
    try:
        return int(text)
    except ValueError as error:
        raise ValueError(f"{text!r} was given for a whole number; give one without a point") from error


predict = App(name="predict", help="What theory says before a model is trained.")
measure = App(name="measure", help="One measurement of a model.")
draw = App(name="draw", help="Pictures for slides.")
solve = App(name="solve", help="What theory says of a problem that a file describes.")
designs = App(name="design", help="Starts of training, and labels, for a memory that is wanted.")
convert = App(name="convert", help="Models with the same map in another form.")
verdict = App(name="verdict", help="Whether another form exists, and by which theorem.")
advise = App(name="advise", help="What to build for a memory that is wanted.")
for group in (advise, predict, solve, measure, designs, convert, verdict, draw):
    app.command(group)
Widths = Annotated[list[int], Parameter(consume_multiple=True)]
Steps = Annotated[int | None, Parameter(converter=lambda _, tokens: whole(tokens[0].value))]
Cuts = Annotated[list[int] | None, Parameter(consume_multiple=True)]


@advise.default
def advise_memory(
    *,
    lag: Steps = None,
    channels: int | None = None,
    data: Path | None = None,
    targets: Path | None = None,
    symbols: bool = False,
    parameters: int | None = None,
    family: str = "rnn,lstm,gru,lru,2rnn",
    cell_cost: Literal["dense", "effective"] = "dense",
    steps: int = 2000,
    seed: int = 0,
    verify: bool = False,
    workers: int | None = None,
    scheduler: str | None = None,
    results: Path = Path("results"),
    json: bool = False,
    out: Path | None = None,
) -> None:
    """Rank architectures, starts and learning rates for a lag, or for the memory that data ask for.

    Parameters
    ----------
    lag
        Steps between the oldest input that an answer needs and the answer.
    channels
        Numbers a step that must be kept; 1 by default, those of the data with --data.
    data
        A .npy of inputs, (time), (time, channel) or (sequence, time, channel), in place of a lag.
    targets
        A .npy of answers to them, step by step; without it, the next step of the data.
    symbols
        The whole numbers of the data name symbols, as characters do; otherwise they are amounts.
    parameters
        Budget; by default what one dense layer with a quarter to spare takes.
    family
        Recurrences to try, with commas between.
    cell_cost
        dense counts all weights, effective what is left when changes of basis are taken off.
    steps
        Updates of a training.
    seed
        Of draws, shuffles and trainings.
    verify
        Train the first options and two naive ones on the matching task, and print what they recall.
    workers
        Worker processes for the trainings.
    scheduler
        Address of a running Dask scheduler for the trainings.
    results
        Folder of the trainings; what is recorded there is not done again.
    json
        One JSON object.
    out
        A page with all numbers and the Pareto figure.
    """
    from hitherto.terminal.advice import Checking, Wishes, print_advice

    families = tuple(name.strip() for name in family.split(","))
    wishes = Wishes(lag, channels, data, targets, symbols, parameters, families, cell_cost, steps, seed)
    print_advice(wishes, Checking(verify, workers, scheduler, results), json, out)


@advise.command(name="copy")
def advise_copy(
    *,
    channels: int,
    delay: int | None = None,
    parameters: int | None = None,
    cost: Literal["dense", "effective"] = "dense",
    family: str = "linear",
    ranks: Annotated[list[int], Parameter(consume_multiple=True)] | None = None,
    biases: int = 0,
    readout_bias: bool = False,
    weights: Path | None = None,
    json: bool = False,
) -> None:
    """The cheapest stack that copies its input after a delay, or the longest delay for a number of parameters.

    Parameters
    ----------
    channels
        Numbers a step that must be kept.
    delay
        Steps to keep them.
    parameters
        Budget; alone it asks for the longest delay.
    cost
        dense counts all weights, effective what is left when changes of basis are taken off.
    family
        linear, cprnn, 2rnn, mirnn, tt2rnn, lstm or gru.
    ranks
        Of cprnn (one) and tt2rnn (two).
    biases
        Bias vectors a linear layer; PyTorch has 2.
    readout_bias
        Whether the readout has a bias.
    weights
        A .safetensors file for weights that attain the plan.
    json
        One JSON object.
    """
    from hitherto.terminal.depth import Request, print_plan

    print_plan(
        Request(channels, delay, parameters, cost, family, tuple(ranks or ()), biases, readout_bias), weights, json
    )


@predict.command(name="start-end-rank")
def predict_start_end_rank(
    *,
    depth: int,
    width: Widths,
    input_size: int,
    start: int,
    end: int,
    inputs: str = "continuous",
    log10: bool = False,
    json: bool = False,
) -> None:
    """Start-end rank of almost all recurrent arithmetic circuits of these sizes, in closed form.

    Parameters
    ----------
    depth
        Layers.
    width
        Units of every layer, or of each, lowest first.
    input_size
        Features of an input.
    start
        Steps before the cut.
    end
        Steps after the cut.
    inputs
        continuous, one-hot, or a number of templates.
    log10
        Powers of ten instead of all digits.
    json
        One JSON object.
    """
    from hitherto.terminal.start_end import Sizes, predict_rank

    predict_rank(Sizes(depth, tuple(width), input_size), start, end, inputs, log10, json)


@measure.command(name="start-end-rank")
def measure_start_end_rank(
    model: Path | None = None,
    /,
    *,
    start: int,
    end: int,
    depth: int | None = None,
    width: Widths | None = None,
    input_size: int | None = None,
    inputs: str = "continuous",
    output: str | None = None,
    seed: int = 0,
    json: bool = False,
) -> None:
    """Exact start-end rank: of a saved polynomial model with its weights, or of a circuit with random ones.

    Parameters
    ----------
    model
        A file; without it, give depth, width and input size.
    start
        Steps before the cut.
    end
        Steps after the cut.
    depth
        Layers of a circuit with random weights.
    width
        Its units.
    input_size
        Its input features.
    inputs
        continuous, one-hot, or a number of random templates.
    output
        A channel, or joint for all together; each by default.
    seed
        Of primes, weights and inputs.
    json
        One JSON object.
    """
    from hitherto.terminal.start_end import Sizes, measure_rank

    if model is None and (depth is None or width is None or input_size is None):
        raise ValueError("there is neither a model nor a circuit: give a file, or --depth, --width and --input-size")
    asked = model or Sizes(depth, tuple(width), input_size)  # type: ignore[arg-type]
    channel = int(output) if output and output.isdigit() else output
    measure_rank(asked, start, end, inputs, channel, seed, json)


@measure.command(name="cut-profile")
def measure_cut_profile(
    model: Path | None = None,
    /,
    *,
    input: Path | None = None,  # the option is --input
    layer: str | None = None,
    cuts: Cuts = None,
    seed: int = 0,
    json: bool = False,
) -> None:
    """How much a trained model binds what comes before a cut to what comes after it, cut by cut.

    Parameters
    ----------
    model
        A model file; without it, the embedded LSTM and its text.
    input
        Your input sequences, a .npy as for `profile`; their starts and ends are recombined.
    layer
        Which recurrent layer of the file, by name.
    cuts
        Steps before each cut; powers of two before the end by default.
    seed
        Of the choice of starts and ends.
    json
        A JSON list.
    """
    from hitherto.terminal import start_end

    start_end.measure_cut_profile(model, layer, input, cuts, seed, json)


@measure.command(name="memory")
def measure_memory(model: Path, /, *, layer: str | None = None, noise: float = 0.01, json: bool = False) -> None:
    """What a linear model remembers, by four definitions and two readings of its state.

    Parameters
    ----------
    model
        A file.
    layer
        Which recurrent layer of the file, by name.
    noise
        Variance of the noise on each unit, that of the inputs being 1.
    json
        A JSON list.
    """
    from hitherto.terminal.depth import print_memory

    print_memory(model, layer, noise, json)


@predict.command(name="memory-prior")
def predict_memory_prior(
    *,
    init: str = "gaussian",
    nu_w: str = "0.9",
    nu_f: str = "1",
    nu_c: str = "1",
    parametrisation: str = "entries",
    gain: float = 1.0,
    leak: float = 0.9,
    low: float = 0.0,
    high: float = 1.0,
    layers: int = 2,
    lags: int = 101,
    width: int | None = None,
    json: bool = False,
) -> None:
    """How fast gradient descent learns each lag from a random start, in the limit of great width.

    Parameters
    ----------
    init
        gaussian, orthogonal, identity, leaky, ring, real-modes, lru, step-sizes or stacked.
    nu_w
        Variance of the recurrent entries, times the width; digits are taken exactly. Of gaussian and stacked.
    nu_f
        Variance of the input weights.
    nu_c
        Variance of the readout weights, times the width.
    parametrisation
        Of gaussian: entries, multipliers, standard or framework.
    gain
        Of orthogonal, and of the random part of leaky.
    leak
        Of leaky: what stays of a unit by itself.
    low
        Least squared modulus (ring, lru), eigenvalue (real-modes) or step size (step-sizes).
    high
        The largest.
    layers
        Of stacked.
    lags
        How many.
    width
        Units, for how far the limit of great width can be trusted.
    json
        One JSON object.
    """
    from hitherto.terminal.linear_bias import Start, print_prior

    start = Start(init, nu_w, nu_f, nu_c, parametrisation, gain, leak, low, high, layers)
    print_prior(start, lags, width, json)


@predict.command(name="transition")
def predict_transition(
    problem: Path | None = None,
    /,
    *,
    times: int | None = None,
    label: float | None = None,
    noise: float | None = None,
    activation: str | None = None,
    recurrent_variance: float | None = None,
    input_variance: float | None = None,
    readout_variance: float | None = None,
    json: bool = False,
) -> None:
    """Whether a wide trained recurrent network correlates its times, and how far the labels are from where it does.

    Parameters
    ----------
    problem
        A TOML file, as for `solve mean-field`, which takes no options beside it; without it, one input at the first
        time and a label at the last.
    times
        Of that one input, label included; 3 if not given.
    label
        Its size, 1.
    noise
        kappa, 0.1; labels are known up to a variance kappa over the width.
    activation
        identity, which is linear, erf, tanh or relu.
    recurrent_variance
        g^2, of recurrent weights times the width, 1.
    input_variance
        g_v^2, of input weights times the number of inputs, 1.
    readout_variance
        s_a^2, of readout weights, 1; outputs are their mean over the units.
    json
        One JSON object.
    """
    from hitherto.terminal import mean_field

    options = dict(
        times=times,
        label=label,
        noise=noise,
        activation=activation,
        recurrent_variance=recurrent_variance,
        input_variance=input_variance,
        readout_variance=readout_variance,
    )
    given = {name: value for name, value in options.items() if value is not None}
    mean_field.print_transition(mean_field.problem_of(problem, given), json)


@solve.command(name="mean-field")
def solve_mean_field(problem: Path, /, *, seed: int = 0, json: bool = False) -> int:
    """Kernels, outputs and spectra of wide trained linear networks; exit status 1 if no start ends in a lowest minimum.

    Parameters
    ----------
    problem
        A TOML file: labels, steps, times, and the settings of `hitherto.theory.mean_field.Problem` by name.
    seed
        Of random starts.
    json
        One JSON object, with all kernels.
    """
    from hitherto.terminal.mean_field import solve_file

    return solve_file(problem, seed, json)


@designs.command(name="schedule")
def design_schedule(
    targets: Path,
    /,
    *,
    steps: Annotated[list[int] | None, Parameter(consume_multiple=True)] = None,
    count: int | None = None,
    noise: float = 0.05,
    recurrent_variance: float = 1.0,
    input_variance: float = 1.0,
    readout_variance: float = 1.0,
    json: bool = False,
) -> None:
    """Which times of a sequence to label, so that a linear recurrent network foretells the others.

    Parameters
    ----------
    targets
        A .npy file of sequences that training may meet: (pattern, time), or (member, pattern, time) for several.
    steps
        Times that are labelled already, counted from 0; told are their error and the best next one.
    count
        Instead: compare all schedules of that many labelled times.
    noise
        kappa; labels are known up to a variance kappa over the width.
    recurrent_variance
        g^2, of recurrent weights times the width.
    input_variance
        g_v^2, of input weights times the number of inputs.
    readout_variance
        s_a^2, of readout weights; outputs are their mean over the units.
    json
        JSON.
    """
    from hitherto.terminal.mean_field import print_schedules

    print_schedules(
        targets,
        tuple(steps or ()),
        count,
        json,
        noise=noise,
        recurrent_variance=recurrent_variance,
        input_variance=input_variance,
        readout_variance=readout_variance,
    )


@designs.default
def design_memory(
    *,
    half_life: float | None = None,
    mean_lag: float | None = None,
    lag: int | None = None,
    ratio: float = 10.0,
    length: int = 1000,
    nu_w: str = "0.9",
    nu_f: str = "1",
    nu_c: str = "1",
    width: int | None = None,
    json: bool = False,
) -> None:
    """The variance of recurrent weights for a memory one wants, and what could be changed instead.

    Parameters
    ----------
    half_life
        The lag at which the weight of lags has fallen to half of that of lag 0.
    mean_lag
        The mean of the lags by their weights.
    lag
        A lag that is to cost at most `ratio` times the steps of the quickest, over sequences of `length`.
    ratio
        See lag.
    length
        See lag.
    nu_w
        The variance that there is, for alternatives that keep it.
    nu_f
        Variance of the input weights.
    nu_c
        Variance of the readout weights, times the width.
    width
        Units, for how far the limit of great width can be trusted.
    json
        One JSON object.
    """
    from hitherto.terminal.linear_bias import Gaussian, print_design, target_of

    print_design(target_of(half_life, mean_lag, lag, ratio, length), Gaussian(nu_w, nu_f, nu_c), width, json)


@measure.command(name="memory-prior")
def measure_memory_prior(
    model: Path, /, *, layer: str | None = None, lags: int = 101, at_rest: bool = False, json: bool = False
) -> None:
    """How fast gradient descent moves each lag of a linear layer, with its weights as they are.

    Parameters
    ----------
    model
        A file with a linear layer and its readout.
    layer
        Which recurrent layer of the file, by name.
    lags
        How many.
    at_rest
        Take a layer with an activation as the linear one that it is for small inputs.
    json
        One JSON object.
    """
    from hitherto.terminal.linear_bias import measure_prior

    measure_prior(model, layer, lags, at_rest, json)


@convert.command(name="unitary")
def convert_unitary(
    model: Path,
    out: Path,
    /,
    *,
    input_bound: float | None = None,
    box: tuple[float, float] | None = None,
    data: Path | None = None,
    horizon: Steps = None,
    epsilon: float | None = None,
    states: str = "dilation",
    layer: str | None = None,
    activation: str | None = None,
    json: bool = False,
) -> None:
    """Write a model with orthogonal recurrent weights and the same outputs, and print why they are the same.

    Parameters
    ----------
    model
        A file with simple recurrent layers.
    out
        A .safetensors file for the twin.
    input_bound
        Largest length of an input vector.
    box
        Least and largest entry of an input.
    data
        A .npy of sequences, (time, input) or (sequence, time, input), on which the twin is to be exact, and no others.
    horizon
        Longest sequence, in steps; without it, any length.
    epsilon
        How far states may go astray, for smooth activations, which have no exact twin.
    states
        dilation; minimal, to rescale units so that fewer states are added; or how many each layer can afford.
    layer
        Which recurrent layer of the file, by name.
    activation
        Activation of the layers, where the file does not say: relu or tanh for PyTorch.
    json
        One JSON object.
    """
    from hitherto.terminal.unitary import Asked, convert_file

    convert_file(model, out, Asked(input_bound, box, data, horizon, layer, activation, epsilon), states, json)


@verdict.command(name="unitary")
def verdict_unitary(
    model: Path,
    /,
    *,
    input_bound: float | None = None,
    box: tuple[float, float] | None = None,
    horizon: Steps = None,
    exact: bool = False,
    layer: str | None = None,
    activation: str | None = None,
    json: bool = False,
) -> None:
    """Whether orthogonal recurrent weights can give the same outputs, layer by layer, and by which theorem.

    Parameters
    ----------
    model
        A file.
    input_bound
        Largest length of an input vector.
    box
        Least and largest entry of an input.
    horizon
        Longest sequence, in steps; without it, any length.
    exact
        Only equal outputs count, and not those that are as near as one likes.
    layer
        Which recurrent layer of the file, by name.
    activation
        Activation of the layers, where the file does not say: relu or tanh for PyTorch.
    json
        A JSON list.
    """
    from hitherto.terminal.unitary import Asked, print_verdict

    print_verdict(model, Asked(input_bound, box, None, horizon, layer, activation), exact, json)


@draw.command(name="tensor-network")
def draw_tensor_network(
    *,
    depth: int,
    length: int,
    width: int,
    input_size: int,
    start: int | None = None,
    out: Path = Path("network.svg"),
    json: bool = False,
) -> None:
    """The tensor network of a recurrent arithmetic circuit with its minimum cut.

    Parameters
    ----------
    depth
        Layers.
    length
        Steps.
    width
        Units of every layer.
    input_size
        Features of an input.
    start
        Steps before the cut; half of the length by default.
    out
        Ends in .svg, .png or .pdf.
    json
        One JSON object with the numbers and the cut.
    """
    from hitherto.terminal.start_end import Sizes, draw_network

    draw_network(Sizes(depth, (width,), input_size), length, start or length // 2, out, json)


@app.command
def explore(*, port: int = 8765, browser: bool = True) -> None:
    """Open a local page on which sizes are controls and the predictions of all theories redraw at once.

    Parameters
    ----------
    port
        On this machine alone; 0 takes a free one.
    browser
        Open it in the browser.
    """
    from hitherto.terminal.explore import explore_page

    explore_page(port, browser)


@app.command
def report(folder: Path, /, *, out: Path = Path("results.html")) -> None:
    """Draw the results in a folder as one page.

    Parameters
    ----------
    folder
        Where `hitherto run` put them.
    out
        The page.
    """
    from hitherto.terminal.results import report_folder

    report_folder(folder, out)


@app.command
def export(folder: Path, file: Path, /) -> None:
    """Write the results in a folder to one file for other programs.

    Parameters
    ----------
    folder
        Where `hitherto run` put them.
    file
        Ends in .nc (netCDF), .parquet or .csv.
    """
    from hitherto.terminal.results import export_folder

    export_folder(folder, file)


@app.command(name="list")
def list_() -> None:
    """List papers, claims and experiments."""
    from hitherto.terminal.experiments import show_list

    show_list()


@app.command
def cite(*claims: str) -> None:
    """Print BibTeX for claims or papers; for all of them if none is named.

    Parameters
    ----------
    claims
        Names of claims or papers.
    """
    from hitherto.terminal.experiments import show_citations

    show_citations(list(claims))


def main(arguments: list[str] | None = None) -> int:
    """Run a command; errors that the user can mend are one line on standard error and exit status 2."""
    try:
        status = app(sys.argv[1:] if arguments is None else arguments, result_action="return_value")
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has seen enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ValueError, ImportError) as error:
        print(f"hitherto: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("hitherto: stopped; finished cases are recorded", file=sys.stderr)
        return 130
    return status or 0


if __name__ == "__main__":
    sys.exit(main())
