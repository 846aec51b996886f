"""Give measured results of recipes on texts the checksum of today's settings, after proving that no recipe's settings changed.

python recipes/migrate_results.py 09ba793

For every recipe, the settings in the old commit, with the arguments of tokenizers collected by `migrate_settings`, must equal
those of today. Then each result of the old settings gets the new checksum. Older results keep theirs.
"""

import hashlib
import json
import subprocess
import sys

import yaml

from zoo.aliases import migrate_settings
from zoo.cli.names import ROOT, recipe_paths
from zoo.cli.results import results_path, scored_settings, settings_checksum
from zoo.cli.settings import _Loader


def main(commit: str) -> None:
    """Migrate all results, or stop at the first recipe that differs."""
    migrated, changed = 0, 0
    for path in recipe_paths().values():
        git = ["git", "-C", str(ROOT.parent), "show", f"{commit}:{path.relative_to(ROOT.parent)}"]
        old = yaml.load(subprocess.run(git, check=True, capture_output=True, text=True).stdout, _Loader)
        old_checksum = hashlib.sha256(json.dumps(scored_settings(old), sort_keys=True).encode()).hexdigest()[:12]
        if migrate_settings(old, None) != yaml.load(path.read_text(), _Loader):
            raise SystemExit(f"{path.stem}: settings differ from {commit}")
        changed += migrate_settings(old, None) is not old
        if not (results := results_path(path)).exists():
            continue
        lines = [json.loads(line) for line in results.read_text().splitlines()]
        for line in lines:
            if line["config"] == old_checksum and old_checksum != settings_checksum(path):
                line["config"], migrated = settings_checksum(path), migrated + 1
        text = "".join(json.dumps(line) + "\n" for line in lines)
        if text != results.read_text():
            results.write_text(text)
    print(f"{len(recipe_paths())} recipes are as they were, {changed} in a new form; {migrated} results have the new checksum")


main(sys.argv[1])
