#!/bin/sh
# Run every example at a small size; each checks its own results and exits 0 if they are right.
# Run by make check, in the build folder.
failed=0

# expect WORDS COMMAND...: the command succeeds and its output contains the words.
expect() {
    words=$1
    shift
    output=$("$@" 2>&1)
    status=$?
    if [ "$status" -eq 0 ] && printf '%s\n' "$output" | grep -q -e "$words"; then
        echo "ok: $*"
    else
        printf '%s\nFAILED: %s: exit status %d, expected 0 and "%s"\n' "$output" "$*" "$status" "$words"
        failed=1
    fi
}

# refuse WORDS COMMAND...: the command exits 1 and says why.
refuse() {
    words=$1
    shift
    output=$("$@" 2>&1)
    status=$?
    if [ "$status" -eq 1 ] && printf '%s\n' "$output" | grep -q -e "$words"; then
        echo "ok: $* is refused"
    else
        printf '%s\nFAILED: %s: exit status %d, expected 1 and "%s"\n' "$output" "$*" "$status" "$words"
        failed=1
    fi
}

expect 'w = (3.00' examples/linear-regression
expect 'overwrites, once it is read, "a"' examples/small-dag
expect '^step   19' examples/train-gpt2 - 20
expect '^step   19' examples/train-gpt2 "${srcdir:-.}/README.md" 20 batch=2,heads=2,ff=2,vocab=2
refuse 'no axis is called "head"' examples/train-gpt2 - 20 head=2
refuse "can't be opened" examples/train-gpt2 no-such-file
refuse 'usage' examples/train-gpt2 - 1

# What needs a model's folder, and the command to make it.
if [ -x examples/many-texts ]; then
    folder=$(mktemp -d) || exit 1
    trap 'rm -rf "$folder"' EXIT
    expect 'saved' "${PARAGRAPH:-./paragraph}" train --data "${srcdir:-.}/README.md" --preset tiny --layers 1 --steps 2 \
        --batch 2 --context 64 --out "$folder/model"
    expect '^The graph' examples/many-texts "$folder/model" "The graph" "A task"
    refuse 'is no folder' examples/many-texts "$folder/none" "The graph"
    refuse 'expected 1 to 512' examples/many-texts "$folder/model" "The graph" ""
    refuse 'usage' examples/many-texts "$folder/model"
    expect '^[*] *-[0-9.]*  aph$' examples/likeliest "$folder/model" "The gr" "aph" "~~~~~~~~"
    refuse 'given 0, expected 1 or more' examples/likeliest "$folder/model" "" "aph"
    refuse 'usage' examples/likeliest "$folder/model" "The gr"
fi
exit "$failed"
