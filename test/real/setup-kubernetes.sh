#!/usr/bin/env bash
# Builds etcd, kube-apiserver and kube-controller-manager from their Go modules (kubernetes/go.mod).
# From nothing: five to fifteen minutes on two cores, 3 GiB in Go's own caches; 200 MiB are kept.
part=kubernetes
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

build() {
  local out=$1 go version=k8s.io/component-base/version
  go=$(choose_go)
  [ -x "$go" ] || fail "no Go to build with"
  say "building etcd $ETCD_VERSION and Kubernetes $KUBERNETES_VERSION with $("$go" env GOVERSION), this takes minutes"
  grep -q "k8s.io/kubernetes v$KUBERNETES_VERSION\$" "$real_dir/kubernetes/go.mod" || fail "go.mod is not at Kubernetes $KUBERNETES_VERSION"
  grep -q "go.etcd.io/etcd/server/v3 v$ETCD_VERSION\$" "$real_dir/kubernetes/go.mod" || fail "go.mod is not at etcd $ETCD_VERSION"
  export GOTOOLCHAIN=local GOWORK=off GOFLAGS=
  cd "$real_dir/kubernetes"
  # Without grpcnotrace the linker keeps every method of every type, and links twice as long.
  compile() { "$go" build -mod=readonly -buildvcs=false -tags grpcnotrace -ldflags "-s -w $3" -o "$out/$1" "$2" || fail "$1 did not build"; }
  compile etcd go.etcd.io/etcd/server/v3 ''
  # An API server without a version of its own refuses every feature that has an age.
  local stamp="-X $version.gitVersion=v$KUBERNETES_VERSION"
  stamp+=" -X $version.gitMajor=${KUBERNETES_VERSION%%.*} -X $version.gitMinor=$(cut -d. -f2 <<<"$KUBERNETES_VERSION")"
  compile kube-apiserver k8s.io/kubernetes/cmd/kube-apiserver "$stamp"
  compile kube-controller-manager k8s.io/kubernetes/cmd/kube-controller-manager "$stamp"
}

install_once "kubernetes-$KUBERNETES_VERSION-etcd-$ETCD_VERSION" build
