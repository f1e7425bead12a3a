"""Ask a model about many images, keep every answer, and continue an interrupted run."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from emotions.runtime.console import log, progress
from vlm.shared.answers import Answers
from vlm.shared.backend import Backend, Decoding, Failure, ModelError, Reply
from vlm.shared.conversation import Conversation, key

MOST_FAILURES: Final = 20
"""Unanswered questions in a row after which asking stops: the images are not the cause then."""


@dataclass(frozen=True)
class Asked:
    """Replies and failures by image. `seconds`: total time of the replies when they were given, overlapping
    waits counted once; `asked`: number of replies given now."""

    replies: dict[str, Reply]
    failures: dict[str, Failure]
    seconds: float
    asked: int


def ask(
    backend: Backend,
    conversations: Mapping[str, Conversation],
    choices: Sequence[str],
    *,
    decoding: Decoding,
    folder: Path,
    title: str,
) -> Asked:
    """The model's reply to each conversation, taken from `folder` where it was given before.

    Raises:
        ModelError: the model is gone, or MOST_FAILURES questions in a row had no answer. Given answers are
            kept.
    """
    settings = {"decoding": decoding.model_dump(), "choices": list(choices)}
    keys = {image: key(conversation) for image, conversation in conversations.items()}
    failures: dict[str, str] = {}
    asked = 0
    with Answers(folder, {**backend.identity, **settings}) as answers:
        open_keys = {k: image for image, k in keys.items() if answers.get(k) is None}
        if len(open_keys) < len(set(keys.values())):
            log.info(f"{len(set(keys.values())) - len(open_keys)} answers are in {answers.path}")
        bar = progress(title, len(open_keys))
        try:
            order, in_a_row, last = list(open_keys), 0, time.monotonic()
            for number, reply in backend.answer(
                [conversations[open_keys[k]] for k in order], choices, decoding
            ):
                now = time.monotonic()
                if isinstance(reply, Failure):
                    failures[order[number]] = reply.reason
                    in_a_row += 1
                    if in_a_row == MOST_FAILURES:
                        raise ModelError(f"{MOST_FAILURES} questions in a row had no answer ({reply.reason})")
                else:
                    answers.keep(order[number], reply, now - last, backend.versions)
                    asked, in_a_row = asked + 1, 0
                last = now
                bar.update()
        except ModelError as error:
            have = sum(answers.get(k) is not None for k in keys.values())
            raise ModelError(
                f"{error}; {have} of {len(keys)} answers are kept; run the same command to continue"
            ) from error
        finally:
            bar.close()
        replies = {image: kept for image, k in keys.items() if (kept := answers.get(k)) is not None}
        seconds = sum(answers.seconds(k) for k in set(keys.values()) if answers.get(k) is not None)
    return Asked(
        replies,
        {image: Failure(failures[k]) for image, k in keys.items() if k in failures},
        seconds,
        asked,
    )
