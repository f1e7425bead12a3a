"""The second pipeline's stages on a small study: an oracle, a random model, faults, kills, and the rows."""

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from conftest import A_WHILE, ROOT, wait_for, write_dataset

os.environ["HF_HUB_OFFLINE"] = "1"

pytest.importorskip("openai", reason="the extra is not installed: make test-extras")
pytest.importorskip("transformers", reason="the extra is not installed: make test-extras")

from tiny_vlm import make, pictures, scripted

from emotions import params_file
from emotions.data import manifest
from emotions.data.manifest import Row
from emotions.evidence import metrics
from emotions.params_file import StudyParams
from emotions.taxonomy import compound_classes, display
from vlm import ask, score
from vlm.shared.backend import ModelError
from vlm.shared.conversation import PromptError, picture

CLASSES = compound_classes("rafdb11")
SIDE = 56


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("hub") / "tiny-qwen2-vl")


class Small:
    """A folder with a dataset of 33 images a split, runs that were scored on it, and the prompts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.dataset = folder / "data/dataset_resnet_224.zip"
        self.dataset.parent.mkdir()
        listed = [r for r in write_dataset(self.dataset, size=64) if r.role == "compound"]
        self.rows = [r for r in listed if r.split != "train"]
        self.data = manifest.fingerprint(self.read_rows())
        study = params_file.load(ROOT / "params.yaml")
        study["uncertainty"] |= {"replicates": 200, "permutations": 99}
        (folder / "params.yaml").write_text(yaml.safe_dump(study))
        (folder / "vlm").mkdir()
        (folder / "vlm/prompts").symlink_to(ROOT / "vlm/prompts")
        self.own = params_file.load(ROOT / "vlm/params.yaml")
        self.own["ask"]["image_size"] = SIDE
        draws = np.random.default_rng(0)
        for number, (run, names) in enumerate(StudyParams(**study["study"]).networks.items()):
            for name in names:
                self.write_network(name, study["runs"][run]["title"], draws, right=0.6 - 0.1 * number)

    def read_rows(self) -> list[Row]:
        with zipfile.ZipFile(self.dataset) as archive:
            return manifest.read(archive.read(manifest.FILE_NAME).decode())

    def write_network(self, name: str, title: str, draws: np.random.Generator, right: float) -> None:
        out = io.StringIO()
        writer = csv.writer(out)
        writer.writerow(("image", "split", "label", "predicted", *CLASSES))
        scores = {}
        for split in ("val", "test"):
            rows = [r for r in self.rows if r.split == split]
            labels = np.array([CLASSES.index(r.label) for r in rows])
            said = np.where(draws.random(len(rows)) < right, labels, draws.integers(0, 11, len(rows)))
            writer.writerows((r.image, split, r.label, CLASSES[p]) for r, p in zip(rows, said, strict=True))
            scores[split] = {
                "accuracy": metrics.accuracy(labels, said),
                "macro_f1": metrics.macro_f1(labels, said, 11),
            }
        (self.folder / "data/predictions").mkdir(exist_ok=True)
        (self.folder / f"data/predictions/{name}.csv").write_text(out.getvalue())
        (self.folder / "metrics/runs").mkdir(parents=True, exist_ok=True)
        measured = {"title": title, "data": self.data, "classes": list(CLASSES), "selected": scores}
        (self.folder / f"metrics/runs/{name}.json").write_text(json.dumps(measured))

    def model(self, folder: Path) -> None:
        self.own["model"] |= {"name": str(folder), "revision": None, "precision": "float32"}

    def server(self, url: str) -> None:
        self.own["model"] |= {"backend": "server", "name": "scripted", "revision": None}
        self.own["server"] |= {
            "url": url,
            "attempts": 2,
            "timeout": 30.0,
            "price": {"prompt": 2.0, "completion": 6.0},
        }
        self.own["ways"] = {k: w for k, w in self.own["ways"].items() if k != "zero_shot_log_probability"}

    def write_params(self) -> None:
        (self.folder / "vlm/params.yaml").write_text(yaml.safe_dump(self.own, sort_keys=False))

    def ask(self, way: str) -> dict[str, Any]:
        self.write_params()
        values = params_file.read(Path("params.yaml"), ask.STUDY)
        ask.main(values | params_file.read(Path("vlm/params.yaml"), ask.OWN, way=way), way)
        return json.loads(Path(f"vlm/answers/{way}.json").read_text())

    def score(self) -> dict[str, Any]:
        self.write_params()
        score.main(
            params_file.read(Path("params.yaml"), score.STUDY)
            | params_file.read(Path("vlm/params.yaml"), score.OWN)
        )
        return json.loads(Path("vlm/metrics/ways.json").read_text())

    def usage(self, way: str) -> dict[str, Any]:
        return json.loads(Path(f"vlm/metrics/usage/{way}.json").read_text())


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Small:
    monkeypatch.chdir(tmp_path)
    return Small(tmp_path)


def oracle(small: Small, say: Callable[[Row], str]) -> Callable[[dict[str, Any]], Any]:
    """A server that knows each picture by its bytes."""
    with zipfile.ZipFile(small.dataset) as archive:
        known = {picture(archive.read(r.image), r.image, SIDE).png(): r for r in small.rows}
    return lambda request: say(known[pictures(request)[-1]])


@pytest.mark.parametrize("form", ["json", "plain", "other order"])
def test_an_oracle_scores_a_hundred_percent(small: Small, form: str) -> None:
    def say(row: Row) -> str:
        name = display(row.label)
        if form == "json":
            return json.dumps({"emotion": name})
        return name if form == "plain" else f"The answer: {' and '.join(name.split()[::-1])}."

    with scripted(oracle(small, say)) as (url, requests):
        small.server(url)
        for way in small.own["ways"]:
            small.ask(way)
            assert small.usage(way)["cost"] == pytest.approx(66 * (100 * 2 + 5 * 6) / 1e6)
        asked = len(requests)
    assert asked == 66 * 3
    found = small.score()  # without the server: from the answers alone
    for way in small.own["ways"]:
        for split in ("val", "test"):
            assert found["ways"][way][split]["accuracy"] == found["ways"][way][split]["macro_f1"] == 1
            assert found["ways"][way][split]["outside"] == 0
        assert found["against"][way]["accuracy"]["difference"] > 0
        assert found["against"][way]["accuracy"]["p_holm"] >= found["against"][way]["accuracy"]["p"]
    for way in small.own["ways"]:
        small.ask(way)  # the server is gone: nothing is asked


def test_a_random_model_is_at_chance_in_every_way(small: Small, model: Path) -> None:
    small.model(model)
    small.own["ways"]["chain_of_thought"]["decoding"]["max_tokens"] = 24
    for way in small.own["ways"]:
        answered = small.ask(way)
        assert len(answered["answers"]) == 66
        assert answered["data"] == small.data and answered["model"]["model"] == model.name
        assert small.usage(way)["images_per_second"] > 0
    found = small.score()
    for way in small.own["ways"]:
        low, _ = found["ways"][way]["test"]["intervals"]["accuracy"]
        assert low <= 1 / 11 and found["ways"][way]["test"]["accuracy"] < 0.3, way
    held = ("zero_shot", "few_shot", "zero_shot_log_probability")
    assert all(found["ways"][way]["test"]["outside"] == 0 for way in held)
    assert found["ways"]["chain_of_thought"]["test"]["outside"] > 0.9, "letters at random are no answer"
    report = Path("vlm/report/report.md").read_text()
    mark = f"`{model.name} @ {answered['model']['revision'][:12]}`"
    for way, block in small.own["ways"].items():
        assert f"| {way}: {block['title']} | {mark} |" in report, "each row says whose answers they are"
    assert report.count("ResNet-50, trained on these classes") == 3
    summary = json.loads(Path("vlm/metrics/summary.json").read_text())
    assert summary["zero_shot"]["test_accuracy"] == pytest.approx(
        found["ways"]["zero_shot"]["test"]["accuracy"]
    )
    assert summary["zero_shot"]["model"] in mark
    assert 'src="../' not in Path("vlm/report/report.html").read_text()
    assert not re.search(r"images/compound/", report + Path("vlm/metrics/ways.json").read_text()), (
        "no image is named"
    )


def test_the_runs_are_scored_on_the_same_images_from_their_predictions(small: Small, model: Path) -> None:
    small.model(model)
    small.own["ways"] = {"zero_shot": small.own["ways"]["zero_shot"]}
    small.ask("zero_shot")
    found = small.score()
    for run in ("run1", "run2", "run3"):
        measured = json.loads(Path(f"metrics/runs/{run}-0.json").read_text())["selected"]
        for split in ("val", "test"):
            for name in ("accuracy", "macro_f1"):
                assert found["runs"][run][split][name] == pytest.approx(measured[split][name], abs=1e-6)
    small.own["ask"]["limit"] = 5
    some = small.ask("zero_shot")["answers"]
    assert [a["split"] for a in some] == ["val"] * 5 + ["test"] * 5
    assert len({a["label"] for a in some}) > 2, "the first five by name would be of two classes"
    assert small.score()["runs"]["run1"]["test"]["images"] == 5
    assert "**A first try:** 5 images of each split" in Path("vlm/report/report.md").read_text()


def test_the_same_answers_make_the_same_bytes(small: Small, model: Path) -> None:
    small.model(model)
    small.own["ways"] = {k: small.own["ways"][k] for k in ("zero_shot", "few_shot")}
    names = ("answers/zero_shot.json", "answers/few_shot.json", "metrics/ways.json", "report/report.md",
             "report/report.html", "plots/confusion_matrices.png", "metrics/usage/few_shot.json")  # fmt: skip
    outs = [f"vlm/{name}" for name in names]
    made = []
    for _ in range(2):
        for way in small.own["ways"]:
            small.ask(way)
        small.score()
        made.append([Path(out).read_bytes() for out in outs])
    assert made[0] == made[1]
    for kept in Path(".answers").iterdir():
        kept.unlink()
    for way in small.own["ways"]:
        small.ask(way)
    assert [Path(out).read_bytes() for out in outs[:2]] == made[0][:2], "asked anew, the model says the same"


def test_few_shot_examples_are_named_and_are_of_train(small: Small, model: Path) -> None:
    small.model(model)
    shown = small.ask("few_shot")["examples"]
    assert [e["label"] for e in shown] != list(CLASSES) and {e["label"] for e in shown} == set(CLASSES)
    assert all(e["image"].startswith("images/compound/train/") for e in shown)
    small.own["ways"]["chain_of_thought"]["shots"] = 1
    with pytest.raises(PromptError, match=r"chain_of_thought\.md: 1 shots need a third part"):
        small.ask("chain_of_thought")


def test_images_without_an_answer_end_the_stage_or_count_as_wrong(small: Small) -> None:
    unlucky = next(r for r in small.rows if r.split == "test")

    def say(row: Row) -> Any:
        return (400, {}, b'{"error": {"message": "bad"}}') if row == unlucky else display(row.label)

    with scripted(oracle(small, say)) as (url, requests):
        small.server(url)
        small.own["ways"] = {"zero_shot": small.own["ways"]["zero_shot"]}
        with pytest.raises(ModelError, match=r"1 images have no answer .* the other 65 are kept"):
            small.ask("zero_shot")
        assert not Path("vlm/answers/zero_shot.json").exists()
        small.own["ask"]["unanswered"] = "wrong"
        small.ask("zero_shot")
        assert len(requests) == 66 + 1, "only the one is asked again"
    found = small.score()["ways"]["zero_shot"]
    assert found["test"]["accuracy"] == pytest.approx(32 / 33) and found["reasons"] == {"unanswered": 1}
    assert small.usage("zero_shot")["unanswered"] == 1


def test_action_units_are_held_against_the_coded_ones(small: Small) -> None:
    units = dict(
        zip(CLASSES, ("1+2+12", "9+12", "4+15", "1", "2", "4", "5", "25", "26+L12", "none", ""), strict=True)
    )
    rows = [
        Row(**{**{f: getattr(r, f) for f in manifest.COLUMNS}, "action_units": units.get(r.label, "")})
        for r in small.read_rows()
    ]
    with zipfile.ZipFile(small.dataset) as archive:
        files = {r.image: archive.read(r.image) for r in rows}
    with zipfile.ZipFile(small.dataset, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
        archive.writestr(manifest.FILE_NAME, manifest.write(rows))
    small.rows = [r for r in rows if r.role == "compound" and r.split != "train"]

    def say(row: Row) -> str:
        active = row.action_units.replace("+", ", ")
        return f"Action units: {active}, 7\nReasoning: so.\nAnswer: {display(row.label)}"

    with scripted(oracle(small, say)) as (url, _):
        small.server(url)
        small.own["ways"] = {"chain_of_thought": small.own["ways"]["chain_of_thought"]}
        small.ask("chain_of_thought")
    found = small.score()["ways"]["chain_of_thought"]
    assert found["test"]["accuracy"] == 1
    coded = [len([u for u in units[c].split("+") if u != "none"]) for c in CLASSES if units[c]]
    assert found["units"]["images"] == 60 and found["units"]["recall"] == 1 and found["units"]["said"] == 1
    assert found["units"]["precision"] == pytest.approx(sum(coded) / (sum(coded) + len(coded)), abs=1e-6)
    assert found["units"]["chance_recall"] < 0.6
    assert "| chain_of_thought | 100.0 |" in Path("vlm/report/report.md").read_text()


def test_answers_of_other_data_are_not_set_beside_the_runs(small: Small, model: Path) -> None:
    small.model(model)
    small.own["ways"] = {"zero_shot": small.own["ways"]["zero_shot"]}
    small.ask("zero_shot")
    path = Path("metrics/runs/run2-0.json")
    path.write_text(path.read_text().replace(small.data, "0" * 64))
    with pytest.raises(
        score.ScoreError, match=r"run2 and zero_shot differ in data .*dvc repro vlm/dvc\.yaml"
    ):
        small.score()


def test_the_report_speaks_french(small: Small, model: Path) -> None:
    small.model(model)
    small.own["ways"] = {"zero_shot": small.own["ways"]["zero_shot"]}
    small.ask("zero_shot")
    path = Path("params.yaml")
    path.write_text(path.read_text().replace("language: en", "language: fr"))
    small.score()
    assert "# Un modèle vision-langage dans le même tableau" in Path("vlm/report/report.md").read_text()


def command(small: Small, *arguments: str) -> list[str]:
    small.write_params()
    for name in ("emotions", "stages", "versions.txt"):
        (small.folder / name).symlink_to(ROOT / name)
    for name in ("__init__.py", "ask.py", "score.py", "shared"):
        (small.folder / "vlm" / name).symlink_to(ROOT / "vlm" / name)
    return [sys.executable, "-m", *arguments]


@dataclass
class Waiting:
    """A server that answers as many questions as it has `permits`, and lets the others wait."""

    permits: threading.Semaphore
    requests: list[dict[str, Any]]


@pytest.fixture
def waiting(small: Small) -> Iterator[Waiting]:
    permits = threading.Semaphore(20)

    def say(row: Row) -> str:
        permits.acquire()
        return display(row.label)

    with scripted(oracle(small, say)) as (url, requests):
        small.server(url)
        small.own["server"]["concurrency"] = 2
        yield Waiting(permits, requests)
        permits.release(1000)


def answers_kept() -> int:
    """Whole lines in the store, less its first."""
    return sum(f.read_bytes().count(b"\n") - 1 for f in Path(".answers").glob("*.jsonl"))


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_stage_goes_on_where_it_was(small: Small, waiting: Waiting, end: signal.Signals) -> None:
    line = command(small, "vlm.ask", "zero_shot")
    process = subprocess.Popen(
        line, cwd=small.folder, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    wait_for(lambda: answers_kept() == 20 and len(waiting.requests) == 22)
    process.send_signal(end)
    waiting.permits.release(2)  # of the questions under way; others would wait
    said = process.communicate(timeout=A_WHILE)[1]
    assert process.returncode == (130 if end == signal.SIGINT else -signal.SIGKILL), said
    assert "Traceback" not in said
    kept = answers_kept()
    assert 20 <= kept <= 22 and not Path("vlm/answers/zero_shot.json").exists()
    before = len(waiting.requests)
    waiting.permits.release(1000)
    done = subprocess.run(line, cwd=small.folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(waiting.requests) - before == 66 - kept, "asked again, or lost"
    assert len(json.loads(Path("vlm/answers/zero_shot.json").read_text())["answers"]) == 66


def test_errors_are_one_line(small: Small) -> None:
    small.server("http://127.0.0.1:9/v1")
    done = subprocess.run(
        command(small, "vlm.ask", "zero_shot"), cwd=small.folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    assert "error: no server answers at http://127.0.0.1:9/v1" in done.stderr
    assert "0 of 66 answers are kept" in done.stderr
    wrong = subprocess.run(
        [sys.executable, "-m", "vlm.ask", "nothing"],
        cwd=small.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert wrong.returncode == 1 and "vlm/params.yaml: key 'ways.nothing' is missing" in wrong.stderr
