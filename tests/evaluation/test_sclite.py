"""Word counts against NIST ``sclite`` (Debian package ``sctk``), utterance by utterance."""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diminuendo.evaluation.scoring import count_errors, normalise

NEEDED = "DIMINUENDO_NEEDS_SCLITE"  # set by .ci/run where the package can be installed
SCTK = shutil.which("sctk")
if SCTK is None:
    if os.environ.get(NEEDED):
        pytest.fail(f"{NEEDED} is set, but the command `sctk` is not on the PATH", pytrace=False)
    pytest.skip("NIST sclite is not installed (Debian package sctk)", allow_module_level=True)


def sclite(folder, references, hypotheses):
    """(substitutions, deletions, insertions) of each pair, and the corpus totals that sclite prints itself."""
    for name, texts in (("ref", references), ("hyp", hypotheses)):
        lines = "".join(f"{text} (speaker-{number:06d})\n" for number, text in enumerate(texts))
        (folder / f"{name}.trn").write_text(lines, encoding="utf-8")
    command = [SCTK, "sclite", "-s", "-e", "utf-8", "-i", "rm", "-o", "pralign", "rsum", "stdout"]
    files = ["-r", str(folder / "ref.trn"), "trn", "-h", str(folder / "hyp.trn"), "trn"]
    done = subprocess.run([*command, *files], capture_output=True, check=True, timeout=60)
    shown = done.stdout.decode("utf-8", errors="replace")
    pattern = r"^id: \(speaker-(\d+)\)\n(?:.*\n)*?Scores: \(#C #S #D #I\) \d+ (\d+) (\d+) (\d+)$"
    found = {int(number): tuple(map(int, edits)) for number, *edits in re.findall(pattern, shown, re.MULTILINE)}
    assert sorted(found) == list(range(len(references))), shown[-2000:] + done.stderr.decode()
    (line,) = re.findall(r"^ *\| *Sum *\|(.*)$", shown, re.MULTILINE)
    _, words, _, substitutions, deletions, insertions, errors, _ = map(int, re.findall(r"\d+", line))
    return [found[number] for number in range(len(references))], (substitutions, deletions, insertions, errors, words)


def assert_agrees(folder, references, hypotheses):
    by_utterance, totals = sclite(folder, references, hypotheses)
    counts = count_errors(references, hypotheses)
    for reference, hypothesis, count, theirs in zip(references, hypotheses, counts, by_utterance):
        ours = (count.substitutions, count.deletions, count.insertions)
        assert ours == theirs, f"{reference!r} heard as {hypothesis!r}: S, D, I {ours}, sclite {theirs}"
    parts = ("substitutions", "deletions", "insertions", "word_errors", "words")
    assert tuple(sum(getattr(count, part) for count in counts) for part in parts) == totals


def corrupted(rng, words, vocabulary):
    heard = []
    for word in words:
        chance = rng.random()
        if chance < 0.12:
            continue
        heard.append(rng.choice(vocabulary) if chance < 0.3 else word)
        if chance > 0.85:
            heard.append(word if chance > 0.93 else rng.choice(vocabulary))
    return heard


@pytest.mark.parametrize(
    "vocabulary",
    [
        ["no", "yes"],  # repetitions: many alignments of one cost
        ["one", "two", "three", "four", "oh", "zero", "double"],
        ["打开", "灯", "请", "关", "门", "一", "二"],
        ["été", "Été", "naïve", "straße", "ñandú", "привет", "नमस्ते", "😀", "it's", "co-op", "3.5%"],
    ],
    ids=["repeated", "digits", "mandarin", "scripts"],
)
def test_a_corpus_of_recognition_errors(tmp_path, vocabulary):
    rng = random.Random(7)
    references, hypotheses = [], []
    for number in range(1500):
        words = rng.choices(vocabulary, k=rng.randint(1, 30))
        kinds = (corrupted(rng, words, vocabulary), rng.choices(vocabulary, k=rng.randint(0, 30)), [], words)
        references.append(" ".join(words))
        hypotheses.append(" ".join(kinds[(0, 0, 0, 1, 1, 1, 2, 3)[number % 8]]))
    assert_agrees(tmp_path, references, hypotheses)


def test_mandarin_characters_as_words(tmp_path):
    rng = random.Random(8)
    characters = list("今天天气很好我们去公园散步吧")
    references = [rng.choices(characters, k=rng.randint(1, 25)) for _ in range(1000)]
    hypotheses = [corrupted(rng, text, characters) for text in references]
    assert_agrees(tmp_path, [*map(" ".join, references)], [*map(" ".join, hypotheses)])


# Any characters that are printed, without those that mean something to sclite's own file format.
words = st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters="(){}@;"), min_size=1, max_size=4)
texts = st.lists(words | st.sampled_from(["a", "b", "ab"]), max_size=8).map(" ".join).map(normalise)


@settings(max_examples=12)
@given(st.lists(st.tuples(texts.filter(bool), texts), min_size=1, max_size=60))
def test_free_text(tmp_path_factory, pairs):
    assert_agrees(tmp_path_factory.mktemp("sclite"), *map(list, zip(*pairs)))
