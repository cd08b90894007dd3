# shellcheck shell=bash disable=SC2034 # variables are for whoever sources this
# Functions that the scripts of this folder share; to be sourced by bash.
#
# program and kwok_program build what is missing and print where it is. What is built is kept in the user's
# cache, under a hash of all it is made from, so that it is built once on a machine until something of it changes.

KUBERNETES_VERSION=1.34.4
tests_kubernetes=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
go_module=$tests_kubernetes/go

say() {
    printf '%s\n' "$*" >&2
}

die() {
    say "$@"
    exit 1
}

# The state directory of up and down when none is given.
state_directory=${TMPDIR:-/tmp}/muster-kubernetes

# The program that a running set was started with, as long as it is there: ending one must not wait for a build.
program_of() { # arguments with --dir DIR or --dir=DIR among them
    local directory=$state_directory previous='' argument found
    for argument in "$@"; do
        case $previous in --dir | -dir) directory=$argument ;; esac
        case $argument in --dir=* | -dir=*) directory=${argument#*=} ;; esac
        previous=$argument
    done
    found=$(head -qn1 "$directory"/*/etcd.args 2>/dev/null | head -n1)
    if [ -x "$found" ]; then
        printf '%s\n' "$found"
    else
        program
    fi
}

# True as root; the kubelet's tier and apt need it.
is_root() {
    [ "$(id -u)" = 0 ]
}

# Installs the Debian packages that are missing. Status 1, with a message, when that cannot be.
install_packages() { # package...
    local missing=() package
    for package in "$@"; do
        dpkg-query --show --showformat='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
    done
    [ ${#missing[@]} = 0 ] && return
    if ! is_root; then
        say "missing packages: ${missing[*]}; install them (apt-get install ${missing[*]}), or run this as root"
        return 1
    fi
    say "installing ${missing[*]}"
    # Somebody else may be installing right now, and a mirror may fail once.
    local options=(-qq -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3)
    apt-get update "${options[@]}" >&2 &&
        DEBIAN_FRONTEND=noninteractive apt-get install "${options[@]}" -y --no-install-recommends "${missing[@]}" >&2
}

# Folder of the built programs. Tests are no part of them, and neither is what kwok is told to do.
program_directory() {
    local hash
    hash=$(cd "$tests_kubernetes" && {
        printf '%s\n' "${go_flags[@]}" "$(kubernetes_ldflags)"
        find go kwok -type f \( -name '*.go' -o -name 'go.*' \) ! -name '*_test.go' -print0 | LC_ALL=C sort -z | xargs -0 sha256sum
    } | sha256sum)
    printf '%s/muster/%s\n' "${XDG_CACHE_HOME:-$HOME/.cache}" "${hash:0:20}"
}

# Not stamped with the revision of the work tree, or each commit would link anew. No provider of clouds.
go_flags=(-buildvcs=false -tags providerless)

# Without its version a server calls itself v0.0.0, and checks of version skew fail.
kubernetes_ldflags() {
    local version=k8s.io/component-base/version clients=k8s.io/client-go/pkg/version
    printf -- '-s -w -X %s.gitVersion=v%s -X %s.gitMajor=%s -X %s.gitMinor=%s -X %s.gitVersion=v%s -X %s.gitCommit=muster' \
        $version $KUBERNETES_VERSION $version "$(cut -d. -f1 <<<$KUBERNETES_VERSION)" $version "$(cut -d. -f2 <<<$KUBERNETES_VERSION)" \
        $clients $KUBERNETES_VERSION $clients
}

need_go() {
    local needed
    needed=$(sed -n 's/^go //p' "$go_module/go.mod")
    command -v go >/dev/null || {
        say "Go $needed or later is needed to build Kubernetes for these tests and is not on PATH: install it from https://go.dev/dl/"
        return 1
    }
    # With GOTOOLCHAIN=local an older Go only says no later, at length; otherwise it fetches the one it needs.
    local found
    found=$(cd / && go env GOVERSION)
    if [ "$(printf '%s\n' "go$needed" "$found" | sort -V | head -n1)" != "go$needed" ] && [ "$(go env GOTOOLCHAIN)" = local ]; then
        say "Go $needed or later is needed to build Kubernetes for these tests, and this is $found: install it from https://go.dev/dl/"
        return 1
    fi
}

# Builds one program unless it is there. Of two that want it at once, one waits; a program appears whole or not at all.
build_program() { # name, module folder, package, ldflags, how long it takes
    local name=$1 module=$2 package=$3 ldflags=$4 long=$5 directory lock
    directory=$(program_directory) || return
    if [ ! -x "$directory/$name" ]; then
        need_go || return
        mkdir -p "$directory" || return
        exec {lock}>"$directory/$name.lock"
        flock "$lock"
        if [ ! -x "$directory/$name" ]; then
            say "building $name ($long when nothing is cached)"
            (cd "$tests_kubernetes/$module" && CGO_ENABLED=0 GOFLAGS=-mod=readonly GOWORK=off nice go build "${go_flags[@]}" \
                -ldflags "$ldflags" -o "$directory/$name.new" "$package") >&2 || { exec {lock}>&-; return 1; }
            # By the name of a link the program is that component: people and tests expect a kubectl.
            [ "$name" != kubernetes ] || ln -sf kubernetes "$directory/kubectl"
            mv "$directory/$name.new" "$directory/$name"
        fi
        exec {lock}>&-
    fi
    printf '%s\n' "$directory/$name"
}

# Prints the path of the program that holds etcd, Kubernetes and kubectl, by first argument.
program() {
    build_program kubernetes go . "$(kubernetes_ldflags)" '8 minutes on two cores'
}

kwok_program() {
    build_program kwok kwok sigs.k8s.io/kwok/cmd/kwok '-s -w' '2 minutes on two cores'
}
