#!/usr/bin/env bash
# The programs that the lab's networks are made of. Installed only as root on Debian or Ubuntu, and only
# when one is missing. Elsewhere nothing is said here: whoever needs them says what is left out, the lab in one
# line and each test in the reason of its skip. With the argument `checkers` also the programs that check the
# files in deploy/; for continuous integration.
set -euo pipefail

PATH="$PATH:/usr/sbin:/sbin"
missing=()
while read -r program package; do
    command -v "$program" >/dev/null || missing+=("$package")
done < <(
    cat <<'LIST'
openvpn openvpn
haproxy haproxy
sshd openssh-server
ip iproute2
nft nftables
arping iputils-arping
ping iputils-ping
tcpdump tcpdump
pkill procps
LIST
    if [ "${1:-}" = checkers ]; then
        cat <<'LIST'
promtool prometheus
curl curl
openssl openssl
cloud-init cloud-init
systemd-analyze systemd
LIST
    fi
)
[ ${#missing[@]} -eq 0 ] && exit 0

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    exit 0
fi

# Daemons of these packages must not start on this machine: the lab runs its own.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
fi

# What is installed here to check files shall do nothing else, also after a restart of this machine. A package
# that was there before is not in the list, and stays as it is.
for package in "${missing[@]}"; do
    case "$package" in
    cloud-init) mkdir -p /etc/cloud && touch /etc/cloud/cloud-init.disabled ;;
    prometheus) mkdir -p /etc/systemd/system && ln -sf /dev/null /etc/systemd/system/prometheus.service ;;
    esac
done

echo "Installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
apt="apt-get -qq -o DPkg::Lock::Timeout=120"
$apt update
$apt install -y --no-install-recommends "${missing[@]}" >/dev/null
