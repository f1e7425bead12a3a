"""Remake what the documents show: the outputs in docs/compare.md and the pictures in docs/images.

Usage: python -m tools.dev.documents

Works in a clone of the last commit that shares this repository's DVC cache, so only the stages that the
example changes are run (10 minutes). Needs Chromium for the pictures of the report.
"""

import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from shlex import quote

import vl_convert
from PIL import Image
from playwright.sync_api import sync_playwright

from emotions.data.images import encoded

ROOT = Path(__file__).parents[2]
EXAMPLE = Path("docs/compare.md")
IMAGES = Path("docs/images")
COMPARED = {
    "Training curves of all runs": "compare_history.png",
    "plots/per_class/run2.csv": "compare_f1.png",
    "plots/confusion/run2.csv": "compare_confusion.png",
}
"""Plots -> pictures of them before and after the example's change."""
COLUMNS = 160
"""Terminal width for the example."""
QUIET = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-quic"]


def run(command: str, folder: Path) -> str:
    """Run a shell command and return what it prints, both streams.

    Raises:
        RuntimeError: the command failed.
    """
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "COLUMNS": str(COLUMNS),
        "DVC_PAGER": "cat",
        "DVC_NO_ANALYTICS": "1",
        "GIT_AUTHOR_NAME": "A. Reader",
        "GIT_AUTHOR_EMAIL": "reader@example.org",
        "GIT_COMMITTER_NAME": "A. Reader",
        "GIT_COMMITTER_EMAIL": "reader@example.org",
    }
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"`{command}` ended with {done.returncode}:\n{done.stdout}")
    return done.stdout


def executed(text: str, folder: Path) -> str:
    """Run every `$ command` in the console blocks of a Markdown text, and put in what it prints now."""

    def again(block: re.Match[str]) -> str:
        lines = []
        for command in re.findall(r"^\$ (.*)$", block[1], re.MULTILINE):
            print(f"$ {command}", flush=True)
            output = "\n".join(line.rstrip() for line in run(command, folder).strip("\n").splitlines())
            lines += [f"$ {command}", *([output] if output else [])]
        return "```console\n" + "\n".join(lines) + "\n```"

    return re.sub(r"```console\n(.*?)\n```", again, text, flags=re.DOTALL)


def compared(folder: Path) -> dict[str, bytes]:
    """`dvc plots diff HEAD` of COMPARED, as PNG, by picture name."""
    pictures = {}
    for plot, name in COMPARED.items():
        shown = run(f"dvc plots diff HEAD --show-vega --targets {quote(plot)} 2>/dev/null", folder)
        pictures[name] = vl_convert.vegalite_to_png(json.loads(shown), scale=1.3)
    return pictures


def screenshots(report: Path, language: str) -> dict[str, bytes]:
    """PNGs of the top of a report on a desktop, a phone and a sheet of A4, by picture name."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        raise RuntimeError("no Chromium on the PATH (Debian: apt install chromium)")
    pictures = {}
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=[*sandbox, *QUIET])
        for kind, width, height in (("desktop", 1280, 1500), ("phone", 390, 1200), ("print", 695, 980)):
            page = browser.new_page(viewport={"width": width, "height": height})
            page.emulate_media(media="print" if kind == "print" else "screen")
            page.goto(report.resolve().as_uri())
            pictures[f"report_{language}_{kind}.png"] = page.screenshot()
        browser.close()
    return pictures


def small(picture: bytes) -> bytes:
    """Reduce a screenshot to 64 colours: text stays sharp, the file gets small."""
    return encoded(Image.open(io.BytesIO(picture)).convert("RGB").quantize(64), "PNG", optimize=True)


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "study"
        run(f"git clone -q {quote(str(ROOT))} {quote(str(folder))}", ROOT)
        run("git switch -q -c dropout", folder)
        # the cache's files without its run cache: the example trains as it would for a reader
        run(
            f"mkdir .dvc/cache && ln -s {quote(str(ROOT / '.dvc/cache/files'))} .dvc/cache/files "
            "&& dvc checkout -q",
            folder,
        )
        run(f"ln -s {quote(str(ROOT / '.venv'))} .venv", folder)
        run("touch -d @0 requirements.txt", folder)  # make: installed
        pictures = screenshots(folder / "report/report.html", "en")
        text = executed((ROOT / EXAMPLE).read_text(encoding="utf-8"), folder)
        (ROOT / EXAMPLE).write_text(text, encoding="utf-8")
        run("git reset -q --soft HEAD~1", folder)
        pictures |= compared(folder)
        run("git reset -q --hard && dvc checkout -q && dvc exp run -q -S report.language=fr", folder)
        pictures |= screenshots(folder / "report/report.html", "fr")
    (ROOT / IMAGES).mkdir(exist_ok=True)
    for name, picture in pictures.items():
        (ROOT / IMAGES / name).write_bytes(small(picture))


if __name__ == "__main__":
    main()
