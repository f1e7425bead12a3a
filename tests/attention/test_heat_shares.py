"""Shares of heat by area: counted by hand, with intervals that hold, and only where the map can tell."""

import numpy as np
import pytest
from scipy.stats import bootstrap

from emotions.attention import heat_shares
from emotions.attention.heat_shares import AREAS
from emotions.data.regions import REGIONS


def region_maps(*names: str) -> np.ndarray:
    """A 4 x 4 map an argument; each name fills a row."""
    return np.stack([np.repeat([[REGIONS.index(r)] for r in name.split()], 4, 1) for name in names]).astype(
        np.uint8
    )


def random_regions(images: int, side: int = 16) -> np.ndarray:
    return np.random.default_rng(0).integers(0, len(REGIONS), (images, side, side)).astype(np.uint8)


def test_shares_of_heat_and_area_are_those_counted_by_hand() -> None:
    regions = region_maps("hair eyes brows mouth", "hair hair eyes background")
    heat = np.zeros((2, 4, 4), np.float32)
    heat[0, 1] = 0.25  # eyes 1
    heat[0, 2] = 0.25  # brows 1
    heat[0, 3] = 0.5  # mouth 2
    heat[1, 0, 0] = 0.1  # all on hair
    found = heat_shares.summary(heat_shares.by_image(heat, heat_shares.area_masks(regions)))
    without = {area: {k: v for k, v in one.items() if k != "interval"} for area, one in found.items()}
    assert without == {
        "eyes_brows": pytest.approx({"heat": 0.25, "area": 3 / 8, "ratio": 2 / 3}),
        "mouth": pytest.approx({"heat": 0.25, "area": 1 / 8, "ratio": 2}),
        "hair": pytest.approx({"heat": 0.5, "area": 3 / 8, "ratio": 4 / 3}),
        "background": pytest.approx({"heat": 0, "area": 1 / 8, "ratio": 0}),
    }
    assert found["background"]["interval"] is None


def test_every_region_belongs_to_exactly_one_area_so_that_shares_add_up_to_one() -> None:
    assert sorted(r for members in AREAS.values() for r in members) == sorted(REGIONS)
    heat = np.random.default_rng(1).random((3, 16, 16)).astype(np.float32)
    found = heat_shares.by_image(heat, heat_shares.area_masks(random_regions(3)))
    assert found.heat.sum(1) == pytest.approx(1)
    assert found.area.sum(1) == pytest.approx(1)


def test_even_heat_has_no_preference() -> None:
    even = heat_shares.by_image(
        np.full((3, 16, 16), 0.3, np.float32), heat_shares.area_masks(random_regions(3))
    )
    assert all(s["ratio"] == pytest.approx(1, rel=1e-4) for s in heat_shares.summary(even).values())


def test_empty_maps_count_neither_as_heat_nor_as_area() -> None:
    regions = region_maps("mouth mouth mouth mouth", "hair hair hair eyes")
    heat = np.zeros((2, 4, 4), np.float32)
    heat[1] = 1
    found = heat_shares.by_image(heat, heat_shares.area_masks(regions))
    assert found.kept.tolist() == [False, True]
    assert set(heat_shares.summary(found)) == {"hair", "eyes_brows"}
    assert heat_shares.summary(found)["hair"]["heat"] == pytest.approx(0.75)
    assert (
        heat_shares.summary(heat_shares.by_image(np.zeros_like(heat), heat_shares.area_masks(regions))) == {}
    )


def test_the_centre_is_the_middle_sixty_percent_of_the_side() -> None:
    heat = np.zeros((2, 10, 10), np.float32)
    heat[0, 2:8, 2:8] = 1  # all in the centre
    heat[1, 1, 1] = 0.5  # all in the border
    found = heat_shares.summary(heat_shares.by_image(heat, heat_shares.centre_masks(2, 10)))
    assert found["centre"]["heat"] == pytest.approx(0.5)
    assert found["centre"]["area"] == pytest.approx(0.36)
    assert found["border"]["ratio"] == pytest.approx(0.5 / 0.64)


def drawn(images: int, generator: np.random.Generator) -> heat_shares.HeatShares:
    """Heat and area of one part, the heat twice the area on average; both vary."""
    area = generator.uniform(0.05, 0.15, (images, 1))
    heat = area * generator.gamma(4, 0.5, (images, 1))
    return heat_shares.HeatShares(("part",), heat, area, np.ones(images, bool))


def test_the_interval_of_a_ratio_is_that_of_the_bootstrap_and_covers_the_truth() -> None:
    generator = np.random.default_rng(0)
    one = drawn(250, generator)
    found = heat_shares.summary(one)["part"]
    heat, area = one.of("part")
    resampled = bootstrap(
        (heat, area),
        lambda h, a, axis: h.sum(axis) / a.sum(axis),
        paired=True,
        vectorized=True,
        method="percentile",
        rng=np.random.default_rng(1),
    )
    assert found["interval"] == pytest.approx(list(resampled.confidence_interval), abs=0.02)
    covered = 0
    for _ in range(1000):
        low, high = heat_shares.summary(drawn(40, generator))["part"]["interval"]
        covered += low <= 2 <= high
    assert 0.92 < covered / 1000 < 0.97


def test_differences_between_groups_have_the_sign_and_interval_of_what_was_put_in() -> None:
    generator = np.random.default_rng(0)
    one, other = drawn(200, generator), drawn(200, generator)
    heat = np.vstack([2 * one.heat, other.heat])
    both = heat_shares.HeatShares(("part",), heat, np.vstack([one.area, other.area]), np.ones(400, bool))
    first = np.arange(400) < 200
    found = heat_shares.difference(both, "part", first=first, second=~first)
    assert found["difference"] == pytest.approx(2, abs=0.3)
    assert found["interval"][0] > 1
    assert found["images"] == [200, 200]
    few = np.arange(400) < heat_shares.FEWEST - 1
    assert heat_shares.difference(both, "part", first=few, second=~few) is None
    covered = 0
    for _ in range(500):
        null = drawn(80, generator)
        half = np.arange(80) < 40
        low, high = heat_shares.difference(null, "part", first=half, second=~half)["interval"]
        covered += low <= 0 <= high
    assert 0.91 < covered / 500 < 0.98


def test_more_heat_where_the_coded_unit_is_is_found_and_images_without_code_are_left_out() -> None:
    generator = np.random.default_rng(0)
    one = drawn(200, generator)
    active = np.arange(200) % 2 == 0
    heat = np.where(active[:, None], 3 * one.heat, one.heat)
    found = heat_shares.HeatShares(("mouth",), heat, one.area, np.ones(200, bool))
    coded = np.where(active, "L12+25", "none").tolist()
    agreement = heat_shares.unit_agreement(found, coded)
    assert set(agreement["units"]) == {"12", "25"}
    assert agreement["units"]["12"]["difference"] == pytest.approx(4, abs=0.5)
    assert agreement["all"]["interval"][0] > 3
    assert heat_shares.unit_agreement(found, [""] * 200) is None
    assert heat_shares.unit_agreement(found, ["1"] * 200) is None
    uncoded = [units if i < 100 else "" for i, units in enumerate(coded)]
    assert heat_shares.unit_agreement(found, uncoded)["units"]["12"]["images"] == [50, 50]


def test_units_are_read_with_side_and_prefix() -> None:
    listed = [number for numbers in heat_shares.UNITS.values() for number in numbers]
    assert len(listed) == len(set(listed))
    assert set(heat_shares.UNITS) <= set(AREAS)


def face_like() -> dict[str, np.ndarray]:
    """Two small areas four cells of a 12 x 12 grid apart, and the rest; 96 px."""
    masks = {name: np.zeros((3, 96, 96), bool) for name in ("upper", "lower")}
    masks["upper"][:, 24:32, 40:56] = True
    masks["lower"][:, 64:72, 40:56] = True
    return masks | {"rest": ~(masks["upper"] | masks["lower"])}


def test_a_fine_grid_tells_two_small_areas_apart_and_a_coarse_one_does_not() -> None:
    fine = heat_shares.resolution(face_like(), 12)
    assert set(heat_shares.resolvable(fine)) >= {"upper", "lower"}
    assert fine["upper"]["itself"] > 5 * fine["upper"]["elsewhere"]
    for grid in (1, 2, 3):
        assert not {"upper", "lower"} & set(heat_shares.resolvable(heat_shares.resolution(face_like(), grid)))


def test_an_ideal_map_of_a_part_that_fills_whole_cells_has_all_its_heat_there_and_around() -> None:
    mask = np.zeros((1, 96, 96), bool)
    mask[:, 32:48, 32:48] = True
    ideal = heat_shares.ideal_maps(mask, 12)
    assert ideal.max() == ideal[0, 36:44, 36:44].max() == pytest.approx(4 / 9)
    assert ideal[0, :20].max() == 0
    assert ideal[0, 60:].max() == 0


def test_a_map_that_random_weights_give_too_is_told_from_one_they_do_not() -> None:
    generator = np.random.default_rng(0)
    masks = {"left": np.zeros((60, 8, 8), bool)}
    masks["left"][:, :, :4] = True
    masks["right"] = ~masks["left"]
    noise = generator.random((60, 8, 8))
    left = np.where(masks["left"], noise + 2, noise)
    other = generator.random((60, 8, 8))
    found = heat_shares.against(left, other, masks)
    assert found["left"]["interval"][0] > 0
    assert found["left"]["ratio"] == pytest.approx(1, abs=0.1)
    assert found["right"]["interval"][1] < 0
    same = heat_shares.against(noise, generator.permutation(noise), masks)
    assert same["left"]["interval"][0] < 0 < same["left"]["interval"][1]


def test_the_mean_map_weighs_images_alike_however_hot_they_are_and_is_one_where_heat_is_even() -> None:
    heat = np.zeros((3, 8, 8), np.float32)
    heat[0] = 1
    heat[1, :4] = 0.01
    mean = heat_shares.mean_map(heat, 2)
    assert mean == pytest.approx(np.array([[1.5, 1.5], [0.5, 0.5]]))
    assert heat_shares.mean_map(np.zeros((2, 8, 8)), 2).sum() == 0


def test_where_nothing_can_be_told_apart_there_are_no_shares_and_no_error() -> None:
    found = heat_shares.by_image(np.ones((3, 8, 8)), {})
    assert found.heat.shape == (3, 0)
    assert heat_shares.summary(found) == {}
    assert heat_shares.unit_agreement(found, ["12", "none", ""]) is None
    assert heat_shares.against(np.ones((3, 8, 8)), np.ones((3, 8, 8)), {}) == {}
