"""Constants of Pulumi's wire format: type tokens, and signatures of special values."""

from __future__ import annotations

STACK_TYPE = "pulumi:pulumi:Stack"
KUBERNETES_PROVIDER_TYPE = "pulumi:providers:kubernetes"
HELM_RELEASE_TYPE = "kubernetes:helm.sh/v3:Release"
SERVICE_EXPORT_TYPE = "pulumi-python:dynamic/multicluster-mesh:ServiceExport"
OBJECT_METADATA_TYPE = "pulumi-python:dynamic/multicluster-mesh:ObjectMetadata"

# From https://github.com/pulumi/pulumi/blob/master/sdk/go/common/resource/sig/sig.go and plugin/rpc.go.
SIGNATURE_KEY = "4dabf18193072939515e22adb298388d"  # key of a mapping that represents a special value
SECRET_SIGNATURE = "1b47061264138c4ac30d75fd1eb44270"
OUTPUT_SIGNATURE = "d0e6a833031e9bbcd3f4e8bde6ca49a4"
UNKNOWN_VALUE = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"  # replaces a value that is unknown until the update
