"""One class order, from the ids in the label file to the rows of the report: no list of classes may be
re-sorted."""

import json
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from rafce_lookalike import build

from emotions.data import manifest
from emotions.data.dataset import load_split
from emotions.data.knobs import ImageLimits, LoadParams
from emotions.evidence import confusion_structure, metrics
from emotions.model import weight_files
from emotions.reporting import report
from emotions.runtime import outs
from emotions.sources import audit, imagefolder, rafce
from emotions.sources.knobs import ImagefolderParams, RafceParams
from emotions.taxonomy import COMPOUND, compound_classes
from stages.compare import confusion_csv, numbered

OFFICIAL = {
    0: "Happily surprised", 1: "Happily disgusted", 2: "Sadly fearful", 3: "Sadly angry",
    4: "Sadly surprised", 5: "Sadly disgusted", 6: "Fearfully angry", 7: "Fearfully surprised",
    8: "Fearfully disgusted", 9: "Angrily surprised", 10: "Angrily disgusted", 11: "Disgustedly surprised",
    12: "Happily fearful", 13: "Happily sad",
}  # fmt: skip
"""As RAF-CE's authors number them, written out a second time on purpose."""


def test_ids_are_the_authors_own() -> None:
    assert {i: name.replace("_", " ").capitalize() for i, name in enumerate(COMPOUND)} == OFFICIAL


def test_the_order_is_not_alphabetical() -> None:
    assert list(compound_classes("rafdb11")) != sorted(compound_classes("rafdb11"))


@pytest.mark.parametrize("classes", ["rafdb11", "rafce14"])
def test_ids_folders_tensors_and_the_dataset_read_back_agree(tmp_path: Path, classes: str) -> None:
    names = compound_classes(classes)  # type: ignore[arg-type]
    build(tmp_path / "raw", dict.fromkeys(COMPOUND, (2, 1, 1)))
    label_file = next((tmp_path / "raw").rglob("RAFCE_emolabel.txt")).read_text()
    official = {line.split(".")[0]: OFFICIAL[int(line.split()[1])] for line in label_file.splitlines()}

    _, samples = rafce.read(tmp_path / "raw", classes, RafceParams())  # type: ignore[arg-type]
    rows = []
    dataset = tmp_path / "back" / "dataset_resnet_224.zip"
    dataset.parent.mkdir()
    with zipfile.ZipFile(dataset, "w") as archive:
        for sample in samples:
            picture = audit.identify(sample, ImageLimits())
            assert isinstance(picture, audit.Picture)
            for name, content in picture.files.items():
                outs.add_to_zip(archive, name, content)
            rows.append(picture.row)
        outs.add_to_zip(archive, manifest.FILE_NAME, manifest.write(rows).encode())

    _, back = imagefolder.read(dataset.parent, classes, ImagefolderParams())  # type: ignore[arg-type]
    read_back = {s.source_id: s.label for s in back}
    split = load_split(
        dataset,
        names,
        "compound",
        split="train",
        params=LoadParams(image_size=32, threads=1, store_gb=1.0),
        decoded=tmp_path,
    )
    assert split.classes == names
    for row, index in zip(split.rows, split.labels.tolist(), strict=True):
        said = official[row.source_id]
        assert row.label.replace("_", " ").capitalize() == said
        assert row.image.split("/")[3] == row.label
        assert read_back[row.source_id] == row.label
        assert names[index] == row.label


def test_confusion_axes_and_per_class_tables_follow_the_class_list() -> None:
    names = compound_classes("rafdb11")
    labels = np.arange(11)
    probabilities = np.roll(np.eye(11), 1, axis=1)  # class i is taken for class i + 1
    scores = metrics.score(labels, probabilities, names)
    assert list(scores["per_class"]) == list(names)
    lines = confusion_csv(scores["confusion"], names).splitlines()[1:]
    assert lines == [f"{numbered(names[i])},{numbered(names[(i + 1) % 11])}" for i in range(11)]
    assert sorted(map(numbered, names)) == [numbered(n) for n in names]
    found = confusion_structure.most_confused({"selected": {"val": scores}}, names, most=11)
    assert {(p["true"], p["predicted"]) for p in found} == {
        (names[i], names[(i + 1) % 11]) for i in range(11)
    }


def test_report_table_lists_the_classes_in_order() -> None:
    template = (Path(report.TEMPLATES) / "report.md.j2").read_text()
    assert re.search(r"\{% for c in study\.classes %\}\n\| \{\{ c \| class \}\}", template)


def test_weights_carry_the_class_list_and_another_order_is_refused(tmp_path: Path) -> None:
    names = compound_classes("rafdb11")
    path = tmp_path / "weights.pth"
    outs.write_torch(
        path, {"state_dict": {"fc.bias": torch.zeros(11)}, **weight_files.usage(names, 96, "data")}
    )
    weights = weight_files.read_checkpoint(path)
    assert json.dumps(weights["classes"]) == json.dumps(names)
    weight_files.check_classes(weights, names, "weights")
    with pytest.raises(weight_files.WeightsError, match="was trained for"):
        weight_files.check_classes(weights, sorted(names), "weights")
