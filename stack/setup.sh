#!/usr/bin/env bash
# Makes this checkout ready to run; with `test`, to be tested too. Run again, it only checks.
# Needs Python 3.11 or newer, and root or sudo where a system package is missing.
set -euo pipefail
cd "$(dirname "$0")/.."
want=${1:-run}
stamp=.venv/.set-up-$want

fail() { echo "$*" >&2; exit 1; }

# --- done before, with these very pins and this interpreter?
fingerprint=$(cat requirements.txt pyproject.toml stack/setup.sh | sha256sum | cut -c1-16)
servers_present() {
    .venv/bin/python - "$want" <<'PYTHON'
import sys
from stack.stripe_mock import find_stripe_mock
from stack.temporal import find_server
sys.exit(find_server() is None or (sys.argv[1] == "test" and find_stripe_mock() is None))
PYTHON
}
if [ -x .venv/bin/python ] && [ "$(cat "$stamp" 2>/dev/null)" = "$fingerprint" ] && servers_present; then
    exit 0
fi

# --- Python
python=
for candidate in "${PYTHON:-}" python3 python3.14 python3.13 python3.12 python3.11; do
    if [ -n "$candidate" ] && command -v "$candidate" >/dev/null &&
        "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        python=$candidate
        break
    fi
done
[ -n "$python" ] || fail "Billwright needs Python 3.11 or newer: install it (Debian 12, Ubuntu 24.04: python3), or name one with PYTHON=/path/to/python3."

# --- system packages: text layout and a font for the PDFs; a browser, Java and Maven for the tests
packages=()
PATH=$PATH:/sbin:/usr/sbin
libraries=$(ldconfig -p)
library() { [[ $libraries == *"$1"* ]] || packages+=("$2"); }
library libpango-1.0.so.0 libpango-1.0-0
library libpangoft2-1.0.so.0 libpangoft2-1.0-0
library libharfbuzz-subset.so.0 libharfbuzz-subset0
[ -n "$(find /usr/share/fonts -iname 'Inter*' -print -quit 2>/dev/null)" ] || packages+=(fonts-inter)
if [ "$want" = test ]; then
    command -v chromium chromium-browser google-chrome >/dev/null || packages+=(chromium)
fi
[ -x .venv/bin/python ] || "$python" -c 'import ensurepip' 2>/dev/null || packages+=(python3-venv)
if [ "${#packages[@]}" -gt 0 ]; then
    echo "System packages: ${packages[*]}"
    command -v apt-get >/dev/null || fail "These libraries are missing and there is no apt-get here; install what your system calls ${packages[*]} and try again."
    as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || fail "Run this once as root: apt-get install ${packages[*]}"
        as_root=(sudo)
    fi
    export DEBIAN_FRONTEND=noninteractive
    install() { "${as_root[@]}" apt-get install -y -q --no-install-recommends "$@" >/dev/null; }
    install "${packages[@]}" 2>/dev/null || {
        "${as_root[@]}" apt-get update -q >/dev/null || true
        install "${packages[@]}" || fail "apt-get could not install ${packages[*]}; see its message above."
    }
fi

# --- Python packages
if ! .venv/bin/python -c 'import pip' 2>/dev/null; then
    rm -rf .venv
    "$python" -m venv .venv
fi
echo "Python packages: requirements.txt"
export PIP_DISABLE_PIP_VERSION_CHECK=1
.venv/bin/python -m pip install -q -r requirements.txt
.venv/bin/python -m pip install -q --no-deps -e .

# --- servers that no Python package carries
.venv/bin/python -m stack.temporal install
if [ "$want" = test ]; then
    .venv/bin/python -m stack.test_server install
    .venv/bin/python -m stack.stripe_mock install
fi
echo "$fingerprint" >"$stamp"
