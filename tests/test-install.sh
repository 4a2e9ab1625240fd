#!/bin/sh
# Check an installed Paragraph as its users meet it: programs built with nothing but what pkg-config says, the command
# with its pages and its completion. Run by make installcheck, in the build folder, which sets prefix, bindir, libdir,
# mandir, docdir, datadir, DESTDIR (may be empty), CC, PKG_CONFIG, VERSION and IO (yes: the command is installed).
top=$(cd "${srcdir:-.}" && pwd) || exit 1
: "${prefix:?make installcheck sets it}" "${libdir:?}" "${VERSION:?}"
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
failed=0

wrong() {
    echo "FAILED: $*"
    failed=1
}

PKG_CONFIG_PATH=$DESTDIR$libdir/pkgconfig${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}
LD_LIBRARY_PATH=$DESTDIR$libdir${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export PKG_CONFIG_PATH LD_LIBRARY_PATH

# What pkg-config says of the library, in the folder where it lies.
says() {
    ${PKG_CONFIG:-pkg-config} --define-variable=prefix="$DESTDIR$prefix" \
        --define-variable=libdir="$DESTDIR$libdir" "$@" paragraph
}

# program NAME SOURCE WORDS: compile, run, and find the words in what it prints.
program() {
    # shellcheck disable=SC2046,SC2086 # lists of words
    if ! (cd "$work" && ${CC:-cc} -o "$1" "$2" $(says --cflags --libs) -lm); then
        wrong "$1 doesn't compile"
        return
    fi
    printed=$(cd "$work" && "./$1" 2>&1) || wrong "$1 exits with $?"
    printf '%s\n' "$printed" | grep -qF "$3" || wrong "$1 prints \"$printed\", expected \"$3\""
}

found=$(says --modversion)
[ "$found" = "$VERSION" ] || wrong "pkg-config knows version $found, expected $VERSION"
sed -n '/^```c$/,/^```$/p' "$top/README.md" | sed '/^```/d' >"$work/readme.c"
program readme readme.c "step 40  loss 0.009"
program linear-regression "$DESTDIR$docdir/examples/linear-regression.c" "w = (3.00"
# No header may need another before it.
for header in "$DESTDIR$prefix"/include/paragraph.h "$DESTDIR$prefix"/include/paragraph/*.h; do
    echo "#include \"$header\"" >"$work/header.c"
    # shellcheck disable=SC2046,SC2086
    ${CC:-cc} -std=c11 -Wall -Wextra -Werror -pedantic -fsyntax-only $(says --cflags) "$work/header.c" ||
        wrong "$header doesn't stand alone"
done

if [ "$IO" = yes ]; then
    found=$("$DESTDIR$bindir/paragraph" --version)
    [ "$found" = "paragraph $VERSION" ] || wrong "the command says \"$found\", expected \"paragraph $VERSION\""
    for command in $("$DESTDIR$bindir/paragraph" --help | sed -nE 's/^  ([a-z]+) .*/\1/p'); do
        [ -s "$DESTDIR$mandir/man1/paragraph-$command.1" ] || wrong "no man page of paragraph $command"
    done
    [ -s "$DESTDIR$mandir/man1/paragraph.1" ] || wrong "no man page of paragraph"
    [ -s "$DESTDIR$datadir/bash-completion/completions/paragraph" ] || wrong "no completion"
fi
for file in LICENSE NEWS examples/small-dag.c examples/train-gpt2.c; do
    [ -s "$DESTDIR$docdir/$file" ] || wrong "no $file in $docdir"
done
[ "$failed" -eq 0 ] && echo "installcheck: all right"
exit "$failed"
