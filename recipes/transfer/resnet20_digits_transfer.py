"""Transfer learning as a script. It repeats the run of `zoo fit -c resnet20_digits_transfer` bit for bit.

python recipes/transfer/resnet20_digits_transfer.py    a minute on one CPU core
"""

import argparse
from pathlib import Path

from lightning import Trainer, seed_everything

from datamodules import Digits
from zoo import TransferClassifier
from zoo.training.run import Run
from zoo.training.run_dir import new_run_dir


def main(max_epochs: int = 20, seed: int = 0, run_dir: Path | None = None) -> dict[str, float]:
    """Train, test the best checkpoint, and return the test scores."""
    seed_everything(seed)
    data = Digits(batch_size=64, shift=1, seed=seed)
    model = TransferClassifier(
        input_shape=data.input_shape,
        num_classes=data.num_classes,
        backbone=None,
        weights="resnet20_fashion_mnist",
        strategy="gradual",
        unfreeze_every=2,
        lr=0.005,
        optim={"name": "adamw", "weight_decay": 0.01, "schedule": "cosine"},
    )
    run = Run(run_dir or new_run_dir("resnet20_digits_transfer"), recipe="resnet20_digits_transfer")
    trainer = Trainer(max_epochs=max_epochs, precision="32-true", enable_model_summary=False, **run.trainer_arguments(model))
    run.start_tracking(trainer, model, {"model": dict(model.hparams), "data": {"batch_size": 64, "shift": 1, "seed": seed}})
    trainer.fit(model, datamodule=data)
    return run.finish(trainer, model)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--max_epochs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--run_dir", type=Path)
    arguments = parser.parse_args()
    main(arguments.max_epochs, arguments.seed, arguments.run_dir)
