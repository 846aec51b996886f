"""The guide quotes the recorded measurements, and the benchmark counts memory right."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "benchmarks" / "precision.py"


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SCRIPT.parent))
        spec = importlib.util.spec_from_file_location("benchmark_precision", SCRIPT)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        sys.modules.pop("overhead", None)
    return module


def test_the_table_in_the_guide_is_the_recorded_one(benchmark: ModuleType) -> None:
    lines = SCRIPT.with_suffix(".results.jsonl").read_text(encoding="utf-8").splitlines()
    results = [result for line in lines if "work" in (result := json.loads(line))]
    latest = {(result["work"], result["precision"]): result for result in results}
    guide = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    assert "\n".join(benchmark.markdown(list(latest.values()))) in guide


@pytest.mark.skipif(torch.cuda.is_available(), reason="on a GPU, fused layers keep other activations")
def test_weights_gradients_and_averages_are_counted_by_their_bytes(benchmark: ModuleType) -> None:
    name = "MLP 784-1024-1024-10"
    num_parameters = 785 * 1024 + 1025 * 1024 + 1025 * 10
    for precision, num_bytes in (("fp32", 4), ("bf16-mixed", 4), ("bf16-true", 2)):
        loop = benchmark.Loop(*benchmark.WORKS[name], precision)
        loop.time(1)
        memory = loop.memory()
        assert memory["weights_and_averages"] == pytest.approx(4 * num_bytes * num_parameters / 1e6, abs=0.02)
        if precision == "fp32":  # inputs, outputs of two ReLUs, log-probabilities
            assert memory["activations"] == pytest.approx(4 * 128 * (784 + 2 * 1024 + 10) / 1e6, rel=0.05)
