"""The documentation builds, leads nowhere else, and its links and references hold."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from mkdocs.commands.build import build
from mkdocs.config import load_config

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built in strict mode, in which a broken link or reference is an error."""
    folder = tmp_path_factory.mktemp("site")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(folder)))
    return folder


def test_every_page_of_docs_is_in_the_navigation(site: Path) -> None:
    home = (site / "index.html").read_text()
    for page in (ROOT / "docs").glob("*.md"):
        if page.stem != "index":
            assert f'href="{page.stem}/"' in home, page.name


def test_the_interface_is_documented_from_docstrings(site: Path) -> None:
    page = (site / "api" / "index.html").read_text()
    for name in ("Deblurrer", "deblur", "Steering", "create_model", "AdaWPT", "InputError"):
        assert name in page
    assert "A file, array or option that cannot be used as it is." in page


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    fetched = re.compile(r'(?:<script[^>]*\ssrc|<link[^>]*\shref|<img[^>]*\ssrc)="(https?:[^"]+)"')
    for page in site.rglob("*.html"):
        others = [url for url in fetched.findall(page.read_text()) if "canonical" not in url]
        assert not others, (page.name, others)
