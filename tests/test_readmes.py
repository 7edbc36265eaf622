"""Both READMEs say the same, what they name exists, and every link of theirs and of ``docs/`` leads somewhere."""

from __future__ import annotations

import importlib.util
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import click
import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from diminuendo.bundled import MODEL
from diminuendo.cli import main
from tests.factories.project import ROOT

ENGLISH, CHINESE = ROOT / "README.md", ROOT / "README.zh.md"
PAGES = (ENGLISH, CHINESE, ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md")))
MOST_LINES = 110  # two screens
TARGETS = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
SHELL = ("", "console", "sh")  # languages of blocks of commands


@dataclass
class Page:
    """What of a page can be compared with another, in its order."""

    levels: list[int] = field(default_factory=list)
    headings: list[str] = field(default_factory=list)
    blocks: list[tuple[str, str]] = field(default_factory=list)  # language and content
    codes: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    images: list[str] = field(default_factory=list)
    prose: str = ""


def read(path: Path) -> Page:
    page, heading = Page(), False
    for token in MarkdownIt("commonmark").enable("table").parse(path.read_text(encoding="utf-8")):
        if token.type == "heading_open":
            page.levels.append(int(token.tag[1:]))
        heading = token.type == "heading_open" or (heading and token.type == "inline")
        if token.type == "fence":
            page.blocks.append((token.info, token.content))
        for child in token.children or ():
            take(child, page)
        if token.type == "inline" and heading:
            page.headings.append("".join(child.content for child in token.children))
    return page


def take(token: Token, page: Page) -> None:
    if token.type == "link_open":
        page.links.append(token.attrs["href"])
    elif token.type == "image":
        page.images.append(token.attrs["src"])
        page.prose += f" {token.content} "
    elif token.type == "code_inline":
        page.codes.append(token.content)
    else:
        page.prose += token.content or " "


def anchors(path: Path) -> set[str]:
    """What can follow ``#``: headings as GitHub spells them, of which a second one of a name gets ``-1``."""
    found: list[str] = []
    for heading in read(path).headings:
        name = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        found.append(f"{name}-{found.count(name)}" if name in found else name)
    return set(found)


def commands(page: Page) -> list[str]:
    """The lines of a shell in blocks, and the code in sentences."""
    lines = [line for language, text in page.blocks if language in SHELL for line in text.splitlines()]
    return [line.partition("#")[0].removeprefix("$ ").strip() for line in lines] + page.codes


def leaderboard(path: Path) -> str:
    return re.search(r"<!-- leaderboard: begin -->\n(.*)<!-- leaderboard: end -->", path.read_text("utf-8"), re.S)[1]


def numbers(text: str) -> set[str]:
    return set(re.findall(r"\d+(?:\.\d+)*", text))


def test_both_readmes_have_the_same_headings_blocks_links_and_figures():
    english, chinese = read(ENGLISH), read(CHINESE)
    assert english.levels == chinese.levels and english.levels.count(1) == 1
    assert english.blocks == chinese.blocks
    assert english.images == chinese.images
    to_each_other = [CHINESE.name], [ENGLISH.name]
    assert (english.links[:1], chinese.links[:1]) == to_each_other
    assert sorted(english.links[1:]) == sorted(chinese.links[1:])
    assert set(english.codes) <= set(chinese.codes)
    assert leaderboard(ENGLISH) == leaderboard(CHINESE)
    assert numbers(english.prose) <= numbers(chinese.prose), "a figure that the Chinese page lacks"
    assert re.search(r"[\u4e00-\u9fff]", chinese.prose) and not re.search(r"[\u4e00-\u9fff]{5}", english.prose)


@pytest.mark.parametrize("path", [ENGLISH, CHINESE], ids=lambda path: path.name)
def test_a_readme_is_two_screens(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_link_leads_somewhere(path):
    page, broken = read(path), []
    for link in page.links + page.images:
        if re.match(r"[a-z]+:", link):
            continue
        target, _, anchor = link.partition("#")
        found = (path.parent / target).resolve() if target else path
        if not found.exists() or (anchor and anchor not in anchors(found)):
            broken.append(link)
    assert not broken


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_command_that_a_page_names_exists(path):
    page, wrong = read(path), []
    for command in commands(page):
        wrong += [f"make {name}" for name in re.findall(r"\bmake ([a-z]+)\b", command) if name not in TARGETS]
        wrong += [f"python -m {name}" for name in re.findall(r"-m ([a-z_]+\.[a-z_.]+)", command) if not is_there(name)]
        for start in re.finditer(r"(?:^|[;&|(] *|\$ )diminuendo(?= |$)", command):
            wrong += unknown(command[start.end() :])
    assert not wrong


def is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def unknown(arguments: str) -> list[str]:
    """Subcommands and options after ``diminuendo`` that it does not have."""
    command: click.Command = main
    missing, options = [], set()
    for word in re.split(r"[|;&>]", arguments)[0].split():
        name = word.partition("=")[0]
        options |= {"--help", *(opt for given in command.params for opt in (*given.opts, *given.secondary_opts))}
        if name.startswith("--") and name.rstrip(",") not in options:
            missing.append(f"diminuendo {arguments}: {name}")
        if isinstance(command, click.Group) and re.fullmatch(r"[a-z][a-z-]*", name):
            following = command.get_command(click.Context(command), name)
            if following is None:
                missing.append(f"diminuendo {arguments}: {name}")
                break
            command = following
    return missing


def test_the_transcript_is_what_the_command_prints():
    transcript = next(text for language, text in read(ENGLISH).blocks if language == "console")
    first, *printed = transcript.splitlines()
    words = shlex.split(first.removeprefix("$ "))
    assert words.pop(0) == "diminuendo"
    run = [sys.executable, "-m", "diminuendo", *words]
    done = subprocess.run(run, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True)
    assert done.stdout.splitlines() == printed


def test_the_size_of_the_bundled_model_is_said():
    assert f"{MODEL.stat().st_size / 1000:.0f} kB" in read(ENGLISH).prose


def test_the_two_commands_are_there():
    two = next(text for _, text in read(ENGLISH).blocks if "make repro " in text)
    assert [line.partition("#")[0].strip() for line in two.splitlines()] == ["make repro", "make test"]
