"""Run several commands of the zoo one after the other: `python several.py commands.json`.

Lightning starts this script again for each further process of the first command. All of them run every command.
"""

import json
import sys
from pathlib import Path

from zoo.cli.main import main
from zoo.training.run_dir import is_first_process

for arguments in json.loads(Path(sys.argv[1]).read_text()):
    if (code := main(arguments)) != 0:
        sys.exit(code)
    if is_first_process():
        print(end="\f", flush=True)  # separates what the commands print
