"""Commands that use trained models: sample, interpolate, export and average."""

import argparse
from pathlib import Path

from zoo.cli.names import find_checkpoint, find_config, is_published
from zoo.cli.verbs.command import Command, add_recipes, always, at_least, check_names_early, check_output, own_config
from zoo.errors import UsageError

_IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")


def _sample_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-n", "--num", type=int, default=40, help="number of images or points (default: 40)")
    parser.add_argument("--images", type=Path, help="image file or folder of images to translate, for an image-to-image model")
    parser.add_argument("--back", action="store_true", help="translate from the second domain of a CycleGAN to the first")
    _add_generator(parser)


def _sample(args: argparse.Namespace, settings: list[str]) -> int:
    at_least(1, num=args.num)
    _check_image(args.output)
    from zoo.cli.sample import sample

    checkpoint = find_checkpoint(args.checkpoint)
    return sample(checkpoint, args.num, args.images, args.back, args.label, args.seed, args.output)


def _interpolate_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pairs", type=int, default=4, help="number of pairs of codes (default: 4)")
    parser.add_argument("--steps", type=int, default=10, help="images per row, including both ends (default: 10)")
    parser.add_argument(
        "--images", type=Path, help="interpolate between the images of a folder (default: between random codes)"
    )
    _add_generator(parser)


def _interpolate(args: argparse.Namespace, settings: list[str]) -> int:
    at_least(1, pairs=args.pairs)
    at_least(2, steps=args.steps)
    _check_image(args.output)
    from zoo.cli.sample import interpolate

    checkpoint = find_checkpoint(args.checkpoint)
    return interpolate(checkpoint, args.pairs, args.steps, args.images, args.label, args.seed, args.output)


def _add_generator(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "checkpoint", type=Path, help="checkpoint, such as RUN/checkpoints/best.ckpt, or name of published weights"
    )
    parser.add_argument("--label", type=int, help="class label for a conditional model (default: all classes in turn)")
    parser.add_argument("--seed", type=int, default=0, help="random seed (default: 0)")
    parser.add_argument("-o", "--output", type=Path, help="image file (default: in RUN/pictures)")


def _check_image(path: Path | None) -> None:
    """Refuse an output that cannot be an image file, before a model is loaded."""
    if path is not None and (path.is_dir() or path.suffix.lower() not in _IMAGE_SUFFIXES):
        raise UsageError(f"--output {path} is not the name of an image file: end it in .png")
    check_output(path)


def _export_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "checkpoint", type=Path, help="checkpoint, such as RUN/checkpoints/best.ckpt, or name of published weights"
    )
    parser.add_argument("--format", choices=("onnx", "pt2", "safetensors"), required=True)
    parser.add_argument("-o", "--output", type=Path, help="file to write (default: next to the checkpoint)")


def _export(args: argparse.Namespace, settings: list[str]) -> int:
    checkpoint = find_checkpoint(args.checkpoint)
    output = args.output
    check_output(output)
    # Published weights lie in the installed package, which may be read-only.
    if output is None and is_published(checkpoint):
        output = Path(f"{checkpoint.stem}.{args.format}")
    from zoo.cli.export import export

    return export(checkpoint, args.format, output)


def _average_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "checkpoints", type=Path, nargs="+", metavar="CKPT", help="two or more checkpoints of one run, oldest first"
    )
    parser.add_argument("-o", "--output", type=Path, help="file to write (default: average.ckpt next to the last checkpoint)")
    add_recipes(parser, "recipe with the training data, for networks with BatchNorm (default: the configuration of the run)")


def _average(args: argparse.Namespace, settings: list[str]) -> int:
    if len(args.checkpoints) < 2:
        raise UsageError("average needs two or more checkpoints: keep several of a run with --checkpoint_every_n_steps N")
    check_output(args.output)
    paths = [find_checkpoint(path) for path in args.checkpoints]
    configs = [find_config(name) for name in args.config] or own_config(paths[-1])
    check_names_early(configs, settings)
    from zoo.cli.average import average

    return average(paths, configs, settings, args.output or paths[-1].with_name("average.ckpt"))


MODELS = (
    Command("sample", "write samples from a generative model", _sample_arguments, _sample),
    Command("interpolate", "write interpolations between latent codes", _interpolate_arguments, _interpolate),
    Command("export", "export the network of a checkpoint to another format, and verify it", _export_arguments, _export),
    Command("average", "average the weights of checkpoints", _average_arguments, _average, always),
)
