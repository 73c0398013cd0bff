#!/bin/sh
# Installs what the benchmark needs and is missing, and nothing else: a C compiler for the load program, and the peers.
# A peer that cannot be installed is skipped.
set -eu
cd "$(dirname "$0")"

# Debian keeps servers where only root's PATH leads.
PATH="$PATH:/usr/sbin:/sbin"

fail() {
  echo "bench: $*" >&2
  exit 1
}

# skip PEER WHY
skip() {
  echo "bench: $1 is not here ($2): skipped." >&2
}

has() {
  command -v "$1" >/dev/null 2>&1
}

as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

updated=false

# install PACKAGE...: says in $why what went wrong, if anything did.
install() {
  has apt-get || { why="there is no apt-get"; return 1; }
  [ "$(id -u)" -eq 0 ] || has sudo || { why="there is no sudo"; return 1; }
  echo "bench: installing $*."
  if ! $updated; then
    as_root apt-get update -q || { why="apt-get update failed"; return 1; }
    updated=true
  fi
  # Through env, because sudo drops variables.
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" ||
    { why="apt-get could not install it"; return 1; }
}

# The packages start servers. We start private ones instead, and these were not asked for.
# end_service NAME
end_service() {
  if [ -d /run/systemd/system ] && has systemctl; then
    as_root systemctl disable --now "$1" || true
  elif [ -x "/etc/init.d/$1" ]; then
    as_root "/etc/init.d/$1" stop || true
  fi
}

# peer NAME PACKAGE: a peer whose program, package and service have one name.
peer() {
  if has "$1"; then return; fi
  if install "$1"; then end_service "$1"; else skip "$1" "$why"; fi
}

if ! has gcc || [ ! -f /usr/include/stdio.h ]; then
  install gcc libc6-dev || fail "gcc and libc6-dev are missing ($why), and the load program is written in C."
fi
has taskset || install util-linux || fail "taskset is missing ($why), and servers are pinned with it."

peer nats-server
peer mosquitto
peer webdis

if [ ! -f /usr/lib/nginx/modules/ngx_nchan_module.so ] || ! has nginx; then
  had_nginx=false
  if has nginx; then had_nginx=true; fi
  if ! install nginx libnginx-mod-nchan; then
    skip nchan "$why"
  elif ! $had_nginx; then
    end_service nginx
  fi
fi

installed=node_modules/.package-lock.json
if [ ! -f "$installed" ] || [ -n "$(find package-lock.json -newer "$installed")" ]; then
  echo "bench: installing npm packages."
  # No scripts: these packages carry what they need.
  npm ci --silent --ignore-scripts --no-audit --no-fund ||
    npm install --no-save --ignore-scripts --no-audit --no-fund ||
    skip "socket.io and uwebsockets" "npm could not install them"
fi
