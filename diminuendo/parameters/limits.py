"""How large and how small each number of ``params.yaml`` may be.

The classes of the sections say what a number means, and so that it cannot be negative or must be a share. Here stands
what no computer finishes or no arithmetic survives: beyond it a value is a slip, and would end as a traceback
or a full memory after hours. Nothing that a stage trains depends on this, so that a limit may change at any time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from diminuendo.config.base import Section

Limits = tuple[float, float]

_COUNT: Limits = (1, 10_000_000)  # of utterances, words, draws
_SECONDS: Limits = (0, 86_400)
_DECIBELS: Limits = (-100, 100)
_EPOCHS: Limits = (0, 1_000_000)
_WEIGHT: Limits = (0, 1e6)  # of a term of a loss

LIMITS: dict[str, Limits] = {
    "Params.seed": (0, 2**63 - 1),
    "DataConfig.sample_rate": (2000, 96_000),
    "DataConfig.min_seconds": _SECONDS,
    "DataConfig.max_seconds": _SECONDS,
    "DataConfig.dev_fraction": (0, 1),
    "SynthesisConfig.train_utterances": _COUNT,
    "SynthesisConfig.dev_utterances": _COUNT,
    "SynthesisConfig.test_utterances": _COUNT,
    "SynthesisConfig.unlabelled_utterances": (0, 10_000_000),
    "SynthesisConfig.words_per_minute": (80, 450),
    "SynthesisConfig.pitch": (0, 99),
    "SynthesisConfig.noise_snr_db": _DECIBELS,
    "SynthesisConfig.noise_probability": (0, 1),
    "SynthesisConfig.gain_db": (-100, 40),
    "TextConfig.vocab_size": (2, 100_000),
    "FrontendConfig.mels": (1, 512),
    "FrontendConfig.window_seconds": (0.001, 1),
    "FrontendConfig.hop_seconds": (0.001, 1),
    "FrontendConfig.low_hz": (0, 48_000),
    "FrontendConfig.high_hz": (1, 48_000),
    "TrainingConfig.epochs": (1, 1_000_000),
    "TrainingConfig.batch_seconds": (0.1, 1_000_000),
    "TrainingConfig.learning_rate": (1e-12, 100),
    "TrainingConfig.final_learning_rate": (0, 100),
    "TrainingConfig.warmup_fraction": (0, 1),
    "TrainingConfig.weight_decay": (0, 100),
    "TrainingConfig.clip_norm": (1e-9, 1e9),
    "TrainingConfig.ema_decay": (0, 0.999999),
    "TrainingConfig.dev_every": (1, 1_000_000),
    "TrainingConfig.checkpoint_every": (1, 1_000_000_000),
    "TrainingConfig.layer_decay": (1e-6, 1),
    "TrainingConfig.frozen_layers": (0, 1000),
    "TrainingConfig.joined_from_epoch": _EPOCHS,
    "TrainingConfig.augmentation_copies": (1, 1_000_000),
    "AugmentationConfig.speed": (0.25, 4),
    "AugmentationConfig.noise_probability": (0, 1),
    "AugmentationConfig.noise_snr_db": _DECIBELS,
    "AugmentationConfig.gain_db": (-100, 40),
    "AugmentationConfig.time_masks": (0, 1000),
    "AugmentationConfig.time_mask_fraction": (0, 1),
    "AugmentationConfig.mel_masks": (0, 1000),
    "AugmentationConfig.mel_mask_bands": (0, 512),
    "AugmentationConfig.joined": (0, 1),
    "AugmentationConfig.silence_seconds": (0, 3600),
    "AugmentationConfig.without_speech": (0, 1),
    "ArchitectureConfig.layers": (1, 200),
    "ArchitectureConfig.width": (1, 16_384),
    "ArchitectureConfig.heads": (0, 1024),
    "ArchitectureConfig.head_width": (1, 16_384),
    "ArchitectureConfig.feed_forward": (1, 131_072),
    "ArchitectureConfig.conv_kernel": (1, 1001),
    "ArchitectureConfig.conv_channels": (1, 131_072),
    "ArchitectureConfig.subsampling_channels": (0, 16_384),
    "ArchitectureConfig.dropout": (0, 0.99),
    "ParentArchitecture.layers": (1, 200),
    "ParentArchitecture.width": (1, 16_384),
    "ParentArchitecture.heads": (1, 1024),
    "ParentArchitecture.feed_forward": (1, 131_072),
    "ParentArchitecture.convolution": (1, 131_072),
    "ParentArchitecture.decoder_layers": (1, 200),
    "HeardContext.margin_seconds": (0, 30),
    "HeardContext.multiple_seconds": (0.02, 30),
    "LabelConfig.utterances": _COUNT,
    "LabelConfig.min_log_prob": (-1000, 0),
    "LabelConfig.max_compression": (0.01, 1000),
    "LabelConfig.max_wer": (0, 1000),
    "LossConfig.ctc": _WEIGHT,
    "LossConfig.intermediate": _WEIGHT,
    "LossConfig.kl": _WEIGHT,
    "LossConfig.temperature": (0.01, 1000),
    "LossConfig.hidden": _WEIGHT,
    "LossConfig.sequence": _WEIGHT,
    "DistillConfig.teacher_layers": (0, 999),
    "LowRankConfig.energy": (0, 1),
    "LowRankConfig.budget": (0.001, 1),
    "RemoveLayersConfig.count": (1, 999),
    "RemoveLayersConfig.decoder_count": (1, 999),
    "VocabularyConfig.most": (1, 1_000_000),
    "MagnitudeConfig.sparsity": (0, 0.9999),
    "MagnitudeConfig.begin": (0, 1),
    "MagnitudeConfig.end": (0, 1),
    "StructuredConfig.parameters": (0.0001, 1e12),
    "StructuredConfig.latency": (0.001, 1),
    "StructuredConfig.heads": (0, 1),
    "StructuredConfig.feed_forward": (0, 1),
    "StructuredConfig.convolution": (0, 1),
    "StructuredConfig.decoder_heads": (0, 1),
    "StructuredConfig.cross_heads": (0, 1),
    "StructuredConfig.decoder_feed_forward": (0, 1),
    "StructuredConfig.batches": _COUNT,
    "StructuredConfig.rounds": (1, 1000),
    "StructuredConfig.round_epochs": (1, 1_000_000),
    "QuantizeConfig.group_size": (1, 1_000_000),
    "QuantizeConfig.log_prob_difference": (0, 1000),
    "QuantizeConfig.calibration_utterances": _COUNT,
    "BudgetConfig.bytes": (1, 10**13),
    "BudgetConfig.bits": (2, 8),
    "BudgetConfig.kl": (1e-12, 1e6),
    "EvaluateConfig.bootstrap_samples": (1, 1_000_000),
    "EvaluateConfig.confidence": (0, 0.999999),
    "EvaluateConfig.timing_utterances": _COUNT,
    "EvaluateConfig.timing_repeats": (1, 100_000),
    "NoiseConfig.snr_db": (-40, 80),
    "NoiseConfig.utterances": _COUNT,
    "ErrorsPageConfig.utterances": (1, 1_000_000),
    "ErrorsPageConfig.audio_megabytes": (0, 200),
    "GateConfig.wer": (0, 1),
    "GateConfig.cer": (0, 1),
    "GateConfig.min_utterances": _COUNT,
    "GateConfig.min_words": (1, 1_000_000_000),
    "GateConfig.min_characters": (1, 1_000_000_000),
    "GateConfig.min_speakers": (0, 10_000_000),
    "GateConfig.noise_wer": (0, 1),
    "GateConfig.hallucinated_words_per_minute": (0, 100_000),
    "GateConfig.new_loops": (0, 10_000_000),
    "GateConfig.no_worse_share": (0, 1),
    "GateConfig.min_group_utterances": _COUNT,
    "GateConfig.bytes": (1, 10**13),
    "AccuracyLimits.wer": (-1, 1),
    "AccuracyLimits.group_wer": (-1, 1),
    "AccuracyLimits.deletions": (-1, 1),
    "AccuracyLimits.insertions": (-1, 1),
    "ChampionLimits.real_time_factor": (0.001, 10_000),
    "RetrainConfig.quarantine_limit": (0, 1),
    "RetrainConfig.dev_fraction": (0, 1),
    "RetrainConfig.test_fraction": (0, 1),
    "DriftConfig.stability_index": (1e-9, 1000),
    "DriftConfig.out_of_vocabulary": (0, 1),
}


def limits_of(section: type[Section], field: str) -> Limits | None:
    """Those of a field of a class, which may stand at a class that it is derived from."""
    names = (base.__name__.removesuffix("Overrides") for base in section.__mro__)
    return next((LIMITS[key] for name in names if (key := f"{name}.{field}") in LIMITS), None)


def beyond_limits(section: Section, path: str = "") -> list[str]:
    """A sentence for each number of a section, and of those in it, that is too small or too large."""
    problems = []
    for name, field in type(section).model_fields.items():
        where = f"{path}.{field.alias or name}".lstrip(".")
        value = getattr(section, name)
        if isinstance(value, Section):
            problems += beyond_limits(value, where)
        elif isinstance(value, dict) and any(isinstance(one, Section) for one in value.values()):
            for key, one in value.items():
                problems += beyond_limits(one, f"{where}.{key}")
        elif (limits := limits_of(type(section), name)) is not None:
            low, high = limits
            found = next((number for number in _numbers(value) if not low <= number <= high), None)
            if found is not None:
                problems.append(f"{where}: expected {_shown(low)} to {_shown(high)}, found {_shown(found)}")
    return problems


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, dict):
        value = tuple(value.values())
    for one in value if isinstance(value, tuple) else (value,):
        if isinstance(one, int | float) and not isinstance(one, bool):
            yield one


def _shown(number: float) -> str:
    text = str(number) if isinstance(number, int) else f"{number:g}"
    return text if len(text) <= 24 else f"{text[:10]}… ({len(text)} digits)"
