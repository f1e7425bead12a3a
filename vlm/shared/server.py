"""Backend for a server with OpenAI's chat completions: vLLM, Ollama, `transformers serve`."""

import base64
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

from emotions import extras
from vlm.shared.backend import Decoding, Failure, ModelError, ModelParams, Reply, ServerParams
from vlm.shared.conversation import Conversation, Picture

with extras.importing("vlm"):
    import openai

KEY = "OPENAI_API_KEY"


class Server:
    """A model that a server has loaded. Its key, if any, is read from the variable OPENAI_API_KEY."""

    def __init__(self, model: ModelParams, params: ServerParams) -> None:
        self._params, self._name = params, model.name
        self._client = openai.OpenAI(
            base_url=params.url,
            api_key=os.environ.get(KEY, "none"),
            timeout=params.timeout,
            max_retries=params.attempts - 1,
        )
        self.identity = {
            "backend": "server",
            "model": model.name,
            "revision": model.revision or "as served",
            "constraint": params.constraint,
        }
        self.versions = f"openai {openai.__version__}"

    def _served(self) -> list[str] | None:
        """Names of the server's models; None where it does not list them."""
        try:
            return sorted(m.id for m in self._client.models.list())
        except openai.NotFoundError:
            return None
        except openai.AuthenticationError as error:
            raise ModelError(f"{self._params.url} needs a valid key: set the variable {KEY}") from error
        except openai.APIError as error:
            raise ModelError(
                f"no server answers at {self._params.url} ({_short(error)}); start it or correct server.url"
            ) from error

    def answer(
        self, conversations: Sequence[Conversation], choices: Sequence[str], decoding: Decoding
    ) -> Iterator[tuple[int, Reply | Failure]]:
        """Ask several questions at once and yield answers as they come in.

        Raises:
            ModelError: the server is missing, lacks the model or is gone; or log-probabilities are asked for,
                which these servers do not give for a text.
        """
        if decoding.answer == "log_probability":
            raise ModelError(
                "answer: log_probability needs model.backend: transformers; a chat server does not give the "
                "probability of a text that it did not choose"
            )
        served = self._served() if conversations else None
        if served is not None and self._name not in served:
            raise ModelError(
                f"model.name: {self._params.url} has no {self._name}; name one of {', '.join(served)}"
            )
        extra = self._constraint(choices) if decoding.constrained else {}
        gone: ModelError | None = None
        stop = threading.Event()
        with ThreadPoolExecutor(self._params.concurrency) as pool:
            asked = {
                pool.submit(self._ask, c, extra, decoding.max_tokens, stop): i
                for i, c in enumerate(conversations)
            }
            try:
                for done in as_completed(asked):
                    reply = done.result()
                    if isinstance(reply, Failure) and gone is None:
                        gone = self._gone()
                        if gone is not None:  # running questions may still be answered; no new ones start
                            stop.set()
                    if gone is None or isinstance(reply, Reply):
                        yield asked[done], reply
            finally:
                stop.set()
        if gone is not None:
            raise gone

    def _gone(self) -> ModelError | None:
        try:
            self._served()
        except ModelError as error:
            return error
        return None

    def _constraint(self, choices: Sequence[str]) -> dict[str, Any]:
        if self._params.constraint == "choice":
            return {"extra_body": {"structured_outputs": {"choice": list(choices)}}}
        if self._params.constraint == "json_schema":
            schema = {
                "type": "object",
                "properties": {"emotion": {"type": "string", "enum": list(choices)}},
                "required": ["emotion"],
                "additionalProperties": False,
            }
            form = {"name": "answer", "strict": True, "schema": schema}
            return {"response_format": {"type": "json_schema", "json_schema": form}}
        return {}

    def _ask(
        self, conversation: Conversation, extra: dict[str, Any], most: int, stop: threading.Event
    ) -> Reply | Failure:
        """Ask one question. Retry bodies that are not an answer, which the client itself does not retry."""
        reason = "not asked"
        for _ in range(self._params.attempts):
            if stop.is_set():
                break
            try:
                done = self._client.chat.completions.create(
                    model=self._name,
                    messages=_messages(conversation),
                    max_tokens=most,
                    temperature=0,
                    seed=0,
                    **extra,
                )
                choice, usage = done.choices[0], done.usage
                text = choice.message.content or ""
                if choice.message.refusal:
                    return Reply(choice.message.refusal, "refusal", *_tokens(usage))
                return Reply(text, str(choice.finish_reason), *_tokens(usage))
            except openai.APIResponseValidationError as error:
                reason = _short(error)
            except openai.APIError as error:
                return Failure(_short(error))
            except (ValueError, AttributeError, TypeError, IndexError) as error:
                reason = f"malformed answer ({_short(error)})"
        return Failure(reason)


def _tokens(usage: Any) -> tuple[int, int]:
    """Tokens of the prompt and of the answer; 0 where the server does not count."""
    return (0, 0) if usage is None else (int(usage.prompt_tokens), int(usage.completion_tokens))


def _short(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]


def _messages(conversation: Conversation) -> list[Any]:
    def part(p: str | Picture) -> dict[str, Any]:
        if isinstance(p, Picture):
            url = f"data:image/png;base64,{base64.b64encode(p.png()).decode()}"
            return {"type": "image_url", "image_url": {"url": url}}
        return {"type": "text", "text": p}

    return [
        {
            "role": turn.role,
            "content": turn.parts[0]
            if len(turn.parts) == 1 and isinstance(turn.parts[0], str)
            else [part(p) for p in turn.parts],
        }
        for turn in conversation
    ]
