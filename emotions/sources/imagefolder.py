"""Reads a tree `<split>/<class>/*`, or by its manifest a `dataset_resnet_224.zip` that this pipeline made."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Final

from emotions.data import manifest
from emotions.sources.archive import MAX_NAME, Archive
from emotions.sources.division import divide
from emotions.sources.knobs import ArchiveLimits, ImagefolderParams
from emotions.sources.naming import ROLE_OF_LABEL, label_of
from emotions.sources.reading import first_ten, lazily, only_file, open_archive, with_image
from emotions.sources.sample import Sample, SourceError
from emotions.taxonomy import ClassSet

SUFFIXES: Final = (".jpg", ".jpeg", ".jpe", ".jfif", ".png")
SPLIT_OF_FOLDER: Final = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}


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

    All 14 classes are yielded whatever `classes` says. A tree without validation or test images, or without
    folders of splits, is divided as `params` says.

    Raises:
        SourceError: an image outside `<split>/<class>/`, an unknown split or class, several trees; a tree
            without folders of splits for which `params` has no shares, or a share for a split that is
            there; or a
            manifest that does not parse, disagrees with the folder names, or does not list exactly the
            images that are there.
    """
    with open_archive(folder, limits) as archive:
        table = only_file(archive, manifest.FILE_NAME)
        plan = _from_tree(archive, params) if table is None else _from_manifest(archive, table)
        _unique_ids(archive, plan)
    return len(plan), lazily(archive, (_sample(archive, item) for item in plan))


def recognises(archive: Archive) -> bool:
    """Whether a manifest lies there, or an image in a folder that is named for a class."""
    folders = {PurePosixPath(name).parent.name for name in archive.names if _is_image(name)}
    return bool(archive.named(manifest.FILE_NAME)) or any(map(label_of, folders))


def _sample(archive: Archive, item: _Planned) -> Sample:
    regions = archive.read(item.regions) if item.regions else None
    return with_image(replace(item.sample, regions=regions), archive, item.member)


def _is_image(name: str) -> bool:
    return name.lower().endswith(SUFFIXES)


def _from_tree(archive: Archive, params: ImagefolderParams) -> list[_Planned]:
    images = [name for name in archive.names if _is_image(name)]
    if not images:
        raise SourceError(
            f"{archive.folder}: no images; put <split>/<class>/*.jpg or .png there, or a zip of these"
        )
    divided = any(_split_of(name) for name in images)
    found = [_planned(archive, name, divided=divided, person=params.person) for name in images]
    if faults := list(dict.fromkeys(fault for fault in found if isinstance(fault, str))):
        known = f"splits are {', '.join(SPLIT_OF_FOLDER)}; classes are {', '.join(ROLE_OF_LABEL)}"
        raise SourceError(f"{archive.folder}: {first_ten(faults)}; rename or move these folders: {known}")
    plan = [item for item in found if isinstance(item, _Planned)]
    roots = sorted({"/".join(PurePosixPath(name).parts[: -3 if divided else -2]) or "." for name in images})
    if len(roots) > 1:
        names = "" if divided else f", or name them as splits ({', '.join(SPLIT_OF_FOLDER)})"
        raise SourceError(
            f"{archive.folder}: images under several trees, {first_ten(roots)}; keep one{names}"
        )
    inside = {PurePosixPath(name).parent for name in images}
    stray = [name for name in archive.names if not _is_image(name) and PurePosixPath(name).parent in inside]
    if stray:
        raise SourceError(
            f"{archive.folder}: not jpg, jpeg or png: {first_ten(stray)}; convert or remove them"
        )
    if params.person and (without := [item.member for item in plan if not item.sample.group]):
        raise SourceError(
            f"{archive.folder}: data.imagefolder.person ({params.person}) finds no person in "
            f"{first_ten(without)}"
        )
    return _divided(archive, plan, params)


def _split_of(name: str) -> str | None:
    """The split that the folder above the class's folder names."""
    above = PurePosixPath(name).parts[:-2]
    return SPLIT_OF_FOLDER.get(above[-1].strip().casefold()) if above else None


def _planned(archive: Archive, name: str, *, divided: bool, person: str | None) -> _Planned | str:
    """The sample that a path means, or what is wrong with its folders; in a tree without splits all train."""
    path = PurePosixPath(name)
    if len(path.parts) < 2 + divided:
        return f"{archive.where(name)}: lies outside {'<split>/' * divided}<class>/"
    where = archive.where(str(path.parent))
    split = _split_of(name) if divided else "train"
    if split is None:
        return f"{where}: {path.parts[-3]!r} is not a split"
    label = label_of(path.parts[-2])
    if label is None:
        return f"{where}: {path.parts[-2]!r} is not a class"
    match = re.search(person, path.stem) if person else None
    group = match[0] if match else ""
    stem = f"{split}-{label}-{path.stem}" if divided else f"{label}-{path.stem}"
    return _Planned(Sample(stem, label, ROLE_OF_LABEL[label], split, b"", group=group), name)


def _divided(archive: Archive, plan: list[_Planned], params: ImagefolderParams) -> list[_Planned]:
    """The plan with val and test divided off train, as far as there are shares for them.

    Raises:
        SourceError: a split is there and has a share, or the tree has no splits and no share for one.
    """
    there = {item.sample.split for item in plan}
    shares = {"val": params.val, "test": params.test}
    missing = [split for split, share in shares.items() if split not in there and not share]
    if missing and not any(_split_of(item.member) for item in plan):
        knobs = " ".join(f"-S data.imagefolder.{split}=0.15" for split in missing)
        raise SourceError(
            f"{archive.folder}: no folders of splits ({', '.join(SPLIT_OF_FOLDER)}) and no share for "
            f"{' and '.join(missing)}; add the folders, or divide: "
            f"dvc exp run -S data.source=imagefolder {knobs}"
        )
    if twice := [split for split, share in shares.items() if split in there and share]:
        raise SourceError(
            f"{archive.folder}: there are images for {' and '.join(twice)} already; set "
            f"{' and '.join(f'data.imagefolder.{split}' for split in twice)} to 0"
        )
    if not any(shares.values()):
        return plan
    train = [i for i, item in enumerate(plan) if item.sample.split == "train"]
    samples = [plan[i].sample for i in train]
    splits = divide(
        [sample.label for sample in samples],
        [sample.group for sample in samples],
        val=params.val,
        test=params.test,
        seed=params.seed,
        where=archive.folder,
    )
    for i, sample, split in zip(train, samples, splits, strict=True):
        plan[i] = replace(plan[i], sample=replace(sample, split=split))
    return plan


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
    """Raises SourceError where images of a role have the same name; all of them are named."""
    seen: dict[tuple[str, str], str] = {}
    twice = []
    for item in plan:
        earlier = seen.setdefault((item.sample.role, item.sample.source_id), item.member)
        if earlier != item.member:
            twice.append(f"{earlier} and {item.member}")
    if twice:
        raise SourceError(f"{archive.folder}: {first_ten(twice)} have the same name; rename one of each")
