"""The checkpoint with the best validation score."""

from pathlib import Path
from typing import Any

from lightning.pytorch.callbacks import ModelCheckpoint


class BestCheckpoint(ModelCheckpoint):
    """Keeps `best.ckpt`, even if the run directory was moved or renamed before the run was resumed.

    Lightning forgets the best score if the folder's path has changed, but keeps the old path of the best file: a resumed run
    would then replace a better checkpoint by a worse one.
    """

    def __init__(self, folder: Path, monitor: str, mode: str) -> None:
        # at the validation, not at the epoch's end: `last.ckpt` is written right after it and has to hold the score
        super().__init__(
            folder, "best", monitor=monitor, mode=mode, save_on_train_epoch_end=False, enable_version_counter=False
        )

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        folder = Path(str(self.dirpath))

        def here(path: str) -> str:
            return str(folder / Path(path).name) if path else path

        super().load_state_dict(
            {
                **state_dict,
                "dirpath": self.dirpath,
                "best_model_path": here(state_dict["best_model_path"]),
                "kth_best_model_path": here(state_dict["kth_best_model_path"]),
                "best_k_models": {here(path): score for path, score in state_dict["best_k_models"].items()},
            }
        )
