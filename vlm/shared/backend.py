"""Interface of every backend, whichever machine the model runs on."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, Protocol

from pydantic import Field

from emotions.model.knobs import Precision
from emotions.params_file import Group
from vlm.shared.conversation import Conversation


class ModelError(Exception):
    """Model that cannot be asked; the message names what is missing and the remedy."""


class ModelParams(Group):
    """`name`: on the hub, a folder, or a server's name for it. `revision`: commit on the hub; null for a
    folder, whose files are hashed. `precision`, `batch_size`: for the backend `transformers` only."""

    backend: Literal["transformers", "server"]
    name: str = Field(min_length=1)
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")] | None
    precision: Precision
    batch_size: int = Field(ge=1)


class Price(Group):
    """Price of a million tokens, in the currency of the bill."""

    prompt: float = Field(ge=0)
    completion: float = Field(ge=0)


class ServerParams(Group):
    """`url`: up to and with `/v1`. `concurrency`: simultaneous questions. `timeout`: seconds allowed for an
    attempt. `attempts`: attempts a question, further apart each time. `constraint`: how answers are limited
    to the choices (`json_schema`: OpenAI, vLLM, Ollama; `choice`: vLLM; `none`)."""

    url: str = Field(pattern=r"^https?://")
    concurrency: int = Field(ge=1, le=1024)
    timeout: float = Field(gt=0)
    attempts: int = Field(ge=1, le=20)
    constraint: Literal["json_schema", "choice", "none"]
    price: Price


class Decoding(Group):
    """How an answer is decoded; always greedy.

    `answer`: `generate` a text, or the `log_probability` of each choice. `constrained`: the text can only be
    one of the choices. `max_tokens`: length at which a text is cut off.
    """

    answer: Literal["generate", "log_probability"]
    constrained: bool
    max_tokens: int = Field(ge=1)


@dataclass(frozen=True)
class Reply:
    """`text`: as the model gave it, or the most probable choice. `finish`: why it ended (`stop`, `length`,
    `content_filter`, `refusal`). `scores`: log-probability of each choice, where they were asked for."""

    text: str
    finish: str
    prompt_tokens: int
    completion_tokens: int
    scores: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Failure:
    """Missing answer after all attempts; `reason` says what happened."""

    reason: str


class Backend(Protocol):
    """A model that answers conversations."""

    identity: dict[str, str]
    """What decides the answers besides conversation and decoding: model, revision, number format."""
    versions: str
    """Versions of the software that computes, as far as they are known."""

    def answer(
        self, conversations: Sequence[Conversation], choices: Sequence[str], decoding: Decoding
    ) -> Iterator[tuple[int, Reply | Failure]]:
        """Yield each conversation's number and its reply as soon as it is known, in any order.

        Raises:
            ModelError: the model can give no more answers.
        """
        ...
