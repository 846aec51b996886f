"""Where data files come from: the mirror in `ZOO_DATA`, else the Hugging Face hub."""

import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path

from datamodules.core.cache import cache_folder
from datamodules.core.files import file_sha256, replacing, utf8
from zoo.errors import MissingFileError, ZooError


def mirror(path: str = "") -> Path | None:
    """Return a path inside the mirror that `ZOO_DATA` names, whether it exists or not; None without a mirror.

    The mirror has the layout of the hub.
    """
    root = os.environ.get("ZOO_DATA")
    return Path(root) / path if root else None


def mirrored(repo: str, filename: str) -> Path | None:
    """Return a repository's file in the mirror, or None if the mirror does not have it."""
    path = mirror(f"{repo}/{filename}")
    return path if path and path.is_file() else None


def nearby(name: str, is_it: Callable[[Path], bool] = Path.is_file) -> Path | None:
    """Return the file at the path `name`, or at this path below the mirror; None if neither exists.

    Pass `Path.is_dir` to look for a folder.
    """
    return next((path for path in (Path(name), mirror(name)) if path and is_it(path)), None)


def hub_listing(repo: str, revision: str = "main") -> list[str]:
    """List the file names of a data set: from the mirror if it has the set, else from the hub.

    Raises:
        MissingFileError: if neither has the set, saying what to do.
    """
    folder = mirror(repo)
    if folder and folder.is_dir():
        return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    try:
        # One request first: without a network, the listing itself retries for minutes.
        HfApi().dataset_info(repo, revision=revision, timeout=10)
        return HfApi().list_repo_files(repo, repo_type="dataset", revision=revision)
    # ValueError: `repo` does not have the form of an id of the hub.
    except (OSError, ValueError, *HfHubHTTPError.__bases__) as error:  # type: ignore[misc]  # bases depend on the HTTP library
        raise MissingFileError(
            f"no data set {repo}: no such folder under ZOO_DATA ({mirror() or 'not set'}), and the hub did not list it "
            f"({type(error).__name__}). Without a network set ZOO_DATA to a folder that holds {repo}"
        ) from error


def hub_file(repo: str, filename: str, revision: str = "main", otherwise: str = "") -> Path:
    """Return a file of a data set from the mirror or the hub. Download it if necessary and verify its checksum.

    A file from the hub must have the SHA-256 that the hub states. The checksum is recorded per revision on the first download;
    from then on a file that differs is refused, with or without a network. The hub's client locks each file while it
    downloads, so that several processes download it once.

    Raises:
        MissingFileError: if the file is not available, saying what was tried and what to do. `otherwise` adds another way out.
        ZooError: if the checksum differs.
    """
    if path := mirrored(repo, filename):
        return path
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url, try_to_load_from_cache
    from huggingface_hub.errors import HfHubHTTPError

    found = try_to_load_from_cache(repo, filename, revision=revision, repo_type="dataset")
    if not isinstance(found, str):
        try:
            # One request first: without a network, the download itself retries for minutes.
            get_hf_file_metadata(hf_hub_url(repo, filename, repo_type="dataset", revision=revision), timeout=10)
            found = hf_hub_download(repo, filename, repo_type="dataset", revision=revision, etag_timeout=10)
        except (OSError, *HfHubHTTPError.__bases__) as error:  # type: ignore[misc]  # bases depend on the HTTP library
            raise MissingFileError(
                f"{repo}/{filename} is not on this machine: no such file under ZOO_DATA "
                f"({mirror() or 'not set'}), and the hub did not give it ({type(error).__name__}). "
                f"With a network run again; without one {otherwise}set ZOO_DATA to a folder that holds {repo}/{filename}"
            ) from error
    path = Path(found)
    # The hub's client links to a blob named by the etag, which is the SHA-256 of a large file. Only the first link counts: the
    # blob may itself link to a file named by another hash.
    stated = path.readlink().name if path.is_symlink() else ""
    known = _Checksums(f"{repo}/{filename}@{revision}")
    if len(stated) == 64:
        known.value = known.value or stated
    return known.verify(path)


class _Checksums:
    """Recorded SHA-256 of one file of one revision, kept beside the decoded data."""

    def __init__(self, key: str) -> None:
        self._key, self._path = key, cache_folder() / "checksums.json"
        self.value = self._recorded().get(key)

    def verify(self, path: Path) -> Path:
        actual = file_sha256(path)
        if self.value and actual != self.value:
            raise ZooError(
                f"{path.resolve()} has SHA-256 {actual}, expected {self.value}: delete it, and it is fetched again; "
                f"if {self._key} has changed on purpose, also delete its line in {self._path}"
            )
        recorded = self._recorded()
        if recorded.get(self._key) != actual:
            try:
                with replacing(self._path) as partial:
                    partial.write_text(json.dumps({**recorded, self._key: actual}, indent=1, sort_keys=True), encoding="utf-8")
            except OSError as error:
                warnings.warn(
                    f"cannot record checksums in {self._path}: {error}. Set ZOO_CACHE to a writable folder", stacklevel=2
                )
        return path

    def _recorded(self) -> dict[str, str]:
        try:
            recorded: dict[str, str] = json.loads(utf8(self._path)) if self._path.exists() else {}
        except ValueError as error:
            raise ZooError(f"damaged {self._path} ({error}): delete it, and checksums are recorded again") from error
        return recorded
