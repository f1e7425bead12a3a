"""One drawn face: geometry moved by facial action units, painted as a picture and as its region map.

Face coordinates: the head is about 2 wide and 2.6 high around (0, 0), x to the picture's right, y down; the
eyes lie at y = -0.2, the mouth at y = 0.68. `Canvas` turns the head (yaw, pitch), then rotates, scales and
shifts it into pixels. Colours are RGB in [0, 255]. The same inputs give the same pixels: no global state.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from emotions.data.regions import REGIONS
from emotions.taxonomy import ACTION_UNITS

SIZE = 160
"""Width and height of a drawn picture in pixels."""

_OVER = 2
_SIDE = SIZE * _OVER
_SHIFT = 4  # cv2's fixed-point bits: polygons are placed to 1/16 of a pixel

WALL = 0.85
"""Opacity of a wall's colour over the room."""

_SKINS = ((252, 224, 202), (241, 205, 176), (226, 182, 147), (200, 148, 110), (158, 106, 74), (106, 70, 50))
_HAIRS = (
    (28, 24, 23),
    (54, 38, 30),
    (92, 62, 40),
    (134, 94, 56),
    (204, 168, 108),
    (150, 72, 38),
    (168, 166, 164),
)
_IRISES = ((62, 42, 28), (88, 60, 36), (92, 106, 62), (82, 116, 150), (110, 120, 128))
_STYLES = ("short", "long", "fringe", "bob", "receding", "bald")
_STYLE_SHARES = (0.34, 0.22, 0.18, 0.12, 0.08, 0.06)

Pixels = NDArray[np.uint8]
Points = NDArray[np.float64]
Units = Mapping[int, float]


@dataclass(frozen=True)
class Appearance:
    """All but the expression. Lengths are in face coordinates, angles in radians, shifts in pixels."""

    width: float
    jaw: float
    chin: float
    eye_distance: float
    eye_size: float
    eye_tilt: float
    brow_height: float
    brow_thickness: float
    brow_arch: float
    brow_slant: float
    nose_width: float
    nose_length: float
    mouth_width: float
    mouth_height: float
    mouth_curve: float
    lip_fullness: float
    age: float
    lopsided: float
    skin: Points
    hair: Points
    iris: Points
    lip: Points
    cloth: Points
    style: str
    parting: float
    beard: float
    glasses: bool
    freckles: bool
    gaze: float
    roll: float
    yaw: float
    pitch: float
    scale: float
    shift_x: float
    shift_y: float
    light_angle: float
    light_strength: float
    brightness: float
    contrast: float
    tint: Points
    blur: float
    noise: float
    texture_seed: int


def appearance(rng: np.random.Generator) -> Appearance:
    """A random person in front of a random camera, drawn from `rng` alone."""
    skin = _between(_SKINS, rng) * rng.normal(1, 0.02, 3)
    red = np.array([178, 62, 70]) * (0.55 + 0.45 * skin[0] / 255)
    return Appearance(
        width=rng.normal(1.0, 0.06),
        jaw=rng.normal(0.0, 0.06),
        chin=rng.normal(0.0, 0.055),
        eye_distance=rng.normal(0.42, 0.028),
        eye_size=rng.normal(1.12, 0.09),
        eye_tilt=rng.normal(0.02, 0.02),
        brow_height=rng.normal(0.0, 0.025),
        brow_thickness=rng.uniform(0.055, 0.1),
        brow_arch=rng.normal(0.0, 0.025),
        brow_slant=rng.normal(0.0, 0.022),
        nose_width=rng.normal(0.21, 0.025),
        nose_length=rng.normal(0.0, 0.04),
        mouth_width=rng.normal(0.35, 0.028),
        mouth_height=rng.normal(0.0, 0.025),
        mouth_curve=rng.normal(0.0, 0.02),
        lip_fullness=float(np.clip(rng.normal(1.0, 0.22), 0.5, 1.6)),
        age=rng.beta(1.3, 2.5),
        lopsided=rng.normal(0.0, 0.09),
        skin=skin,
        hair=_between(_HAIRS, rng),
        iris=np.array(_IRISES[rng.integers(len(_IRISES))], float),
        lip=skin + (red - skin) * rng.uniform(0.25, 0.75),
        cloth=_wall_colour(rng),
        style=str(rng.choice(_STYLES, p=_STYLE_SHARES)),
        parting=rng.uniform(-0.45, 0.45),
        beard=rng.uniform(0.3, 1.0) if rng.random() < 0.18 else 0.0,
        glasses=bool(rng.random() < 0.1),
        freckles=bool(rng.random() < 0.15),
        gaze=rng.normal(0.0, 0.018),
        roll=float(np.radians(np.clip(rng.normal(0, 6), -10, 10))),
        yaw=rng.uniform(-0.25, 0.25),
        pitch=rng.uniform(-0.12, 0.12),
        scale=rng.uniform(0.95, 1.2),
        shift_x=rng.uniform(-12, 12),
        shift_y=rng.uniform(-12, 12),
        light_angle=rng.uniform(-np.pi, np.pi),
        light_strength=rng.uniform(0.0, 0.6),
        brightness=rng.uniform(0.7, 1.2),
        contrast=rng.uniform(0.85, 1.2),
        tint=rng.normal(1.0, 0.035, 3),
        blur=rng.uniform(0.0, 0.9),
        noise=rng.uniform(1.0, 5.0),
        texture_seed=int(rng.integers(2**62)),
    )


def _between(palette: Sequence[tuple[int, int, int]], rng: np.random.Generator) -> Points:
    """Random colour between two neighbours of a palette."""
    at = rng.uniform(0, len(palette) - 1)
    low = min(int(at), len(palette) - 2)
    pair = np.array(palette[low : low + 2], float)
    return pair[0] + (at - low) * (pair[1] - pair[0])


def draw(person: Appearance, units: Units, wall: Points | None = None) -> tuple[Pixels, Pixels]:
    """The picture (RGB uint8 [SIZE, SIZE, 3]) and its region map (uint8 [SIZE, SIZE], places in `REGIONS`).

    `units`: intensity in [0, 1] of each active action unit by FACS number; absent units do not move. `wall`:
    RGB of the wall behind the face; None for a random room.
    """
    au = {number: float(units.get(number, 0.0)) for number in ACTION_UNITS}
    rng = np.random.Generator(np.random.PCG64(person.texture_seed))
    canvas = Canvas(person)
    _backdrop(canvas, rng)
    if wall is not None:
        canvas.picture[:] = np.round(WALL * wall + (1 - WALL) * canvas.picture)
    _back_hair(canvas, person)
    _neck(canvas, person, rng)
    _head(canvas, person, au)
    _relief(canvas, person, au, rng)
    _front_hair(canvas, person, rng)
    _brows(canvas, person, au, rng)
    for side in (-1, 1):
        _eye(canvas, person, au, side)
    _nose(canvas, person, au)
    _mouth(canvas, person, au)
    if person.glasses:
        _glasses(canvas, person)
    return _photograph(canvas.picture, person, rng), canvas.regions[::_OVER, ::_OVER].copy()


def one_side(au: Units, person: Appearance, side: int) -> dict[int, float]:
    """Intensities on one half of a face (-1: the picture's left): real expressions are a little lopsided."""
    return {number: value * (1 + side * person.lopsided) for number, value in au.items()}


class Canvas:
    """A picture and its region map, painted together from the same polygons."""

    def __init__(self, person: Appearance) -> None:
        self.picture: Pixels = np.zeros((_SIDE, _SIDE, 3), np.uint8)
        self.regions: Pixels = np.zeros((_SIDE, _SIDE), np.uint8)
        self.unit = 52.0 * person.scale * _OVER  # pixels a face unit
        cos, sin = np.cos(person.roll), np.sin(person.roll)
        self._rotate = self.unit * np.array([[cos, -sin], [sin, cos]])
        centre = np.array([SIZE / 2 + person.shift_x, SIZE * 0.51 + person.shift_y]) * _OVER
        self._centre = centre
        self._person = person

    def pixels(self, points: Points, lift: float = 0.0) -> NDArray[np.int32]:
        """Face coordinates [N, 2] as fixed-point pixels; the head is an ellipsoid, `lift` rises from it."""
        x, y = points[:, 0], points[:, 1]
        depth = 0.7 * np.sqrt(np.clip(1 - x**2 - (y / 1.4) ** 2, 0, None)) + lift
        turned = np.stack(
            [(x + self._person.yaw * depth) * self._person.width, y + self._person.pitch * depth], 1
        )
        return np.round((turned @ self._rotate.T + self._centre) * (1 << _SHIFT)).astype(np.int32)

    def fill(
        self, points: Points, colour: Points | None, region: str | None = None, lift: float = 0.0
    ) -> None:
        """Paint a polygon; `colour` or `region` may be left out to paint only the other."""
        corners = [self.pixels(points, lift)]
        if colour is not None:
            cv2.fillPoly(self.picture, corners, _tuple(colour), cv2.LINE_AA, _SHIFT)
        if region is not None:
            cv2.fillPoly(self.regions, corners, REGIONS.index(region), cv2.LINE_8, _SHIFT)

    def stroke(
        self, points: Points, width: float, colour: Points, region: str | None = None, lift: float = 0.0
    ) -> None:
        """Paint an open line `width` face units wide."""
        line, thick = [self.pixels(points, lift)], self.thickness(width)
        cv2.polylines(self.picture, line, False, _tuple(colour), thick, cv2.LINE_AA, _SHIFT)
        if region is not None:
            cv2.polylines(self.regions, line, False, REGIONS.index(region), thick, cv2.LINE_8, _SHIFT)

    def thickness(self, width: float) -> int:
        """A width in face units as whole pixels, at least one."""
        return max(1, round(width * self.unit))

    def mask(self, points: Points, lift: float = 0.0) -> Pixels:
        """uint8 [side, side]: 255 inside a polygon."""
        inside: Pixels = np.zeros((_SIDE, _SIDE), np.uint8)
        cv2.fillPoly(inside, [self.pixels(points, lift)], 255, cv2.LINE_AA, _SHIFT)
        return inside


def _tuple(colour: Points) -> tuple[int, int, int]:
    red, green, blue = np.clip(np.round(colour), 0, 255).astype(int)
    return int(red), int(green), int(blue)


@cache
def _spline_weights(steps: int) -> Points:
    """Catmull-Rom weights [steps, 4] of four neighbouring points."""
    t = np.arange(steps) / steps
    return 0.5 * np.stack(
        [-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, t**3 - t**2], 1
    )


def curve(points: Sequence[tuple[float, float]] | Points, closed: bool = False, steps: int = 6) -> Points:
    """A smooth line [M, 2] through points (Catmull-Rom)."""
    knots = np.asarray(points, float)
    ends = (knots[-1:], knots[:2]) if closed else (2 * knots[:1] - knots[1:2], 2 * knots[-1:] - knots[-2:-1])
    padded = np.concatenate([ends[0], knots, ends[1]])
    windows = np.stack([padded[i : len(padded) - 3 + i] for i in range(4)], 1)
    line = np.einsum("sk,nkd->nsd", _spline_weights(steps), windows).reshape(-1, 2)
    return line if closed else np.concatenate([line, knots[-1:]])


def _mirror(points: Sequence[tuple[float, float]] | Points, side: int) -> Points:
    """Points given for the picture's right half, moved to the half `side`."""
    return np.asarray(points, float) * (side, 1)


def _ellipse(x: float, y: float, rx: float, ry: float) -> Points:
    angle = np.linspace(0, 2 * np.pi, 28, endpoint=False)
    return np.stack([x + rx * np.cos(angle), y + ry * np.sin(angle)], 1)


def _backdrop(canvas: Canvas, rng: np.random.Generator) -> None:
    """A blurred room: a two-colour gradient, some shapes, a coarse texture."""
    small = SIZE // 4
    ramp = np.linspace(0, 1, small)
    angle = rng.uniform(-np.pi, np.pi)
    blend = np.clip(np.add.outer(np.sin(angle) * ramp, np.cos(angle) * ramp) * 0.7 + 0.5, 0, 1)[..., None]
    first, second = _wall_colour(rng), _wall_colour(rng)
    room = np.ascontiguousarray(first * blend + second * (1 - blend)).astype(np.uint8)
    for _ in range(rng.integers(0, 9)):
        x, y, w, h = (int(v) for v in rng.integers((-8, -8, 3, 3), (small, small, 24, 24)))
        colour = _tuple(_wall_colour(rng))
        if rng.random() < 0.5:
            cv2.rectangle(room, (x, y), (x + w, y + h), colour, -1)
        else:
            cv2.circle(room, (x, y), w // 2 + 1, colour, -1)
    soft = cv2.GaussianBlur(room, (0, 0), rng.uniform(0.4, 2.5))
    speckle = rng.normal(0, rng.uniform(0, 14), (small, small, 1))
    room = np.clip(soft + speckle, 0, 255).astype(np.uint8)
    canvas.picture[:] = cv2.resize(room, (_SIDE, _SIDE), interpolation=cv2.INTER_LINEAR)


def _wall_colour(rng: np.random.Generator) -> Points:
    """A colour of any brightness, mostly of low saturation."""
    colour: Points = rng.uniform(20, 235) + rng.normal(0, 26, 3)
    return np.clip(colour, 8, 247)


def _neck(canvas: Canvas, person: Appearance, rng: np.random.Generator) -> None:
    neck = 0.5 + person.jaw + rng.normal(0, 0.03)
    collar = rng.uniform(1.48, 1.7)
    canvas.fill(
        curve([(-neck, 0.6), (neck, 0.6), (neck, 2.4), (-neck, 2.4)]), person.skin * 0.72, "background"
    )
    shoulders = [(-2.6, 2.4), (-1.6, collar + 0.12), (-neck, collar - 0.15), (0, collar + 0.2)]
    shoulders += [(neck, collar - 0.15), (1.6, collar + 0.12), (2.6, 2.4)]
    canvas.fill(curve(shoulders), person.cloth, "background")


def _outline(person: Appearance, drop: float = 0.0) -> Points:
    """The head's outline; `drop` lowers the jaw."""
    jaw, chin = person.jaw, person.chin
    right = [
        (0.45, -1.26),
        (0.82, -0.98),
        (0.98, -0.5),
        (1.0, -0.05),
        (0.95 + 0.5 * jaw, 0.4 + 0.1 * drop),
        (0.74 + jaw, 0.86 + 0.6 * drop),
        (0.34 + jaw, 1.2 + chin + drop),
    ]
    left = [(-x, y) for x, y in reversed(right)]
    return curve([(0.0, -1.34), *right, (0.0, 1.27 + chin + drop), *left], closed=True)


def _jaw_drop(au: Units) -> float:
    return 0.15 * au[26]


def _head(canvas: Canvas, person: Appearance, au: Units) -> None:
    """Ears, head and the cheeks' place on it."""
    for side in (-1, 1):
        canvas.fill(_ellipse(side * 1.01, -0.02, 0.11, 0.24), person.skin * 0.9, "other_face")
        canvas.fill(_ellipse(side * 1.03, -0.02, 0.05, 0.14), person.skin * 0.74)
    canvas.fill(_outline(person, _jaw_drop(au)), person.skin, "other_face")
    for side in (-1, 1):
        canvas.fill(curve(_cheek(person, one_side(au, person, side), side), closed=True), None, "cheeks")


def _cheek(person: Appearance, au: Units, side: int) -> Points:
    """Outline of one cheek: below the eye, beside nose and mouth."""
    up = 0.06 * au[6] + 0.03 * au[12]
    inner = person.nose_width + 0.06
    points = [
        (inner, 0.1 - up),
        (0.55, 0.0 - up),
        (0.86, 0.08),
        (0.84, 0.5),
        (0.62, 0.72),
        (0.46, 0.5),
        (inner, 0.36),
    ]
    return _mirror(points, side)


def _relief(canvas: Canvas, person: Appearance, au: Units, rng: np.random.Generator) -> None:
    """Light and shadow on the bare skin: the head's roundness, bulges and folds, beard, freckles."""
    soft, fine = _soft_shade(canvas, person, au), _folds(canvas, person, au)
    shade = _multiply(soft, fine)
    inside = canvas.mask(_outline(person, _jaw_drop(au)))
    lit = _multiply(canvas.picture, cv2.merge([shade] * 3))
    if person.beard:
        _beard(lit, canvas, person, au)
    if person.freckles:
        at = np.stack([rng.uniform(-0.75, 0.75, 40), rng.normal(0.15, 0.13, 40)], 1)
        for x, y in canvas.pixels(at):
            cv2.circle(lit, (int(x), int(y)), 18, _tuple(person.skin * 0.72), -1, cv2.LINE_AA, _SHIFT)
    cv2.copyTo(lit, (inside > 127).astype(np.uint8), canvas.picture)


def _multiply(picture: Pixels, shade: NDArray[Any]) -> Pixels:
    """`picture` times `shade`, where 128 stands for one."""
    return cv2.multiply(picture, shade, scale=1 / 128).astype(np.uint8, copy=False)


def _soft_shade(canvas: Canvas, person: Appearance, au: Units) -> Pixels:
    """Broad shading, uint8 [side, side]; 128 leaves the skin as it is."""
    shade = np.full((_SIDE, _SIDE), 92, np.uint8)

    def blob(x: float, y: float, rx: float, ry: float, value: float) -> None:
        cv2.fillPoly(shade, [canvas.pixels(_ellipse(x, y, rx, ry))], round(value), cv2.LINE_8, _SHIFT)

    drop = _jaw_drop(au)
    cv2.fillPoly(shade, [canvas.pixels(_outline(person, drop) * 0.93)], 130, cv2.LINE_8, _SHIFT)
    for side in (-1, 1):
        one = one_side(au, person, side)
        blob(side * person.eye_distance, -0.24, 0.3, 0.17, 117 - 8 * one[4])
        blob(side * 0.16, -0.25, 0.07, 0.2, 112 - 14 * one[4] - 10 * one[9])
        bulge = max(one[6], 0.7 * one[12])
        blob(side * 0.56, 0.38, 0.2, 0.12, 128 - 20 * bulge)
        blob(side * 0.55, 0.2 - 0.06 * bulge, 0.22, 0.14, 133 + 12 * bulge)
        blob(side * (person.nose_width + 0.02), 0.2, 0.05, 0.12, 112)
    blob(0, 0.1, 0.07, 0.3, 140)
    blob(0, 0.45 + person.nose_length, 0.2, 0.05, 106)
    lower = 0.92 + 0.6 * drop + person.mouth_height
    blob(0, lower, 0.2, 0.045, 108 - 12 * au[17])
    blob(0, lower + 0.15 - 0.03 * au[17], 0.17, 0.09, 136 + 12 * au[17])
    small = cv2.resize(shade, (_SIDE // 4, _SIDE // 4), interpolation=cv2.INTER_AREA)
    blurred = cv2.GaussianBlur(small, (0, 0), 2.2)
    return cv2.resize(blurred, (_SIDE, _SIDE), interpolation=cv2.INTER_LINEAR).astype(np.uint8, copy=False)


def _folds(canvas: Canvas, person: Appearance, au: Units) -> Pixels:
    """Wrinkles and folds, uint8 [side, side]; 128 leaves the skin as it is, less is darker."""
    shade = np.full((_SIDE, _SIDE), 128, np.uint8)

    def fold(points: Sequence[tuple[float, float]] | Points, strength: float, width: float = 0.035) -> None:
        if strength > 0.04:
            line = [canvas.pixels(curve(points))]
            value = round(128 - 62 * min(strength, 1.0))
            cv2.polylines(shade, line, False, value, canvas.thickness(width), cv2.LINE_AA, _SHIFT)

    _forehead_folds(fold, person, au)
    for side in (-1, 1):
        _side_folds(fold, person, one_side(au, person, side), side)
    chin = 1.02 + person.mouth_height + 0.8 * _jaw_drop(au)
    for x, y in ((0.0, 0.0), (-0.09, 0.05), (0.09, 0.05), (-0.03, 0.09), (0.05, 0.1)):
        fold([(x - 0.03, chin + y), (x, chin + y - 0.015), (x + 0.03, chin + y)], 0.75 * au[17], 0.03)
    return cv2.GaussianBlur(shade, (0, 0), 1.6).astype(np.uint8, copy=False)


def _forehead_folds(fold: Callable[..., None], person: Appearance, au: Units) -> None:
    """Horizontal lines of raised brows, vertical ones of lowered brows, cross lines of a wrinkled nose."""
    top = -0.74 + person.brow_height
    raised = min(au[1], au[2]) + 0.1 * person.age
    for row in range(3):
        y = top - 0.1 * row
        fold(
            [(-0.6, y + 0.03), (-0.3, y - 0.02), (0, y + 0.01), (0.3, y - 0.02), (0.6, y + 0.03)],
            0.8 * raised,
        )
        fold([(-0.22, y - 0.01), (0, y + 0.02), (0.22, y - 0.01)], 0.6 * (au[1] - min(au[1], au[2])))
    for side in (-1, 1):
        strength = 1.1 * au[4] + 0.15 * person.age
        fold(_mirror([(0.055, -0.3), (0.075, -0.42), (0.06, -0.56)], side), strength, 0.04)
        fold(_mirror([(0.05, 0.06), (0.12, -0.04), (0.17, 0.0)], side), 1.1 * au[9], 0.035)
        fold(_mirror([(0.04, 0.14), (0.13, 0.05), (0.2, 0.11)], side), 0.9 * au[9], 0.035)
    for y in (-0.26, -0.17, -0.09):
        fold([(-0.1, y + 0.02), (0, y - 0.015), (0.1, y + 0.02)], 1.1 * au[9], 0.032)


def _side_folds(fold: Callable[..., None], person: Appearance, au: Units, side: int) -> None:
    """Crow's feet, lower-lid pouch, nasolabial fold and mouth-corner lines of one half."""
    x, outer = person.eye_distance, person.eye_distance + 0.23
    for rise in (-0.11, -0.01, 0.09):
        feet = [
            (outer + 0.03, -0.19 + 0.35 * rise),
            (outer + 0.1, -0.19 + 0.8 * rise),
            (outer + 0.16, -0.18 + rise),
        ]
        fold(_mirror(feet, side), 1.0 * au[6] + 0.15 * person.age, 0.03)
    pouch = [(x - 0.17, -0.1), (x, -0.055), (x + 0.18, -0.11)]
    fold(_mirror(pouch, side), 0.7 * au[6] + 0.5 * au[7] + 0.2 * person.age, 0.03)
    wing = person.nose_width
    corner, height = _corner(person, au)
    bow = 0.05 * au[12] + 0.03 * au[20]
    top = 0.2 - 0.06 * au[9] - 0.03 * au[10]
    laugh = [(wing + 0.04, top), (wing + 0.15 + bow, 0.36), (corner + 0.07 + bow, height - 0.06)]
    fold(_mirror(laugh, side), 0.12 + 0.3 * person.age + 0.55 * au[12] + 0.7 * au[10] + 0.4 * au[9], 0.045)
    ends = [(corner + 0.03, height - 0.01), (corner + 0.06, height + 0.07), (corner + 0.03, height + 0.16)]
    fold(_mirror(ends, side), 0.9 * au[15] + 0.1 * person.age, 0.04)
    stretch = [(corner + 0.08, height - 0.08), (corner + 0.11, height), (corner + 0.08, height + 0.1)]
    fold(_mirror(stretch, side), 0.9 * au[20], 0.035)


def _beard(lit: Pixels, canvas: Canvas, person: Appearance, au: Units) -> None:
    """Darken jaw and upper lip towards the hair colour."""
    drop = _jaw_drop(au)
    jaw = [(-1.0, 0.3), (-0.6, 0.62), (-0.42, 0.42), (0, 0.42), (0.42, 0.42), (0.6, 0.62), (1.0, 0.3)]
    jaw += [(0.72, 1.0 + drop), (0, 1.4 + drop), (-0.72, 1.0 + drop)]
    grown = cv2.GaussianBlur(canvas.mask(np.array(jaw)), (0, 0), 5.0)[..., None] * (0.6 * person.beard / 255)
    lit[:] = np.round(lit * (1 - grown) + person.hair * 0.9 * grown).astype(np.uint8)


def _back_hair(canvas: Canvas, person: Appearance) -> None:
    """Hair that hangs behind head and neck."""
    length = {"long": 1.75, "bob": 0.75, "fringe": 0.35}.get(person.style)
    if length is None:
        return
    right = [(0.8, -1.25), (1.14, -0.7), (1.2, 0.0), (1.18, length * 0.6), (1.02, length)]
    left = [(-x, y) for x, y in reversed(right)]
    canvas.fill(curve([(0, -1.46), *right, *left], closed=True), person.hair * 0.75, "hair")


def _hairline(person: Appearance) -> list[tuple[float, float]]:
    """The lower edge of the front hair, from the picture's left to its right."""
    part = person.parting
    if person.style == "fringe":
        return [
            (-1.03, -0.2),
            (-0.93, -0.55),
            (-0.6, -0.76),
            (-0.2, -0.72),
            (0.2, -0.75),
            (0.6, -0.74),
            (0.93, -0.55),
            (1.03, -0.2),
        ]
    if person.style == "receding":
        return [
            (-1.06, -0.2),
            (-0.95, -0.6),
            (-0.78, -1.05),
            (0, -1.2),
            (0.78, -1.05),
            (0.95, -0.6),
            (1.06, -0.2),
        ]
    low = 0.15 if person.style == "long" else -0.2
    return [
        (-1.06, low),
        (-0.93, -0.5),
        (-0.72, -0.84),
        (part, -1.08),
        (0.72, -0.84),
        (0.93, -0.5),
        (1.06, low),
    ]


def _front_hair(canvas: Canvas, person: Appearance, rng: np.random.Generator) -> None:
    """Hair over the forehead and temples with some strands; nothing on a bald head."""
    if person.style == "bald":
        return
    line = _hairline(person)
    volume = rng.uniform(0.02, 0.16)
    crown = [(1.1, -0.6), (0.9, -1.1 - volume), (0.45, -1.4 - volume), (0, -1.46 - volume)]
    crown += [(-0.45, -1.4 - volume), (-0.9, -1.1 - volume), (-1.1, -0.6)]
    edge = curve(line)
    canvas.fill(np.concatenate([edge, curve(crown)]), person.hair, "hair")
    root = np.array([person.parting, -1.42 - volume])
    for share in rng.uniform(0.02, 0.98, 22):
        tip = edge[int(share * (len(edge) - 1))]
        middle = (root + tip) / 2 + (np.sign(tip[0] - root[0]) * 0.12, -0.08)
        colour = person.hair * rng.uniform(0.7, 1.1) + rng.uniform(0, 22)
        canvas.stroke(curve(np.stack([root, middle, tip]), steps=4), 0.014, colour)


def _brow(person: Appearance, au: Units, side: int) -> Points:
    """Middle line of one brow, from its inner to its outer end."""
    x, y = person.eye_distance, -0.55 + person.brow_height
    together = 0.06 * au[4] + 0.02 * au[9]
    lowered = au[4] * (1 - 0.7 * au[1])  # with unit 1, unit 4 pulls the brows together rather than down
    points = [
        (x - 0.25 - together, y + 0.06 + person.brow_slant - 0.18 * au[1] + 0.14 * lowered + 0.05 * au[9]),
        (x - 0.06 - 0.6 * together, y - 0.02 - 0.1 * au[1] - 0.07 * au[2] + 0.11 * lowered + 0.03 * au[9]),
        (x + 0.13, y - 0.04 - person.brow_arch - 0.17 * au[2] + 0.05 * au[4] + 0.02 * au[6]),
        (x + 0.3, y + 0.07 - person.brow_slant - 0.13 * au[2] + 0.02 * au[4] + 0.03 * au[6]),
    ]
    return curve(_mirror(points, side))


def _brows(canvas: Canvas, person: Appearance, au: Units, rng: np.random.Generator) -> None:
    """Both brows; their region takes in the skin between them."""
    left, right = (_brow(person, one_side(au, person, side), side) for side in (-1, 1))
    half = np.array([0.0, person.brow_thickness / 2 + 0.03])
    between = np.stack([left[0] - half, right[0] - half, right[0] + half, left[0] + half])
    canvas.fill(between, None, "brows", lift=0.03)
    colour = np.minimum(person.hair * 0.62, person.skin * 0.62)
    for line in (left, right):
        taper = person.brow_thickness * np.linspace(1.0, 0.3, len(line))[:, None] / 2 * (0.0, 1.0)
        canvas.fill(
            np.concatenate([line - taper - (0, 0.03), (line + taper + (0, 0.03))[::-1]]), None, "brows", 0.03
        )
        canvas.fill(np.concatenate([line - taper, (line + taper)[::-1]]), colour, "brows", 0.03)
        for at in rng.integers(0, len(line), 9):
            hair = np.stack(
                [line[at] + taper[at], line[at] - taper[at] * 1.3 + (0.02 * np.sign(line[at, 0]), 0)]
            )
            canvas.stroke(hair, 0.01, colour * rng.uniform(0.6, 1.4), lift=0.03)


def _lids(person: Appearance, au: Units, side: int) -> tuple[Points, Points]:
    """Upper and lower lid lines of one eye, both from the inner to the outer corner."""
    x, y, size = person.eye_distance, -0.2, person.eye_size
    up = size * (0.1 + 0.075 * au[5] - 0.035 * au[7] - 0.02 * au[6] - 0.015 * au[4])
    low = size * (0.062 - 0.034 * au[7] - 0.032 * au[6] + 0.01 * au[5])
    tilt = person.eye_tilt
    inner, outer = (x - 0.2 * size, y + 0.02 + tilt), (x + 0.2 * size, y - tilt)
    upper = [
        inner,
        (x - 0.09 * size, y - 0.85 * up),
        (x + 0.05 * size, y - up),
        (x + 0.15 * size, y - 0.55 * up),
        outer,
    ]
    lower = [
        inner,
        (x - 0.1 * size, y + 0.75 * low),
        (x + 0.04 * size, y + low),
        (x + 0.14 * size, y + 0.6 * low),
        outer,
    ]
    return curve(_mirror(upper, side)), curve(_mirror(lower, side))


def _eye(canvas: Canvas, person: Appearance, whole: Units, side: int) -> None:
    """One eye: its region with the lids, the ball cut out by the lids, lashes and crease."""
    au = one_side(whole, person, side)
    upper, lower = _lids(person, au, side)
    opening = np.concatenate([upper, lower[::-1]])
    middle = opening.mean(0)
    crease = np.array([0.0, 0.055 - 0.02 * au[5] - 0.015 * au[4]])
    around = np.concatenate(
        [(upper - middle) * 1.12 + middle - crease, ((lower - middle) * 1.12 + middle + 0.4 * crease)[::-1]]
    )
    canvas.fill(around, None, "eyes")
    ball = canvas.picture.copy()
    _eyeball(ball, canvas, person, side)
    cut = canvas.mask(opening)[..., None].astype(np.uint16)
    canvas.picture[:] = ((ball * cut + canvas.picture * (255 - cut) + 127) // 255).astype(np.uint8)
    canvas.stroke(upper - crease, 0.018, person.skin * 0.68)
    canvas.stroke(upper, 0.032, person.skin * 0.22)
    canvas.stroke(lower, 0.014, person.skin * (0.6 - 0.15 * au[7]))


def _eyeball(ball: Pixels, canvas: Canvas, person: Appearance, side: int) -> None:
    """White, iris, pupil and a glint, painted without regard to the lids."""

    def disc(x: float, y: float, radius: float, colour: Points) -> None:
        outline = canvas.pixels(_ellipse(x, y, radius, radius))
        cv2.fillPoly(ball, [outline], _tuple(colour), cv2.LINE_AA, _SHIFT)

    x, y = side * person.eye_distance + person.gaze, -0.215
    size = person.eye_size
    disc(side * person.eye_distance, -0.2, 0.32, np.array([232.0, 228, 224]))
    disc(x, y, 0.092 * size, person.iris * 0.55)
    disc(x, y, 0.08 * size, person.iris)
    disc(x, y, 0.038 * size, np.array([14.0, 12, 12]))
    disc(x + 0.025, y - 0.03, 0.017, np.array([250.0, 250, 250]))


def _nose(canvas: Canvas, person: Appearance, au: Units) -> None:
    """Tip, wings and nostrils; units 9 and 10 lift the wings."""
    wide, base = person.nose_width, 0.36 + person.nose_length
    lift = 0.07 * au[9] + 0.025 * au[10]
    flare = 0.025 * au[9]
    right = [
        (0.09, -0.22),
        (0.1, 0.0),
        (wide * 0.8, 0.16),
        (wide + flare, base - 0.1 - lift),
        (wide * 0.75, base + 0.01 - lift),
    ]
    left = [(-x, y) for x, y in reversed(right)]
    canvas.fill(curve([*right, (0, base + 0.06), *left], closed=True), None, "nose", lift=0.08)
    dark = person.skin * 0.6
    for side in (-1, 1):
        wing = [
            (wide * 0.8, base - 0.2 - lift),
            (wide + flare, base - 0.1 - lift),
            (wide * 0.75, base - lift),
        ]
        canvas.stroke(curve(_mirror(wing, side)), 0.022, dark, lift=0.08)
        hole = _ellipse(side * wide * 0.45, base - 0.4 * lift, 0.055 + 0.6 * flare, 0.026 + 0.3 * flare)
        canvas.fill(hole, person.skin * 0.34, lift=0.1)
    under = [(-wide * 0.3, base + 0.025), (0, base + 0.045), (wide * 0.3, base + 0.025)]
    canvas.stroke(curve(under), 0.018, dark, lift=0.12)


def _corner(person: Appearance, au: Units) -> tuple[float, float]:
    """Place (x > 0, y) of a mouth corner."""
    x = person.mouth_width + 0.1 * au[12] + 0.1 * au[20] - 0.06 * au[23] - 0.05 * au[26] + 0.01 * au[15]
    y = 0.66 + person.mouth_height - person.mouth_curve - 0.14 * au[12] + 0.12 * au[15] + 0.03 * au[20]
    return x, y + 0.08 * au[26]


@dataclass(frozen=True)
class _Lips:
    """Four lines from the picture's left mouth corner to its right one."""

    top: Points
    upper: Points
    lower: Points
    bottom: Points


def _lips(person: Appearance, au: Units) -> _Lips:
    (left, left_y), (right, right_y) = (_corner(person, one_side(au, person, side)) for side in (-1, 1))
    middle = 0.68 + person.mouth_height + 0.02 * au[12] - 0.055 * au[17] - 0.01 * au[15]
    thin = person.lip_fullness * (1 - 0.6 * au[23]) * (1 - 0.25 * au[12])
    gap = 0.085 * au[25] + 0.27 * au[26]
    raise_ = 0.09 * au[10] + 0.02 * au[9]
    above = middle - 0.2 * gap - raise_ * (0.6 + 0.4 * au[25])
    below = middle + 0.9 * gap - 0.03 * au[10] * (1 - au[25])
    full, low = 0.085 * thin + 0.02 * au[10], 0.105 * thin * (1 + 0.25 * au[17])

    def line(height: float, side_share: float, dip: float) -> Points:
        """Line between the corners: `height` in the middle, `side_share` of the way there at half width."""
        at_left, at_right = (y + (height - y) * side_share for y in (left_y, right_y))
        points = [(-left, left_y), (-left * 0.55, at_left), (-0.1, height - dip), (0, height)]
        return curve([*points, (0.1, height - dip), (right * 0.55, at_right), (right, right_y)])

    square = 0.72 + 0.2 * au[10] + 0.1 * au[20]
    return _Lips(
        top=line(above - full, square, 0.022),
        upper=line(above, square, 0.0),
        lower=line(max(below, above), 0.72 + 0.1 * au[20], 0.0),
        bottom=line(max(below, above) + low, 0.66, 0.0),
    )


def _mouth(canvas: Canvas, person: Appearance, au: Units) -> None:
    """Lips, and between them teeth, tongue and dark."""
    lips = _lips(person, au)
    outer = np.concatenate([lips.top, lips.bottom[::-1]])
    middle = outer.mean(0)
    canvas.fill((outer - middle) * 1.06 + middle, None, "mouth", lift=0.02)
    opening = np.concatenate([lips.upper, lips.lower[::-1]])
    canvas.fill(opening, np.array([62.0, 22, 24]), lift=0.02)
    gap = float(np.max(lips.lower[:, 1] - lips.upper[:, 1]))
    if gap > 0.03:
        _teeth(canvas, lips, gap)
    canvas.fill(np.concatenate([lips.top, lips.upper[::-1]]), person.lip * 0.9, "mouth", 0.02)
    canvas.fill(np.concatenate([lips.lower, lips.bottom[::-1]]), person.lip, "mouth", 0.02)
    shine = (lips.lower + lips.bottom)[12:-12] / 2
    canvas.stroke(shine, 0.02, person.lip * 0.9 + 22, lift=0.02)
    line = person.skin * 0.3
    canvas.stroke(lips.upper, 0.016, line, lift=0.02)
    canvas.stroke(lips.lower, 0.012, line, lift=0.02)


def _teeth(canvas: Canvas, lips: _Lips, gap: float) -> None:
    """Upper teeth along the upper lip; a tongue in a wide mouth."""
    share = min(1.0, 0.1 / gap)
    edge = lips.upper + share * (lips.lower - lips.upper)
    if gap > 0.16:
        tongue = lips.upper + 0.68 * (lips.lower - lips.upper)
        keep = slice(len(tongue) // 5, -(len(tongue) // 5))
        canvas.fill(
            np.concatenate([tongue[keep], lips.lower[keep][::-1]]), np.array([168.0, 74, 78]), lift=0.02
        )
    keep = slice(3, -3)
    canvas.fill(np.concatenate([lips.upper[keep], edge[keep][::-1]]), np.array([236.0, 230, 218]), lift=0.02)


def _glasses(canvas: Canvas, person: Appearance) -> None:
    colour, wide = person.cloth * 0.35, 0.27
    for side in (-1, 1):
        rim = _ellipse(side * person.eye_distance, -0.17, wide, 0.21)
        canvas.stroke(np.concatenate([rim, rim[:1]]), 0.03, colour, lift=0.1)
        canvas.stroke(
            np.array([[side * (person.eye_distance + wide), -0.2], [side * 1.0, -0.22]]), 0.03, colour
        )
    inner = person.eye_distance - wide
    canvas.stroke(curve([(-inner, -0.2), (0, -0.24), (inner, -0.2)]), 0.03, colour, lift=0.12)


def _photograph(picture: Pixels, person: Appearance, rng: np.random.Generator) -> Pixels:
    """Photograph of the scene, with side light, exposure, blur and noise: uint8 [SIZE, SIZE, 3]."""
    small = cv2.resize(picture, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    if person.blur > 0.3:
        small = cv2.GaussianBlur(small, (0, 0), person.blur)
    ramp = np.linspace(-1, 1, SIZE)
    light = np.add.outer(np.sin(person.light_angle) * ramp, np.cos(person.light_angle) * ramp)
    gain = (1 + person.light_strength * light)[..., None] * (person.brightness * person.tint)
    exposed = (small * gain - 128) * person.contrast + 128
    grain = rng.normal(0, person.noise, (SIZE, SIZE, 1)) + rng.normal(0, person.noise / 2, (SIZE, SIZE, 3))
    return np.clip(np.round(exposed + grain), 0, 255).astype(np.uint8)
