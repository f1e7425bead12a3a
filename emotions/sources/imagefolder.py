"""Reads a tree `<split>/<class>/*`, or by its manifest a `dataset_resnet_224.zip` that this pipeline made."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Final

from emotions.data import manifest
from emotions.sources.archive import MAX_NAME, Archive
from emotions.sources.knobs import ArchiveLimits, ImagefolderParams
from emotions.sources.reading import first_ten, lazily, only_file, open_archive, with_image
from emotions.sources.sample import Sample, SourceError
from emotions.taxonomy import BASIC, COMPOUND, ClassSet

SUFFIXES: Final = (".jpg", ".jpeg", ".png")
SPLIT_OF_FOLDER: Final = {
    "train": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}
ROLE_OF_LABEL: Final = {**dict.fromkeys(COMPOUND, "compound"), **dict.fromkeys(BASIC, "basic")}


@dataclass(frozen=True, slots=True)
class _Planned:
    """A sample whose bytes are still in the archive: `member`, and `regions` where there is a region map."""

    sample: Sample
    member: str
    regions: str = ""


def read(
    folder: Path, classes: ClassSet, params: ImagefolderParams, limits: ArchiveLimits | None = None
) -> tuple[int, Iterator[Sample]]:
    """All images of a tree (sorted by path) or of a dataset with a manifest (in its order), read lazily.

    All 14 classes are yielded whatever `classes` says.

    Raises:
        SourceError: an image outside `<split>/<class>/`, an unknown split or class, several trees; or a
            manifest that does not parse, disagrees with the folder names, or does not list exactly the
            images that are there.
    """
    with open_archive(folder, limits) as archive:
        table = only_file(archive, manifest.FILE_NAME)
        plan = _from_tree(archive) if table is None else _from_manifest(archive, table)
        _unique_ids(archive, plan)
    return len(plan), lazily(archive, (_sample(archive, item) for item in plan))


def _sample(archive: Archive, item: _Planned) -> Sample:
    regions = archive.read(item.regions) if item.regions else None
    return with_image(replace(item.sample, regions=regions), archive, item.member)


def label_of(folder_name: str) -> str | None:
    """The class that a folder name means, in any case, with spaces or hyphens for underscores; else None."""
    key = re.sub(r"[ -]", "_", folder_name).casefold()
    return next((label for label in ROLE_OF_LABEL if label.casefold() == key), None)


def _is_image(name: str) -> bool:
    return name.lower().endswith(SUFFIXES)


def _from_tree(archive: Archive) -> list[_Planned]:
    images = [name for name in archive.names if _is_image(name)]
    if not images:
        raise SourceError(
            f"{archive.folder}: no images; put <split>/<class>/*.jpg or .png there, or a zip of these"
        )
    plan = [_planned(archive, name) for name in images]
    roots = sorted({str(PurePosixPath(name).parents[2]) for name in images})
    if len(roots) > 1:
        raise SourceError(f"{archive.folder}: images under several trees, {first_ten(roots)}; keep one")
    inside = {PurePosixPath(name).parent for name in images}
    stray = [name for name in archive.names if not _is_image(name) and PurePosixPath(name).parent in inside]
    if stray:
        raise SourceError(
            f"{archive.folder}: not jpg, jpeg or png: {first_ten(stray)}; convert or remove them"
        )
    return plan


def _planned(archive: Archive, name: str) -> _Planned:
    path = PurePosixPath(name)
    where = archive.where(name)
    if len(path.parts) < 3:
        raise SourceError(f"{where}: lies outside <split>/<class>/; move it there")
    split_folder, class_folder = path.parts[-3:-1]
    split = SPLIT_OF_FOLDER.get(split_folder.casefold())
    if split is None:
        raise SourceError(f"{where}: {split_folder!r} is not a split; use {', '.join(SPLIT_OF_FOLDER)}")
    label = label_of(class_folder)
    if label is None:
        raise SourceError(f"{where}: {class_folder!r} is not a class; known are {', '.join(ROLE_OF_LABEL)}")
    return _Planned(Sample(f"{split}-{label}-{path.stem}", label, ROLE_OF_LABEL[label], split, b""), name)


def _from_manifest(archive: Archive, table: str) -> list[_Planned]:
    where = archive.where(table)
    try:
        rows = manifest.read("\n".join(archive.lines(table)), where)
    except manifest.ManifestError as error:
        raise SourceError(f"{error}; make the dataset anew with preprocess") from error
    root = PurePosixPath(table).parent
    held = {name for name in archive.names if _is_image(name)}
    plan = [_planned_row(row, root, held, where=where) for row in rows]
    unlisted = sorted(held - {item.member for item in plan} - {item.regions for item in plan})
    if unlisted:
        raise SourceError(
            f"{where}: does not list {first_ten(unlisted)}; make the dataset anew with preprocess"
        )
    return plan


def _planned_row(row: manifest.Row, root: PurePosixPath, held: set[str], *, where: str) -> _Planned:
    path = PurePosixPath(row.image)
    folders = ("images", row.role, row.split, row.label)
    if path.parts[:-1] != folders:
        raise SourceError(
            f"{where}: {row.image} should lie in {'/'.join(folders)}; file and manifest disagree"
        )
    usable = row.source_id.isprintable() and len(row.source_id.encode()) <= MAX_NAME
    if not row.source_id or row.source_id.startswith(".") or re.search(r"[/\\]", row.source_id) or not usable:
        raise SourceError(
            f"{where}: source_id {row.source_id!r} of {row.image} cannot name a file; correct it"
        )
    paths = [str(root / name) for name in (row.image, row.regions) if name]
    missing = [name for name in paths if name not in held]
    if missing:
        raise SourceError(f"{where}: lists {first_ten(missing)}, which is not there; make the dataset anew")
    sample = Sample(
        source_id=row.source_id,
        label=row.label,
        role=row.role,
        split=row.split,
        content=b"",
        action_units=row.action_units,
        group=row.group,
        shares=row.shares,
    )
    return _Planned(sample, *paths)


def _unique_ids(archive: Archive, plan: list[_Planned]) -> None:
    """Raises SourceError where two images of a role have the same name."""
    seen: dict[tuple[str, str], str] = {}
    for item in plan:
        earlier = seen.setdefault((item.sample.role, item.sample.source_id), item.member)
        if earlier != item.member:
            raise SourceError(f"{archive.folder}: {earlier} and {item.member} have the same name; rename one")
