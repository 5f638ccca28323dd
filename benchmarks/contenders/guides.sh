#!/usr/bin/env bash
# The commands in Linkerd's guides: Helm for Linkerd, Linkerd's CLI for the links, kubectl for podinfo.
#   https://linkerd.io/2.14/tasks/install-helm/
#   https://linkerd.io/2.14/tasks/installing-multicluster/
#   https://linkerd.io/2.14/tasks/multicluster/
# Helm waits where the guides ask the reader to check the result.
set -euo pipefail
# shellcheck source=common.sh
source "$(dirname "$0")/common.sh"

prepare() {
  helm repo add linkerd "$CHARTS"
}

install_linkerd() {
  helm install linkerd-crds linkerd/linkerd-crds --version "$CRDS" --kube-context "$1" \
    --namespace linkerd --create-namespace --wait
  helm install linkerd-control-plane linkerd/linkerd-control-plane --version "$CONTROL_PLANE" --kube-context "$1" \
    --namespace linkerd --wait \
    --set-file identityTrustAnchorsPEM="$WORK/ca.crt" \
    --set-file identity.issuer.tls.crtPEM="$WORK/issuer.crt" \
    --set-file identity.issuer.tls.keyPEM="$WORK/issuer.key"
}

install_multicluster() {
  helm install linkerd-multicluster linkerd/linkerd-multicluster --version "$MULTICLUSTER" --kube-context "$1" \
    --namespace linkerd-multicluster --create-namespace --wait
}

install() {
  install_linkerd "$1"
  install_multicluster "$1"
  podinfo "$1"
}

up() {
  certificates
  if [[ -n $CONCURRENTLY ]]; then
    each install
    each_pair link
  else
    each install_linkerd
    each install_multicluster
    each_pair link
    each podinfo
  fi
}

# https://linkerd.io/2.14/tasks/uninstall-multicluster/ and https://linkerd.io/2.14/tasks/uninstall/; `helm uninstall`
# replaces `linkerd uninstall`, and leaves the namespaces.
uninstall() {
  helm uninstall linkerd-multicluster --kube-context "$1" --namespace linkerd-multicluster
  kubectl --context "$1" delete namespace linkerd-multicluster
  helm uninstall linkerd-control-plane --kube-context "$1" --namespace linkerd
  helm uninstall linkerd-crds --kube-context "$1" --namespace linkerd
  kubectl --context "$1" delete namespace linkerd
}

"$1"
