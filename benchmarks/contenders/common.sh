# Shared functions. Inputs: CLUSTERS, WORK, NAMESPACE, and CONCURRENTLY (not empty: work on all clusters at the same time).

# Run a step on every cluster: one after the other as in the guides, or on all at once.
each() {
  local cluster started=()
  for cluster in $CLUSTERS; do
    if [[ -n $CONCURRENTLY ]]; then
      "$@" "$cluster" &
      started+=($!)
    else
      "$@" "$cluster"
    fi
  done
  finish ${started[@]+"${started[@]}"}
}

# Run a step on every pair of source and target.
each_pair() {
  local source target started=()
  for source in $CLUSTERS; do
    for target in $CLUSTERS; do
      [[ $source != "$target" ]] || continue
      if [[ -n $CONCURRENTLY ]]; then
        "$@" "$source" "$target" &
        started+=($!)
      else
        "$@" "$source" "$target"
      fi
    done
  done
  finish ${started[@]+"${started[@]}"}
}

finish() {
  local pid
  for pid in "$@"; do wait "$pid"; done
}

# As in https://linkerd.io/2.14/tasks/generate-certificates/, with openssl instead of step.
certificates() {
  cd "$WORK"
  openssl ecparam -name prime256v1 -genkey -noout -out ca.key
  openssl req -x509 -new -sha256 -key ca.key -days 3650 -subj /CN=root.linkerd.cluster.local -out ca.crt \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign
  openssl ecparam -name prime256v1 -genkey -noout -out issuer.key
  openssl req -new -sha256 -key issuer.key -subj /CN=identity.linkerd.cluster.local -out issuer.csr
  printf '%s\n' basicConstraints=critical,CA:TRUE,pathlen:0 keyUsage=critical,keyCertSign,cRLSign >issuer.ext
  openssl x509 -req -sha256 -in issuer.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 365 -extfile issuer.ext \
    -out issuer.crt
}

link() {
  linkerd --context "$2" multicluster link --cluster-name "$2" | kubectl --context "$1" apply -f -
}

unlink() {
  linkerd --context "$1" multicluster unlink --cluster-name "$2" | kubectl --context "$1" delete -f -
}

podinfo() {
  kubectl --context "$1" apply -f "$WORK/podinfo-$1.json"
}

no_podinfo() {
  kubectl --context "$1" delete namespace "$NAMESPACE"
}

# Set the labels that hook Jobs and the CLI would set for Linkerd's checks, because the lab's pods run nothing.
label_namespaces() {
  kubectl --context "$1" label --overwrite namespace linkerd-multicluster linkerd.io/extension=multicluster
  kubectl --context "$1" label --overwrite namespace linkerd linkerd.io/is-control-plane=true \
    linkerd.io/control-plane-ns=linkerd config.linkerd.io/admission-webhooks=disabled
}

# Each script defines `uninstall`, which deletes from a cluster all that the script has installed there.
down() {
  each no_podinfo
  each_pair unlink
  each uninstall
}

label() {
  each label_namespaces
}
