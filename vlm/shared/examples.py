"""Training images as examples in a prompt; none is, or is nearly, a held-out image."""

from collections.abc import Callable, Sequence
from typing import Final

from PIL import Image

from emotions.data.manifest import Row
from emotions.random_streams import stream_seed
from emotions.sources import leakage

SPARE: Final = 8
"""Candidates for each wanted example, since some may be near-copies of held-out images."""


class ExamplesError(ValueError):
    """Too few clean examples; the message names the class and the remedy."""


def choose(
    rows: Sequence[Row],
    classes: Sequence[str],
    shots: int,
    *,
    seed: int,
    read: Callable[[Row], Image.Image],
) -> list[Row]:
    """Choose `shots` training images of each class, drawn from `seed`, ordered so that classes alternate.

    Images that share a person or pixels with a held-out image (val or test) are left out, and so are its
    near-copies (`emotions.sources.leakage`), whatever `data.leakage` was when the data were made.

    Args:
        rows: all rows of the dataset. read: function that reads the image of a row.

    Raises:
        ExamplesError: a class has fewer clean ones among its first SPARE * `shots` candidates.
    """
    held_out = [r for r in rows if r.split != "train"]
    candidates: dict[str, list[Row]] = {}
    for label in classes:
        of_class = [r for r in rows if r.role == "compound" and r.split == "train" and r.label == label]
        of_class.sort(key=lambda row: stream_seed(seed, "shots", row.image))
        candidates[label] = of_class[: SPARE * shots]
    unclean = contaminated([r for some in candidates.values() for r in some], held_out, read)
    chosen: list[tuple[int, int, Row]] = []
    for label, some in candidates.items():
        clean = [r for r in some if r.image not in unclean][:shots]
        if len(clean) < shots:
            raise ExamplesError(
                f"shots: class {label} has {len(clean)} training images unrelated to val and test, "
                f"not {shots}; lower `shots`"
            )
        chosen += [(i, stream_seed(seed, "shots order", r.image), r) for i, r in enumerate(clean)]
    # Blocks hold one image of each class, so that no class fills the end of the prompt.
    return [row for *_, row in sorted(chosen, key=lambda c: c[:2])]


def contaminated(
    candidates: Sequence[Row], held_out: Sequence[Row], read: Callable[[Row], Image.Image]
) -> set[str]:
    """Names of the candidates that share a person, pixels or a near-copy with a held-out image."""
    persons = {r.group for r in held_out if r.group}
    pixels = {r.pixels for r in held_out if r.pixels}
    found = {r.image for r in candidates if r.group in persons or r.pixels in pixels}
    everything = [*candidates, *held_out]
    hashes = [leakage.perceptual_hash(read(r)) for r in everything]
    names = {r.image for r in candidates}
    for pair in leakage.near_copies(everything, hashes, lambda row: leakage.grey(read(row))):
        found |= names & {pair.kept.image, pair.other.image}
    return found
