"""Processes a stream on all cores, in order, with a bounded number of items in flight."""

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import Final, TypeVar

import psutil

Item = TypeVar("Item")
Result = TypeVar("Result")

SIDE_BY_SIDE: Final = "EMOTIONS_SIDE_BY_SIDE"
STARTED_BY: Final = {"DVC_STAGE", "TORCHELASTIC_RUN_ID", SIDE_BY_SIDE}
"""Environment variables of processes that DVC, torchrun and `tools.side_by_side` start."""
SECONDS_TO_STOP: Final = 60
"""Seconds allowed for the current step and a checkpoint."""

stopping: Final = threading.Event()
"""Set when this process has been told to end; it first finishes what must not be cut off."""


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_order(
    pool: Executor, function: Callable[[Item], Result], items: Iterable[Item], *, ahead: int
) -> Iterator[Result]:
    """Run `map(function, items)` on a pool; at most `ahead` items are taken before their results are needed.

    Memory therefore does not grow with the stream; `Executor.map` and `Pool.imap` would read it whole.
    """
    flight: deque[Future[Result]] = deque()
    try:
        for item in items:
            flight.append(pool.submit(function, item))
            if len(flight) >= ahead:
                yield flight.popleft().result()
        while flight:
            yield flight.popleft().result()
    finally:
        for future in flight:
            future.cancel()


def end_with_parent() -> None:
    """End this worker process when its parent is gone; called at its start.

    Killing a parent does not stop its workers: a `ProcessPoolExecutor` worker waits for work forever.
    """
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def end_with_launcher() -> None:
    """Under DVC, torchrun or `tools.repro`, end when the process that started this one is gone.

    Killing `dvc repro` does not stop its stages, nor `torchrun` its workers: they would go on writing. A
    process with a SIGTERM handler, such as a training, gets `stopping` set and SECONDS_TO_STOP to end itself.
    """
    watched = []
    child = psutil.Process()
    with contextlib.suppress(psutil.AccessDenied):  # a process of a cluster's own is watched, not looked into
        while STARTED_BY & child.environ().keys() and (parent := child.parent()):
            watched.append(parent)
            child = parent

    def watch() -> None:
        while all(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in watched):
            time.sleep(0.5)
        if callable(signal.getsignal(signal.SIGTERM)):  # its SIGTERM handler shows that it ends by itself
            stopping.set()
        if stopping.is_set():
            time.sleep(SECONDS_TO_STOP)
        os._exit(1)

    if watched:
        threading.Thread(target=watch, daemon=True).start()
