#!/bin/sh
# What check-package and check-deb share; both set $work, $version, $cc, $cmake and $consumer first.
# shellcheck disable=SC2154
unset CFLAGS LDFLAGS PKG_CONFIG_PATH CMAKE_PREFIX_PATH LD_LIBRARY_PATH

fail() {
    echo "FAILED: $*"
    exit 1
}

# quietly COMMAND...: its output only if it fails.
quietly() {
    "$@" >"$work/log" 2>&1 || {
        cat "$work/log"
        fail "$*"
    }
}

# expect PROGRAM: it must print the version.
expect() {
    said=$("$1") || fail "$1"
    [ "$said" = "$version" ] || fail "$1 said '$said', expected '$version'"
    echo "ok: ${1#"$work"/}"
}

# by_cmake NAME "TARGET..." [CMAKE ARGUMENT...]: the consumer, built once with each of weir's targets, and run.
by_cmake() {
    name=$1 targets=$2
    shift 2
    quietly "$cmake" -S "$consumer" -B "$work/$name" -DCMAKE_C_COMPILER="$cc" -DVERSION="$version" \
        -DTARGETS="$(echo "$targets" | tr ' ' ';')" "$@"
    quietly "$cmake" --build "$work/$name" -j 2
    for target in $targets; do
        expect "$work/$name/consumer-$target"
    done
}

# by_pkg_config NAME SOURCE WORD...: compiles and links it with those words after the source, and runs it.
by_pkg_config() {
    name=$1 source_file=$2
    shift 2
    quietly "$cc" "$source_file" "$@" -o "$work/$name"
    expect "$work/$name"
}
