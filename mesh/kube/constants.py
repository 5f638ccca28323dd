"""Names of the Kubernetes API, Pulumi and Linkerd that several packages use."""

from __future__ import annotations

# Pulumi's annotation for the field manager of an object.
FIELD_MANAGER_ANNOTATION = "pulumi.com/patchFieldManager"
# ID of the stack that owns an object (`mesh.stack_identity`).
STACK_ID_ANNOTATION = "multicluster-mesh/stack-id"
# End of the name of the field manager that annotates namespaces of other owners.
NAMESPACE_MANAGER_SUFFIX = "namespace"
# UID of the cluster that an object was created on (`mesh.kube.cluster_uid`).
CLUSTER_UID_ANNOTATION = "multicluster-mesh/cluster-uid"
CRDS_PATH = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"

# Annotation of a node of kwok, whose pods are only objects; label of such nodes in a lab that runs their pods.
SIMULATED_NODE_ANNOTATION = "kwok.x-k8s.io/node"
RUNS_PODS_LABEL = "multicluster-mesh/runs-pods"

# Annotations of Linkerd's proxy injector: https://linkerd.io/2/reference/proxy-configuration/.
INJECT_ANNOTATION = "linkerd.io/inject"
PROXY_CONFIG_PREFIX = "config.linkerd.io/"

MULTICLUSTER_NAMESPACE = "linkerd-multicluster"
LINK_GROUP = "multicluster.linkerd.io"
# Labels of Linkerd's service mirror: https://linkerd.io/2/reference/multicluster/.
EXPORTED_LABEL = "mirror.linkerd.io/exported"
FEDERATED_LABEL = "mirror.linkerd.io/federated"
CLUSTER_NAME_LABEL = "mirror.linkerd.io/cluster-name"
MIRRORED_SERVICE_LABEL = "mirror.linkerd.io/mirrored-service"
# Label of a mirror without a gateway; annotation of a federated service, with its members from other clusters.
REMOTE_DISCOVERY = "multicluster.linkerd.io/remote-discovery"
# Annotation of a federated service, with its member from the same cluster.
LOCAL_DISCOVERY = "multicluster.linkerd.io/local-discovery"
REMOTE_KUBECONFIG_TYPE = "mirror.linkerd.io/remote-kubeconfig"  # type of the Secret with a link's credentials

# Annotation of a load balancer's Service for readers and policies: `public` or `none`.
EXPOSURE_ANNOTATION = "multicluster-mesh/exposure"
RESOURCE_POLICY_ANNOTATION = "helm.sh/resource-policy"  # `keep`: Helm does not delete the object with its release
