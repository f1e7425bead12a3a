"""Stages side by side: each starts, as a `dvc repro` of its own, when its inputs are there."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tqdm import tqdm

from emotions.runtime import console
from emotions.runtime.parallel import SECONDS_TO_STOP, SIDE_BY_SIDE

LOGS: Final = Path("logs/stages")
POLL_SECONDS: Final = 0.1
TAIL_LINES: Final = 15
"""Lines of a failed stage's log that are shown."""


@dataclass(frozen=True)
class Options:
    """`jobs`: stages at once. `gpus`: ids given to the stages in turn. `wrapper`: words before each command,
    such as `srun --gres=gpu:1`. `dvc`: options of `dvc repro`, such as `--force`."""

    jobs: int
    gpus: Sequence[str] = ()
    wrapper: Sequence[str] = ()
    dvc: Sequence[str] = ()


@dataclass
class Outcome:
    """Names of the stages, by what became of them; `waiting` ones need one that failed or was stopped."""

    done: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    stopped: bool = False


@dataclass
class _Running:
    process: subprocess.Popen[bytes]
    begun: float
    gpu: str | None


def dvc_command(name: str, options: Options) -> list[str]:
    """The command that runs one stage.

    Without `--wait-for-lock` a lock held for more than three seconds at the stage's end makes DVC fail
    without a record of the finished stage.
    """
    return [
        *options.wrapper,
        *(sys.executable, "-m", "dvc", "--wait-for-lock", "repro", "--single-item", *options.dvc, name),
    ]


def log_of(name: str) -> Path:
    """The log of a stage's output."""
    return LOGS / f"{name}.log"


def run(
    needs: Mapping[str, Collection[str]],
    options: Options,
    *,
    command: Callable[[str, Options], list[str]] = dvc_command,
    seconds: Mapping[str, float] | None = None,
) -> Outcome:
    """Run all stages; one that fails lets those that do not need it finish. A line on stderr says what ended.

    Ctrl-C and SIGTERM stop all of them: each gets SIGINT, and SIGKILL where it still runs after
    SECONDS_TO_STOP and a little. A second one kills at once.

    Args:
        needs: stage -> the stages among these keys that must be done before it. The order of the keys is
            the order in which ready stages start.
        seconds: what each stage may take, for the bar that a terminal shows; 1 where it is not there.
    """
    outcome, running, left = Outcome(), dict[str, _Running](), dict(needs)
    begun = time.monotonic()
    LOGS.mkdir(parents=True, exist_ok=True)
    with _signals() as told_to_stop, _Bar(needs, seconds or {}) as bar:
        while running or any(_ready(left, outcome)):
            if told_to_stop:
                outcome.stopped = True
                _stop(running, told_to_stop)
                break
            for name in list(_ready(left, outcome))[: options.jobs - len(running)]:
                gpu = _free_gpu(options.gpus, running)
                running[name] = _start(name, command(name, options), gpu)
                del left[name]
            for name in [n for n, job in running.items() if job.process.poll() is not None]:
                job = running.pop(name)
                took = tqdm.format_interval(time.monotonic() - job.begun)
                status = job.process.returncode
                (outcome.failed if status else outcome.done).append(name)
                ended = len(outcome.done) + len(outcome.failed)
                what = _failure(name, status, took) if status else f"{name} done in {took}"
                tqdm.write(f"[{ended}/{len(needs)}] {what}", file=sys.stderr)
                bar.ended(name)
            bar.now(running)
            time.sleep(POLL_SECONDS)
    outcome.waiting = list(left)
    if outcome.stopped:
        took = tqdm.format_interval(time.monotonic() - begun)
        print(f"stopped after {took}; the same command goes on", file=sys.stderr)
    return outcome


def _ready(left: Mapping[str, Collection[str]], outcome: Outcome) -> Iterator[str]:
    """Stages whose inputs are all there."""
    return (name for name in left if set(left[name]) <= set(outcome.done))


class _Bar(contextlib.AbstractContextManager["_Bar"]):
    """On a terminal: what runs, and how long the whole will still take."""

    def __init__(self, names: Iterable[str], seconds: Mapping[str, float]) -> None:
        self._weights = {name: seconds.get(name, 1.0) for name in names}
        self._bar = tqdm(
            total=sum(self._weights.values()),
            bar_format="{percentage:3.0f}%|{bar}| {elapsed}, about {remaining} left{postfix}",
            leave=False,
            dynamic_ncols=True,
            disable=not console.watched(),
        )

    def ended(self, name: str) -> None:
        self._bar.update(self._weights[name])

    def now(self, running: Iterable[str]) -> None:
        self._bar.set_postfix_str(" ".join(running))

    def __exit__(self, *error: object) -> None:
        self._bar.close()


def _failure(name: str, status: int, took: str) -> str:
    how = f"ended by signal {-status}" if status < 0 else f"failed with status {status}"
    lines = log_of(name).read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL_LINES:]
    head = f"{name} {how} after {took}; its log is {log_of(name)}, which ends:"
    return "\n".join([head, *(f"  | {line}" for line in lines)])


def _free_gpu(gpus: Sequence[str], running: Mapping[str, _Running]) -> str | None:
    """The GPU that the fewest running stages have."""
    used = [job.gpu for job in running.values()]
    return min(gpus, key=used.count) if gpus else None


def _start(name: str, command: Sequence[str], gpu: str | None) -> _Running:
    own = {SIDE_BY_SIDE: "1"} | ({"CUDA_VISIBLE_DEVICES": gpu} if gpu is not None else {})
    with log_of(name).open("wb") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=os.environ | own,
            start_new_session=True,
        )
    return _Running(process, time.monotonic(), gpu)


def _stop(running: Mapping[str, _Running], told: Sequence[int]) -> None:
    """Ask all running stages to end, and kill those that do not."""
    until = time.monotonic() + SECONDS_TO_STOP + 10
    for job in running.values():
        _send(job, signal.SIGINT)
    while any(job.process.poll() is None for job in running.values()):
        if len(told) > 1 or time.monotonic() > until:
            for job in running.values():
                _send(job, signal.SIGKILL)
        time.sleep(POLL_SECONDS)


def _send(job: _Running, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(job.process.pid, number)


@contextlib.contextmanager
def _signals() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM instead of ending at once."""
    told: list[int] = []
    before = {
        n: signal.signal(n, lambda number, _: told.append(number)) for n in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
