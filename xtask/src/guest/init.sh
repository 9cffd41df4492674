#!/bin/sh
# The guest's only own program: mounts what a server has, runs the tests, says how they ended, switches off.
export PATH=/usr/sbin:/usr/bin HOME=/root
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev 2>/dev/null
mkdir -p /dev/pts /dev/shm /dev/mqueue
mount -t devpts devpts /dev/pts
mount -t tmpfs shm /dev/shm
mount -t tmpfs -o mode=755 run /run
mount -t cgroup2 cgroup2 /sys/fs/cgroup
ip link set lo up
hostname guest
for module in overlay loop bridge br_netfilter veth nf_tables nft_masq nft_nat nft_ct nft_chain_nat; do
  modprobe "$module" || echo "guest: no module $module"
done
echo "guest: Linux $(uname -r), $(cat /sys/fs/cgroup/cgroup.controllers)"

# The tests find their programs ready made, and fail where they would be skipped elsewhere.
export MAINSTAY_TESTKIT_PROGRAMS=/mainstay/programs MAINSTAY_TEST_MUST_RUN=1
set --
while read -r filter; do set -- "$@" "$filter"; done < /mainstay/filters
status=0
for test in /mainstay/tests/*; do
  # Those two measure time, which an emulated processor has little of.
  "$test" --test-threads 2 --skip an_attach_is_quick --skip changing_a_name_under_load "$@" || status=$?
done
echo "guest: the tests ended with $status"
sync
poweroff -f
