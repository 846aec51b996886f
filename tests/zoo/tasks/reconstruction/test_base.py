"""An autoencoder's predictions are codes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lightning import Trainer

from datamodules import Digits
from zoo.autoencoders.autoencoder import Autoencoder
from zoo.training.predictions import Predictions

Fit = Callable[..., Trainer]
Scores = Callable[..., dict[str, Any]]
SHAPE = (1, 8, 8)


def digits() -> Digits:
    return Digits(normalize=False, batch_size=32, seed=0)


def test_predicting_writes_codes(fit: Fit, tmp_path: Path) -> None:
    data, system = digits(), Autoencoder(SHAPE, latent_dim=3)
    trainer = fit(system, data, callbacks=[Predictions(tmp_path)], max_epochs=1)
    trainer.test(system, datamodule=data, verbose=False)
    assert not (tmp_path / "predictions" / "test.csv").exists()  # images are not listed in tables
    trainer.predict(system, datamodule=data, return_predictions=False)
    header, *rows = (tmp_path / "predictions" / "predict.csv").read_text().splitlines()
    assert header == "position,code_0,code_1,code_2"
    (x, *_), test_rows = data.splits["test"]
    position, *code = rows[5].split(",")
    expected = system.eval().encode(x[[int(position)]].float() / 255)[0]
    assert [float(value) for value in code] == pytest.approx(expected.tolist(), abs=1e-5)
    assert len(rows) == len(test_rows)
