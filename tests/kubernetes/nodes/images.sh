# shellcheck shell=bash
# Images made of files, without a registry. Sourced; needs lib.sh and $program.

# The pause image, from the source in the Kubernetes module.
pause_image() { # file to write
    local source folder
    source=$(cd "$here/go" && go list -m -f '{{.Dir}}' k8s.io/kubernetes)/build/pause/linux/pause.c
    folder=$(mktemp -d)
    gcc -Os -static -s -DVERSION=muster -o "$folder/pause" "$source"
    "$program" image "$1" --tag muster.test/pause:1 --file "$folder/pause:/pause" --entry /pause >/dev/null
    rm -r "$folder"
}

# The example game server's images: two versions of the server, a third name for the second, two versions of the sidecar.
# A version is a variable in the image, so that versions differ in their digest and share their layer.
game_images() { # folder to write to
    local binary version
    binary=$("$here/../../examples/gameserver/build")
    mkdir -p "$1"
    game_image "$1/v1.tar" v1 --tag muster.test/gameserver:v1
    game_image "$1/v2.tar" v2 --tag muster.test/gameserver:v2 --tag muster.test/gameserver:v2-same
    for version in v1 v2; do
        game_image "$1/sidecar-$version.tar" "$version" --tag "muster.test/gameserver-sidecar:$version" --arg sidecar
    done
}

game_image() { # file, version, flags of image...
    local file=$1 version=$2
    shift 2
    "$program" image "$file" --file "$binary:/gameserver" --entry /gameserver \
        --env "GAMESERVER_VERSION=$version" --user 65532:65532 "$@" >/dev/null
}
