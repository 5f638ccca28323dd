#!/usr/bin/env bash
# helmfile for the Helm releases, in parallel where `needs` permits; the guides' commands for everything else.
set -euo pipefail
# shellcheck source=common.sh
source "$(dirname "$0")/common.sh"
export HELMFILE_FILE_PATH
HELMFILE_FILE_PATH=$(dirname "$0")/helmfile.yaml.gotmpl

prepare() {
  certificates
  helmfile repos
}

up() {
  certificates
  helmfile sync --skip-deps
  each_pair link
  each podinfo
}

namespaces() {
  kubectl --context "$1" delete namespace linkerd linkerd-multicluster
}

down() {
  each no_podinfo
  each_pair unlink
  helmfile destroy --skip-deps
  each namespaces
}

"$1"
