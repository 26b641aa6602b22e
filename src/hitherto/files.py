"""Files that are written whole or not at all."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write(path: str | Path, data: bytes) -> None:
    """Write a file through a temporary one in the same folder, so that it is never seen half-written.

    Raises:
        ValueError: if it cannot be written there; nothing is left behind.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(data)


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary file in the same folder that takes the place of `path` once the block has ended well.

    Raises:
        ValueError: if it cannot be written there; what stood there stays, and nothing is left behind.
    """
    path = Path(path)
    check_writable(path)
    temporary = None
    try:
        handle, name = tempfile.mkstemp(dir=path.parent or ".", prefix=f".{path.name}.")
        os.close(handle)
        temporary = Path(name)
        yield temporary
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except OSError as error:
        raise ValueError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


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
