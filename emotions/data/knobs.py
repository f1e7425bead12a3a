"""Knobs of images and of loading them: `data.image_limits`, `preprocess`, keys of `train`."""

from typing import Final

from pydantic import ConfigDict, Field

from emotions.params_file import Group

MOST_MEGAPIXELS: Final = 170
"""Approximate size above which Pillow itself refuses an image (twice `Image.MAX_IMAGE_PIXELS`)."""


class ImageLimits(Group):
    """Group `data.image_limits`: an image with more `megapixels`, or a side under `min_side` pixels, is
    refused."""

    megapixels: int = Field(default=50, ge=1, le=MOST_MEGAPIXELS)
    min_side: int = Field(default=16, ge=1)


class PreprocessParams(Group):
    """`image_size`: side of the square images in the dataset zip, pixels."""

    image_size: int = Field(ge=32, le=1024)


class LoadParams(Group):
    """The keys of `train` that reading images needs; the others are ignored.

    `image_size`: side in pixels; `threads`: CPU threads; `store_gb`: 10^9 bytes of memory for decoded images;
    larger ones lie in a mapped file.
    """

    model_config = ConfigDict(extra="ignore")

    image_size: int = Field(ge=32, le=1024)
    threads: int = Field(ge=1)
    store_gb: float = Field(ge=0)
