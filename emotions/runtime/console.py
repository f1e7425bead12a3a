"""What a person sees of a computation, and the log that stays.

On a terminal: one bar at a time and lines that stay. Elsewhere: nothing but warnings and errors. Messages go
through the standard library's logger `emotions`; `session` gives it a file.
"""

import contextlib
import logging
import os
import resource
import sys
import time
import warnings
from collections.abc import Iterable, Iterator
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, Final, TextIO

from tqdm import tqdm

log = logging.getLogger("emotions")

OWN: Final = {"emotions", "stages", "vlm", "__main__"}
"""Packages whose errors are raised on purpose: their message is for the person at the terminal."""
LOG_BYTES: Final = 1_000_000
"""Log size in bytes at which the log moves to `<name>.1` and replaces the previous one."""


def first_process() -> bool:
    """Whether this process is the first of a distributed training; the others report only errors."""
    return os.environ.get("RANK", "0") == "0"


def watched() -> bool:
    """Whether a person may be looking: stderr is a terminal."""
    return first_process() and sys.stderr.isatty()


def progress(title: str, total: int | None, work: Iterable[Any] = (), **options: Any) -> "tqdm[Any]":
    """Progress bar that counts images and disappears when done; it wraps `work` or is updated by hand."""
    return tqdm(
        work,
        title,
        total,
        unit="img",
        leave=False,
        dynamic_ncols=True,
        disable=not (title and watched()),
        **options,
    )


def show(line: str) -> None:
    """Write a line that stays in the log and, on a terminal, above the bar."""
    log.info(line)
    if watched():
        tqdm.write(line, file=sys.stderr)


@contextlib.contextmanager
def session(name: str, log_file: Path) -> Iterator[None]:
    """Run a block with its log in `log_file`, and end the process if the block fails.

    An error of the project's own becomes one line on stderr and exit status 1; any other keeps its
    traceback there. Ctrl-C gives one line and exit status 130. The log has the traceback of every error, and
    all warnings; on stderr each warning is one line. A log that cannot be written causes a warning.
    """
    begun = time.monotonic()
    log.setLevel(logging.INFO)
    log.propagate = False
    log.addHandler(_OneLine(logging.WARNING if first_process() else logging.ERROR))
    if first_process():
        try:
            log_file.parent.mkdir(parents=True, exist_ok=True)
            log.addHandler(_LogFile(log_file))
        except OSError as error:
            log.warning(f"no log is kept: {error}")
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _log_warning
            yield
        show(f"{name} done in {tqdm.format_interval(time.monotonic() - begun)}, {_peak_memory()}")
    except KeyboardInterrupt:
        log.error(f"{name} interrupted after {tqdm.format_interval(time.monotonic() - begun)}")
        raise SystemExit(130) from None
    except Exception as error:
        if type(error).__module__.partition(".")[0] in OWN:
            log.error(str(error), exc_info=True)
            raise SystemExit(1) from error
        log.critical(f"{name} failed", exc_info=True)
        raise
    finally:
        for handler in log.handlers[:]:
            log.removeHandler(handler)
            handler.close()
        log.propagate = True


class _OneLine(logging.Handler):
    """Warnings and errors on stderr, above the bar. Python prints unexpected errors itself."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno < logging.CRITICAL:
            line = f"{record.levelname.lower()}: {record.getMessage()}"
            tqdm.write(" ".join(line.split()), file=sys.stderr)


class _LogFile(RotatingFileHandler):
    """The log file. A disk that runs full ends the log, not the training."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "a", LOG_BYTES, 1, encoding="utf-8", errors="backslashreplace")
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)-8s %(message)s"))

    def handleError(self, record: logging.LogRecord) -> None:
        why = sys.exception() or self.baseFilename
        log.removeHandler(self)
        with contextlib.suppress(OSError):  # else Python 3.13 prints it again when it closes the file
            self.close()
        log.warning(f"the log ends here: {why}")


def _log_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    log.warning(f"{message} ({category.__name__}, {filename}:{lineno})")


def _peak_memory() -> str:
    """Peak resident memory of this process, and peak GPU memory of its tensors."""
    unit = 1 if sys.platform == "darwin" else 1024  # getrusage(2): bytes on macOS, kilobytes on Linux
    text = f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9:.1f} GB"
    torch = sys.modules.get("torch")  # its import takes seconds, and half of the stages never need it
    if torch and torch.cuda.is_initialized():
        text += f", on the GPU {torch.cuda.max_memory_allocated() / 1e9:.1f} GB"
    return text
