"""The original's claims: each follows its measurement, and none that nothing measures is decided."""

import pytest
from small_study import CLASSES, CONFUSION, TRAIN, measured, seen, study

from rafce.claims import Claim, Study, class_bias, confusions, evidence
from rafce.claims import claims as decided
from rafce.diagnosis import DiagnosisParams, diagnose
from rafce.report import markdown_report
from rafce.wording import Wording

EN = Wording("en")


def claims(s: Study) -> dict[str, Claim]:
    return {c.claim: c for c in decided(s)}


def claim(s: Study, name: str) -> Claim:
    return claims(s)[name]


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
    assert bias["predicted_frequent"] == pytest.approx(1)
    assert bias["true_frequent"] == pytest.approx(10 / 12)
    assert (bias["largest"], bias["largest_recall"]) == ("Happily_Surprised", 4 / 6)
    assert (bias["smallest"], bias["smallest_recall"]) == ("Sadly_Fearful", 0.0)
    assert bias["never"] == ["Sadly_Fearful"]


def test_the_least_frequent_class_is_one_that_validation_has() -> None:
    run = measured("run1", "Title", [[4, 1, 1], [2, 1, 0], [0, 0, 0]])
    assert class_bias(run, CLASSES, TRAIN)["smallest"] == "Sadly_Angry"


def test_confusions_are_those_counted_by_hand() -> None:
    found = confusions(measured("run1", "Title", CONFUSION), CLASSES)
    # Sadly angry shares anger with Angrily disgusted; Happily surprised shares nothing with either.
    assert found["errors"] == 5
    assert found["share"] == 0
    # Said: 7, 2, 1. Of the three images of Sadly angry, two are wrong; 1 / (7 + 1) of those would be Angrily
    # disgusted. Of Angrily disgusted, one is wrong; 2 / (7 + 2) of it would be Sadly angry.
    assert found["expected"] == pytest.approx((2 * 1 / 8 + 1 * 2 / 9) / 5)
    assert found["pairs"][0] == {
        "true": "Sadly_Angry",
        "predicted": "Happily_Surprised",
        "count": 2,
        "share": pytest.approx(2 / 3),
    }
    assert len(found["pairs"]) == 4
    assert [p["count"] for p in found["pairs"]] == [2, 1, 1, 1]


def test_a_run_without_errors_has_no_confusions() -> None:
    found = confusions(measured("run1", "Title", [[6, 0, 0], [0, 3, 0], [0, 0, 1]]), CLASSES)
    assert found == {"errors": 0, "share": 0.0, "expected": 0.0, "pairs": []}


def test_claims_that_nothing_measures_stay_not_measured() -> None:
    s = study()
    for name in ("memorised", "generic-features", "forgets", "confused", "millions"):
        assert claim(s, name).verdict == "not measured"


def test_claims_on_a_run_follow_its_measured_verdicts() -> None:
    s = study()
    assert claim(s, "overfits").verdict == "supported"
    close = measured("run1", "Title", CONFUSION) | {
        "verdicts": measured("run1", "Title", CONFUSION, train_right=2)["verdicts"]
    }
    assert claim(study(runs={**s.runs, "run1": close}), "overfits").verdict == "not supported"


@pytest.mark.parametrize(
    ("away", "verdict"),
    [
        ((0.8, 0.8, 0.8), "supported"),
        ((0.1, 0.1, 0.1), "contradicted"),
        ((0.8, 0.1, 0.1), "supported for some runs"),
    ],
)
def test_the_claim_on_background_and_hair_follows_the_heat(away: tuple[float, ...], verdict: str) -> None:
    attention = {f"run{i + 1}": seen(away=a) for i, a in enumerate(away)}
    assert claim(study(attention=attention), "background").verdict == verdict


def test_on_photographs_without_region_maps_that_claim_is_not_measured() -> None:
    attention = {name: seen("centre and border", away=0.9) for name in ("run1", "run2", "run3")}
    s = study(source="rafce", attention=attention)
    assert claim(s, "background").verdict == "not measured"
    text = markdown_report(s, EN)
    assert "central square" in text
    assert "drawn with the face" not in text
    one = {**attention, "run1": seen()}
    assert claim(study(attention=one), "background").verdict == "not measured"


def test_that_the_largest_class_is_rare_is_contradicted_by_its_count() -> None:
    found = claim(study(), "rare")
    assert found.verdict == "contradicted"
    assert "number 1 of 14 in RAF-CE as published (582)" in EN(found.measured)
    assert "number 3 of 3 by training images here (10)" in EN(found.measured)


@pytest.mark.parametrize(
    ("right", "verdict"),
    [((0, 0, 0), "supported"), ((1, 1, 1), "contradicted"), ((0, 1, 1), "supported for some runs")],
)
def test_total_failure_on_a_class_means_a_recall_of_zero(right: tuple[int, ...], verdict: str) -> None:
    runs = {
        f"run{i + 1}": measured(f"run{i + 1}", "T", [[6, 0, 0], [0, 3, 0], [0, 1 - r, r]])
        for i, r in enumerate(right)
    }
    assert claim(study(runs=runs), "fails").verdict == verdict


def test_no_claim_on_a_run_that_the_study_does_not_have() -> None:
    s = study(("warmup", "final"))
    assert not {"overfits", "memorised", "underfits", "generic-features", "forgets"} & set(claims(s))


def test_evidence_of_low_train_accuracy_gives_the_reason_that_decided() -> None:
    def said(train: float, curve: list[float]) -> list[str]:
        limits = DiagnosisParams(overfitting_gap=0.15, underfitting_train_accuracy=0.5, plateau=0.02)
        return [EN(evidence(v)) for v in diagnose(train, 0.3, curve, limits)[1:3]]

    assert said(0.85, [0.5, 0.6, 0.84]) == 2 * [
        "train accuracy at the last epoch 85.0%, not below the threshold 50.0%"
    ]
    for text in said(0.48, [0.3, 0.4, 0.45]):
        assert (
            "48.0%, below the threshold 50.0%; on the images of the curve it went from 40.0% to 45.0% (+5.0"
            in text
        )
    assert all("one epoch cannot show" in text for text in said(0.48, [0.45]))
