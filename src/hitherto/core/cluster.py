"""Cases on worker processes, by Dask: on this machine, or wherever a scheduler has workers."""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from itertools import islice
from typing import Any
from urllib.parse import urlsplit

from hitherto.core.experiment import Ask, Failure, Job, answer
from hitherto.core.store import Record

AHEAD = 2  # batches handed out beyond one a worker, so that nobody waits; more would only fill memory
BATCH_SECONDS, LARGEST_BATCH = 0.25, 64  # handing out one by one costs the scheduler milliseconds each
MOST = 16  # processes a core
PATIENCE = 10  # seconds to reach a scheduler
# One thread a worker: two workers with all cores each would fight for them.
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
}

Mapper = Callable[[Iterator[Job]], Iterator[Record | Failure]]


@contextmanager
def workers(count: int) -> Iterator[Mapper]:
    """A way to map jobs over `count` worker processes on this machine.

    Raises:
        ValueError: for fewer than one worker.
        ImportError: if Dask's `distributed` is not installed.
    """
    if count > MOST * (os.cpu_count() or 1):
        raise ValueError(f"--workers {count} is more than {MOST} processes a core; ask for about one a core")
    if count < 1:
        raise ValueError(f"--workers needs at least one process, got {count}; leave it out to use this one")
    distributed = _distributed()
    import dask

    with (
        dask.config.set({"distributed.nanny.pre-spawn-environ": ENVIRONMENT}),
        distributed.LocalCluster(
            n_workers=count, threads_per_worker=1, dashboard_address=":0", silence_logs=50
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield _mapper(client)


@contextmanager
def scheduler(address: str) -> Iterator[Mapper]:
    """A way to map jobs over the workers of a running Dask scheduler, for example `tcp://10.0.0.1:8786`.

    Raises:
        ValueError: if nobody answers there.
        ImportError: if Dask's `distributed` is not installed.
    """
    distributed = _distributed()
    try:
        _reach(address)
        # Not the default: xarray and others would send their work to a cluster that may be gone.
        client = distributed.Client(address, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"no Dask scheduler answers at {address!r} ({error}); start one with `dask scheduler` and workers with "
            "`dask worker`, or use --workers"
        ) from error
    with client:
        yield _mapper(client)


def _reach(address: str) -> None:
    """Refuse an address before a client is made: one that failed would go on asking in the background."""
    parts = urlsplit(address)
    if parts.scheme not in ("tcp", "tls") or not parts.hostname or not parts.port:
        raise ValueError("an address looks like tcp://10.0.0.1:8786")
    socket.create_connection((parts.hostname, parts.port), timeout=PATIENCE).close()


def _distributed() -> Any:
    try:
        import distributed
    except ImportError as error:
        raise ImportError("worker processes need Dask; install it with `pip install hitherto[cluster]`") from error
    return distributed


def _mapper(client: Any) -> Mapper:
    from distributed import as_completed

    def map_jobs(jobs: Iterator[Job]) -> Iterator[Record | Failure]:
        packed = lru_cache(maxsize=None)(_packed)
        given: dict[str, list[Job]] = {}
        size = 1

        def submit(batch: list[Job]) -> Any:
            future = client.submit(_answers, [(packed(job.ask), job._replace(ask=None)) for job in batch], pure=False)
            given[future.key] = batch
            return future

        window = (1 + AHEAD) * max(1, sum(client.nthreads().values()))
        running = as_completed([submit([job]) for job in islice(jobs, window)], loop=client.loop)
        for future in running:
            if future.status in ("lost", "pending"):  # its worker died with the result, which is being made again
                running.add(future)
                continue
            batch = given.pop(future.key)
            if future.status == "error" and len(batch) > 1:  # one case of them takes its worker down: which one?
                running.update([submit([job]) for job in batch])
                continue
            results = _results(future, batch)
            yield from results
            size = _batch_size(size, results)
            if following := list(islice(jobs, size)):
                running.add(submit(following))

    return map_jobs


def _batch_size(size: int, results: list[Record | Failure]) -> int:
    """Cases to hand out at once: as many as keep a worker busy for a while, at most twice as many as before."""
    seconds = sum(r.seconds for r in results if isinstance(r, Record)) / len(results)
    return max(1, min(2 * size, LARGEST_BATCH, int(BATCH_SECONDS / max(seconds, 1e-6))))


def _results(future: Any, batch: list[Job]) -> list[Record | Failure]:
    if future.status == "finished":
        return future.result()
    if future.status == "cancelled":
        raise ValueError("the Dask scheduler is gone; what was recorded is safe, run again to go on")
    return [Failure(job.ask.id, job.coordinates, str(future.exception())) for job in batch]


def _packed(ask: Ask) -> bytes:
    import cloudpickle

    return cloudpickle.dumps(ask)


def _answers(batch: list[tuple[bytes, Job]]) -> list[Record | Failure]:
    return [answer(job._replace(ask=_unpacked(packed))) for packed, job in batch]


@lru_cache(maxsize=64)
def _unpacked(packed: bytes) -> Ask:
    import cloudpickle

    return cloudpickle.loads(packed)
