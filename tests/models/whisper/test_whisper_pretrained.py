"""Whisper's weights in Hugging Face's format: what is taken, and what is refused."""

import pytest
import torch

from diminuendo.core.errors import UserError
from diminuendo.models.whisper import pretrained
from diminuendo.models.whisper.module import WhisperEncoderCTC
from tests.factories.whisper import foreign_whisper


@pytest.fixture(scope="module")
def checkpoint():
    model = foreign_whisper()
    return model.config.to_dict(), model.state_dict()


def state_of(config, tensors):
    return pretrained.state_of(tensors, config, pretrained.record_of(config, {}, 9), None)


def test_the_record_has_the_widths_of_the_configuration():
    config = foreign_whisper(num_mel_bins=128, dropout=0.1).config.to_dict()
    preprocessor = {"feature_size": 128, "n_fft": 400, "hop_length": 160, "sampling_rate": 16000, "chunk_length": 30}
    record = pretrained.record_of(config, preprocessor, 9)
    assert (record.width, record.position_channels, record.vocabulary, record.dropout) == (16, 16, 9, 0.1)
    assert [(layer.heads, layer.head_width, layer.feed_forward) for layer in record.layers] == [(4, 4, 24)] * 2
    assert record.feature_channels == 128 and record.frame_seconds == 0.02
    assert not pretrained.has_ctc_head(config) and config["model_type"] in pretrained.MODEL_TYPES


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("prefix", ["model.encoder.", "encoder.", ""])
def test_weights_of_any_type_and_prefix_are_taken(checkpoint, dtype, prefix):
    config, tensors = checkpoint
    old = "model.encoder."
    tensors = {prefix + name[len(old) :]: t.to(dtype) for name, t in tensors.items() if name.startswith(old)}
    state = state_of(config, tensors)
    model = WhisperEncoderCTC(pretrained.record_of(config, {}, 9))
    missing = model.load_state_dict(state, strict=False)
    assert set(missing.missing_keys) == {"out.weight", "out.bias"} and not missing.unexpected_keys
    assert {tensor.dtype for tensor in state.values()} == {torch.float32}
    expected = tensors[f"{prefix}layers.1.fc1.weight"].float()
    assert torch.equal(state["layers.1.feed_forward.up.weight"], expected)
    assert not state["layers.0.attention.key.bias"].any() and state["layers.0.attention.query.bias"].any()


@pytest.mark.parametrize(
    ("changes", "preprocessor", "said"),
    [
        (
            {"activation_function": "relu"},
            {},
            "config.json: activation_function: found 'relu', and only 'gelu' is su",
        ),
        ({"scale_embedding": True}, {}, "config.json: scale_embedding: found True, and only False is"),
        ({"d_model": 18}, {}, r"config.json: d_model: found 18, expected an even multiple of .*heads \(4\)"),
        ({"encoder_layers": "6"}, {}, "config.json: encoder_layers: found '6', expected a positive whole number"),
        ({"encoder_ffn_dim": None}, {}, "config.json: encoder_ffn_dim: found None, expected a positive whole number"),
        ({"encoder_layers": 10**12}, {}, "config.json: encoder_layers: found 1000000000000, expected 1024 at most"),
        ({}, {"n_fft": 10**30}, "preprocessor_config.json: n_fft: found 1000000000000000000000000000000, expected"),
        ({"dropout": 2}, {}, "config.json: dropout: found 2, expected a number from 0 to 1"),
        ({}, {"feature_size": 80}, r"feature_size: found 80, expected num_mel_bins of config.json \(20\)"),
        ({}, {"dither": 0.1}, "preprocessor_config.json: dither: found 0.1, and only 0.0"),
        ({}, {"do_normalize": True}, "preprocessor_config.json: do_normalize: found True, and only False"),
        ({}, {"feature_extractor_type": "X"}, "feature_extractor_type: found 'X', and only 'WhisperFeatureExtractor'"),
        ({}, {"hop_length": 0}, "preprocessor_config.json: hop_length: found 0, expected a positive whole number"),
    ],
)
def test_what_is_not_known_is_refused(checkpoint, changes, preprocessor, said):
    config, _ = checkpoint
    with pytest.raises(UserError, match=said):
        pretrained.record_of({**config, **changes}, preprocessor, 9)


def test_tensors_that_do_not_fit_are_refused(checkpoint):
    config, tensors = checkpoint
    name = "model.encoder.layers.1.fc2.weight"
    without = {key: tensor for key, tensor in tensors.items() if key != name}
    with pytest.raises(UserError, match=rf"no tensor {name}, of shape \[16, 24\]"):
        state_of(config, without)
    with pytest.raises(UserError, match=rf"tensor {name} has the shape \[16, 23\] and is of .*, where .* \[16, 24\]"):
        state_of(config, {**tensors, name: tensors[name][:, 1:]})
    with pytest.raises(
        UserError, match=r"no tensor model.encoder.conv1.weight or encoder.conv1.weight or conv1.weight"
    ):
        state_of(config, {"lm_head.weight": torch.zeros(2, 2)})
    with pytest.raises(UserError, match=r"a tensor model.encoder.layers.1.fc1.bias and 14 more, which .* not have"):
        state_of({**config, "encoder_layers": 1}, tensors)


def test_learned_positions_are_refused(checkpoint):
    config, tensors = checkpoint
    name = "model.encoder.embed_positions.weight"
    with pytest.raises(UserError, match=r"embed_positions.weight is up to .* away from the sinusoids"):
        state_of(config, {**tensors, name: tensors[name] + 0.1})
    with pytest.raises(UserError, match=r"embed_positions.weight holds what is no number"):
        state_of(config, {**tensors, name: tensors[name] * float("nan")})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e300])
def test_what_is_no_number_is_refused(checkpoint, value):
    config, tensors = checkpoint
    name = "model.encoder.layers.1.fc1.bias"
    broken = tensors[name].to(torch.float64)
    broken[3] = value
    with pytest.raises(UserError, match=f"{name} holds what is no number in float32"):
        state_of(config, {**tensors, name: broken})


def test_headers_tell_whether_weights_fit(checkpoint):
    config, tensors = checkpoint
    outlines = {name: tensor.to("meta") for name, tensor in tensors.items()}
    assert {name: tensor.shape for name, tensor in state_of(config, outlines).items()} == {
        name: tensor.shape for name, tensor in state_of(config, tensors).items()
    }
    with pytest.raises(UserError, match=r"fc1\.bias, of shape"):
        state_of(config, {name: tensor for name, tensor in outlines.items() if not name.endswith("1.fc1.bias")})
