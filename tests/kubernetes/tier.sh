# shellcheck shell=bash disable=SC2034 # variables are for whoever sources this
# What the scripts in tiers/ share; to be sourced by bash. A tier brings up what it needs, plays its tests, and ends with
# the line `N passed, N failed, N skipped`. It ends what it started however it ends.

source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
repository=$(cd "$tests_kubernetes/../.." && pwd)

# Where `run` reads how the tier went; a tier may also be run by itself.
tier_result=${MUSTER_TIER_RESULT:-/dev/null}

# Commands for the end, the last one first.
at_end=()
finish() {
    local status=$? index
    trap '' INT TERM HUP
    for ((index = ${#at_end[@]} - 1; index >= 0; index--)); do
        eval "${at_end[index]}" || status=1
    done
    exit "$status"
}
trap finish EXIT
# Without these a signal would end bash before a pipeline that runs is over, and the end above with it.
trap 'exit 130' INT
trap 'exit 143' TERM HUP

scratch=$(mktemp -d "${TMPDIR:-/tmp}/muster-tier-XXXXXX")
at_end+=("rm -rf '$scratch'")

# Starts control planes, as `up` does, for as long as the tier runs, and sets kubeconfig and kubernetes (the program).
control_planes() { # arguments of up, but for --dir
    kubernetes=$(program) || exit 1
    at_end+=('end_control_planes')
    kubeconfig=$("$tests_kubernetes/up" --dir "$scratch/planes" "$@") || exit 1
}

end_control_planes() {
    # Why something failed is often in these logs, and the scratch folder goes.
    if [ "${MUSTER_KEEP_LOGS:-}" ]; then
        mkdir -p "$MUSTER_KEEP_LOGS" && (cd "$scratch/planes" && find . -name '*.log' -exec cp --parents {} "$MUSTER_KEEP_LOGS" \;)
    fi
    "$tests_kubernetes/down" --dir "$scratch/planes"
}

# The tier's last words.
report() { # passed, failed, skipped
    printf '%d passed, %d failed, %d skipped\n' "$1" "$2" "$3"
    printf '%d %d %d\n' "$1" "$2" "$3" >"$tier_result"
    [ "$2" = 0 ] && [ "$3" = 0 ]
}

# The tier cannot be played here.
skip_tier() { # reason
    say "skipped: $*"
    report 0 0 1
    exit 1
}

# Plays a command whose last line is the summary of a tier.
play_counted() { # command...
    local status=0 line counts
    "$@" 2>&1 | tee "$scratch/output" || status=$?
    line=$(grep -E '^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$' "$scratch/output" | tail -n1) || true
    read -ra counts <<<"$(tr -dc '0-9 ' <<<"$line")"
    [ ${#counts[@]} = 3 ] || counts=(0 0 0)
    add_failure_unless_counted "$status"
    report "${counts[@]}"
}

# Plays cargo test, whose every test binary has a summary of its own.
play_cargo_test() { # command...
    local status=0 counts
    "$@" 2>&1 | tee "$scratch/output" || status=$?
    read -ra counts < <(awk '/^test result: / { gsub(";", ""); passed += $4; failed += $6; ignored += $8 }
        END { print passed + 0, failed + 0, ignored + 0 }' "$scratch/output")
    add_failure_unless_counted "$status"
    report "${counts[@]}"
}

# A command that failed without a failed test (it did not build, it was killed) is a failure all the same, and so is one
# that played nothing.
add_failure_unless_counted() { # status; uses counts
    if [ "${counts[1]}" = 0 ] && { [ "$1" != 0 ] || [ "${counts[0]}" = 0 ]; }; then
        counts[1]=1
    fi
}
