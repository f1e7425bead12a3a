"""Several seeds of a run as one record: means, summed confusions, intervals over images and seeds."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_study import CONFUSION, OTHER_CONFUSION, networks, probed

from emotions.evidence import crossed
from emotions.evidence.pooled import SeedsDisagreeError, pooled

SEEDS = networks("run1", "Title", CONFUSION, OTHER_CONFUSION)


def test_numbers_are_means_confusions_are_sums_and_texts_stay() -> None:
    found = pooled(SEEDS)
    assert (found["run"], found["title"], found["seeds"]) == ("run1", "Title", [0, 1])
    assert "seed" not in found
    val = found["selected"]["val"]
    assert val["accuracy"] == pytest.approx(0.45)
    assert val["images"] == 10
    assert val["confusion"] == [[7, 3, 2], [4, 2, 0], [2, 0, 0]]
    assert val["per_class"]["Happily_Surprised"]["recall"] == pytest.approx(3.5 / 6)
    assert val["per_class"]["Happily_Surprised"]["support"] == 6


def test_scores_get_their_standard_deviation_over_seeds() -> None:
    val = pooled(SEEDS)["selected"]["val"]
    assert val["sd"]["accuracy"] == pytest.approx(0.1 / 2**0.5)
    assert val["sd"]["macro_f1"] > 0
    assert val["macro_f1_ten"] is None
    assert "macro_f1_ten" not in val["sd"]


def test_an_interval_covers_images_and_seeds() -> None:
    val = [one["selected"]["val"] for one in SEEDS]
    found = pooled(SEEDS)["selected"]["val"]["intervals"]["macro_f1"]
    alone = [v["intervals"]["macro_f1"] for v in val]
    both = crossed.over_seeds([v["macro_f1"] for v in val], alone)["interval"]
    assert found == [max(both[0], 0.0), min(both[1], 1.0)]
    assert found[1] - found[0] > max(high - low for low, high in alone)


def test_intervals_stay_where_their_numbers_can_be() -> None:
    """Two seeds that differ much: Student's t with one degree of freedom reaches far."""
    far = networks("run1", "Title", [[6, 0, 0], [0, 3, 0], [0, 0, 1]], [[0, 0, 6], [3, 0, 0], [0, 1, 0]])
    for split in ("val", "test"):
        found = pooled(far)["selected"][split]
        for name, interval in found["intervals"].items():
            assert 0 <= interval[0] <= found[name] <= interval[1] <= (2 if name == "brier" else 1), name
        for label, interval in found["recall_intervals"].items():
            assert 0 <= interval[0] <= found["per_class"][label]["recall"] <= interval[1] <= 1
    probes = [probed("run1", seed) for seed in (0, 1)]
    for probe, accuracy, change in zip(probes, (0.1, 0.9), (-0.6, 0.5), strict=True):
        probe["test"] |= {"accuracy": accuracy, "interval": [accuracy - 0.1, accuracy + 0.1]}
        probe["against_start"] |= {"difference": change, "interval": [change - 0.1, change + 0.1]}
    found = pooled(probes)
    assert found["test"]["interval"] == [0, 1]
    assert found["against_start"]["interval"] == [-1, 1]


def test_a_p_value_follows_its_interval() -> None:
    probes = [probed("run1", seed) for seed in (0, 1)]
    assert pooled(probes)["against_start"]["p"] > 0.05
    for probe in probes:
        probe["against_start"] |= {"difference": -0.3, "interval": [-0.4, -0.2], "p": 0.9}
    found = pooled(probes)["against_start"]
    assert found["interval"] == pytest.approx([-0.4, -0.2])
    assert found["p"] < 1e-6


def test_one_seed_keeps_its_numbers_and_has_no_deviation() -> None:
    (alone,) = networks("run1", "Title", CONFUSION, seeds=(3,))
    assert pooled([alone]) == {k: v for k, v in alone.items() if k != "seed"} | {"seeds": [3]}


def test_seeds_whose_last_epoch_is_the_selected_one_are_pooled_with_others() -> None:
    first, second = copy.deepcopy(SEEDS)
    second["last"] = {"epoch": 2} | {
        split: {k: v for k, v in second["selected"][split].items() if not k.endswith("intervals")}
        for split in ("train", "val")
    }
    found = pooled([first, second])
    assert found["last"]["epoch"] == 2.5
    assert found["last"]["val"]["accuracy"] == pytest.approx((0.1 + 0.4) / 2)


@pytest.mark.parametrize("lacking", [0, 1])
def test_an_interval_that_a_seed_lacks_is_left_out(lacking: int) -> None:
    """`brier` has none where all images get the same probabilities."""
    seeds = copy.deepcopy(SEEDS)
    del seeds[lacking]["selected"]["val"]["intervals"]["brier"]
    found = pooled(seeds)["selected"]["val"]
    assert "brier" not in found["intervals"]
    assert found["brier"] == pytest.approx(sum(s["selected"]["val"]["brier"] for s in SEEDS) / 2)


def test_a_class_without_images_has_no_recall_interval() -> None:
    empty = networks("run1", "Title", [[4, 1, 1], [0, 0, 0], [1, 0, 0]], [[3, 2, 1], [0, 0, 0], [1, 0, 0]])
    assert pooled(empty)["selected"]["val"]["recall_intervals"]["Sadly_Angry"] is None


BIN = st.tuples(st.integers(1, 20), st.floats(0, 1), st.floats(0, 1))


@given(st.lists(st.lists(BIN, min_size=1, max_size=6), min_size=2, max_size=4))
def test_reliability_curves_of_any_lengths_keep_their_means(
    seeds: list[list[tuple[int, float, float]]],
) -> None:
    names = ("images", "confidence", "accuracy")
    curves = [[dict(zip(names, one, strict=True)) for one in bins] for bins in seeds]
    found = pooled([{"reliability": curve} for curve in curves])["reliability"]
    assert len(found) <= max(map(len, curves))
    confidences = [one["confidence"] for one in found]
    assert confidences == pytest.approx(sorted(confidences))
    each = [one for curve in curves for one in curve]
    assert sum(b["images"] for b in found) == pytest.approx(sum(b["images"] for b in each) / len(curves))
    for name in ("confidence", "accuracy"):
        mean = sum(b["images"] * b[name] for b in each) / len(curves)
        assert sum(b["images"] * b[name] for b in found) == pytest.approx(mean)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"title": "Another"}, "title: seeds have 'Title' and others; rerun the older stages"),
        ({"more": 1}, "records: seeds have other keys"),
        ({"classes": ["a"]}, "classes: seeds have lists of other lengths"),
    ],
)
def test_seeds_that_differ_in_more_than_numbers_are_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(SeedsDisagreeError, match=said):
        pooled([SEEDS[0], SEEDS[1] | change])
