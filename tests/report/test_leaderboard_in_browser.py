"""The leaderboard in a real browser: what fits a window, and that the rest is seen to be there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from diminuendo.report.page import html_page
from diminuendo.report.rows import build_report
from tests.factories.browser import Browser, browser, chromium
from tests.factories.evaluation import family_params
from tests.factories.reported import made_up

TABLES = """[...document.querySelectorAll('h1, h2')].map(title => [title.textContent, title]).map(([name, title]) => {
    const around = [...document.querySelectorAll('.around')].find(
        one => title.compareDocumentPosition(one) & Node.DOCUMENT_POSITION_FOLLOWING), table = around.firstElementChild;
    return {name, cut: table.scrollWidth - table.clientWidth, more: around.classList.contains('more')}; })"""
ACCENTS = 12
pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module", autouse=True)
def there_is_a_browser() -> None:
    chromium()


@pytest.fixture(scope="module")
def page_of_many_groups(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("leaderboard")
    made_up(folder / "evaluation")
    path = folder / "evaluation" / "metrics.json"
    found = json.loads(path.read_text())
    for member in found["members"].values():
        group = member["groups"]["accent"]["coast"]
        member["groups"]["accent"] = {f"accent {number}": group for number in range(ACCENTS)}
    path.write_text(json.dumps(found))
    page = folder / "leaderboard.html"
    page.write_text(html_page(build_report(family_params(), folder / "evaluation"), {}, "student-slim"))
    return page


def tables(page: Browser, path: Path, width: int, phone: bool = False) -> dict[str, dict]:
    page.resize(width, 900, phone=phone)
    page.open("about:blank")
    page.open(f"file://{path}")
    page.wait_for("document.readyState === 'complete'")
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")  # it was measured
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    return {found["name"]: found for found in page.evaluate(TABLES)}


def test_tables_fit_a_window_or_are_marked_where_they_are_cut(page_of_many_groups, tmp_path):
    with browser(tmp_path / "profile") as page:
        shown = tables(page, page_of_many_groups, 1280)
        for name in ("Leaderboard", "What compression hides"):
            assert shown[name]["cut"] <= 0 and not shown[name]["more"]
        assert shown["Word error rate by accent, %"]["cut"] > 0 and shown["Word error rate by accent, %"]["more"]
        wide = tables(page, page_of_many_groups, 2400)
        assert not any(found["cut"] > 0 or found["more"] for found in wide.values())
        assert all(found["more"] for found in tables(page, page_of_many_groups, 390, phone=True).values())

        left = "document.querySelector('tbody .name').getBoundingClientRect().left"
        before = page.evaluate(left)
        page.evaluate("document.querySelector('.wide').scrollLeft = 100000")
        page.wait_for("!document.querySelector('.around').classList.contains('more')")  # the end is reached
        assert page.evaluate(left) == before, "the names do not stay"
        assert page.problems == []


def test_what_is_quantized_is_read_on_a_phone(page_of_many_groups, tmp_path):
    with browser(tmp_path / "profile") as page:
        tables(page, page_of_many_groups, 390, phone=True)
        assert page.evaluate("document.querySelector('.covered tbody tr').offsetHeight") < 70
        share = "document.querySelector('.covered td:nth-child(2) span')"
        page.evaluate(f"{share}.textContent = '16 bit 100.0 % and more'")
        assert page.evaluate(f"{share}.getClientRects().length") == 1, "a share is broken in two"
        page.evaluate(f"{share}.textContent = '16 bit 100.0 %,'")
        assert page.evaluate("document.querySelector('.covered').offsetWidth") < 600


def test_a_long_chain_takes_lines_and_not_the_window(page_of_many_groups, tmp_path):
    long = tmp_path / "leaderboard.html"
    chain = "teacher → distil → prune structure"
    text = page_of_many_groups.read_text()
    assert chain in text
    long.write_text(text.replace(chain, " → ".join(["teacher", *["prune structure"] * 8])))
    with browser(tmp_path / "profile") as page:
        assert tables(page, long, 1280)["Leaderboard"]["cut"] <= 0
        assert page.evaluate("document.querySelector('tbody .name').offsetWidth") < 300
