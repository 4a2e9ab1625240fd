# What tests of the paragraph command begin with; they read it in the build folder. $PARAGRAPH names the program.
# After it $top is the source tree, $paragraph the program, and the folder a new one, $work, which goes at the end.
# shellcheck shell=sh disable=SC2086 # $prefix is a list of words
top=$(cd "${srcdir:-.}" && pwd) || exit 1
paragraph=${PARAGRAPH:-./paragraph}
case $paragraph in
*/*) paragraph=$(cd "$(dirname "$paragraph")" && pwd)/$(basename "$paragraph") ;;
esac
if [ ! -x "$paragraph" ]; then
    echo "$paragraph: no such program; the build comes first" >&2
    exit 1
fi
prefix= # what stands before the arguments of ends and refuses
checks=0 wrong=0
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

# check WHAT COMMAND...: the command must succeed.
check() {
    what=$1
    shift
    checks=$((checks + 1))
    if ! "$@"; then
        wrong=$((wrong + 1))
        echo "failed: $what"
        [ ! -s err ] || sed 's/^/    /' err
    fi
}

# ends CODE TEXT ARGUMENT...: paragraph must exit with CODE and, unless TEXT is empty, say it on standard error.
ends() {
    code=$1 text=$2
    shift 2
    "$paragraph" $prefix "$@" >out 2>err
    found=$?
    [ "$found" -eq "$code" ] || { echo "exit code $found, expected $code"; return 1; }
    [ -z "$text" ] || grep -qF -- "$text" err || { echo "no \"$text\" on standard error"; return 1; }
}

# The same as a check of its own.
refuses() {
    code=$1 text=$2
    shift 2
    check "paragraph $prefix $*" ends "$code" "$text" "$@"
}
