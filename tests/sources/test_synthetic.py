"""The synthetic source is an honest task: solvable from the expression, and from nothing else drawn."""

import dataclasses
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import ValidationError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from emotions.data.regions import REGIONS
from emotions.random_streams import numpy_stream
from emotions.sources import synthetic
from emotions.sources.drawing import SIZE, Appearance, appearance, draw
from emotions.sources.knobs import SyntheticParams
from emotions.sources.sample import Sample, SourceError
from emotions.sources.synthetic import Planned
from emotions.taxonomy import BASIC, RAFCE_COUNTS, SPLITS, ClassSet, compound_classes

FOLDER = ROOT / "data/raw/synthetic"
STUDY = SyntheticParams(seed=0, train=800, val=250, test=250, basic=800)
TINY = SyntheticParams(seed=0, train=20, val=11, test=11, basic=16)
BACKGROUND = REGIONS.index("background")


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    """The compound faces that a model learns from and is validated on, at the default sizes."""
    params = STUDY.model_copy(update={"test": 0, "basic": 0})
    return list(synthetic.read(FOLDER, "rafdb11", params)[1])


def picture(sample: Sample) -> NDArray[np.uint8]:
    return cv2.imdecode(np.frombuffer(sample.content, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


def region_map(sample: Sample) -> NDArray[np.uint8]:
    assert sample.regions is not None
    return cv2.imdecode(np.frombuffer(sample.regions, np.uint8), cv2.IMREAD_UNCHANGED)


def logistic(strength: float = 1.0) -> Pipeline:
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000, tol=1e-2, C=strength))


def val_accuracy(samples: list[Sample], features: NDArray[np.float64], strength: float) -> float:
    labels = np.array([s.label for s in samples])
    train = np.array([s.split == "train" for s in samples])
    return float(
        logistic(strength).fit(features[train], labels[train]).score(features[~train], labels[~train])
    )


def majority_share(samples: list[Sample]) -> float:
    labels = Counter(s.label for s in samples if s.split == "val")
    return max(labels.values()) / labels.total()


# --- an honest task ---------------------------------------------------------------------------------------


def test_true_action_units_tell_the_compound_emotions_apart() -> None:
    prototypes = synthetic.load_prototypes(FOLDER)
    table: dict[str, tuple[list[list[float]], list[str]]] = {split: ([], []) for split in SPLITS}
    for face in synthetic.plan("rafdb11", STUDY):
        if face.role == "compound":
            table[face.split][0].append(list(synthetic.intensities(face, prototypes, STUDY.seed).values()))
            table[face.split][1].append(face.label)
    accuracy = logistic().fit(*table["train"]).score(*table["val"])
    assert accuracy >= 0.90


def test_raw_pixels_do_badly_but_are_not_useless(samples: list[Sample]) -> None:
    def shrink(sample: Sample) -> NDArray[np.uint8]:
        grey = cv2.cvtColor(picture(sample), cv2.COLOR_RGB2GRAY)
        return cv2.resize(grey, (32, 32), interpolation=cv2.INTER_AREA).ravel()

    accuracy = val_accuracy(samples, np.stack([shrink(s) for s in samples]) / 255.0, strength=0.01)
    assert majority_share(samples) < accuracy < 0.40


@pytest.mark.parametrize("strength", [0.01, 0.0003])
def test_the_background_alone_is_at_chance(samples: list[Sample], strength: float) -> None:
    def background(sample: Sample) -> NDArray[np.float64]:
        """The upper 60 %: below it the outline of a dropped jaw is expression, not background."""
        top = SIZE * 6 // 10
        shown, outside = picture(sample)[:top], region_map(sample)[:top] == BACKGROUND
        masked = np.where(outside[..., None], shown, 128).astype(np.uint8)
        small = cv2.resize(masked, (16, 10), interpolation=cv2.INTER_AREA)
        return np.concatenate([shown[outside].mean(0), shown[outside].std(0), small.ravel()])

    accuracy = val_accuracy(samples, np.stack([background(s) for s in samples]), strength)
    chance, n = majority_share(samples), sum(s.split == "val" for s in samples)
    assert accuracy <= chance + 2.58 * np.sqrt(chance * (1 - chance) / n)


@pytest.mark.parametrize("field", ["brightness", "yaw", "scale", "age", "texture_seed"])
def test_appearance_does_not_depend_on_the_emotion(field: str) -> None:
    prototypes = synthetic.load_prototypes(FOLDER)
    drawn = set()
    for label in (*compound_classes("rafce14"), *BASIC):
        rng = numpy_stream(0, "synthetic", "compound", "train", 7)
        synthetic.express(label, prototypes, rng)
        drawn.add(getattr(appearance(rng), field))
    assert len(drawn) == 1


# --- the shortcut: walls that tell the class in training alone --------------------------------------------

WALLS = SyntheticParams(seed=3, train=120, val=80, test=0, basic=16)


def walls(shortcut: float, split: str) -> list[Planned]:
    params = WALLS.model_copy(update={"shortcut": shortcut})
    return [f for f in synthetic.plan("rafdb11", params) if f.role == "compound" and f.split == split]


def test_walls_tell_the_class_in_training_and_are_shuffled_in_validation() -> None:
    assert all(face.wall == face.label for face in walls(1.0, "train"))
    val = walls(1.0, "val")
    assert Counter(face.wall for face in val) == Counter(face.label for face in val)
    shares = Counter(face.label for face in val)
    by_chance = sum((n / len(val)) ** 2 for n in shares.values())
    assert sum(face.wall == face.label for face in val) / len(val) < by_chance + 0.15
    assert not any(face.wall for split in ("train", "val") for face in walls(0.0, split))
    assert 0.3 < sum(bool(face.wall) for face in walls(0.5, "train")) / 120 < 0.7
    basic = synthetic.plan("rafdb11", WALLS.model_copy(update={"shortcut": 1.0}))
    assert not any(face.wall for face in basic if face.role == "basic")


def test_more_walls_keep_those_there_are_and_change_nothing_but_the_background() -> None:
    prototypes = synthetic.load_prototypes(FOLDER)
    some, all_ = walls(0.5, "train"), walls(1.0, "train")
    assert all(one.wall in ("", other.wall) for one, other in zip(some, all_, strict=True))
    for plain, walled in zip(walls(0.0, "train")[:4], all_[:4], strict=True):
        before, after = (synthetic.draw_face(f, prototypes, WALLS.seed) for f in (plain, walled))
        assert before.regions == after.regions
        assert before.action_units == after.action_units
        background = region_map(before) == BACKGROUND
        changed = np.abs(picture(before).astype(int) - picture(after)).max(-1)
        inside = cv2.erode((~background).astype(np.uint8), np.ones((9, 9), np.uint8)) > 0  # blurred edges
        assert changed[inside].max() <= 2
        assert changed[background].mean() > 20


def test_the_background_tells_the_class_where_training_has_walls_and_not_in_validation() -> None:
    """The known answer: who reads the background alone is right in training, at chance in validation."""
    params = WALLS.model_copy(update={"shortcut": 1.0})
    read = [s for s in synthetic.read(FOLDER, "rafdb11", params, workers=1)[1] if s.role == "compound"]
    colours = np.stack([np.median(picture(s)[region_map(s) == BACKGROUND], 0) for s in read])
    colours /= colours.sum(1, keepdims=True)  # whatever the light
    labels, splits = np.array([s.label for s in read]), np.array([s.split for s in read])
    train, val = splits == "train", splits == "val"
    model = logistic(100.0).fit(colours[train], labels[train])
    assert model.score(colours[train], labels[train]) > 0.8
    assert model.score(colours[val], labels[val]) < 0.35


# --- the same seed, the same faces ------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_bytes_for_any_number_of_workers() -> None:
    alone = list(synthetic.read(FOLDER, "rafdb11", TINY, workers=1)[1])
    together = list(synthetic.read(FOLDER, "rafdb11", TINY, workers=2)[1])
    assert alone == together


def test_another_seed_gives_other_pictures() -> None:
    def first(seed: int) -> Sample:
        return next(synthetic.read(FOLDER, "rafdb11", TINY.model_copy(update={"seed": seed}), workers=1)[1])

    assert first(0).content != first(1).content


def test_a_face_does_not_depend_on_how_many_others_are_drawn() -> None:
    prototypes = synthetic.load_prototypes(FOLDER)
    face = Planned("compound", "train", 3, "Happily_Surprised")
    alone = synthetic.draw_face(face, prototypes, seed=5)
    synthetic.draw_face(Planned("compound", "train", 2, "Sadly_Angry"), prototypes, seed=5)
    assert synthetic.draw_face(face, prototypes, seed=5) == alone


# --- who is drawn -----------------------------------------------------------------------------------------


@given(
    classes=st.sampled_from(["rafdb11", "rafce14"]), split=st.sampled_from(SPLITS), total=st.integers(0, 3000)
)
def test_class_counts_follow_the_shares_of_rafce(classes: ClassSet, split: str, total: int) -> None:
    counts = synthetic.compound_counts(classes, split, total)
    names = compound_classes(classes)
    published = {name: RAFCE_COUNTS[name][SPLITS.index(split)] for name in names}
    assert tuple(counts) == names
    assert sum(counts.values()) == total
    if total < len(names):
        return
    exact = {name: total * published[name] / sum(published.values()) for name in names}
    lifted = sum(share < 1 for share in exact.values())  # classes that only the minimum of one keeps
    assert all(counts[name] >= 1 for name in names)
    assert all(abs(counts[name] - exact[name]) < 1 + lifted for name in names)


def test_published_totals_give_the_published_counts() -> None:
    for at, split in enumerate(SPLITS):
        total = sum(counts[at] for counts in RAFCE_COUNTS.values())
        assert synthetic.compound_counts("rafce14", split, total) == {
            c: n[at] for c, n in RAFCE_COUNTS.items()
        }


@given(basic=st.integers(0, 1000))
def test_basic_faces_are_balanced_and_mostly_for_training(basic: int) -> None:
    faces = synthetic.plan("rafdb11", SyntheticParams(train=0, val=0, test=0, basic=basic))
    assert len(faces) == basic
    for split, share in zip(SPLITS, (0.75, 0.125, 0.125), strict=True):
        counts = Counter(f.label for f in faces if f.split == split)
        assert abs(counts.total() - share * basic) < 2
        assert max((counts[e] for e in BASIC), default=0) - min(counts[e] for e in BASIC) <= 1


def test_samples_say_what_they_are() -> None:
    total, faces = synthetic.read(FOLDER, "rafce14", TINY, workers=1)
    drawn = list(faces)
    assert total == len(drawn) == 58
    assert drawn[0].source_id == "compound_train_00000"
    assert drawn[-1].source_id == "basic_test_00001"
    assert len({s.source_id for s in drawn}) == len({s.group for s in drawn}) == total
    assert all(s.content.startswith(b"\x89PNG") for s in drawn)
    labels = [s.label for s in drawn if s.split == "train" and s.role == "compound"]
    assert labels != sorted(labels), "classes come mixed, so that the first n faces are a sample"


def test_action_units_are_written_as_a_coder_would() -> None:
    assert synthetic.coded({1: 0.5, 2: 0.3, 4: 0.2, 12: 0.21, 25: 0.0}, 0.2) == "1+2+12"
    assert synthetic.coded({1: 0.1}, 0.2) == "none"


# --- region maps ------------------------------------------------------------------------------------------


def test_every_region_is_present_and_the_map_fits_the_picture(samples: list[Sample]) -> None:
    maps = np.stack([region_map(s) for s in samples])
    assert maps.shape[1:] == picture(samples[0]).shape[:2] == (SIZE, SIZE)
    assert maps.max() < len(REGIONS)
    present = {name: (maps == at).any((1, 2)).mean() for at, name in enumerate(REGIONS)}
    assert present.pop("hair") > 0.88, "some are bald"
    assert min(present.values()) == 1.0


def test_brows_eyes_nose_and_mouth_follow_from_top_to_bottom(samples: list[Sample]) -> None:
    for sample in samples:
        regions = region_map(sample)
        heights = [
            np.nonzero(regions == REGIONS.index(r))[0].mean() for r in ("brows", "eyes", "nose", "mouth")
        ]
        assert heights == sorted(heights), sample.source_id


def test_eye_region_covers_the_whites_of_the_eyes() -> None:
    """Opening the eyes wide (5) bares white: what becomes brighter must lie in the mapped eyes."""
    person = plain_person(4)
    before, after = draw(person, {})[0].astype(int), draw(person, {5: 1.0})[0].astype(int)
    brighter = (after - before).min(-1) > 40
    eyes = draw(person, {5: 1.0})[1] == REGIONS.index("eyes")
    assert brighter.sum() > 10
    assert eyes[brighter].mean() > 0.95


# --- action units move what they should -------------------------------------------------------------------


def plain_person(seed: int) -> Appearance:
    """A random identity that faces the camera in even light."""
    person = appearance(np.random.default_rng(seed))
    return dataclasses.replace(
        person, roll=0.0, yaw=0.0, pitch=0.0, blur=0.0, noise=0.0, beard=0.0, glasses=False
    )


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    ("units", "regions"),
    [
        ((12,), ("mouth", "cheeks")),
        ((25,), ("mouth",)),
        ((1, 2), ("brows", "eyes")),
        ((4,), ("brows", "eyes")),
        ((5,), ("eyes",)),
        ((7,), ("eyes",)),
        ((9,), ("nose", "brows", "cheeks")),
        ((23,), ("mouth",)),
    ],
)
def test_a_unit_changes_the_picture_where_its_muscle_is(
    seed: int, units: tuple[int, ...], regions: tuple[str, ...]
) -> None:
    """Most of the change lies within 6 % of the picture's width of the named regions."""
    person = plain_person(seed)
    before, before_map = draw(person, {})
    after, after_map = draw(person, dict.fromkeys(units, 1.0))
    change = np.abs(after.astype(int) - before.astype(int)).sum(-1)
    wanted = np.isin(before_map, [REGIONS.index(r) for r in regions])
    wanted |= np.isin(after_map, [REGIONS.index(r) for r in regions])
    near = cv2.dilate(wanted.astype(np.uint8), np.ones((19, 19), np.uint8)) > 0
    assert change.sum() > 1000, "nothing moved"
    assert change[near].sum() > 0.85 * change.sum()
    assert near.mean() < 0.5, "the area must be small enough for the claim to mean something"


@pytest.mark.parametrize(
    ("unit", "region", "edge", "direction"),
    [
        (1, "brows", "top", -1),
        (2, "brows", "top", -1),
        (26, "mouth", "bottom", 1),
    ],
)
def test_units_move_their_part_the_right_way(unit: int, region: str, edge: str, direction: int) -> None:
    def height(units: dict[int, float]) -> int:
        rows = np.nonzero(draw(person, units)[1] == REGIONS.index(region))[0]
        return int(rows.min() if edge == "top" else rows.max())

    for seed in range(4):
        person = plain_person(seed)
        assert (height({unit: 1.0}) - height({})) * direction > 0


@pytest.mark.parametrize(("unit", "sign"), [(12, -1), (15, 1)])
def test_mouth_corners_rise_with_12_and_sink_with_15(unit: int, sign: int) -> None:
    def sag(units: dict[int, float]) -> float:
        """Height of the mouth's outer thirds below its middle, in pixels."""
        rows, columns = np.nonzero(draw(person, units)[1] == REGIONS.index("mouth"))
        aside = np.abs(columns - columns.mean()) / np.ptp(columns)
        return float(rows[aside > 0.35].mean() - rows[aside < 0.15].mean())

    for seed in range(4):
        person = plain_person(seed)
        assert (sag({unit: 1.0}) - sag({})) * sign > 2


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32), strength=st.floats(0, 1))
def test_any_person_can_make_any_face(seed: int, strength: float) -> None:
    units = dict.fromkeys(synthetic.ACTION_UNITS, strength)
    shown, regions = draw(appearance(np.random.default_rng(seed)), units)
    assert shown.shape == (SIZE, SIZE, 3)
    assert shown.dtype == regions.dtype == np.uint8
    assert shown.std() > 3


# --- errors -----------------------------------------------------------------------------------------------


def broken(tmp_path: Path, **changes: object) -> Path:
    content = yaml.safe_load((FOLDER / "action_units.yaml").read_text())
    (tmp_path / "action_units.yaml").write_text(yaml.safe_dump({**content, **changes}))
    return tmp_path


def test_a_missing_file_is_named_with_its_remedy(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"action_units\.yaml: not found.*git"):
        synthetic.read(tmp_path, "rafdb11", TINY)


@pytest.mark.parametrize("text", ["emotions: [", "", "- 1", "\x00"])
def test_a_file_that_is_no_table_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "action_units.yaml").write_text(text)
    with pytest.raises(SourceError, match=r"action_units\.yaml"):
        synthetic.read(tmp_path, "rafdb11", TINY)


@pytest.mark.parametrize(
    ("emotions", "message"),
    [
        ({"joy": {12: 1.0}}, "'joy'"),
        ({"happiness": {99: 1.0}}, "happiness: unknown action unit 99"),
        ({"happiness": {12: 1.5}}, r"emotions\.happiness\.12: .*less than or equal to 1"),
        ({"happiness": {12: "much"}}, r"emotions\.happiness\.12"),
        ({"happiness": None}, r"emotions\.happiness"),
    ],
)
def test_a_wrong_prototype_is_named(tmp_path: Path, emotions: dict[str, object], message: str) -> None:
    good = yaml.safe_load((FOLDER / "action_units.yaml").read_text())["emotions"]
    with pytest.raises(SourceError, match=message):
        synthetic.read(broken(tmp_path, emotions={**good, **emotions}), "rafdb11", TINY)


def test_a_missing_emotion_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="'surprise' is missing"):
        synthetic.read(broken(tmp_path, emotions={}), "rafdb11", TINY)


def test_a_range_upside_down_is_refused(tmp_path: Path) -> None:
    spreads = {
        "basic_strength": [0.9, 0.5],
        "component_strength": [0, 1],
        "unit_noise": 0.1,
        "active_above": 0.2,
    }
    with pytest.raises(SourceError, match=r"spreads\.basic_strength.*lower end"):
        synthetic.read(broken(tmp_path, spreads=spreads), "rafdb11", TINY)


@pytest.mark.parametrize("wrong", [{"train": -1}, {"extra": 1}])
def test_wrong_params_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        SyntheticParams.model_validate({"train": 1, "val": 1, "test": 1, "basic": 1, **wrong})
