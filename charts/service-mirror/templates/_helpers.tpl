{{- define "service-mirror.name" -}}
linkerd-service-mirror-{{ .Values.target }}
{{- end }}

{{- define "service-mirror.labels" -}}
linkerd.io/extension: multicluster
component: service-mirror
mirror.linkerd.io/cluster-name: {{ .Values.target }}
{{- end }}

{{- /* Selects the pods; Linkerd's own commands find them by the same labels. */}}
{{- define "service-mirror.selector" -}}
component: linkerd-service-mirror
mirror.linkerd.io/cluster-name: {{ .Values.target }}
{{- end }}
