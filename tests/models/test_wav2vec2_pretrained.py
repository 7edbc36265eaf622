"""Checkpoints in Hugging Face's format say here what they say in ``transformers``, and so do the files made of them."""

import warnings
from collections.abc import Mapping

import pytest
import torch
from transformers import (
    Data2VecAudioConfig,
    Data2VecAudioForCTC,
    HubertConfig,
    HubertForCTC,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForCTC,
    Wav2Vec2ForPreTraining,
    Wav2Vec2Model,
    WavLMConfig,
    WavLMForCTC,
)

from diminuendo.core.errors import UserError
from diminuendo.export.registry import build_onnx
from diminuendo.models.model import parameter_count
from diminuendo.models.registry import build
from diminuendo.models.wav2vec2.pretrained import MODEL_TYPES, has_ctc_head, record_of, state_of
from tests.factories.models import onnx_outputs

TOKENS = 12
ORDER = [5, 0, 1, 2, 3, 4, 6, 7, 8, 9, 11, 10]  # the foreign blank is at 5
SMALL = {
    "vocab_size": TOKENS,
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 40,
    "conv_dim": (8, 8, 12),
    "conv_kernel": (10, 3, 2),
    "conv_stride": (5, 2, 2),
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}
LARGE = {"do_stable_layer_norm": True, "feat_extract_norm": "layer", "conv_bias": True}
BUCKETS = {"num_buckets": 20, "max_bucket_distance": 40}
VARIANTS = {
    "wav2vec2-base": (Wav2Vec2Config, Wav2Vec2ForCTC, {}),
    "wav2vec2-large": (Wav2Vec2Config, Wav2Vec2ForCTC, {**LARGE, "num_conv_pos_embeddings": 15}),
    "hubert-base": (HubertConfig, HubertForCTC, {}),
    "hubert-large": (HubertConfig, HubertForCTC, LARGE),
    "hubert-distilled": (HubertConfig, HubertForCTC, {"feat_proj_layer_norm": False}),
    "wavlm-base": (WavLMConfig, WavLMForCTC, BUCKETS),
    "wavlm-large": (WavLMConfig, WavLMForCTC, {**LARGE, **BUCKETS}),
    "data2vec": (
        Data2VecAudioConfig,
        Data2VecAudioForCTC,
        {"num_conv_pos_embeddings": 3, "conv_pos_kernel_size": 5, "conv_bias": True},
    ),
}
MASKED = ("wav2vec2-large", "hubert-large", "wavlm-large")  # of which the oracle can hear a padded batch
NORMALISE = Wav2Vec2FeatureExtractor(return_attention_mask=True)


def shaken(model, seed=0):
    """In evaluation mode, with no weight as it was initialised."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model.eval()


def loaded(config, tensors, order=ORDER, preprocessor=None):
    record = record_of(config, {"do_normalize": True} if preprocessor is None else preprocessor, TOKENS)
    model = build(record)
    model.load_state_dict(state_of(tensors, config, record, order))
    return model.eval()


def waveforms():
    torch.manual_seed(1)
    return [0.05 * torch.randn(samples) + 0.01 for samples in (2000, 3100)]


def padded(given):
    lengths = torch.tensor([len(one) for one in given])
    return torch.nn.utils.rnn.pad_sequence(given, batch_first=True), lengths


@torch.inference_mode()
def said_by(oracle, given, **keys):
    """Log-probabilities ``[T, V]`` of the oracle for one utterance, in our order of tokens."""
    heard = NORMALISE([one.numpy() for one in given], sampling_rate=16000, padding=True, return_tensors="pt")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of masks of two kinds, which the oracle gives to PyTorch
        logits = oracle(heard.input_values, attention_mask=heard.attention_mask if len(given) > 1 else None).logits
    return logits.log_softmax(dim=-1)[..., ORDER]


@pytest.fixture(scope="module", params=VARIANTS)
def variant(request):
    """Name, oracle and the same model here."""
    Config, Model, keys = VARIANTS[request.param]
    config = Config(**{**SMALL, **keys})
    oracle = shaken(Model(config))
    return request.param, oracle, loaded(config.to_dict(), oracle.state_dict())


def test_log_probabilities_are_those_of_the_oracle_and_of_the_file(variant):
    name, oracle, model = variant
    batch, lengths = padded(waveforms())
    with torch.inference_mode():
        ours, frames = model(batch, lengths)
    filed, filed_frames = onnx_outputs(build_onnx(model, {}).SerializeToString(), batch, lengths)
    assert filed_frames.tolist() == frames.tolist() == oracle._get_feat_extract_output_lengths(lengths).tolist()
    for row, (one, T) in enumerate(zip(waveforms(), frames.tolist())):
        # Alone: the base forms' group norm, and data2vec's stacked positions, hear padding in the oracle.
        (expected,) = said_by(oracle, [one])
        assert len(expected) == T and expected.std() > 0.3
        torch.testing.assert_close(ours[row, :T], expected, atol=1e-4, rtol=0)
        torch.testing.assert_close(torch.from_numpy(filed[row, :T]), expected, atol=1e-4, rtol=0)
    together = said_by(oracle, waveforms())
    differences = [float((together[row, :T] - ours[row, :T]).abs().max()) for row, T in enumerate(frames.tolist())]
    assert (max(differences) < 1e-4) == (name in MASKED)


def test_the_waveform_is_normalised_as_the_preprocessor_says_or_as_the_variant_was_trained(variant):
    name, oracle, _ = variant
    config, tensors = oracle.config.to_dict(), oracle.state_dict()
    for said in (True, False):
        assert record_of(config, {"do_normalize": said, "sampling_rate": 8000}, TOKENS).frontend.normalize is said
    assert record_of(config, {}, TOKENS).frontend.normalize is (name != "wavlm-base")
    assert record_of(config, {"sampling_rate": 8000}, TOKENS).sample_rate == 8000
    model = loaded(config, tensors, preprocessor={"do_normalize": False})
    (one, _) = waveforms()
    with torch.inference_mode():
        (ours,), _ = model(one[None], torch.tensor([len(one)]))
        (expected,) = oracle(one[None]).logits.log_softmax(dim=-1)
    torch.testing.assert_close(ours, expected[:, ORDER], atol=1e-4, rtol=0)


def test_half_precision_and_every_spelling_of_a_name_are_read(variant):
    _, oracle, model = variant
    config, prefix = oracle.config.to_dict(), f"{oracle.base_model_prefix}."
    tensors = {name: tensor.half() for name, tensor in oracle.state_dict().items()}
    bare = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    former = {
        name.replace("parametrizations.weight.original0", "weight_g").replace(
            "parametrizations.weight.original1", "weight_v"
        ): tensor
        for name, tensor in bare.items()
    }
    expected = loaded(config, tensors).state_dict()
    assert all(tensor.dtype in (torch.float32, torch.int64) for tensor in expected.values())
    folded = {name: tensor for name, tensor in bare.items() if "parametrizations" not in name}
    if len(folded) < len(bare):
        folded["encoder.pos_conv_embed.conv.weight"] = expected["positions.convolutions.0.weight"]
    for spelled in (bare, former, folded):
        found = loaded(config, spelled).state_dict()
        assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
    torch.testing.assert_close(expected["out.weight"], model.out.weight.data, atol=1e-3, rtol=1e-3)


class Counted(Mapping):
    """Counts how often each tensor is read."""

    def __init__(self, tensors):
        self.tensors, self.reads = tensors, {}

    def __getitem__(self, name):
        self.reads[name] = self.reads.get(name, 0) + 1
        return self.tensors[name]

    def __iter__(self):
        return iter(self.tensors)

    def __len__(self):
        return len(self.tensors)


@pytest.mark.parametrize("Model", [Wav2Vec2Model, Wav2Vec2ForPreTraining])
def test_a_self_supervised_checkpoint_has_no_head(Model):
    config = Wav2Vec2Config(**{**SMALL, "codevector_dim": 8, "num_codevectors_per_group": 4})
    oracle = shaken(Model(config))
    said = config.to_dict() | {"architectures": [Model.__name__]}
    tensors = Counted(oracle.state_dict())
    record = record_of(said, {}, 5)
    state = state_of(tensors, said, record, None)
    model = build(record)
    assert not has_ctc_head(said)
    assert set(model.state_dict()) - set(state) == {"out.weight", "out.bias"}
    assert set(tensors.reads.values()) == {1} and not any("quantizer" in name for name in tensors.reads)
    model.load_state_dict(state, strict=False)
    (one, _) = waveforms()
    with torch.inference_mode():
        heard = NORMALISE(one.numpy(), sampling_rate=16000, return_tensors="pt").input_values
        bare = oracle if Model is Wav2Vec2Model else oracle.wav2vec2
        expected = bare(heard).last_hidden_state
        _, _, states = model.eval().encode(*model.frontend(one[None], torch.tensor([len(one)])))
    torch.testing.assert_close(states[-1], expected, atol=1e-4, rtol=0)


def test_a_head_is_told_by_the_architecture():
    assert has_ctc_head({"architectures": ["HubertForCTC"]})
    assert not has_ctc_head({"architectures": ["Wav2Vec2ForSequenceClassification"]}) and not has_ctc_head({})
    assert set(MODEL_TYPES) == {config.model_type for config, _, _ in VARIANTS.values()}


@pytest.mark.parametrize(
    ("config", "millions"),
    [
        ({"model_type": "wav2vec2"}, 94.4),
        ({"model_type": "wavlm"}, 94.4),
        ({"model_type": "data2vec-audio"}, 93.2),
        (
            {
                "model_type": "hubert",
                "hidden_size": 1024,
                "num_hidden_layers": 24,
                "num_attention_heads": 16,
                "intermediate_size": 4096,
                **LARGE,
            },
            315.5,
        ),
    ],
)
def test_the_published_sizes(config, millions):
    record = record_of(config, {}, 32)
    with torch.device("meta"):
        assert parameter_count(build(record)) / 1e6 == pytest.approx(millions, abs=0.1)
    assert (record.frame_seconds, record.frontend.field, record.frames_of(1.0)) == (0.02, 400, (49, 49))


def config_of(**keys):
    return {"model_type": "wav2vec2", **SMALL, **keys}


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"hidden_act": "relu"}, "config.json: hidden_act: found 'relu', and only 'gelu' is supported; take another"),
        ({"feat_extract_activation": "gelu_new"}, "feat_extract_activation: found 'gelu_new', and only"),
        ({"feat_extract_norm": "batch"}, "feat_extract_norm: found 'batch', and only 'group' or 'layer' is supported"),
        ({"add_adapter": True}, "add_adapter: found True, and only False"),
        ({"adapter_attn_dim": 16}, "adapter_attn_dim: found 16, and only None"),
        ({"conv_pos_batch_norm": True}, "conv_pos_batch_norm: found True"),
        ({"quantization_config": {"bits": 4}}, "quantization_config: found {'bits': 4}"),
        ({"model_type": "unispeech"}, "model_type: found 'unispeech', expected one of wav2vec2, hubert, wavlm, data2v"),
        ({"hidden_size": "24"}, "hidden_size: found '24', expected a positive whole number"),
        ({"num_hidden_layers": True}, "num_hidden_layers: found True, expected a positive whole number"),
        ({"hidden_size": 10**9}, "hidden_size: found 1000000000, expected 1048576 at most"),
        ({"num_hidden_layers": 2000}, "num_hidden_layers: found 2000, expected 1024 at most"),
        ({"conv_dim": (8, 8, 10**30)}, "conv_dim: found .*, expected 1048576 at most"),
        ({"layer_norm_eps": float("nan")}, "layer_norm_eps: found nan, expected 1048576 at most"),
        ({"num_attention_heads": 5}, r"num_attention_heads: found 5, expected a divisor of hidden_size \(24\)"),
        ({"conv_stride": (5, 2)}, r"conv_stride: found \(5, 2\), expected 3 numbers, as conv_dim has"),
        ({"conv_kernel": 3}, "conv_kernel: found 3, expected a list of positive whole numbers"),
        ({"num_feat_extract_layers": 7}, "num_feat_extract_layers: found 7, expected 3, as conv_dim has"),
        ({"do_stable_layer_norm": "yes"}, "do_stable_layer_norm: found 'yes', expected true or false"),
        ({"layer_norm_eps": None}, "layer_norm_eps: found None, expected a number"),
        ({"layer_norm_eps": 0}, "config.json: describes no model that can be built: norm_eps: Input should be greater"),
        ({"num_conv_pos_embedding_groups": 5}, "width 24 must be a multiple of the groups of the convolutional pos"),
        ({"model_type": "wavlm", "num_buckets": 3}, "config.json: describes no model that can be built: buckets: Inp"),
    ],
)
def test_a_config_that_describes_another_function_is_refused(keys, message):
    with pytest.raises(UserError, match=message):
        record_of(config_of(**keys), {}, TOKENS)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"feature_extractor_type": "WhisperFeatureExtractor"}, "feature_extractor_type: found 'WhisperFeatureExt"),
        ({"feature_size": 80}, "preprocessor_config.json: feature_size: found 80, expected 1: the waveform itself"),
        ({"do_normalize": 1}, "preprocessor_config.json: do_normalize: found 1, expected true or false"),
    ],
)
def test_a_preprocessor_that_hears_something_else_is_refused(said, message):
    with pytest.raises(UserError, match=message):
        record_of(config_of(), said, TOKENS)


def test_tensors_that_do_not_fit_the_config_are_refused():
    config = config_of()
    tensors = dict(shaken(Wav2Vec2ForCTC(Wav2Vec2Config(**SMALL))).state_dict())
    record = record_of(config, {}, TOKENS)
    query = "wav2vec2.encoder.layers.1.attention.q_proj.weight"

    def refused(message, order=ORDER, **changed):
        found = {name: tensor for name, tensor in {**tensors, **changed}.items() if tensor is not None}
        with pytest.raises(UserError, match=message):
            state_of(found, config, record, order)

    refused(rf"the checkpoint has no tensor {query}, of shape \[24, 24\]; give the weights", **{query: None})
    wrong = {query: torch.zeros(24, 23)}
    refused(rf"tensor {query} has the shape \[24, 23\] and is of torch.float32, where .* it \[24, 24\] of fl", **wrong)
    refused(r"has the shape \[24, 24\] and is of torch.int8, where", **{query: torch.zeros(24, 24, dtype=torch.int8)})
    rest = {"wav2vec2.encoder.layers.2.final_layer_norm.bias": torch.zeros(24)}
    refused("a tensor wav2vec2.encoder.layers.2.final_layer_norm.bias, which a model by its config.json does", **rest)
    refused("the tokenizer, of 3 tokens up to number 2, and the model, of 12", order=[0, 1, 2])
    refused("has 12 rows, which do not fit the tokenizer, of 12 tokens up to number 12, and", order=[*range(1, 13)])
    refused(r"tensor lm_head.bias has the shape \[11\]", **{"lm_head.bias": torch.zeros(11)})
    known = "feature_projection.projection.weight"
    refused(rf"no tensor wav2vec2.{known} or hubert.{known} or .* or {known};", **{f"wav2vec2.{known}": None})
    refused(r"weight has the shape \[12, 20\].* makes it \[any, 24\]", **{"lm_head.weight": torch.zeros(12, 20)})
