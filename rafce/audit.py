"""What the data are: identity of each image, copies, counts."""

import csv
import hashlib
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from rafce.images import decode, pixel_hash
from rafce.manifest import Row
from rafce.sources.base import Sample, SourceError
from rafce.taxonomy import BASIC, SPLITS

_KEPT_FIRST = {"test": 0, "val": 1, "train": 2}


def identify(sample: Sample) -> tuple[Row, dict[str, bytes]]:
    """The manifest row of a sample, and the files it consists of (path in the store -> bytes)."""
    stem = f"{sample.role}/{sample.split}/{sample.label}/{sample.source_id}"
    image = decode(sample.content, sample.source_id)
    row = Row(
        image=f"images/{stem}{sample.suffix}",
        label=sample.label,
        role=sample.role,
        split=sample.split,
        action_units=sample.action_units,
        group=sample.group,
        sha256=hashlib.sha256(sample.content).hexdigest(),
        pixels=pixel_hash(image),
        source_id=sample.source_id,
        regions=f"regions/{stem}.png" if sample.regions is not None else "",
    )
    files = {row.image: sample.content}
    if sample.regions is not None:
        files[row.regions] = sample.regions
    return row, files


def drop_copies(rows: Sequence[Row]) -> tuple[list[Row], list[tuple[Row, Row]]]:
    """Keep one of each set of pixel-identical images: compound before basic, then test, val, train, then by
    name.

    So no image of a test split is also trained on, in pretraining either. Returns the rows kept, in manifest
    order, and the dropped ones, each with the row that was kept for it.
    """
    ranked = sorted(rows, key=lambda r: (r.role != "compound", _KEPT_FIRST[r.split], r.image))
    first: dict[str, Row] = {}
    dropped = []
    for row in ranked:
        kept = first.setdefault(row.pixels, row)
        if kept is not row:
            dropped.append((row, kept))
    return sorted(first.values(), key=_manifest_order), dropped


def only_classes(rows: Sequence[Row], classes: Sequence[str]) -> list[Row]:
    """Basic rows, and the compound rows of the study's classes.

    Raises:
        SourceError: no compound image is left in one of the splits.
    """
    chosen = [r for r in rows if r.role == "basic" or r.label in classes]
    for split in SPLITS:
        if not any(r.role == "compound" and r.split == split for r in chosen):
            raise SourceError(
                f"no compound image of the study's classes in split {split}; check the source's files"
            )
    return chosen


def dropped_csv(dropped: Iterable[tuple[Row, Row]]) -> str:
    """The dropped images by name, with the reason and the image that was kept."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("image", "label", "split", "reason", "kept", "kept_label", "kept_split"))
    for row, kept in dropped:
        writer.writerow((row.image, row.label, row.split, "pixel copy", kept.image, kept.label, kept.split))
    return out.getvalue()


def counts(
    source: str, kept: Sequence[Row], dropped: Sequence[tuple[Row, Row]], classes: Sequence[str]
) -> dict[str, Any]:
    """Counts only, fit for git: images by class and split, and copies dropped by split."""

    def table(role: str, labels: Sequence[str]) -> dict[str, dict[str, int]]:
        tally = Counter((r.label, r.split) for r in kept if r.role == role)
        return {label: {split: tally[label, split] for split in SPLITS} for label in labels}

    def copies(role: str) -> dict[str, int]:
        tally = Counter(r.split for r, _ in dropped if r.role == role)
        return {split: tally[split] for split in SPLITS}

    return {
        "source": source,
        "classes": list(classes),
        "compound": table("compound", classes),
        "basic": table("basic", BASIC),
        "copies_dropped": {"compound": copies("compound"), "basic": copies("basic")},
        "copies_with_another_label": sum(r.label != k.label for r, k in dropped),
        "with_action_units": sum(bool(r.action_units) for r in kept),
    }


def _manifest_order(row: Row) -> tuple[int, int, str]:
    return (row.role != "compound", SPLITS.index(row.split), row.image)
