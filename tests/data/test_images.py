"""Images: decoded upright to RGB, squared once, loaded with the labels of the class order.

What is refused is in docs/data/bad_input.md.
"""

import io

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from emotions.data import images
from emotions.data.images import ImageError

ORIENTATION = 0x0112
COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


def opened(content: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


def bands(vertical: bool = False) -> Image.Image:
    """Three 40 px squares in a row (or a column): red, green, blue."""
    image = Image.new("RGB", (40, 120) if vertical else (120, 40))
    for i, colour in enumerate(COLOURS.values()):
        image.paste(colour, (0, 40 * i, 40, 40 * i + 40) if vertical else (40 * i, 0, 40 * i + 40, 40))
    return image


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_finished_image_passes_through_byte_for_byte(kind: str) -> None:
    finished = encoded(noise(32, 32), kind, **({"quality": 71} if kind == "JPEG" else {}))
    assert images.to_square(finished, "a", 32) == finished


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("size", [(50, 40), (20, 20), (32, 48)])
def test_squaring_twice_changes_nothing_more(kind: str, size: tuple[int, int]) -> None:
    once = images.to_square(encoded(noise(*size), kind), "a", 32)
    assert opened(once).size == (32, 32)
    assert images.to_square(once, "a", 32) == once


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_jpeg_stays_jpeg_and_png_stays_png(kind: str) -> None:
    assert opened(images.to_square(encoded(noise(40, 40), kind), "a", 32)).format == kind


def test_a_wide_and_a_tall_picture_keep_their_middle() -> None:
    for vertical in (False, True):
        square = opened(images.to_square(encoded(bands(vertical), "PNG"), "a", 32))
        colour = np.array(square).reshape(-1, 3).astype(int)
        assert np.abs(colour - COLOURS["green"]).max() < 20  # resampling looks a little past the crop


@pytest.mark.parametrize("mode", ["L", "P", "1", "RGBA"])
@pytest.mark.parametrize("size", [32, 40])
def test_every_mode_becomes_rgb_even_where_the_size_is_right_already(mode: str, size: int) -> None:
    square = opened(images.to_square(encoded(noise(size, size).convert(mode), "PNG"), "a", 32))
    assert (square.mode, square.size) == ("RGB", (32, 32))


def test_a_grey_picture_keeps_its_values_in_all_three_channels() -> None:
    grey = noise(32, 32).convert("L")
    square = np.array(opened(images.to_square(encoded(grey, "PNG"), "a", 32)))
    assert all(np.array_equal(square[..., i], np.array(grey)) for i in range(3))


def test_a_photograph_is_turned_upright_by_its_exif_note_and_the_note_is_gone() -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6  # the camera was turned: the first row is the right-hand side
    half = Image.new("RGB", (32, 32), "black")
    half.paste("white", (0, 0, 32, 16))
    square = opened(images.to_square(encoded(half, "JPEG", exif=exif, quality=95), "a", 32))
    pixels = np.array(square.convert("L"))
    assert pixels[:, 24:].min() > 200
    assert pixels[:, :8].max() < 50
    assert square.getexif().get(ORIENTATION, 1) == 1


def test_a_finished_image_with_exif_that_does_not_parse_passes_through() -> None:
    finished = encoded(noise(32, 32), "PNG", exif=b"rubbish")
    assert images.to_square(finished, "a", 32) == finished


def test_nothing_beside_the_pixels_goes_into_a_square() -> None:
    notes = PngImagePlugin.PngInfo()
    notes.add_text("icc_profile", "of a camera")
    square = opened(images.to_square(encoded(noise(40, 40), "PNG", pnginfo=notes, dpi=(300, 300)), "a", 32))
    assert square.info == {}


@pytest.mark.parametrize("content", [b"", b"not an image", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_region_map_is_an_error_that_names_the_file(content: bytes) -> None:
    with pytest.raises(ImageError, match=r"folder/a\.png: cannot be read as a region map"):
        images.resize_regions(content, "folder/a.png", 32)


def test_the_pixel_hash_is_of_the_pixels_and_their_shape_not_of_the_file() -> None:
    image = noise(32, 32)
    files = [encoded(image, "PNG"), encoded(image.convert("RGBA"), "PNG", compress_level=0)]
    one, other = (images.pixel_hash(images.decode(content, "a").image) for content in files)
    assert one == other == images.pixel_hash(image)
    assert one != images.pixel_hash(noise(32, 32, seed=1))
    flat = [Image.new("RGB", size) for size in ((16, 64), (64, 16))]
    assert images.pixel_hash(flat[0]) != images.pixel_hash(flat[1])


@pytest.mark.parametrize("size", [(160, 160), (90, 60), (20, 20)])
def test_region_maps_keep_their_values_and_are_cropped_like_their_picture(size: tuple[int, int]) -> None:
    values = np.random.default_rng(0).choice(np.array([0, 3, 7], np.uint8), size[::-1])
    resized = opened(images.resize_regions(encoded(Image.fromarray(values), "PNG"), "a", 32))
    assert (resized.mode, resized.size) == ("L", (32, 32))
    assert set(np.unique(resized)) == {0, 3, 7}
    marked = np.array(bands())[..., 1] // 255 * 5  # 5 where the picture is green
    resized = opened(images.resize_regions(encoded(Image.fromarray(marked), "PNG"), "a", 32))
    assert set(np.unique(resized)) == {5}
