#!/bin/sh
# Open a notebook in JupyterLab; where there is no browser, print the address instead.
set -eu
cd "$(dirname "$0")/.."
notebook=$1

has_browser() {
    if [ "$(uname -s)" = Linux ] && [ -z "${DISPLAY:-}${WAYLAND_DISPLAY:-}${WSL_DISTRO_NAME:-}" ]; then return 1; fi
    .venv/bin/python -c "import webbrowser; webbrowser.get()" 2>/dev/null
}

set -- --ServerApp.root_dir=. --LabApp.default_url="/lab/tree/$notebook"
if ! has_browser; then
    echo "No browser here: open the address that JupyterLab prints below. Ctrl-C ends it."
    set -- "$@" --no-browser
fi
if [ "$(id -u)" = 0 ]; then set -- "$@" --allow-root; fi
exec .venv/bin/python -m jupyterlab "$@"
