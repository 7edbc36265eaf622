"""Speakers of a synthetic corpus: accents and voice variants of eSpeak NG from ``voices.yaml``, disjoint by split."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from diminuendo.core.errors import UserError
from diminuendo.synthesis.espeak import data_folder, variants
from diminuendo.synthesis.grammar import read_yaml

SPLITS = ("train", "dev", "test")
GENDERS = ("female", "male")


@dataclass(frozen=True)
class Voice:
    """A speaker: one accent with one variant at one pitch (0 to 99)."""

    accent: str
    language: str  # eSpeak NG's name of the accent
    variant: str
    gender: str
    pitch: int

    @property
    def speaker(self) -> str:
        return f"{self.accent}-{self.variant}"

    @property
    def espeak_name(self) -> str:
        return f"{self.language}+{self.variant}"


def load_voices(path: Path, seed: int, pitch: tuple[int, int]) -> dict[str, list[Voice]]:
    """The speakers of each split. Their pitch, and which accents a variant has, are drawn from the seed.

    Raises:
        UserError: everything that is wrong with the file.
    """
    raw = read_yaml(path)
    problems = list(_problems(raw))
    if problems:
        raise UserError(f"{path}: {len(problems)} problem(s):\n" + "\n".join(f"  {p}" for p in problems))
    return {split: list(_speakers(raw, split, seed, pitch)) for split in SPLITS}


def _speakers(raw: dict, split: str, seed: int, pitch: tuple[int, int]):
    rng = np.random.default_rng([seed, SPLITS.index(split), 0])
    accents = sorted(raw["accents"])
    order = [accents[i] for i in rng.permutation(len(accents))]
    each = raw["splits"][split]["accents_each"]
    turn = 0  # the accents take turns over the variants, so that all are about equally frequent
    for gender in GENDERS:
        for variant in raw["splits"][split]["variants"][gender]:
            for _ in range(each):
                accent = order[turn % len(order)]
                turn += 1
                own = hashlib.sha256(f"{seed}/{accent}/{variant}".encode()).digest()
                low, high = pitch
                yield Voice(
                    accent,
                    raw["accents"][accent],
                    variant,
                    gender,
                    low + int.from_bytes(own[:4]) % (high - low + 1),
                )
        turn += each % 2  # otherwise an even number of turns would give every variant of a gender the same accents


def _problems(raw):
    if not isinstance(raw, dict) or set(raw) != {"accents", "splits"} or not isinstance(raw.get("accents"), dict):
        yield "expected the keys 'accents' (manifest name: eSpeak NG voice) and 'splits', and no others"
        return
    languages = {p.name.lower() for p in (data_folder() / "lang").rglob("*") if p.is_file()}
    for accent, language in raw["accents"].items():
        if str(language).lower() not in languages:
            yield f"accents.{accent}: eSpeak NG has no voice {language!r}"
    if not isinstance(raw["splits"], dict) or set(raw["splits"]) != set(SPLITS):
        yield f"splits: expected exactly {', '.join(SPLITS)}"
        return
    known = variants()
    split_of: dict[str, str] = {}
    for split in SPLITS:
        section = raw["splits"][split]
        if not isinstance(section, dict) or set(section) != {"accents_each", "variants"}:
            yield f"splits.{split}: expected the keys 'accents_each' and 'variants'"
            continue
        each = section["accents_each"]
        if not isinstance(each, int) or not 1 <= each <= len(raw["accents"]):
            yield f"splits.{split}.accents_each: expected 1 to {len(raw['accents'])}, found {each!r}"
        lists = section["variants"]
        if (
            not isinstance(lists, dict)
            or set(lists) != set(GENDERS)
            or not all(isinstance(v, list) for v in lists.values())
        ):
            yield f"splits.{split}.variants: expected the lists 'female' and 'male'"
            continue
        if not any(lists.values()):
            yield f"splits.{split}.variants: no variant at all"
        for variant in [*lists["female"], *lists["male"]]:
            if variant not in known:
                yield f"splits.{split}.variants: eSpeak NG has no variant {variant!r}"
            if variant in split_of:
                yield f"splits.{split}.variants: {variant!r} is in {split_of[variant]} already"
            split_of[variant] = split
