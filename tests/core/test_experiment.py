"""Experiments: the grid, resuming, failures, and what stands on disk."""

import errno
import json
import os
from dataclasses import replace

import numpy as np
import pytest
import toys

from hitherto.core.dataset import dataset, export, table
from hitherto.core.experiment import Failure, jobs, run
from hitherto.core.store import Record, Store, stores


def ran(experiment, out, **settings):
    return list(run(experiment, out, **settings))


def test_every_point_is_recorded_once_and_never_again(tmp_path):
    first = ran(toys.experiment(), tmp_path)
    assert [record.coordinates["n"] for record in first] == [1, 2, 3, 4, 5]
    assert {record.outcome for record in first} == {"holds"}
    assert ran(toys.experiment(), tmp_path) == []
    assert [r.coordinates["n"] for r in ran(toys.experiment(n=range(3, 8)), tmp_path)] == [6, 7]
    records = Store(tmp_path / "toy.squares").records()
    assert [r.coordinates["n"] for r in records] == list(range(1, 8))
    assert records[2].measured[0]["value"] == 9
    assert records[2].predicted["value"] == 9
    assert records[2].versions["hitherto"]


def test_other_code_is_computed_anew_and_the_newest_is_read(tmp_path):
    ran(toys.experiment(n=(3,)), tmp_path)
    changed = replace(toys.SQUARES, measure=toys.fragile_sum)
    assert len(ran(toys.experiment(changed, n=(3,)), tmp_path)) == 1
    records = Store(tmp_path / "toy.squares").records()
    assert len(records) == 1
    assert len(list((tmp_path / "toy.squares" / "cases").iterdir())) == 2


def test_a_broken_case_is_told_and_tried_again_but_ends_nothing(tmp_path):
    fragile = toys.experiment(toys.claim("fragile", toys.fragile_sum), n=(12, 13, 14))
    first = ran(fragile, tmp_path)
    failures = [r for r in first if isinstance(r, Failure)]
    assert [f.coordinates["n"] for f in failures] == [13]
    assert "ArithmeticError: thirteen" in failures[0].error
    assert [type(r) for r in ran(fragile, tmp_path)] == [Failure]


def test_claims_are_asked_only_where_they_say_something(tmp_path):
    assert [job.case.n for job in jobs(toys.experiment(n=(999, 1000, 1001)))] == [999, 1000]


def test_sizes_change_the_grid():
    assert len(jobs(toys.experiment(), "ci")) == 5
    assert [job.case.n for job in jobs(toys.experiment(), "paper")] == [9]
    with pytest.raises(ValueError, match=r"no size of toy.squares 'huge'; there is ci, paper"):
        jobs(toys.experiment(), "huge")
    with pytest.raises(ValueError, match=r"no coordinate of toy.squares 'm'"):
        jobs(replace(toys.experiment(), sizes=dict(ci=dict(m=(1,)))))
    with pytest.raises(ValueError, match=r"grid of toy.squares is empty: no values for n"):
        jobs(toys.experiment(n=()))


def test_measurements_stand_beside_claims(tmp_path):
    found = ran(toys.experiment(toys.SQUARES, toys.SPREADS), tmp_path)
    assert {r.outcome for r in found} == {"holds", "measured"}
    spread = [r for r in found if r.ask == "toy.spread"]
    assert [len(r.measured) for r in spread] == [2] * 5


def test_a_store_of_a_newer_version_is_refused_and_untouched(tmp_path):
    ran(toys.experiment(), tmp_path)
    about = tmp_path / "toy.squares" / "experiment.json"
    about.write_text(json.dumps(json.loads(about.read_text()) | {"format": 99}))
    before = about.read_text()
    with pytest.raises(ValueError, match=r"written by a newer hitherto \(format 99"):
        ran(toys.experiment(n=(8,)), tmp_path)
    assert about.read_text() == before


def test_a_record_of_a_newer_version_is_refused(tmp_path):
    ran(toys.experiment(n=(1,)), tmp_path)
    (record,) = (tmp_path / "toy.squares" / "cases").iterdir()
    record.write_text(json.dumps(json.loads(record.read_text()) | {"format": 99, "colour": "red"}))
    with pytest.raises(ValueError, match="newer hitherto"):
        Store(tmp_path / "toy.squares").records()


def test_a_full_disk_loses_nothing(tmp_path, monkeypatch):
    replaced, count = os.replace, iter(range(100))

    def full(source, target):
        if next(count) >= 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        replaced(source, target)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(ValueError, match=r"No space left on device; what was recorded before is safe"):
        ran(toys.experiment(), tmp_path)
    monkeypatch.undo()
    store = Store(tmp_path / "toy.squares")
    assert [r.coordinates["n"] for r in store.records()] == [1, 2]
    assert not list(store.folder.rglob(".*"))
    assert [r.coordinates["n"] for r in ran(toys.experiment(), tmp_path)] == [3, 4, 5]


def test_a_file_cut_short_is_computed_again_when_read(tmp_path):
    ran(toys.experiment(n=(1, 2)), tmp_path)
    broken = next((tmp_path / "toy.squares" / "cases").iterdir())
    broken.write_text(broken.read_text()[:50])
    assert len(Store(tmp_path / "toy.squares").records()) == 1
    assert len(ran(toys.experiment(n=(1, 2)), tmp_path)) == 1


def test_two_runs_on_one_folder_share_the_work(tmp_path):
    one, other = run(toys.experiment(), tmp_path), run(toys.experiment(), tmp_path)
    seen = [next(one), next(other), *one, *other]
    assert sorted(r.coordinates["n"] for r in seen) == [1, 2, 3, 4, 5]


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="cannot write"):
        ran(toys.experiment(), tmp_path / "file")
    with pytest.raises(ValueError, match=r"holds no results; `hitherto run EXPERIMENT"):
        stores(tmp_path / "nowhere")


def test_records_as_labelled_arrays(tmp_path):
    ran(toys.experiment(toys.SQUARES, toys.SPREADS, n=(1, 3, 2)), tmp_path)
    made = dataset(Store(tmp_path / "toy.squares"))
    assert dict(made.sizes) == {"n": 3, "seed": 1, "lag": 3}
    np.testing.assert_array_equal(made["squares.measured"].sel(seed=0), [1, 4, 9])
    np.testing.assert_array_equal(made["spread.spread.measured"].sel(n=2, seed=0), [0, 0.5, np.nan])
    assert set(made["squares.outcome"].values.ravel()) == {"holds"}
    xarray = pytest.importorskip("xarray")
    opened = xarray.open_dataset(tmp_path / "toy.squares", engine="hitherto")
    assert opened.equals(made)


@pytest.mark.parametrize("suffix", [".nc", ".csv", ".parquet"])
def test_exports_hold_every_number(tmp_path, suffix):
    ran(toys.experiment(toys.SQUARES, toys.SPREADS, n=(1, 3)), tmp_path / "out")
    path = tmp_path / f"results{suffix}"
    export(tmp_path / "out", path)
    if suffix == ".nc":
        xarray = pytest.importorskip("xarray")
        with xarray.open_dataset(path, group="toy.squares", engine="h5netcdf") as found:
            np.testing.assert_array_equal(found["squares.predicted"].sel(seed=0), [1, 9])
        return
    pandas = pytest.importorskip("pandas")
    found = pandas.read_csv(path) if suffix == ".csv" else pandas.read_parquet(path)
    assert found.query("ask == 'toy.squares' and role == 'measured'").value.tolist() == [1, 9]
    assert found.query("ask == 'toy.spread' and quantity == 'spread'").value.tolist() == [0, 0, 0.5, 1]
    assert set(found.experiment) == {"toy.squares"}


def test_exports_refuse_other_formats(tmp_path):
    ran(toys.experiment(n=(1,)), tmp_path)
    with pytest.raises(ValueError, match=r"\.nc, \.parquet, \.csv, got results\.xlsx"):
        export(tmp_path, tmp_path / "results.xlsx")


def test_huge_whole_numbers_keep_their_digits(tmp_path):
    ran(toys.experiment(replace(toys.SQUARES, hypotheses=lambda case: None), n=(1,)), tmp_path)
    store = Store(tmp_path / "toy.squares")
    (record,) = store.records()
    store.add(replace(record, id="f" * 32, finished="9", predicted=dict(record.predicted, value=10**160)))
    assert store.records()[0].predicted["value"] == 10**160
    assert table(store).value[0] == pytest.approx(1e160)


def test_records_are_plain(tmp_path):
    (record,) = ran(toys.experiment(n=(2,)), tmp_path)
    assert isinstance(record, Record)
    (path,) = (tmp_path / "toy.squares" / "cases").iterdir()
    assert path.stem.startswith(record.id)
    assert json.loads(path.read_text())["case"]["settings"] == [["n", 2], ["seed", 0]]
