"""Covers and backgrounds: what is hidden is hidden, the rest untouched; who reads one part falls with it."""

import numpy as np
import pytest

from emotions.attention import reliance
from emotions.attention.reliance import COVERED

SIDE = 48


def faces(images: int = 60) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Pictures whose mouth and whose background each are bright for class 1 and dark for class 0; the head
    between is noise."""
    generator = np.random.default_rng(0)
    labels = np.arange(images) % 2
    pixels = generator.integers(80, 120, (images, SIDE, SIDE, 3)).astype(np.uint8)
    masks = {name: np.zeros((images, SIDE, SIDE), bool) for name in (*COVERED, "background")}
    masks["background"][:] = True
    masks["background"][:, 4:44, 8:40] = False
    masks["mouth"][:, 34:38, 20:28] = True
    masks["eyes_brows"][:, 16:20, 14:34] = True
    masks["hair"][:, 4:10, 8:40] = True
    for area in ("mouth", "background"):
        for image, label in enumerate(labels):
            pixels[image][masks[area][image]] = 240 if label else 10
    return pixels, labels, masks


def answered(area: str) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """The answers of a network that reads the brightness of `area` alone, by change; labels; donors."""
    pixels, labels, masks = faces()
    generator = np.random.default_rng(1)
    donor = reliance.donors(labels, generator)
    versions = {"unchanged": pixels, **reliance.changed(pixels, donor, masks, generator=generator)}
    answers = {
        name: (np.array([i[m].mean() for i, m in zip(some, masks[area], strict=True)]) > 125).astype(int)
        for name, some in versions.items()
    }
    return answers, labels, donor


def scored(area: str) -> dict[str, np.ndarray]:
    """Whether that network is right."""
    answers, labels, _ = answered(area)
    return {name: some == labels for name, some in answers.items()}


def test_a_network_that_reads_the_background_alone_falls_with_it_and_with_nothing_else() -> None:
    found = reliance.accuracy_changes(scored("background"))
    assert found["accuracy"]["unchanged"] == 1
    assert found["background"]["swapped"]["difference"] == -1  # another class's: always wrong
    assert found["background"]["grey"]["interval"][1] < -0.3
    assert found["accuracy"]["only background"] == 1
    assert found["covers"]["mouth"]["interval"][0] <= 0 <= found["covers"]["mouth"]["interval"][1]


def test_a_network_that_reads_the_mouth_alone_falls_with_it_and_with_nothing_else() -> None:
    found = reliance.accuracy_changes(scored("mouth"))
    assert found["accuracy"]["unchanged"] == 1
    assert found["background"]["swapped"]["difference"] == 0
    assert found["accuracy"]["mouth elsewhere"] == 1
    assert found["covers"]["mouth"]["interval"][1] < -0.2
    for area in ("eyes_brows", "hair"):
        assert found["covers"][area]["difference"] >= 0


@pytest.mark.parametrize(("area", "share"), [("background", 1), ("mouth", 0)])
def test_answers_go_with_the_background_where_it_is_read(area: str, share: float) -> None:
    answers, labels, donor = answered(area)
    found = reliance.follows(
        answers["unchanged"], answers["background swapped"], donor, generator=np.random.default_rng(2)
    )
    assert found is not None
    assert (found["images"], found["changed"], found["to_lender"]) == (len(labels), share, share)


def test_they_do_where_the_background_is_wrong_already_and_no_accuracy_can_be_lost() -> None:
    generator = np.random.default_rng(3)
    labels, walls = np.arange(300) % 6, generator.integers(6, size=300)
    donor = reliance.donors(labels, generator)
    found = reliance.follows(walls, walls[donor], donor, generator=generator)
    assert found is not None
    assert found["to_lender"] == 1
    assert found["interval"][0] > 0.7  # a stranger has the lender's wall now and then
    loss = reliance.accuracy_changes(
        {"unchanged": walls == labels, "background swapped": walls[donor] == labels}
    )
    low, high = loss["background"]["swapped"]["interval"]
    assert low <= 0 <= high


def test_answers_that_change_at_random_do_not_go_with_the_background() -> None:
    generator = np.random.default_rng(4)
    before, after = generator.integers(6, size=(2, 600))
    found = reliance.follows(before, after, reliance.donors(before, generator), generator=generator)
    assert found is not None
    assert found["changed"] == pytest.approx(5 / 6, abs=0.05)
    assert found["to_lender"] == pytest.approx(1 / 6, abs=0.05)
    assert found["interval"][0] < 0 < found["interval"][1]


def test_a_network_with_one_answer_follows_nothing() -> None:
    same = np.zeros(5, int)
    assert reliance.follows(same, same, np.array([1, 2, 3, 4, 0]), generator=np.random.default_rng(0)) is None


def test_changes_touch_what_they_name_and_no_other_pixel() -> None:
    pixels, _, masks = faces(6)
    versions = reliance.changed(pixels, np.arange(6)[::-1], masks, generator=np.random.default_rng(1))
    assert set(versions) == {
        "background swapped",
        "background blurred",
        "background grey",
        "only background",
        *(f"{area} {how}" for area in COVERED for how in ("covered", "elsewhere")),
    }
    head = ~masks["background"]
    for name, some in versions.items():
        assert some.dtype == np.uint8
        assert some.shape == pixels.shape
        if name.startswith("background"):
            assert (some[head] == pixels[head]).all()
        elif name == "only background":
            assert (some[masks["background"]] == pixels[masks["background"]]).all()
            assert np.abs(some[head].astype(int) - 100).min() > 20, "no head is left"
    assert (versions["background grey"][masks["background"]] == reliance.GREY).all()
    covered = (versions["mouth covered"] != pixels).any(-1)
    assert covered[masks["mouth"]].all()
    assert not covered[:, :30].any()


def test_the_cover_elsewhere_has_the_same_shape_on_the_head_and_off_the_area() -> None:
    head = np.zeros((SIDE, SIDE), bool)
    head[4:44, 8:40] = True
    cover = np.zeros((SIDE, SIDE), bool)
    cover[34:38, 20:28] = True
    places = set()
    for seed in range(20):
        moved = reliance.elsewhere(cover, head, np.random.default_rng(seed))
        assert moved.sum() == cover.sum()
        assert not (moved & cover).any()
        assert (moved & head).sum() == moved.sum()
        rows, columns = np.nonzero(moved)
        assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (4, 8)
        places.add((rows.min(), columns.min()))
    assert len(places) > 10


def test_what_fills_a_part_is_its_surroundings() -> None:
    image = np.zeros((SIDE, SIDE, 3), np.uint8)
    image[:, :24] = (200, 100, 0)
    image[:, 24:] = (0, 0, 200)
    hidden = np.zeros((SIDE, SIDE), bool)
    hidden[20:24, 4:8] = True
    filled = reliance.fill(image, hidden)
    assert filled[22, 6] == pytest.approx([200, 100, 0], abs=2)
    assert (filled[~hidden] == image[~hidden]).all()


def test_a_donor_is_of_another_class_where_there_is_one() -> None:
    labels = np.array([0, 0, 0, 1, 2])
    for seed in range(10):
        chosen = reliance.donors(labels, np.random.default_rng(seed))
        assert (labels[chosen] != labels).all()
    same = reliance.donors(np.zeros(4, int), np.random.default_rng(0))
    assert (same != np.arange(4)).all()


def test_by_landmarks_the_covers_alone_are_made() -> None:
    pixels, _, masks = faces(6)
    known = {"mouth": masks["mouth"], "eyes_brows": masks["eyes_brows"], "outside": masks["background"]}
    versions = reliance.changed(pixels, None, known, generator=np.random.default_rng(1))
    assert set(versions) == {
        f"{a} {how}" for a in ("eyes_brows", "mouth") for how in ("covered", "elsewhere")
    }
    right = {name: np.ones(6, bool) for name in ("unchanged", *versions)}
    found = reliance.accuracy_changes(right)
    assert found["background"] == {}
    assert set(found["covers"]) == {"eyes_brows", "mouth"}
    with pytest.raises(ValueError, match="neither background nor outside"):
        reliance.changed(pixels, None, {"mouth": masks["mouth"]}, generator=np.random.default_rng(1))
