"""The report in the system's Chromium, as a reader on a desktop, on a phone and on paper sees it."""

import io
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from chromium import CHROMIUM, QUIET
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright
from small_study import study

from emotions.attention import gallery
from emotions.reporting import figures, report
from emotions.reporting.wording import LANGUAGES, Wording

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (Debian: apt install chromium)")

PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module", params=LANGUAGES)
def page_file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with its real figures and galleries of the usual width."""
    say = Wording(request.param)
    s = study(("run1", "run2", "a_run_with_quite_a_long_name"))
    drawn = {
        "plots/training_curves.png": figures.training_curves(s.history, s.titles, say),
        "plots/confusion_matrices.png": figures.confusion_matrices(s.runs, s.classes, say),
        "plots/class_distribution.png": figures.class_distribution(s.data, s.classes, say),
        "plots/per_class_f1.png": figures.per_class_f1(s.runs, s.classes, s.train_counts, say=say),
        "plots/calibration.png": figures.reliability(s.runs, say),
        "plots/attention.png": figures.attention_story(s.attention, s.titles, say),
        "plots/resnet_final_confusion_matrix.png": figures.final_matrix(s.runs[s.best], s.classes, say),
    }
    out = io.BytesIO()
    Image.fromarray(np.full((1642, 1040, 3), 90, np.uint8)).save(out, "JPEG")
    means = gallery.draw_means({"all": np.ones((12, 12))}, {}, 96, title="Title")
    drawn |= {f"plots/runs/{name}/attention.png": means for name in s.runs}
    path = tmp_path_factory.mktemp("report") / "report.html"
    shown = [
        "plots/contact_sheet.jpg",
        *(f"plots/runs/{name}/{kind}.jpg" for name in s.runs for kind in ("gallery", "confusions")),
    ]
    path.write_text(report.html_report(s, say, drawn, photographs=dict.fromkeys(shown, out.getvalue())))
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    sandbox = (
        ["--no-sandbox"] if os.geteuid() == 0 else []
    )  # Chromium refuses to run as root with its sandbox
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*sandbox, *QUIET])
        yield browser
        browser.close()


def opened(browser: Browser, path: Path, **context: object) -> tuple[Page, list[str]]:
    """The page, and what it complains about or asks of the network."""
    page = browser.new_context(**context).new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda r: said.append(r.url) if not r.url.startswith(("file:", "data:")) else None)
    page.goto(path.as_uri())
    return page, said


def test_the_page_is_silent_and_all_its_pictures_show(browser: Browser, page_file: Path) -> None:
    page, said = opened(browser, page_file)
    assert said == []
    assert page.evaluate("[...document.images].length") == 17
    assert page.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 100)")


@pytest.mark.parametrize("width", [360, 390, 768, 1280])
def test_the_page_never_scrolls_sideways(browser: Browser, page_file: Path, width: int) -> None:
    phone = {"is_mobile": True, "has_touch": True} if width < 700 else {}
    page, _ = opened(browser, page_file, viewport={"width": width, "height": 844}, **phone)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("innerWidth") == width, "the page was zoomed out to fit something wide"


def test_wide_tables_scroll_in_their_own_box_on_a_phone(browser: Browser, page_file: Path) -> None:
    page, _ = opened(browser, page_file, viewport=PHONE, is_mobile=True)
    inside, shown = page.evaluate(
        "(() => { const b = document.querySelector('.box'); return [b.scrollWidth, b.clientWidth]; })()"
    )
    assert inside > shown
    assert page.evaluate("document.querySelectorAll('.box:not([tabindex])').length") == 0


def test_text_on_a_phone_is_large_enough_to_read(browser: Browser, page_file: Path) -> None:
    page, _ = opened(browser, page_file, viewport=PHONE, is_mobile=True)
    smallest = page.evaluate(
        "Math.min(...[...document.querySelectorAll('p,td,th,li')]"
        ".map(e => parseFloat(getComputedStyle(e).fontSize)))"
    )
    assert smallest >= 13


def test_each_link_of_the_contents_leads_to_its_section(browser: Browser, page_file: Path) -> None:
    page, said = opened(browser, page_file)
    links = page.locator("h1 ~ ul").first.locator("a")
    assert links.count() == 7
    for i in range(links.count()):
        links.nth(i).click()
        target = page.evaluate("decodeURIComponent(location.hash.slice(1))")
        top = page.evaluate("id => document.getElementById(id).getBoundingClientRect().top", target)
        height, scrolled = page.evaluate("[document.documentElement.scrollHeight - innerHeight, scrollY]")
        assert -1 <= top < 60 or scrolled >= height - 1, target
        page.evaluate("scrollTo(0, 0)")
    assert said == []


def test_nothing_is_cut_off_on_paper(browser: Browser, page_file: Path) -> None:
    inner = round((210 - 26) / 25.4 * 96)  # A4 less the margins of @page, in CSS pixels
    page, _ = opened(browser, page_file, viewport={"width": inner, "height": 1000})
    page.emulate_media(media="print")
    wide = page.evaluate(
        "w => [...document.querySelectorAll('table,img,pre')]"
        ".filter(e => e.getBoundingClientRect().right > w + 1 || e.scrollWidth > e.clientWidth + 1)"
        ".map(e => e.outerHTML.slice(0, 80))",
        inner,
    )
    assert wide == []
    assert page.pdf(prefer_css_page_size=True).startswith(b"%PDF")
