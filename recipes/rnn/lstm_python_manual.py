"""LSTM on sentences of Python's manual as a script. It repeats the run of `zoo fit -c lstm_python_manual` bit for bit.

python recipes/rnn/lstm_python_manual.py    half a minute on two CPU cores
"""

import argparse
from pathlib import Path

from lightning import Trainer, seed_everything

from datamodules import PythonManual
from zoo import RNNClassifier
from zoo.training.run import Run
from zoo.training.run_dir import new_run_dir


def main(max_epochs: int = 12, seed: int = 0, run_dir: Path | None = None) -> dict[str, float]:
    """Train, test the best checkpoint, and return the test scores."""
    seed_everything(seed)
    data = PythonManual(batch_size=32, tokenizer={"vocab_size": 4000}, max_length=64, seed=seed)
    model = RNNClassifier(
        input_shape=data.input_shape,
        num_classes=data.num_classes,
        vocab_size=data.vocab_size,
        kind="lstm",
        embed_dim=100,
        hidden_dim=64,
        bidirectional=True,
        pooling="max",
        word_dropout=0.1,
        embed_dropout=0.5,
        head_dropout=0.3,
        lr=0.003,
        optim={"name": "adamw", "weight_decay": 0.05, "schedule": "cosine", "warmup_steps": 50},
    )
    run = Run(run_dir or new_run_dir("lstm_python_manual"), recipe="lstm_python_manual")
    trainer = Trainer(
        max_epochs=max_epochs,
        precision="32-true",
        gradient_clip_val=1.0,
        log_every_n_steps=10,
        enable_model_summary=False,
        **run.trainer_arguments(model),
    )
    run.start_tracking(trainer, model, {"model": dict(model.hparams), "data": {"batch_size": 32, "seed": seed}})
    trainer.fit(model, datamodule=data)
    return run.finish(trainer, model)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--max_epochs", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--run_dir", type=Path)
    arguments = parser.parse_args()
    main(arguments.max_epochs, arguments.seed, arguments.run_dir)
