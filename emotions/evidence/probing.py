"""Probing a fine-tuned body: what its features still tell, how far they moved, what the source task lost.

Accuracy on the new task leaves this open. A linear probe tests the features without the run's trained head.
CKA and the change of the weights show how much of the body is still the pretrained one. The source task's own
head on the new features shows what was forgotten.
"""

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import scipy.linalg
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits
from torch import nn
from torchvision.models import ResNet

from emotions.data.dataset import Split
from emotions.data.source_task import SourceTask
from emotions.evidence.intervals import mcnemar, recall_intervals, wilson
from emotions.evidence.metrics import confusion, macro_f1
from emotions.inference import autocast, enough_memory
from emotions.model.preprocessing import normalise, to_float
from emotions.model.resnet import PARTS, Part
from emotions.runtime.console import log, progress

BODY: Final[tuple[Part, ...]] = PARTS[:-1]
PENULTIMATE: Final[Part] = "layer4"
"""The part whose pooled output the head sees."""
MAX_ITERATIONS = 1000
"""Maximum Newton steps of one probe; some 10 to 20 are needed."""

State = Mapping[str, torch.Tensor]
Labelled = tuple[np.ndarray, np.ndarray]
"""Features float [N, D] and labels int [N]."""


@dataclass(frozen=True)
class Probe:
    """A linear probe. `regularisation`: the chosen C. `val_accuracy`: fraction, at that C. `predicted`: int
    [N_test]. `converged`: whether every fit reached its optimum; if not, the log names the C."""

    regularisation: float
    val_accuracy: float
    predicted: np.ndarray
    converged: bool


class Outputs(NamedTuple):
    """Logits of N images, float32 [N, C], and their features by part of BODY, float32 [N, D]."""

    logits: torch.Tensor
    features: dict[Part, np.ndarray]


@torch.inference_mode()
def outputs(
    model: ResNet, split: Split, batch_size: int, *, device: torch.device, dtype: torch.dtype, title: str = ""
) -> Outputs:
    """Logits of the clean images of `split`, and their activations after each body part, in one pass.

    The activations are averaged over the picture: 64, 256, 512, 1024 and 2048 features of a ResNet-50; those
    of PENULTIMATE are what the head sees. The stem ends with its pooling.
    """
    model.eval()
    pooled: dict[Part, list[torch.Tensor]] = {part: [] for part in BODY}
    logits = []

    def keep(part: Part) -> Callable[[nn.Module, Any, torch.Tensor], None]:
        def hook(_module: nn.Module, _inputs: Any, output: torch.Tensor) -> None:
            # Always in float32: a mean in bfloat16 keeps two or three digits.
            pooled[part].append(F.adaptive_avg_pool2d(output.float(), 1).flatten(1).cpu())

        return hook

    with ExitStack() as hooks, progress(title, len(split)) as bar:
        for part in BODY:
            module = model.maxpool if part == "stem" else getattr(model, part)
            hooks.enter_context(module.register_forward_hook(keep(part)))
        for batch in torch.arange(len(split)).split(batch_size):
            with enough_memory("evaluate.batch_size or train.image_size"), autocast(device, dtype):
                logits.append(model(normalise(to_float(split.take(batch).to(device)))).float().cpu())
            bar.update(len(batch))
    return Outputs(torch.cat(logits), {part: torch.cat(batches).numpy() for part, batches in pooled.items()})


@threadpool_limits.wrap(limits=1, user_api="blas")
def linear_probe(
    train: Labelled,
    val: Labelled,
    test_features: np.ndarray,
    *,
    classes: int,
    regularisation: Sequence[float],
) -> Probe:
    """Multinomial logistic regression (L2) on features standardised by their training mean and deviation.

    The C with the best validation accuracy predicts the test images; ties go to the smallest C, the
    strongest penalty. A class without training images is never predicted. Nothing is random, and one thread
    computes: more would give other digits, and wait for those of a probe beside it.

    Alain & Bengio 2016, "Understanding intermediate layers using linear classifier probes".

    Raises:
        ValueError: labels outside `range(classes)`, or fewer than two classes in `train`.
    """
    for labels in (train[1], val[1]):
        if labels.min() < 0 or labels.max() >= classes:
            raise ValueError(f"labels from {labels.min()} to {labels.max()}, but there are {classes} classes")
    scaler = StandardScaler().fit(train[0].astype(np.float64))
    x, x_val, x_test = (scaler.transform(f.astype(np.float64)) for f in (train[0], val[0], test_features))
    if x.shape[0] < x.shape[1]:
        # The penalised optimum is a combination of the training images, so an orthonormal basis of their span
        # gives the same optimum with fewer features.
        basis, _ = scipy.linalg.qr(x.T, mode="economic")
        x, x_val, x_test = x @ basis, x_val @ basis, x_test @ basis
    # Each fit starts from the previous, more penalised one. Newton's method, since L-BFGS needs hundreds of
    # steps on such correlated features.
    model = LogisticRegression(solver="newton-cg", tol=1e-4, max_iter=MAX_ITERATIONS, warm_start=True)
    fits: list[tuple[float, float, np.ndarray]] = []
    converged = True
    for c in sorted(regularisation):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model.set_params(C=c).fit(x, train[1])
        failures = [w for w in caught if issubclass(w.category, UserWarning)]  # ConvergenceWarning is one
        for failure in failures:
            log.warning(f"linear probe, C = {c:g}: {failure.message}")
        converged = converged and not failures
        accuracy = float(np.mean(model.predict(x_val) == val[1]))
        fits.append((float(c), accuracy, model.predict(x_test)))
    best = max(fits, key=lambda fit: fit[1])  # the first of equals
    return Probe(*best, converged)


def debiased_cka(x: np.ndarray, y: np.ndarray) -> float | None:
    """Linear CKA of two sets of features of the same images, with the unbiased estimator of HSIC.

    x: float [N, P], y: float [N, Q]. At most 1 (reached where the features agree up to rotation and scale).
    Independent features give about 0, as often below, where the biased estimate grows with P / N. None where
    it is not defined: fewer than 4 images, or features that are constant or differ in one image only.

    Kornblith et al. 2019, "Similarity of neural network representations revisited"; Song et al. 2012,
    "Feature selection via dependence maximization" (the estimator); Nguyen, Raghu & Kornblith 2021, "Do wide
    and deep networks learn the same things?" (CKA with it).
    """
    if len(x) < 4:
        return None
    first, second = _u_centred_gram(x), _u_centred_gram(y)
    if first is None or second is None:
        return None
    return float(np.sum(first * second) / (np.linalg.norm(first) * np.linalg.norm(second)))


def weight_change(before: State, after: State) -> dict[Part, float]:
    """|after - before| / |before| by part of BODY, in the L2 norm over all parameters of a part.

    Parameters are the convolutions and the batch-norm scales and shifts. Exactly 0 for a frozen part. The
    scales, near 1, are nine tenths of the stem's squared norm. So redrawing all filters changes the stem by
    0.4 only, a layer by 1.1.

    Both are state dicts of the same ResNet; heads are ignored.
    """
    buffers = ("running_mean", "running_var", "num_batches_tracked")
    return _relative_change(before, after, lambda name: not name.endswith(buffers))


def statistics_change(before: State, after: State) -> dict[Part, float]:
    """`weight_change` of batch norm's running means and variances."""
    return _relative_change(before, after, lambda name: name.endswith(("running_mean", "running_var")))


def right_on_source(task: SourceTask, features: Callable[[Split], np.ndarray]) -> np.ndarray:
    """Whether the source task's original head gets each of its images right: bool [N].

    features: function from a split of n images to the tested network's PENULTIMATE features, float [n, D].
    """
    found = np.concatenate([features(split) for split in task.splits])
    return source_accuracy(found, task.weight, task.bias, labels=task.labels)


def source_accuracy(
    features: np.ndarray, head_weight: torch.Tensor, head_bias: torch.Tensor, *, labels: np.ndarray
) -> np.ndarray:
    """Whether a head gets each of N images right, from their features: bool [N].

    features: float [N, D]. head_weight: [C, D]. head_bias: [C]. labels: int [N].
    """
    logits = torch.from_numpy(features).double() @ head_weight.double().T + head_bias.double()
    return logits.argmax(1).numpy() == labels


def retention(before: np.ndarray, after: np.ndarray, majority: float) -> dict[str, Any]:
    """What fine-tuning left of the source task.

    before, after: bool [N], whether its head gets each of the same images right. majority: accuracy of always
    answering the most frequent class. If the network was no better before (lower Wilson limit not above
    it), there was nothing to lose and `measurable` is false.

    Returns:
        `images`, `before`, `after`, `majority` (accuracies), `measurable`, and if it is true `difference`
        (after minus before), its `interval` (95 %, paired) and `p` (exact McNemar test).
    """
    limits = wilson(int(before.sum()), len(before))
    measurable = limits is not None and limits[0] > majority
    result: dict[str, Any] = {
        "images": len(before),
        "before": float(before.mean()),
        "after": float(after.mean()),
        "majority": float(majority),
        "measurable": bool(measurable),
    }
    if measurable:
        test = mcnemar(after, before)
        result |= {name: test[name] for name in ("difference", "interval", "p")}
    return result


def probe_comparison(pretrained: np.ndarray, finetuned: np.ndarray) -> dict[str, Any]:
    """Test whether fine-tuning distorted the features, by linear probes before and after on the same images.

    pretrained, finetuned: bool [N], whether the probe on them gets each image right. Kumar et al. 2022,
    "Fine-tuning can distort pretrained features and underperform out-of-distribution".

    Returns:
        `pretrained`, `finetuned` (accuracies), `difference` (fine-tuned minus pretrained), `interval` (95 %,
        paired), `p` (exact McNemar test), and `distorted`: the whole interval lies below zero.
    """
    test = mcnemar(finetuned, pretrained)
    return {
        "pretrained": float(pretrained.mean()),
        "finetuned": float(finetuned.mean()),
        "difference": test["difference"],
        "interval": list(test["interval"]),
        "p": test["p"],
        "distorted": bool(test["interval"][1] < 0),
    }


def probe_splits(
    features: Mapping[str, Mapping[Part, np.ndarray]],
    labels: Mapping[str, np.ndarray],
    classes: Sequence[str],
    *,
    regularisation: Sequence[float],
) -> tuple[np.ndarray, dict[str, Any]]:
    """Run `linear_probe` on the PENULTIMATE features of train, val and test.

    features: those of `outputs` by split. labels: int [N] by split.

    Returns the predictions on test, int [N_test], and `regularisation`, `converged`, `val_accuracy` and
    `test` (`probe_scores`).
    """
    train, val = ((features[s][PENULTIMATE], labels[s]) for s in ("train", "val"))
    probe = linear_probe(
        train, val, features["test"][PENULTIMATE], classes=len(classes), regularisation=regularisation
    )
    return probe.predicted, {
        "regularisation": probe.regularisation,
        "converged": probe.converged,
        "val_accuracy": probe.val_accuracy,
        "test": probe_scores(labels["test"], probe.predicted, classes),
    }


def probe_scores(labels: np.ndarray, predicted: np.ndarray, classes: Sequence[str]) -> dict[str, Any]:
    """Scores of a probe on test: labels and predicted int [N].

    Returns:
        `images`, `accuracy` and its Wilson `interval`, `macro_f1`, and `per_class` (name -> `recall`, its
        `interval`, both None where the class has no image, and `support`).
    """
    counts = confusion(labels, predicted, len(classes))
    right = int((labels == predicted).sum())
    recall = {
        name: int(row[i]) / int(row.sum()) if row.sum() else None
        for i, (name, row) in enumerate(zip(classes, counts, strict=True))
    }
    intervals = recall_intervals(counts, classes)
    return {
        "images": len(labels),
        "accuracy": right / len(labels),
        "interval": wilson(right, len(labels)),
        "macro_f1": macro_f1(labels, predicted, len(classes)),
        "per_class": {
            name: {"recall": recall[name], "interval": intervals[name], "support": int(counts[i].sum())}
            for i, name in enumerate(classes)
        },
    }


def _u_centred_gram(features: np.ndarray) -> np.ndarray | None:
    """U-centred Gram matrix of the images (Szekely & Rizzo 2014): float64 [N, N].

    Up to one factor, the sum of the products of two such matrices is the unbiased estimator of HSIC. None
    where only rounding is left.
    """
    n = len(features)
    # Moving the origin changes only the rounding.
    centred = features.astype(np.float64) - features.mean(0, dtype=np.float64)
    gram = centred @ centred.T
    size = np.linalg.norm(gram)
    np.fill_diagonal(gram, 0)
    means = gram.sum(0) / (n - 2)
    gram += means.sum() / (n - 1) - means[:, None] - means[None, :]
    np.fill_diagonal(gram, 0)
    return gram if np.linalg.norm(gram) > 1e-10 * size else None


def _relative_change(before: State, after: State, counts: Callable[[str], bool]) -> dict[Part, float]:
    """|after - before| / |before| by part of BODY, over the tensors whose names `counts` accepts."""
    squares = {part: [0.0, 0.0] for part in BODY}
    for name, tensor in after.items():
        part = "stem" if name.startswith(("conv1.", "bn1.")) else name.split(".")[0]
        if part in squares and counts(name):
            old = before[name].double()
            squares[part][0] += (tensor.double() - old).square().sum().item()
            squares[part][1] += old.square().sum().item()
    return {part: math.sqrt(moved / size) for part, (moved, size) in squares.items()}
