#!/bin/sh
# Fail each call of the allocator and of the file system that Paragraph's own code makes in a training run that resumes
# and saves, one after another (tests/fail-calls.c): no crash, the cause is named, and the last good checkpoint loads.
# Calls inside other libraries are counted, and of each kind a few are failed, to list what happens then.
# SWEEP_STRIDE=N tries each Nth call alone. Run by make check-faults, and in short by make check, in the build folder.
paragraph=.libs/paragraph
shim=tests/.libs/fail-calls.so
stride=${SWEEP_STRIDE:-1}
if [ ! -x $paragraph ] || [ ! -f $shim ]; then
    echo "skipped: no $paragraph with $shim to preload"
    exit 77
fi
paragraph=$PWD/$paragraph shim=$PWD/$shim
LD_LIBRARY_PATH=$PWD/.libs${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export LD_LIBRARY_PATH STARPU_SILENT=1
# The address sanitizer is to come first among libraries, or be told that it needn't; it leaves the library to fail its
# own calls, too.
! grep -qs "define PARA_SANITIZE" config.h || export ASAN_OPTIONS="${ASAN_OPTIONS-}:verify_asan_link_order=0"
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
yes 'the cat sat on the mat.' | head -c 1500 >text
tries=0 wrong=0 tolerated=0 first=0

resume="--data text --batch 2 --steps 4 --save-every 1 --schedule constant --resume out --out out --json"
if ! "$paragraph" train --data text --layers 1 --heads 2 --embd 8 --context 8 --batch 2 --steps 2 --schedule constant \
    --out good >out.txt 2>err; then
    cat err
    echo "failed: making a checkpoint"
    exit 1
fi

# run VARIABLE=VALUE...: go on from the good checkpoint under the shim.
run() {
    rm -rf out out.*
    cp -r good out
    timeout -s KILL 60 env LD_PRELOAD="$shim" "$@" "$paragraph" train $resume >out.txt 2>err
}

complain() {
    wrong=$((wrong + 1))
    echo "failed: $*"
    sed 's/^/    /' err | tail -n 4
}

# Whether a message names a cause that the shim makes, or what could not be done.
names_cause() {
    grep -qE "memory|Too many open files|No space left|Input/output error|Permission denied|Cannot allocate|can't" err
}

# try FUNCTION NUMBER: one of our own calls.
try() {
    tries=$((tries + 1))
    run FAIL_CALL="$1" FAIL_NUMBER="$2"
    code=$?
    if [ $code -gt 1 ]; then
        complain "$1 $2: exit code $code, expected 0 or 1"
    elif [ $code -eq 1 ] && ! names_cause; then
        complain "$1 $2: the message doesn't name the cause"
    elif ! "$paragraph" eval --model out --data text >out.txt 2>err; then
        complain "$1 $2: the checkpoint doesn't load"
    elif [ $code -eq 0 ]; then
        tolerated=$((tolerated + 1))
        cmp -s out/model.safetensors whole.safetensors || complain "$1 $2: it ended well, with other weights"
    fi
}

run FAIL_COUNTS=counts
[ $? -eq 0 ] || complain "a run without a failure"
cp counts calls
cp out/model.safetensors whole.safetensors
awk '$1 ~ /paragraph/ { n[$2] += $3 } END { for (f in n) print f, n[f] }' calls | sort >own
while read -r function count; do
    # With a stride, other calls of each function are tried.
    number=$((1 + first % stride))
    first=$((first + 1))
    while [ $number -le "$count" ]; do
        try "$function" $number
        number=$((number + stride))
    done
done <own
echo "own calls:" $(tr '\n' ',' <own)
echo "$tries failed in turn: $tolerated runs ended well all the same, $wrong wrong"

# Inside other libraries: the first, the middle and the last of each.
if [ "$stride" -eq 1 ]; then
    echo "calls inside other libraries, and how runs end in which the first, the middle, the last fails:"
    grep -v paragraph calls | sort | while read -r file function count; do
        ends=
        for number in 1 $(((count + 1) / 2)) "$count"; do
            run FAIL_CALL="$function" FAIL_NUMBER=$number FAIL_FROM="$file"
            ends="$ends $?"
            "$paragraph" eval --model out --data text >out.txt 2>err || ends="$ends(lost)"
        done
        echo "    $file $function $count:$ends"
    done
fi
[ $wrong -eq 0 ]
