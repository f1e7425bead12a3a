"""The demo in the system's Chromium: what it shows, what it refuses, that it keeps and sends nothing."""

import importlib.util
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import psutil
import pytest
import requests
from chromium import CHROMIUM, QUIET
from conftest import A_WHILE, ROOT
from photographs import CLASSES, SIZE, drawn, photograph, png, write_weights
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from emotions.taxonomy import display
from tools.serve.predictor import Prediction, Predictor

GRADIO = pytest.mark.skipif(
    importlib.util.find_spec("gradio") is None, reason="the extra is not installed: make test-extras"
)
BROWSER = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (Debian: apt install chromium)")


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "tools.serve.demo", *arguments]


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@dataclass
class Running:
    process: subprocess.Popen[str]
    url: str
    temporary: Path
    """Where the process makes its temporary folders."""
    stderr: Path


def started(weights: Path, temporary: Path) -> Running:
    """A demo that answers."""
    temporary.mkdir()
    port, stderr = free_port(), temporary.with_suffix(".stderr")
    with stderr.open("w") as errors:
        process = subprocess.Popen(
            command("--model", str(weights), "--port", str(port)),
            cwd=ROOT,
            env=os.environ | {"TMPDIR": str(temporary)},
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    assert process.stdout is not None
    said = process.stdout.readline()
    assert f"http://127.0.0.1:{port} " in said, stderr.read_text()  # an empty line: it has ended
    return Running(process, f"http://127.0.0.1:{port}", temporary, stderr)


def ended(demo: Running, how: signal.Signals = signal.SIGTERM) -> int:
    demo.process.send_signal(how)
    try:
        return int(demo.process.wait(A_WHILE))
    finally:
        demo.process.kill()


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_weights(tmp_path_factory.mktemp("weights") / "model.pth")


@pytest.fixture(scope="module")
def demo(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    demo = started(weights, tmp_path_factory.mktemp("demo") / "temporary")
    yield demo
    ended(demo)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*sandbox, *QUIET])
        yield browser
        browser.close()


def opened(browser: Browser, demo: Running) -> tuple[Page, list[str]]:
    """The page, and all that it asks for."""
    page = browser.new_page()
    page.set_default_timeout(1000 * A_WHILE)
    expect.set_options(timeout=1000 * A_WHILE)
    asked: list[str] = []
    page.on("request", lambda r: asked.append(r.url))
    page.goto(demo.url)
    return page, asked


def upload(page: Page, name: str, content: bytes) -> None:
    page.locator("input[type=file]").set_input_files(
        files=[{"name": name, "mimeType": "image/png", "buffer": content}]
    )


@GRADIO
@BROWSER
def test_a_face_is_answered_as_the_predictor_does_with_its_map_and_the_card(
    browser: Browser, demo: Running, weights: Path, tmp_path: Path
) -> None:
    page, asked = opened(browser, demo)
    expect(page.get_by_text("stays on this computer")).to_be_visible()
    upload(page, "face.png", drawn(0))
    expect(page.get_by_text("one face fills it already")).to_be_visible()
    (tmp_path / "face.png").write_bytes(drawn(0))
    (expected,) = Predictor(weights)([tmp_path / "face.png"])
    assert isinstance(expected, Prediction)
    shown = page.locator("[data-testid$='-confidence-set']")
    expect(shown).to_have_count(3)
    for item, (name, probability) in zip(shown.all(), expected.top(CLASSES), strict=True):
        expect(item).to_contain_text(display(name))
        expect(item).to_contain_text(f"{100 * probability:.0f}%")
    overlay = page.locator(".overlay img")
    expect(overlay).to_have_count(1)
    page.wait_for_function("e => e.complete && e.naturalWidth", arg=overlay.element_handle())
    assert overlay.bounding_box()["width"] > 300, "too small to see anything"
    assert overlay.evaluate("e => getComputedStyle(e).objectFit") == "contain"
    assert overlay.evaluate("e => [e.naturalWidth, e.naturalHeight]") == [2 * SIZE, SIZE]
    expect(page.get_by_role("heading", name="ResNet-50 for compound emotions")).to_be_visible()
    expect(page.get_by_text("are of other weights: nothing is claimed here")).to_be_visible()
    expect(page.get_by_role("heading", name="Do not use it for")).to_be_visible()
    hosts = {urlsplit(url).netloc for url in asked if not url.startswith(("data:", "blob:"))}
    assert hosts == {urlsplit(demo.url).netloc}


@GRADIO
@BROWSER
def test_each_face_of_a_photograph_is_shown_largest_first_and_the_next_picture_replaces_them(
    browser: Browser, demo: Running
) -> None:
    page, _ = opened(browser, demo)
    upload(page, "two.png", png(photograph((60, 100, 180), (450, 150, 300))))
    cut = page.get_by_text("cut out of the picture")
    expect(cut).to_have_count(2)
    expect(cut.nth(0)).to_contain_text("Face 1 of 2")
    expect(cut.nth(1)).to_contain_text("Face 2 of 2")
    sides = [int(text.split(": ")[1].split(" x ")[0]) for text in cut.all_text_contents()]
    assert sides[0] > sides[1]
    page.get_by_label("Clear").click()
    expect(cut).to_have_count(0)
    noise = np.random.default_rng(0).integers(0, 255, (300, 500, 3), np.uint8)
    upload(page, "noise.png", png(Image.fromarray(noise)))
    expect(page.get_by_text("no face was found in it")).to_be_visible()


@GRADIO
@BROWSER
@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"no picture", "bad.png: not a JPEG or PNG image"),
        (drawn(0)[:500], "bad.png: "),
        (png(Image.new("1", (8000, 8000))), "bad.png: 8000 x 8000 px, over "),
    ],
    ids=["text", "cut off", "64 megapixels in a few bytes"],
)
def test_what_is_no_picture_gets_a_sentence(
    browser: Browser, demo: Running, content: bytes, why: str
) -> None:
    page, _ = opened(browser, demo)
    upload(page, "bad.png", content)
    said = page.get_by_label("This picture cannot be used")
    expect(said).to_have_value(re.compile(f"^{re.escape(why)}"))
    assert str(demo.temporary) not in said.input_value()
    assert "Traceback" not in page.content() + demo.stderr.read_text()


@GRADIO
@BROWSER
def test_a_file_over_the_limit_is_refused(browser: Browser, demo: Running) -> None:
    page, _ = opened(browser, demo)
    upload(page, "large.png", drawn(0) + bytes(10 * 2**20))
    expect(page.get_by_text("maximum")).to_be_visible()
    # The server refuses, too, whoever asks.
    sent = {"files": ("large.png", bytes(10 * 2**20 + 1))}
    assert requests.post(f"{demo.url}/gradio_api/upload", files=sent, timeout=A_WHILE).status_code == 413
    assert max(f.stat().st_size for f in [ROOT / "Makefile", *demo.temporary.rglob("*")]) < 10 * 2**20


@GRADIO
def test_the_server_listens_on_this_computer_only_and_gives_out_none_of_its_files(demo: Running) -> None:
    connections = psutil.Process(demo.process.pid).net_connections("inet")
    listening = [c.laddr.ip for c in connections if c.status == psutil.CONN_LISTEN]
    assert listening == ["127.0.0.1"]
    assert {c.raddr.ip for c in connections if c.raddr} <= {"127.0.0.1"}
    for path in ("gradio_api/file=params.yaml", f"gradio_api/file={ROOT}/params.yaml", "docs"):
        answer = requests.get(f"{demo.url}/{path}", timeout=A_WHILE)
        assert answer.status_code in (403, 404), path


@GRADIO
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_no_picture_outlives_the_program(weights: Path, tmp_path: Path, how: signal.Signals) -> None:
    demo = started(weights, tmp_path / "temporary")
    sent = {"files": ("face.png", drawn(0))}
    assert requests.post(f"{demo.url}/gradio_api/upload", files=sent, timeout=A_WHILE).ok
    assert list(demo.temporary.rglob("face.png"))
    assert ended(demo, how) in (128 + signal.SIGTERM, 128 + signal.SIGINT)
    assert list(demo.temporary.iterdir()) == []  # onnxruntime's telemetry would leave a file, too


def refused(line: list[str]) -> str:
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=A_WHILE, check=False)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


@GRADIO
def test_a_port_in_use_is_said(weights: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        said = refused(command("--model", str(weights), "--port", port))
    assert said == f"demo: port {port} is in use; name another: --port\n"


@GRADIO
def test_a_model_that_is_not_there_is_said(tmp_path: Path) -> None:
    said = refused(command("--model", str(tmp_path / "none.pth")))
    assert "none.pth does not exist; `make repro` makes the models" in said


def test_without_gradio_the_remedy_is_named() -> None:
    code = "import runpy, sys; sys.modules['gradio'] = None; "
    code += "runpy.run_module('tools.serve.demo', run_name='__main__')"
    assert refused([sys.executable, "-c", code]) == "demo: gradio is not installed; `make demo` installs it\n"
