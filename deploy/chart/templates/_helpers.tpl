{{- define "callsheet.labels" -}}
app.kubernetes.io/name: callsheet
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}
