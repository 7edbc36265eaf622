"""The page in a real browser, as a person uses it: two members, filters, keys, sound, and a phone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.factories.browser import Browser, browser, chromium
from tests.factories.errors_page import evaluated

HOSTILE = "</script><img src=x onerror=\"document.title='lost'\">"
SAID = (
    {"text": "turn on the light", "accent": "coast", "noise": "fan"},
    {"text": "stop", "accent": HOSTILE},
    {"text": "call anna", "accent": "coast"},
    {"text": "no", "accent": "coast"},
)
HEARD = {
    "teacher": ("turn on the light", "stop now", "call hannah", "no"),
    "student": ("turn the lights", "stop", "call ann", "no"),
    "tiny": ("turn the the lights", HOSTILE, "call hannah", "no"),
}
NAMES_OF_CONTROLS = """[...document.querySelectorAll('button, input, select')].filter(c => c.checkVisibility()).map(
    c => (c.getAttribute('aria-label') || [...c.labels].map(l => l.textContent).join(' ') || c.textContent).trim())"""
LINES_OF_ACCENTS = """(() => { const lines = [...document.querySelectorAll('#groups > *')];
    const end = lines.findIndex((line, index) => index > 0 && line.matches('h3'));
    const texts = lines.slice(0, end < 0 ? lines.length : end).map(line => line.querySelector('.value') ?? line);
    return texts.map(text => text.textContent.replace(/ \\d+$/, '')); })()"""  # without the count
ROOM_IN_SELECTS = """[at('a'), at('b')].map(select => { const style = getComputedStyle(select);
    const pen = document.createElement('canvas').getContext('2d'); pen.font = style.font;
    const arrow = 20, around = parseFloat(style.paddingLeft) + parseFloat(style.paddingRight);
    const inside = select.clientWidth - around - arrow;
    return pen.measureText(select.selectedOptions[0].text).width <= inside; })"""
pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module", autouse=True)
def there_is_a_browser() -> None:
    chromium()


@pytest.fixture(scope="module")
def family(tmp_path_factory):
    return evaluated(tmp_path_factory.mktemp("family"), SAID, HEARD, seconds=0.5)


def opened(page: Browser, path: Path, address: str = "") -> None:
    page.open("about:blank")
    page.open(f"file://{path}{address}")
    page.wait_for("document.readyState === 'complete' && typeof state === 'object'")


def texts(page: Browser, selector: str) -> list[str]:
    return page.evaluate(f"[...document.querySelectorAll({selector!r})].map(found => found.textContent)")


def choose(page: Browser, identifier: str, text: str) -> None:
    page.evaluate(f"""{{ const select = document.getElementById('{identifier}');
        select.value = [...select.options].find(option => option.textContent.startsWith({text!r})).value;
        select.dispatchEvent(new Event('change')); }}""")


def listed(page: Browser) -> list[str]:
    return texts(page, ".utterance .id")


def columns(page: Browser, number: int = 0) -> list[list[str]]:
    """The columns of a listed utterance: what was said, and what both members heard, with the marks of errors."""
    return page.evaluate(f"""[...document.querySelectorAll('.utterance')[{number}].querySelectorAll('.column')].map(
        column => [...column.children].map(cell => (cell.querySelector('.S,.D,.I')?.classList[1] ?? '')
            + cell.textContent.trim()).concat(column.classList[1] ?? ''))""")


def test_two_members_filters_and_words(family, tmp_path):
    with browser(tmp_path / "profile") as page:
        opened(page, family.write(tmp_path))
        assert texts(page, "#a option") == ["teacher · 1.00 MB", "student · 500.0 kB", "tiny · 333.3 kB"]
        assert page.evaluate("[state.a, state.b]") == [0, 2]  # from the largest, the first, to the smallest
        assert listed(page) == ["test-1", "test-2"]  # those that got worse, the largest change first
        assert texts(page, "#verdict strong") == ["25.00 %", "+50.00", "75.00 %"]  # 2 and 6 errors in 8 words
        assert columns(page) == [
            ["turn", "turn", "turn", ""],
            ["on", "on", "Sthe", "lost"],
            ["the", "the", "the", ""],
            ["light", "light", "Slights", "lost"],
        ]

        choose(page, "b", "student")
        assert texts(page, ".kind strong") == ["1", "1", "1", "0", "1", "4"]
        assert listed(page) == ["test-1"]
        assert columns(page)[1:] == [
            ["on", "on", "Don", "lost"],
            ["the", "the", "the", ""],
            ["light", "light", "Slights", "lost"],
        ]
        page.evaluate("document.querySelector('[data-kind=better]').click()")
        assert listed(page) == ["test-2"]
        assert columns(page) == [["stop", "stop", "stop", ""], ["", "Inow", "", "won"]]

        page.evaluate("document.querySelector('[data-kind=all]').click()")
        choose(page, "by-0", "coast")
        assert listed(page) == ["test-1", "test-3", "test-4"]
        choose(page, "by-1", "0.5 s")
        assert listed(page) == ["test-1"] and "by.length=0.5+s" in page.evaluate("location.hash")
        assert texts(page, "#verdict strong") == ["0.00 %", "+50.00", "50.00 %"]  # of what is chosen
        page.evaluate("document.querySelectorAll('.chip').forEach(() => document.querySelector('.chip').click())")
        assert len(listed(page)) == 4
        choose(page, "by-2", "fan")
        assert listed(page) == ["test-1"]
        choose(page, "by-2", "any")

        found = texts(page, ".line.confusion:not(.title) .words")  # what grew most stands first
        assert found == ["onmissed", "anna→ann", "light→lights", "nowadded", "anna→hannah"]
        page.evaluate(
            "[...document.querySelectorAll('.line.confusion .words')].find(w => w.textContent === 'onmissed').click()"
        )
        assert listed(page) == ["test-1"]
        page.evaluate("document.querySelector('.chip').click()")
        page.evaluate(
            "{ const w = document.getElementById('words'); w.value = 'HANNAH'; w.dispatchEvent(new Event('input')) }"
        )
        assert listed(page) == ["test-3"]

        kept = page.evaluate("location.hash")
        opened(page, tmp_path / "errors.html", kept)
        assert listed(page) == ["test-3"] and page.evaluate("state.b") == 1
        page.evaluate("document.getElementById('swap').click()")
        assert page.evaluate("[state.a, state.b]") == [1, 0]
        assert page.problems == []


def test_texts_stay_texts(family, tmp_path):
    with browser(tmp_path / "profile") as page:
        path = family.write(tmp_path)
        for address in ("#confusion=junk", "#confusion=[1]", "#from=nobody&by.accent=nowhere&order=x&show=constructor"):
            opened(page, path, address)
            assert len(listed(page)) == 2, address
        opened(page, path, "#show=all")
        assert HOSTILE in texts(page, "#by-0 option") and HOSTILE in texts(page, ".tag")
        assert any("</script><img" in text for text in texts(page, ".word.I"))
        assert page.evaluate("document.querySelectorAll('img').length") == 0
        assert page.evaluate("document.title") == "Errors, word by word · diminuendo"
        assert page.problems == []


def test_keys_and_sound(family, tmp_path):
    with browser(tmp_path / "profile") as page:
        opened(page, family.write(tmp_path), "#show=all")
        assert all(page.evaluate(NAMES_OF_CONTROLS)), "a control without a name"
        page.press("j", 74)
        page.press("j", 74)
        assert page.evaluate("document.activeElement.querySelector('.id').textContent") == listed(page)[1]
        page.press("p", 80)
        page.wait_for("playing && sound.currentTime > 0")
        assert page.evaluate("playing.index") == 1 and page.evaluate("sound.duration") == pytest.approx(1.0)
        page.press("k", 75)
        page.press("p", 80)
        page.wait_for("playing.index === 0 && sound.ended")
        assert texts(page, ".utterance .time")[:2] == ["0.5 s", "1.0 s"]
        page.evaluate("document.querySelector('[data-kind=worse]').focus()")
        page.press("Enter", 13)
        assert page.evaluate("document.activeElement.dataset.kind") == "worse" and len(listed(page)) == 2
        assert page.problems == []


def test_a_difference_that_rounds_to_zero_has_no_sign(family, tmp_path):
    with browser(tmp_path / "profile") as page:
        opened(page, family.write(tmp_path))
        shown = page.evaluate("[-0.004, 0.004, 0, -0.006, 0.006].map(number => signed(number, 2))")
    assert shown == ["±0.00", "±0.00", "±0.00", "−0.01", "+0.01"]


def test_on_a_phone_nothing_is_cut(family, tmp_path):
    with browser(tmp_path / "profile") as page:
        page.resize(360, 740, phone=True)
        opened(page, family.write(tmp_path), "#show=all")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        page.evaluate("document.querySelectorAll('details').forEach(details => details.open = true)")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        page.evaluate("for (const id of ['a', 'b']) at(id).selectedOptions[0].text = 'student-long-int8 · 755.6 kB'")
        assert page.evaluate(ROOM_IN_SELECTS) == [True, True]
        x, y = page.evaluate(
            "(({ x, y, width, height }) => [x + width / 2, y + height / 2])(swap.getBoundingClientRect())"
        )
        page.click(x, y)  # nothing lies over it
        assert page.evaluate("[state.a, state.b]") == [2, 0]


def test_of_many_groups_those_that_lost_are_listed(tmp_path):
    accents = [f"accent-{number}" for number in range(8)]
    said = [{"text": "turn on the light", "accent": accent} for accent in accents]
    right = [one["text"] for one in said]
    heard = {
        "teacher": right,
        "some": ["turn on", "turn on the", *right[2:]],
        "all": ["turn on"] + ["turn on the"] * 7,
        "same": right,
    }
    with browser(tmp_path / "profile") as page:
        opened(page, evaluated(tmp_path / "family", said, heard, seconds=0.5).write(tmp_path))
        shown = {}
        for member in ("some", "all", "same"):
            choose(page, "b", member)
            shown[member] = page.evaluate(LINES_OF_ACCENTS)
        assert shown["some"] == ["accent, the 2 of 8 with words lost", "accent-0", "accent-1"]
        assert shown["all"][0] == "accent, the 6 of 8 with most words lost" and len(shown["all"]) == 7
        assert shown["same"] == ["accent, none of 8 lost words"]
        choose(page, "by-0", "accent-3")  # what is chosen is there to be let go
        assert page.evaluate(LINES_OF_ACCENTS) == ["accent, none of 8 lost words", "accent-3"]


def test_characters_and_texts_before_the_normaliser(tmp_path):
    said = ({"text": "你好 吗"}, {"text": "it's red"})
    with browser(tmp_path / "profile") as page:
        characters = evaluated(tmp_path / "cer", said[:1], {"teacher": ["你好 吗"], "tiny": ["你们好吗"]}, "cer")
        opened(page, characters.write(tmp_path / "cer"))
        assert columns(page)[1:4] == [["", "", "I们", "lost"], ["好", "好", "好", ""], ["", "", "D␣", "lost"]]
        heard = {"teacher": ["It is red."], "tiny": ["it is read"]}
        words = evaluated(tmp_path / "wer", said[1:], heard, normalizer="english")
        opened(page, words.write(tmp_path / "wer"))
        assert columns(page) == [["it", "it", "it", ""], ["is", "is", "is", ""], ["red", "red", "Sread", "lost"]]
        assert texts(page, ".raw p") == ["as writtenit's red", "teacherIt is red.", "tinyit is read"]
        assert page.problems == []
