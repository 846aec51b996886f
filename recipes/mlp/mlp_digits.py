"""MLP on Digits as a script. It repeats the run of `zoo fit -c mlp_digits` bit for bit.

python recipes/mlp/mlp_digits.py            under a minute on two CPU cores
"""

import argparse
from pathlib import Path

from lightning import Trainer, seed_everything

from datamodules import Digits
from zoo import MLPClassifier
from zoo.training.run import Run
from zoo.training.run_dir import new_run_dir


def main(max_epochs: int = 40, seed: int = 0, run_dir: Path | None = None) -> dict[str, float]:
    """Train, test the best checkpoint, and return the test scores."""
    seed_everything(seed)
    data = Digits(batch_size=64, seed=seed)
    model = MLPClassifier(
        input_shape=data.input_shape,
        num_classes=data.num_classes,
        hidden_dims=[256, 256],
        norm="batch",
        dropout=0.2,
        lr=0.003,
        optim={"name": "adamw", "weight_decay": 0.01, "schedule": "cosine", "warmup_steps": 20},
    )
    run = Run(run_dir or new_run_dir("mlp_digits"), recipe="mlp_digits")
    trainer = Trainer(
        max_epochs=max_epochs,
        precision="32-true",
        log_every_n_steps=20,
        enable_model_summary=False,
        **run.trainer_arguments(model),
    )
    run.start_tracking(trainer, model, {"model": dict(model.hparams), "data": {"batch_size": 64, "seed": seed}})
    trainer.fit(model, datamodule=data)
    return run.finish(trainer, model)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--max_epochs", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--run_dir", type=Path)
    arguments = parser.parse_args()
    main(arguments.max_epochs, arguments.seed, arguments.run_dir)
