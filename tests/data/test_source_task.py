"""What a run may forget: the held-out images and the head of what its starting weights were trained for."""

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import class_picture

from emotions.data import source_task
from emotions.data.images import ImageError
from emotions.data.knobs import LoadParams
from emotions.model import imagenet, resnet
from emotions.taxonomy import BASIC
from stages import pretrain

PARAMS = LoadParams(image_size=32, threads=1, store_gb=1.0)
HEAD = {"fc.weight": torch.randn(7, 2048), "fc.bias": torch.randn(7)}


def test_after_basic_emotions_they_are_the_source_task_on_validation_and_test(
    dataset: Path, tmp_path: Path
) -> None:
    trained = {"state_dict": HEAD, "classes": list(BASIC)}
    found = source_task.find(trained, dataset, tmp_path, params=PARAMS, decoded=tmp_path)
    assert found and found.name == "basic emotions"
    splits = [{row.split for row in split.rows} for split in found.splits]
    assert splits == [{"val"}, {"test"}], "no training image of the source task may measure forgetting"
    assert np.bincount(found.labels).tolist() == [6] * 7
    assert found.majority == pytest.approx(1 / 7)
    assert torch.equal(found.weight, HEAD["fc.weight"]) and torch.equal(found.bias, HEAD["fc.bias"])


def test_weights_without_a_head_have_no_source_task(dataset: Path, tmp_path: Path) -> None:
    bare = {"state_dict": {}, "classes": []}
    assert source_task.find(bare, dataset, tmp_path, params=PARAMS, decoded=tmp_path) is None


def test_imagenet_is_the_source_task_where_the_user_has_a_labelled_sample(
    dataset: Path, tmp_path: Path
) -> None:
    head = [torch.randn(1000, 2048), torch.randn(1000)]
    trained = {"state_dict": {}, "classes": [], "imagenet_head": head}
    assert source_task.find(trained, dataset, tmp_path, params=PARAMS, decoded=tmp_path) is None
    for number, name in enumerate(("0", "tench", "great_white_shark")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.png").write_bytes(class_picture(number, number))
    (tmp_path / "README.md").write_text("not an image")
    (tmp_path / "0" / ".DS_Store").write_text("not an image either")
    found = source_task.find(trained, dataset, tmp_path, params=PARAMS, decoded=tmp_path)
    assert found and found.name == "ImageNet"
    assert sorted(found.labels.tolist()) == [0, 0, 2]
    assert found.majority == pytest.approx(2 / 3)
    (split,) = found.splits
    assert split.images.shape == (3, 3, 32, 32) and split.images.dtype == torch.uint8
    assert torch.equal(found.weight, head[0])


def test_a_folder_that_is_no_class_and_a_file_that_is_no_image_are_named(tmp_path: Path) -> None:
    (tmp_path / "angry").mkdir()
    (tmp_path / "angry" / "a.png").write_bytes(class_picture(0, 0))
    with pytest.raises(ImageError, match=r"angry: not a class of ImageNet; name the folder by its number"):
        source_task.imagenet_sample(tmp_path, 32)
    (tmp_path / "angry").rename(tmp_path / "7")
    (tmp_path / "7" / "b.png").write_bytes(b"no image")
    with pytest.raises(ImageError, match=r"7/b\.png"):
        source_task.imagenet_sample(tmp_path, 32)


def test_a_sample_is_cropped_to_the_centre_as_imagenet_is_scored(tmp_path: Path) -> None:
    (tmp_path / "3").mkdir()
    (tmp_path / "3" / "a.png").write_bytes(class_picture(0, 0, size=64))  # a bright bar at the left edge
    split = source_task.imagenet_sample(tmp_path, 56)
    assert split
    assert split.images[0, :, :, 0].float().mean() < 100, "the outer sixteenth is cut off"


def test_the_head_of_imagenet_is_kept_with_its_body(monkeypatch: pytest.MonkeyPatch) -> None:
    state = resnet.build(1000, 0.0, 0).state_dict()
    monkeypatch.setattr(imagenet, "download", lambda url: (state, "0" * 64))
    origin, head = pretrain.initial_body(resnet.build(7, 0.0, 1), "imagenet1k_v1")
    assert origin["weights"] == "imagenet1k_v1"
    assert torch.equal(head[0], state["fc.weight"]) and torch.equal(head[1], state["fc.bias"])
    assert pretrain.initial_body(resnet.build(7, 0.0, 1), "none") == ({"weights": "none"}, [])
