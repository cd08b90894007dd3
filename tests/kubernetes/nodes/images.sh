# shellcheck shell=bash disable=SC2154 # variables are lib.sh's
# Images made of files, without a registry; to be sourced by bash after lib.sh.

# Prints the path of the pause program: what holds a pod's namespaces, from its source in the Kubernetes module.
pause_program() {
    local directory source
    directory=$(program_directory) || return
    if [ ! -x "$directory/pause" ]; then
        need_go || return
        mkdir -p "$directory"
        source=$(cd "$go_module" && GOFLAGS=-mod=readonly go mod download -json k8s.io/kubernetes |
            sed -n 's/^[[:space:]]*"Dir": "\(.*\)",*$/\1/p') || return
        gcc -Os -static -s -DVERSION=muster -o "$directory/pause.new" "$source/build/pause/linux/pause.c" >&2 || return
        mv "$directory/pause.new" "$directory/pause"
    fi
    printf '%s\n' "$directory/pause"
}

pause_image() { # program, file to write
    local pause
    pause=$(pause_program) || return
    "$1" image "$2" --tag muster.test/pause:1 --file "$pause:/pause" --entry /pause >/dev/null
}

# The example game server's images: two versions of the server, a second tag of the second version, two versions of the
# sidecar. A version is a variable in the image, so that versions differ in their digest and share their layer.
game_images() { # program, folder to write to
    local binary version
    binary=$("$tests_kubernetes/../../examples/gameserver/build") || return
    mkdir -p "$2"
    game_image "$1" "$2/v1.tar" v1 --tag muster.test/gameserver:v1
    game_image "$1" "$2/v2.tar" v2 --tag muster.test/gameserver:v2 --tag muster.test/gameserver:v2-same
    for version in v1 v2; do
        game_image "$1" "$2/sidecar-$version.tar" "$version" --tag "muster.test/gameserver-sidecar:$version" --arg sidecar
    done
}

game_image() { # program, file to write, version, flags of image...
    local program=$1 file=$2 version=$3
    shift 3
    "$program" image "$file" --file "$binary:/gameserver" --entry /gameserver \
        --env "GAMESERVER_VERSION=$version" --user 65532:65532 "$@" >/dev/null
}
