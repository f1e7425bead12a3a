"""The report: every number measured, every claim with its verdict, and HTML that needs nothing else."""

import html.parser
import io
import itertools
import json
import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from small_study import networks, recipe, scrutinised, seen, study

from emotions.data import source_task
from emotions.evidence.claims import claims
from emotions.evidence.study import Study
from emotions.reporting import report
from emotions.reporting.wording import Wording

EN, FR = Wording("en"), Wording("fr")

FIGURES = (
    "training_curves",
    "confusion_matrices",
    "resnet_final_confusion_matrix",
    "per_class_f1",
    "calibration",
    "attention",
    "class_distribution",
)
PNG = b"\x89PNG figure"
JPEG = b"\xff\xd8 gallery"


def as_html(s: Study, say: Wording = EN) -> str:
    return report.html_report(s, say, figures(s), photographs=photographs(s, JPEG))


def figures(s: Study) -> dict[str, bytes]:
    return dict.fromkeys(
        [*(f"plots/{n}.png" for n in FIGURES), *(f"plots/runs/{n}/attention.png" for n in s.runs)], PNG
    )


def photographs(s: Study, picture: bytes) -> dict[str, bytes]:
    return dict.fromkeys(
        [
            "plots/contact_sheet.jpg",
            *(f"plots/runs/{n}/{kind}.jpg" for n in s.runs for kind in ("gallery", "confusions")),
        ],
        picture,
    )


def test_the_summary_is_flat_with_the_names_that_tables_of_experiments_use() -> None:
    summary = report.summary(study().networks)
    assert list(summary) == ["run1", "run2", "run3"]
    wanted = {
        *(f"{s}_{score}" for s in ("val", "test") for score in ("macro_f1", "balanced_accuracy", "accuracy")),
        *("train_accuracy", "gap", "last_epoch_gap", "selected_epoch"),
    }
    for values in summary.values():
        assert set(values) == wanted | {f"{name}_sd" for name in wanted}
        assert all(isinstance(v, int | float) for v in values.values())
    run = summary["run1"]
    assert run["val_accuracy"] == pytest.approx(0.45)
    assert run["val_accuracy_sd"] == pytest.approx(0.1 / 2**0.5)
    assert run["gap"] == pytest.approx(0.9 - 0.45)
    assert run["last_epoch_gap"] == pytest.approx(0.9 - 0.1)
    assert (run["selected_epoch"], run["selected_epoch_sd"]) == (2, 0)
    assert json.loads(json.dumps(summary)) == summary


def test_one_seed_has_no_deviations_and_the_report_says_what_is_not_covered() -> None:
    s = study(seeds=(0,))
    assert not [key for run in report.summary(s.networks).values() for key in run if key.endswith("_sd")]
    text = report.markdown_report(s, EN)
    assert "±" not in text
    assert "One seed: the chance of training is not covered" in text
    assert "One seed: they cover the chance of the images, not that of training." in text
    assert "Mean ± standard deviation" not in text
    assert "The maps are of the network of seed" not in text
    several = report.markdown_report(study(), EN)
    assert "Mean ± standard deviation over 2 seeds" in several
    assert "the chance of the images and of 2 seeds" in several
    assert "One seed" not in several
    assert "The maps are of the network of seed 0." in several


def test_one_run_alone_has_no_differences_and_no_power() -> None:
    text = report.markdown_report(study(("run1",)), EN)
    assert EN("one-run") in text
    assert "Simulated with these class counts" not in text
    assert "the adjusted test errs in 4.0% of the studies" in report.markdown_report(study(), EN)


def test_a_table_of_uncertain_scores_names_each_row_after_what_it_holds() -> None:
    s = study(("run1",))
    test = s.runs["run1"]["selected"]["test"]
    text = report.markdown_report(s, EN).split("### How sure these numbers are")[1].split("###")[0]
    shown = {cells[1].strip(): cells[2].split("(")[0].strip() for cells in map(split_row, text.splitlines())}
    for name, key, said in (
        ("Macro-F1", "macro_f1", lambda v: EN.decimal(v, 3)),
        ("Balanced accuracy %", "balanced_accuracy", EN.percent),
        ("Accuracy %", "accuracy", EN.percent),
        ("Top 2 %", "top2_accuracy", EN.percent),
        ("Emotions %", "component_score", EN.percent),
        ("ECE", "ece", lambda v: EN.decimal(v, 3)),
        ("Brier", "brier", lambda v: EN.decimal(v, 3)),
    ):
        assert shown[name] == said(test[key]), name


def split_row(line: str) -> list[str]:
    return [*line.split("|"), "", "", ""] if line.startswith("|") else ["", "", ""]


LONGER = {"run2": {"epochs": 9}, "run3": {"fraction": 0.5}}
"""Run 2 trains longer than run 1, and run 3 on half of its images."""


def test_runs_that_differ_in_one_knob_are_tabulated_seed_by_seed() -> None:
    better = networks(
        "run2", "Title of run2", [[0, 0, 1], [2, 1, 0], [6, 0, 0]], [[0, 0, 1], [2, 1, 0], [6, 0, 0]]
    )
    s = study(knobs=LONGER, networks={"run2": better})
    text = report.markdown_report(s, EN).split("### Single knobs")[1].split("###")[0]
    (longer,) = [line for line in text.splitlines() if line.startswith("| `epochs`: 3 → 9 | run1 → run2 |")]
    by_seed = [
        b["selected"]["test"]["macro_f1"] - a["selected"]["test"]["macro_f1"]
        for a, b in zip(s.networks["run1"], s.networks["run2"], strict=True)
    ]
    assert longer.split("|")[3].strip() == ", ".join(f"+{d:.3f}" for d in by_seed)
    assert f"{sum(by_seed) / 2:.3f} (" in longer.split("|")[4]
    assert "| `fraction`: 1.0 → 0.5 | run1 → run3 |" in text
    assert "### Single knobs" not in report.markdown_report(study(), EN), "equal recipes differ in none"
    alone = report.markdown_report(study(seeds=(0,), knobs=LONGER), EN)
    (row,) = [line for line in alone.splitlines() if line.startswith("| `fraction`: 1.0 → 0.5 |")]
    assert row.split("|")[4:] == ["  ", "  ", ""], "one seed gives no interval"


def test_runs_that_the_study_does_not_train_are_not_in_the_report() -> None:
    s = study(("run1",))
    s.params["runs"]["waiting"] = recipe("A run that waits", epochs=99)
    text = report.markdown_report(s, EN)
    assert "waiting" not in text
    assert text == report.markdown_report(study(("run1",)), EN)


def test_tables_are_in_the_order_of_the_study() -> None:
    text = report.markdown_report(study(("run3", "run1", "run2")), EN)
    for start in ("| {}: Title of {} |", "### {}: Title of {}"):
        places = [text.index(start.format(n, n)) for n in ("run1", "run2")]
        assert places == sorted(places)
    assert text.index("| **run3: Title of run3** |") < text.index("| run1: Title of run1 |")
    assert text.index("### run3: ") < text.index("### run1: ")


def test_few_test_images_are_said_to_decide_little() -> None:
    s = study()
    said = "**10 test images decide little**: the 95% interval of an accuracy reaches up to 31.0 points"
    assert said in report.markdown_report(s, EN)
    for run in s.runs.values():
        run["selected"]["test"]["images"] = 100
    assert "decide little" not in report.markdown_report(s, EN)


def test_the_curves_have_a_row_for_each_run_split_and_epoch() -> None:
    lines = report.curves_csv(study(("b", "a")).history).splitlines()
    assert lines[0] == "run,split,epoch,accuracy,loss"
    assert lines[1] == "b,train,1,0.3,2.0"
    assert lines[4] == "b,val,1,0.2,2.1"
    assert len(lines) == 1 + 2 * 2 * 3


@pytest.mark.parametrize(
    "names", [("run1",), ("run1", "run2", "run3"), ("warmup", "final"), ("run2", "run4")]
)
def test_the_report_renders_for_any_names_of_runs(names: tuple[str, ...]) -> None:
    s = study(names)
    text, page = report.markdown_report(s, EN), as_html(s)
    for name in names:
        assert f"### {name}: Title of {name}" in text
        assert f"{name}: Title of {name}" in page
        assert f"- {name}: the evidence supports overfitting." in text


def tables(text: str) -> list[list[str]]:
    blocks = re.findall(r"(?:^\|.*\|$\n?)+", text, re.MULTILINE)
    return [block.splitlines() for block in blocks]


@pytest.mark.parametrize("source", ["synthetic", "rafce"])
def test_every_row_of_a_table_has_the_columns_of_its_head(source: str) -> None:
    found = tables(report.markdown_report(study(source=source), EN))
    assert len(found) >= 8
    for table in found:
        assert {row.count("|") for row in table} == {table[0].count("|")}, table[0]
        assert set(table[1]) <= set("|:-")
        assert len(table) >= 3


def test_no_table_runs_into_a_paragraph() -> None:
    lines = report.markdown_report(study(), EN).splitlines()
    for before, line in itertools.pairwise(lines):
        assert line.startswith("|") == before.startswith("|") or not line or not before, (before, line)


def test_the_summary_gives_percent_with_one_decimal_and_the_best_run_in_bold() -> None:
    text = report.markdown_report(study(), EN)
    row = next(line for line in text.splitlines() if line.startswith("| **run1: Title of run1**"))
    cells = [c.strip() for c in row.split("|")[1:-1]]
    assert all(re.fullmatch(r"0\.\d{3} ± 0\.\d{3}", cell) for cell in cells[2:4])
    assert cells[5:8] == ["30.0 ± 0.0", "90.0 ± 0.0", "80.0 ± 0.0"]
    assert text.count("| **run") == 1


def test_the_summary_holds_the_runs_against_a_probe_of_their_start() -> None:
    one = study()
    summary = report.summary(one.networks)
    above = [100 * (summary[name]["test_accuracy"] - one.reference["test"]["accuracy"]) for name in summary]
    text = report.markdown_report(one, EN)
    assert "| Linear probe of the start | | | 0.500 | 60.0 | 60.0 | | | |" in text
    each = [
        f"{name} {abs(x):.1f} points {'above' if x > 0 else 'below'}"
        for name, x in zip(summary, above, strict=True)
    ]
    assert f"against it: {'; '.join(each)}." in text


def test_the_pretraining_row_says_what_was_done() -> None:
    assert (
        "5 epochs on 7 single emotions; 66.7% of their 3 validation images right"
        in report.markdown_report(study(), EN)
    )
    none = {"weights": "imagenet1k_v1", "sha256": "0676ba61b6795bbe" + 48 * "0", "basic_emotions_epochs": 0}
    text = report.markdown_report(study(pretrained=none), EN)
    assert "| Basic-emotion pretraining | none |" in text
    assert "| Starting weights | imagenet1k_v1 (SHA-256 0676ba61b6795bbe...) |" in text
    assert "start from random weights" not in text


def test_other_data_than_rafce_are_said_not_to_compare_in_level() -> None:
    sentence = "the levels cannot be compared"
    assert sentence in report.markdown_report(study(source="synthetic"), EN)
    assert sentence not in report.markdown_report(study(source="rafce"), EN)


def test_runs_are_ranked_by_mean_macro_f1_on_validation() -> None:
    better = networks("run2", "Title of run2", [[6, 0, 0], [0, 3, 0], [1, 0, 0]])
    s = study(("run1", "run2"), networks={"run2": better})
    text = report.markdown_report(s, EN)
    f1 = s.runs["run1"]["selected"]["val"]["macro_f1"]
    assert f"the order is run2 ({(12 / 13 + 1) / 3:.3f}), run1 ({f1:.3f});" in text
    assert "the best run by validation, run2," in text


def test_the_counts_of_verdicts_in_the_conclusion_add_up_to_all_claims() -> None:
    s = study()
    sentence = next(x for x in report.markdown_report(s, EN).splitlines() if "Of the original's claims" in x)
    assert sum(map(int, re.findall(r"\b\d+\b", sentence))) == len(claims(s))


@pytest.mark.parametrize("say", [EN, FR], ids=["en", "fr"])
def test_a_share_of_heat_that_random_weights_give_too_is_withheld(say: Wording) -> None:
    names = ("run1", "run2")
    s = study(names, faithfulness={name: scrutinised(name, areas=("mouth",)) for name in names})
    text = report.markdown_report(s, say)
    rows = [line for line in text.splitlines() if line.startswith(f"| run1 | {say('area-background')} |")]
    assert rows == [f"| run1 | {say('area-background')} | *{say('withheld')}* | {say.percent(0.2)} | | | |"]
    (mouth,) = [line for line in text.splitlines() if line.startswith(f"| run1 | {say('area-mouth')} |")]
    assert say.decimal(1.25, 2) in mouth
    assert "faithfulness.measure" not in text
    assert say("rests-on-note") in text
    blind = scrutinised("run1")
    blind["passed"] |= {"random": False}
    text = report.markdown_report(study(("run1",), faithfulness={"run1": blind}), say)
    assert text.count(f"*{say('withheld')}*") == len(seen()["shares"])


def test_photographs_with_landmarks_have_areas_and_covers_and_no_background() -> None:
    names = ("run1", "run2")
    s = study(
        names,
        source="rafce",
        attention={name: seen("landmarks") for name in names},
        faithfulness={name: scrutinised(name, areas=("mouth",), regions="landmarks") for name in names},
    )
    text = report.markdown_report(s, EN)
    assert "found in 9 of 10 images" in text
    assert "| run1 | outside the face | *withheld* |" in text
    (row,) = [line for line in text.splitlines() if line.startswith("| run1 | Val | 60.0 |")]
    assert row.count("|") == 12
    assert "\u221220.0 (" in row
    assert {c.verdict for c in claims(s) if c.entry.claim in ("background", "memorised")} == {"not testable"}


def test_what_was_not_measured_says_how_to_measure_it() -> None:
    text = report.markdown_report(study(), EN)
    assert text.count("`dvc exp run -S faithfulness.measure=true`") == 4, "two sections, two claims"
    assert "withheld" not in text.split("## Class-activation maps")[1]


def test_galleries_of_faces_are_in_the_html_only() -> None:
    assert "![Gallery" not in report.markdown_report(study(), EN)
    assert as_html(study()).count("data:image/jpeg;base64,") == 7


VOID = ("meta", "link", "img", "br", "hr")


class Links(html.parser.HTMLParser):
    """What a page refers to, and its title."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.refers: list[str] = []
        self.title, self._inside = "", False
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.refers += [value or "" for key, value in attrs if key in ("src", "href", "srcset", "data")]
        self._inside = tag == "title"
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        self._inside = False
        assert tag in VOID or self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.title += data


@pytest.mark.parametrize("names", [("run1", "run2", "run3"), ("warmup",)])
def test_the_html_needs_no_file_and_no_network(names: tuple[str, ...]) -> None:
    page = as_html(study(names))
    links = Links(page)
    assert links.open == []
    assert all(link.startswith(("data:", "#")) for link in links.refers)
    sections = 7
    assert len(links.refers) == 1 + sections + len(FIGURES) + 1 + 3 * len(names)
    assert "../plots" not in page
    assert "http" not in re.sub(r"base64,[A-Za-z0-9+/=]+", "", page)


def test_the_title_of_the_page_is_the_title_of_the_study() -> None:
    page = as_html(study())
    assert Links(page).title == "A study & its runs"
    assert "<title>A study &amp; its runs</title>" in page
    assert "<h1" in page


def test_the_commands_in_the_html_are_a_block_with_their_lines() -> None:
    (block,) = re.findall(r"<pre><code[^>]*>(.*?)</code></pre>", as_html(study()), re.DOTALL)
    assert [line.split()[0] for line in block.strip().splitlines()] == ["git", "make", "#", "make", "#"]


def test_the_report_leaves_no_template_text() -> None:
    for text in (report.markdown_report(study(), EN), as_html(study())):
        assert not re.search(r"\{[{%#]|[}%#]\}", re.sub(r"<style>.*?</style>", "", text, flags=re.DOTALL))
        assert not re.search(r"\bnan\b|\bNone\b|Undefined", text)


def test_keys_that_only_some_runs_have_are_listed_with_these() -> None:
    plain = report.markdown_report(study(), EN)
    s = study()
    lr = {"body": 1e-5, "head": 1e-3, "decay": 0.5}
    s.params["runs"]["run3"] = recipe("Title of run3", schedule="cosine", ema_decay=0.9, lr=lr)
    listed = "- run3: `lr.decay: 0.5`, `schedule: cosine`, `ema_decay: 0.9`"
    text = report.markdown_report(s, EN)
    assert listed in text.splitlines()
    assert set(text.splitlines()) - set(plain.splitlines()) == {listed}


def test_the_same_measurements_give_the_same_report() -> None:
    assert report.markdown_report(study(), EN) == report.markdown_report(study(), EN)
    assert as_html(study()) == as_html(study())


def test_frames_of_the_study_are_not_changed_by_reporting() -> None:
    s = study()
    before = {n: f.copy() for n, f in s.history.items()}
    report.curves_csv(s.history)
    for name, frame in s.history.items():
        pd.testing.assert_frame_equal(frame, before[name])


def numbers(text: str) -> list[str]:
    """All numbers of a report, as its language writes them but for spaces."""
    text = re.sub(r"\(#[^)]*\)|`[^`]*`", "", text)
    found = re.findall(r"(?<![\w.,-])[+−-]?\d[\d,.\u202f]*(?<![,.])", text.replace("\u2212", "-"))
    return [x.replace("\u202f", "") for x in found]


def prose(text: str) -> str:
    """A report without its code and link targets."""
    return re.sub(r"`[^`]*`|\]\([^)]*\)", "", text[: text.index("```")])


@pytest.mark.parametrize("source", ["synthetic", "rafce"])
def test_both_languages_give_the_same_numbers(source: str) -> None:
    s = study(source=source)
    english = sorted(x.replace(",", "") for x in numbers(report.markdown_report(s, EN)))
    french = sorted(x.replace(",", ".") for x in numbers(report.markdown_report(s, FR)))
    assert len(english) > 200
    assert french == english


def test_both_languages_have_the_same_shape() -> None:
    shape = [re.sub(r"[^|#!\-\n]", "", report.markdown_report(study(), say)) for say in (EN, FR)]
    lines = [[line for line in text.splitlines() if line and line[0] in "|#!"] for text in shape]
    assert [x.replace("-", "") for x in lines[0]] == [x.replace("-", "") for x in lines[1]]


def test_french_writes_decimal_commas_and_narrow_spaces() -> None:
    text = prose(report.markdown_report(study(), FR))
    assert not re.search(r"\d\.\d", text)
    assert not re.search(r"(?<!^) [%;!?]", re.sub(r"^\|.*$", "", text, flags=re.MULTILINE))
    assert "90,0\u202f%" in text


def test_french_has_no_english_left_in_it() -> None:
    words = r"\b(the|and|of|with|train|not|measured|here|images of|rows|which|run)\b"
    text = prose(report.markdown_report(study(), FR))
    assert not re.findall(words, re.sub(r"Title of \w+|A study &amp; its runs", "", text))


@pytest.mark.parametrize("say", [EN, FR], ids=["en", "fr"])
def test_links_within_the_report_lead_somewhere_on_github_and_in_the_html(say: Wording) -> None:
    text, page = report.markdown_report(study(), say), as_html(study(), say)
    wanted = re.findall(r"\]\(#([^)]+)\)", text)
    assert len(wanted) == 7
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    # GitHub: lower case, letters, digits, `_` and `-` stay, blanks become `-`
    assert set(wanted) <= {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings}
    ids = re.findall(r'<h\d id="([^"]+)"', page)
    assert set(wanted) <= set(ids)
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("say", [EN, FR], ids=["en", "fr"])
def test_every_picture_says_what_it_shows(say: Wording) -> None:
    alts = re.findall(r'<img alt="([^"]*)"', as_html(study(), say))
    assert len(alts) == len(FIGURES) + 1 + 3 * 3
    assert all(len(alt) > 30 for alt in alts)
    assert len(set(alts)) == len(alts)
    assert any("90" in alt and "run3" in alt for alt in alts), "the curves' text gives their end"


def test_the_page_says_which_language_it_is_in() -> None:
    assert '<html lang="fr">' in as_html(study(), FR)


def test_a_title_that_is_not_known_is_printed_as_it_is() -> None:
    assert "run1\u00a0: Title of run1" in report.markdown_report(study(), FR)


def test_galleries_that_are_too_large_are_made_smaller_in_the_html_alone() -> None:
    out = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (1500, 1500, 3), np.uint8)
    Image.fromarray(noise).save(out, "JPEG", quality=95)
    assert 3 * len(out.getvalue()) > report.PHOTOGRAPH_BYTES
    s = study()
    page = report.html_report(s, EN, figures(s), photographs=photographs(s, out.getvalue()))
    assert len(page) < 5_000_000


def test_what_is_said_of_the_single_emotions_splits_is_what_the_stages_do() -> None:
    """The probe and the reference score the source task on val and test (`source_task.HELD_OUT`)."""
    assert source_task.HELD_OUT == ("val", "test")
    assert "not used" not in EN("basic-used") and "ne servent pas" not in FR("basic-used")
    assert "the second and the third measure what is kept" in EN("basic-used")
