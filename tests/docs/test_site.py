"""The site: built strictly, from nothing that is fetched, and looked at in a browser."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "true"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture
def page(site: Path) -> Iterator[Any]:
    """A page of a real browser, which must complain of nothing."""
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("there is no browser")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        faults: list[str] = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("requestfailed", lambda request: faults.append(request.url))
        yield page
        browser.close()
    assert not faults


def test_the_site_fetches_nothing(site: Path) -> None:
    for file in site.rglob("*.html"):
        text = file.read_text("utf-8")
        fetched = re.findall(r"<(?:script|img)[^>]+src=\"?(https?:[^\"\s>]+)", text)
        fetched += re.findall(r"<link[^>]+rel=\"?(?:stylesheet|preconnect)\"?[^>]+href=\"?(https?:[^\"\s>]+)", text)
        assert not fetched, f"{file.name}: {fetched}"


def test_the_leaderboard_is_sorted_by_the_column_that_is_clicked(site: Path, page: Any) -> None:
    page.goto((site / "leaderboard.html").as_uri())
    table = page.locator("article table").first
    head = table.locator("thead th", has_text="text-v1").first
    column = head.evaluate("head => head.cellIndex")

    def cells() -> list[str]:
        found: list[str] = table.locator(f"tbody tr td:nth-child({column + 1})").all_inner_texts()
        return [text.strip() for text in found]

    def numbers() -> list[float]:
        return [float(text.split()[0]) for text in cells() if text != "-"]

    before = sorted(cells())
    head.click()
    assert numbers() == sorted(numbers(), reverse=True) and head.get_attribute("aria-sort") == "descending"
    head.press("Enter")
    assert numbers() == sorted(numbers()) and head.get_attribute("aria-sort") == "ascending"
    assert sorted(cells()) == before and cells()[len(numbers()) :] == ["-"] * (len(before) - len(numbers()))
    table.locator("thead th").first.click()  # names, by the alphabet
    names = table.locator("tbody tr td:first-child").all_inner_texts()
    assert names == sorted(names, key=str.casefold) and head.get_attribute("aria-sort") is None


def test_pictures_are_there(site: Path, page: Any) -> None:
    for name in ("leaderboard", "index"):
        page.goto((site / f"{name}.html").as_uri())
        widths = page.locator("article img").evaluate_all("images => images.map(image => image.naturalWidth)")
        assert widths and min(widths) > 100
