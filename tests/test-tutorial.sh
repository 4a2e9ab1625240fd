#!/bin/sh
# Check that doc/tutorial-op.md works as it stands: take its code, apply it to a copy of the sources, compile what it
# touches with the build's own flags, link it with the rest of this build, and run the conformance table and the
# program. Run by make check, in the build folder; $BUILD_CC is the compiler with its flags.
#
# A block that begins with ```LANGUAGE FILE is added to the end of FILE; with ```LANGUAGE FILE after "TEXT" it goes
# below the one line of FILE that has the text.
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

for room in base graph ops include tests; do
    (cd "$top" && find "$room" \( -name '*.[ch]' -o -name local.mk \) -print) | while read -r file; do
        mkdir -p "$work/$(dirname "$file")" && cp "$top/$file" "$work/$file" && chmod u+w "$work/$file"
    done
done

awk -v work="$work" '
    function fail(text) { print "doc/tutorial-op.md:" FNR ": " text; bad = 1; exit 1 }
    # Put the block below the line of the file that has the text.
    function insert(file, text, block,   line, all, found) {
        while ((getline line <file) > 0) {
            all = all line "\n"
            if (index(line, text)) { all = all block; found++ }
        }
        close(file)
        if (found != 1) fail(file " has \"" text "\" " found + 0 " times, expected once")
        printf "%s", all >file
        close(file)
    }
    /^```[a-z]+ / && !inside {
        inside = 1; block = ""; file = work "/" $2; text = ""
        if ($3 == "after") { text = $0; sub(/^[^"]*"/, "", text); sub(/"$/, "", text); gsub(/\\"/, "\"", text) }
        next
    }
    /^```$/ && inside {
        inside = 0; blocks++
        if (text != "") insert(file, text, block); else printf "%s", block >>file
        close(file)
        next
    }
    inside { block = block $0 "\n" }
    END { if (!bad) print blocks " blocks applied" }' "$top/doc/tutorial-op.md" || exit 1

grep -q '^libops_la_SOURCES += ops/silu\.c$' "$work/ops/local.mk" || { echo "ops/local.mk lacks ops/silu.c"; exit 1; }
"$top/scripts/check-includes" "$work" >"$work/includes" 2>&1 || { cat "$work/includes"; exit 1; }

cd "$work" || exit 1
for source in ops/silu.c ops/table.c tests/op-cases.c tests/test-ops.c use-silu.c; do
    "$@" -include "$build/config.h" -I"$work/include" -I"$work" -Werror -c -o "$(basename "$source" .c).o" "$source" ||
        { echo "$source doesn't compile"; exit 1; }
done

# link PROGRAM OBJECT-OR-LIBRARY...: the tutorial's table of ops stands before this build's and takes its place.
link() {
    program=$1
    shift
    # shellcheck disable=SC2086 # a list of words
    (cd "$build" && sh ./libtool --silent --tag=CC --mode=link $BUILD_CC -o "$work/$program" "$work/silu.o" \
        "$work/table.o" "$@") || { echo "$program doesn't link"; exit 1; }
}
# shellcheck disable=SC2086
link test-ops "$work/test-ops.o" "$work/op-cases.o" libsupport.la libinternal.la $CMOCKA_LIBS
link use-silu "$work/use-silu.o" libinternal.la

cd "$build" || exit 1
if ! "$work/test-ops" >"$work/output" 2>&1; then
    grep -vE 'OK|RUN' "$work/output"
    echo "the conformance table fails"
    exit 1
fi
rows=$(grep -cE '\[ +OK +\] silu' "$work/output")
printed=$("$work/use-silu") || exit 1
echo "$rows checks of silu passed; the program prints $printed"
[ "$rows" -eq 13 ] && [ "$printed" = "$(cat "$work/expected")" ]
