"""The site builds without a warning; its links resolve, and it needs nothing from elsewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
import yaml

ROOT = Path(__file__).parents[2]
LOADED = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src"}


class Page(HTMLParser):
    """What a page links to, what it loads, and the places in it that links can name."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.places: set[str] = set()
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = {name: value or "" for name, value in attrs}
        self.places |= {known[name] for name in ("id", "name") if name in known}
        if tag == "a" and "href" in known:
            self.links.append(known["href"])
        if tag in LOADED and LOADED[tag] in known:
            self.loaded.append(known[LOADED[tag]])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    options = ["-q", "-W", "--keep-going", "-c", ROOT / "docs/site", "-d", folder / "doctrees"]
    command = [sys.executable, "-m", "sphinx", *map(str, options), str(ROOT), str(folder / "html")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return folder / "html"


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    return {path.resolve(): Page(path) for path in site.rglob("*.html")}


def outside(link: str) -> bool:
    return link.startswith(("http:", "https:", "//"))


def test_links_resolve(pages: dict[Path, Page]) -> None:
    dead = []
    for path, page in pages.items():
        for link in (*page.links, *page.loaded):
            if outside(link) or link.startswith(("mailto:", "data:")):
                continue
            name, _, place = unquote(link).partition("#")
            target = (path.parent / name.partition("?")[0]).resolve() if name else path
            if not target.exists() or (
                place and target in pages and place not in pages[target].places
            ):
                dead.append(f"{path.name}: {link}")
    assert not dead


def test_nothing_is_loaded_from_elsewhere(site: Path, pages: dict[Path, Page]) -> None:
    loaded = {link for page in pages.values() for link in page.loaded if outside(link)}
    for sheet in site.rglob("*.css"):
        loaded |= set(
            re.findall(r"(?:url\(|@import )[\"']?((?:https?:)?//[^\"')]+)", sheet.read_text())
        )
    assert not loaded


def test_formulas_are_drawn_by_the_browser(site: Path) -> None:
    page = (site / "docs/algorithms/psf.html").read_text()
    assert '<math xmlns="http://www.w3.org/1998/Math/MathML" display="block"' in page
    assert "$$" not in page


def test_every_page_of_the_navigation_exists(site: Path) -> None:
    parts = yaml.safe_load((ROOT / "docs/site/navigation.yaml").read_text())
    names = [name for part in parts for name in part["pages"] if "*" not in name]
    assert [name for name in names if not (site / f"{name}.html").is_file()] == []


def test_the_drawn_flow_is_that_of_its_source() -> None:
    """``docs/images/flow.svg`` has the arrows of ``flow.dot``, which has all tasks."""
    source = (ROOT / "docs/images/flow.dot").read_text()
    drawn = (ROOT / "docs/images/flow.svg").read_text()
    arrows = set(re.findall(r"(?m)^  (\w+) -> (\w+)", source))
    assert arrows == set(re.findall(r"<title>(\w+)&#45;&gt;(\w+)</title>", drawn))
    tasks = {path.stem for path in (ROOT / "docs/tasks").glob("*.md")} - {"README", "makeReport"}
    assert tasks <= {name for arrow in arrows for name in arrow}
