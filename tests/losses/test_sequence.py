import dataclasses

import pytest
import torch

from diminuendo.data.batches import collate
from diminuendo.data.text import CharacterTokenizer, SentencePieceTokenizer, VocabularyTokenizer
from diminuendo.losses.sequence import CarriedTargets, SequenceTargets
from diminuendo.losses.term import StudentOutput, TeacherOutput, Vocabularies
from diminuendo.models.ctc import CTCHead, ctc_loss
from tests.factories.posteriors import log_probs, one_hot_path


def sequence(student, lengths, teacher, teacher_lengths):
    head = CTCHead(torch.nn.Identity())
    heard = StudentOutput(student, lengths, []), None, TeacherOutput(teacher, teacher_lengths, {})
    return SequenceTargets(head, head).of(*heard)


def test_sequence_targets_are_ctc_against_what_the_teacher_says():
    teacher, teacher_lengths = one_hot_path([0, 1, 1, 2, 0, 3], [2, 0, 2])
    student, lengths = log_probs(2, 5, 4), torch.tensor([5, 4])
    expected = ctc_loss(student, lengths, torch.tensor([1, 2, 3, 2, 2]), torch.tensor([3, 2]))
    assert sequence(student, lengths, teacher, teacher_lengths).item() == pytest.approx(expected.item())


def test_a_teacher_that_says_nothing_teaches_blanks():
    student, lengths = log_probs(1, 3, 4).requires_grad_(), torch.tensor([3])
    loss = sequence(student, lengths, *one_hot_path([0, 0, 0]))
    assert loss.item() == pytest.approx(-student[0, :, 0].sum().item(), rel=1e-5)


# The teacher says whole syllables in capitals; ``é`` and the comma are none of the student's letters.
SYLLABLES = VocabularyTokenizer(["<blank>", "▁", "AB", "BA", "É", ",", "<special:unk>", "C"])
LETTERS = CharacterTokenizer(["<blank>", "▁", *"abc"])
BLANK, SPACE, AB, BA, ACUTE, COMMA, UNKNOWN, C = range(8)
PATHS = [AB, AB, 0, AB, SPACE, C], [0, BA, ACUTE, 0, UNKNOWN, C], [0, ACUTE, COMMA, SPACE], [0, 0, 0]
WORDS = "abab c", "bac"  # what the student can write of them


def carried(term, student, lengths, *paths):
    teacher, teacher_lengths = one_hot_path(*paths, size=len(SYLLABLES.tokens))
    batch = collate([torch.zeros(9).numpy()] * len(paths), [None] * len(paths), 8000)
    return term.of(StudentOutput(student, lengths, []), batch, TeacherOutput(teacher, teacher_lengths, {}))


def between(student=LETTERS, teacher=SYLLABLES, lowercase=True):
    head = CTCHead(torch.nn.Identity())
    return CarriedTargets(head, head, Vocabularies(student, teacher, lowercase))


def expected_loss(student, lengths, texts, tokenizer=LETTERS):
    targets = [tokenizer.encode(text) for text in texts]
    counts = torch.tensor([len(ids) for ids in targets])
    return ctc_loss(student, lengths, torch.tensor([token for ids in targets for token in ids]), counts)


def test_what_the_teacher_says_is_spelt_in_the_students_tokens():
    student, lengths = log_probs(4, 9, 5), torch.tensor([9, 8, 7, 9])
    found = carried(between(), student, lengths, *PATHS)
    assert found.item() == pytest.approx(expected_loss(student[:2], lengths[:2], WORDS).item(), rel=1e-6)


def test_units_of_sentencepiece_spell_it_as_the_text_of_the_corpus_is_spelt():
    pieces = SentencePieceTokenizer.train(["abab c", "bac", "ab ba"], 8)
    student, lengths = log_probs(2, 9, 8), torch.tensor([9, 8])
    found = carried(between(pieces), student, lengths, *PATHS[:2])
    assert found.item() == pytest.approx(expected_loss(student, lengths, WORDS, pieces).item(), rel=1e-6)


def test_what_cannot_be_written_is_left_out_counted_and_told():
    term = between()
    assert term.note is None
    for _ in range(2):
        carried(term, log_probs(4, 9, 5), torch.tensor([9, 8, 7, 9]), *PATHS)
    # "abab c", "baéc" and "é,": 12 characters, 3 of which the student lacks; of two utterances nothing is left
    assert term.note == (
        "losses.sequence: 6 of 24 characters of the teacher's transcriptions were left out, since the student's tokens "
        "cannot write them: 'é' (U+00E9), ',' (U+002C); 4 of 8 utterances had no transcription to learn from"
    )


def test_the_counts_are_stored_with_the_training():
    first, again = between(), between()
    carried(first, log_probs(4, 9, 5), torch.tensor([9, 8, 7, 9]), *PATHS)
    again.load_state_dict(first.state_dict())
    assert again.note == first.note and not list(again.parameters())


def test_without_lower_case_capitals_are_other_letters():
    student, lengths = log_probs(1, 9, 5), torch.tensor([9])
    term = between(lowercase=False)
    assert carried(term, student, lengths, PATHS[0]).item() == 0
    assert "'A' (U+0041), 'B' (U+0042), 'C' (U+0043)" in term.note


def test_a_batch_of_which_nothing_can_be_written_has_no_loss_and_a_gradient_of_zero():
    student = log_probs(2, 9, 5).requires_grad_()
    loss = carried(between(), student, torch.tensor([9, 8]), *PATHS[2:])
    loss.backward()
    assert loss.item() == 0 and not student.grad.any()


def test_a_pair_of_one_vocabulary_goes_by_tokens_and_another_by_text():
    @dataclasses.dataclass
    class Model:
        head: CTCHead

    pair = dataclasses.make_dataclass("Pair", ["student", "teacher", "vocabularies"])
    models = Model(CTCHead(torch.nn.Identity())), Model(CTCHead(torch.nn.Identity()))
    assert isinstance(SequenceTargets.between(pair(*models, None), None), SequenceTargets)
    words = Vocabularies(LETTERS, SYLLABLES, lowercase=True)
    assert isinstance(SequenceTargets.between(pair(*models, words), None), CarriedTargets)
