"""Models of torchaudio say here what they say there."""

import pytest
import torch
from torchaudio.models import hubert_pretrain_model, wav2vec2_model, wavlm_model
from torchaudio.pipelines import HUBERT_ASR_LARGE, WAV2VEC2_ASR_BASE_960H, WAVLM_BASE
from torchaudio.pipelines._wav2vec2.utils import _extend_model

from diminuendo.core.errors import UserError
from diminuendo.models.registry import build
from diminuendo.models.wav2vec2.pretrained import has_ctc_head, record_of, state_of
from diminuendo.models.wav2vec2.torchaudio_weights import checkpoint_of

SMALL = {
    "extractor_conv_layer_config": [(8, 10, 5), (8, 3, 2), (12, 2, 2)],
    "extractor_conv_bias": False,
    "encoder_embed_dim": 24,
    "encoder_projection_dropout": 0.0,
    "encoder_pos_conv_kernel": 16,
    "encoder_pos_conv_groups": 4,
    "encoder_num_layers": 2,
    "encoder_num_heads": 3,
    "encoder_attention_dropout": 0.0,
    "encoder_ff_interm_features": 40,
    "encoder_ff_interm_dropout": 0.0,
    "encoder_dropout": 0.1,
    "encoder_layer_drop": 0.0,
}
BASE = {"extractor_mode": "group_norm", "encoder_layer_norm_first": False}
LARGE = {"extractor_mode": "layer_norm", "encoder_layer_norm_first": True, "extractor_conv_bias": True}
BUCKETS = {"encoder_num_buckets": 20, "encoder_max_distance": 40}


def shaken(build_model, **keys):
    torch.manual_seed(0)
    model = build_model(**{**SMALL, "aux_num_out": 12, **keys})
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model.eval()


def loaded(model, order=range(12)):
    config, tensors = checkpoint_of(model)
    record = record_of(config, {}, 12)
    ours = build(record)
    ours.load_state_dict(state_of(tensors, config, record, order), strict=order is not None)
    return ours.eval()


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize(
    ("build_model", "keys"),
    [
        (wav2vec2_model, BASE),
        (wav2vec2_model, LARGE),
        (wavlm_model, BASE | BUCKETS),
        (wavlm_model, LARGE | BUCKETS),
    ],
)
def test_log_probabilities_are_those_of_torchaudio(build_model, keys, normalize):
    theirs = shaken(build_model, **keys)
    if normalize:  # as get_model() of a bundle does where the model was trained so
        theirs = _extend_model(theirs, normalize_waveform=True)
    ours = loaded(theirs)
    torch.manual_seed(1)
    for samples in (2000, 3333):
        waveform = 0.05 * torch.randn(1, samples) + 0.01
        with torch.inference_mode():
            expected = theirs(waveform)[0].log_softmax(dim=-1)
            found, frames = ours(waveform, torch.tensor([samples]))
        assert frames.tolist() == [expected.shape[1]] and expected.std() > 0.3
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


def test_a_model_without_outputs_is_a_self_supervised_one():
    config, _ = checkpoint_of(shaken(wav2vec2_model, **BASE, aux_num_out=None))
    assert not has_ctc_head(config) and config["hidden_dropout"] == 0.1
    assert has_ctc_head(checkpoint_of(shaken(wav2vec2_model, **BASE))[0])
    assert "out.weight" in loaded(shaken(wav2vec2_model, **BASE, aux_num_out=None), order=None).state_dict()


@pytest.mark.parametrize("bundle", [WAV2VEC2_ASR_BASE_960H, HUBERT_ASR_LARGE, WAVLM_BASE])
def test_the_architectures_of_bundles_are_read(bundle):
    """Without their weights, which are elsewhere."""
    with torch.device("meta"):
        model = (wavlm_model if bundle is WAVLM_BASE else wav2vec2_model)(**bundle._params)
    config, tensors = checkpoint_of(model)
    record = record_of(config, {}, 29)
    assert len(record.layers) == bundle._params["encoder_num_layers"]
    assert record.pre_norm == bundle._params["encoder_layer_norm_first"]
    assert (record.relative_positions is not None) == (bundle is WAVLM_BASE)
    with torch.device("meta"):
        wanted = {name for name in build(record).state_dict() if not name.startswith("out.")}
        assert set(state_of(tensors, config, record, None)) == wanted
    if bundle is not WAVLM_BASE:
        assert bundle.get_labels()[:2] == ("-", "|") and len(bundle.get_labels()) == bundle._params["aux_num_out"]


def test_other_models_are_refused():
    with pytest.raises(UserError, match=r"Linear is no wav2vec 2\.0, HuBERT or WavLM of torchaudio"):
        checkpoint_of(torch.nn.Linear(2, 2))
    starred = _extend_model(shaken(wav2vec2_model, **BASE), normalize_waveform=False, append_star=True)
    with pytest.raises(UserError, match=r"a token for any word .*get_model\(with_star=False\)"):
        checkpoint_of(starred)
    keys = {key: value for key, value in SMALL.items() if key != "extractor_conv_bias"}
    masks = dict.fromkeys(("mask_other", "mask_channel_other"), 0.0)
    pretraining = hubert_pretrain_model(
        **keys | BASE,
        extractor_conv_bias=False,
        mask_prob=0.8,
        mask_selection="static",
        mask_length=10,
        no_mask_overlap=False,
        mask_min_space=1,
        mask_channel_prob=0.0,
        mask_channel_selection="static",
        mask_channel_length=10,
        no_mask_channel_overlap=False,
        mask_channel_min_space=1,
        skip_masked=False,
        skip_nomask=False,
        num_classes=5,
        final_dim=4,
        feature_grad_mult=0.1,
        **masks,
    )
    with pytest.raises(UserError, match=r"HuBERTPretrainModel is no wav2vec 2\.0"):
        checkpoint_of(pretraining)
    assert checkpoint_of(pretraining.wav2vec2)[0]["model_type"] == "wav2vec2"
