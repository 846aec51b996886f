"""From settings to objects: `LightningCLI` parses them, and data, model and trainer are built one after the other."""

import os
import re
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ArgumentError, Namespace, set_parsing_settings
from lightning import LightningDataModule, LightningModule
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Checkpoint, ProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from zoo.cli.compare import check_against_checkpoint, check_classes
from zoo.cli.explain import explain
from zoo.cli.settings import as_yaml, class_paths, read_settings, with_current_names
from zoo.errors import UsageError, ZooError
from zoo.public import current_name
from zoo.training.boundary import in_one_line, trainer_settings
from zoo.training.initial_weights import without_initial_weights
from zoo.training.links import import_class, resolve_links
from zoo.training.precision import default_precision
from zoo.training.run import Run
from zoo.training.tracking import Wandb

_IMPORTS = [
    "zoo",
    "datamodules",
    *(f"lightning.pytorch.{part}" for part in ("callbacks", "loggers", "strategies", "profilers", "plugins")),
]
_COUNTS = {  # settings that Lightning divides by
    "log_every_n_steps": "to log nothing, set trainer.logger to false",
    "accumulate_grad_batches": "1 steps after every batch",
    "check_val_every_n_epoch": "to skip validation, set trainer.limit_val_batches to 0",
}


class Configuration(LightningCLI):
    """The settings of one command, and what they build: `datamodule`, then `model`, then `trainer`.

    Unlike plain `LightningCLI`, it builds only what is asked for, and refuses values that contradict the data.

    Args:
        configs: YAML files; later ones win.
        overrides: settings as typed on the command line.
    """

    def __init__(self, configs: list[Path], overrides: list[str] | None = None) -> None:
        _allow_imports()
        overrides = with_current_names(overrides or [])
        read = [(path, read_settings(path, note=True)) for path in configs]
        self._classes = class_paths(read, overrides)
        super().__init__(
            LightningModule,
            LightningDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            save_config_callback=None,
            seed_everything_default=0,
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
            parser_kwargs={"exit_on_error": False, "allow_abbrev": False},
            args=[*(f"--config={as_yaml(settings)}" for _, settings in read), *overrides],
            run=False,
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_argument("--checkpoint_every_n_steps", type=int | None, default=None, help="also keep a checkpoint so often")
        parser.add_argument("--wandb", type=Wandb, default={}, help="where the run stands in Weights & Biases")

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        try:
            self.config = parser.parse_args(args)
        except ArgumentError as error:
            raise UsageError(explain(str(error), self._classes, parser)) from error
        for group in ("model", "data"):
            if self.config[group] is None:
                raise UsageError(f"no {group} is set: name its class in the configuration ({group}.class_path)")
        seed = self.config.seed_everything
        if not isinstance(seed, bool) and not 0 <= seed < 2**32:
            raise UsageError(f"seed_everything must lie in 0..{2**32 - 1}, got {seed}")

    def instantiate_classes(self) -> None:
        """Build nothing yet: `build_data`, `build_model` and `build_trainer` are called by whoever needs them."""

    def build_data(self) -> LightningDataModule:
        """Build the datamodule."""
        arguments, seed = self.config.data.init_args, self.config.seed_everything
        if "seed" in arguments and arguments.seed is None and not isinstance(seed, bool):
            arguments.seed = seed
        self.datamodule = import_class(self.config.data.class_path)(**arguments.as_dict())
        return self.datamodule

    def build_model(self, checkpoint: dict[str, Any] | None = None, path: Path | str = "") -> LightningModule:
        """Build the model from its settings and what the data determines.

        Args:
            checkpoint: what will be loaded into the model; the settings have to fit it.
            path: its file, for error messages.

        Raises:
            ZooError: if the settings contradict the data or the checkpoint.
        """
        model = self.config.model
        model_class = import_class(model.class_path)
        for name, value in resolve_links(model_class, model.init_args, self.datamodule).items():
            model.init_args[name] = value
        if checkpoint is not None:
            check_against_checkpoint(model_class, model.init_args, checkpoint, path)
            check_classes(self.datamodule, checkpoint, path)
        # the arguments are plain values: the class is called directly, so that its own errors reach the user as they are
        with without_initial_weights() if checkpoint is not None else nullcontext():
            self.model = model_class(**model.init_args.as_dict())
        return self.model

    def build_trainer(self, run: Run) -> None:
        """Build the trainer from its settings and the parts that every run gets.

        Raises:
            ZooError: if Lightning does not accept the settings.
        """
        self._check_trainer()
        try:
            settings = self.parser.instantiate(Namespace(trainer=self.config.trainer)).trainer.as_dict()  # type: ignore[no-untyped-call]
        except MisconfigurationException as error:  # of a callback or a strategy in the settings
            raise ZooError(f"a class in the trainer's settings does not accept its arguments: {in_one_line(error)}") from error
        own = _as_list(settings.pop("callbacks"))
        parts = run.trainer_arguments(self.model, self.config.checkpoint_every_n_steps, own)
        logger: bool | list[Logger] = parts["logger"]
        if settings["logger"] is False:
            logger = False
        elif settings["logger"] not in (None, True):
            logger = [*_as_list(settings["logger"]), parts["logger"][-1]]  # the CSV file stays
        plugins = [*parts["plugins"], *_as_list(settings.pop("plugins"))]
        defaults = [callback for callback in parts["callbacks"] if callback not in own]
        if settings["enable_checkpointing"] is False:
            defaults = [callback for callback in defaults if not isinstance(callback, Checkpoint)]
        if settings["enable_progress_bar"] is False:
            defaults = [callback for callback in defaults if not isinstance(callback, ProgressBar)]
        if settings["enable_model_summary"] is None:
            settings["enable_model_summary"] = False  # the first line of a run says it
        settings.update(logger=logger, callbacks=[*own, *defaults], plugins=plugins, default_root_dir=parts["default_root_dir"])
        if settings["profiler"] == "simple":
            from lightning.pytorch.profilers import SimpleProfiler

            settings["profiler"] = SimpleProfiler(run.folder, "profile")
        with trainer_settings():
            self.trainer = self.trainer_class(**settings)

    def _check_trainer(self) -> None:
        """Refuse settings that are the run's, or that Lightning would fail on later; choose the precision if none is set."""
        trainer = self.config.trainer
        if trainer.default_root_dir is not None:
            raise ZooError("trainer.default_root_dir is the run directory here: give --run_dir")
        for name, way_out in _COUNTS.items():
            if trainer[name] is not None and trainer[name] < 1:
                raise ZooError(f"trainer.{name} must be at least 1, got {trainer[name]}: {way_out}")
        if trainer.precision is None:
            accelerator = trainer.accelerator
            trainer.precision, reason = default_precision(accelerator if isinstance(accelerator, str) else "auto")
            _say(f"precision {trainer.precision}: {reason} (set trainer.precision to choose)")

    def text(self) -> str:
        """The whole resolved configuration as YAML that `-c` reads again."""
        text = self.parser.dump(self.config, skip_unset=False)
        return re.sub(r"(?<=class_path: )\S+", lambda found: current_name(found[0]), text)

    def plain(self) -> dict[str, Any]:
        """The same as a nested dict, without settings that are left at None."""
        config = yaml.safe_load(self.parser.dump(self.config, skip_unset=True))
        config.pop("config", None)
        return config


def _allow_imports() -> None:
    """Let configurations name our classes, Lightning's, and those of the packages in `ZOO_IMPORTS`, but nothing else."""
    own = [name for name in os.environ.get("ZOO_IMPORTS", "").split(",") if name]
    if own and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())  # an installed command does not look there by itself
    set_parsing_settings(
        config_read_mode_fsspec_enabled=False,  # settings come as text, in which an address is no file to open
        import_path_denylist=["*"],
        import_path_allowlist=[*_IMPORTS, *own],
    )


def _as_list(value: Any) -> list[Any]:
    """What the trainer takes as one, as several or as none."""
    return value if isinstance(value, list) else [] if value is None else [value]


@rank_zero_only
def _say(line: str) -> None:
    print(line, flush=True)
