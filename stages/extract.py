"""Collect the images of the chosen source, inspect them all, and leave out those unfit for training.

Usage: python -m stages.extract
"""

import logging
import subprocess
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image

from emotions.command import command
from emotions.data import manifest
from emotions.data.images import decode
from emotions.data.manifest import Row
from emotions.runtime import console, outs
from emotions.runtime.parallel import cores, in_order
from emotions.sources import SOURCES, DataParams, Source, audit, contact_sheet, leakage
from emotions.sources.audit import Dropped, Picture
from emotions.sources.leakage import Pair
from emotions.sources.sample import Sample, SourceError
from emotions.taxonomy import compound_classes

PARAMS = {"data": DataParams}
RAW = Path("data/raw")
OUT = Path("data/extracted")
COUNTS = Path("metrics/data.json")
SHEET = Path("plots/contact_sheet.jpg")

log = logging.getLogger("emotions.stages.extract")


def refuse_tracked(source: Source, folder: Path) -> None:
    """Raise SourceError where git tracks raw files of a source that may not be passed on."""
    if source.pictures_in_git and source.label_lists_in_git:
        return
    listed = subprocess.run(["git", "ls-files", "--", folder], capture_output=True, text=True, check=False)
    if listed.stdout:
        raise SourceError(
            f"{folder}: git tracks files that may not be passed on, such as {listed.stdout.splitlines()[0]}; "
            f"git rm -r --cached {folder}, and take them out of commits not yet pushed"
        )


def without_leaks(
    rows: list[Row], pictures: dict[str, Picture], folder: Path, *, policy: str
) -> tuple[list[Row], list[Dropped], list[Pair]]:
    """Rows kept, rows left out, and every pair found. Pixel copies are removed first, then images of the same
    person, then near-copies."""

    def image(row: Row) -> Any:
        return leakage.grey(decode((folder / row.image).read_bytes(), row.image).image)

    def near_copies(rows: Sequence[Row]) -> list[Pair]:
        return leakage.near_copies(rows, [pictures[r.image].hashes for r in rows], image)

    kept, found, dropped = rows, list[Pair](), list[Dropped]()
    for find in (leakage.pixel_copies, leakage.same_persons, near_copies):
        pairs = find(kept)
        found += pairs
        kept, used = leakage.drop(kept, pairs)
        dropped += map(audit.dropped_for, used)
    if policy == "error":
        audit.refuse_leaks(found)
    return (rows, [], found) if policy == "warn" else (kept, dropped, found)


def main(values: dict[str, Any]) -> None:
    data: DataParams = values["data"]
    source, folder, classes = SOURCES[data.source], RAW / data.source, compound_classes(data.classes)
    refuse_tracked(source, folder)
    total, samples = source.read(folder, data.classes, data.own(), data.archive_limits)

    pictures: dict[str, Picture] = {}
    dropped: list[Dropped] = []
    with outs.new_folder(OUT) as store:

        def look_and_store(sample: Sample) -> Picture | Dropped:
            found = audit.identify(sample, data.image_limits)
            if isinstance(found, Dropped):
                return found
            for name, content in found.files.items():
                outs.add_to_folder(store, name, content)
            return replace(found, files={})

        with ThreadPoolExecutor(cores()) as pool:
            work = in_order(pool, look_and_store, samples, ahead=8 * cores())
            for found in console.progress(f"extract {data.source}", total, work):
                if isinstance(found, Dropped):
                    dropped.append(found)
                else:
                    pictures[found.row.image] = found
        if data.unreadable == "error":
            audit.refuse_faulty(dropped, total)

        rows, others = audit.only_classes([picture.row for picture in pictures.values()], classes)
        rows, leaking, pairs = without_leaks(rows, pictures, store, policy=data.leakage)
        audit.need_enough(rows, classes)
        rows.sort(key=audit.manifest_order)
        dropped += [*others, *leaking]

        def read(row: Row) -> Image.Image:
            return decode((store / row.image).read_bytes(), row.image).image

        near = [pair for pair in pairs if pair.kind == "near copy"]
        if near:
            outs.add_to_folder(store, "near_copies.jpg", contact_sheet.draw_pairs(near, read))
        sheet = contact_sheet.draw(rows, read)
        kept = {row.image for row in rows}
        for picture in pictures.values():
            if picture.row.image not in kept:
                for name in filter(None, (picture.row.image, picture.row.regions)):
                    (store / name).unlink()
        outs.add_to_folder(store, manifest.FILE_NAME, manifest.write(rows).encode())
        outs.add_to_folder(store, "dropped.csv", audit.dropped_csv(dropped).encode())
        outs.add_to_folder(store, "pairs.csv", audit.pairs_csv(pairs).encode())

    counts = audit.counts(
        data.source, [pictures[row.image] for row in rows], dropped, pairs=pairs, classes=classes
    )
    outs.write_json(COUNTS, counts)
    outs.write_bytes(SHEET, sheet)
    tell(counts, dropped, pairs, policy=data.leakage)


def tell(counts: dict[str, Any], dropped: list[Dropped], pairs: list[Pair], *, policy: str) -> None:
    """Print and log what a person should know at once."""
    reasons = Counter(d.reason for d in dropped)
    if reasons:
        listed = ", ".join(f"{number:,} {reason}" for reason, number in reasons.items())
        console.show(f"left out: {listed}; by name in {OUT}/dropped.csv")
    crossing = sum(p.kept.split != p.other.split for p in pairs)
    if policy == "warn" and crossing:
        log.warning(f"{crossing:,} pairs of images cross the splits and stay ({OUT}/pairs.csv)")
    soft = counts["soft_labels"]
    if soft["compound_whose_two_highest_are_the_label"] < soft["compound"] / 2:
        log.warning(
            f"only {soft['compound_whose_two_highest_are_the_label']:,} of {soft['compound']:,} soft labels "
            "have the two emotions of the image's label highest: do the label files belong together?"
        )


if __name__ == "__main__":
    command(main, PARAMS, __doc__)
