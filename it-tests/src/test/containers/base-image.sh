#!/usr/bin/env bash
# base-image.sh NAME - makes an image for servers under test, without an image registry: a Java runtime and busybox out of Debian packages.
#
# It needs apt-get, dpkg-deb, tar, and an engine at DOCKER_HOST. Nothing is installed on this machine, no script of a package runs. If the image is there, and was made
# by this version of this script, nothing happens.
set -u -o pipefail
(($# == 1)) || { sed -n 2p -- "$0" >&2; exit 2; }
name=$1

say() { printf 'base-image: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

stamp=$(sha256sum <"$0" | cut -c1-16)
[[ $(docker image inspect --format '{{index .Config.Labels "io.blocktap.stamp"}}' "$name" 2>/dev/null) != "$stamp" ]] || exit 0

work=$(mktemp -d) || exit 1
trap 'rm -rf -- "$work"' EXIT
mkdir -- "$work/root" && mkdir -m 777 -- "$work/packages" && chmod 755 "$work" || exit 1 # apt's own user loads packages

# What the JVM itself links, and no more: apt would add fonts, sound and printing. libc-bin has the locale C.UTF-8.
jre=
for version in 17 21 25; do
    apt-cache show "openjdk-$version-jre-headless" >/dev/null 2>&1 && jre=openjdk-$version-jre-headless && break
done
fetch() { (cd -- "$work/packages" && apt-get -qq download "${jre:-openjdk-17-jre-headless}" libc6 libc-bin libgcc-s1 libstdc++6 zlib1g busybox-static) 2>"$work/log" >&2; }
# Lists that are missing, or so old that they name files that are gone, are updated; somebody else may be doing just that.
fetch || for ((tries = 0; ; tries++)); do
    apt-get -qq update >"$work/log" 2>&1
    fetch && break
    ((tries < 5)) || { tail -n 5 -- "$work/log" >&2; die "Debian's packages for the image can not be loaded"; }
    sleep 5
done
for package in "$work"/packages/*.deb; do
    dpkg-deb -x "$package" "$work/root" || die "$package can not be unpacked"
done

cd -- "$work/root" || exit 1
rm -rf usr/share/doc usr/share/man usr/share/lintian usr/share/bug usr/lib/jvm/*/lib/ct.sym
# A shell and the usual commands; tests cut a container's network off by ip.
for applet in $(./bin/busybox --list); do
    [[ -e bin/$applet || -L bin/$applet || -e usr/bin/$applet ]] || ln -s busybox "bin/$applet"
done
java_home=
for candidate in usr/lib/jvm/*; do
    [[ ! -L $candidate && -x $candidate/bin/java ]] && java_home=/$candidate
done
[[ -n $java_home ]] || die "there is no java in the unpacked packages"
mkdir -p etc tmp root && chmod 1777 tmp && chmod 755 .
printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n' >etc/passwd
printf 'root:x:0:\nnogroup:x:65534:\n' >etc/group
echo 'hosts: files dns' >etc/nsswitch.conf

tar --owner=0 --group=0 --numeric-owner -c . | docker import \
    -c "ENV JAVA_HOME=$java_home" -c "ENV PATH=$java_home/bin:/usr/sbin:/usr/bin:/sbin:/bin" -c 'ENV LANG=C.UTF-8' \
    -c "LABEL io.blocktap.stamp=$stamp" -c 'CMD ["sh"]' - "$name" >/dev/null || die "the engine does not take the image"
# An image that can not run Java is worse than none.
docker run --rm --network none "$name" java -version >"$work/log" 2>&1 ||
    { tail -n 5 -- "$work/log" >&2; docker rmi "$name" >/dev/null; die "the image does not run Java"; }
say "made $name: $(head -n 1 -- "$work/log"), $(($(du -sk . | cut -f1) / 1024)) MiB"
