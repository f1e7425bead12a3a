"""Controls of a fine-tuned body: known answers from arithmetic, and from a network whose filters are planted.

The planted network tells gratings apart by construction, without training: its stem holds filters of three
orientations, and every later block passes on their local means.
"""

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import rounding
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.stats import ortho_group
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torchvision.models import ResNet
from torchvision.models.resnet import BasicBlock

from emotions import inference
from emotions.data.dataset import Split
from emotions.data.manifest import Row
from emotions.evidence import probing
from emotions.evidence.knobs import ProbeParams
from emotions.evidence.probing import BODY
from emotions.model import resnet
from emotions.model.preprocessing import normalise, to_float
from emotions.model.resnet import DropoutLinear

CPU = torch.device("cpu")
CLASSES = ("Sadly_Fearful", "Sadly_Angry", "Sadly_Surprised")
GRID = [1e-4, 1e-3, 1e-2, 1e-1]
Features = dict[resnet.Part, np.ndarray]
pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.filterwarnings("error::RuntimeWarning")]


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Many small tests beside other work: one thread each is faster than two that wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def as_split(pixels: np.ndarray, labels: np.ndarray) -> Split:
    """pixels: uint8 [N, 3, H, W]."""
    rows = [
        Row(f"{i}.png", CLASSES[c], "compound", "train", "", "", "", "", str(i)) for i, c in enumerate(labels)
    ]
    return Split(rows, CLASSES, torch.from_numpy(pixels), torch.from_numpy(labels), "")


def grating(size: int, orientation: int, phase: float) -> np.ndarray:
    """A wave of 5 pixels in one of three orientations, values in [-1, 1]."""
    angle = orientation * math.pi / 3
    y, x = np.mgrid[:size, :size]
    return np.cos(2 * math.pi * (x * math.cos(angle) + y * math.sin(angle)) / 5 + phase)


def gratings(images: int, seed: int) -> Split:
    """Faint gratings in noise; the class is the orientation and the phase says nothing."""
    rng = np.random.default_rng(seed)
    labels = np.arange(images) % 3
    waves = np.stack([grating(64, c, rng.uniform(0, 2 * math.pi)) for c in labels])
    pixels = 128 + 8 * waves[:, None] + 40 * rng.standard_normal((images, 3, 64, 64))
    return as_split(pixels.clip(0, 255).astype(np.uint8), labels)


@torch.no_grad()
def planted() -> ResNet:
    """A shallow ResNet with filters for gratings in its stem; the rest hands on what they find."""
    model = ResNet(BasicBlock, [1, 1, 1, 1], num_classes=3)
    model.fc = DropoutLinear(512, 3, 0.0)
    rng = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        if parameter.ndim == 4:
            parameter.normal_(std=0.01, generator=rng)
    filters = [grating(7, c, phase * math.pi / 2) for c in range(3) for phase in range(4)]
    for number, values in enumerate(filters):
        model.conv1.weight[number] = torch.from_numpy(values - values.mean()) / 49
    own = torch.arange(len(filters))
    for name in ("layer2", "layer3", "layer4"):
        (block,) = getattr(model, name)
        block.conv1.weight[own, own] = 1 / 9
        block.conv2.weight[own, own, 1, 1] = 1
    return model.eval()


@torch.no_grad()
def shuffled(model: ResNet) -> ResNet:
    """The same weights in other places, head untouched."""
    rng = torch.Generator().manual_seed(0)
    for name, parameter in model.named_parameters():
        if not name.startswith("fc."):
            parameter.copy_(
                parameter.flatten()[torch.randperm(parameter.numel(), generator=rng)].view_as(parameter)
            )
    return model


def features_of(model: ResNet, split: Split, batch_size: int = 50) -> Features:
    return probing.outputs(model, split, batch_size, device=CPU, dtype=torch.float32).features


@dataclass(frozen=True)
class Body:
    """Features on the test images and state of a body, and its linear probe."""

    state: dict[str, torch.Tensor]
    test: Features
    probe: probing.Probe


TRAIN, VAL, TEST = gratings(90, 1), gratings(60, 2), gratings(150, 3)
LABELS = TEST.labels.numpy()


def examined(model: ResNet) -> Body:
    train, val, test = (features_of(model, split) for split in (TRAIN, VAL, TEST))
    probe = probing.linear_probe(
        (train["layer4"], TRAIN.labels.numpy()),
        (val["layer4"], VAL.labels.numpy()),
        test["layer4"],
        classes=3,
        regularisation=GRID,
    )
    return Body(resnet.snapshot(model), test, probe)


@pytest.fixture(scope="module")
def original() -> Body:
    return examined(planted())


@pytest.fixture(scope="module")
def destroyed() -> Body:
    return examined(shuffled(planted()))


@pytest.fixture(scope="module")
def source_head() -> tuple[torch.Tensor, torch.Tensor]:
    """The planted network's own head, fitted on images of which no test sees one: weight and bias."""
    images = gratings(150, 4)
    features = features_of(planted(), images)["layer4"].astype(np.float64)
    head = LogisticRegression(C=1e6, max_iter=10_000).fit(features, images.labels.numpy())
    return torch.from_numpy(head.coef_), torch.from_numpy(head.intercept_)


@pytest.fixture(scope="module")
def network() -> ResNet:
    """A ResNet-50 whose batch norms have statistics of their own; not to be changed."""
    model = resnet.build(3, 0.5, seed=0)
    generator = torch.Generator().manual_seed(0)
    for name, values in model.state_dict().items():
        if name.endswith("running_mean"):
            values.uniform_(-0.1, 0.1, generator=generator)
        elif name.endswith("running_var"):
            values.uniform_(0.5, 1.5, generator=generator)
        elif name.endswith("num_batches_tracked"):
            values.fill_(7)
    return model


@pytest.fixture(scope="module")
def small() -> Split:
    return as_split(np.random.default_rng(0).integers(0, 256, (5, 3, 32, 32), np.uint8), np.arange(5) % 3)


# Features


def test_the_head_gets_its_logits_from_the_last_of_the_pooled_features(network: ResNet, small: Split) -> None:
    rows = torch.arange(5)
    logits, pooled = probing.outputs(network, small, 2, device=CPU, dtype=torch.float32)
    known = inference.predict_logits(network, small, rows, batch_size=2, device=CPU, dtype=torch.float32)
    assert torch.equal(logits, known)
    head = torch.from_numpy(pooled[probing.PENULTIMATE]) @ network.fc.weight.T + network.fc.bias
    torch.testing.assert_close(head, logits, rtol=0, atol=rounding(logits))
    state = resnet.snapshot(network)
    right = probing.source_accuracy(
        pooled[probing.PENULTIMATE], state["fc.weight"], state["fc.bias"], labels=small.labels.numpy()
    )
    assert right.tolist() == (logits.argmax(1) == small.labels).tolist()
    assert {p: x.shape for p, x in pooled.items()} == {
        "stem": (5, 64),
        "layer1": (5, 256),
        "layer2": (5, 512),
        "layer3": (5, 1024),
        "layer4": (5, 2048),
    }
    assert {x.dtype for x in pooled.values()} == {np.dtype(np.float32)}


def test_the_stem_ends_with_its_pooling_and_each_layer_starts_from_there(
    network: ResNet, small: Split
) -> None:
    pooled = features_of(network, small)
    with torch.inference_mode():
        x = normalise(to_float(small.images))
        x = network.maxpool(F.relu(network.bn1(network.conv1(x))))
        for part in BODY:
            x = x if part == "stem" else getattr(network, part)(x)
            np.testing.assert_allclose(pooled[part], x.mean((2, 3)).numpy(), atol=rounding(pooled[part]))


def test_features_of_an_image_do_not_depend_on_the_others_nor_on_the_mode_before(
    network: ResNet, small: Split
) -> None:
    statistics = resnet.snapshot(network)
    network.train()
    alone = features_of(network, small.subset(np.array([4, 1])), 1)
    together = features_of(network, small)
    for part in BODY:
        np.testing.assert_allclose(alone[part], together[part][[4, 1]], atol=rounding(together[part]))
    assert all(torch.equal(v, statistics[k]) for k, v in network.state_dict().items())


def test_no_hook_stays_even_when_an_image_fails(small: Split) -> None:
    model = planted()
    features_of(model, small)
    broken = replace(small, images=small.images[:4])
    with pytest.raises(IndexError):
        features_of(model, broken, 1)
    assert not [m for m in model.modules() if m._forward_hooks]


def test_pooling_is_not_rounded_to_the_precision_of_the_products(small: Split) -> None:
    pooled = probing.outputs(planted(), small, 5, device=CPU, dtype=torch.bfloat16).features["stem"]
    seen = pooled[pooled != 0]
    assert len(seen) and (torch.from_numpy(seen).bfloat16().float().numpy() != seen).mean() > 0.9


# Linear probe


def noisy(
    images: int, seed: int, features: int, classes: int = 4, signal: float = 0.4
) -> tuple[np.ndarray, np.ndarray]:
    """Features of very different scale of which the first `classes` lean towards the class."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, images)
    x = rng.standard_normal((images, features))
    x[np.arange(images), labels] += signal * 10
    return (x * np.geomspace(0.01, 100, features) + 3).astype(np.float32), labels


@pytest.mark.parametrize(
    "features", [20, 300], ids=["fewer features than images", "more features than images"]
)
@pytest.mark.parametrize("c", [1e-2, 1e-1, 1.0])
def test_the_probe_is_the_logistic_regression_on_standardised_features(features: int, c: float) -> None:
    train, val, test = (noisy(n, seed, features, signal=0.15) for n, seed in ((120, 0), (40, 1), (200, 2)))
    probe = probing.linear_probe(train, val, test[0], classes=4, regularisation=[c])
    plain = make_pipeline(StandardScaler(), LogisticRegression(C=c, tol=1e-8, max_iter=10_000))
    plain.fit(train[0].astype(np.float64), train[1])
    assert (probe.predicted == plain.predict(test[0].astype(np.float64))).mean() >= 0.995
    expected = plain.score(val[0].astype(np.float64), val[1])
    assert probe.val_accuracy == pytest.approx(expected, abs=1.01 / 40)  # an image on the border
    assert probe.converged
    assert 0.3 < (probe.predicted == test[1]).mean() < 0.95  # neither a trivial nor a hopeless task


def test_validation_chooses_the_penalty() -> None:
    train, test = noisy(60, 0, 200, signal=0.1), noisy(200, 2, 200, signal=0.1)
    val = noisy(200, 1, 200, signal=0.1)
    each = {
        c: probing.linear_probe(train, val, test[0], classes=4, regularisation=[c]) for c in (1e-6, *GRID)
    }
    scores = {c: probe.val_accuracy for c, probe in each.items()}
    best = max(scores.values())
    chosen = probing.linear_probe(train, val, test[0], classes=4, regularisation=[*GRID[::-1], 1e-6])
    assert len(set(scores.values())) > 1
    assert chosen.val_accuracy == best
    assert chosen.regularisation == min(c for c, score in scores.items() if score == best)
    assert (chosen.predicted == each[chosen.regularisation].predicted).mean() > 0.99


@pytest.mark.parametrize("grid", [[1e-2, 1.0, 10.0], [10.0, 1.0, 1e-2]])
def test_of_equally_good_penalties_the_strongest_is_chosen(grid: list[float]) -> None:
    train, val = noisy(80, 0, 6, signal=5), noisy(40, 1, 6, signal=5)
    probe = probing.linear_probe(train, val, val[0], classes=4, regularisation=grid)
    assert (probe.val_accuracy, probe.regularisation) == (1, 1e-2)


def test_a_class_without_training_images_is_never_predicted_and_shifts_no_other() -> None:
    (x, labels), (x_test, truth) = noisy(200, 0, 10, signal=1), noisy(300, 1, 10, signal=1)
    seen = labels != 1
    probe = probing.linear_probe((x[seen], labels[seen]), (x, labels), x_test, classes=4, regularisation=GRID)
    assert set(probe.predicted) == {0, 2, 3}
    assert (probe.predicted == truth)[truth != 1].mean() > 0.95
    assert probe.val_accuracy < 0.85  # a quarter of the validation images is of that class


def test_what_is_said_of_a_test_image_does_not_depend_on_the_other_test_images() -> None:
    train, val, (test, _) = noisy(60, 0, 100), noisy(60, 1, 100), noisy(100, 2, 100)
    test[50:] *= 1000
    whole = probing.linear_probe(train, val, test, classes=4, regularisation=GRID).predicted
    assert (
        whole[:50].tolist()
        == probing.linear_probe(train, val, test[:50], classes=4, regularisation=GRID).predicted.tolist()
    )


def test_labels_that_are_no_class_are_an_error() -> None:
    train = noisy(60, 0, 10)
    with pytest.raises(ValueError, match="3 classes"):
        probing.linear_probe(train, train, train[0], classes=3, regularisation=GRID)


def test_a_fit_that_stops_before_its_optimum_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(probing, "MAX_ITERATIONS", 1)
    train = noisy(60, 0, 10)
    assert not probing.linear_probe(train, train, train[0], classes=4, regularisation=GRID).converged
    assert "C = 0.1" in caplog.text


@pytest.mark.parametrize("grid", [[], [0.0], [1.0, -1.0]])
def test_a_penalty_is_given_and_positive(grid: list[float]) -> None:
    with pytest.raises(ValidationError):
        ProbeParams(regularisation=grid)


def test_the_scores_of_a_probe_are_those_counted_by_hand() -> None:
    labels, said = np.array([0] * 8 + [1] * 2), np.array([0] * 6 + [1] * 2 + [1, 2])
    scores = probing.probe_scores(labels, said, ("a", "b", "c"))
    assert (scores["images"], scores["accuracy"]) == (10, 0.7)
    # a: 6 of 8 true, 6 said; b: 1 of 2 true, 3 said; c: never true, so its F1 is 0
    assert scores["macro_f1"] == pytest.approx((2 * 6 / 14 + 2 * 1 / 5) / 3)
    assert [scores["per_class"][c]["recall"] for c in "abc"] == [0.75, 0.5, None]
    assert [scores["per_class"][c]["support"] for c in "abc"] == [8, 2, 0]
    assert scores["per_class"]["c"]["interval"] is None
    # Wilson: 1/2 has [0.0945, 0.9055], 7/10 has [0.3968, 0.8922]
    assert scores["per_class"]["b"]["interval"] == pytest.approx([0.0945, 0.9055], abs=1e-4)
    assert scores["interval"] == pytest.approx([0.3968, 0.8922], abs=1e-4)


# CKA


def hsic_by_sums(x: np.ndarray, y: np.ndarray) -> float:
    """The unbiased estimator of HSIC as a mean over all ordered quadruples of different images (Song et al.
    2012)."""
    k, m = x @ x.T, y @ y.T
    terms = [
        k[i, j] * (m[i, j] + m[q, r] - 2 * m[i, q]) for i, j, q, r in itertools.permutations(range(len(x)), 4)
    ]
    return float(np.mean(terms))


@given(st.integers(0, 10**6), st.integers(4, 7), st.integers(1, 5), st.integers(1, 5))
@settings(max_examples=25)
def test_the_debiased_cka_is_the_ratio_of_explicit_sums(seed: int, n: int, p: int, q: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((n, p)) + 2, rng.standard_normal((n, q))
    y[:, 0] += x[:, 0]
    expected = hsic_by_sums(x, y) / math.sqrt(hsic_by_sums(x, x) * hsic_by_sums(y, y))
    assert probing.debiased_cka(x, y) == pytest.approx(expected, abs=1e-8)


@given(st.integers(0, 10**6), st.floats(1e-3, 1e3), st.floats(-1e5, 1e5))
@settings(max_examples=20)
def test_rotating_scaling_and_shifting_features_changes_no_cka(seed: int, scale: float, shift: float) -> None:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((20, 6))
    y = rng.standard_normal((20, 9)) + x[:, :1]
    turned = scale * x @ ortho_group.rvs(6, random_state=rng) + scale * shift
    assert probing.debiased_cka(turned, y) == pytest.approx(probing.debiased_cka(x, y), abs=1e-7)
    assert probing.debiased_cka(turned, x) == pytest.approx(1)


def test_stretching_single_features_changes_the_cka() -> None:
    x = np.random.default_rng(0).standard_normal((50, 10))
    cka = probing.debiased_cka(x, x * np.array([30] + [1] * 9))
    assert cka is not None and cka < 0.7


def test_independent_features_have_a_cka_of_zero_where_the_biased_one_is_near_one() -> None:
    rng = np.random.default_rng(0)
    estimates, biased = [], []
    for _ in range(60):
        x, y = rng.standard_normal((2, 20, 400))
        estimates.append(probing.debiased_cka(x, y))
        k, m = (z @ z.T for z in (x - x.mean(0), y - y.mean(0)))
        biased.append((k * m).sum() / (np.linalg.norm(k) * np.linalg.norm(m)))
    error = np.std(estimates) / math.sqrt(60)
    assert abs(np.mean(estimates)) < 3 * error < 0.05
    assert np.mean(biased) > 0.9


@pytest.mark.parametrize(
    "x",
    [
        np.full((10, 3), 0.1) * [1, 7, 1e3],
        np.zeros((10, 3)),
        np.eye(10)[:, :1],
        np.random.default_rng(0).standard_normal((3, 5)),
        np.random.default_rng(0).standard_normal((2, 5)),
    ],
    ids=["constant", "zero", "one image differs", "three images", "two images"],
)
def test_where_there_is_nothing_to_compare_the_cka_is_undefined(x: np.ndarray) -> None:
    y = np.random.default_rng(1).standard_normal((len(x), 4))
    assert probing.debiased_cka(x, y) is None
    assert probing.debiased_cka(y, x) is None


# Change of weights


def test_frozen_parts_have_not_moved_and_trained_ones_have(network: ResNet) -> None:
    model = resnet.build(3, 0.0, seed=0)
    resnet.freeze(model, ["layer4", "head"])
    resnet.train_mode(model)
    before = resnet.snapshot(model)
    optimizer = torch.optim.SGD(resnet.parameter_groups(model, 0.1, 0.1))
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    F.cross_entropy(model(images), torch.tensor([0, 1, 2, 0])).backward()
    optimizer.step()
    for change in (probing.weight_change, probing.statistics_change):
        moved = change(before, resnet.snapshot(model))
        assert list(moved) == list(BODY)
        assert [moved[part] for part in BODY[:-1]] == [0, 0, 0, 0]
        assert moved["layer4"] > 0


def changed(state: dict[str, torch.Tensor], change: Callable[[str], bool], factor: float) -> dict:
    return {k: v * factor if change(k) else v for k, v in state.items()}


def test_the_change_is_relative_to_the_size_of_the_part(network: ResNet) -> None:
    state = resnet.snapshot(network)
    scaled = changed(state, lambda k: k.startswith("layer2."), 1.1)
    assert probing.weight_change(state, scaled) == pytest.approx(dict.fromkeys(BODY, 0) | {"layer2": 0.1})
    assert probing.statistics_change(state, scaled) == pytest.approx(dict.fromkeys(BODY, 0) | {"layer2": 0.1})
    stem = {k: v.double() for k, v in state.items() if k in ("conv1.weight", "bn1.weight", "bn1.bias")}
    shares = changed(state, lambda k: k == "bn1.weight", 2)
    expected = stem["bn1.weight"].norm() / torch.cat([v.flatten() for v in stem.values()]).norm()
    assert probing.weight_change(state, shares)["stem"] == pytest.approx(expected.item())
    assert probing.weight_change(shares, state)["stem"] < expected  # relative to the first


def test_weights_and_statistics_are_counted_apart_and_the_head_nowhere(network: ResNet) -> None:
    state = resnet.snapshot(network)
    passed = changed(state, lambda k: "running" in k or "num_batches" in k or k.startswith("fc."), 3)
    assert set(probing.weight_change(state, passed).values()) == {0}
    assert probing.statistics_change(state, passed) == pytest.approx(dict.fromkeys(BODY, 2))
    counted = changed(state, lambda k: "num_batches" in k, 3)
    assert set(probing.statistics_change(state, counted).values()) == {0}
    without_head = {k: v for k, v in state.items() if not k.startswith("fc.")}
    assert set(probing.weight_change(without_head, state).values()) == {0}


# Retention, and probes compared


def right(*runs: tuple[int, bool]) -> np.ndarray:
    return np.concatenate([np.full(n, value) for n, value in runs])


def test_the_change_counts_images_won_minus_images_lost() -> None:
    before, after = right((80, True), (20, False)), right((50, True), (30, False), (4, True), (16, False))
    result = probing.retention(before, after, majority=0.25)
    assert list(result) == [
        "images",
        "before",
        "after",
        "majority",
        "measurable",
        "difference",
        "interval",
        "p",
    ]
    assert (result["images"], result["before"], result["after"]) == (100, 0.8, 0.54)
    assert result["measurable"] is True
    assert result["difference"] == pytest.approx(-0.26)
    low, high = result["interval"]
    assert -0.4 < low < -0.26 < high < -0.1
    # two-sided binomial: at most 4 or at least 30 of 34 with probability 1/2 each
    assert result["p"] == pytest.approx(2 * sum(math.comb(34, k) for k in range(5)) / 2**34)


def test_a_source_task_never_learned_cannot_be_forgotten() -> None:
    # Wilson's 95 % interval of 30/100 is [0.2189, 0.3958]
    before = right((30, True), (70, False))
    result = probing.retention(before, np.zeros(100, bool), majority=0.22)
    assert result == {"images": 100, "before": 0.3, "after": 0.0, "majority": 0.22, "measurable": False}
    assert probing.retention(before, ~before, majority=0.2185)["measurable"] is True


@pytest.mark.parametrize(
    ("lost", "won", "distorted"),
    [(30, 5, True), (5, 30, False), (6, 5, False), (0, 0, False)],
    ids=["worse", "better", "no evidence", "the same"],
)
def test_features_are_distorted_where_their_probe_is_worse_beyond_chance(
    lost: int, won: int, distorted: bool
) -> None:
    pretrained = right((60, True), (40, False))
    finetuned = right((lost, False), (60 - lost, True), (won, True), (40 - won, False))
    result = probing.probe_comparison(pretrained, finetuned)
    assert list(result) == ["pretrained", "finetuned", "difference", "interval", "p", "distorted"]
    assert (result["pretrained"], result["finetuned"]) == (0.6, (60 - lost + won) / 100)
    assert result["difference"] == pytest.approx((won - lost) / 100)
    assert result["interval"][0] <= result["difference"] <= result["interval"][1]
    assert result["distorted"] is distorted


# A network whose answers are known


def test_the_planted_network_knows_its_task(
    original: Body, source_head: tuple[torch.Tensor, torch.Tensor]
) -> None:
    assert (original.probe.predicted == LABELS).mean() > 0.85
    assert probing.source_accuracy(original.test["layer4"], *source_head, labels=LABELS).mean() > 0.85


def test_a_destroyed_body_is_dissimilar_distorted_and_has_forgotten(
    original: Body, destroyed: Body, source_head: tuple[torch.Tensor, torch.Tensor]
) -> None:
    similarity = [probing.debiased_cka(original.test[part], destroyed.test[part]) for part in BODY]
    assert all(cka is not None and cka < 0.5 for cka in similarity)
    probes = probing.probe_comparison(original.probe.predicted == LABELS, destroyed.probe.predicted == LABELS)
    assert probes["distorted"] and probes["finetuned"] < 0.6
    before, after = (
        probing.source_accuracy(body.test["layer4"], *source_head, labels=LABELS)
        for body in (original, destroyed)
    )
    kept = probing.retention(before, after, majority=1 / 3)
    assert kept["measurable"] and kept["interval"][1] < -0.2 and kept["p"] < 1e-6
    assert kept["after"] == pytest.approx(1 / 3, abs=0.15)
    assert min(probing.weight_change(original.state, destroyed.state).values()) > 0.1


def test_an_untrained_head_on_an_untouched_body_is_no_forgetting(
    original: Body, source_head: tuple[torch.Tensor, torch.Tensor]
) -> None:
    model = planted()
    with torch.no_grad():
        model.fc.weight.normal_(std=0.01, generator=torch.Generator().manual_seed(0))
        model.fc.bias.zero_()
    logits = inference.predict_logits(
        model, TEST, torch.arange(len(TEST)), batch_size=50, device=CPU, dtype=torch.float32
    )
    assert (logits.argmax(1).numpy() == LABELS).mean() < 0.6  # what an accuracy alone would call a bad run
    run = examined(model)
    assert [probing.debiased_cka(original.test[part], run.test[part]) for part in BODY] == pytest.approx(
        [1] * 5
    )
    probes = probing.probe_comparison(original.probe.predicted == LABELS, run.probe.predicted == LABELS)
    assert (probes["difference"], probes["distorted"]) == (0, False)
    before, after = (
        probing.source_accuracy(body.test["layer4"], *source_head, labels=LABELS) for body in (original, run)
    )
    kept = probing.retention(before, after, majority=1 / 3)
    assert (kept["measurable"], kept["difference"], kept["p"]) == (True, 0, 1)
    assert set(probing.weight_change(original.state, run.state).values()) == {0}
