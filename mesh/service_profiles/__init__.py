"""Routes of ServiceProfiles from OpenAPI documents and .proto files, as `linkerd profile` generates them.

Linkerd's CLI is the reference: https://linkerd.io/2/reference/cli/profile/. Documents that it silently misreads, for
example with an invalid timeout, are errors here. Nothing here depends on Pulumi.
"""
