"""From the dataset zip to tensors: each image beside its label, in memory or in a mapped file alike."""

import re
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT, class_picture, png, write_dataset

from emotions.data import dataset as datasets
from emotions.data import manifest
from emotions.data.dataset import Split
from emotions.data.images import ImageError
from emotions.data.knobs import LoadParams
from emotions.data.manifest import Row
from emotions.runtime import outs
from emotions.taxonomy import BASIC, compound_classes

CLASSES = compound_classes("rafdb11")


def load(
    path: Path, classes: Sequence[str], role: str, split: str, size: int, gb: float = 1.0, threads: int = 2
) -> Split:
    params = LoadParams(image_size=size, threads=threads, store_gb=gb)
    return datasets.load_split(
        path, classes, role, split=split, params=params, decoded=path.parent / "decoded"
    )


@pytest.mark.parametrize("name", ["rafdb11", "rafce14"])
def test_labels_follow_the_order_of_the_classes(dataset: Path, name: str) -> None:
    for classes in (compound_classes(name), compound_classes(name)[::-1]):
        split = load(dataset, classes, "compound", "val", 32)
        assert split.classes == classes
        assert len(split) == 33
        assert [classes[i] for i in split.labels] == [row.label for row in split.rows]
        assert {(row.role, row.split) for row in split.rows} == {("compound", "val")}


def test_every_image_lies_beside_its_own_label(dataset: Path) -> None:
    """The place of the bright bar in a picture tells its class."""
    split = load(dataset, BASIC, "basic", "train", 48)
    assert (split.images.dtype, split.images.shape) == (torch.uint8, (21, 3, 48, 48))
    columns = (split.images.amin((1, 2)) == 255).int()
    assert torch.equal(columns.argmax(1), 4 * split.labels)


def test_images_of_left_out_classes_are_not_loaded(dataset: Path) -> None:
    split = load(dataset, ("Sadly_Angry", "Happily_Surprised"), "compound", "train", 32)
    assert [row.label for row in split.rows] == ["Happily_Surprised"] * 3 + ["Sadly_Angry"] * 3
    assert split.labels.tolist() == [1, 1, 1, 0, 0, 0]


def plain_rows(counts: dict[str, int]) -> list[Row]:
    return [
        Row(f"{label}/{i}.png", label, "compound", "train", "", "", "", "", f"{label}{i}")
        for label, count in counts.items()
        for i in range(count)
    ]


def test_fractions_are_stratified_nested_and_of_their_seed() -> None:
    rows = plain_rows({"Sadly_Angry": 80, "Happily_Surprised": 41, "Angrily_Disgusted": 3})
    whole = datasets.stratified(rows, 1.0, 0)
    assert whole == rows
    before = rows
    for fraction, counts in ((0.5, (40, 20, 2)), (0.25, (20, 10, 1)), (0.125, (10, 5, 1))):
        some = datasets.stratified(rows, fraction, 0)
        labels = [row.label for row in some]
        assert (
            tuple(labels.count(c) for c in ("Sadly_Angry", "Happily_Surprised", "Angrily_Disgusted"))
            == counts
        )
        assert [row for row in before if row in some] == some, "not a part of the larger, or in another order"
        assert datasets.stratified(rows, fraction, 1) != some
        before = some


def test_images_that_join_the_data_do_not_reshuffle_a_fraction() -> None:
    few, many = plain_rows({"Sadly_Angry": 40}), plain_rows({"Sadly_Angry": 44})
    some, more = (datasets.stratified(rows, 0.5, 0) for rows in (few, many))
    assert len({r.image for r in some} - {r.image for r in more}) <= 4


def test_a_fraction_of_a_split_is_loaded_and_no_more(dataset: Path, tmp_path: Path) -> None:
    params = LoadParams(image_size=32, threads=1, store_gb=1)
    load = partial(
        datasets.load_split, dataset, CLASSES, "compound", split="train", params=params, decoded=tmp_path
    )
    whole, some = load(), load(fraction=0.34, seed=5)
    assert (len(whole), len(some)) == (33, 11)
    assert some.data == whole.data
    assert some.identity != whole.identity
    at = [whole.rows.index(row) for row in some.rows]
    assert torch.equal(some.images, whole.images[at])
    assert torch.equal(some.images, whole.subset(np.array(at)).images)


def test_a_split_without_images_of_the_classes_is_an_error(dataset: Path) -> None:
    with pytest.raises(ImageError, match=r"no compound image in split test; check data\.source"):
        load(dataset, ("Happily_Sad",), "compound", "test", 32)


def test_a_broken_image_in_the_dataset_is_named_with_the_zip(tmp_path: Path) -> None:
    path = tmp_path / "dataset.zip"
    row = Row("images/a.png", "Sadly_Angry", "compound", "train", "", "", "", "", "a")
    with zipfile.ZipFile(path, "w") as archive:
        outs.add_to_zip(archive, row.image, class_picture(0, 0)[:900])
        outs.add_to_zip(archive, manifest.FILE_NAME, manifest.write([row]).encode())
    with pytest.raises(ImageError, match=r"dataset\.zip:images/a\.png"):
        load(path, ("Sadly_Angry",), "compound", "train", 32)


def test_region_maps_come_in_the_order_of_the_rows(tmp_path: Path) -> None:
    path = tmp_path / "dataset.zip"
    row = Row("images/a.png", "Sadly_Angry", "compound", "train", "", "", "", "", "a")
    rows = [replace(row, image=f"images/{i}.png", regions=f"regions/{i}.png") for i in range(3)]
    with zipfile.ZipFile(path, "w") as archive:
        for i, each in enumerate(rows):
            outs.add_to_zip(archive, each.regions, png(np.full((48, 48), i, np.uint8)))
    maps = datasets.load_regions(path, rows[::-1], 32)
    assert (maps.dtype, maps.shape) == (np.uint8, (3, 32, 32))
    assert [np.unique(m).tolist() for m in maps] == [[2], [1], [0]]


def test_a_mapped_file_holds_what_memory_would(dataset: Path) -> None:
    in_memory, mapped = (load(dataset, CLASSES, "compound", "train", 32, gb) for gb in (1.0, 0.0))
    assert in_memory.mapping is None
    assert mapped.mapping is not None
    rows = torch.tensor([5, 0, 32, 5])
    for _ in range(2):  # again after its pages were given back
        assert torch.equal(mapped.take(rows), in_memory.images[rows])
    assert torch.equal(mapped.images, in_memory.images)
    assert mapped.identity == in_memory.identity


def test_all_images_of_a_role_together_decide_whether_they_fit(dataset: Path) -> None:
    """Three splits of 33 images are loaded one after another: each alone would fit."""
    gigabytes = 99 * 3 * 32 * 32 / 1e9
    assert load(dataset, CLASSES, "compound", "val", 32, gigabytes).mapping is None
    assert load(dataset, CLASSES, "compound", "val", 32, gigabytes - 1e-9).mapping is not None


def test_processes_on_one_machine_share_the_memory(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    gigabytes = 99 * 3 * 32 * 32 / 1e9
    assert load(dataset, CLASSES, "compound", "val", 32, gigabytes).mapping is not None
    assert load(dataset, CLASSES, "compound", "val", 32, 2 * gigabytes).mapping is None


def test_images_are_decoded_once_for_all_runs(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load(dataset, CLASSES, "compound", "test", 40, gb=0)
    monkeypatch.setattr(datasets.images, "decode", None)  # whoever decodes now fails
    again = load(dataset, CLASSES, "compound", "test", 40, gb=0)
    assert torch.equal(again.images.amax((1, 2, 3)), torch.full((33,), 255, dtype=torch.uint8))


def test_a_mapped_file_of_another_size_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_dataset(tmp_path / "dataset.zip", per_class=1)
    for size in (32, 40):
        load(tmp_path / "dataset.zip", CLASSES, "compound", "train", size, gb=0)
    assert len(list((tmp_path / "decoded").glob("*.uint8"))) == 2
    monkeypatch.setattr(datasets.images, "decode", None)  # whoever decodes now fails
    load(tmp_path / "dataset.zip", CLASSES, "compound", "train", 32, gb=0)


@pytest.mark.parametrize("change", ["pixels", "classes", "half a file"])
def test_a_mapped_file_of_other_images_is_made_anew_and_the_old_one_goes(tmp_path: Path, change: str) -> None:
    path, size, classes = tmp_path / "dataset.zip", 32, CLASSES
    write_dataset(path, per_class=1)
    load(path, classes, "compound", "train", size, gb=0)
    (first,) = (tmp_path / "decoded").glob("*.uint8")
    if change == "classes":
        classes = CLASSES[:5]
    elif change == "half a file":
        first.write_bytes(first.read_bytes()[:100])
    else:
        with zipfile.ZipFile(path) as archive:
            files = {name: archive.read(name) for name in archive.namelist()}
        name = next(n for n in files if "compound/train" in n)
        files[name] = class_picture(7, 7)
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in files.items():
                outs.add_to_zip(archive, name, content)
    mapped = load(path, classes, "compound", "train", size, gb=0)
    assert torch.equal(mapped.images, load(path, classes, "compound", "train", size, gb=1).images)
    (second,) = (tmp_path / "decoded").glob("*.uint8")
    assert (second == first) == (change == "half a file")


def test_a_killed_decoding_leaves_no_file_that_is_taken_for_whole(tmp_path: Path) -> None:
    path = tmp_path / "dataset.zip"
    write_dataset(path, per_class=1)
    script = (
        "import os, sys; sys.path[:0] = sys.argv[2:]\n"
        "from pathlib import Path; import test_dataset as t; from emotions.data import dataset\n"
        "real, seen = dataset.images.decode, []\n"
        "def dying(*a):\n"
        "    seen.append(1)\n"
        "    if len(seen) == 5: os.kill(os.getpid(), 9)\n"
        "    return real(*a)\n"
        "dataset.images.decode = dying\n"
        "t.load(Path(sys.argv[1]), t.CLASSES, 'compound', 'train', 32, 0.0, 1)\n"
    )
    folders = (ROOT, ROOT / "tests", Path(__file__).parent)
    done = subprocess.run([sys.executable, "-c", script, str(path), *map(str, folders)], check=False)
    assert done.returncode == -9
    assert not list((tmp_path / "decoded").glob("*.uint8"))
    mapped = load(path, CLASSES, "compound", "train", 32, gb=0)
    assert torch.equal(mapped.images, load(path, CLASSES, "compound", "train", 32, gb=1).images)


def test_mapped_images_do_not_stay_in_the_memory_of_the_process(tmp_path: Path) -> None:
    """600 images at 224 px are 90 MB; read one after another they leave no such trace."""
    path = tmp_path / "dataset.zip"
    write_dataset(path, per_class=55)
    mapped = load(path, CLASSES, "compound", "train", 224, gb=0)
    for rows in torch.arange(len(mapped)).split(16):
        mapped.take(rows)
        assert resident(tmp_path) < 30e6
    assert torch.from_numpy(np.asarray(mapped.images)).sum() > 0
    assert resident(tmp_path) > 80e6, "what would stay: all of them"


def resident(folder: Path) -> int:
    """Bytes in memory of the files under `folder` that this process has mapped."""
    found, inside = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            inside = str(folder) in line
        elif inside and line.startswith("Rss:"):
            found += 1024 * int(line.split()[1])
    return found
