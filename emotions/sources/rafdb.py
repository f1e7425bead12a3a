"""RAF-DB, basic and compound: with the label lists of its authors, or in numbered folders.

Li, Deng and Du 2017, "Reliable Crowdsourcing and Deep Locality-Preserving Learning for Expression
Recognition in the Wild". RAF-DB has no validation split: a share of its training images becomes one.
"""

import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Final, Literal

from emotions.sources.archive import Archive
from emotions.sources.division import divide
from emotions.sources.knobs import ArchiveLimits, RafdbParams
from emotions.sources.reading import label_rows, lazily, open_archive, with_image
from emotions.sources.sample import Sample, SourceError
from emotions.taxonomy import BASIC, ClassSet, compound_classes

log = logging.getLogger(__name__)

LISTS: Final = ("list_patition_label.txt", "list_partition_label.txt")
"""Names of a label list: as its authors spell it, and corrected."""
Role = Literal["compound", "basic"]
CLASSES: Final[dict[Role, tuple[str, ...]]] = {"compound": compound_classes("rafdb11"), "basic": BASIC}
"""Classes of each set; RAF-DB's label is the position, counted from 1."""

_ROW: Final = re.compile(r"((?:train|test)_\d+)\.jpg[ \t]+(\S+)")
_ALIGNED: Final = re.compile(r"((?:train|test)_\d+)_aligned\.jpg", re.IGNORECASE)
_ORIGINAL: Final = re.compile(r"((?:train|test)_\d+)\.jpg", re.IGNORECASE)
_NUMBERED: Final = re.compile(r"(.*?)(?:^|/)(train|val|valid|test)/0?(\d{1,2})/([^/]+)\.(?:jpe?g|png)", re.I)


@dataclass(frozen=True, slots=True)
class _Set:
    """One of RAF-DB's two sets, at `place`: each image's label, split and member of the archive."""

    place: str
    role: Role
    labels: dict[str, int]
    splits: dict[str, str]
    members: dict[str, str]


def read(
    folder: Path, classes: ClassSet, params: RafdbParams, limits: ArchiveLimits | None = None
) -> tuple[int, Iterator[Sample]]:
    """Number of faces, and the samples: compound before basic, each by name, read one at a time.

    Aligned faces are used if there are any, else original ones; a listed face without an image is a sample
    with a fault.

    Raises:
        SourceError: there are neither label lists nor numbered folders; a list does not parse; a number is
            not a class of its set; one set lies there twice.
    """
    with open_archive(folder, limits) as archive:
        lists = [name for basename in LISTS for name in archive.named(basename)]
        sets = [_listed(archive, name, lists) for name in lists] or _in_numbered_folders(archive)
        if not sets:
            raise SourceError(
                f"{folder}: neither {LISTS[0]} nor images in train/1/, test/1/ ... lie there; "
                "docs/data/rafdb.md shows both layouts"
            )
        of_role = {one.role: one for one in sets}
        if len(of_role) < len(sets):
            places = " and ".join(one.place for one in sets)
            raise SourceError(f"{folder}: {places} are of the same set, {sets[0].role}; keep one")
        samples = [
            sample
            for role in CLASSES
            if role in of_role
            for sample in _samples(of_role[role], params, folder)
        ]

    def filled(sample: Sample) -> Sample:
        one = of_role[sample.role]  # type: ignore[index]
        member = one.members.get(sample.source_id)
        if member is None:
            return replace(sample, place=f"{one.place}: {sample.source_id}_aligned.jpg", fault="missing")
        return with_image(sample, archive, member)

    return len(samples), lazily(archive, map(filled, samples))


def recognises(archive: Archive) -> bool:
    """Whether a label list or a numbered folder of images lies there."""
    return any(map(archive.named, LISTS)) or any(map(_NUMBERED.fullmatch, archive.names))


def parse_label(token: str) -> int:
    """A label of a list.

    Raises:
        ValueError: not a number from 1 to 11.
    """
    if not re.fullmatch(r"[1-9]|1[01]", token, re.ASCII):
        raise ValueError(f"label {token!r} is not a number from 1 to 11")
    return int(token)


def _listed(archive: Archive, name: str, lists: Sequence[str]) -> _Set:
    """The set of a label list; its images lie in the same tree where there are two lists."""
    where = archive.where(name)
    labels = label_rows(archive.lines(name), where, parse_label, row=_ROW, example="train_00001.jpg")
    root = _own_tree(name, lists)
    inside = [member for member in archive.names if PurePosixPath(member).is_relative_to(root)]
    members = _by_name(archive, inside, _ALIGNED) or _by_name(archive, inside, _ORIGINAL)
    if unlisted := members.keys() - labels:
        log.warning("%s: %d images beside it have no label and are left out", where, len(unlisted))
    splits = {image: image.split("_")[0] for image in labels}
    return _Set(where, _role(name, where, max(labels.values())), labels, splits, members)


def _own_tree(name: str, lists: Sequence[str]) -> PurePosixPath:
    """The highest folder above a list that holds no other list."""
    others = [PurePosixPath(other) for other in lists if other != name]
    above = [
        folder
        for folder in PurePosixPath(name).parents
        if not any(other.is_relative_to(folder) for other in others)
    ]
    return above[-1] if above else PurePosixPath(name).parent


def _by_name(archive: Archive, members: Sequence[str], pattern: re.Pattern[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for member in members:
        match = pattern.fullmatch(PurePosixPath(member).name)
        if match and found.setdefault(match[1], member) != member:
            raise SourceError(
                f"{archive.folder}: {found[match[1]]} and {member} are one image; keep one copy"
            )
    return found


def _in_numbered_folders(archive: Archive) -> list[_Set]:
    """The sets whose images lie in `<split>/<label>/`, one for each tree of such folders."""
    trees: dict[str, _Set] = {}
    for member in archive.names:
        if not (match := _NUMBERED.fullmatch(member)):
            continue
        root, split, label, stem = match.groups()
        split = {"valid": "val"}.get(split.lower(), split.lower())
        name = stem.removesuffix("_aligned")
        name = name if name.startswith(f"{split}_") else f"{split}_{name}"
        tree = trees.setdefault(root, _Set(archive.where(root or "."), "basic", {}, {}, {}))
        if name in tree.members:
            raise SourceError(
                f"{archive.folder}: {tree.members[name]} and {member} have the same name; rename one"
            )
        tree.labels[name], tree.splits[name], tree.members[name] = int(label), split, member
    return [
        replace(one, role=_role(root, one.place, max(one.labels.values()))) for root, one in trees.items()
    ]


def _role(name: str, where: str, highest: int) -> Role:
    """Choose the set by a folder's name, or else by whether there are labels over 7.

    Raises:
        SourceError: a label is not of the set.
    """
    folders = " ".join(PurePosixPath(name).parts).casefold()
    named: list[Role] = [role for role in CLASSES if role in folders]
    role = named[0] if len(named) == 1 else "compound" if highest > len(BASIC) else "basic"
    if highest > len(CLASSES[role]):
        raise SourceError(
            f"{where}: label {highest}, but RAF-DB's {role} set ends at {len(CLASSES[role])}; "
            "put each set into the folder of its name, basic or compound"
        )
    return role


def _samples(one: _Set, params: RafdbParams, folder: Path) -> list[Sample]:
    """Labels of all images without their content; where there is no validation it is divided off train."""
    label_of = {name: CLASSES[one.role][number - 1] for name, number in one.labels.items()}
    split_of = dict(one.splits)
    if "val" not in split_of.values():
        train = sorted(name for name, split in split_of.items() if split == "train")
        labels, persons = [label_of[name] for name in train], [""] * len(train)
        divided = divide(labels, persons, val=params.val, test=0, seed=params.seed, where=folder)
        split_of |= zip(train, divided, strict=True)
    return [Sample(name, label_of[name], one.role, split_of[name], b"") for name in sorted(label_of)]
