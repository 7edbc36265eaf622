"""Batches of about equal duration, a pure function of (seed, epoch, index), so that a run can resume anywhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from torch import Tensor

from diminuendo.config.training import AugmentationConfig
from diminuendo.data.augmentation import augment_waveform, between_silences, without_speech
from diminuendo.data.padding import pad
from diminuendo.data.prepared import PreparedCorpus, Utterance

PREFETCHED = 3  # batches prepared ahead while the model trains


@dataclass(frozen=True)
class Batch:
    """Zero-padded waveforms ``[B, N]`` and their lengths ``[B]``.

    ``labelled`` ``[B]`` says which have a text: targets, one after the other, and their lengths are of those alone.
    """

    waveform: Tensor
    lengths: Tensor
    targets: Tensor
    target_lengths: Tensor
    labelled: Tensor
    seconds: float
    key: str | None = None  # of a batch that comes again, equal in every bit

    def to(self, device: torch.device) -> Batch:
        moved = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{name: v.to(device) for name, v in moved.items() if isinstance(v, Tensor)})


def batch_plan(durations: Sequence[float], batch_seconds: float, seed: int | None, epoch: int = 0) -> list[list[int]]:
    """Indices in batches whose padded length is at most ``batch_seconds`` (a longer utterance stands alone).

    With a seed, durations are jittered and batches shuffled, differently in every epoch; without, they are sorted.
    """
    durations = np.asarray(durations, dtype=np.float64)
    rng = np.random.default_rng([seed, epoch]) if seed is not None else None
    keys = durations * rng.uniform(0.9, 1.1, durations.size) if rng is not None else durations
    batches: list[list[int]] = []
    longest = 0.0
    for index in np.argsort(keys, kind="stable"):
        longest = max(longest, durations[index])
        if not batches or longest * (len(batches[-1]) + 1) > batch_seconds:
            batches.append([])
            longest = durations[index]
        batches[-1].append(int(index))
    if rng is not None:
        rng.shuffle(batches)
    return batches


def in_pairs(speakers: Sequence[str | None], share: float, seed: int, epoch: int) -> list[tuple[int, ...]]:
    """Every index once, about ``share`` of them in pairs of one speaker, drawn anew in every epoch.

    Where no speaker is named, anyone may follow anyone.
    """
    rng = np.random.default_rng([seed, epoch, len(speakers)])
    waiting: dict[str | None, int] = {}
    groups: list[tuple[int, ...]] = []
    for index in rng.permutation(len(speakers)).tolist():
        speaker = speakers[index]
        if speaker in waiting:
            groups.append((waiting.pop(speaker), index))
        elif rng.random() < share / (2 - share):  # whom the next of this speaker joins without a draw of its own
            waiting[speaker] = index
        else:
            groups.append((index,))
    return groups + [(index,) for index in waiting.values()]


def collate(waveforms: Sequence[np.ndarray], targets: Sequence[Sequence[int] | None], sample_rate: int) -> Batch:
    """Pad with zeros to the longest; None in place of targets: unlabelled."""
    known = [target for target in targets if target is not None]
    padded, lengths = pad(waveforms)
    return Batch(
        waveform=torch.from_numpy(padded),
        lengths=torch.from_numpy(lengths),
        targets=torch.tensor([token for target in known for token in target], dtype=torch.long),
        target_lengths=torch.tensor([len(target) for target in known], dtype=torch.long),
        labelled=torch.tensor([target is not None for target in targets]),
        seconds=int(lengths.sum()) / sample_rate,
    )


def spread(split: Sequence[Utterance], seconds: float) -> list[Utterance]:
    """Utterances spread evenly over a split, of about so many seconds together, and at least one."""
    count = max(1, min(len(split), round(len(split) * seconds / sum(u.duration for u in split))))
    return [split[i * len(split) // count] for i in range(count)]


class BatchSource:
    """Batches of one split of a prepared corpus, read and augmented in a thread ahead of the training loop.

    Without augmentation the batches are the same, longest last, in every epoch. With ``longest_audio``, in
    samples, no two utterances are joined that would be longer, and what augmentation would stretch beyond that is heard
    as it is.
    """

    def __init__(
        self,
        corpus: PreparedCorpus,
        split: Sequence[Utterance],
        batch_seconds: float,
        seed: int,
        augmentation: AugmentationConfig | None = None,
        joined_from_epoch: int = 0,
        augmentation_copies: int | None = None,
        longest_audio: int | None = None,
    ):
        self.longest_audio = longest_audio
        self.corpus, self.split, self.batch_seconds = corpus, split, batch_seconds
        self.seed, self.augmentation = seed, augmentation
        self.joined = augmentation.joined if augmentation else 0.0
        self.silence = round((augmentation.silence_seconds if augmentation else 0.0) * corpus.sample_rate)  # samples
        self.without_speech = augmentation.without_speech if augmentation else 0.0
        self.joined_from_epoch, self.augmentation_copies = joined_from_epoch, augmentation_copies

    def draw(self, epoch: int) -> int:
        """The epoch whose batches this one hears: itself, or an earlier one where there are only so many copies.

        Draws with and without pairs are not mixed: those with pairs begin anew at ``joined_from_epoch``.
        """
        if self.augmentation_copies is None:
            return epoch
        since = epoch - (self.joined_from_epoch if epoch >= self.joined_from_epoch else 0)
        return epoch - since + since % self.augmentation_copies

    def plan(self, epoch: int) -> list[list[tuple[int, ...]]]:
        """Batches of what is heard in one piece: an utterance, or two that are joined."""
        epoch = self.draw(epoch)
        heard: list[tuple[int, ...]] = [(index,) for index in range(len(self.split))]
        if self.joined and epoch >= self.joined_from_epoch:
            pairs = in_pairs([u.speaker for u in self.split], self.joined, self.seed, epoch)
            heard = [part for pair in pairs for part in ([pair] if self._fits(pair) else [(one,) for one in pair])]
        durations = [sum(self.split[index].duration for index in indices) for indices in heard]
        plan = batch_plan(durations, self.batch_seconds, self.seed if self.augmentation else None, epoch)
        return [[heard[place] for place in batch] for batch in plan]

    def _fits(self, indices: tuple[int, ...]) -> bool:
        seconds = sum(self.split[index].duration for index in indices)
        return self.longest_audio is None or seconds * self.corpus.sample_rate <= self.longest_audio

    def epoch(self, epoch: int = 0, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from number ``start`` on."""
        order = self._order(epoch)[start:]
        plan, draw = self.plan(epoch), self.draw(epoch)
        with ThreadPoolExecutor(1) as reader:
            waiting = [reader.submit(self._batch, plan, place, draw) for place in order[:PREFETCHED]]
            following = iter(order[PREFETCHED:])
            while waiting:
                batch = waiting.pop(0).result()
                if (place := next(following, None)) is not None:
                    waiting.append(reader.submit(self._batch, plan, place, draw))
                yield batch

    def _order(self, epoch: int) -> list[int]:
        """Places in the plan of an epoch; that of a repeated draw is shuffled again."""
        places = np.arange(len(self.plan(epoch)))
        if self.draw(epoch) != epoch:
            np.random.default_rng([self.seed, epoch]).shuffle(places)
        return places.tolist()

    def _batch(self, plan: list[list[tuple[int, ...]]], place: int, draw: int) -> Batch:
        heard = plan[place]
        waveforms = [self._waveform(indices, draw) for indices in heard]
        targets = [[] if self._is_without_speech(indices, draw) else self.target(indices) for indices in heard]
        batch = collate(waveforms, targets, self.corpus.sample_rate)
        return batch if self.augmentation_copies is None else replace(batch, key=f"{draw}-{place}")

    def target(self, indices: tuple[int, ...]) -> list[int] | None:
        """The tokens of what is said, if all of it is known."""
        texts = [self.split[index].text for index in indices]
        return None if None in texts else self.corpus.tokenizer.encode(" ".join(texts))

    def _is_without_speech(self, indices: tuple[int, ...], epoch: int) -> bool:
        """Whether nobody speaks in this draw. With a generator of its own: the other draws are as they are without."""
        if not self.without_speech or epoch < self.joined_from_epoch:
            return False
        return np.random.default_rng([self.seed, epoch, indices[0], 1]).random() < self.without_speech

    def _waveform(self, indices: tuple[int, ...], epoch: int) -> np.ndarray:
        waveforms = [self.corpus.audio(self.split[index]) for index in indices]
        if self.augmentation is None:
            return waveforms[0]
        rng = np.random.default_rng([self.seed, epoch, indices[0]])
        silent = self.silence and epoch >= self.joined_from_epoch
        waveform = between_silences(waveforms, self.silence, rng) if silent else np.concatenate(waveforms)
        if self._is_without_speech(indices, epoch):
            gain = np.float32(10 ** (rng.uniform(*self.augmentation.gain_db) / 20))
            return np.clip(without_speech(waveform, rng) * gain, -1, 1)[: self.longest_audio]

        def babble(length: int) -> np.ndarray:
            other = self.corpus.audio(self.split[int(rng.integers(len(self.split)))])
            return np.resize(other, length)

        augmented = augment_waveform(waveform, self.augmentation, rng, babble)
        if self.longest_audio is not None and len(augmented) > self.longest_audio:  # its last words would not be heard
            return np.concatenate(waveforms)
        return augmented
