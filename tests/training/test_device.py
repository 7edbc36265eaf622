import os

import pytest
import torch

from diminuendo.core.errors import UserError
from diminuendo.training.device import WORKSPACE, choose_device, deterministic, device_record, not_promised


@pytest.mark.parametrize(
    ("stated", "there", "device"),
    [
        ("cpu", True, "cpu"),
        ("cpu", False, "cpu"),
        ("auto", True, "cuda"),
        ("auto", False, "cpu"),
        ("cuda", True, "cuda"),
    ],
)
def test_a_gpu_is_taken_only_where_it_is_asked_for(monkeypatch, stated, there, device):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    assert choose_device(stated).type == device


def test_a_gpu_that_is_not_there_is_one_error(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match=r"training\.device: cuda, and PyTorch finds none here .*set cpu or auto"):
        device_record("cuda")


def test_the_record_says_what_computed_and_whether_it_can_be_had_again(monkeypatch):
    capability = torch.backends.cpu.get_cpu_capability()
    here = {"type": "cpu", "precision": "float32", "capability": capability, "reproducible": True}
    here["torch"] = torch.__version__
    assert device_record("cpu") == here
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a GPU")
    monkeypatch.setattr(torch.version, "cuda", "12.4")
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 90100)
    gpu = {"gpu": "a GPU", "cuda": "12.4", "cudnn": 90100}
    assert device_record("auto") == {**here, **gpu, "type": "cuda", "reproducible": False}


@pytest.mark.parametrize(
    ("known", "unit"),
    [
        ({"avx2": True, "avx512_bf16": False, "amx_bf16": False}, "none"),
        ({"avx512_bf16": True, "amx_bf16": True, "avx512_fp16": True}, "amx_bf16+avx512_bf16"),
    ],
)
def test_of_bfloat16_the_record_says_what_computes_it(monkeypatch, known, unit):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: known)
    assert device_record("cpu", "bfloat16") == {**device_record("cpu"), "precision": "bfloat16", "unit": unit}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, None),
        ({"type": "cuda", "reproducible": False}, "trained on cuda, where CTC's gradient is not deterministic"),
        ({"capability": "AVX2"}, "trained with vector capability AVX2, and here it is AVX512"),
        ({"torch": "2.0"}, "trained with PyTorch 2.0, and here it is 2.4"),
        ({"unit": "amx_bf16"}, "trained with bfloat16 unit amx_bf16, and here it is avx512_bf16"),
    ],
)
def test_where_the_bytes_are_not_promised(change, said):
    here = {"type": "cpu", "precision": "bfloat16", "capability": "AVX512", "torch": "2.4", "reproducible": True}
    here["unit"] = "avx512_bf16"
    found = not_promised({**here, **change}, here)
    assert found is None if said is None else said in found


def test_a_record_that_does_not_name_pytorch_is_not_held_against_another():
    here = {"type": "cpu", "precision": "float32", "capability": "AVX512", "torch": "2.4", "reproducible": True}
    assert not_promised({key: value for key, value in here.items() if key != "torch"}, here) is None


def switches():
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    deterministic = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    return *deterministic, cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32, matmul.allow_tf32


def test_a_gpu_computes_in_one_order_and_in_full_precision_while_it_trains(monkeypatch):
    monkeypatch.delenv(WORKSPACE, raising=False)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    torch.backends.cuda.matmul.allow_tf32 = True  # which no monkeypatch can take back
    before = switches()
    try:
        with pytest.raises(KeyboardInterrupt), deterministic(torch.device("cuda")):
            assert switches() == (True, True, False, True, False, False)
            assert os.environ[WORKSPACE] == ":4096:8"
            raise KeyboardInterrupt
        assert switches() == before
        with deterministic(torch.device("cpu")):
            assert switches() == before
    finally:
        torch.backends.cuda.matmul.allow_tf32 = False
