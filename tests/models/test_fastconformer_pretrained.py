"""Checkpoints of Parakeet: ours says what ``transformers`` says, and what it cannot say is refused."""

import json
import re

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from diminuendo.core.errors import UserError
from diminuendo.models.fastconformer.module import FastConformerCTC
from diminuendo.models.fastconformer.onnx_writer import build_onnx
from diminuendo.models.fastconformer.pretrained import MODEL_TYPES, has_ctc_head, record_of, state_of
from tests.factories.fastconformer import ENCODER, VARIANTS, VOCABULARY, parakeet, spoken
from tests.factories.models import onnx_outputs

ORDER = (VOCABULARY - 1, *range(VOCABULARY - 1))  # theirs has the blank at the end
LENGTHS = (16000, 7001, 1999, 12805)
TOLERANCE = 1e-4


def ours_of(theirs, order=ORDER):
    config = json.loads(theirs.config.to_json_string())
    record = record_of(config, {}, VOCABULARY)
    model = FastConformerCTC(record)
    model.load_state_dict(state_of(theirs.state_dict(), config, record, order))
    return model.eval()


def heard_by(theirs, audio):
    from transformers import ParakeetFeatureExtractor

    extractor = ParakeetFeatureExtractor(feature_size=theirs.config.encoder_config.num_mel_bins)
    return extractor(audio, sampling_rate=16000, return_tensors="pt")


def log_probs_of(theirs, **inputs):
    """In our order of tokens, ``[B, T, V]``."""
    with torch.inference_mode():
        return theirs(**inputs).logits.log_softmax(dim=-1)[..., list(ORDER)]


def padded(audio):
    waveform = torch.zeros(len(audio), max(map(len, audio)))
    for row, samples in zip(waveform, audio):
        row[: len(samples)] = torch.from_numpy(samples)
    return waveform, torch.tensor([len(samples) for samples in audio])


@pytest.fixture(scope="module", params=VARIANTS)
def models(request):
    theirs = parakeet(**VARIANTS[request.param])
    return theirs, ours_of(theirs)


def test_log_probabilities_are_theirs_in_a_padded_batch_and_alone(models):
    theirs, ours = models
    audio = spoken(*LENGTHS)
    waveform, lengths = padded(audio)
    heard = heard_by(theirs, audio)
    expected = log_probs_of(theirs, **heard)
    features = heard["input_features"].transpose(1, 2), heard["attention_mask"].sum(1)
    with torch.inference_mode():
        of_features, frames, _ = ours.encode(*features)
        found, of_waveform = ours(waveform, lengths)
    assert frames.tolist() == of_waveform.tolist()
    assert frames.tolist() == [-(-(n // 160) // ours.record.subsampling) for n in LENGTHS]
    for row, T in enumerate(frames.tolist()):
        alone = log_probs_of(theirs, **heard_by(theirs, audio[row : row + 1]))[0, :T]
        with torch.inference_mode():
            ours_alone, _ = ours(waveform[row : row + 1, : LENGTHS[row]], lengths[row : row + 1])
        for one in (of_features[row, :T], found[row, :T], ours_alone[0], alone):
            assert (one - expected[row, :T]).abs().max() < TOLERANCE
        assert T == 1 or expected[row, :T].std(dim=0).max() > 0.1, "every frame says the same"


def test_the_shipped_file_says_what_they_say(models):
    theirs, ours = models
    audio = spoken(*LENGTHS)
    expected = log_probs_of(theirs, **heard_by(theirs, audio)).numpy()
    found, frames = onnx_outputs(build_onnx(ours, {}).SerializeToString(), *padded(audio))
    for row, T in enumerate(frames.tolist()):
        assert np.abs(found[row, :T] - expected[row, :T]).max() < TOLERANCE


def test_without_an_attention_mask_they_say_the_same_of_an_utterance_alone():
    theirs = parakeet()
    ours = ours_of(theirs)
    features = torch.randn(1, 83, ENCODER["num_mel_bins"], generator=torch.Generator().manual_seed(0))
    expected = log_probs_of(theirs, input_features=features)
    found, frames, _ = ours.encode(features.transpose(1, 2), torch.tensor([83]))
    assert frames.tolist() == [expected.shape[1]] and (found - expected).abs().max() < TOLERANCE


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_stored_folder_is_read_in_float32(tmp_path, dtype):
    theirs = parakeet()
    theirs.to(dtype).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["model_type"] in MODEL_TYPES and has_ctc_head(config)
    record = record_of(config, {}, VOCABULARY)
    state = state_of(load_file(tmp_path / "model.safetensors"), config, record, ORDER)
    floats = [tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")]
    assert {tensor.dtype for tensor in floats} == {torch.float32}
    ours = ours_of(theirs.to(torch.float32))
    assert all(torch.equal(state[name], tensor) for name, tensor in ours.state_dict().items())


def transducer():
    from transformers import ParakeetForRNNT, ParakeetRNNTConfig

    keys = {"vocab_size": 9, "decoder_hidden_size": 8, "blank_token_id": 8}
    return ParakeetForRNNT(ParakeetRNNTConfig(encoder_config=ENCODER, **keys))


def duration_transducer():
    from transformers import ParakeetForTDT, ParakeetTDTConfig

    keys = {"vocab_size": 9, "decoder_hidden_size": 8, "blank_token_id": 8}
    return ParakeetForTDT(ParakeetTDTConfig(encoder_config=ENCODER, **keys))


def bare_encoder():
    from transformers import ParakeetEncoder, ParakeetEncoderConfig

    return ParakeetEncoder(ParakeetEncoderConfig(**ENCODER))


@pytest.mark.parametrize("make", [transducer, duration_transducer, bare_encoder])
def test_of_models_with_another_head_or_none_the_encoder_comes(tmp_path, make):
    from transformers import AutoModel

    torch.manual_seed(1)
    theirs = make().eval()
    theirs.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["model_type"] in MODEL_TYPES and not has_ctc_head(config)
    record = record_of(config, {}, 5)
    state = state_of(load_file(tmp_path / "model.safetensors"), config, record, None)
    ours = FastConformerCTC(record)
    missing, unexpected = ours.load_state_dict(state, strict=False)
    assert sorted(missing) == ["out.bias", "out.weight"] and not unexpected
    encoder = theirs if make is bare_encoder else theirs.encoder
    assert isinstance(encoder, AutoModel.from_config(encoder.config).__class__)
    features = torch.randn(1, 83, ENCODER["num_mel_bins"])
    with torch.inference_mode():
        expected = encoder(features).last_hidden_state
        states = ours.eval().encode(features.transpose(1, 2), torch.tensor([83]))[2]
    assert (states[-1] - expected).abs().max() < TOLERANCE


def test_rows_of_the_output_are_put_in_order():
    theirs = parakeet()
    order = (6, 3, 0, 5, 1, 2, 4)
    ours = ours_of(theirs, order)
    assert torch.equal(ours.out.weight, theirs.ctc_head.weight[list(order), :, 0])
    assert torch.equal(ours.out.bias, theirs.ctc_head.bias[list(order)])


def config_of(**encoder):
    return {
        "architectures": ["ParakeetForCTC"],
        "model_type": "parakeet_ctc",
        "vocab_size": VOCABULARY,
        "encoder_config": {"model_type": "parakeet_encoder", **ENCODER, **encoder},
    }


def test_the_record_of_a_checkpoint():
    said = {"feature_size": 16, "hop_length": 80, "n_fft": 256, "win_length": 200, "sampling_rate": 8000}
    record = record_of(config_of(dropout=0.2), {**said, "preemphasis": None, "padding_side": "right"}, 9)
    assert record.frontend.model_dump() == {
        "kind": "nemo-log-mel",
        "mels": 16,
        "transform": 256,
        "window": 200,
        "hop": 80,
        "preemphasis": 0.0,
    }
    assert (record.vocabulary, record.dropout, record.sample_rate, record.width) == (9, 0.2, 8000, 16)
    assert record.frame_seconds == 0.08 and record.frames_of(1.0) == (100, 13) and record.frames_of(0.001) == (1, 1)
    layer = record.layers[1]
    assert (layer.heads, layer.head_width, layer.kernel, layer.convolution) == (2, 8, 9, 16)
    assert (layer.feed_forward_1, layer.feed_forward_2) == (24, 24)


def test_the_published_checkpoints_are_described_in_full():
    """What ``nvidia/parakeet-ctc-1.1b`` leaves to the format's defaults, and what it says."""
    record = record_of({"model_type": "parakeet_ctc", "encoder_config": {"num_hidden_layers": 42}}, {}, 1025)
    assert (len(record.layers), record.width, record.subsampling, record.subsampling_channels) == (42, 1024, 8, 256)
    assert record.layers[0].head_width == 128 and record.frontend.mels == 80
    assert (record.input_scale, record.sinusoid_width) == (32.0, 1024)


@pytest.mark.parametrize(
    ("encoder", "said"),
    [
        ({"hidden_act": "relu"}, "encoder_config.hidden_act: 'relu' is not supported"),
        ({"conv_kernel_size": 8}, "encoder_config.conv_kernel_size: 8 is not supported, expected an odd number"),
        ({"subsampling_conv_kernel_size": 2}, "encoder_config.subsampling_conv_kernel_size: 2 is not supported"),
        ({"subsampling_factor": 6}, "encoder_config.subsampling_factor: 6 is not supported, expected 2, 4, 8"),
        ({"subsampling_conv_stride": 1}, "encoder_config.subsampling_conv_stride: 1 is not supported"),
        ({"num_mel_bins": 12}, "encoder_config.num_mel_bins: 12 is not supported, expected a multiple of 8"),
        ({"num_key_value_heads": 1}, "encoder_config.num_key_value_heads: 1 is not supported"),
        ({"num_attention_heads": 32}, "encoder_config.num_attention_heads: 32 is more than hidden_size"),
        ({"hidden_size": "32"}, "encoder_config.hidden_size: '32' is not supported"),
        ({"num_mel_bins": True}, "encoder_config.num_mel_bins: True is not supported"),
        ({"hidden_size": 10**30}, "encoder_config.hidden_size: 1000000000000000000000000000000 is not supported"),
        ({"num_hidden_layers": 2000}, "encoder_config.num_hidden_layers: 2000 is not supported"),
        ({"hidden_size": "wide"}, "encoder_config.hidden_size: 'wide' is not supported"),
        ({"conv_norm_type": "layer_norm"}, "encoder_config.conv_norm_type: 'layer_norm' was found, and nothing is"),
    ],
)
def test_a_configuration_that_is_not_supported_is_refused(encoder, said):
    with pytest.raises(UserError, match=f"^{re.escape(f'config.json: {said}')}"):
        record_of(config_of(**encoder), {}, VOCABULARY)


def test_a_configuration_without_its_encoder_is_refused():
    config = config_of()
    with pytest.raises(UserError, match=r"^config.json: quantization_config: \{'bits': 4\} was found"):
        record_of({**config, "quantization_config": {"bits": 4}}, {}, VOCABULARY)
    del config["encoder_config"]
    with pytest.raises(UserError, match=r"^config.json: encoder_config: None was found, expected the section"):
        record_of(config, {}, VOCABULARY)


@pytest.mark.parametrize(
    ("preprocessor", "said"),
    [
        ({"feature_size": 80}, "feature_size: 80 was found, expected the 16 of num_mel_bins in config.json"),
        ({"feature_extractor_type": "WhisperFeatureExtractor"}, "feature_extractor_type: 'WhisperFeatureExtractor'"),
        ({"win_length": 600}, "win_length: 600 was found, expected at most n_fft (512)"),
        ({"dither": 1e-5}, "dither: 1e-05 was found, and nothing is known here of such a key"),
    ],
)
def test_features_that_are_not_supported_are_refused(preprocessor, said):
    with pytest.raises(UserError, match=f"^{re.escape(f'preprocessor_config.json: {said}')}"):
        record_of(config_of(), preprocessor, VOCABULARY)


def refused(change, order=ORDER, **encoder):
    tensors, config = dict(parakeet(**encoder).state_dict()), config_of(**encoder)
    change(tensors)
    with pytest.raises(UserError) as error:
        state_of(tensors, config, record_of(config, {}, len(order)), order)
    return str(error.value)


def test_weights_that_do_not_fit_are_refused():
    name = "encoder.layers.1.self_attn.q_proj.weight"

    def shorter(tensors):
        tensors[name] = tensors[name][:3]

    def of_integers(tensors):
        tensors[name] = tensors[name].to(torch.int8)

    missing = refused(lambda tensors: tensors.pop(name))
    assert missing.startswith(f"the checkpoint has no tensor {name}, of shape [16, 16]; give the weights that belong")
    assert f"tensor {name} has the shape [3, 16] and is of torch.float32, where" in refused(shorter)
    assert "[16, 16] and is of torch.int8, where its config.json makes it [16, 16] of floating" in refused(of_integers)
    headless = refused(lambda tensors: tensors.pop("ctc_head.weight"))
    assert headless.startswith("the checkpoint has no tensor ctc_head.weight or model.ctc_head.weight; give")
    encoderless = refused(lambda tensors: tensors.pop("encoder.subsampling.linear.weight"))
    assert "no tensor encoder.subsampling.linear.weight or subsampling.linear.weight or model." in encoderless


def test_tensors_without_a_place_are_refused():
    def another_layer(tensors):
        tensors["encoder.layers.2.norm_out.weight"] = torch.ones(16)

    def a_bias(tensors):
        tensors["encoder.layers.0.self_attn.q_proj.bias"] = torch.ones(16)

    assert "a tensor encoder.layers.2.norm_out.weight, which a model by its config.json does" in refused(another_layer)
    said = refused(a_bias, attention_bias=False)
    assert "a tensor encoder.layers.0.self_attn.q_proj.bias, which a model by its config.json does not" in said


def test_a_tokenizer_that_does_not_fit_is_refused():
    said = "output layer has 7 rows, which do not fit the tokenizer, of 9 tokens up to number 8, and the model, of 9;"
    assert said in refused(lambda tensors: None, order=tuple(range(9)))
