"""The default precision is bf16 if the hardware supports it, else fp32."""

import pytest
import torch

from zoo.training.precision import default_precision


def test_bf16_is_the_default_on_cpus_with_instructions_for_it_only() -> None:
    precision, reason = default_precision("cpu")
    if torch.cpu._is_amx_tile_supported():  # asks the processor, independently of /proc
        assert (precision, reason) == ("bf16-mixed", "this processor has AMX")
    elif torch.cpu._is_avx512_bf16_supported():
        assert (precision, reason) == ("bf16-mixed", "this processor has AVX-512 BF16")
    else:
        assert (precision, reason) == ("32-true", "this processor does not compute in bf16")


@pytest.mark.skipif(torch.cuda.is_available() or torch.backends.mps.is_available(), reason="this machine has an accelerator")
def test_auto_means_the_cpu_without_an_accelerator() -> None:
    assert default_precision("auto") == default_precision("cpu")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU")
@pytest.mark.parametrize("accelerator", ["auto", "gpu", "cuda"])
def test_bf16_is_the_default_on_gpus_since_ampere(accelerator: str) -> None:
    assert (default_precision(accelerator)[0] == "bf16-mixed") == (torch.cuda.get_device_capability() >= (8, 0))
