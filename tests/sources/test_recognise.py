"""Which source's files lie in a folder: the sources say so, as they would read them."""

import re
from pathlib import Path

import pytest
from conftest import ROOT

from emotions import params_file, sources
from emotions.sources import DataParams, Source, ferplus, source_of
from emotions.sources.knobs import FerplusParams
from emotions.sources.sample import SourceError
from stages.extract import looks_like
from tests.rafce_lookalike import zipped


def put(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    return folder


@pytest.mark.parametrize(
    ("names", "source"),
    [
        (["a/EmoLabel/RAFCE_partition.txt", "b/aligned/0001_aligned.jpg"], "rafce"),
        (["rafce_EMOLABEL.TXT"], "rafce"),
        (["fer2013new.csv"], "ferplus"),
        (["FER2013NEW.CSV", "archive/icml_face_data.csv"], "ferplus"),
        *(([name], "ferplus") for name in ferplus.PIXEL_FILES),
        (["fer2013train/fer0000000.PNG"], "ferplus"),
        (["deep/er/Train/Happily Surprised/a.JPG"], "imagefolder"),
        (["dataset_resnet_224/manifest.csv"], "imagefolder"),
        (["faces/happy/1.png"], "imagefolder"),
        (["basic/EmoLabel/list_patition_label.txt"], "rafdb"),
        (["DATASET/Train/1/train_00001_aligned.jpg"], "rafdb"),
        (["__MACOSX/train/angry/._a.jpg", "._fer2013.csv", ".DS_Store", "x/desktop.ini"], None),
        ([], None),
    ],
)
def test_a_source_recognises_its_files_in_any_folder_and_capitals(
    names: list[str], source: str | None, tmp_path: Path
) -> None:
    assert source_of(put(tmp_path, *names)) == source


def test_it_recognises_them_in_zips_within_zips(tmp_path: Path) -> None:
    inner = zipped({"__MACOSX/._fer2013.csv": b"", "Validation/sad/1.png": b""})
    (tmp_path / "Faces.ZIP").write_bytes(zipped({"inner.zip": inner}))
    assert source_of(tmp_path) == "imagefolder"


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["fer2013new.csv", "RAFCE_emolabel.txt"], "data of rafce and ferplus"),
        (["faces.csv"], "data of no known kind"),
    ],
)
def test_data_of_two_sources_or_of_none_are_not_guessed_at(
    names: list[str], said: str, tmp_path: Path
) -> None:
    with pytest.raises(SourceError, match=re.escape(f"{tmp_path}: {said}")):
        source_of(put(tmp_path, *names))


def test_a_source_that_is_registered_without_files_of_its_own_recognises_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = Source(ferplus.read, FerplusParams, pictures_in_git=False, label_lists_in_git=False)
    monkeypatch.setitem(sources.SOURCES, "more", more)
    assert source_of(put(tmp_path, "fer2013.csv")) == "ferplus"


def test_extract_says_whose_files_lie_in_the_folder_of_another_source(tmp_path: Path) -> None:
    committed = params_file.read(ROOT / "params.yaml", {"data": DataParams})["data"]
    data = committed.model_copy(update={"source": "rafce"})
    assert looks_like(data, put(tmp_path / "a", "fer2013new.csv")).endswith("set data.source=ferplus")
    assert looks_like(data, put(tmp_path / "b", "RAFCE_emolabel.txt")) == ""
    assert looks_like(data, put(tmp_path / "c", "faces.csv")) == ""
    assert looks_like(data, tmp_path / "missing") == ""


def test_label_files_and_images_are_read_in_any_capitals(tmp_path: Path) -> None:
    head = ",".join(ferplus.COLUMNS)
    rows = "Training,fer0000000.png,4,0,0,5,0,0,0,0,0,1"
    put(tmp_path, "Fer2013train/FER0000000.PNG", "FER2013new.CSV")
    (tmp_path / "FER2013new.CSV").write_text(f"{head}\n{rows}\n")
    _, samples = ferplus.read(tmp_path, "rafce14", FerplusParams())
    assert [(s.source_id, s.fault) for s in samples] == [("fer0000000", "")]
