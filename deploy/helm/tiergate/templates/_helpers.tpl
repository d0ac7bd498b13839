{{- define "tiergate.labels" -}}
app.kubernetes.io/name: tiergate
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{/* Of objects of one program: (dict "root" $ "component" "issuer") */}}
{{- define "tiergate.componentLabels" -}}
{{ include "tiergate.labels" .root }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "tiergate.selector" -}}
app.kubernetes.io/name: tiergate
app.kubernetes.io/component: {{ . }}
{{- end }}

{{- define "tiergate.image" -}}
{{- $tag := .Values.image.tag | default .Chart.AppVersion -}}
{{- .Values.image.repository }}{{ ternary "@" ":" (hasPrefix "sha256:" $tag) }}{{ $tag }}
{{- end }}

{{/* Whether the process file opens the HTTP door: some text if it does. */}}
{{- define "tiergate.httpDoor" -}}
{{- if hasKey (dig "listeners" dict .Values.config) "http" }}yes{{ end }}
{{- end }}

{{- define "tiergate.policyNamespace" -}}
{{- .Values.policy.namespace | default .Release.Namespace }}
{{- end }}

{{/* The process file of authorizer and issuer: what the values say, and over it `config`. */}}
{{- define "tiergate.config" -}}
{{- $secrets := "/etc/tiergate/secrets" -}}
{{- $redis := dict "keySecretFile" (printf "%s/%s" $secrets .Values.redis.keySecretKey) -}}
{{- with .Values.redis.url }}{{ $_ := set $redis "url" . }}{{ end -}}
{{- with .Values.redis.usernameKey }}{{ $_ := set $redis "usernameFile" (printf "%s/%s" $secrets .) }}{{ end -}}
{{- with .Values.redis.passwordKey }}{{ $_ := set $redis "passwordFile" (printf "%s/%s" $secrets .) }}{{ end -}}
{{- $issuer := dict "trustedProxies" .Values.gateway.trust -}}
{{- if .Values.issuer.createNamespaces }}{{ $_ := set $issuer "createNamespaces" true }}{{ end -}}
{{- $made := dict
  "instance" .Values.instance
  "listeners" (dict "grpc" (dict "trust" (concat (list "127.0.0.0/8" "::1") .Values.gateway.trust)))
  "check" (dict "deadline" "800ms")
  "limits" (dict "expectedReplicas" .Values.authorizer.autoscaling.maxReplicas)
  "redis" $redis
  "issuer" $issuer -}}
{{- $policy := dict -}}
{{- with .Values.policy.namespace }}{{ $_ := set $policy "namespace" . }}{{ end -}}
{{- if ne .Values.policy.name "tier-to-group-mapping" }}{{ $_ := set $policy "name" .Values.policy.name }}{{ end -}}
{{- with $policy }}{{ $_ := set $made "policy" (dict "configMap" .) }}{{ end -}}
{{- mergeOverwrite $made (deepCopy .Values.config) | toYaml }}
{{- end }}

{{- define "tiergate.registrarConfig" -}}
{{- dict "limits" (dict "store" "memory") "registrar" .Values.registrar.config | toYaml }}
{{- end }}

{{/* What every pod of ours has: (dict "root" $ "component" "issuer" "values" .Values.issuer "config" NAME "secret" NAME "file" NAME "container" TEXT) */}}
{{- define "tiergate.podTemplate" -}}
metadata:
  annotations:
    checksum/config: {{ .configText | sha256sum }}
    {{- with .values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  labels:
    {{- include "tiergate.selector" .component | nindent 4 }}
    {{- if ne .component "registrar" }}
    sidecar.istio.io/inject: "false"
    {{- end }}
spec:
  serviceAccountName: tiergate-{{ .component }}
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ .graceSeconds }}
  {{- with .root.Values.image.pullSecrets }}
  imagePullSecrets:
    {{- range . }}
    - name: {{ . }}
    {{- end }}
  {{- end }}
  {{- with .values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with .values.nodeSelector }}
  nodeSelector: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .values.tolerations }}
  tolerations: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .values.affinity }}
  affinity: {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext: {{- toYaml .root.Values.podSecurityContext | nindent 4 }}
  {{- if ne .component "registrar" }}
  topologySpreadConstraints:
    {{- $selector := include "tiergate.selector" .component }}
    {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
    - maxSkew: 1
      topologyKey: {{ . }}
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels: {{- $selector | nindent 10 }}
    {{- end }}
  {{- end }}
  containers:
    - name: {{ .component }}
      image: {{ include "tiergate.image" .root }}
      imagePullPolicy: {{ .root.Values.image.pullPolicy }}
      args: [{{ .component }}, --config, /etc/tiergate/config/{{ .file }}]
      env:
        - {name: NODE_OPTIONS, value: --max-old-space-size={{ .values.maxOldSpaceMiB }}}
      ports:
        {{- range .ports }}
        - {name: {{ .name }}, containerPort: {{ .port }}, protocol: TCP}
        {{- end }}
      {{- if eq .component "issuer" }}
      lifecycle:
        preStop:
          sleep: {seconds: 5}
      {{- end }}
      livenessProbe:
        httpGet: {path: /livez, port: ops}
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 6
      readinessProbe:
        httpGet: {path: /readyz, port: ops}
        {{- if eq .component "registrar" }}
        periodSeconds: 10
        timeoutSeconds: 2
        {{- else }}
        periodSeconds: 5
        timeoutSeconds: 2
        failureThreshold: 2
        {{- end }}
      resources: {{- toYaml .values.resources | nindent 8 }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: {drop: [ALL]}
      volumeMounts:
        - {name: config, mountPath: /etc/tiergate/config, readOnly: true}
        - {name: secrets, mountPath: /etc/tiergate/secrets, readOnly: true}
  volumes:
    - name: config
      configMap: {name: {{ .configMap }}}
    - name: secrets
      secret: {secretName: {{ .secretName }}, defaultMode: 288}
{{- end }}

{{- define "tiergate.disruptionBudget" -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: tiergate-{{ .component }}
  namespace: {{ .root.Release.Namespace }}
  labels: {{- include "tiergate.componentLabels" . | nindent 4 }}
spec:
  maxUnavailable: 1
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels: {{- include "tiergate.selector" .component | nindent 6 }}
{{- end }}
