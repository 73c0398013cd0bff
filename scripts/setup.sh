#!/bin/sh
# Installs what is missing and nothing else: npm packages, redis-server, and with --browser what the tests need besides:
# chromium, openssl, and websockets for Python.
set -eu
cd "$(dirname "$0")/.."

fail() {
  echo "setup: $*" >&2
  exit 1
}

has() {
  command -v "$1" >/dev/null 2>&1
}

with_browser=false
for argument in "$@"; do
  case "$argument" in
    --browser) with_browser=true ;;
    *) fail "'$argument' is not understood; the only argument is --browser." ;;
  esac
done

as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

# install PACKAGE WHY
install() {
  has apt-get || fail "$1 is missing ($2), and there is no apt-get here: install it by hand, then run this again."
  [ "$(id -u)" -eq 0 ] || has sudo || fail "$1 is missing ($2), and there is no sudo: run 'apt-get install $1' as root."
  echo "setup: installing $1 ($2)."
  as_root apt-get update -q || fail "apt-get update failed, so $1 cannot be installed: is the network reachable?"
  # Through env, because sudo drops variables.
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$1" ||
    fail "apt-get could not install $1."
}

# The package starts a server on port 6379. We start private ones instead, and this one was not asked for.
end_service() {
  if [ -d /run/systemd/system ] && has systemctl; then
    as_root systemctl disable --now redis-server || true
  elif [ -x /etc/init.d/redis-server ]; then
    as_root /etc/init.d/redis-server stop || true
  fi
}

has node || fail "Node.js is missing: install version 20.19 or newer from https://nodejs.org."
has npm || fail "npm is missing: it comes with Node.js, see https://nodejs.org."
node -e 'const [major, minor] = process.versions.node.split("."); process.exit(major * 1000 + minor * 1 >= 20019 ? 0 : 1)' ||
  fail "Node.js $(node --version) is too old: version 20.19 or newer is needed."

if ! has redis-server; then
  install redis-server "the tests and the demo start private ones"
  end_service
fi

if $with_browser && ! has openssl; then
  install openssl "the tests make certificates with it"
fi

if $with_browser && ! has chromium && ! has chromium-browser && ! has google-chrome; then
  install chromium "the client is tested in it"
fi

has_websockets() {
  /usr/bin/python3 -c 'import websockets' 2>/dev/null || python3 -c 'import websockets' 2>/dev/null
}

# Where there is no apt-get, the tests that need it are skipped.
if $with_browser && has apt-get && ! has_websockets; then
  install python3-websockets "the Python client in docs/other-languages.md is tested with it"
fi

installed=node_modules/.package-lock.json
if [ ! -f "$installed" ] || [ -n "$(find package-lock.json -newer "$installed")" ]; then
  echo "setup: installing npm packages."
  # `npm ci` insists on the packages of all platforms; a registry that mirrors only some of them needs the second way.
  npm ci --silent --no-audit --no-fund || {
    echo "setup: npm ci failed; trying npm install, which leaves package-lock.json as it is."
    npm install --no-save --no-audit --no-fund || fail "the npm packages could not be installed: see npm's message above."
  }
fi

# Installing builds too; what is built must also follow the sources.
built=dist/cli/main.js
if [ ! -f "$built" ] || [ -n "$(find src -newer "$built" | head -n 1)" ]; then
  npm run --silent build || fail "the sources could not be compiled: see the messages above."
fi
