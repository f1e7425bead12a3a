"""Asks a model about many images, keeps every answer, and goes on where an earlier run was cut off."""

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
"""Questions without an answer in a row after which no more are asked: then it is not the images."""


@dataclass(frozen=True)
class Asked:
    """Replies and failures by image. `seconds`: that the replies took when they were given, waiting together;
    `asked`: how many of them were given now."""

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
    """The model's reply to each conversation, from `folder` where it was given before.

    Raises:
        ModelError: the model is gone, or MOST_FAILURES questions in a row had no answer. What was answered is
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
                f"{error}; {have} of {len(keys)} answers are kept, and the same command goes on from there"
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
