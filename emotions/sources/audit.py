"""Identity of each image, the images left out with the reasons, and the counts that git may hold."""

import csv
import hashlib
import io
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from emotions.data.images import ImageError, inspect, pixel_hash
from emotions.data.knobs import ImageLimits
from emotions.data.manifest import Row, fingerprint, shares_of
from emotions.sources.leakage import KINDS, Pair, perceptual_hash
from emotions.sources.sample import Sample, SourceError
from emotions.taxonomy import BASIC, COMPOUND, NOT_IN_RAFDB, SIX, SPLITS, components

FAULTS: Final = ("missing", "damaged", "unreadable", "truncated", "blank")
"""Kinds of unusable images: `data.unreadable` decides whether they end the stage."""
REASONS: Final = ("absent", *FAULTS, "other class", *KINDS)
"""Reasons why a listed image is not in the data."""
ROLES: Final = ("compound", "basic")
PAIRS_OF_SPLITS: Final = (("test", "val"), ("test", "train"), ("val", "train"))


@dataclass(frozen=True, slots=True)
class Picture:
    """An image that can be used. `files`: path in the store -> bytes. `hashes`: see `leakage`."""

    row: Row
    files: dict[str, bytes]
    hashes: tuple[int, int, int]
    format: str
    mode: str
    size: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Dropped:
    """A listed image that is not in the data; `detail`: the message or place, or a near copy's correlation.

    `kept`: the image kept in its place.
    """

    source_id: str
    label: str
    role: str
    split: str
    reason: str
    detail: str = ""
    kept: Row | None = None


def identify(sample: Sample, limits: ImageLimits) -> Picture | Dropped:
    """Manifest row, files and hashes of a sample, or the reason why its image is dropped."""

    def dropped(reason: str, detail: str) -> Dropped:
        return Dropped(sample.source_id, sample.label, sample.role, sample.split, reason, detail)

    if sample.fault:
        return dropped(sample.fault, sample.place)
    try:
        decoded = inspect(sample.content, sample.place or sample.source_id, limits)
    except ImageError as error:
        return dropped(error.fault, str(error))
    stem = f"{sample.role}/{sample.split}/{sample.label}/{sample.source_id}"
    row = Row(
        image=f"images/{stem}.{'jpg' if decoded.format == 'JPEG' else 'png'}",
        label=sample.label,
        role=sample.role,
        split=sample.split,
        action_units=sample.action_units,
        group=sample.group,
        sha256=hashlib.sha256(sample.content).hexdigest(),
        pixels=pixel_hash(decoded.image),
        source_id=sample.source_id,
        regions=f"regions/{stem}.png" if sample.regions is not None else "",
        shares=sample.shares,
    )
    files = {row.image: sample.content}
    if sample.regions is not None:
        files[row.regions] = sample.regions
    return Picture(
        row, files, perceptual_hash(decoded.image), decoded.format, decoded.mode, decoded.image.size
    )


def refuse_faulty(dropped: Sequence[Dropped], listed: int) -> None:
    """Raises SourceError if an image is unusable; the message has the first ten, the count, the remedy."""
    faulty = [d for d in dropped if d.reason in FAULTS]
    if not faulty:
        return
    kinds = Counter(d.reason for d in faulty)
    counted = ", ".join(f"{kinds[k]:,} {k}" for k in FAULTS if kinds[k])
    first = "".join(f"\n  {d.reason}: {d.detail}" for d in faulty[:10])
    more = f"\n  ... and {len(faulty) - 10:,} more" if len(faulty) > 10 else ""
    raise SourceError(
        f"{len(faulty):,} of {listed:,} listed images cannot be used ({counted}):{first}{more}\n"
        "put good files in their place, or leave them out: data.unreadable=drop"
    )


def refuse_leaks(pairs: Sequence[Pair]) -> None:
    """Raises SourceError if a pair crosses splits; the message has the first ten, the count, the remedy."""
    crossing = [p for p in pairs if p.kept.split != p.other.split]
    if not crossing:
        return
    kinds = Counter(p.kind for p in crossing)
    counted = ", ".join(f"{kinds[k]:,} {k}" for k in KINDS if kinds[k])
    first = "".join(f"\n  {p.kind}: {p.kept.image} and {p.other.image}" for p in crossing[:10])
    more = f"\n  ... and {len(crossing) - 10:,} more" if len(crossing) > 10 else ""
    raise SourceError(
        f"{len(crossing):,} pairs of images cross the splits ({counted}):{first}{more}\n"
        "correct the splits, or let data.leakage=drop keep one of each, test before val before train"
    )


def only_classes(rows: Sequence[Row], classes: Sequence[str]) -> tuple[list[Row], list[Dropped]]:
    """Kept rows (basic, and compound of the study's classes), and dropped compound rows of other classes."""
    kept = [r for r in rows if r.role == "basic" or r.label in classes]
    gone = [
        Dropped(r.source_id, r.label, r.role, r.split, "other class")
        for r in rows
        if r.role == "compound" and r.label not in classes
    ]
    return kept, gone


def need_enough(rows: Sequence[Row], classes: Sequence[str]) -> None:
    """Raises SourceError if a split has no compound image, or a class no training image."""
    for split in SPLITS:
        if not any(r.role == "compound" and r.split == split for r in rows):
            divided = f", or divide an image folder's training images: data.imagefolder.{split}=0.15"
            raise SourceError(
                f"no compound image of the study's classes in split {split}; check the source's files"
                + (divided if split != "train" else "")
            )
    learnt = {r.label for r in rows if r.role == "compound" and r.split == "train"}
    if absent := [c for c in classes if c not in learnt]:
        remedy = "add images of it, or check how the source's files spell it"
        if len(classes) == len(COMPOUND) and set(absent) <= set(NOT_IN_RAFDB):
            remedy = "add images of it, or set data.classes to rafdb11, which lacks it"
        raise SourceError(f"no training image of {', '.join(absent)}: nothing could learn it; {remedy}")


def dropped_for(pair: Pair) -> Dropped:
    """The record of a row left out because of a pair."""
    other = pair.other
    return Dropped(
        other.source_id, other.label, other.role, other.split, pair.kind, _how_alike(pair), pair.kept
    )


def _how_alike(pair: Pair) -> str:
    return f"{pair.correlation:.3f}{' mirrored' if pair.mirrored else ''}" if pair.kind == "near copy" else ""


def dropped_csv(dropped: Iterable[Dropped]) -> str:
    """CSV of every listed image that is not in the data: its name, the reason, and the image kept instead."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        ("source_id", "role", "label", "split", "reason", "detail", "kept", "kept_label", "kept_split")
    )
    for d in dropped:
        kept = (d.kept.image, d.kept.label, d.kept.split) if d.kept else ("", "", "")
        writer.writerow((d.source_id, d.role, d.label, d.split, d.reason, d.detail, *kept))
    return out.getvalue()


def pairs_csv(pairs: Iterable[Pair]) -> str:
    """CSV of every pair found, whether dropped or not; `correlation` as in `leakage.Pair`."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        ("kind", "correlation", "mirrored", "image", "label", "split", "other", "other_label", "other_split")
    )
    for p in pairs:
        alike = (f"{p.correlation:.3f}" if p.correlation else "", int(p.mirrored))
        writer.writerow(
            (
                p.kind,
                *alike,
                p.kept.image,
                p.kept.label,
                p.kept.split,
                p.other.image,
                p.other.label,
                p.other.split,
            )
        )
    return out.getvalue()


def counts(
    source: str,
    kept: Sequence[Picture],
    dropped: Sequence[Dropped],
    *,
    pairs: Sequence[Pair],
    classes: Sequence[str],
) -> dict[str, Any]:
    """Counts that git may hold, without image names. `pairs`: all pairs found, whether dropped or not."""
    rows = [picture.row for picture in kept]
    listed = Counter([*((r.role, r.split) for r in rows), *((d.role, d.split) for d in dropped)])
    by_label = Counter((r.role, r.label, r.split) for r in rows)
    gone = Counter((d.reason, d.role, d.split) for d in dropped)
    crossing = Counter((p.kind, frozenset((p.kept.split, p.other.split))) for p in pairs)
    sizes = Counter(picture.size for picture in kept)
    by_area = sorted(sizes, key=lambda size: (math.prod(size), size))
    soft = [r for r in rows if r.shares]
    labels = {"compound": classes, "basic": BASIC}
    return {
        "source": source,
        "fingerprint": fingerprint(rows),
        "classes": list(classes),
        **{
            role: {label: {s: by_label[role, label, s] for s in SPLITS} for label in labels[role]}
            for role in ROLES
        },
        "listed": {role: {s: listed[role, s] for s in SPLITS} for role in ROLES},
        "dropped": {
            reason: {role: {s: gone[reason, role, s] for s in SPLITS} for role in ROLES} for reason in REASONS
        },
        "dropped_copies_with_another_label": sum(
            d.kept is not None and d.kept.label != d.label for d in dropped
        ),
        "pairs_across_splits": {
            kind: {f"{one}-{two}": crossing[kind, frozenset((one, two))] for one, two in PAIRS_OF_SPLITS}
            for kind in KINDS
        },
        "formats": dict(sorted(Counter(picture.format for picture in kept).items())),
        "modes": dict(sorted(Counter(picture.mode for picture in kept).items())),
        "sizes": {
            "different": len(sizes),
            "smallest": list(by_area[0]),
            "largest": list(by_area[-1]),
            "most_frequent": list(sizes.most_common(1)[0][0]),
        },
        "with_action_units": {
            role: sum(bool(r.action_units) for r in rows if r.role == role) for role in ROLES
        },
        "soft_labels": {
            "compound": sum(r.role == "compound" for r in soft),
            "basic": sum(r.role == "basic" for r in soft),
            "compound_whose_two_highest_are_the_label": sum(map(_agrees, soft)),
        },
    }


def _agrees(row: Row) -> bool:
    """Whether each emotion of a compound's label has at least the share of any other emotion."""
    shares = shares_of(row)
    if row.role != "compound" or shares is None:
        return False
    inside = components(row.label)
    by_emotion = dict(zip(SIX, shares, strict=True))
    return min(by_emotion[e] for e in inside) >= max(v for e, v in by_emotion.items() if e not in inside)


def manifest_order(row: Row) -> tuple[bool, int, str]:
    """Compound before basic, then train, val, test, then by name."""
    return (row.role != "compound", SPLITS.index(row.split), row.image)
