"""The prepared corpus: what ``prepare`` writes and every later stage reads.

``<split>.jsonl`` are manifests, ``audio/<split>-<nnn>.wav`` hold many utterances each (16-bit mono, one after the
other, found by offset and duration), ``tokens.json`` and ``tokenizer.model`` the vocabulary, ``corpus.json`` the
summary and the digest of every file. Where a pretrained teacher writes other tokens than the corpus' own,
``checkpoint`` holds its vocabulary.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from diminuendo.config.remedy import repro
from diminuendo.core.errors import UserError
from diminuendo.core.files import digest_of_json, sha256_of, write_json
from diminuendo.data.text import Tokenizer, is_trimmed, load_tokenizer, unicode_needed

SPLITS = ("train", "dev", "test")
TOKENS = "tokens.json"
CHECKPOINT = "checkpoint"  # folder of a pretrained teacher's tokenizer, where it is another than the corpus' own
UNLABELLED = "unlabelled"  # audio without transcripts, which a teacher can teach from; a corpus may have none
SHARD_SECONDS = 600.0


@dataclass(frozen=True)
class Utterance:
    """One line of a prepared manifest; times are in seconds."""

    id: str
    audio_filepath: str  # relative to the corpus folder
    offset: float
    duration: float
    text: str | None  # None: unlabelled
    speaker: str | None = None
    extra: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    def group(self, key: str) -> str | None:
        """The value of a manifest key such as ``speaker`` or ``accent``, as text; None where it is missing."""
        value = self.speaker if key == "speaker" else self.extra.get(key)
        return None if value is None else str(value)


class ShardWriter:
    """Writes the audio and the manifest lines of one split."""

    def __init__(self, folder: Path, split: str, sample_rate: int):
        self.folder, self.split, self.sample_rate = folder, split, sample_rate
        self.lines: list[dict] = []
        self.dropped: dict[str, int] = {}
        self._file = None
        self._path = ""
        self._frames = 0
        (folder / "audio").mkdir(exist_ok=True)

    def add(self, keys: dict[str, Any], samples: np.ndarray) -> None:
        """Append int16 [N] samples, and a line with ``keys`` (id, text, speaker, …) and where the samples are."""
        import soundfile

        if self._file is None or self._frames + len(samples) > SHARD_SECONDS * self.sample_rate:
            self.close()
            number = 1 + (int(self._path[-7:-4]) if self._path else -1)
            self._path = f"audio/{self.split}-{number:03d}.wav"
            self._file = soundfile.SoundFile(self.folder / self._path, "w", self.sample_rate, 1, "PCM_16")
            self._frames = 0
        self._file.write(samples)
        place = {
            "audio_filepath": self._path,
            "offset": round(self._frames / self.sample_rate, 8),
            "duration": round(len(samples) / self.sample_rate, 8),
        }
        self._frames += len(samples)
        self.lines.append({"id": keys["id"], **place, **{k: v for k, v in keys.items() if k != "id"}})

    def drop(self, reason: str) -> None:
        """Count an utterance that is left out."""
        self.dropped[reason] = self.dropped.get(reason, 0) + 1

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def summary(self) -> dict[str, Any]:
        return {
            "utterances": len(self.lines),
            "seconds": round(sum(line["duration"] for line in self.lines), 3),
            "words": sum(len(line.get("text", "").split()) for line in self.lines),
            "speakers": len({line["speaker"] for line in self.lines if line.get("speaker") is not None}),
            "dropped": dict(sorted(self.dropped.items())),
        }


def write_corpus(
    folder: Path,
    writers: dict[str, ShardWriter],
    tokenizer: Tokenizer,
    source: str,
    parameters: dict[str, Any] | None = None,
    teachers: Tokenizer | None = None,
) -> dict[str, Any]:
    """Write manifests, tokens and corpus.json beside the audio; returns the content of corpus.json.

    Args:
        tokenizer: the corpus' own.
        parameters: those that shaped the corpus, to stand in corpus.json.
        teachers: that of a pretrained teacher, if it is another.
    """
    for split, writer in writers.items():
        writer.close()
        if split == UNLABELLED and not writer.lines:
            continue
        lines = (json.dumps(line, ensure_ascii=False, allow_nan=False) for line in writer.lines)
        (folder / f"{split}.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    _write_tokenizer(folder, tokenizer)
    if teachers is not None:
        (folder / CHECKPOINT).mkdir()
        _write_tokenizer(folder / CHECKPOINT, teachers)
    paths = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != "corpus.json")
    summary: dict[str, Any] = {
        "files": {p.relative_to(folder).as_posix(): sha256_of(p) for p in paths},
        "splits": {split: writer.summary() for split, writer in writers.items() if split != UNLABELLED or writer.lines},
        "sample_rate": next(iter(writers.values())).sample_rate,
        "source": source,
        "parameters": parameters or {},
    }
    texts = (line.get("text", "") for writer in writers.values() for line in writer.lines)
    if (version := unicode_needed(texts)) is not None:
        summary["unicode"] = version  # another Python might read them otherwise
    summary["digest"] = digest_of_json(summary)
    write_json(folder / "corpus.json", summary)
    return summary


def _write_tokenizer(folder: Path, tokenizer: Tokenizer) -> None:
    write_json(folder / TOKENS, {"units": tokenizer.units, "tokens": tokenizer.tokens})
    tokenizer.save(folder)


class PreparedCorpus:
    """A prepared corpus that was opened; splits and tokenizer are read when first asked for.

    Args:
        vocabulary: folder of the tokenizer, relative to the corpus folder; empty: the corpus' own.
        kept: the tokens of it that a trimmed model has left; None: all.
    """

    def __init__(self, folder: Path, summary: dict[str, Any], vocabulary: str = "", kept: Sequence[str] | None = None):
        self.folder = folder
        self.summary = summary
        self.vocabulary = vocabulary
        self._kept = kept
        self.sample_rate: int = summary["sample_rate"]
        self.digest: str = summary["digest"]

    @classmethod
    def open(cls, folder: str | Path, verify: bool = True) -> PreparedCorpus:
        """Open a folder; with ``verify`` every file is checked against its digest.

        Raises:
            UserError: not a prepared corpus, or files are missing or changed.
        """
        folder = Path(folder)
        path = folder / "corpus.json"
        try:
            summary = json.loads(path.read_text(encoding="utf-8"))
            rest = {key: value for key, value in summary.items() if key != "digest"}
            files, digest = summary["files"], summary["digest"]
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(
                f"{path}: not a prepared corpus ({type(error).__name__}: {error}); {_remedy(folder)}"
            ) from error
        if digest_of_json(rest) != digest:
            raise UserError(
                f"{path}: its content does not match its digest; it was edited or damaged: {_remedy(folder)}"
            )
        if verify:
            missing = [name for name in files if not (folder / name).is_file()]
            changed = [name for name in files if name not in missing and sha256_of(folder / name) != files[name]]
            if missing or changed:
                found = [
                    *(f"{name} is missing" for name in missing),
                    *(f"{name} was changed" for name in changed),
                ]
                raise UserError(f"{folder}: {'; '.join(found)}; {_remedy(folder)}")
        return cls(folder, summary)

    def split(self, name: str) -> list[Utterance]:
        """Utterances of ``train``, ``dev``, ``test`` or ``unlabelled`` in manifest order."""
        utterances = []
        with open(self.folder / f"{name}.jsonl", encoding="utf-8") as lines:
            for line in lines:
                keys = json.loads(line)
                own = {k: keys.pop(k) for k in ("id", "audio_filepath", "offset", "duration")}
                own["text"] = keys.pop("text", None)
                utterances.append(Utterance(**own, speaker=keys.pop("speaker", None), extra=MappingProxyType(keys)))
        return utterances

    @cached_property
    def train(self) -> list[Utterance]:
        return self.split("train")

    @cached_property
    def dev(self) -> list[Utterance]:
        return self.split("dev")

    @cached_property
    def test(self) -> list[Utterance]:
        return self.split("test")

    @cached_property
    def unlabelled(self) -> list[Utterance]:
        """None of them has a text; the list is empty where the corpus has no such audio."""
        return self.split(UNLABELLED) if f"{UNLABELLED}.jsonl" in self.summary["files"] else []

    @cached_property
    def tokenizer(self) -> Tokenizer:
        folder = self.folder / self.vocabulary
        stored = json.loads((folder / TOKENS).read_text(encoding="utf-8"))
        return load_tokenizer(stored["units"], stored["tokens"] if self._kept is None else self._kept, folder)

    @property
    def tokens(self) -> list[str]:
        return self.tokenizer.tokens

    @property
    def lowercase(self) -> bool | str:
        """Whether its texts are in lower case."""
        return self.summary["parameters"]["text"]["lowercase"]

    def spelling(self, tokens: Sequence[str]) -> PreparedCorpus:
        """The same corpus with the tokenizer that these are the tokens of: the corpus' own, or the teacher's.

        Of a tokenizer that can do with fewer tokens, they may be some, in their order.

        Raises:
            UserError: it has no such tokenizer.
        """
        if self.tokens == list(tokens):
            return self
        places = [place for place in ("", CHECKPOINT) if not place or f"{place}/{TOKENS}" in self.summary["files"]]
        views = [PreparedCorpus(self.folder, self.summary, place) for place in places]
        for view in views:
            if view.tokens == list(tokens):
                return view
        for view in views:
            if is_trimmed(view.tokenizer, tokens):
                return PreparedCorpus(self.folder, self.summary, view.vocabulary, list(tokens))
        raise UserError(
            f"{self.folder}: has no tokenizer of the {len(tokens)} tokens that a model of the family writes; the model "
            f"and the corpus do not belong together: {_remedy(self.folder)}, and then the model's"
        )

    def audio(self, utterance: Utterance) -> np.ndarray:
        """float32 [N] in −1..1 at ``sample_rate``."""
        import soundfile

        with soundfile.SoundFile(self.folder / utterance.audio_filepath) as file:
            file.seek(round(utterance.offset * self.sample_rate))
            return file.read(round(utterance.duration * self.sample_rate), dtype="float32")


def _remedy(folder: Path) -> str:
    return f"run the prepare stage again ({repro(folder, 'prepare')})"
