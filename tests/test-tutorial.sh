#!/bin/sh
# Check that doc/tutorial-op.md says what the sources say: the blocks that name a file of the tree stand in it word for
# word, and those of ops/rmsnorm.c, one after another, are all of it. The program at its end is compiled, linked with
# this build, run, and prints what the page says. Run by make check, in the build folder; $BUILD_CC is the compiler with
# its flags.
#
# A block begins with ```LANGUAGE FILE.
top=$(cd "${srcdir:-.}" && pwd) || exit 1
build=$(pwd)
if [ ! -x ./libtool ] || [ ! -e libinternal.la ]; then
    echo "no build here; make comes first" >&2
    exit 1
fi
# shellcheck disable=SC2086 # a list of words
set -- ${BUILD_CC:-cc}
if ! command -v "$1" >/dev/null; then
    echo "skipped: no compiler $1"
    exit 77
fi
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

awk -v top="$top" -v work="$work" '
    function whole(file,   line, all) {
        while ((getline line <file) > 0) all = all line "\n"
        close(file)
        return all
    }
    /^```[a-z]+ / && !inside { inside = 1; block = ""; file = $2; begin = FNR; next }
    /^```$/ && inside {
        inside = 0; blocks++
        if (file !~ /\//) printf "%s", block >work "/" file
        else if (!index(whole(top "/" file), block)) {
            print "doc/tutorial-op.md:" begin ": this is not in " file ":\n" block
            wrong = 1
        }
        if (file == "ops/rmsnorm.c") op = op block
        next
    }
    inside { block = block $0 "\n" }
    END {
        if (op != whole(top "/ops/rmsnorm.c")) { print "doc/tutorial-op.md lacks a part of ops/rmsnorm.c"; wrong = 1 }
        print blocks " blocks read"
        exit wrong
    }' "$top/doc/tutorial-op.md" || exit 1

"$@" -I"$top/include" -Werror -c -o "$work/use-rmsnorm.o" "$work/use-rmsnorm.c" || exit 1
# shellcheck disable=SC2086
sh ./libtool --silent --tag=CC --mode=link $BUILD_CC -o "$work/use-rmsnorm" "$work/use-rmsnorm.o" libinternal.la || exit 1
printed=$(cd "$build" && "$work/use-rmsnorm") || exit 1
echo "the program prints $printed"
[ "$printed" = "$(cat "$work/expected")" ]
