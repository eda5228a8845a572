#!/bin/sh
# Open a student's copy of a notebook in JupyterLab; where there is no browser, print the address instead.
#   sh tools/lab.sh 00_welcome.ipynb            FRESH=1 copies all notebooks anew (see tools/work.py)
set -eu
cd "$(dirname "$0")/.."
copy=work/$1

has_browser() {
    if [ "$(uname -s)" = Linux ] && [ -z "${DISPLAY:-}${WAYLAND_DISPLAY:-}${WSL_DISTRO_NAME:-}" ]; then return 1; fi
    .venv/bin/python -c "import webbrowser; webbrowser.get()" 2>/dev/null
}

case "${FRESH:-}" in "" | 0 | no) fresh= ;; *) fresh=--fresh ;; esac
.venv/bin/python tools/work.py $fresh

# Defaults of this .venv's JupyterLab: it asks nobody whether to fetch news.
settings=.venv/share/jupyter/lab/settings
mkdir -p "$settings"
cp tools/jupyterlab.json "$settings/overrides.json"

set -- --ServerApp.root_dir=. --LabApp.default_url="/lab/tree/$copy"
if ! has_browser; then
    echo "No browser here: open the address that JupyterLab prints below. Ctrl-C ends it."
    set -- "$@" --no-browser
fi
if [ "$(id -u)" = 0 ]; then set -- "$@" --allow-root; fi
exec .venv/bin/python -m jupyterlab "$@"
