import pytest

from diminuendo.losses.config import LossConfig
from diminuendo.losses.needs import NEEDS, Side, impossible
from diminuendo.losses.objective import TERMS
from diminuendo.models.knowledge import Knowledge

CTC = Knowledge.FRAME_POSTERIORS | Knowledge.STATES | Knowledge.TOKENS | Knowledge.TEXT
WORDS_ONLY = Knowledge.TEXT
ATTENTION = Knowledge.STATES | Knowledge.TOKENS
LETTERS, PIECES = ("<blank>", "▁", "a", "b"), ("<blank>", "▁", "ab", "b")
SHUFFLED = ("<blank>", "b", "a", "▁")
CORPUS, CHECKPOINT = Side(units="the corpus' own"), Side(CTC, units="the checkpoint's tokens")


def test_every_term_is_known_everywhere_under_one_name():
    assert list(TERMS) == list(NEEDS)
    assert set(NEEDS) == set(LossConfig.model_fields) - {"temperature"}
    for key, load in TERMS.items():
        term = load()
        assert (term.key, term.needs) == (key, NEEDS[key]) and term.paper


def reason(losses, student=None, teacher=None, layers=None):
    return impossible(LossConfig(**losses).terms, student or Side(), teacher, layers)


@pytest.mark.parametrize(
    ("losses", "student", "teacher", "layers"),
    [
        ({"intermediate": 0.3}, Side(tokens=LETTERS), None, None),
        ({"kl": 1.0, "hidden": 1.0, "sequence": 1.0}, Side(CTC, LETTERS, 2), Side(CTC, LETTERS, 4), (0, 3)),
        ({"kl": 1.0, "hidden": 1.0}, Side(), Side(), (0, 9)),  # nothing is known yet
        ({"hidden": 1.0}, Side(CTC, LETTERS, 2), Side(ATTENTION, PIECES, 6), None),  # states are no tokens
        ({"kl": 1.0}, Side(CTC, LETTERS, 2), Side(CTC, LETTERS, 4), (0, 9)),  # no term looks at the layers
        ({"kl": 1.0, "sequence": 1.0}, Side(CTC, LETTERS), Side(CTC, SHUFFLED), None),  # another order is no other set
        ({"sequence": 1.0, "hidden": 1.0}, Side(CTC, LETTERS), Side(CTC, PIECES), None),  # carried over as text
        ({"sequence": 1.0, "hidden": 1.0}, CORPUS, CHECKPOINT, None),
        ({"kl": 1.0}, Side(units="the checkpoint's tokens"), CHECKPOINT, None),
    ],
)
def test_pairs_that_can_work(losses, student, teacher, layers):
    assert reason(losses, student, teacher, layers) is None


@pytest.mark.parametrize(
    ("losses", "student", "teacher", "layers", "said"),
    [
        ({"ctc": 0.0}, Side(), Side(), None, "every weight is 0"),
        ({"kl": 1.0, "sequence": 0.5}, Side(), None, None, "kl and sequence above 0, and there is no teacher"),
        (
            {"kl": 1.0},
            Side(),
            Side(ATTENTION),
            None,
            "kl needs frame posteriors of the teacher, which gives states, to",
        ),
        ({"sequence": 1.0}, Side(), Side(WORDS_ONLY), None, "sequence needs tokens of the teacher, which gives text"),
        (
            {"sequence": 1.0},
            Side(tokens=LETTERS),
            Side(ATTENTION, PIECES),
            None,
            "sequence needs text of the teacher, which gives states, tokens; set sequence: 0",
        ),
        (
            {"sequence": 1.0, "kl": 1.0},
            Side(tokens=LETTERS),
            Side(CTC, PIECES),  # as many
            None,
            "kl compares posteriors token by token, and teacher and student have different vocabularies (4 and 4 "
            "tokens); set kl: 0, and sequence or hidden above 0, which work between any two",
        ),
        (
            {"kl": 1.0},
            CORPUS,
            CHECKPOINT,
            None,
            "different vocabularies (the checkpoint's tokens and the corpus' own, by text.units); set kl: 0, and seq",
        ),
        ({"hidden": 1.0}, Side(layers=3), Side(CTC, layers=6), (0, 1), "give one index from 0 to 5 for every layer"),
        ({"hidden": 1.0}, Side(layers=2), Side(CTC, layers=6), (0, 6), "give one index from 0 to 5 for every layer"),
    ],
)
def test_pairs_that_cannot_are_told_why_in_one_line(losses, student, teacher, layers, said):
    found = reason(losses, student, teacher, layers)
    assert said in found and "\n" not in found
