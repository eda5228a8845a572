#!/bin/sh
# Install book/requirements.txt into .venv-book, which only the book needs. Called by make; quick where done.
#   PYTHON=/path/to/python3.12    with a Python of your choice; else that of .venv, or python3
set -eu
cd "$(dirname "$0")/.."
stamp=.venv-book/complete

if [ -f "$stamp" ] && cmp -s book/requirements.txt "$stamp" && .venv-book/bin/python -c ""; then exit 0; fi
if [ -n "${PYTHON:-}" ]; then python=$PYTHON; elif [ -x .venv/bin/python ]; then python=.venv/bin/python; else python=python3; fi
echo "Making .venv-book with $("$python" --version), for the book (once, a minute)."
"$python" -m venv --clear .venv-book
.venv-book/bin/python -m pip --disable-pip-version-check install --quiet -r book/requirements.txt
cp book/requirements.txt "$stamp"
