"""Backend for a model on this machine, with the library transformers."""

import contextlib
import math
import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

import torch

from emotions import extras, inference
from vlm.shared.backend import Decoding, Failure, ModelError, ModelParams, Reply
from vlm.shared.conversation import Conversation, Picture

with extras.importing("vlm"):
    import huggingface_hub
    import transformers
    from transformers import (
        AutoModelForImageTextToText,
        AutoProcessor,
        LogitsProcessor,
        LogitsProcessorList,
    )

WEIGHTS = "*.safetensors"
FILES = [WEIGHTS, "*.json", "*.jinja", "*.txt"]
transformers.utils.logging.disable_progress_bar()
transformers.utils.logging.set_verbosity_error()


def folder_revision(folder: Path) -> str:
    """SHA-256 of the names and the bytes of a model's files."""
    digest = sha256()
    for path in sorted(p for p in folder.iterdir() if any(p.match(kind) for kind in FILES)):
        with path.open("rb") as file:
            digest.update(path.name.encode() + b"\0" + file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _no_number() -> ModelError:
    return ModelError(
        "model.precision: the network's output is not a number (in float16: an overflow); take bfloat16 or "
        "float32"
    )


class _Checked(LogitsProcessor):
    """Pass scores on, unless one is not a number: then the likeliest token would be arbitrary."""

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        if torch.isnan(scores).any():
            raise _no_number()
        return scores


class Local:
    """A vision-language model from the hub or a folder, loaded when the first question is asked. Weights are
    read only from safetensors, and code that comes with a model is never run."""

    def __init__(self, params: ModelParams, device: torch.device) -> None:
        """
        Raises:
            ModelError: a hub model without a pinned revision, or a folder without such weights.
        """
        folder = Path(params.name)
        if folder.is_dir():
            if params.revision is not None:
                raise ModelError(
                    f"model.revision: {folder} is a folder, whose files are hashed; set it to null"
                )
            if not any(folder.glob(WEIGHTS)):
                raise ModelError(f"model.name: {folder} holds no {WEIGHTS}; other formats can run code")
            revision = folder_revision(folder)
        elif params.revision is None:
            raise ModelError(
                f"model.name: {params.name} is not a folder here. If it is on the hub, pin its commit in "
                "model.revision (40 hexadecimal digits): what `main` means changes"
            )
        else:
            revision = params.revision
        self._params, self._device = params, device
        self._dtype = inference.resolve_precision(params.precision, device)
        self.identity = {
            "backend": "transformers",
            "model": folder.name if folder.is_dir() else params.name,
            "revision": revision,
            "precision": inference.dtype_name(self._dtype),
        }
        self.versions = f"transformers {transformers.__version__}, torch {torch.__version__}, {device.type}"

    @cached_property
    def _folder(self) -> str:
        """Folder of the model's files; missing files are fetched from the hub."""
        if self._params.revision is None:
            return self._params.name
        with self._loading():
            return huggingface_hub.snapshot_download(
                self._params.name, revision=self._params.revision, allow_patterns=FILES
            )

    @cached_property
    def _processor(self) -> Any:
        with self._loading():
            processor = AutoProcessor.from_pretrained(self._folder, trust_remote_code=False)
        processor.tokenizer.padding_side = "left"
        return processor

    @cached_property
    def _model(self) -> Any:
        with self._loading(), inference.enough_memory("model.precision, or take a smaller model"):
            model: Any = AutoModelForImageTextToText.from_pretrained(
                self._folder,
                dtype=self._dtype,
                use_safetensors=True,
                trust_remote_code=False,
            )
            return model.to(self._device).eval()

    @contextlib.contextmanager
    def _loading(self) -> Iterator[None]:
        name, revision = self._params.name, self._params.revision
        try:
            yield
        except (OSError, ValueError, KeyError) as error:
            raise ModelError(
                f"{name} cannot be loaded: {str(error).splitlines()[0]} Without a network: fetch it "
                f"elsewhere (hf download {name} --revision {revision}), name its folder in model.name and "
                "set model.revision to null"
            ) from error

    def answer(
        self, conversations: Sequence[Conversation], choices: Sequence[str], decoding: Decoding
    ) -> Iterator[tuple[int, Reply | Failure]]:
        """Answer in batches, in order. A batch that does not fit in memory is a TrainingError that names the
        knob.

        Raises:
            ModelError: the model is neither here nor available, or its files are not such a model.
        """
        size = self._params.batch_size
        for begin in range(0, len(conversations), size):
            batch = conversations[begin : begin + size]
            with inference.enough_memory("model.batch_size or ask.image_size"), torch.inference_mode():
                if decoding.answer == "log_probability":
                    replies = [self._weighed(conversation, choices) for conversation in batch]
                else:
                    replies = self._generated(batch, choices, decoding)
            yield from enumerate(replies, begin)

    @property
    def _tokenizer(self) -> Any:
        return self._processor.tokenizer

    def _inputs(self, conversations: Sequence[Conversation]) -> Any:
        return self._processor.apply_chat_template(
            [_messages(c) for c in conversations],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            processor_kwargs={"padding": True},
        ).to(self._device)

    def _choice_tokens(self, choices: Sequence[str]) -> list[list[int]]:
        """Each choice as tokens, with the end token, so that no choice is the beginning of another."""
        end = self._tokenizer.eos_token_id
        return [[*self._tokenizer(c, add_special_tokens=False)["input_ids"], end] for c in choices]

    def _generated(
        self, conversations: Sequence[Conversation], choices: Sequence[str], decoding: Decoding
    ) -> list[Reply]:
        inputs = self._inputs(conversations)
        width = inputs["input_ids"].shape[1]
        allowed, most = None, decoding.max_tokens
        if decoding.constrained:
            sequences = self._choice_tokens(choices)
            most = max(map(len, sequences))

            def allowed(_: int, tokens: torch.Tensor) -> list[int]:
                done = tokens[width:].tolist()
                ways = {s[len(done)] for s in sequences if s[: len(done)] == done and len(s) > len(done)}
                return sorted(ways) or [self._tokenizer.eos_token_id]

        out = self._model.generate(
            **inputs,
            max_new_tokens=most,
            do_sample=False,
            temperature=None,
            top_p=None,
            top_k=None,
            prefix_allowed_tokens_fn=allowed,
            logits_processor=LogitsProcessorList([_Checked()]),
        )[:, width:]
        asked = inputs["attention_mask"].sum(1).tolist()
        ends = self._model.generation_config.eos_token_id
        ends = set(ends if isinstance(ends, list) else [ends])
        replies = []
        for tokens, prompt in zip(out.tolist(), asked, strict=True):
            stop = next((i for i, t in enumerate(tokens) if t in ends), None)
            said = tokens if stop is None else tokens[: stop + 1]
            text = self._tokenizer.decode(said, skip_special_tokens=True)
            replies.append(Reply(text, "length" if stop is None else "stop", int(prompt), len(said)))
        return replies

    def _weighed(self, conversation: Conversation, choices: Sequence[str]) -> Reply:
        """The log-probability of each choice as the whole answer, in one batch of all choices."""
        inputs = self._inputs([conversation] * len(choices))
        sequences, device = self._choice_tokens(choices), self._device
        width, longest = inputs["input_ids"].shape[1], max(map(len, sequences))
        pad = self._tokenizer.pad_token_id
        answers = torch.tensor([s + [pad] * (longest - len(s)) for s in sequences], device=device)
        present = torch.tensor([[1] * len(s) + [0] * (longest - len(s)) for s in sequences], device=device)
        for name, more in (("input_ids", answers), ("attention_mask", present)):
            inputs[name] = torch.cat([inputs[name], more.to(inputs[name].dtype)], 1)
        if "mm_token_type_ids" in inputs:  # the answer is text
            kinds = inputs["mm_token_type_ids"]
            inputs["mm_token_type_ids"] = torch.cat([kinds, torch.zeros_like(answers, dtype=kinds.dtype)], 1)
        logits = self._model(**inputs, logits_to_keep=longest + 1).logits[:, :-1].float()
        chances = torch.log_softmax(logits, -1).gather(2, answers.unsqueeze(-1)).squeeze(-1)
        scores = tuple(round(float(s), 6) for s in (chances * present).double().sum(1))
        if not all(map(math.isfinite, scores)):
            raise _no_number()
        best = max(range(len(choices)), key=scores.__getitem__)
        return Reply(choices[best], "stop", width, len(sequences[best]), scores)


def _messages(conversation: Conversation) -> list[dict[str, Any]]:
    return [
        {
            "role": turn.role,
            "content": [
                {"type": "image", "image": p.image} if isinstance(p, Picture) else {"type": "text", "text": p}
                for p in turn.parts
            ],
        }
        for turn in conversation
    ]
