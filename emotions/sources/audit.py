"""What the data are: identity of each image, what was left out and why, and the counts that git may hold."""

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
"""Kinds of images that cannot be used: `data.unreadable` decides whether they end the stage."""
REASONS: Final = ("absent", *FAULTS, "other class", *KINDS)
"""Why an image that the source lists is not in the data."""
ROLES: Final = ("compound", "basic")
PAIRS_OF_SPLITS: Final = (("test", "val"), ("test", "train"), ("val", "train"))


@dataclass(frozen=True, slots=True)
class Picture:
    """An image that can be used. `files`: path in the store -> bytes. `hashes`: see `leakage`."""

    row: Row
    files: dict[str, bytes]
    hashes: tuple[int, int]
    format: str
    mode: str
    size: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Dropped:
    """A listed image that is not in the data; `detail`: the message, or the image kept in its place."""

    source_id: str
    label: str
    role: str
    split: str
    reason: str
    detail: str = ""
    kept: Row | None = None


def identify(sample: Sample, limits: ImageLimits) -> Picture | Dropped:
    """The manifest row of a sample with its files, or what is wrong with its image."""

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
    """Raises SourceError where an image cannot be used: the first ten, how many, and how to proceed."""
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
    """Raises SourceError where a pair crosses splits: the first ten, how many, and how to proceed."""
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
    """Basic rows and the compound rows of the study's classes; and those of other classes."""
    kept = [r for r in rows if r.role == "basic" or r.label in classes]
    gone = [
        Dropped(r.source_id, r.label, r.role, r.split, "other class")
        for r in rows
        if r.role == "compound" and r.label not in classes
    ]
    return kept, gone


def need_enough(rows: Sequence[Row], classes: Sequence[str]) -> None:
    """Raises SourceError where no compound image is left in one of the splits, or no training image of one
    of the classes."""
    for split in SPLITS:
        if not any(r.role == "compound" and r.split == split for r in rows):
            raise SourceError(
                f"no compound image of the study's classes in split {split}; check the source's files"
            )
    learnt = {r.label for r in rows if r.role == "compound" and r.split == "train"}
    if absent := [c for c in classes if c not in learnt]:
        remedy = "add images of it, or check how the source's files spell it"
        if len(classes) == len(COMPOUND) and set(absent) <= set(NOT_IN_RAFDB):
            remedy = "add images of it, or set data.classes to rafdb11, which is without it"
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
    """Every listed image that is not in the data, by name, with the reason, and the image kept in its
    place."""
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
    """Every pair that was found, whatever was done about it; `correlation` as in `leakage.Pair`."""
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
    """Counts only, fit for git: no name of an image. `pairs`: all that were found, whatever became of
    them."""
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
    """Whether no emotion outside a compound's label has a higher share than one of its two."""
    shares = shares_of(row)
    if row.role != "compound" or shares is None:
        return False
    inside = components(row.label)
    by_emotion = dict(zip(SIX, shares, strict=True))
    return min(by_emotion[e] for e in inside) >= max(v for e, v in by_emotion.items() if e not in inside)


def manifest_order(row: Row) -> tuple[bool, int, str]:
    """Compound before basic, then train, val, test, then by name."""
    return (row.role != "compound", SPLITS.index(row.split), row.image)
