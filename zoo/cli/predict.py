"""`zoo predict --images FOLDER`: what a trained model says of pictures that lie about."""

import csv
from pathlib import Path

from lightning import Trainer

from zoo.callbacks.predictions import Predictions
from zoo.callbacks.progress import LineProgress
from zoo.training.checkpoint import read_checkpoint, system_of
from zoo.training.links import import_class
from zoo.training.quiet import keep_quiet

_SHOWN = 10


def predict_images(checkpoint: Path, images: Path, folder: Path) -> int:
    """Write predictions/predict.csv in `folder`: the model's class and confidence for every picture.

    Pictures are prepared as the checkpoint says its training data were for evaluation: size, colour, crop and normalisation.

    Raises:
        ValueError: if the checkpoint holds no classifier of pictures, or a picture can't be read.
    """
    keep_quiet()
    recorded = read_checkpoint(checkpoint)
    system, facts = system_of(recorded, checkpoint), recorded.get("data", {})
    shape = tuple(system.hparams.get("input_shape", ()))
    if len(shape) != 3 or shape[1] != shape[2] or not facts.get("class_names"):
        raise ValueError(f"{checkpoint} holds no classifier of square pictures: its inputs are of shape {shape}")
    if "mean" not in facts or "std" not in facts:
        raise ValueError(f"{checkpoint} does not say how its pictures were normalised: train again")
    data = import_class("datamodules.ImageFiles")(
        root=str(images),
        class_names=facts["class_names"],
        size=shape[1],
        rgb=shape[0] == 3,
        crop=facts.get("crop", 1.0),
        mean=facts["mean"],
        std=facts["std"],
    )
    callbacks = [Predictions(folder), LineProgress()]
    trainer = Trainer(devices=1, logger=False, callbacks=callbacks, enable_checkpointing=False, enable_model_summary=False)
    trainer.predict(system, datamodule=data, return_predictions=False)
    path = folder / "predictions" / "predict.csv"
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    width = max(len(row["file"]) for row in rows[:_SHOWN])
    for row in rows[:_SHOWN]:
        print(f"{row['file']:<{width}}  {row['prediction']}  {float(row['confidence']):.1%}")
    more = f" ({len(rows)} pictures)" if len(rows) > _SHOWN else ""
    print(f"predictions  {path}{more}")
    return 0
