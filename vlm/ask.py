"""Ask a vision-language model about each image of the splits, one way.

Usage: python -m vlm.ask zero_shot

Every answer is kept in `.answers/` as soon as it is given: after an interruption the same command continues,
and asks nothing twice.
"""

import zipfile
from pathlib import Path
from typing import Any, Literal

import torch
from PIL import Image
from pydantic import Field

from emotions import inference
from emotions.command import command
from emotions.data import dataset, images, manifest
from emotions.params_file import Group
from emotions.random_streams import stream_seed
from emotions.runtime import outs
from emotions.runtime.console import log, progress, show
from emotions.taxonomy import ACTION_UNITS, ClassSet, compound_classes, display
from vlm.shared import asking, conversation, examples
from vlm.shared.backend import Backend, Decoding, ModelError, ModelParams, ServerParams
from vlm.shared.reading import names


class AskParams(Group):
    """`image_size`: pixels a side. `limit`: images a split, drawn from `seed`; null: all. `unanswered`:
    whether images without an answer end the stage or count as wrong."""

    image_size: int = Field(ge=28, le=1024)
    limit: int | None = Field(ge=1)
    unanswered: Literal["error", "wrong"]


class WayParams(Group):
    """`prompt`: a file in vlm/prompts. `shots`: training images of each class shown as examples."""

    title: str = Field(min_length=1)
    prompt: str = Field(pattern=r"^\w+$")
    shots: int = Field(ge=0)
    decoding: Decoding


STUDY = {"seed": int, "data.classes": ClassSet}
OWN = {"model": ModelParams, "server": ServerParams, "ask": AskParams, "ways.{way}": WayParams}
OWN_PARAMS = Path("vlm/params.yaml")
DATASET = Path("data/dataset_resnet_224.zip")
ANSWERS = Path(".answers")
SPLITS = ("val", "test")


def main(values: dict[str, Any], name: str) -> None:
    classes = compound_classes(values["data.classes"])
    way, params, server = values["ways.{way}"], values["ask"], values["server"]
    rows = dataset.read_manifest(DATASET)
    asked_rows = [
        r for split in SPLITS for r in of_split(rows, split, classes, seed=values["seed"])[: params.limit]
    ]
    path = Path(f"vlm/prompts/{way.prompt}.md")
    prompt = conversation.read_prompt(path, {"classes": names(classes), "units": ACTION_UNITS})
    if way.shots and not prompt.answer:
        raise conversation.PromptError(
            f"{path}: {way.shots} shots need a third part, the answer to an example; add it or set shots to 0"
        )
    with zipfile.ZipFile(DATASET) as archive:

        def image(row: manifest.Row) -> Image.Image:
            return images.decode(archive.read(row.image), row.image).image

        def picture(row: manifest.Row) -> conversation.Picture:
            return conversation.picture(archive.read(row.image), row.image, params.image_size)

        shown = (
            examples.choose(rows, classes, way.shots, seed=values["seed"], read=image) if way.shots else []
        )
        answered = [
            (picture(r), prompt.example_answer(emotion=display(r.label), units=r.action_units)) for r in shown
        ]
        conversations = {
            r.image: prompt.conversation(picture(r), answered)
            for r in progress(f"decode for {name}", len(asked_rows), asked_rows)
        }
    backend = load(values["model"], server)
    found = asking.ask(
        backend, conversations, names(classes), decoding=way.decoding, folder=ANSWERS, title=f"ask {name}"
    )
    report_failures(found, params.unanswered, name)

    outs.write_json(
        Path(f"vlm/answers/{name}.json"),
        {
            "way": name,
            "title": way.title,
            "model": backend.identity,
            "data": manifest.fingerprint(rows),
            "classes": list(classes),
            "prompt": path.name,
            "examples": [{"image": r.image, "label": r.label} for r in shown],
            "decoding": way.decoding.model_dump(),
            "answers": [
                {
                    "image": r.image,
                    "split": r.split,
                    "label": r.label,
                    "units": r.action_units,
                    **(reply_of(found, r.image)),
                }
                for r in asked_rows
            ],
        },
    )
    replies = found.replies.values()
    prompt_tokens, tokens = sum(r.prompt_tokens for r in replies), sum(r.completion_tokens for r in replies)
    price = server.price if values["model"].backend == "server" else None
    usage = {
        "images": len(found.replies),
        "unanswered": len(found.failures),
        "images_per_second": len(found.replies) / found.seconds if found.seconds else None,
        "prompt_tokens": prompt_tokens,
        "completion_tokens": tokens,
        "cost": (price.prompt * prompt_tokens + price.completion * tokens) / 1e6 if price else None,
    }
    outs.write_json(Path(f"vlm/metrics/usage/{name}.json"), usage)
    show(f"{len(found.replies)} answers, {found.asked} of them new")


def load(model: ModelParams, server: ServerParams) -> Backend:
    """Load the backend that the params name; its library is imported only here."""
    device = inference.prepare_device(torch.get_num_threads())
    if model.backend == "server":
        from vlm.shared.server import Server

        return Server(model, server)
    from vlm.shared.local import Local

    return Local(model, device)


def of_split(
    rows: list[manifest.Row], split: str, classes: tuple[str, ...], *, seed: int
) -> list[manifest.Row]:
    """The compound images of a split in random order, so that the first ones are a fair sample."""
    found = [r for r in rows if r.role == "compound" and r.split == split and r.label in classes]
    return sorted(found, key=lambda r: stream_seed(seed, "asked", r.image))


def report_failures(found: asking.Asked, unanswered: str, name: str) -> None:
    """Log each image without an answer.

    Raises:
        ModelError: an image has no answer, and `unanswered` is `error`.
    """
    for image, failure in found.failures.items():
        log.warning(f"{image}: no answer ({failure.reason})")
    if found.failures and unanswered == "error":
        raise ModelError(
            f"{len(found.failures)} images have no answer (above); the other {len(found.replies)} are kept. "
            f"Run this again to ask about the missing ones, or set ask.unanswered to `wrong`"
        )


def reply_of(found: asking.Asked, image: str) -> dict[str, Any]:
    """A reply as it stands in the out; without one, `failure` gives the reason."""
    reply = found.replies.get(image)
    if reply is None:
        return {"text": None, "failure": found.failures[image].reason}
    scores = {} if reply.scores is None else {"scores": list(reply.scores)}
    tokens = {"prompt_tokens": reply.prompt_tokens, "completion_tokens": reply.completion_tokens}
    return {"text": reply.text, "finish": reply.finish, **tokens, **scores}


if __name__ == "__main__":
    command(main, STUDY, __doc__, more=(OWN_PARAMS, OWN))
