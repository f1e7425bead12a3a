"""The ledger of the original's claims: each follows its measurement by the rule that claims.yaml names."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT
from small_study import (
    CLASSES,
    CONFUSION,
    LEDGER,
    TRAIN,
    errors,
    measured,
    networks,
    probe_test,
    scrutinised,
    seen,
    study,
)

from emotions.evidence.claims import (
    MEASUREMENTS,
    OUTCOMES,
    ClaimsError,
    read_claims,
)
from emotions.evidence.claims import claims as decided
from emotions.evidence.confusion_structure import class_bias, most_confused
from emotions.evidence.study import Study
from emotions.evidence.verdicts import Change
from emotions.reporting.report import markdown_report
from emotions.reporting.sentences import ToldClaim, claim_sentences, verdict_sentence
from emotions.reporting.wording import Wording
from emotions.taxonomy import COMPOUND

EN = Wording("en")
RUNS = ("run1", "run2", "run3")


def claims(s: Study) -> dict[str, ToldClaim]:
    return {c.entry.claim: claim_sentences(c) for c in decided(s)}


def claim(s: Study, name: str) -> ToldClaim:
    return claims(s)[name]


def compared(**by_run: dict[str, Any]) -> dict[str, Any]:
    return {"pairs": {}, "errors": by_run}


def test_the_ledger_holds_the_seven_claims_and_every_rule_is_used() -> None:
    assert {entry.number for entry in LEDGER} == set(range(1, 8))
    assert {entry.measurement for entry in LEDGER} == set(MEASUREMENTS)
    assert len({entry.claim for entry in LEDGER}) == len(LEDGER)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{claim: a, number: 1, measurement: guess}", "'guess' is not one of verdict, probe-recall"),
        ("{claim: a, number: 8, measurement: verdict}", "number"),
        ("{claim: a, measurement: verdict}", "number"),
        ("{claim: a, number: 1, measurement: verdict, wrong: 1}", "wrong"),
        ("{claim: a, number: 5, measurement: class-rank, class: Angry_Cat}", "is not a compound emotion"),
        ("{claim: a", "claims.yaml"),
    ],
)
def test_a_ledger_that_cannot_be_used_is_refused_by_entry_and_key(
    line: str, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "claims.yaml"
    path.write_text(f"- {line}\n")
    with pytest.raises(ClaimsError, match=said):
        read_claims(path)


def test_thresholds_of_the_ledger_decide(tmp_path: Path) -> None:
    entries = yaml.safe_load((ROOT / "claims.yaml").read_text())
    for entry in entries:
        if entry["claim"] == "generic-features":
            entry["threshold"] = 0.9
    (tmp_path / "claims.yaml").write_text(yaml.safe_dump(entries))
    stricter = read_claims(tmp_path / "claims.yaml")
    imagenet = {"weights": "imagenet1k_v1", "basic_emotions_epochs": 0}
    assert claim(study(pretrained=imagenet), "generic-features").verdict == "undecided"
    assert claim(study(pretrained=imagenet, ledger=stricter), "generic-features").verdict == "supported"


def test_the_bias_to_frequent_classes_is_the_one_counted_by_hand() -> None:
    classes = (*CLASSES, "Sadly_Fearful")
    counts = {**TRAIN, "Sadly_Fearful": 1}
    confusion = [[4, 1, 1, 0], [2, 1, 0, 0], [1, 0, 0, 0], [2, 0, 0, 0]]
    recall = dict(zip(classes, (4 / 6, 1 / 3, 0.0, 0.0), strict=True))
    support = dict(zip(classes, (6, 3, 1, 2), strict=True))
    per_class = {c: {"recall": recall[c], "support": support[c]} for c in classes}
    run = {"selected": {"val": {"confusion": confusion, "per_class": per_class}}}
    bias = class_bias(run, classes, counts)
    assert bias["frequent"] == list(CLASSES)
    assert (bias["largest"], bias["largest_recall"]) == ("Happily_Surprised", 4 / 6)
    assert (bias["smallest"], bias["smallest_recall"]) == ("Sadly_Fearful", 0.0)
    assert bias["never"] == ["Sadly_Fearful"]


def test_the_least_frequent_class_is_one_that_validation_has() -> None:
    run = measured("run1", "Title", [[4, 1, 1], [2, 1, 0], [0, 0, 0]])
    assert class_bias(run, CLASSES, TRAIN)["smallest"] == "Sadly_Angry"


def test_confusions_are_those_counted_by_hand() -> None:
    found = most_confused(networks("run1", "Title", CONFUSION)[0], CLASSES)
    assert found[0] == {
        "true": "Sadly_Angry",
        "predicted": "Happily_Surprised",
        "count": 2,
        "share": pytest.approx(2 / 3),
    }
    assert [p["count"] for p in found] == [2, 1, 1, 1]
    both = most_confused(measured("run1", "Title", CONFUSION), CLASSES)
    assert [p["count"] for p in both] == [4, 2, 2, 2], "of two seeds"
    assert [p["share"] for p in both] == [p["share"] for p in found]
    assert most_confused(measured("run1", "Title", [[6, 0, 0], [0, 3, 0], [0, 0, 1]]), CLASSES) == []


def test_claims_that_nothing_measures_stay_undecided_and_say_what_it_takes() -> None:
    s = study()
    for name, what in (("memorised", "faithfulness.measure=true"), ("millions", "learning curve")):
        assert claim(s, name).verdict == "undecided"
        assert what in EN(claim(s, name).measured)


def curve(errors: dict[int, tuple[float, float]]) -> Study:
    """A study of run 1 on each number of images, with the test errors of two seeds."""
    most = max(errors)
    names = {images: "run1" if images == most else f"run1_{images}" for images in sorted(errors)[::-1]}
    by_run = {}
    for images, name in names.items():
        by_run[name] = networks(name, f"Title of {name}", CONFUSION)
        for one, error in zip(by_run[name], errors[images], strict=True):
            one["train_images"] = images
            one["selected"]["test"]["accuracy"] = 1 - error
            one["selected"]["test"]["intervals"]["accuracy"] = [0.0, 1.0]
    knobs = {name: {"fraction": images / most} for images, name in names.items() if name != "run1"}
    return study(tuple(names.values()), networks=by_run, knobs=knobs)


def law(exponent: float, at_most: float, wobble: float = 0.01) -> dict[int, tuple[float, float]]:
    """Errors that fall with that power of the images, `at_most` with 800 of them; seeds differ a little."""
    found = {}
    for i, images in enumerate((100, 200, 400, 800)):
        error, by = at_most * (800 / images) ** exponent, wobble * (-1) ** i
        found[images] = (error * (1 + by), error * (1 - by / 2))
    return found


@pytest.mark.parametrize(
    ("errors", "verdict"),
    [
        (law(0.5, 0.3), "contradicted"),
        (law(0.05, 0.5), "supported"),
        (law(0.1, 0.5, wobble=0.1), "undecided"),
    ],
)
def test_a_learning_curve_decides_whether_it_takes_millions(
    errors: dict[int, tuple[float, float]], verdict: str
) -> None:
    s = curve(errors)
    assert s.best == "run1"
    found = claim(s, "millions")
    assert found.verdict == verdict
    said = EN(found.measured)
    assert re.search(r"test error falls with the power \d\.\d\d \(95% interval", said)
    assert "up to 800 here, where a ceiling cannot be told from none (p " in said
    assert "at 8,000 " in said
    assert "at 1,000,000 " in said


def test_a_learning_curve_that_levels_off_decides_nothing_and_says_where() -> None:
    errors = {n: (0.2 + 20 / n, 0.2 + 20.4 / n) for n in (100, 200, 400, 800)}
    found = claim(curve(errors), "millions")
    said = EN(found.measured)
    assert found.verdict == "undecided"
    assert re.search(
        r"levels off with the number of training images, towards (79\.[5-9]|80\.[0-5])% acc", said
    )


def test_fewer_than_three_numbers_of_images_are_no_curve() -> None:
    errors = law(0.5, 0.3)
    two = {n: errors[n] for n in (400, 800)}
    found = claim(curve(two), "millions")
    assert (found.verdict, "run1 has no learning curve here" in EN(found.measured)) == ("undecided", True)
    three = claim(curve({n: errors[n] for n in (200, 400, 800)}), "millions")
    assert three.verdict == "contradicted"
    assert "ceiling" not in EN(three.measured), "three sizes cannot tell"


@pytest.mark.parametrize(
    ("name", "run", "changes", "verdict"),
    [
        ("overfits", "run1", {}, "supported"),
        ("overfits", "run1", {"train": [(20, 100)] * 2}, "undecided"),
        (
            "overfits",
            "run1",
            {"train": [(100, 1000)] * 2, "val": [(100, 1000)] * 2, "train_curve": [0.2] * 4},
            "contradicted",
        ),
        ("overfits", "run1", {"train": [(100, 1000)] * 2, "val": [(100, 1000)] * 2}, "undecided"),
        ("underfits", "run2", {"train": [(20, 100)] * 2, "train_curve": [0.2] * 6}, "supported"),
        ("underfits", "run2", {}, "contradicted"),
        ("underfits", "run2", {"train": [(20, 100)] * 2}, "not testable"),
        ("forgets", "run3", {}, "contradicted"),
        ("forgets", "run3", {"retention": None}, "contradicted"),
        ("forgets", "run3", {"retention": None, "probe": Change(-0.2, (-0.3, -0.1))}, "not testable"),
        (
            "forgets",
            "run3",
            {"retention": Change(-0.4, (-0.5, -0.3)), "probe": Change(-0.2, (-0.3, -0.1))},
            "supported",
        ),
    ],
)
def test_claims_on_a_run_follow_its_measured_verdicts(
    name: str, run: str, changes: dict[str, Any], verdict: str
) -> None:
    s = study()
    s.runs[run] = measured(run, "Title", CONFUSION, **changes)
    found = claim(s, name)
    assert found.verdict == verdict
    assert EN(found.measured)


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0.05, 0.4, "supported"), (0.55, 0.9, "contradicted"), (0.3, 0.8, "undecided")],
)
def test_whether_features_suffice_is_decided_by_the_probes_recall(
    low: float, high: float, verdict: str
) -> None:
    imagenet = {"weights": "imagenet1k_v1", "basic_emotions_epochs": 0}
    s = study(reference={"test": probe_test(0.5, low, high)}, pretrained=imagenet)
    assert claim(s, "generic-features").verdict == verdict
    for start in ({"weights": "none", "basic_emotions_epochs": 5}, {**imagenet, "basic_emotions_epochs": 1}):
        found = claim(study(reference=s.reference, pretrained=start), "generic-features")
        assert found.verdict == "not testable", "ImageNet's features are not what was probed"
        assert "single emotions, not ImageNet" in EN(found.measured)
    absent = {"per_class": {"Happily_Disgusted": {"recall": None, "interval": None, "support": 0}}}
    assert claim(study(reference={"test": absent}), "generic-features").verdict == "not testable"


@pytest.mark.parametrize(
    ("gone", "verdict"),
    [
        ((0.3, 0.3, 0.3), "supported"),
        ((0.0, 0.0, -0.1), "contradicted"),
        ((0.3, 0.0, 0.0), "undecided"),
        ((0.05, 0.05, 0.05), "undecided"),
    ],
)
def test_the_claim_on_the_background_follows_whether_answers_go_with_it(
    gone: tuple[float, ...], verdict: str
) -> None:
    found = {name: scrutinised(name, val=by) for name, by in zip(RUNS, gone, strict=True)}
    for one in found.values():  # a loss of accuracy does not decide it
        one["rests_on"]["val"]["background"]["swapped"] |= {"difference": 0.0, "interval": [-0.01, 0.01]}
    assert claim(study(faithfulness=found), "background").verdict == verdict


def test_a_network_with_one_answer_to_all_decides_nothing_about_the_background() -> None:
    found = {name: scrutinised(name) for name in RUNS}
    for one in found.values():
        one["rests_on"]["val"]["follows"] = None
    s = study(faithfulness=found)
    assert claim(s, "background").verdict == "undecided"
    assert "the same answer always" in EN(claim(s, "background").measured)
    assert "Answer goes with the background" in markdown_report(s, EN)


def test_heat_alone_does_not_decide_the_claim_on_the_background() -> None:
    for away in (0.1, 0.9):
        s = study(attention={name: seen(away=away) for name in RUNS})
        found = claim(s, "background")
        assert found.verdict == "undecided"
        assert "faithfulness.measure=true" in EN(found.measured)


@pytest.mark.parametrize(
    ("lost", "verdict"), [(0.3, "supported"), (0.0, "contradicted"), (0.05, "undecided")]
)
def test_that_the_background_was_memorised_follows_what_exchanging_it_costs_in_training(
    lost: float, verdict: str
) -> None:
    s = study(faithfulness={name: scrutinised(name, train=lost if name == "run1" else 0.3) for name in RUNS})
    assert claim(s, "memorised").verdict == verdict
    assert claim(study(), "memorised").verdict == "undecided"


def test_on_photographs_without_region_maps_these_claims_are_not_testable() -> None:
    attention = {name: seen("centre and border", away=0.9) for name in RUNS}
    s = study(source="rafce", attention=attention)
    assert claim(s, "background").verdict == claim(s, "memorised").verdict == "not testable"
    text = markdown_report(s, EN)
    assert "central square" in text
    assert "drawn with the face" not in text
    one = {**attention, "run1": seen()}
    assert claim(study(attention=one), "background").verdict == "not testable"


def test_that_the_largest_class_is_rare_is_contradicted_by_its_count() -> None:
    found = claim(study(), "rare")
    assert found.verdict == "contradicted"
    assert "number 1 of 14 in RAF-CE as published (582)" in EN(found.measured)
    assert "number 3 of 3 by training images here (10)" in EN(found.measured)


def test_where_classes_are_equally_frequent_none_is_rare_and_no_three_are_the_most_frequent() -> None:
    s = study(comparisons=compared(run1=errors(difference=0.2, interval=(0.1, 0.3))))
    equal = s.data | {"compound": {c: {"train": 4, "val": 2, "test": 2} for c in COMPOUND}}
    level = replace(s, data=equal, classes=COMPOUND)
    assert "number 1 of 14 by training images here (4)" in EN(claim(level, "rare").measured)
    assert claim(level, "rare").verdict == "contradicted"
    assert claim(level, "biased").verdict == "not testable"
    assert "third and the fourth" in EN(claim(level, "biased").measured)
    more = {c: {"train": 9 - min(i, 3), "val": 2, "test": 2} for i, c in enumerate(COMPOUND)}
    assert claim(replace(level, data=s.data | {"compound": more}), "biased").verdict == "supported"


@pytest.mark.parametrize(
    ("right", "verdict"),
    [((0, 0, 0), "supported"), ((1, 1, 1), "contradicted"), ((0, 1, 1), "undecided")],
)
def test_total_failure_on_a_class_means_that_its_recall_cannot_be_much_above_zero(
    right: tuple[int, ...], verdict: str
) -> None:
    assert claim(study(runs=failing(right, of=40)), "fails").verdict == verdict


def test_no_image_right_of_a_few_is_no_evidence_of_total_failure() -> None:
    assert claim(study(runs=failing((0, 0, 0), of=1)), "fails").verdict == "undecided"
    assert claim(study(runs=failing((0, 0, 0), of=34)), "fails").verdict == "undecided"
    assert claim(study(runs=failing((0, 0, 0), of=35)), "fails").verdict == "supported"


def test_an_image_that_some_seed_has_right_is_no_total_failure() -> None:
    """The interval over seeds that lie so far apart reaches 0."""

    def right(n: int) -> list[list[int]]:
        return [[0, 40 - n, n], [0, 3, 0], [6, 0, 0]]  # `measured` scores test with the rows in reverse

    runs = {name: measured(name, "T", right(0), right(20)) for name in RUNS}
    assert runs["run1"]["selected"]["test"]["recall_intervals"]["Angrily_Disgusted"][0] == 0
    assert claim(study(runs=runs), "fails").verdict == "contradicted"


def failing(right: tuple[int, ...], of: int) -> dict[str, dict[str, Any]]:
    """Runs that have so many `of` the test images of the ledger's class right."""
    # The test split of `measured` has the rows of validation in reverse.
    return {
        f"run{i + 1}": measured(f"run{i + 1}", "T", [[0, of - r, r], [0, 3, 0], [6, 0, 0]])
        for i, r in enumerate(right)
    }


@pytest.mark.parametrize(
    ("difference", "interval", "verdict"),
    [
        (0.2, (0.1, 0.3), "supported"),
        (0.2, (-0.1, 0.5), "undecided"),
        (0.02, (0.01, 0.03), "contradicted"),
        (-0.1, (-0.2, 0.0), "contradicted"),
    ],
)
def test_a_bias_to_frequent_classes_is_large_and_beyond_chance(
    difference: float, interval: tuple[float, float], verdict: str
) -> None:
    same = {name: errors(difference=difference, interval=interval) for name in RUNS}
    assert claim(study(comparisons=compared(**same)), "biased").verdict == verdict
    mixed = same | {"run2": errors(difference=0.2, interval=(-0.1, 0.5))}
    assert claim(study(comparisons=compared(**mixed)), "biased").verdict == "undecided"


def test_that_confusions_follow_shared_geometry_takes_known_units_and_small_p_in_every_run() -> None:
    def verdict(**by_run: dict[str, Any]) -> str:
        return claim(study(comparisons=compared(**by_run)), "confused").verdict

    assert verdict(**{name: errors(p=0.001) for name in RUNS}) == "supported"
    assert verdict(run1=errors(p=0.001), run2=errors(p=0.2), run3=errors(p=0.001)) == "undecided"
    assert verdict(**{name: errors(p=0.2) for name in RUNS}) == "undecided"
    assert verdict(**{name: errors(p=0.001, units=False) for name in RUNS}) == "not testable"


def test_every_outcome_of_a_claim_can_be_printed() -> None:
    assert {EN(f"claim-{outcome.replace(' ', '-')}") for outcome in OUTCOMES} == {
        "supported",
        "contradicted",
        "undecided",
        "not testable on this data",
    }


def test_no_claim_on_a_run_that_the_study_does_not_have() -> None:
    s = study(("warmup", "final"))
    assert not {"overfits", "underfits", "forgets"} & set(claims(s))


def test_the_evidence_of_every_verdict_can_be_said_whatever_its_outcome() -> None:
    few, many = [0.3, 0.3], [0.1, 0.2, 0.25, 0.3, 0.31, 0.3]
    for train in (3, 9):
        for curve in (few, many):
            for lost in (
                None,
                Change(-0.4, (-0.5, -0.3)),
                Change(-0.4, (-0.9, 0.1)),
                Change(0.0, (-0.1, 0.1)),
            ):
                changes = {"train_curve": curve, "retention": lost, "probe": lost, "longer": lost}
                run = measured(
                    "run1",
                    "T",
                    CONFUSION,
                    train_right=train,
                    **changes,
                    seeds=lost and [0.25, 0.43, 0.3, 0.45],
                )
                for verdict in run["verdicts"]:
                    text = EN(verdict_sentence(verdict))
                    assert text
                    for value in verdict["evidence"].values():
                        assert f"{abs(100 * value):.1f}" in text or verdict["name"] in (
                            "underfitting",
                            "unstable",
                        )
