"""Give measured results the checksum of the new kind, after proving that no recipe's settings have changed.

python recipes/migrate_results.py 927bc60

For every recipe: its settings in the old commit, with class paths replaced by public names, must equal those of today. Then
each result that was measured with the old settings gets the new checksum; older results keep theirs, and do not count.
"""

import hashlib
import json
import re
import subprocess
import sys

import yaml

from zoo.cli.names import ROOT, recipe_paths
from zoo.cli.results import results_path, settings_checksum
from zoo.public import current_name


def main(commit: str) -> None:
    """Migrate all results, or stop at the first recipe that differs."""
    migrated = 0
    for path in recipe_paths().values():
        git = ["git", "-C", str(ROOT.parent), "show", f"{commit}:{path.relative_to(ROOT.parent)}"]
        old_text = subprocess.run(git, check=True, capture_output=True, text=True).stdout
        old = yaml.safe_load(old_text)
        renamed = yaml.safe_load(re.sub(r"(?<=class_path: )\S+", lambda found: current_name(found[0]), old_text))
        if renamed != yaml.safe_load(path.read_text()):
            raise SystemExit(f"{path.stem}: settings differ from {commit}")
        old_checksum = hashlib.sha256(json.dumps(old, sort_keys=True).encode()).hexdigest()[:12]
        if not (results := results_path(path)).exists():
            continue
        lines = [json.loads(line) for line in results.read_text().splitlines()]
        for line in lines:
            if line["config"] == old_checksum:
                line["config"], migrated = settings_checksum(path), migrated + 1
        results.write_text("".join(json.dumps(line) + "\n" for line in lines))
    print(f"{len(recipe_paths())} recipes are as they were; {migrated} results have the new checksum")


main(sys.argv[1])
