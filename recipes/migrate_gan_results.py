"""Give measured results of GANs the checksum of today's settings, after proving that no recipe's settings have changed.

python recipes/migrate_gan_results.py f40cdfb

GANs had an argument `game`, whose entries became arguments of the classes. For every GAN recipe, the settings in the old
commit, with `game` replaced by `migrate_game`, must equal those of today. Then each result that was measured with the old
settings gets the new checksum. Older results keep theirs, and do not count.
"""

import hashlib
import json
import subprocess
import sys

import yaml

from zoo.cli.names import ROOT, recipe_paths
from zoo.cli.results import results_path, scored_settings, settings_checksum
from zoo.training.aliases import migrate_game


def main(commit: str) -> None:
    """Migrate all results of GANs, or stop at the first recipe that differs."""
    paths = [path for path in recipe_paths().values() if path.parent.name == "gans"]
    migrated = 0
    for path in paths:
        git = ["git", "-C", str(ROOT.parent), "show", f"{commit}:{path.relative_to(ROOT.parent)}"]
        old = yaml.safe_load(subprocess.run(git, check=True, capture_output=True, text=True).stdout)
        old_checksum = hashlib.sha256(json.dumps(scored_settings(old), sort_keys=True).encode()).hexdigest()[:12]
        old["model"]["init_args"] = migrate_game(old["model"]["class_path"], old["model"]["init_args"])
        if old != yaml.safe_load(path.read_text()):
            raise SystemExit(f"{path.stem}: settings differ from {commit}")
        if not (results := results_path(path)).exists():
            continue
        lines = [json.loads(line) for line in results.read_text().splitlines()]
        for line in lines:
            if line["config"] == old_checksum:
                line["config"], migrated = settings_checksum(path), migrated + 1
        results.write_text("".join(json.dumps(line) + "\n" for line in lines))
    print(f"{len(paths)} recipes are as they were; {migrated} results have the new checksum")


main(sys.argv[1])
