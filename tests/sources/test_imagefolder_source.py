"""Claims about `emotions.sources.imagefolder`: trees by folder names, datasets by their manifest."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from emotions.data import manifest
from emotions.data.manifest import Row
from emotions.sources.imagefolder import label_of, read
from emotions.sources.knobs import ImagefolderParams
from emotions.sources.sample import Sample, SourceError
from emotions.taxonomy import BASIC, COMPOUND
from tests.rafce_lookalike import zipped

TREE = {
    "train/Happily_Surprised/1.jpg": b"a",
    "train/happily surprised/2.PNG": b"b",
    "valid/sadly-angry/1.jpeg": b"c",
    "test/Neutral/1.jpg": b"d",
}


def put(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def found(folder: Path) -> list[Sample]:
    count, samples = read(folder, "rafdb11", ImagefolderParams())
    listed = list(samples)
    assert len(listed) == count
    return listed


def row(image: str, regions: str = "", **changes: str) -> Row:
    _, role, split, label, name = image.split("/")
    given = {"label": label, "role": role, "split": split, "source_id": Path(name).stem} | changes
    common = {"action_units": "1+4", "group": "p7", "sha256": "", "pixels": "", "regions": regions}
    return Row(image=image, **(common | given))


def dataset(*rows: Row) -> dict[str, bytes]:
    files = {"manifest.csv": manifest.write(rows).encode()}
    for one in rows:
        files |= {name: name.encode() for name in (one.image, one.regions) if name}
    return files


ROWS = (
    row("images/compound/train/Sadly_Angry/b.png", regions="regions/compound/b.png"),
    row("images/compound/test/Happily_Sad/a.jpg"),
    row("images/basic/val/fear/a.jpg"),
)


@pytest.mark.parametrize("label", [*COMPOUND, *BASIC])
def test_a_class_is_known_in_any_case_and_form_that_people_write(label: str) -> None:
    spaced = label.replace("_", " ")
    for name in (
        *(label, label.lower(), label.upper(), spaced, label.replace("_", "-"), label.replace("_", "")),
        *(
            label.replace("_", "").lower(),
            spaced.replace(" ", "  "),
            f"{label} ",
            f"03_{label}",
            f"7. {spaced}",
        ),
        *(spaced.replace(" ", " & "), spaced.replace(" ", " and "), spaced.replace(" ", "And")),
    ):
        assert label_of(name) == label, name


@pytest.mark.parametrize(
    ("name", "label"),
    [
        *(("angry", "anger"), ("Happy", "happiness"), ("SAD", "sadness"), ("fearful", "fear")),
        *(("surprised", "surprise"), ("disgusted", "disgust"), ("0_angry", "anger"), ("joy", "happiness")),
        *(
            ("Sad_Angry", "Sadly_Angry"),
            ("happy surprise", "Happily_Surprised"),
            ("fearangry", "Fearfully_Angry"),
        ),
        *(("surprised happily", "Happily_Surprised"), ("disgust & anger", "Angrily_Disgusted")),
    ],
)
def test_other_words_for_an_emotion_and_either_order_are_read(name: str, label: str) -> None:
    assert label_of(name) == label


@pytest.mark.parametrize(
    "name",
    [
        "contempt",
        "",
        "12",
        "happy sad angry",
        "happyhappy",
        "neutral happy",
        "sadistic",
        "unhappy",
        "and",
        "class",
    ],
)
def test_what_has_no_one_reading_is_not_a_class(name: str) -> None:
    assert label_of(name) is None


def test_all_folders_that_cannot_be_read_are_named_at_once(tmp_path: Path) -> None:
    put(tmp_path, dict.fromkeys(("train/contempt/1.jpg", "dev/Neutral/1.jpg", "train/happy/1.jpg"), b"a"))
    put(tmp_path, {"train/contempt/2.jpg": b"a", "3.jpg": b"a"})
    with pytest.raises(SourceError) as refused:
        read(tmp_path, "rafdb11", ImagefolderParams())
    words = str(refused.value)
    assert words.count("contempt") == 2 and "(3 in all)" in words, "each folder once"
    assert "'contempt' is not a class" in words and "'dev' is not a split" in words
    assert "3.jpg: lies outside <split>/<class>/" in words and "splits are train" in words


@pytest.mark.parametrize("wrapping", ["", "data/"])
@pytest.mark.parametrize("in_zip", [False, True])
def test_a_tree_is_read_by_its_folder_names(tmp_path: Path, wrapping: str, in_zip: bool) -> None:
    files = {wrapping + name: content for name, content in TREE.items()}
    put(tmp_path, {"faces.zip": zipped(files)} if in_zip else files)
    assert [(s.source_id, s.label, s.role, s.split, s.content) for s in found(tmp_path)] == [
        ("test-neutral-1", "neutral", "basic", "test", b"d"),
        ("train-Happily_Surprised-1", "Happily_Surprised", "compound", "train", b"a"),
        ("train-Happily_Surprised-2", "Happily_Surprised", "compound", "train", b"b"),
        ("val-Sadly_Angry-1", "Sadly_Angry", "compound", "val", b"c"),
    ]


def test_a_readme_beside_the_tree_is_no_image(tmp_path: Path) -> None:
    assert len(found(put(tmp_path, TREE | {"README.md": b"", "train/notes.txt": b""}))) == len(TREE)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("train/Bored/1.jpg", r"train/Bored: 'Bored' is not a class .*classes are Happily_Surprised"),
        ("dev/Neutral/1.jpg", "'dev' is not a split .*splits are train"),
        ("1.jpg", "lies outside <split>/<class>/"),
        ("test/Neutral/more/2.jpg", "'Neutral' is not a split"),
        ("copy/test/Neutral/1.jpg", r"several trees, \., copy"),
        ("test/Neutral/1.gif", r"not jpg, jpeg or png: test/Neutral/1\.gif"),
        ("test/Neutral/1.png", "have the same name"),
    ],
)
def test_what_a_tree_cannot_mean_is_an_error(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        read(put(tmp_path, TREE | {name: b""}), "rafce14", ImagefolderParams())


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no images; put <split>/<class>"):
        read(tmp_path, "rafce14", ImagefolderParams())


@pytest.mark.parametrize(
    "lay",
    [
        lambda files: files,
        lambda files: {"dataset_resnet_224.zip": zipped(files)},
        lambda files: {f"dataset/{name}": content for name, content in files.items()},
    ],
)
def test_a_dataset_comes_back_as_its_manifest_says(
    tmp_path: Path, lay: Callable[[dict[str, bytes]], dict[str, bytes]]
) -> None:
    samples = found(put(tmp_path, lay(dataset(*ROWS))))
    assert all(s.place.endswith(one.image) for s, one in zip(samples, ROWS, strict=True))
    assert [dataclasses.replace(s, place="") for s in samples] == [
        Sample(
            one.source_id,
            one.label,
            one.role,
            one.split,
            content=one.image.encode(),
            action_units="1+4",
            group="p7",
            regions=one.regions.encode() or None,
        )
        for one in ROWS
    ]


@pytest.mark.parametrize(
    "changes", [{"label": "Sadly_Fearful"}, {"split": "val"}, {"role": "basic", "label": "anger"}]
)
def test_a_manifest_that_contradicts_a_folder_name_is_an_error(
    tmp_path: Path, changes: dict[str, str]
) -> None:
    wrong = dataclasses.replace(ROWS[0], **changes)
    with pytest.raises(SourceError, match="file and manifest disagree"):
        read(put(tmp_path, dataset(wrong, *ROWS[1:])), "rafce14", ImagefolderParams())


@pytest.mark.parametrize("name", [ROWS[0].image, ROWS[0].regions])
def test_a_listed_file_that_is_missing_is_an_error(tmp_path: Path, name: str) -> None:
    put(tmp_path, dataset(*ROWS))
    (tmp_path / name).unlink()
    with pytest.raises(SourceError, match=f"lists {name}"):
        read(tmp_path, "rafce14", ImagefolderParams())


def test_an_image_that_the_manifest_does_not_list_is_an_error(tmp_path: Path) -> None:
    put(tmp_path, dataset(*ROWS) | {"images/basic/val/fear/extra.jpg": b""})
    with pytest.raises(SourceError, match=r"does not list images/basic/val/fear/extra\.jpg"):
        read(tmp_path, "rafce14", ImagefolderParams())


@pytest.mark.parametrize("source_id", ["", "../a", "a/b", "a\\b", ".."])
def test_a_source_id_that_cannot_name_a_file_is_refused(tmp_path: Path, source_id: str) -> None:
    wrong = dataclasses.replace(ROWS[1], source_id=source_id)
    with pytest.raises(SourceError, match="cannot name a file"):
        read(put(tmp_path, dataset(wrong)), "rafce14", ImagefolderParams())


def test_one_name_may_serve_both_roles_but_not_two_images_of_a_role(tmp_path: Path) -> None:
    assert len(found(put(tmp_path / "roles", dataset(*ROWS)))) == 3
    twice = (ROWS[1], row("images/compound/train/Happily_Sad/a.jpg"))
    with pytest.raises(SourceError, match="have the same name"):
        read(put(tmp_path / "twice", dataset(*twice)), "rafce14", ImagefolderParams())


def test_a_manifest_that_does_not_parse_is_named_by_line(tmp_path: Path) -> None:
    files = dataset(*ROWS)
    files["manifest.csv"] = files["manifest.csv"].replace(b",test,", b",holdout,")
    with pytest.raises(SourceError, match=r"manifest\.csv, line 3: split 'holdout'"):
        read(put(tmp_path, files), "rafce14", ImagefolderParams())
