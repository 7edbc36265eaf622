"""The page in a real browser, as a person uses it: samples, files, a microphone, keys, a phone."""

from __future__ import annotations

import signal
from pathlib import Path

import numpy as np
import pytest
import soundfile

from diminuendo.bundled import MODEL
from diminuendo.data.resample import resample
from diminuendo.demo.samples import SAMPLES
from tests.factories.browser import Browser, browser, chromium
from tests.factories.demo import started
from tests.factories.onnx_models import SAMPLE_RATE, speak, write_model

RATE = 48_000  # of the browser's microphone, Hz
WORDS = "[...document.querySelectorAll('.transcript:nth-child({}) .words li .text')].map(w => w.textContent).join(' ')"
NAMES_OF_CONTROLS = """[...document.querySelectorAll('button:not([hidden]), input')].map(
    c => (c.getAttribute('aria-label') || [...c.labels].map(l => l.textContent).join(' ') || c.textContent).trim())"""
pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module", autouse=True)
def there_is_a_browser() -> None:
    chromium()


@pytest.fixture
def profile(tmp_path) -> Path:
    return tmp_path / "profile"


def state(page: Browser, name: str) -> None:
    page.wait_for(f"document.body?.dataset.state === '{name}'")


def words(page: Browser, model: int = 1) -> str:
    return page.evaluate(WORDS.format(model))


def visible(page: Browser, identifier: str) -> bool:
    return page.evaluate(f"document.getElementById('{identifier}').checkVisibility()")


def test_files_samples_keys_and_a_phone(serve, profile, tmp_path):
    (tmp_path / "letter.wav").write_text("no audio")
    server = serve(MODEL)
    with browser(profile) as page:
        page.open(server.url)
        state(page, "ready")
        assert page.evaluate("document.getElementById('knows').textContent").startswith("It knows ten words: zero one")
        assert "69 minutes of speech" in page.evaluate("document.getElementById('about').textContent")
        assert all(page.evaluate(NAMES_OF_CONTROLS)), "a control without a name"

        page.choose_file("#file", SAMPLES[0].path)
        state(page, "done")
        assert words(page) == SAMPLES[0].said
        figures = page.evaluate("document.querySelector('.speed').textContent")
        assert "3.19 s of sound" in figures and "real-time factor" in figures
        first = page.evaluate("document.querySelector('.words .when').textContent")
        assert first == "0.28 s97 %"
        page.wait_for("document.querySelectorAll('.words .ahead').length")  # it plays, and words come as spoken
        page.wait_for("document.getElementById('player').ended")
        page.wait_for("!document.querySelector('.words .ahead, .words .now')")

        page.drop_file(tmp_path / "letter.wav")
        state(page, "problem")
        shown = page.evaluate("document.getElementById('problem').textContent")
        assert shown.startswith("letter.wav: not audio that can be read") and visible(page, "problem")
        assert words(page) == ""

        page.drop_file(SAMPLES[1].path)
        state(page, "done")
        assert words(page) == SAMPLES[1].said and not visible(page, "problem") and visible(page, "play")

        page.evaluate("document.querySelector('#samples button:last-child').focus()")
        page.press("Enter", 13)
        page.wait_for(f"document.getElementById('source').textContent === '{SAMPLES[2].title}'")
        state(page, "done")
        assert words(page) == "two four one eight two six"
        assert page.evaluate("document.querySelector('.words .mistake .note').textContent") == "said: seven"
        assert page.evaluate("document.querySelector('#said .missed').textContent") == "seven"

        page.evaluate("document.getElementById('player').pause()")
        page.evaluate("document.getElementById('waveform').scrollIntoView()")
        middle = "(({ left, top, width }) => [left + width / 2, top + 20])"
        x, y = page.evaluate(f"{middle}(document.getElementById('waveform').getBoundingClientRect())")
        page.click(x, y)
        page.wait_for("Math.abs(document.getElementById('player').currentTime - 1.47) < 0.05")

        for scheme, paper in {"light": "rgb(245, 244, 240)", "dark": "rgb(18, 19, 25)"}.items():
            page.prefer(scheme)
            assert page.evaluate("getComputedStyle(document.body).backgroundColor") == paper
        page.evaluate(
            "document.querySelectorAll('.words .when :last-child').forEach(sure => sure.textContent = '100 %')"
        )
        heights = "[...new Set([...document.querySelectorAll('.words .when')].map(when => when.offsetHeight))]"
        one_line = page.evaluate(heights)[0]
        for width in (360, 390):
            page.resize(width, 740, phone=True)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, "it must be scrolled sideways"
            assert page.evaluate(heights)[0] <= one_line and len(page.evaluate(heights)) == 1, "a time is broken in two"
    assert not [problem for problem in page.problems if "400" not in problem]  # of letter.wav


def test_the_microphone(serve, profile, tmp_path):
    digits = soundfile.read(SAMPLES[0].path, dtype="float32")[0]
    quiet = np.zeros(SAMPLE_RATE, dtype=np.float32)
    spoken = resample(np.concatenate([*[quiet] * 4, digits, *[quiet] * 8]), SAMPLE_RATE, RATE)
    soundfile.write(tmp_path / "spoken.wav", spoken, RATE)
    server = serve(MODEL)
    with browser(profile, tmp_path / "spoken.wav") as page:
        page.open(server.url)
        state(page, "ready")
        page.evaluate("document.getElementById('microphone').click()")
        state(page, "listening")
        page.wait_for("document.querySelectorAll('.words li.provisional').length >= 2")
        page.wait_for("document.querySelectorAll('.words li:not(.provisional)').length >= 5")
        assert page.evaluate("document.getElementById('microphone').ariaPressed") == "true"
        page.evaluate("document.getElementById('microphone').click()")
        state(page, "done")
        # The browser may begin the recording before the page listens, so its first word may be lost.
        assert words(page) in (SAMPLES[0].said, SAMPLES[0].said.partition(" ")[2])
        assert page.evaluate("document.getElementById('spoken').textContent") == words(page)
    assert not page.problems


def test_two_models_side_by_side(serve, profile, tmp_path):
    good = write_model(tmp_path / "good.onnx", name="good")
    server = serve(good, write_model(tmp_path / "bad.onnx", name="bad", confuse=("l", "r")))
    soundfile.write(tmp_path / "hello.wav", speak("hello world"), SAMPLE_RATE)
    with browser(profile) as page:
        page.open(server.url)
        state(page, "ready")
        assert not visible(page, "knows")  # that is said of the bundled model alone
        page.choose_file("#file", tmp_path / "hello.wav")
        state(page, "done")
        assert (words(page, 1), words(page, 2)) == ("hello world", "herro wolrd")
        notes = page.evaluate("[...document.querySelectorAll('.note')].map(n => n.textContent)")
        assert notes == ["good: hello", "good: world"]
        tops = "[...document.querySelectorAll('{}')].map(e => Math.round(e.getBoundingClientRect().top))"
        for selector in (".transcript", ".facts"):
            page.resize(1200, 800)
            one, other = page.evaluate(tops.format(selector))
            assert one == other
            page.resize(360, 740, phone=True)
            one, other = page.evaluate(tops.format(selector))
            assert one < other
    assert not page.problems


def test_a_demo_that_was_ended_is_said(profile):
    with started() as (process, url), browser(profile) as page:
        page.open(url)
        state(page, "ready")
        process.send_signal(signal.SIGINT)
        process.wait()
        page.evaluate("document.querySelector('#samples button').click()")
        state(page, "problem")
        assert "does not answer" in page.evaluate("document.getElementById('problem').textContent")
