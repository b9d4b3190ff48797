#!/bin/sh
# collect.sh DIRECTORY BINARY: makes the file system of an image without a distribution: the binary in /usr/bin, the
# shared libraries it names at the paths where the loader looks, and the files that glibc reads. Runs while an image is
# built.
set -eu

root="$1"
binary="$2"

install -d -m 755 "$root/usr/bin" "$root/etc"
install -d -m 1777 "$root/tmp"
install -m 755 "$binary" "$root/usr/bin/"

# "libc.so.6 => /lib/.../libc.so.6 (0x...)" for a library, "/lib64/ld-linux-x86-64.so.2 (0x...)" for the loader.
ldd "$binary" | sed -nE 's/^[[:space:]]*(.* => )?(\/[^ ]+) \(0x.*/\2/p' | while read -r library; do
    install -D -m 755 "$(readlink -f "$library")" "$root$library"
done

printf 'root:x:0:0:root:/:/nonexistent\nnonroot:x:10001:10001:nonroot:/:/nonexistent\n' >"$root/etc/passwd"
printf 'root:x:0:\nnonroot:x:10001:\n' >"$root/etc/group"
# Names in the container's /etc/hosts first, then the network's DNS.
printf 'hosts: files dns\n' >"$root/etc/nsswitch.conf"
