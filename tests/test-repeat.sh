#!/bin/sh
# Check that a split, its parts spread over devices or not, trains to the same bits in program order, twice alike, with 1, 2 and 4 workers, under another
# scheduler, and with two memories between which data is really moved, whoever computes the larger products. Run by make
# check, in the build folder.
digest=tests/train-digest
plans='/0 batch=2/0 batch=4/0 heads=2/0 ff=2/0 vocab=2/0 batch=2,heads=2,ff=2,vocab=2/0 seq=2/0 /2 /4 batch=4/2 batch=4/4 auto/0'
plans="$plans batch=2/0/batch batch=4/0/batch=2 heads=2,ff=2,vocab=2/0/heads,ff,vocab batch=4,heads=2/2/batch=2"
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
status=0

# train NAME WORKERS MEMORIES: ten steps of every plan, under the environment
train() {
    if ! "$digest" "$2" "$3" 10 $plans >"$work/$1" 2>"$work/errors"; then
        echo "$1: failed"
        cat "$work/errors"
        status=1
    elif ! cmp -s "$work/serial" "$work/$1"; then
        echo "$1: not the bits of program order:"
        diff "$work/serial" "$work/$1" | sed 's/: .* /: ... /'
        status=1
    else
        echo "$1: $(wc -l <"$work/$1") plans alike"
    fi
}

# machine DESCRIPTION: let hwloc see this machine; a list of components would come before it
machine() {
    HWLOC_SYNTHETIC=$1
    export HWLOC_SYNTHETIC
    unset HWLOC_COMPONENTS
}

# four_workers NAME
four_workers() {
    (machine 'Core:4 PU:1'; STARPU_WORKERS_NOBIND=1; export STARPU_WORKERS_NOBIND
        train "$1" 4 1; exit $status) || status=1
}

PARA_GEMM=own
export PARA_GEMM
train serial 0 1
train serial-again 0 1
for round in 1 2; do
    train 1-worker-$round 1 1
    train 2-workers-$round 2 1
    four_workers 4-workers-$round
    (machine 'NUMANode:2 Core:1 PU:1'; STARPU_USE_NUMA=1; export STARPU_USE_NUMA
        train 2-memories-$round 2 2; exit $status) || status=1
done
(STARPU_SCHED=random; export STARPU_SCHED; train random-scheduler 2 1; exit $status) || status=1

# The digest tells one training from another: splits add in different orders.
[ "$(sort -u "$work/serial" | sed 's/.* //' | sort -u | wc -l)" -gt 3 ] || { echo "digests don't differ"; status=1; }

PARA_GEMM=openblas
if "$digest" 0 1 1 /0 2>&1 | grep -q 'built without threads'; then
    echo "OpenBLAS was built without threads: its products are left out"
    exit $status
fi
train serial 0 1
for round in 1 2; do
    train openblas-2-workers-$round 2 1
    four_workers openblas-4-workers-$round
done
exit $status
