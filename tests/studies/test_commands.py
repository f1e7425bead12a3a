"""Every command that README and tutorial show runs on a study of seconds, or says that it is not run here."""

import os
import re
import subprocess
from pathlib import Path

import pytest
from conftest import ROOT, TINY, Study, study_in, warm_path
from photographs import drawn, photograph
from test_tutorial import write_table

DOCUMENTS = ("README.md", "docs/tutorial.md")
ELSEWHERE = {
    "make test": ".ci/run",
    "make test-studies": ".ci/run",
    "make verify": ".ci/run",
    "make demo": "tests/tools/test_demo.py",
}
"""Command -> the file that runs it."""
MAKE = (
    "make() { command make --no-print-directory -o .venv/bin/.installed -o .venv/bin/.vlm-installed "
    'ACTIVE= "$@"; }; '
)
"""The environment of the tests in place of one that `make` installs."""
ran: set[str] = set()


def shown(document: str) -> list[str]:
    """The commands in blocks of a document, without comments; not those of blocks that are not run here."""
    found = []
    text = (ROOT / document).read_text()
    for block in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        before = text[: block.start()].rstrip().rsplit("\n\n", 1)[-1]
        lines = [re.sub(r"\s+#.*", "", line) for line in block[2].splitlines()]
        if not block[1] and "not run here" not in before:
            found += [line for line in lines if re.match(r"(make|dvc|git|python) ", line)]
    return found


def run(folder: Path, command: str) -> str:
    """What a command of the documents prints."""
    environment = os.environ | {
        "PATH": warm_path(),
        "DVC_NO_ANALYTICS": "1",
        "BROWSER": "true",
        **{f"GIT_{who}_{what}": "test@x" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    }
    done = subprocess.run(
        ["bash", "-c", MAKE + command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command} failed:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    ran.add(command)
    return done.stdout


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default study, smaller, made by the first command and committed on `main`."""
    made = Study(tmp_path_factory.mktemp("study"))
    made.params(*TINY, ("\n  epochs: 2", "\n  epochs: 1"), ("batch_size: 16 ", "batch_size: 8 "))
    run(made.folder, "make repro")
    made.git("branch", "-M", "main")
    made.commit("the study")
    return made.folder


def line(begin: str, document: str = "README.md") -> str:
    """The one command that begins so."""
    (found,) = (command for command in shown(document) if command.startswith(begin))
    return found


def test_a_knob_is_changed_compared_dropped_and_kept(study: Path) -> None:
    run(study, line("git switch"))
    assert "Running stage 'train@run2-0'" in run(study, line("dvc exp run -S runs.run2.dropout"))
    assert "less-dropout" in run(study, line("make experiments"))
    assert "`runs.run2.dropout` from `0.6` to `0.3`" in run(study, line("make pr-report"))
    run(study, line("dvc plots diff"))
    assert (study / "dvc_plots/index.html").is_file()
    run(study, line("git checkout HEAD --"))
    assert subprocess.run(["git", "diff", "--quiet", "HEAD"], cwd=study, check=False).returncode == 0
    run(study, line("dvc exp run -S runs.run2.dropout"))
    run(study, line("git add -A && git commit -m"))
    assert "dropout: 0.3" in (study / "params.yaml").read_text()


def test_maps_are_held_against_what_the_network_rests_on(study: Path) -> None:
    run(study, line("dvc exp run -S faithfulness.measure=true"))
    assert '"measured": true' in (study / "metrics/faithfulness/run1.json").read_text()
    run(study, "git checkout HEAD -- params.yaml dvc.lock metrics plots report && dvc checkout")


def test_the_network_is_asked_about_pictures_and_exported(study: Path) -> None:
    (study / "photos").mkdir()
    photograph((60, 100, 180)).save(study / "photos/street.jpg")
    (study / "face.jpg").write_bytes(drawn(0))
    said = run(study, line("make predict"))
    assert "photos/street.jpg" in said
    assert "face.jpg (whole picture, a crop already)" in said
    assert '"top"' in run(study, line("python -m tools.serve.predict photos --json"))
    assert [p.name for p in (study / "maps").iterdir()] == ["photos__street.jpg-1.png"]


def test_a_vision_language_model_is_asked_and_stands_beside_the_runs(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second pipeline as its page has it, with a tiny random model in place of the one it names."""
    pytest.importorskip("openai", reason="the extra is not installed: make test-extras")
    pytest.importorskip("transformers", reason="the extra is not installed: make test-extras")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    from tiny_vlm import make

    own = study / "vlm/params.yaml"
    text = re.sub(r"(?m)^  name: \S+", f"  name: {make(tmp_path / 'tiny')}", own.read_text())
    own.write_text(re.sub(r"(?m)^  revision: \S+", "  revision: null", text))
    run(study, "dvc checkout && make vlm")
    report = (study / "vlm/report/report.md").read_text()
    assert report.count("| `tiny @ ") == 4 and report.count("| ResNet-50, trained on these classes |") == 3
    assert re.search(r"(?m)^\| few_shot \| `direct.md` \| 11 \|", report)
    again = run(study, "make vlm")
    assert "Running stage" not in again
    assert "Running stage" not in run(study, "dvc repro"), "the study does not depend on it"
    run(study, "git checkout HEAD -- vlm && git clean -fdq vlm")


def test_the_tutorials_source_is_trained_on(study: Path) -> None:
    write_table(study)
    for command in shown("docs/tutorial.md"):
        run(study, command)
    assert "Data: `table`," in (study / "report/report.md").read_text()


@pytest.mark.parametrize(
    ("begin", "reported"),
    [
        ("make seeds", "over 5 seeds"),
        ("make longer", "`epochs`: 1 → 3"),
        ("make learning-curve", "`fraction`: 1.0 → 0.5"),
        ("make ablation", "`logit_adjustment`: 0.0 → 0.5"),
    ],
)
def test_seeds_and_single_knobs_are_one_experiment_each(study: Path, begin: str, reported: str) -> None:
    if begin == "make seeds":  # of one run: fifteen trainings show no more than five
        study_in(study).set("study.runs=[run1]")
    before = list((study / "models/runs").glob("run1-*.pth"))
    run(study, line(begin))
    report = (study / "report/report.md").read_text()
    assert reported in report
    assert all(path.exists() for path in before), "what was trained stays"
    (name,) = set(run(study, "dvc exp list --name-only").split()) & {
        "seeds", "longer", "learning-curve", "ablation-run4"
    }  # fmt: skip
    run(study, f"dvc exp remove {name} && git checkout -q HEAD -- . && dvc checkout -q")


def test_no_command_was_left_out(study: Path) -> None:
    for document in DOCUMENTS:
        commands = shown(document)
        assert commands
        for command in commands:
            elsewhere = next((where for begin, where in ELSEWHERE.items() if command.startswith(begin)), None)
            if elsewhere is None:
                assert command in ran, f"{document}: {command} is run by no test of this file"
            else:
                assert command.split()[1].split("=")[0] in (ROOT / elsewhere).read_text(), elsewhere
