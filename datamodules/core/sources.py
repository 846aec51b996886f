"""Where data files come from: a mirror (`ZOO_DATA`), else the Hugging Face hub."""

import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path

from datamodules.core.cache import cache_folder, file_sha256
from zoo.errors import MissingFileError, ZooError


def mirror(path: str = "") -> Path | None:
    """A path in the mirror that `ZOO_DATA` names, laid out like the hub, whether it exists or not; None without a mirror."""
    root = os.environ.get("ZOO_DATA")
    return Path(root) / path if root else None


def mirrored(repo: str, filename: str) -> Path | None:
    """The file in the mirror, or None."""
    path = mirror(f"{repo}/{filename}")
    return path if path and path.is_file() else None


def nearby(name: str, is_it: Callable[[Path], bool] = Path.is_file) -> Path | None:
    """The file at a path, or below the mirror; None where it is at neither. `Path.is_dir` looks for a folder."""
    return next((path for path in (Path(name), mirror(name)) if path and is_it(path)), None)


def utf8(path: Path) -> str:
    """The text of a file.

    Raises:
        ZooError: naming the first byte that is no UTF-8.
    """
    return decode(path.read_bytes(), str(path))


def decode(content: bytes, name: str) -> str:
    """Text from UTF-8, with or without a byte-order mark.

    Raises:
        ZooError: naming the first byte that is none.
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise ZooError(
            f"{name} is not UTF-8: byte 0x{byte:02x} at offset {error.start}; convert it (iconv -f latin1 -t utf8)"
        ) from error


def hub_listing(repo: str, revision: str = "main") -> list[str]:
    """The names of a data set's files, in the mirror where it has them, else on the hub.

    Raises:
        MissingFileError: if neither has the set, saying what to do.
    """
    folder = mirror(repo)
    if folder and folder.is_dir():
        return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    try:  # ask once: without a network the listing itself retries for minutes
        HfApi().dataset_info(repo, revision=revision, timeout=10)
        return HfApi().list_repo_files(repo, repo_type="dataset", revision=revision)
    except (OSError, ValueError, *HfHubHTTPError.__bases__) as error:  # type: ignore[misc]  # ValueError: no id of the hub's form
        raise MissingFileError(
            f"no data set {repo}: no such folder under ZOO_DATA ({mirror() or 'not set'}), and the hub did not list it "
            f"({type(error).__name__}). Without a network set ZOO_DATA to a folder that holds {repo}"
        ) from error


def hub_file(repo: str, filename: str, revision: str = "main", otherwise: str = "") -> Path:
    """A data-set file from the mirror or the hub, its checksum verified.

    What comes from the hub must have the SHA-256 that the hub states. It is recorded on first sight per revision, and
    from then on a file that differs is refused, also with no network.

    Raises:
        MissingFileError: if it can't be had, saying what was tried and what to do; `otherwise` adds to the latter.
        ZooError: if its checksum is wrong.
    """
    if path := mirrored(repo, filename):
        return path
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url, try_to_load_from_cache
    from huggingface_hub.errors import HfHubHTTPError

    found = try_to_load_from_cache(repo, filename, revision=revision, repo_type="dataset")
    if not isinstance(found, str):
        try:  # ask once: without a network the download itself retries for minutes
            get_hf_file_metadata(hf_hub_url(repo, filename, repo_type="dataset", revision=revision), timeout=10)
            found = hf_hub_download(repo, filename, repo_type="dataset", revision=revision, etag_timeout=10)
        except (OSError, *HfHubHTTPError.__bases__) as error:  # type: ignore[misc]  # its base: the HTTP library of this version
            raise MissingFileError(
                f"{repo}/{filename} is not on this machine: no such file under ZOO_DATA "
                f"({mirror() or 'not set'}), and the hub did not give it ({type(error).__name__}). "
                f"With a network run again; without one {otherwise}set ZOO_DATA to a folder that holds {repo}/{filename}"
            ) from error
    path = Path(found)
    # the hub's client links to a blob named by the etag, the SHA-256 of large files; the blob may be a link by another hash
    stated = path.readlink().name if path.is_symlink() else ""
    known = _Checksums(f"{repo}/{filename}@{revision}")
    if len(stated) == 64:
        known.value = known.value or stated
    return known.verify(path)


class _Checksums:
    """The SHA-256 of one file of one revision, as first seen; kept beside the decoded data."""

    def __init__(self, key: str) -> None:
        self._key, self._path = key, cache_folder() / "checksums.json"
        self.value = self._recorded().get(key)

    def verify(self, path: Path) -> Path:
        actual = file_sha256(path)
        if self.value and actual != self.value:
            raise ZooError(
                f"{path.resolve()} has SHA-256 {actual}, expected {self.value}: delete it, and it is fetched again; "
                f"where {self._key} has changed on purpose, also delete its line in {self._path}"
            )
        recorded = self._recorded()
        if recorded.get(self._key) != actual:
            partial = self._path.with_suffix(f".{os.getpid()}.partial")
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                partial.write_text(json.dumps({**recorded, self._key: actual}, indent=1, sort_keys=True))
                partial.replace(self._path)
            except OSError as error:
                warnings.warn(
                    f"cannot record checksums in {self._path}: {error}. Set ZOO_CACHE to a writable folder", stacklevel=2
                )
        return path

    def _recorded(self) -> dict[str, str]:
        try:
            recorded: dict[str, str] = json.loads(self._path.read_text()) if self._path.exists() else {}
        except ValueError as error:
            raise ZooError(f"damaged {self._path} ({error}): delete it, and checksums are recorded again") from error
        return recorded
