"""The door for that checkpoint: a Transformer of the tests, its output rows in another order."""

from __future__ import annotations

from diminuendo.config.frontend import FrontendConfig
from tests.factories.transformer.record import BlockRecord, TransformerRecord


class CapitalsRecord(TransformerRecord):
    @property
    def layers(self):
        """Which a checkpoint is asked for before anything is built."""
        return self.blocks


def has_ctc_head(config):
    return True


def record_of(config, preprocessor, vocabulary):
    return CapitalsRecord(
        sample_rate=config["rate"],
        frontend=FrontendConfig(mels=12, window_seconds=0.032, hop_seconds=0.016, low_hz=50.0, high_hz=1900.0),
        vocabulary=vocabulary,
        width=8,
        stride=2,
        blocks=(BlockRecord(heads=2, head_width=4, inner=12),) * 2,
    )


def state_of(tensors, config, record, order):
    found = {name: tensors[name] for name in tensors}
    return found | {name: found[name][list(order)] for name in ("to_tokens.weight", "to_tokens.bias")}
