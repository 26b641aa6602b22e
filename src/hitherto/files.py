"""Files that are written whole or not at all."""

import os
import tempfile
from pathlib import Path


def write(path: str | Path, data: bytes) -> None:
    """Write a file through a temporary one in the same folder, so that it is never seen half-written.

    Raises:
        ValueError: if it cannot be written there; nothing is left behind.
    """
    path = Path(path)
    check_writable(path)
    handle, temporary = tempfile.mkstemp(dir=path.parent or ".", prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def check_writable(path: str | Path) -> None:
    """Refuse an output that could not be written, before any work is done for it.

    Raises:
        ValueError: if the folder is missing or not writable, or `path` is a folder.
    """
    path = Path(path)
    folder = path.parent
    if path.is_dir():
        raise ValueError(f"cannot write {path}: it is a folder; give a file name")
    if not folder.is_dir():
        raise ValueError(f"cannot write {path}: there is no folder {folder}; make it first")
    if not os.access(folder, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
        raise ValueError(f"cannot write {path}: no permission; choose another place")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
