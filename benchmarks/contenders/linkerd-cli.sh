#!/usr/bin/env bash
# Linkerd's CLI and kubectl only.
#   https://linkerd.io/2.14/tasks/install/
#   https://linkerd.io/2.14/tasks/multicluster/
set -euo pipefail
# shellcheck source=common.sh
source "$(dirname "$0")/common.sh"

prepare() {
  :
}

install_linkerd() {
  linkerd --context "$1" install --crds | kubectl --context "$1" apply -f -
  linkerd --context "$1" install \
    --identity-trust-anchors-file "$WORK/ca.crt" \
    --identity-issuer-certificate-file "$WORK/issuer.crt" \
    --identity-issuer-key-file "$WORK/issuer.key" | kubectl --context "$1" apply -f -
}

install_multicluster() {
  linkerd --context "$1" multicluster install | kubectl --context "$1" apply -f -
}

# Instead of `linkerd check` and `linkerd multicluster check`, which take seconds and are not part of the comparison.
wait_for() {
  kubectl --context "$1" --namespace linkerd rollout status deployment
  kubectl --context "$1" --namespace linkerd-multicluster rollout status deployment/linkerd-gateway
  kubectl --context "$1" --namespace linkerd-multicluster wait service/linkerd-gateway --timeout=5m \
    --for=jsonpath='{.status.loadBalancer.ingress}'
}

install() {
  install_linkerd "$1"
  install_multicluster "$1"
  podinfo "$1"
  wait_for "$1"
}

up() {
  certificates
  if [[ -n $CONCURRENTLY ]]; then
    each install
    each_pair link
  else
    each install_linkerd
    each install_multicluster
    each wait_for
    each_pair link
    each podinfo
  fi
}

# https://linkerd.io/2.14/tasks/uninstall-multicluster/ and https://linkerd.io/2.14/tasks/uninstall/
uninstall() {
  linkerd --context "$1" multicluster uninstall | kubectl --context "$1" delete -f -
  linkerd --context "$1" uninstall | kubectl --context "$1" delete -f -
}

"$1"
