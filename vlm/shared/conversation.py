"""Input of a model: prompt files, pictures, and the turns of a conversation."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import jinja2
from PIL import Image, ImageOps

from emotions.data import images

SEPARATOR: Final = "---"
"""Line that separates the parts of a prompt file."""


class PromptError(ValueError):
    """Prompt file that cannot be used; the message names it and the remedy."""


@dataclass(frozen=True)
class Picture:
    """An RGB image as the model is shown it. `sha256`: of its size and pixels."""

    image: Image.Image
    sha256: str

    def png(self) -> bytes:
        """The image as a file, without loss."""
        return images.encoded(self.image, "PNG")


@dataclass(frozen=True)
class Turn:
    """Texts and pictures of one speaker, in order."""

    role: Literal["system", "user", "assistant"]
    parts: tuple[str | Picture, ...]


Conversation = tuple[Turn, ...]


def key(conversation: Conversation) -> str:
    """SHA-256 of everything that is said and shown."""
    plain = [
        [turn.role, *({"picture": p.sha256} if isinstance(p, Picture) else p for p in turn.parts)]
        for turn in conversation
    ]
    return hashlib.sha256(json.dumps(plain, ensure_ascii=False).encode()).hexdigest()


def picture(content: bytes, name: str, side: int) -> Picture:
    """A JPEG or PNG as the model is shown it: upright, RGB, `side` x `side` pixels.

    Raises:
        ImageError: it cannot be decoded.
    """
    image = images.decode(content, name).image
    if image.size != (side, side):
        image = ImageOps.fit(image, (side, side), Image.Resampling.BICUBIC)
    return Picture(image, hashlib.sha256(f"{image.size} ".encode() + image.tobytes()).hexdigest())


@dataclass(frozen=True)
class Prompt:
    """`instruction`: the system's turn, said once. `question`: said with each picture. `answer`: answer to an
    example, a template of `emotion` and `units`; empty where the file has none."""

    instruction: str
    question: str
    answer: str

    def conversation(self, shown: Picture, examples: Sequence[tuple[Picture, str]] = ()) -> Conversation:
        """The question about the picture `shown`, after the examples and their answers."""
        turns = [Turn("system", (self.instruction,))]
        for example, answer in examples:
            turns += [Turn("user", (example, self.question)), Turn("assistant", (answer,))]
        return (*turns, Turn("user", (shown, self.question)))

    def example_answer(self, **values: Any) -> str:
        """`answer` with its values."""
        return _render(self.answer, "answer", values).strip()


def read_prompt(path: Path, values: Mapping[str, Any]) -> Prompt:
    """Read a prompt file: instruction, question and, for examples, the answer, separated by lines `---`.

    The first two are Jinja templates of `values`.

    Raises:
        PromptError: not two or three parts, an empty part, or an unknown variable.
    """
    parts = [part.strip() for part in path.read_text(encoding="utf-8").split(f"\n{SEPARATOR}\n")]
    if len(parts) not in (2, 3) or not all(parts):
        raise PromptError(
            f"{path}: a prompt is an instruction, a question and, for examples, an answer, "
            f"separated by lines {SEPARATOR}; it has {len(parts)} parts"
        )
    instruction, question = (_render(part, str(path), values) for part in parts[:2])
    return Prompt(instruction, question, parts[2] if len(parts) == 3 else "")


def _render(text: str, name: str, values: Mapping[str, Any]) -> str:
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # noqa: S701 - plain text for a model
    )
    try:
        return environment.from_string(text).render(values)
    except jinja2.TemplateError as error:
        raise PromptError(f"{name}: {error}; there are {', '.join(values)}") from error
