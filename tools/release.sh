#!/bin/sh
# Build wheel and sdist into dist, install each into an empty environment, and run the README's four commands there.
#   sh tools/release.sh python3.11 python3.12 python3.13     with these Pythons; those that are missing are skipped
# Needs a network (each environment gets TensorFlow) and some minutes for each Python.
set -eu
cd "$(dirname "$0")/.."
rm -rf dist
.venv/bin/python -m hatchling build -d "$PWD/dist"
(cd dist && sha256sum -- *.whl *.tar.gz >SHA256SUMS && cat SHA256SUMS)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

try() { # a Python, a file of dist
    env=$scratch/env
    "$1" -m venv --clear "$env"
    "$env/bin/python" -m pip --disable-pip-version-check install --quiet "$2"
    desk=$(mktemp -d "$scratch/desk.XXXXXX")
    (
        cd "$desk"
        PATH=$env/bin:$PATH
        export MMKERAS_CACHE="$desk/cache"
        mmkeras sample weather
        mmkeras train weather/data.csv --label label
        mmkeras predict weather/run weather/new.csv
        mmkeras explain weather/run weather/new.csv
        test -s weather/run/report.html && test -s weather/new.predicted.csv && test -s weather/new.explained/index.html
    )
    echo "$2 works with $("$1" --version)"
}

for python; do
    if ! "$python" -c "" 2>/dev/null; then
        echo "skipped: no $python here"
        continue
    fi
    for file in dist/*.whl dist/*.tar.gz; do try "$python" "$PWD/$file"; done
done
