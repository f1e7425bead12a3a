"""Claims about `emotions.sources.division` and the trees that it divides."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emotions.sources.division import divide
from emotions.sources.imagefolder import read
from emotions.sources.knobs import ImagefolderParams
from emotions.sources.sample import Sample, SourceError

HERE = Path("data/raw/imagefolder")


def test_each_split_has_its_share_of_every_class() -> None:
    labels = ["Sadly_Angry"] * 60 + ["anger"] * 400
    splits = divide(labels, [""] * len(labels), val=0.1, test=0.2, seed=0, where=HERE)
    by_class = Counter(zip(labels, splits, strict=True))
    assert [by_class["anger", s] for s in ("train", "val", "test")] == [280, 40, 80]
    assert [by_class["Sadly_Angry", s] for s in ("train", "val", "test")] == [42, 6, 12]


@settings(max_examples=20)
@given(persons=st.lists(st.integers(0, 30), min_size=120, max_size=200), seed=st.integers(0, 9))
def test_no_person_is_in_two_splits(persons: list[int], seed: int) -> None:
    labels = [("anger", "fear", "Sadly_Angry")[i % 3] for i in range(len(persons))]
    names = [f"p{person}" for person in persons]
    if len(set(names)) < 6:
        return
    splits = divide(labels, names, val=0.2, test=0.2, seed=seed, where=HERE)
    assert set(splits) == {"train", "val", "test"}
    assert len({*zip(names, splits, strict=True)}) == len(set(names))


def test_the_seed_decides_and_one_split_does_not_move_the_other() -> None:
    labels, nobody = ["anger"] * 200, [""] * 200
    one = divide(labels, nobody, val=0.1, test=0.2, seed=0, where=HERE)
    assert divide(labels, nobody, val=0.1, test=0.2, seed=0, where=HERE) == one
    assert divide(labels, nobody, val=0.1, test=0.2, seed=1, where=HERE) != one
    other = divide(labels, nobody, val=0.2, test=0.2, seed=0, where=HERE)
    assert [s == "test" for s in other] == [s == "test" for s in one]


@pytest.mark.parametrize(("labels", "persons"), [(["anger"] * 4, [""] * 4), (["fear"] * 50, ["p1"] * 50)])
def test_too_few_images_or_persons_are_refused_with_the_numbers(
    labels: list[str], persons: list[str]
) -> None:
    with pytest.raises(SourceError, match=r"a share of 0\.1 for val is one of 10 parts, and there are only"):
        divide(labels, persons, val=0.1, test=0, seed=0, where=HERE)


def tree(folder: Path, *classes: str, images: int = 40) -> Path:
    for name in classes:
        (folder / name).mkdir(parents=True)
        for i in range(images):
            (folder / name / f"s{i % 10:02d}_{i}.jpg").write_bytes(b"a")
    return folder


def samples(folder: Path, **params: object) -> list[Sample]:
    count, found = read(folder, "rafdb11", ImagefolderParams.model_validate(params))
    listed = list(found)
    assert count == len(listed)
    return listed


def test_a_tree_without_splits_is_refused_with_the_command_that_divides_it(tmp_path: Path) -> None:
    tree(tmp_path, "sadly angry", "happy")
    with pytest.raises(SourceError) as refused:
        samples(tmp_path)
    assert "no share for val and test; add the folders, or divide" in str(refused.value)
    assert str(refused.value).endswith(
        "dvc exp run -S data.source=imagefolder -S data.imagefolder.val=0.15 -S data.imagefolder.test=0.15"
    )
    found = Counter((s.label, s.split) for s in samples(tmp_path, val=0.2, test=0.25))
    assert found["Sadly_Angry", "test"] == found["happiness", "test"] == 10
    assert 7 <= found["Sadly_Angry", "val"] <= 8 and found["Sadly_Angry", "train"] >= 22


def test_validation_is_divided_off_and_the_test_split_stays(tmp_path: Path) -> None:
    tree(tmp_path / "train", "sadly angry")
    tree(tmp_path / "test", "sadly angry")
    assert {s.split for s in samples(tmp_path)} == {"train", "test"}
    found = samples(tmp_path, val=0.1)
    assert Counter(s.split for s in found) == {"train": 36, "val": 4, "test": 40}
    assert all(s.source_id.startswith("test-") == (s.split == "test") for s in found)
    with pytest.raises(SourceError, match=r"images for test already; set data\.imagefolder\.test to 0"):
        samples(tmp_path, val=0.1, test=0.1)


def test_the_person_in_a_files_name_is_in_one_split(tmp_path: Path) -> None:
    tree(tmp_path, "sadly angry", "happy")
    found = samples(tmp_path, val=0.2, test=0.2, person=r"^s\d\d")
    assert {s.group for s in found} == {f"s{i:02d}" for i in range(10)}
    assert len({(s.group, s.split) for s in found}) == 10
    with pytest.raises(
        SourceError, match=r"person \(\^x\) finds no person in happy/s00_0.jpg, .* \(80 in all\)"
    ):
        samples(tmp_path, val=0.2, test=0.2, person="^x")
    with pytest.raises(ValueError, match="not a regular expression"):
        ImagefolderParams(person="(")


def test_trees_with_misspelt_splits_are_told_which_names_are_splits(tmp_path: Path) -> None:
    tree(tmp_path / "trian", "happy")
    tree(tmp_path / "tset", "happy")
    with pytest.raises(SourceError, match=r"several trees, trian, tset .* or name them as splits \(train,"):
        samples(tmp_path)
