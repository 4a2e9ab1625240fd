#!/bin/sh
# shellcheck disable=SC2086 # lists of options stand in variables
# Kill a training run before each system call on files that it makes while it saves, by strace, and at random instants:
# a run that goes on from what is there has the weights of one never killed, bit by bit, and no leftover grows.
# Before a call is after the one before it, so both sides of each are tried. SWEEP_STRIDE=N tries each Nth call alone.
# Run by make check-faults, and in short by make check, in the build folder.
paragraph=.libs/paragraph
stride=${SWEEP_STRIDE:-1}
if [ ! -x $paragraph ] || ! strace -o /dev/null -e inject=fsync:error=EIO:when=1 true 2>/dev/null; then
    echo "skipped: no $paragraph, or no strace that injects"
    exit 77
fi
paragraph=$PWD/$paragraph
LD_LIBRARY_PATH=$PWD/.libs${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export LD_LIBRARY_PATH STARPU_SILENT=1
# Leaks can't be looked for in a program that is traced.
! grep -qs "define PARA_SANITIZE" config.h || export ASAN_OPTIONS="${ASAN_OPTIONS-}:detect_leaks=0"
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
# A run waits for others that begin in the same home, by more calls: here are none.
mkdir home && export STARPU_HOME=$work/home
yes 'the cat sat on the mat.' | head -c 1500 >text
kills=0 wrong=0
calls=openat,write,fsync,rename,renameat2,mkdir,link,unlink,rmdir,ftruncate,fchmod,fchown,flock,close
data="--data text --val text --eval-every 1 --batch 2 --schedule constant --steps 4 --save-every 1"
sizes="--layers 1 --heads 2 --embd 8 --context 8"

train() {
    "$paragraph" train $data "$@" >out.txt 2>err
}

complain() {
    wrong=$((wrong + 1))
    echo "failed: $*"
    sed 's/^/    /' err | tail -n 3
}

# Go on from what is there, or begin, until the run is done; then its weights must be the expected ones.
finish() {
    what=$1
    most=$(find . -name '*.paragraph-*' -prune | wc -l)
    [ "$most" -le 3 ] || complain "$what: $most leftovers: $(find . -name '*.paragraph-*' -prune)"
    if [ -e out ] || [ -e out.paragraph-next ]; then
        grep -q '"step": 4,' out/trainer.json || train --resume out --out out $best || complain "$what: going on"
    else
        train $sizes --out out $best || complain "$what: beginning again"
    fi
    for file in model.safetensors optimizer.safetensors; do
        cmp out/$file expected/$file >/dev/null 2>&1 || complain "$what: $file is another"
    done
    [ -z "$best" ] || "$paragraph" eval --model best --data text >out.txt 2>err || complain "$what: the best model"
}

# begin WAY: the state from which a run of that way starts.
begin() {
    rm -rf out best out.* best.*
    best=
    case $1 in
    first) start="$sizes --out out" ;;
    over) cp -r half out && start="--resume out --out out" ;;
    best) best="--best best --overwrite" start="$sizes --out out $best" ;;
    esac
}

# Each call of a run and its number among those of its name, but for those by which libraries read of the system: files
# of /sys and the like.
list_calls() {
    begin "$1"
    strace -o log -e trace=$calls "$paragraph" train $data $start >out.txt 2>err || complain "$1: a run under strace"
    awk '{ name = $0; sub(/\(.*/, "", name); count[name]++ }
        /^openat\(.*"\/(sys|proc|etc|usr|lib|dev|run)/ { theirs = 1; next } theirs && /^close/ { next }
        /^[a-z]/ { theirs = 0; print name, count[name] }' log
}

# Kill at each call in turn.
sweep() {
    list_calls "$1" | awk -v first="$first" -v stride="$stride" 'NR % stride == first % stride' >tried
    while read -r call number; do
        begin "$1"
        strace -o /dev/null -e trace=$call -e inject=$call:signal=KILL:when="$number" "$paragraph" train $data $start \
            >out.txt 2>err </dev/null
        [ $? -gt 128 ] || complain "$1: not killed at $call $number"
        kills=$((kills + 1))
        finish "$1, killed at $call $number"
    done <tried
    echo "$1: killed at $(wc -l <tried) calls, by steps of $stride"
}

train $sizes --out expected || complain "a run that isn't killed"
"$paragraph" train --data text --val text --eval-every 1 --batch 2 --schedule constant --steps 2 $sizes \
    --out half >out.txt 2>err || complain "half a run"
first=1
for way in first over best; do
    sweep $way
    first=$((first + stride / 3))
done

# At random instants.
tries=$((stride > 1 ? 5 : 50))
while [ $tries -gt 0 ]; do
    begin over
    "$paragraph" train $data $start >out.txt 2>err &
    run=$!
    sleep "0.$(awk -v seed=$tries 'BEGIN { srand(seed); printf "%03d", 300 * rand() }')"
    kill -s KILL $run 2>/dev/null
    wait $run 2>/dev/null
    kills=$((kills + 1))
    finish "killed at random, $tries"
    tries=$((tries - 1))
done
# The last kill may have come after the last save: what that left, the next run onto the folder removes.
train --resume half --out out --overwrite || complain "a run onto the folder"
left=$(find . -name '*.paragraph-*' -prune)
[ -z "$left" ] || complain "left: $left"
echo "$kills kills, $wrong wrong"
[ $wrong -eq 0 ]
