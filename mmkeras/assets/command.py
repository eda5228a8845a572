"""The command `mmkeras data`: list, fetch and verify the data and weights of the course."""

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from ..usage import Parser
from .cache import faults, fetch, verify
from .entries import Asset, AssetError, cache_dir, catalogue, find


def parser() -> tuple[Parser, Any]:
    """The options, and the object that takes more commands."""
    parser = Parser(
        prog="mmkeras data",
        description="Data and weights of the course, and what mmkeras keeps of your own data.",
        epilog="Example: mmkeras data fetch minilm-l6. Exit status: 0 all is well, 1 an asset "
        "could not be fetched or is damaged, 2 wrong usage. MMKERAS_CACHE moves the cache, which "
        f"now is {cache_dir()}",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for command, summary, without in (
        ("list", "list the assets, and which of them are in the cache", "all, one line each"),
        (
            "fetch",
            "download what is not in the cache, and mend what is damaged",
            "those marked * in the list",
        ),
        ("verify", "compare every file with its SHA-256", "all that are in the cache"),
    ):
        sub = commands.add_parser(command, help=summary, description=summary.capitalize() + ".")
        sub.add_argument(
            "names", nargs="*", metavar="NAME", help=f"some assets (default: {without})"
        )
    return parser, commands


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return 0 if all is well, 1 if an asset failed, 2 for wrong usage."""
    found, _ = parser()
    return run(found, found.parse_args(arguments))


def run(parser: Parser, options: argparse.Namespace) -> int:
    """List, fetch or verify; the exit status."""
    try:
        chosen = [find(name) for name in dict.fromkeys(options.names)]
    except AssetError as error:
        parser.error(str(error))
    return {"list": _list, "fetch": _fetch, "verify": _verify}[options.command](chosen)


def _list(chosen: list[Asset]) -> int:
    for asset in chosen:
        print(f"{asset.name}: {asset.title}")
        print(f"  {asset.client} {asset.package} {asset.version}, {asset.size / 1e6:.1f} MB")
        print(f"  licence {asset.licence}\n  cite {asset.citation}\n  SHA-256 {asset.sha256}")
        print(f"  {'; '.join(faults(asset, thorough=False)) or f'in {asset.folder}'}")
    if not chosen:
        for asset in catalogue().values():
            mark = "*" if asset.default else " "
            here = "to fetch" if faults(asset, thorough=False) else "in cache"
            print(f"{mark} {asset.name:19}{here:9}{asset.size / 1e6:6.1f} MB  {asset.title}")
        print(f"* fetched by default. Cache: {cache_dir()}")
    return 0


def _fetch(chosen: list[Asset]) -> int:
    from tqdm import tqdm  # imported here, so that the library itself does not need it

    assets = chosen or [asset for asset in catalogue().values() if asset.default]
    failed = []
    total = sum(asset.size for asset in assets)
    with tqdm(total=total, unit="B", unit_scale=True, desc="fetch") as bar:
        for asset in assets:
            bar.set_postfix_str(asset.name)
            try:
                fetch(asset.name, thorough=True)
            except AssetError as error:
                failed.append(str(error))
            bar.update(asset.size)
    return _report(failed, len(assets), f"in {cache_dir()}")


def _verify(chosen: list[Asset]) -> int:
    assets = chosen or [asset for asset in catalogue().values() if asset.folder.exists()]
    if not assets:
        print(f"error: no asset in {cache_dir()}; run: mmkeras data fetch", file=sys.stderr)
        return 1
    failed = []
    for asset in assets:
        try:
            verify(asset.name)
            print(f"ok  {asset.name} {asset.version}")
        except AssetError as error:
            failed.append(str(error))
    return _report(failed, len(assets), f"verified in {cache_dir()}")


def _report(failed: list[str], total: int, done: str) -> int:
    print(f"{total - len(failed)} of {total} assets {done}")
    for line in failed:
        print(f"error: {line}", file=sys.stderr)
    return 1 if failed else 0
