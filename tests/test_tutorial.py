"""The tutorial works as it stands: its data source is read by the real stage."""

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from conftest import ROOT

from emotions import params_file, sources
from emotions.reporting.wording import Wording
from emotions.sources import Source, synthetic
from emotions.sources.sample import SourceError
from emotions.sources.synthetic import Planned
from emotions.taxonomy import SPLITS, compound_classes
from stages import extract

TEXT = (ROOT / "docs/tutorial.md").read_text()


CODE = next(block for block in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL) if "def read" in block)
(REGISTRATION,) = re.findall(r'^    ("table": Source\(.*\)),$', TEXT, re.MULTILINE)


def draw_table(raw: Path, of_a_class: int) -> None:
    """Pictures with their table under data/raw/table: for each split so many of every class."""
    raw.mkdir(parents=True)
    prototypes = synthetic.load_prototypes(ROOT / "data/raw/synthetic")
    lines = ["file,label,split"]
    for split in SPLITS:
        for number, label in enumerate(of_a_class * compound_classes("rafdb11")):
            face = synthetic.draw_face(Planned("compound", split, number, label), prototypes, seed=2)
            (raw / f"{split}{number}.png").write_bytes(face.content)
            lines.append(f"{split}{number}.png,{label},{split}")
    (raw / "faces.csv").write_text("\n".join(lines) + "\n")


def write_table(repository: Path) -> None:
    """Do in a clone what the tutorial says before its commands: pictures, module, registration."""
    draw_table(repository / "data/raw/table", of_a_class=3)
    (repository / "emotions/sources/table.py").write_text(CODE)
    register = repository / "emotions/sources/__init__.py"
    text = register.read_text()
    for old, new in (
        ("from emotions.sources import ferplus, imagefolder, rafce, rafdb, synthetic", ", table"),
        ("SOURCES: Final[dict[str, Source]] = {", f"\n    {REGISTRATION},"),
    ):
        assert old in text
        text = text.replace(old, old + new)
    register.write_text(text)


@pytest.fixture
def table(tmp_path: Path) -> ModuleType:
    """The tutorial's module."""
    path = tmp_path / "table.py"
    path.write_text(CODE)
    spec = importlib.util.spec_from_file_location("table", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["table"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def study(tmp_path: Path, table: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with pictures and their table under data/raw/table; the source is registered as it says."""
    raw = tmp_path / "data/raw/table"
    draw_table(raw, of_a_class=1)
    entry = eval(f"{{{REGISTRATION}}}", {"table": table, "Source": Source})
    monkeypatch.setitem(sources.SOURCES, "table", entry["table"])
    monkeypatch.chdir(tmp_path)
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    values["data"]["source"] = "table"
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
    return raw


def test_the_tutorials_source_is_extracted_like_any_other(study: Path) -> None:
    extract.main(params_file.read(Path("params.yaml"), extract.PARAMS))
    listed = (Path("data/extracted/manifest.csv")).read_text().splitlines()
    assert len(listed) == 1 + 3 * 11
    assert (study / "train0.png").exists()
    assert Wording("en").source("table") == "`table`"
    assert Wording("en").source("rafce") == "**RAF-CE**"


def test_its_errors_name_file_and_line(study: Path) -> None:
    for text, said in (
        ("file,label,split\ntrain0.png,Cheerful,train\n", "label is Cheerful, not one of Happily_Sur"),
        ("file,label,split\ntrain0.png,Sadly_Angry,dev\n", "split is dev, not one of train, val, test"),
        ("file,class,split\ntrain0.png,Sadly_Angry,train\n", "label is None, not one of "),
        ("label,split\nSadly_Angry,train\n", "file is None, not a file name"),
    ):
        (study / "faces.csv").write_text(text)
        with pytest.raises(SourceError, match=rf"faces\.csv, line 2: {said}"):
            extract.main(params_file.read(Path("params.yaml"), extract.PARAMS))


def test_a_picture_that_the_table_lists_and_the_folder_lacks_ends_the_stage_by_name(study: Path) -> None:
    (study / "train0.png").unlink()
    with pytest.raises(SourceError, match=r"train0\.png"):
        extract.main(params_file.read(Path("params.yaml"), extract.PARAMS))


def test_a_source_that_is_not_registered_is_refused_with_those_that_are(tmp_path: Path) -> None:
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    values["data"]["source"] = "tabel"
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
    with pytest.raises(
        params_file.ParamsError, match="unknown source; use one of synthetic, rafce, rafdb, ferplus"
    ):
        params_file.read(tmp_path / "params.yaml", extract.PARAMS)
