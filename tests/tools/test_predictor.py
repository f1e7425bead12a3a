"""Predictions: which faces are asked about, that answers are the study's own, what is said of bad files."""

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT, rounding
from photographs import CLASSES, SIZE, drawn, photograph, picture, write_weights
from PIL import Image

from emotions.attention.knobs import AttentionError, MapParams
from emotions.data import images
from emotions.model import resnet, weight_files
from emotions.model.preprocessing import normalise, to_float
from emotions.model.weight_files import WeightsError
from emotions.runtime import outs
from tools.serve import predict, predictor
from tools.serve.predictor import MARGIN, Failure, Prediction, Predictor, cut, find

MAPS = MapParams(method="gradcam", min_grid=12)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_weights(tmp_path_factory.mktemp("weights") / "model.pth")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two faces, one below, and three files that are none."""
    folder = tmp_path_factory.mktemp("pictures")
    (folder / "b").mkdir()
    (folder / "a.png").write_bytes(drawn(0))
    (folder / "b/a.PNG").write_bytes(drawn(1))
    (folder / "c.jpg").write_bytes(b"no image")
    (folder / "d.png").write_bytes(drawn(0)[:500])
    (folder / "notes.txt").write_text("no picture")
    return folder


def test_the_faces_of_a_photograph_are_cut_out_largest_first() -> None:
    wide = photograph((60, 100, 180), (450, 150, 300))
    first, second = cut(wide, "wide", "auto", size=SIZE)
    for face, number, (left, top, side) in ((first, 1, (450, 150, 300)), (second, 2, (60, 100, 180))):
        assert (face.number, face.of, face.how) == (number, 2, "face")
        assert face.pixels.shape == (SIZE, SIZE, 3)
        middle = [(face.box[i] + face.box[i + 2]) / 2 for i in (0, 1)]
        assert middle == pytest.approx([left + side / 2, top + side / 2], abs=0.15 * side)
        assert side * 0.6 < face.box[2] - face.box[0] < side * 1.6
        assert face.box[2] - face.box[0] == face.box[3] - face.box[1]


def test_a_crop_is_taken_whole_as_the_study_takes_it() -> None:
    content = drawn(3)
    (face,) = cut(picture(content), "crop", "auto", size=SIZE)
    assert (face.how, face.of, face.box) == ("a crop already", 1, (0, 0, 224, 224))
    stored = picture(images.to_square(content, "crop", predictor.STORED))
    assert np.array_equal(face.pixels, np.asarray(stored.resize((SIZE, SIZE), Image.Resampling.BICUBIC)))
    (small,) = cut(picture(content).resize((100, 100)), "small", "auto", size=SIZE)
    assert small.how == "a crop already"


def test_a_picture_without_a_face_is_taken_whole_and_says_so() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (300, 500, 3), np.uint8)
    (face,) = cut(Image.fromarray(noise), "noise", "auto", size=SIZE)
    assert (face.how, face.box) == ("no face found", (0, 0, 500, 300))


def test_one_may_insist_on_cutting_or_forbid_it() -> None:
    (always,) = cut(picture(drawn(0)), "crop", "always", size=SIZE)
    assert always.how == "face"
    (never,) = cut(photograph((60, 100, 180)), "wide", "never", size=SIZE)
    assert (never.how, never.box) == ("as asked", (0, 0, 900, 600))


def test_a_face_at_the_edge_is_continued_not_filled_with_black() -> None:
    wide = photograph((0, 0, 300))
    (face,) = cut(wide, "edge", "auto", size=SIZE)
    assert face.box[0] < 0
    edge = np.asarray(wide)[max(face.box[1], 0) : face.box[3], 0].mean(0)
    assert face.pixels[:, 0].mean(0) == pytest.approx(edge, abs=3)


def test_large_pictures_are_searched_small_and_boxes_come_back_large() -> None:
    wide = photograph((450, 150, 300))
    (box,) = find(wide)
    (large,) = find(wide.resize((2700, 1800)))
    assert large == pytest.approx([3 * x for x in box], abs=100)
    assert large[2] - large[0] > (1 + 2 * MARGIN) * 300


def test_answers_are_those_of_the_network_on_the_studys_own_pictures(weights: Path, folder: Path) -> None:
    found = list(Predictor(weights)([folder / "a.png", folder / "c.jpg", folder / "b/a.PNG"], batch_size=2))
    assert [type(one) for one in found] == [Prediction, Failure, Prediction]
    model = resnet.build(len(CLASSES), 0.0, seed=0)
    weight_files.load_whole(model, weight_files.read_checkpoint(weights)["state_dict"], "weights")
    model.eval()
    for one, number in ((found[0], 0), (found[2], 1)):
        assert isinstance(one, Prediction)
        pixels = predictor.squared(picture(drawn(number)), SIZE)
        with torch.no_grad():
            logits = model(normalise(to_float(torch.tensor(pixels).permute(2, 0, 1)[None])))
        expected = torch.softmax(logits.double(), 1)[0].numpy()
        # A probability moves by less than half of what its logit does.
        assert one.probabilities == pytest.approx(expected, abs=rounding(logits))
        top = one.top(CLASSES)
        assert [name for name, _ in top] == [CLASSES[i] for i in np.argsort(-expected)[:3]]
        assert one.heat is None
        with pytest.raises(ValueError, match="no map"):
            one.overlay()
    assert isinstance(found[1], Failure)
    assert "c.jpg: not a JPEG or PNG image" in found[1].why


def test_an_overlay_is_the_face_beside_itself_under_its_map(weights: Path, folder: Path) -> None:
    (one,) = Predictor(weights, maps=MAPS)([folder / "a.png"], batch_size=1)
    assert isinstance(one, Prediction)
    left, right = np.hsplit(np.asarray(one.overlay()), 2)
    assert np.array_equal(left, predictor.squared(picture(drawn(0)), SIZE))
    assert not np.array_equal(left, right)


def test_maps_are_made_as_params_yaml_says(weights: Path, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("gradcam: {method: layercam, min_grid: 4, examples: 2}\n")
    asked = predictor.maps_of(tmp_path / "params.yaml")
    assert asked == MapParams(method="layercam", min_grid=4)
    heat = []
    for maps in (MAPS, asked):
        (one,) = Predictor(weights, maps=maps)([folder / "a.png"], batch_size=1)
        assert isinstance(one, Prediction) and one.heat is not None
        heat.append(one.heat)
    assert not np.array_equal(*heat)
    with pytest.raises(AttentionError, match=r"gradcam\.min_grid is 999"):
        Predictor(weights, maps=MapParams(method="gradcam", min_grid=999))


def test_memory_and_order_do_not_depend_on_the_number_of_pictures(weights: Path, folder: Path) -> None:
    """Answers come before the stream of pictures has ended."""
    taken = 0

    def stream() -> object:
        nonlocal taken
        for _ in range(1000):
            taken += 1
            yield folder / "a.png"

    answers = Predictor(weights)(stream(), batch_size=2)  # type: ignore[arg-type]
    for _ in range(4):
        next(answers)
    assert taken < 20
    answers.close()


def test_weights_that_do_not_say_their_classes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "bare.pth"
    outs.write_torch(path, resnet.snapshot(resnet.build(3, 0.0, seed=0)))
    with pytest.raises(WeightsError, match="does not say its classes and image size"):
        Predictor(path)


def as_jpeg(content: bytes) -> bytes:
    out = io.BytesIO()
    picture(content).save(out, "JPEG")
    return out.getvalue()


def asked(*arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tools.serve.predict", *arguments]
    return subprocess.run(command, cwd=ROOT, input=given, capture_output=True, text=True, check=False)


def test_a_folder_is_answered_and_what_cannot_be_used_is_listed_at_the_end(
    weights: Path, folder: Path, tmp_path: Path
) -> None:
    maps = tmp_path / "maps"
    done = asked(str(folder), "--model", str(weights), "--explain", str(maps))
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert [line.split(" (")[0] for line in lines] == [str(folder / "a.png"), str(folder / "b/a.PNG")]
    assert "(whole picture, a crop already): " in lines[0]
    assert done.stderr.count("not used: ") == 2
    assert "notes.txt" not in done.stderr
    overlays = sorted(maps.iterdir())
    assert len(overlays) == 2
    assert all(Image.open(path).size == (1020, 555) for path in overlays), "large enough to see something"


def test_a_list_on_standard_input_as_json_and_as_csv(weights: Path, folder: Path) -> None:
    paths = f"{folder / 'a.png'}\n\n{folder / 'b'}\n"
    done = asked("-", "--json", "--model", str(weights), given=paths)
    assert (done.returncode, done.stderr) == (0, "")
    first, second = map(json.loads, done.stdout.splitlines())
    assert (first["image"], second["image"]) == (str(folder / "a.png"), str(folder / "b/a.PNG"))
    assert first["box"] == [0, 0, 224, 224]
    assert len(first["top"]) == 3
    done = asked("-", "--csv", "--model", str(weights), given=paths)
    table = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [r["class_1"] for r in table] == [first["top"][0]["class"], second["top"][0]["class"]]
    assert float(table[0]["probability_3"]) == first["top"][2]["probability"]


@pytest.mark.parametrize("what", ["missing.png", "model"])
def test_nothing_to_ask_is_exit_status_two(weights: Path, tmp_path: Path, what: str) -> None:
    if what == "model":
        done = asked(str(tmp_path), "--model", str(tmp_path / "none.pth"))
        assert "does not exist; `make repro` makes the models" in done.stderr
    else:
        done = asked(str(tmp_path / what), "--model", str(weights))
        assert "missing.png" in done.stderr
        assert "no picture could be used" in done.stderr
    assert (done.returncode, done.stdout) == (2, "")


def test_overlays_of_pictures_with_one_name_have_names_of_their_own() -> None:
    names = predict.OverlayNames()

    def name(path: str, number: int) -> str:
        face = predictor.Face(path, number, 2, (0, 0, 1, 1), "face", np.zeros((1, 1, 3), np.uint8))
        return names(Prediction(face, np.ones(1), None))

    assert name("/a/x.jpg", 1) == "a__x.jpg-1.png"
    paths = (
        *("/a/x.jpg", "/b/x.jpg", "../a/x.jpg", "a/x.jpg", "/a__x.jpg", "/A/x.JPG"),
        *(f"/{'long' * 40}/{i}/x.jpg" for i in range(2)),
    )
    made = {name(path, number).casefold() for path in paths for number in (1, 2)}
    assert len(made) == 2 * len(paths)
    assert all(len(one.encode()) < 255 for one in made)
    assert name("/b/x.jpg", 1) == name("/b/x.jpg", 1), "the same face has the same name"


def test_pictures_of_other_kinds_in_a_folder_are_listed_as_not_used(weights: Path, tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    for name in ("a.jfif", "._a.jfif", ".ipynb_checkpoints/a-checkpoint.jpg", "@eaDir/a.jpg", "Thumbs.db"):
        (pictures / name).parent.mkdir(parents=True, exist_ok=True)
        (pictures / name).write_bytes(as_jpeg(drawn(0)))
    for name in ("b.webp", "c.bmp", "d.gif"):
        picture(drawn(0)).save(pictures / name)
    (pictures / "e.heic").write_bytes(b"\0\0\0\x18ftypheic")
    done = asked(str(pictures), "--model", str(weights))
    assert done.returncode == 1
    assert [line.split(" (")[0] for line in done.stdout.splitlines()] == [str(pictures / "a.jfif")]
    listed = [line for line in done.stderr.splitlines() if line.startswith("not used: ")]
    assert [Path(line.split(": ")[1]).name for line in listed] == ["b.webp", "c.bmp", "d.gif", "e.heic"]


def test_what_is_no_file_is_listed_and_never_waited_for(weights: Path, tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    (pictures / "folder.jpg").mkdir(parents=True)
    (pictures / "without_suffix").write_bytes(drawn(0))
    (pictures / "README").write_text("no picture")
    picture(drawn(0)).save(pictures / "animated.png", save_all=True, append_images=[picture(drawn(1))])
    picture(drawn(0)).convert("CMYK").save(pictures / "printed.JPG")
    (pictures / "broken.jpg").symlink_to("nowhere.jpg")
    (pictures / "loop.jpg").symlink_to("loop.jpg")
    os.mkfifo(pictures / "pipe.png")
    done = asked("-", "--model", str(weights), given=f"{pictures}\nname\0.png\n")
    assert done.returncode == 1
    answered = [Path(line.split(" (")[0]).name for line in done.stdout.splitlines()]
    assert answered == ["printed.JPG", "without_suffix"]
    listed = [line for line in done.stderr.splitlines() if line.startswith("not used: ")]
    wanted = ("animated.png", "broken.jpg", "loop.jpg", "pipe.png", "null byte")
    assert len(listed) == len(wanted)
    assert all(what in line for what, line in zip(wanted, listed, strict=True))


def test_a_folder_that_cannot_be_listed_is_not_taken_for_an_empty_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scandir = os.scandir

    def closed(path: str) -> object:
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    for name in ("closed/a.jpg", "open/b.JPG"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b"")
    monkeypatch.setattr(os, "scandir", closed)
    assert list(predict.pictures([str(tmp_path)])) == [tmp_path / "closed", tmp_path / "open/b.JPG"]


def test_lists_of_other_systems_and_names_that_a_terminal_lacks(weights: Path, tmp_path: Path) -> None:
    names = ["eins.jpg", "zwei \u732b.jpg", os.fsdecode(b"drei\xff.jpg")]
    for name in names:
        (tmp_path / name).write_bytes(as_jpeg(drawn(0)))
    given = "\ufeff" + "".join(f"{tmp_path / name}\r\n" for name in names[:2])
    command = [sys.executable, "-m", "tools.serve.predict", "-", "--model", str(weights)]
    environment = os.environ | {"PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(command, cwd=ROOT, input=given.encode(), capture_output=True, env=environment)
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 2), done.stderr
    plain = os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    command[3:4] = [str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, env=plain, check=False)
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 3), done.stderr
    assert b"zwei \\u732b.jpg" in done.stdout and b"drei\\udcff.jpg" in done.stdout
