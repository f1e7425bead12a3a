"""Claims about `emotions.sources.rafdb`, on look-alikes of both layouts in which RAF-DB goes round."""

from collections import Counter
from pathlib import Path

import pytest

from emotions.sources.knobs import RafdbParams
from emotions.sources.rafdb import CLASSES, LISTS, read
from emotions.sources.sample import Sample, SourceError
from tests.rafce_lookalike import zipped

PER_CLASS = {"train": 20, "test": 4}


def listed(role: str, labels: int, *, list_name: str = LISTS[0], kind: str = "aligned") -> dict[str, bytes]:
    """The files of a set as its authors give them, each class with 20 training and 4 test images."""
    files, rows = {}, []
    for split, number in PER_CLASS.items():
        for i in range(number * labels):
            name, label = f"{split}_{i + 1:05d}", i % labels + 1
            rows.append(f"{name}.jpg {label}")
            suffix = "_aligned" if kind == "aligned" else ""
            files[f"{role}/Image/{kind}/{name}{suffix}.jpg"] = f"{role} {name} {label}".encode()
    return files | {f"{role}/EmoLabel/{list_name}": "\n".join(rows).encode() + b"\n"}


def numbered(labels: int) -> dict[str, bytes]:
    """The files of a set as Kaggle has them: a folder for each label, and tables beside them."""
    files = {"train_labels.csv": b"image,label\n", "test_labels.csv": b"image,label\n"}
    for split, number in PER_CLASS.items():
        for i in range(number * labels):
            name, label = f"{split}_{i + 1:05d}", i % labels + 1
            files[f"DATASET/{split}/{label}/{name}_aligned.jpg"] = f"{name} {label}".encode()
    return files


def put(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def samples(folder: Path, **params: object) -> list[Sample]:
    count, found = read(folder, "rafdb11", RafdbParams.model_validate(params))
    all_of_it = list(found)
    assert len(all_of_it) == count
    return all_of_it


BOTH = listed("basic", 7) | listed("compound", 11)


def test_both_sets_are_read_with_the_classes_of_their_numbers(tmp_path: Path) -> None:
    found = samples(put(tmp_path, BOTH))
    assert len(found) == (7 + 11) * 24
    for sample in found:
        role, name, number = sample.content.decode().split()
        assert (sample.role, sample.source_id) == (role, name)
        assert sample.label == CLASSES[role][int(number) - 1]  # type: ignore[index]
    one = next(s for s in found if s.content == b"compound train_00008 8")
    assert one.label == "Fearfully_Surprised", "8 of RAF-DB, which lacks RAF-CE's 8, Fearfully disgusted"
    assert next(s for s in found if s.content == b"basic train_00004 4").label == "happiness"


def test_validation_is_a_tenth_of_each_class_in_training_and_test_stays(tmp_path: Path) -> None:
    found = samples(put(tmp_path, BOTH))
    by_class = Counter((s.label, s.split) for s in found)
    for classes in CLASSES.values():
        for label in classes:
            assert [by_class[label, s] for s in ("train", "val", "test")] == [18, 2, 4]
    assert all(s.source_id.startswith("test_") == (s.split == "test") for s in found)
    assert {s.source_id for s in found if s.split == "val"} != {
        s.source_id for s in samples(tmp_path, seed=1) if s.split == "val"
    }


def test_numbered_folders_give_the_same_samples_as_the_lists(tmp_path: Path) -> None:
    """Validation included, as the same images have the same names."""
    by_list = samples(put(tmp_path / "lists", listed("set", 11)))
    by_folder = samples(put(tmp_path / "folders", numbered(11)))
    keys = [[(s.source_id, s.label, s.role, s.split) for s in found] for found in (by_list, by_folder)]
    assert keys[0] == keys[1]


@pytest.mark.parametrize("labels", [7, 11])
def test_a_set_without_its_name_is_known_by_its_labels(tmp_path: Path, labels: int) -> None:
    role = "basic" if labels == 7 else "compound"
    assert {s.role for s in samples(put(tmp_path, listed("RAF", labels)))} == {role}
    assert {s.role for s in samples(put(tmp_path / "folders", numbered(labels)))} == {role}


def test_zips_and_other_forms_are_read(tmp_path: Path) -> None:
    (tmp_path / "zip").mkdir()
    (tmp_path / "zip/compound.zip").write_bytes(zipped(listed("compound", 11, list_name=LISTS[1])))
    assert len(samples(tmp_path / "zip")) == 11 * 24
    assert len(samples(put(tmp_path / "original", listed("basic", 7, kind="original")))) == 7 * 24
    capitals = {name.replace("train/", "Train/").replace("test/", "Test/"): b"" for name in numbered(7)}
    assert len(samples(put(tmp_path / "capitals", capitals))) == 7 * 24


def test_a_validation_folder_is_kept(tmp_path: Path) -> None:
    moved = {n.replace("test/", "val/").replace("test_", "val_"): c for n, c in numbered(7).items()}
    found = samples(put(tmp_path, numbered(7) | moved))
    assert Counter(s.split for s in found) == {"train": 140, "val": 28, "test": 28}


def test_a_listed_image_that_is_missing_is_a_fault_and_an_unlisted_one_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(tmp_path, listed("compound", 11))
    (tmp_path / "compound/Image/aligned/train_00003_aligned.jpg").rename(
        tmp_path / "compound/Image/aligned/train_99999_aligned.jpg"
    )
    faults = [(s.source_id, s.fault) for s in samples(tmp_path) if s.fault]
    assert faults == [("train_00003", "missing")]
    assert "1 images beside it have no label" in caplog.text


ROWS = BOTH[f"compound/EmoLabel/{LISTS[0]}"]


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"face.jpg": b""}, "neither list_patition_label.txt nor images in train/1/"),
        (
            BOTH | {"basic/EmoLabel/list_patition_label.txt": ROWS},
            "label 11, but RAF-DB's basic set ends at 7",
        ),
        (numbered(12), "label 12, but RAF-DB's compound set ends at 11"),
        (listed("a", 11) | listed("b", 11), "are of the same set, compound; keep one"),
        ({"EmoLabel/list_patition_label.txt": b"train_1.jpg 12"}, "label '12' is not a number from 1 to 11"),
        ({"EmoLabel/list_patition_label.txt": b"0001.jpg 2"}, "expected 'train_00001.jpg <value>'"),
        (BOTH | {"basic/Image/copy/train_00001_aligned.jpg": b""}, "are one image; keep one copy"),
        (
            {"train/1/train_1.jpg": b"", "train/1/train_1_aligned.jpg": b""},
            "have the same name; rename one",
        ),
    ],
)
def test_what_contradicts_itself_is_refused_by_name(
    tmp_path: Path, files: dict[str, bytes], words: str
) -> None:
    with pytest.raises(SourceError) as refused:
        samples(put(tmp_path, files))
    assert words in str(refused.value)
