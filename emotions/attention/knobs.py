"""Knobs of maps and of their tests: `gradcam`, `faithfulness`."""

from typing import Literal

from pydantic import ConfigDict, Field

from emotions.params_file import Group


class AttentionError(ValueError):
    """Map that cannot be made; the message names the knob."""


class MapParams(Group):
    """The keys of `gradcam` that a map needs; the others are ignored. `min_grid`: fewest cells a side."""

    model_config = ConfigDict(extra="ignore")

    method: Literal["gradcam", "layercam"]
    min_grid: int = Field(ge=1)


class GradcamParams(MapParams):
    """The whole group `gradcam`. `examples`: right examples, and as many wrong, a class in the gallery."""

    model_config = ConfigDict(extra="forbid")

    examples: int = Field(ge=1, le=4)


class FaithfulnessParams(Group):
    """`measure`: whether the tests and the covers are run. `images`: validation images for ROAD, which is
    slow; the other tests take the whole split."""

    measure: bool
    images: int = Field(ge=8)


def choose_cam_layer(image_size: int, min_grid: int) -> tuple[str, int]:
    """The deepest layer of ResNet-50 whose grid has at least `min_grid` cells a side, and that number of
    cells.

    Raises:
        AttentionError: no layer has so many cells.
    """
    for layer, stride in (("layer4", 32), ("layer3", 16), ("layer2", 8), ("layer1", 4)):
        grid = -(-image_size // stride)
        if grid >= min_grid:
            return layer, grid
    raise AttentionError(
        f"gradcam.min_grid is {min_grid}, at {image_size} px the finest grid is {-(-image_size // 4)}; "
        f"lower it"
    )
