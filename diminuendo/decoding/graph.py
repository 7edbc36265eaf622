"""The decoding graph: a weighted transducer from frames to words (Mohri, Pereira & Riley 2002; Miao et al. 2015).

Four transducers are composed, H ∘ T ∘ det(L ∘ G):

- G, the language model: words, with back-off arcs marked ``#0`` so that the graph can be determinized;
- L, the lexicon: the characters of every word, with ``▁`` between words;
- T, the tokens: each token to its characters, so that any spelling of a word by units of any tokenizer is allowed;
- H, the topology of CTC (Graves et al. 2006): repeats merge, blanks vanish, and two equal tokens need a blank between.

Costs are negative natural logarithms. Labels are counted from 1, because 0 is OpenFst's epsilon: token ``t`` is ``t +
1``.
"""

from __future__ import annotations

import math
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from diminuendo.core.errors import UserError
from diminuendo.decoding.extra import require
from diminuendo.runtime.ctc import SPACE
from diminuendo.runtime.model import BLANK

EPSILON = 0
BACK_OFF = "#0"
UNKNOWN = ("<unk>", "<UNK>")
_NO_WORDS = {"<eps>", BACK_OFF, "<s>", "</s>", *UNKNOWN}


def decoding_graph(tokens: Sequence[str], language_model: Path, lm_weight: float, word_score: float) -> Any:
    """The graph, a ``kaldifst.StdVectorFst``: input labels are tokens + 1, one for each frame; output labels words.

    Args:
        tokens: [V] of the model, the blank first.
        language_model: an ARPA file. If it has ``<unk>``, words outside it may be spelled at the cost of ``<unk>`` and
            of a uniform choice among all characters for each of theirs; else only its words can be recognised.
        lm_weight: factor of the language model's natural-log probabilities.
        word_score: added for each word.

    Raises:
        UserError: the file is missing or not an ARPA file, or the model can spell none of its words.
    """
    fst = require("kaldifst")
    spellings = {token: text.replace(" ", SPACE) for token, text in enumerate(tokens) if token != BLANK}
    characters = {character: label for label, character in enumerate(sorted({*"".join(spellings.values()), SPACE}), 1)}
    text, words = _read_arpa(language_model)
    grammar = _grammar(fst, text, words[BACK_OFF], lm_weight, word_score)
    marks = [len(characters) + 1, len(characters) + 2]  # of the back-off and of an unknown word, among characters
    lexicon = _lexicon(fst, characters, marks, words, lm_weight, language_model)
    fst.arcsort(lexicon, sort_type="olabel")
    fst.arcsort(grammar, sort_type="ilabel")
    graph = fst.compose(lexicon, grammar)
    fst.determinize_star(graph)
    fst.minimize_encoded(graph)
    fst.arcsort(graph, sort_type="ilabel")
    units = _tokens(fst, spellings, characters, marks, len(tokens))
    fst.arcsort(units, sort_type="olabel")
    graph = fst.compose(units, graph)
    fst.arcsort(graph, sort_type="ilabel")
    topology = _topology(fst, len(tokens))
    fst.arcsort(topology, sort_type="olabel")
    return fst.compose(topology, graph)


def _read_arpa(path: Path) -> tuple[str, dict[str, int]]:
    """The language model as OpenFst's text, and the labels of its words."""
    if not path.is_file():
        raise UserError(f"{path}: there is no such language model; `diminuendo language-model` makes one")
    # The parser's own errors do not help a user; an ARPA file can be recognised by its first lines.
    with open(path, encoding="utf-8", errors="replace") as file:
        if not any(line.strip() == "\\data\\" for _, line in zip(range(100), file)):
            advice = "; unpack it first" if path.suffix == ".gz" else ""
            raise UserError(f"{path}: not an ARPA language model (no \\data\\ in its first lines){advice}")
    require("kaldilm")
    with tempfile.TemporaryDirectory() as folder:
        symbols = Path(folder) / "words.txt"
        # In its own process: the parser writes to standard error, and a damaged file may abort it.
        command = [sys.executable, "-m", "kaldilm", "--disambig-symbol", BACK_OFF, "--write-symbol-table", str(symbols)]
        done = subprocess.run([*command, str(path.resolve())], capture_output=True, encoding="utf-8", errors="replace")
        if done.returncode or not symbols.exists():
            reason = " ".join(done.stderr.split()).rpartition("[E] ")[2][-300:]
            raise UserError(f"{path}: an ARPA language model that cannot be read ({reason})")
        try:
            listed = symbols.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise UserError(f"{path}: its words are not UTF-8; convert it") from error
        # A word may contain characters that Python takes for white space or line ends, such as a no-break space.
        labels = [line.rsplit("\t", 1) for line in listed.split("\n") if line]
    text = done.stdout
    return text, {word: int(label) for word, label in labels}


def _grammar(fst: Any, text: str, back_off: int, lm_weight: float, word_score: float) -> Any:
    """G with scaled costs; ``#0`` on the input of back-off arcs only."""
    lines = []
    for line in text.split("\n"):
        fields = line.split()
        if len(fields) >= 4:  # an arc: from, to, input, output, and a cost unless it is 0
            cost = lm_weight * float(fields[4]) if len(fields) == 5 else 0.0
            if int(fields[2]) not in (EPSILON, back_off):
                cost -= word_score
            lines.append(f"{fields[0]} {fields[1]} {fields[2]} {fields[3]} {cost!r}")
        elif fields:  # a final state
            lines.append(f"{fields[0]} {lm_weight * float(fields[1]) if len(fields) == 2 else 0.0!r}")
    return fst.compile("\n".join(lines) + "\n")


def _lexicon(
    fst: Any, characters: dict[str, int], marks: list[int], words: dict[str, int], lm_weight: float, path: Path
) -> Any:
    """L: between words (state 0, the start) and at the end of one (state 1)."""
    lexicon = _states(fst, 2)
    lexicon.add_arc(0, fst.StdArc(characters[SPACE], EPSILON, 0.0, 0))
    lexicon.add_arc(1, fst.StdArc(characters[SPACE], EPSILON, 0.0, 0))
    spelled = 0
    for word, label in words.items():
        if word in _NO_WORDS or SPACE in word or any(character not in characters for character in word):
            continue
        spelled += 1
        _chain(fst, lexicon, [characters[c] for c in word], [label], 0, 1)
    if not spelled:
        known = "".join(sorted(set(characters) - {SPACE}))[:100]
        raise UserError(f"{path}: the model can spell none of its {len(words)} words; the model writes {known!r}")
    unknown = next((words[name] for name in UNKNOWN if name in words), None)
    if unknown is not None:
        letters = [label for character, label in characters.items() if character != SPACE]
        cost = lm_weight * math.log(max(1, len(letters)))
        begin, inside = lexicon.add_state(), lexicon.add_state()
        lexicon.set_final(inside, 0.0)
        # Its own mark: its spelling may also be a word, and then the graph could not be determinized.
        lexicon.add_arc(0, fst.StdArc(marks[1], unknown, 0.0, begin))
        for letter in letters:
            lexicon.add_arc(begin, fst.StdArc(letter, EPSILON, cost, inside))
            lexicon.add_arc(inside, fst.StdArc(letter, EPSILON, cost, inside))
        lexicon.add_arc(inside, fst.StdArc(characters[SPACE], EPSILON, 0.0, 0))
    fst.add_self_loops(lexicon, [marks[0]], [words[BACK_OFF]])
    return lexicon


def _tokens(fst: Any, spellings: dict[int, str], characters: dict[str, int], marks: list[int], size: int) -> Any:
    """T: one state, where a path for each token begins and ends."""
    units = _states(fst, 1)
    for token, text in spellings.items():
        if text:
            _chain(fst, units, [token + 1], [characters[c] for c in text], 0, 0)
    for state in range(units.num_states):  # within a token, too: one word may end in it and the next begin
        for index, mark in enumerate(marks, 1):
            units.add_arc(state, fst.StdArc(size + index, mark, 0.0, state))
    return units


def _topology(fst: Any, size: int) -> Any:
    """H: the state is the token of the frame before; marks cost no frame."""
    topology = _states(fst, size)
    for before in range(size):
        for token in range(size):
            output = EPSILON if token in (BLANK, before) else token + 1
            topology.add_arc(before, fst.StdArc(token + 1, output, 0.0, token))
        for mark in (size + 1, size + 2):
            topology.add_arc(before, fst.StdArc(EPSILON, mark, 0.0, before))
    return topology


def _states(fst: Any, count: int) -> Any:
    """A number of states, all of them final; the first is the start."""
    made = fst.StdVectorFst()
    for _ in range(count):
        made.set_final(made.add_state(), 0.0)
    made.start = 0
    return made


def _chain(fst: Any, into: Any, inputs: Sequence[int], outputs: Sequence[int], begin: int, end: int) -> None:
    """A path from ``begin`` to ``end`` that reads ``inputs`` and writes ``outputs``, each as early as it can."""
    length, state = max(len(inputs), len(outputs)), begin
    for index in range(length):
        following = end if index == length - 1 else into.add_state()
        read = inputs[index] if index < len(inputs) else EPSILON
        write = outputs[index] if index < len(outputs) else EPSILON
        into.add_arc(state, fst.StdArc(read, write, 0.0, following))
        state = following
