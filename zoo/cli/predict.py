"""`zoo predict --images FOLDER` and `--text FILE`: predict your own images or texts."""

import csv
from collections.abc import Sequence
from pathlib import Path

from lightning import Callback, Trainer

from datamodules import ImageFiles, TextLines
from zoo.augment.test_time import Views, describe_views
from zoo.cli.own_images import load_with_facts, own_images
from zoo.errors import ZooError
from zoo.tasks.abilities import Decodes
from zoo.tasks.classification.view_averaging import ViewAveraging
from zoo.tasks.embedding.base import Embedder
from zoo.training.boundary import running
from zoo.training.predictions import Predictions
from zoo.training.progress import LineProgress
from zoo.training.run_dir import RunDirectory, run_of
from zoo.training.system import System

_SHOWN = 10
_SHOWN_LENGTH = 200  # characters of a text
_TEXT_FACTS = {"tokenizer_json": "tokenizer", "class_names": "classes"}  # required of a text classifier


def predict_files(
    checkpoint: Path, images: Path | None, text: str | None, run_dir: Path | None, tta: Views | None = None
) -> int:
    """Predict images, with test-time augmentation if `tta` is given, or the lines of a text file; returns the exit code.

    Files are written to `run_dir`, by default the run directory of the checkpoint, or a new one if it has none.
    """
    wanted = run_dir or run_of(checkpoint)
    directory = RunDirectory.new(checkpoint.stem) if wanted is None else RunDirectory(wanted)
    try:
        if text is not None:
            return predict_texts(checkpoint, text, directory.path)
        assert images is not None
        return predict_images(checkpoint, images, directory.path, tta)
    except BaseException:
        directory.discard()
        raise


def predict_images(checkpoint: Path, images: Path, folder: Path, tta: Views | None = None) -> int:
    """Write the predicted class and confidence for each image, or its embedding, to predictions/predict.csv in `folder`.

    Images are prepared as for evaluation, by the facts in the checkpoint.

    Raises:
        ZooError: if the checkpoint neither classifies nor embeds images, or an image cannot be read.
    """
    system, facts = load_with_facts(checkpoint)
    shape = tuple(system.hparams.get("input_shape", ()))
    if isinstance(system, Decodes):
        raise ZooError(
            f"{checkpoint} holds a {type(system).__name__}, which has no classes: for codes, use zoo predict -c CONFIG"
        )
    if len(shape) != 3 or shape[1] != shape[2] or not (facts.get("class_names") or isinstance(system, Embedder)):
        raise ZooError(f"{checkpoint} does not hold a classifier of square images: its inputs have the shape {shape}")
    if "mean" not in facts or "std" not in facts:
        raise ZooError(f"{checkpoint} does not record how its images were normalised: train again")
    data = own_images(images, shape, facts)
    code = _predict(system, data, folder, "file", [] if tta is None else [ViewAveraging(tta)])
    if tta is not None:
        print(f"views        {describe_views(tta)}")
    return code


def predict_texts(checkpoint: Path, source: str, folder: Path) -> int:
    """Write the predicted class and confidence for each line of a file or stdin (-) to predictions/predict.csv in `folder`.

    Texts are tokenised with the tokenizer in the checkpoint.

    Raises:
        MissingFileError: if there is no such file.
        ZooError: if the checkpoint does not hold a text classifier, or a line is empty or not UTF-8.
    """
    system, facts = load_with_facts(checkpoint)
    if lacking := [part for name, part in _TEXT_FACTS.items() if not facts.get(name)]:
        raise ZooError(f"{checkpoint} does not hold a text classifier: it has no {' and no '.join(lacking)}")
    data = TextLines(
        source=source,
        class_names=facts["class_names"],
        tokenizer_json=facts["tokenizer_json"],
        vocab_size=system.hparams["vocab_size"],
        max_length=facts["max_length"],
    )
    return _predict(system, data, folder, "text")


def _predict(
    system: System, data: ImageFiles | TextLines, folder: Path, named_by: str, additional: Sequence[Callback] = ()
) -> int:
    callbacks = [Predictions(folder), LineProgress(), *additional]
    trainer = Trainer(devices=1, logger=False, callbacks=callbacks, enable_checkpointing=False, enable_model_summary=False)
    with running(trainer):
        trainer.predict(system, datamodule=data, return_predictions=False)
    for note in data.notes:
        print(note)
    path = folder / "predictions" / "predict.csv"
    limit = csv.field_size_limit(2**31 - 1)  # a text may be longer than the default of 131,072 characters
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    finally:
        csv.field_size_limit(limit)  # it is global
    shown = rows[:_SHOWN] if "prediction" in rows[0] else []  # embeddings are not shown
    name_width, class_width = (max((len(row[column]) for row in shown), default=0) for column in (named_by, "prediction"))
    for row in shown:
        prediction, confidence = f"{row['prediction']:<{class_width}}", f"{float(row['confidence']):.1%}"
        if named_by == "file":
            print(f"{row[named_by]:<{name_width}}  {prediction}  {confidence}")
        else:  # Texts vary in length, so they come last.
            print(f"{prediction}  {confidence:>6}  {row[named_by][:_SHOWN_LENGTH]}")
    if len(rows) > len(shown) > 0:
        print("...")
    more = f" ({len(rows)} rows)" if len(rows) > len(shown) else ""
    print(f"predictions  {path}{more}")
    return 0
