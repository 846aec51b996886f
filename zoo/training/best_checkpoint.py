"""The checkpoint with the best validation score."""

from pathlib import Path
from typing import Any

from lightning.pytorch.callbacks import ModelCheckpoint


class BestCheckpoint(ModelCheckpoint):
    """Keeps `best.ckpt`, even if the run directory is moved or renamed before the run is resumed.

    If the folder's path has changed, Lightning forgets the best score but keeps the old path of the best file. The resumed run
    could then replace a better checkpoint by a worse one.
    """

    def __init__(self, folder: Path, monitor: str, mode: str) -> None:
        # Save at the validation, not at the end of the epoch: `last.ckpt` is written right after it and must contain the score.
        super().__init__(
            folder, "best", monitor=monitor, mode=mode, save_on_train_epoch_end=False, enable_version_counter=False
        )

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        folder = Path(str(self.dirpath))

        def moved(path: str) -> str:
            return str(folder / Path(path).name) if path else path

        super().load_state_dict(
            {
                **state_dict,
                "dirpath": self.dirpath,
                "best_model_path": moved(state_dict["best_model_path"]),
                "kth_best_model_path": moved(state_dict["kth_best_model_path"]),
                "best_k_models": {moved(path): score for path, score in state_dict["best_k_models"].items()},
            }
        )
