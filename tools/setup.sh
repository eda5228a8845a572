#!/bin/sh
# Install requirements.txt and the package into .venv. Called by make; quick where that was done already.
#
# .venv/complete says what was installed, and is written last. Where it is missing an earlier run was cut
# off, or .venv is not ours to trust, and .venv is built from nothing.
set -eu
cd "$(dirname "$0")/.."
stamp=.venv/complete

has_gpu() { [ "${CUDA:-}" != no ] && [ "$(uname -s)" = Linux ] && nvidia-smi >/dev/null 2>&1; }

if has_gpu; then device=cuda; else device=cpu; fi
wanted() { pwd; echo "$device"; cat requirements.txt pyproject.toml; }

# Prints what a Python lacks; nothing where it will do.
lacks() {
    "$1" - 2>/dev/null <<'PROBE' || echo "does not run"
import sys
if not (3, 11) <= sys.version_info[:2] <= (3, 13):
    print("is Python %d.%d" % sys.version_info[:2])
else:
    try:
        import ensurepip, venv
    except ImportError as error:
        print("cannot make environments: %s (on Debian or Ubuntu: sudo apt-get install python%d.%d-venv)"
              % ((error,) + sys.version_info[:2]))
PROBE
}

find_python() {
    if [ -n "${PYTHON:-}" ]; then set -- "$PYTHON"; else set -- python3.12 python3.13 python3.11 python3 python; fi
    report=
    for candidate; do
        if ! command -v "$candidate" >/dev/null 2>&1; then lack="not found"; else lack=$(lacks "$candidate"); fi
        if [ -z "$lack" ]; then python=$candidate; return; fi
        report="$report
  $candidate: $lack"
    done
    echo "mmkeras needs Python 3.11, 3.12 or 3.13, with its venv module. Looked at:$report" >&2
    echo "Install one, or name one: make lab PYTHON=/path/to/python3.12" >&2
    exit 1
}

usable() { # .venv was finished, in this folder, and its Python still runs
    [ -f "$stamp" ] && [ "$(head -n 1 "$stamp")" = "$(pwd)" ] && .venv/bin/python -c "" 2>/dev/null
}

if usable && wanted | cmp -s - "$stamp"; then exit 0; fi

if ! usable; then
    find_python
    echo "Making .venv with $("$python" --version), then installing the course's packages into it (once, some minutes)."
    "$python" -m venv --clear .venv
fi
rm -f "$stamp"

set -- -r requirements.txt
if [ "$device" = cuda ]; then
    tensorflow=$(sed -n 's/^tensorflow==\([^ ;]*\).*/\1/p' requirements.txt)
    set -- "$@" "tensorflow[and-cuda]==$tensorflow"
fi
pip() { .venv/bin/python -m pip --disable-pip-version-check "$@"; }
if ! { pip install "$@" && pip install --quiet --no-deps --no-build-isolation -e .; }; then
    echo "The packages could not be installed: pip's message is above. Once that is mended, run make again." >&2
    exit 1
fi
wanted >"$stamp.new"
mv "$stamp.new" "$stamp"
