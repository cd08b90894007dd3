# shellcheck shell=bash disable=SC2034 # variables are for whoever sources this
# What up and down share; to be sourced by bash.

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# Certificates, the kubeconfig, and notes of what was made. Ignored by git.
# Absolute: what uses it changes directories.
state=$(realpath -m -- "${MUSTER_KIND_STATE:-$repository/.muster/kind}")
members=(shanghai-cluster nanjing-cluster)
clusters=(hub "${members[@]}")
export KUBECONFIG=$state/kubeconfig

say() {
    printf '%s\n' "$*" >&2
}

die() {
    say "$@"
    exit 1
}

# Fails with one message that names everything that is missing.
need() { # command...
    local command missing=''
    for command in "$@"; do
        command -v "$command" >/dev/null && continue
        case $command in
        docker) missing+='  docker: https://docs.docker.com/engine/install/'$'\n' ;;
        kind) missing+='  kind: https://kind.sigs.k8s.io/docs/user/quick-start/#installation'$'\n' ;;
        kubectl) missing+='  kubectl: https://kubernetes.io/docs/tasks/tools/'$'\n' ;;
        *) missing+="  $command: a package of your system"$'\n' ;;
        esac
    done
    [ -z "$missing" ] || die "needed and not on PATH:"$'\n'"${missing%$'\n'}"
    docker info >/dev/null 2>&1 || die "docker does not answer: $(docker info 2>&1 | tail -n 1)"
}

# Whether a cluster of these is there.
exists() { # name
    # Read whole: a grep that stops early would end kind by a signal.
    grep -x "muster-$1" <<<"$(kind get clusters 2>/dev/null)" >/dev/null
}
