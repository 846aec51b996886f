"""bf16 where this machine computes in it, else fp32."""

import pytest
import torch

from zoo.training.precision import default_precision


def test_on_the_cpu_it_is_bf16_if_and_only_if_the_processor_has_an_instruction_for_it() -> None:
    precision, reason = default_precision("cpu")
    if torch.cpu._is_amx_tile_supported():  # asks the processor itself, not /proc
        assert (precision, reason) == ("bf16-mixed", "this processor has AMX")
    elif torch.cpu._is_avx512_bf16_supported():
        assert (precision, reason) == ("bf16-mixed", "this processor has AVX-512 BF16")
    else:
        assert (precision, reason) == ("32-true", "this processor does not compute in bf16")


@pytest.mark.skipif(torch.cuda.is_available() or torch.backends.mps.is_available(), reason="this machine has an accelerator")
def test_without_an_accelerator_auto_is_the_cpu() -> None:
    assert default_precision("auto") == default_precision("cpu")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU")
@pytest.mark.parametrize("accelerator", ["auto", "gpu", "cuda"])
def test_on_a_gpu_since_ampere_it_is_bf16(accelerator: str) -> None:
    assert (default_precision(accelerator)[0] == "bf16-mixed") == (torch.cuda.get_device_capability() >= (8, 0))
