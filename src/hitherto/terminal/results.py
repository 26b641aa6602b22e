"""`report` and `export`: from records alone, without JAX."""

from pathlib import Path

from hitherto import files
from hitherto.core.dataset import export
from hitherto.core.store import stores
from hitherto.report.experiments import experiments_page


def report_folder(folder: Path, out: Path) -> None:
    """Write a page about every experiment in a folder.

    Raises:
        ValueError: if there are no results, or the page cannot be written.
    """
    files.check_writable(out)
    files.write(out, experiments_page(stores(folder)).encode())
    print(f"Report: {out}")


def export_folder(folder: Path, path: Path) -> None:
    """Write all results in a folder to one file.

    Raises:
        ValueError: for another suffix, no results, or a place that cannot be written.
    """
    files.check_writable(path)
    export(folder, path)
    print(f"Results: {path}")
