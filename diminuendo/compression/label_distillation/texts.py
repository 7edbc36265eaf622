"""A prepared corpus in which a teacher's texts stand in the place of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Self

from diminuendo.core.errors import UserError
from diminuendo.core.plain_text import echo
from diminuendo.data.prepared import PreparedCorpus, Utterance
from diminuendo.labelling.label import Label, read_labels
from diminuendo.labelling.spoken import spoken


class LabelledCorpus(PreparedCorpus):
    """``train`` has the utterances whose texts are kept, those without a transcript among them.

    A student that writes as its teacher does is scored on dev against the teacher's texts too; one that writes the
    corpus' tokens learns the spoken words of a text, and is scored against the corpus' own.
    """

    labels: Sequence[Label]
    as_written: bool
    real_texts: bool

    @classmethod
    def of(cls, corpus: PreparedCorpus, folder: Path, *, as_written: bool, real_texts: bool) -> Self:
        """
        Args:
            folder: of the stage ``label``.
            as_written: texts are learned with case and punctuation.
            real_texts: the corpus' own texts of train are learned as well.
        """
        return cls._with(corpus, read_labels(folder), as_written, real_texts)

    @classmethod
    def _with(cls, corpus: PreparedCorpus, labels: Sequence[Label], as_written: bool, real_texts: bool) -> Self:
        found = cls(corpus.folder, corpus.summary, corpus.vocabulary, corpus._kept)
        found.labels, found.as_written, found.real_texts = labels, as_written, real_texts
        return found

    def spelling(self, tokens: Sequence[str]) -> PreparedCorpus:
        return self._with(super().spelling(tokens), self.labels, self.as_written, self.real_texts)

    @cached_property
    def train(self) -> list[Utterance]:
        """
        Raises:
            UserError: there is nothing to learn from.
        """
        own = self.split("train")
        learned = self._labelled("train", own) + self._labelled("unlabelled", super().unlabelled)
        learned += own if self.real_texts else []
        if not learned:
            raise UserError(self._nothing_to_learn())
        return learned

    def _nothing_to_learn(self) -> str:
        written = [label for label in self.labels if label.split != "dev"]
        kept = sum(label.rejected is None for label in written)
        if kept:
            return (
                f"labels: none of the {kept} texts that are kept can be spelled by the student's tokens; let it learn "
                "the corpus' own as well (real_texts: true), or have a member write them whose tokens are alike"
            )
        counts = Counter(label.rejected for label in written if label.rejected is not None)
        reasons = "; ".join(f"{why}: {counts[why]}" for why in sorted(counts))
        return (
            f"labels: none of the {len(written)} texts of train is good enough to learn from"
            f"{f' ({reasons})' if reasons else ''}; relax min_log_prob, max_compression or max_wer of their entry in "
            "the section label, or give real_texts: true"
        )

    @cached_property
    def dev(self) -> list[Utterance]:
        own = self.split("dev")
        if not self.as_written:
            return own
        written = self._labelled("dev", own)
        if not written:
            echo("note: no text of dev is kept: the student is scored against the corpus' own", err=True)
        return written or own

    @property
    def unlabelled(self) -> list[Utterance]:
        """None: what has a text is in train."""
        return []

    def _labelled(self, split: str, utterances: Sequence[Utterance]) -> list[Utterance]:
        """Those whose text is kept and can be spelled, with it; how many cannot is told."""
        known = {label.id: label for label in self.labels if label.split == split and label.rejected is None}
        found = [replace(one, text=self._learned(known[one.id].text)) for one in utterances if one.id in known]
        spelled = [one for one in found if one.text and not self.tokenizer.unknown_characters(one.text)]
        if len(spelled) < len(found):
            left_out = f"{len(found) - len(spelled)} of {len(found)} texts cannot be spelled by the student's tokens"
            echo(f"note: {split}: {left_out} and are not learned from", err=True)
        return spelled

    def _learned(self, text: str) -> str:
        return text if self.as_written else spoken(text, self.lowercase)
