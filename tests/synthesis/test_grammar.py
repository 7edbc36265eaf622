from pathlib import Path

import numpy as np
import pytest

from diminuendo.core.errors import UserError
from diminuendo.synthesis.grammar import Grammar

COMMANDS = Path(__file__).resolve().parents[2] / "corpora" / "commands"


def drawn(grammar, count=400):
    rng = np.random.default_rng(0)
    return {grammar.draw(rng) for _ in range(count)}


def test_slots_options_and_choices_nest():
    grammar = Grammar(["go (left|{far} right) [now [please]]"], {"far": ["far", "very {far2}"], "far2": ["far"]})
    middles = ["left", "far right", "very far right"]
    ends = ["", " now", " now please"]
    assert drawn(grammar) == {f"go {middle}{end}" for middle in middles for end in ends}
    assert grammar.words() == {"go", "left", "right", "now", "please", "far", "very"}


def test_the_count_is_that_of_the_ways():
    grammar = Grammar(["a (b|c) {x}", "d"], {"x": ["e", "f", "g"]})
    assert grammar.count() == 7 == len(drawn(grammar))


@pytest.mark.parametrize(
    ("sentences", "slots", "message"),
    [
        (["turn {it} on"], {"that": ["x"]}, r"no slot is called 'it'; there are: that"),
        (["a {x}"], {"x": ["b {y}"], "y": ["c {x}"]}, r"slot 'x' needs itself: x → y → x"),
        (["turn [on"], {}, r"']' is missing in 'turn \[on'"),
        (["turn on)"], {}, r"'\)' has no counterpart"),
        (["turn {on"], {}, r"'\{' has no counterpart"),
        (["a | b"], {}, r"'\|' has no counterpart"),
        ([True], {}, r"expected a list of patterns as text.*quote them"),
        ([], {}, r"expected a list of patterns"),
        (["a"], {"x": "b"}, r"slots.x: expected a list of patterns"),
    ],
)
def test_mistakes_are_named(sentences, slots, message):
    with pytest.raises(UserError, match=message):
        Grammar(sentences, slots, source="grammar.yaml")


def test_bad_files_are_named(tmp_path):
    with pytest.raises(UserError, match=r"grammar.yaml: cannot be read"):
        Grammar.load(tmp_path / "grammar.yaml")
    (tmp_path / "grammar.yaml").write_text("sentences: [a\n")
    with pytest.raises(UserError, match=r"not valid YAML"):
        Grammar.load(tmp_path / "grammar.yaml")
    (tmp_path / "grammar.yaml").write_text("sentences: [a]\nslot: {}\n")
    with pytest.raises(UserError, match=r"expected the keys 'sentences'"):
        Grammar.load(tmp_path / "grammar.yaml")


def test_the_commands_are_rich_and_short():
    grammar = Grammar.load(COMMANDS / "grammar.yaml")
    assert grammar.count() > 200_000
    assert 150 <= len(grammar.words()) <= 250
    lengths = [len(sentence.split()) for sentence in drawn(grammar, 2000)]
    assert np.mean([3 <= n <= 9 for n in lengths]) > 0.9
    assert set("".join(grammar.words())) <= set("abcdefghijklmnopqrstuvwxyz'"), "what is spoken must be what is written"
