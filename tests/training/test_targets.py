"""What is trained towards: votes of single emotions become shares of compounds, and classes have a prior."""

import pytest
import torch

from emotions.data.dataset import Split
from emotions.data.manifest import Row
from emotions.training.targets import TargetsError, log_prior, of_votes, targets

CLASSES = ("Happily_Surprised", "Fearfully_Surprised", "Sadly_Angry")
# In the manifest's order: surprise, fear, disgust, happiness, sadness, anger.
HAPPY_SURPRISE, MIXED, ELSEWHERE = "0.4 0 0 0.6 0 0", "0.5 0.3 0 0.2 0 0", "0 0 1 0 0 0"


def row(label: str, shares: str = "") -> Row:
    return Row(f"{label}{shares}.png", label, "compound", "train", "", "", "", "", "", "", shares)


def split(*rows: Row) -> Split:
    labels = torch.tensor([CLASSES.index(r.label) for r in rows])
    return Split(list(rows), CLASSES, torch.zeros(len(rows), 3, 8, 8, dtype=torch.uint8), labels, "")


def test_a_compounds_share_is_the_product_of_its_emotions() -> None:
    assert of_votes(row(CLASSES[0], HAPPY_SURPRISE), CLASSES) == pytest.approx([1, 0, 0])
    assert of_votes(row(CLASSES[1], MIXED), CLASSES) == pytest.approx([0.1 / 0.25, 0.15 / 0.25, 0])


@pytest.mark.parametrize("shares", ["", ELSEWHERE])
def test_votes_that_name_no_class_are_none(shares: str) -> None:
    assert of_votes(row(CLASSES[0], shares), CLASSES) is None


def test_votes_have_the_share_that_they_are_given_and_labels_the_rest() -> None:
    known = split(row(CLASSES[1], MIXED), row(CLASSES[2]), row(CLASSES[0], ELSEWHERE))
    assert targets(known, 0.0).tolist() == [[0, 1, 0], [0, 0, 1], [1, 0, 0]]
    half = targets(known, 0.5)
    assert half[0].tolist() == pytest.approx([0.2, 0.8, 0])
    assert half[1:].tolist() == [[0, 0, 1], [1, 0, 0]], "without votes the label stands alone"
    assert torch.allclose(half.sum(1), torch.ones(3))
    assert targets(known, 1.0)[0].tolist() == pytest.approx([0.4, 0.6, 0])


def test_soft_labels_of_images_without_votes_are_refused() -> None:
    with pytest.raises(TargetsError, match="soft_labels: these images have no votes; set it to 0"):
        targets(split(row(CLASSES[0]), row(CLASSES[1])), 0.5)


def test_the_prior_is_the_mean_share_of_each_class_in_what_is_trained_towards() -> None:
    known = split(row(CLASSES[0]), row(CLASSES[0]), row(CLASSES[1], MIXED), row(CLASSES[2]))
    assert log_prior(targets(known, 0.0), 0.0).exp().tolist() == pytest.approx([0.5, 0.25, 0.25])
    assert log_prior(targets(known, 1.0), 0.0).exp().tolist() == pytest.approx([0.6, 0.15, 0.25])
    assert log_prior(targets(known, 0.0), 0.3).exp().tolist() == pytest.approx([0.45, 0.275, 0.275])
