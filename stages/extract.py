"""Collect the images of the chosen source, inspect them all, and leave out those unfit for training.

Usage: python -m stages.extract
"""

import logging
import os
import shlex
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
from emotions.sources import SOURCES, DataParams, Source, audit, contact_sheet, leakage, source_of
from emotions.sources.audit import Dropped, Picture
from emotions.sources.leakage import Pair
from emotions.sources.sample import Sample, SourceError
from emotions.taxonomy import compound_classes

PARAMS = {"data": DataParams}
RAW = Path("data/raw")
OUT = Path("data/extracted")
COUNTS = Path("metrics/data.json")
SHEET = Path("plots/contact_sheet.jpg")

LOOKS_AUGMENTED = 0.25
"""Share of held-out images with several near-copies in train from which `extract` warns; FER+ has 0.06."""

log = logging.getLogger("emotions.stages.extract")


def refuse_linked_folders(folder: Path) -> None:
    """Raises:
    SourceError: a link to a folder inside `folder`. DVC follows links to files, and `folder` itself."""
    for base, folders, _ in os.walk(folder):
        for name in folders:
            if (path := Path(base, name)).is_symlink():
                raise SourceError(
                    f"{path}: a link to a folder, behind which DVC sees no change; put the folder itself "
                    f"there, or make {folder} the link"
                )


def refuse_tracked(source: Source, folder: Path) -> None:
    """Make sure that git tracks no raw files of a source that may not be passed on, here or behind links.

    Raises:
        SourceError: it tracks some, or cannot be asked although there is a repository.
    """
    if source.pictures_in_git and source.label_lists_in_git:
        return
    here = Path.cwd()
    if "GIT_DIR" not in os.environ and not any((above / ".git").exists() for above in (here, *here.parents)):
        log.warning(
            f"no git repository here, so that none could be asked about {folder}; its files may not be "
            "passed on: keep them out of any repository"
        )
        return
    try:
        listed = subprocess.run(["git", "ls-files", "-z", "--", ":/"], capture_output=True, check=False)
        failed = os.fsdecode(listed.stderr).strip() or f"exit status {listed.returncode}"
    except OSError as error:
        listed, failed = None, str(error)
    if listed is None or listed.returncode:
        raise SourceError(
            f"{folder}: git cannot say whether it tracks files that may not be passed on ({failed}); "
            "make `git status` work here"
        )
    linked = (p for p in folder.rglob("*") if p.is_symlink())
    places = {folder.absolute(), folder.resolve(), *(link.resolve() for link in linked)}
    for name in filter(None, os.fsdecode(listed.stdout).split("\0")):
        path = Path(name).absolute()
        real = path.parent.resolve() / path.name
        if there := places & {path, *path.parents, real, *real.parents}:
            place = folder if folder.absolute() in there else os.path.relpath(there.pop())
            raise SourceError(
                f"{folder}: git tracks files that may not be passed on, such as {name}; git rm -r --cached "
                f"{shlex.quote(str(place))}, and take them out of commits not yet pushed"
            )


def looks_like(data: DataParams, folder: Path) -> str:
    """The end of a message about a folder that the chosen source cannot use: whose files lie there."""
    try:
        found = source_of(folder, data.archive_limits)
    except SourceError:
        return ""  # the message has what is wrong there
    if found in (None, data.source):
        return ""
    return f". These look like files of {found}: move them to {RAW / found} and set data.source={found}"


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
    refuse_linked_folders(folder)
    refuse_tracked(source, folder)
    try:
        total, samples = source.read(folder, data.classes, data.own(), data.archive_limits)
    except SourceError as error:
        raise SourceError(f"{error}{looks_like(data, folder)}") from error

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
    held_out = sum(listed[split] for listed in counts["listed"].values() for split in ("val", "test"))
    several = leakage.with_several_copies(pairs)
    if several > LOOKS_AUGMENTED * held_out:
        log.warning(
            f"{several:,} of {held_out:,} held-out images have several near-copies in train, so this set "
            "looks augmented, and not every such copy is found: use it as it was before, or divide it first "
            "(training augments anyway)"
        )
    soft = counts["soft_labels"]
    if soft["compound_whose_two_highest_are_the_label"] < soft["compound"] / 2:
        log.warning(
            f"only {soft['compound_whose_two_highest_are_the_label']:,} of {soft['compound']:,} soft labels "
            "have the two emotions of the image's label highest: do the label files belong together?"
        )


if __name__ == "__main__":
    command(main, PARAMS, __doc__)
