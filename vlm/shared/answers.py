"""Answers on disk, each written as soon as it is given, so that no question is asked twice."""

import json
import os
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, Self

from filelock import FileLock, Timeout

from vlm.shared.backend import Reply

VERSION: Final = 1


class AnswersError(ValueError):
    """Kept answers that cannot be used; the message names the file, the line and the remedy."""


class Answers:
    """The answers of one model with one decoding, by the key of the conversation.

    They lie in a file of JSON lines; the first line names model and decoding. One process writes at a time; a
    line that a killed process left half-written is cut off.
    """

    def __init__(self, folder: Path, of: dict[str, Any]) -> None:
        """`of`: what the answers depend on besides the conversation; its hash names the file."""
        self._header = {"version": VERSION, **of}
        text = json.dumps(self._header, sort_keys=True, ensure_ascii=False)
        self.path = folder / f"{sha256(text.encode()).hexdigest()[:24]}.jsonl"
        self._lock = FileLock(self.path.with_suffix(".lock"))
        self._kept: dict[str, Reply] = {}
        self._seconds: dict[str, float] = {}

    def __enter__(self) -> Self:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(timeout=0)
        except Timeout as error:
            raise AnswersError(f"{self.path}: another process is asking this model; wait for it") from error
        try:
            self._read()
            self._file = self.path.open("ab")
            if self._file.tell() == 0:
                self._write(self._header)
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._lock.release()

    def get(self, key: str) -> Reply | None:
        """The answer to a conversation, if there is one."""
        return self._kept.get(key)

    def seconds(self, key: str) -> float:
        """Seconds that a kept answer took."""
        return self._seconds[key]

    def keep(self, key: str, reply: Reply, seconds: float, by: str) -> None:
        """Write an answer to disk. `by`: the software that gave it."""
        self._write({"key": key, "seconds": round(seconds, 3), "by": by, **asdict(reply)})
        self._kept[key], self._seconds[key] = reply, round(seconds, 3)

    def _write(self, line: dict[str, Any]) -> None:
        self._file.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def _read(self) -> None:
        if not self.path.exists():
            return
        content = self.path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            os.truncate(self.path, len(whole))
        for number, line in enumerate(whole.splitlines(), 1):
            try:
                record = json.loads(line)
                if number == 1:
                    if record != self._header:
                        raise ValueError("the first line names another model or decoding")
                    continue
                name, seconds = record.pop("key"), record.pop("seconds")
                record.pop("by")
                scores = record.pop("scores")
                self._kept[name] = Reply(**record, scores=None if scores is None else tuple(scores))
                self._seconds[name] = float(seconds)
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                raise AnswersError(
                    f"{self.path}, line {number}: not an answer ({error}); delete the line to ask again"
                ) from error
