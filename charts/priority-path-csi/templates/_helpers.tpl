{{/* Names, labels and the parts that both DaemonSets have in common. */}}

{{- define "priority-path.driver" -}}iscsi.prioritypath.io{{- end }}

{{- define "priority-path.fullname" -}}
{{- $name := default "priority-path" .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{/* Never change for the life of a release: DaemonSets' selectors are immutable. */}}
{{- define "priority-path.selectorLabels" -}}
app.kubernetes.io/name: {{ default "priority-path" .Values.nameOverride }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Of objects, not of pods: with the version in it, every release would be a new pod template. */}}
{{- define "priority-path.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "priority-path.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "priority-path.csiServiceAccount" -}}
{{- default (printf "%s-csi" (include "priority-path.fullname" .)) .Values.serviceAccounts.csi.name -}}
{{- end }}

{{- define "priority-path.pathdServiceAccount" -}}
{{- default (printf "%s-pathd" (include "priority-path.fullname" .)) .Values.serviceAccounts.pathd.name -}}
{{- end }}

{{- define "priority-path.image" -}}
{{- $tag := default .Chart.AppVersion .Values.image.tag -}}
{{- .Values.image.repository }}:{{ $tag }}
{{- with .Values.image.digest }}@{{ . }}{{ end -}}
{{- end }}

{{/* What any pod of the chart needs to find the API server where there is no kube-proxy. */}}
{{- define "priority-path.apiServerEnv" -}}
{{- with .Values.kubernetes.apiServer }}
{{- if .host }}
- name: KUBERNETES_SERVICE_HOST
  value: {{ .host | quote }}
- name: KUBERNETES_SERVICE_PORT
  value: {{ .port | quote }}
{{- end }}
{{- end }}
{{- end }}

{{/* Of the pods that ask with Node's own fetch: the account of the pod, and the authority to trust. */}}
{{- define "priority-path.askingEnv" -}}
- name: TOKEN_FILE
  value: /var/run/secrets/kubernetes.io/serviceaccount/token
- name: NODE_EXTRA_CA_CERTS
  value: /var/run/secrets/kubernetes.io/serviceaccount/ca.crt
{{- include "priority-path.apiServerEnv" . }}
{{- end }}

{{/* Policy values that are not the set's, as JSON: {"policy":"fast","no-path-timeout":"30s"}. */}}
{{- define "priority-path.policyDefaults" -}}
{{- $values := dict "policy" .Values.policy.set -}}
{{- range $name, $value := .Values.policy.parameters -}}
{{- $text := kindIs "string" $value | ternary (toString $value) (toJson $value) -}}
{{- if ne $text "" -}}
{{- $_ := set $values $name $text -}}
{{- end -}}
{{- end -}}
{{- toJson $values -}}
{{- end }}

{{/* Placement of both DaemonSets. */}}
{{- define "priority-path.placement" -}}
priorityClassName: {{ .Values.priorityClassName }}
nodeSelector:
  kubernetes.io/os: linux
{{- with .Values.nodeSelector }}
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{/* Mounts of both. /dev: devices appear while the pod runs, a privileged pod's own copy is of its
     start. /run/mount: mount(8) wants to write there, and the root filesystem is read-only. */}}
{{- define "priority-path.mounts" -}}
- name: dev
  mountPath: /dev
- name: run
  mountPath: {{ .Values.runDir }}
- name: scratch
  mountPath: /tmp
  subPath: tmp
- name: scratch
  mountPath: /run/mount
  subPath: run-mount
{{- end }}

{{- define "priority-path.volumes" -}}
- name: dev
  hostPath:
    path: /dev
    type: Directory
- name: run
  hostPath:
    path: {{ .Values.runDir }}
    type: DirectoryOrCreate
- name: scratch
  emptyDir: {}
{{- end }}

{{/* A container that only asks the API server something. */}}
{{- define "priority-path.harmlessContainer" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
resources:
  requests:
    cpu: 10m
    memory: 64Mi
  limits:
    memory: 256Mi
terminationMessagePolicy: FallbackToLogsOnError
{{- end }}

{{- define "priority-path.harmlessPod" -}}
restartPolicy: Never
securityContext:
  runAsNonRoot: true
  runAsUser: 65534
  runAsGroup: 65534
  seccompProfile:
    type: RuntimeDefault
tolerations:
  - operator: Exists
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{/* What no schema can say. */}}
{{- define "priority-path.check" -}}
{{- $weights := .Values.topology.weights -}}
{{- $largest := max (int $weights.sameRack) (int $weights.sameRoom) (int $weights.otherRoom) -}}
{{- $smallest := min (int $weights.sameRack) (int $weights.sameRoom) (int $weights.otherRoom) -}}
{{- if ge $largest (mul 2 $smallest | int) -}}
{{- fail (printf "topology.weights: the largest (%d) must be less than twice the smallest (%d), or a path that has just failed would still be the heaviest" $largest $smallest) -}}
{{- end -}}
{{- include "priority-path.checkPolicy" . -}}
{{- if le (int .Values.pathd.terminationGracePeriodSeconds) (int .Values.pathd.stopTimeoutSeconds) -}}
{{- fail "pathd.terminationGracePeriodSeconds must be longer than pathd.stopTimeoutSeconds" -}}
{{- end -}}
{{- if gt (int .Values.csi.maxVolumesPerNode) (int .Values.pathd.maxVolumes) -}}
{{- fail "csi.maxVolumesPerNode is larger than pathd.maxVolumes: pods would be placed that cannot start" -}}
{{- end -}}
{{- with .Values.admissionPolicy.keys -}}
{{- if and .enabled (not .users) (not .groups) -}}
{{- fail "admissionPolicy.keys names no account: no account could change a path any more" -}}
{{- end -}}
{{- end -}}
{{- if .Values.namespace.checkPodSecurity -}}
{{- $namespace := lookup "v1" "Namespace" "" .Release.Namespace -}}
{{- $level := dig "metadata" "labels" "pod-security.kubernetes.io/enforce" "privileged" $namespace -}}
{{- if ne $level "privileged" -}}
{{- fail (printf "namespace %s admits no privileged pods: kubectl label --overwrite namespace %s pod-security.kubernetes.io/enforce=privileged" .Release.Namespace .Release.Namespace) -}}
{{- end -}}
{{- end -}}
{{- end }}
