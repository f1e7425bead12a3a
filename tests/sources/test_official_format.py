"""RAF-CE's official format at full size, quirks included: published counts, one fingerprint."""

import json
from pathlib import Path

import pytest
import yaml
from conftest import ROOT
from rafce_lookalike import Layout, build

from emotions.sources import DataParams
from emotions.taxonomy import RAFCE_COUNTS, SPLITS, ClassSet, compound_classes
from stages import extract

LAYOUTS: tuple[tuple[Layout, str, bool], ...] = (
    ("folders", "\n", False),
    ("aligned_zip", "\r\n", False),
    ("zip", "\n", True),
)
"""Folders; a zip beside label files with CRLF; a zip in a zip, label files with a byte-order mark."""


def audited(folder: Path, classes: ClassSet, monkeypatch: pytest.MonkeyPatch) -> dict:
    params = yaml.safe_load((ROOT / "params.yaml").read_text())["data"]
    monkeypatch.chdir(folder)
    extract.main({"data": DataParams.model_validate(params | {"source": "rafce", "classes": classes})})
    return json.loads(Path("metrics/data.json").read_text())


def test_published_counts_are_found_at_full_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build(tmp_path / "data/raw/rafce", layout="zip", newline="\n", bom=True)
    counts = audited(tmp_path, "rafce14", monkeypatch)
    assert counts["compound"] == {
        label: dict(zip(("train", "val", "test"), numbers, strict=True))
        for label, numbers in RAFCE_COUNTS.items()
    }
    assert counts["listed"]["compound"] == {"train": 2709, "val": 931, "test": 909}
    assert counts["soft_labels"]["compound_whose_two_highest_are_the_label"] == 4549
    eleven = audited(tmp_path, "rafdb11", monkeypatch)
    check_eleven(eleven)
    assert eleven["fingerprint"] != counts["fingerprint"]


def test_folders_zip_and_nested_zip_have_one_fingerprint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fingerprints = set()
    for layout, newline, bom in LAYOUTS:
        few = dict.fromkeys(RAFCE_COUNTS, (3, 2, 2))
        build(tmp_path / layout / "data/raw/rafce", few, layout=layout, newline=newline, bom=bom)
        counts = audited(tmp_path / layout, "rafce14", monkeypatch)
        assert counts["listed"]["compound"] == {"train": 42, "val": 28, "test": 28}
        fingerprints.add(counts["fingerprint"])
    assert len(fingerprints) == 1


def check_eleven(eleven: dict) -> None:
    assert list(eleven["compound"]) == list(compound_classes("rafdb11"))
    totals = {s: sum(by_split[s] for by_split in eleven["compound"].values()) for s in SPLITS}
    assert totals == {"train": 2662, "val": 917, "test": 894}
    assert eleven["dropped"]["other class"]["compound"] == {"train": 47, "val": 14, "test": 15}
    assert not any(sum(found.values()) for found in eleven["pairs_across_splits"].values())


def test_label_files_shifted_by_a_row_are_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    build(tmp_path / "data/raw/rafce", dict.fromkeys(RAFCE_COUNTS, (3, 2, 2)))
    assert audited(tmp_path, "rafce14", monkeypatch)["soft_labels"]["compound"] == 98
    assert "label files" not in caplog.text
    path = tmp_path / "data/raw/rafce/EmoLabel/RAFCE_emolabel.txt"
    names, ids = zip(*(line.split() for line in path.read_text().splitlines()), strict=True)
    shifted = [*ids[1:], ids[0]]
    path.write_text("\n".join(f"{n} {i}" for n, i in zip(names, shifted, strict=True)))
    audited(tmp_path, "rafce14", monkeypatch)
    assert "do the label files belong together?" in caplog.text


def test_raw_files_that_may_not_be_passed_on_are_refused_once_git_tracks_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(tmp_path / "data/raw/rafce", dict.fromkeys(RAFCE_COUNTS, (1, 1, 1)))
    monkeypatch.chdir(tmp_path)
    extract.subprocess.run(["git", "init", "-q"], check=True)
    audited(tmp_path, "rafdb11", monkeypatch)
    extract.subprocess.run(["git", "add", "data/raw"], check=True)
    with pytest.raises(extract.SourceError, match=r"git tracks files that may not.*git rm -r --cached"):
        audited(tmp_path, "rafdb11", monkeypatch)
