{{- define "service-mirror.name" -}}
linkerd-service-mirror-{{ .Values.target }}
{{- end }}

{{- define "service-mirror.labels" -}}
linkerd.io/extension: multicluster
component: service-mirror
mirror.linkerd.io/cluster-name: {{ .Values.target }}
{{- end }}

{{- /* Labels of the pods. Linkerd's CLI selects the pods by these labels. */}}
{{- define "service-mirror.selector" -}}
component: linkerd-service-mirror
mirror.linkerd.io/cluster-name: {{ .Values.target }}
{{- end }}
