#!/bin/sh
# shellcheck disable=SC2086 # lists of options stand in variables
# What machines and other programs do to the command: descriptors that are closed, signals, limits, files in the way,
# pipes in place of files, mounts, quotas. Run by make check, in the build folder.
. "${srcdir:-.}/tests/command.sh"
# The program itself, for what runs under limits that libtool's script can't bear.
program=$paragraph
library=$(dirname "$paragraph")/.libs
if [ -x "$library/paragraph" ]; then
    program=$library/paragraph
    LD_LIBRARY_PATH=$library${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
    export LD_LIBRARY_PATH
fi
# A build whose program takes more addresses than the limits that are tried.
large=$(grep -sE 'define PARA_(SANITIZE|HAVE_CUDA)' config.h)
mounted=
trap 'for m in $mounted; do umount "$m"; done; chmod -R u+w "$work"; rm -rf "$work"' EXIT
cd "$work" || exit 1
sizes="--layers 2 --heads 2 --embd 16 --context 8 --batch 4"
tokens=$top/tests/golden/tokenizer-small
yes 'the cat sat on the mat.' | head -c 1500 >text
mkdir temporary
TMPDIR=$work/temporary
export TMPDIR

# nothing_left NAME...: beside these names, and the scripts' own, the folder and the temporary folder hold none of ours.
nothing_left() {
    left=$(find . -name '*paragraph-*' | head -n 3)
    [ -z "$left" ] || { echo "left: $left"; return 1; }
}

# --- standard descriptors closed ---

is_json() {
    [ "$(head -c 11 "$1")" = '{"format":"' ] && [ "$(tail -n 1 "$1")" = ']}' ] && ! grep -q "paragraph: " "$1"
}

check_descriptors() {
    "$paragraph" train --data text $sizes --steps 3 --profile p.json --out closed 2>&-
    check "training without standard error" [ $? -eq 0 ]
    check "no message lands in the profile" is_json p.json
    check "nor in the model" ends 0 "" eval --model closed --data text
    "$paragraph" train --data text $sizes --steps 3 --profile p.json 0<&- 1>&- 2>&-
    check "training without any" [ $? -eq 0 ]
    check "no message lands in the profile then" is_json p.json
    "$paragraph" train --data text $sizes --steps 3 --json --profile p.json 2>err >&-
    check "a closed standard output that is needed fails" [ $? -eq 1 ]
    check "saying so" grep -q "standard output can't be written" err
    for command in "eval --model closed --data text" "generate --model closed --prompt a -n 2" "info --no-rates --workers 1" \
        "dump $sizes" "plan $sizes" "--version" "--help" "help eval"; do
        "$paragraph" $command 2>err >&-
        check "$command without standard output" [ $? -eq 1 ]
        check "it says so" grep -qE "standard output( can't be written|: writing the dump)" err
    done
    "$paragraph" tokenize --tokenizer "$tokens" --data text -o closed.tok16 2>err >&-
    check "tokenize without standard output" [ $? -eq 1 ]
    check "no report lands in its file" [ $(($(wc -c <closed.tok16) % 2)) -eq 0 ]
    "$paragraph" dump $sizes -o closed.txt 2>err >&-
    check "a closed standard output that isn't needed does no harm" [ $? -eq 0 ]
    "$paragraph" dump --graph /dev/stdin 2>err >out <&-
    check "a closed standard input that is needed fails" [ $? -eq 1 ]
}

# --- signals and limits ---

# waits_for FILE LINES: wait until a file has so many lines.
waits_for() {
    tries=0
    while [ "$(cat "$1" 2>/dev/null | wc -l)" -lt "$2" ] && [ $tries -lt 300 ]; do
        sleep 0.05
        tries=$((tries + 1))
    done
    [ $tries -lt 300 ]
}

# A shell's jobs ignore INT and QUIT.
if env --default-signal=INT,QUIT true 2>/dev/null; then
    heeding="env --default-signal=INT,QUIT" keyboard="INT QUIT"
else
    echo "skipped: INT and QUIT: this env can't reset them"
    heeding='' keyboard=''
fi

# stopped SIGNAL...: a run that is sent each of these signals after some steps ends with 1, having saved.
stopped() {
    rm -rf stopped
    : >steps
    $heeding "$paragraph" train --data text $sizes --steps 20000 --schedule constant --warmup 0 --json --out stopped \
        >steps 2>err &
    run=$!
    waits_for steps 3 || return 1
    for signal in "$@"; do
        kill -s "$signal" $run
    done
    wait $run
    [ $? -eq 1 ] && grep -q "stopped after step $(wc -l <steps) of" err && grep -q "\"step\": $(wc -l <steps)," \
        stopped/trainer.json && nothing_left
}

check_signals() {
    for signal in HUP TERM XCPU USR1 USR2 ${keyboard% *}; do
        check "SIG$signal lets a run save" stopped $signal
    done
    check "a shell's HUP after the terminal's doesn't end it" stopped HUP HUP
    check "HUP after TERM doesn't" stopped TERM HUP
    : >steps
    (trap '' HUP; exec "$paragraph" train --data text $sizes --steps 200000 --schedule constant --warmup 0 --json \
        --out nohup) >steps 2>err &
    run=$!
    waits_for steps 3
    kill -s HUP $run
    lines=$(wc -l <steps)
    waits_for steps $((lines + 50))
    check "HUP that was ignored at the start stays so" [ $? -eq 0 ]
    kill -s TERM $run
    wait $run
    rm -rf piped steps
    { "$paragraph" train --data text $sizes --steps 200000 --schedule constant --warmup 0 --json --out piped 2>err
        echo $? >code; } | head -n 3 >steps
    check "a reader that goes lets a run save" [ "$(cat code)" -eq 1 ]
    check "it says so" grep -q "stopped after step" err
    check "it is saved" [ -s piped/trainer.json ]
    "$paragraph" dump $sizes --train 2>err | head -n 1 >out
    check "dump ends with its reader, silently" [ ! -s err ]
}

# sent SIGNAL FILE ARGUMENT...: paragraph, sent the signal once FILE is there, ends by it and leaves nothing.
sent() {
    signal=$1 file=$2
    shift 2
    $heeding "$paragraph" "$@" >out 2>err &
    run=$!
    tries=0
    while ! ls $file >/dev/null 2>&1 && [ $tries -lt 500 ]; do
        sleep 0.01
        tries=$((tries + 1))
    done
    kill -s "$signal" $run 2>/dev/null
    wait $run 2>/dev/null
    [ $? -gt 128 ] || { echo "it has ended by itself"; return 1; }
    nothing_left
}

check_leftovers() {
    yes 'the cat sat on the mat.' | head -c 20000000 >long
    "$paragraph" train --data text $sizes --tokenizer "$tokens" --steps 3 --out bpe >out 2>err
    asan=${ASAN_OPTIONS-}
    for signal in HUP TERM PIPE XCPU USR1 ALRM ABRT SEGV $keyboard; do
        # Not to be reported as a fault of the program's by the address sanitizer, which would end it before.
        [ $signal != SEGV ] || ASAN_OPTIONS=$asan:handle_segv=0
        export ASAN_OPTIONS
        check "SIG$signal leaves no half of tokenize" \
            sent $signal "long.tok16.paragraph-*" tokenize --tokenizer "$tokens" --data long -o long.tok16
        ASAN_OPTIONS=$asan
    done
    check "TERM leaves no half of eval's logits" \
        sent TERM "logits.npy.paragraph-*" eval --model bpe --data long --logits logits.npy --tokenizer "$tokens"
    "$paragraph" train --data text --layers 6 --heads 8 --embd 512 --context 8 --batch 1 --steps 1 --out big >out 2>err
    for signal in HUP TERM PIPE ALRM $keyboard; do
        for name in big.gguf big.bin unpacked; do
            check "SIG$signal leaves no half of convert --out $name" \
                sent $signal "$name.paragraph-new*" convert --model big --out $name
        done
        check "nor of a folder's file" \
            sent $signal "unpacked.paragraph-new/model.safetensors*" convert --model big --out unpacked
        check "SIG$signal leaves no half of train-tokenizer" \
            sent $signal "learnt.paragraph-new*" train-tokenizer --data long --out learnt
    done
    check "nothing of them was put in place" [ ! -e big.gguf -a ! -e big.bin -a ! -e unpacked -a ! -e learnt ]
    rm -r big
    "$paragraph" eval --model bpe --data long >out 2>err &
    run=$!
    sleep 0.3
    kill -s KILL $run
    wait $run 2>/dev/null
    check "KILL leaves nothing of a text that is encoded" nothing_left
    check "TERM leaves no half of a profile" \
        sent TERM "p.json.paragraph-*" train --data text $sizes --steps 100000000 --profile p.json --schedule constant
    if [ "$(id -u)" -eq 0 ] && command -v setpriv >/dev/null; then
        chmod a+rx . && chmod a+rwx temporary
        as="setpriv --reuid 65534 --regid 65534 --clear-groups"
        if $as "$paragraph" --version >/dev/null 2>&1; then
            : >steps
            STARPU_HOME=/nonexistent HOME=/nonexistent $as "$paragraph" train --data text $sizes --steps 100000000 \
                --schedule constant --json >steps 2>err &
            run=$!
            waits_for steps 3
            kill -s KILL $run
            wait $run 2>/dev/null
            check "KILL leaves nothing of StarPU's home" nothing_left
            STARPU_HOME=/nonexistent HOME=/nonexistent $as "$paragraph" train --data text $sizes --steps 3 >out 2>err
            check "a run without a home ends well" [ $? -eq 0 ]
        fi
    fi
    rm -f long
}

check_limits() {
    (ulimit -f 8; exec "$paragraph" train --data text $sizes --steps 3 --out limited) >out 2>err
    check "a limit on file sizes is an error" [ $? -eq 1 ]
    check "it says so" grep -q "File too large" err
    check "nothing half-made stays of a model" nothing_left
    (ulimit -f 1; exec "$paragraph" dump $sizes --train -o limited.txt) >out 2>err
    check "so for a dump" [ $? -eq 1 ]
    check "it says so, too" grep -q "limited.txt: writing the dump: File too large" err
    (ulimit -f 1; exec "$paragraph" tokenize --tokenizer "$tokens" --data text text text text -o limited.tok16) >out 2>err
    check "so for tokenize" [ $? -eq 1 ]
    check "nothing half-made stays" nothing_left
    (ulimit -f 1; exec "$paragraph" dump $sizes --train) >out 2>err
    check "so for standard output" [ $? -eq 1 ]
    check "it says so of standard output" grep -q "standard output: writing the dump: File too large" err
    # An emulator needs files of its own, and more addresses.
    [ -z "${PARA_EMULATED-}" ] || { echo "left out: limits on open files and addresses: PARA_EMULATED is set"; return; }
    (ulimit -n 5; exec "$program" train --data text $sizes --steps 3 --out limited) >out 2>err
    check "a limit on open files is an error" [ $? -eq 1 ]
    check "with its cause" grep -q "Too many open files" err
    check "before the first step" [ "$(grep -c "^step" err)" -eq 0 ]
    check "nothing half-made stays without a descriptor to spare" nothing_left
}

# limited LIMIT COMMAND: the command under a limit of the shell's ends by itself, with 0, or with 1 and a reason.
limited() {
    limit=$1
    shift
    (ulimit $limit && exec timeout -s KILL 60 $as "$program" $1) >out 2>err
    code=$?
    [ $code -eq 0 ] || [ $code -eq 1 -a -s err ]
}

# What is too little for a run is told before it, and nothing waits for ever.
check_room() {
    as=
    "$paragraph" train --data text $sizes --steps 3 --out small >out 2>err
    train="train --data text $sizes --steps 3"
    for files in $([ -n "${PARA_EMULATED-}" ] || echo 4 5 6 8); do
        for command in "$train" "info --no-rates --workers 1 --json" "eval --model small --data text" \
            "generate --model small --prompt a -n 2" "dump $sizes" "plan $sizes" \
            "tokenize --tokenizer $tokens --data text -o room.tok16"; do
            check "$files open files, $command" limited "-n $files" "$command"
        done
        check "$files open files, train --out" limited "-n $files" "$train --out room --overwrite"
        check "it fails before its first step or not at all" [ $code -eq 0 -o "$(grep -c "^step" err)" -eq 0 ]
        check "nothing half-made stays" nothing_left
    done
    if [ -n "$large${PARA_EMULATED-}" ]; then
        echo "skipped: limits on memory: the sanitizer, the libraries of CUDA or the emulator alone take more addresses"
    else
        for kib in 100000 200000 300000; do
            for command in "$train" "info --no-rates --workers 1 --json" "dump $sizes" --version; do
                check "$kib KiB of addresses, $command" limited "-v $kib" "$command"
            done
        done
        check "too few are told" limited "-v 100000" "$train"
        check "as the cause" grep -qE "of . (threads|workers) can be (started|mapped), expected .*ulimit" err
        check "and by exit code 1" [ $code -eq 1 ]
        check "not where no worker is needed" limited "-v 100000" "dump $sizes"
        check "there it is 0" [ $code -eq 0 ]
    fi
    check_homes
    if [ "$(id -u)" -eq 0 ] && command -v setpriv >/dev/null && command -v prlimit >/dev/null; then
        chmod a+rx . && chmod a+rwx temporary
        as="setpriv --reuid 65533 --regid 65533 --clear-groups"
        if $as "$program" --version >/dev/null 2>&1; then
            OPENBLAS_NUM_THREADS=1 timeout -s KILL 60 $as prlimit --nproc=2 "$program" $train --workers 4 >out 2>err
            check "a limit on threads is an error" [ $? -eq 1 ]
            check "with its cause" grep -q "of 4 threads can be started, expected one per worker: Resource" err
        fi
    fi
}

# What can't fit is refused before anything is allocated, whatever asks for it.
check_memory() {
    check "a batch that no machine has memory for" ends 1 "GiB of memory, and this machine has " \
        train --data text ${sizes%4}900000000 --steps 2
    check "it is said what takes less" grep -q "the run takes [0-9.]* GiB .*; a smaller batch, or recomputing (--recompute)" err
    "$paragraph" train --data text $sizes --steps 2 --out wide >out 2>err
    sed 's/"batch": 4/"batch": 900000000/' wide/trainer.json >trainer.json && mv trainer.json wide
    check "the same from a run's own file" ends 1 "GiB of memory, and this machine has " \
        train --data text --resume wide --steps 3 --reschedule
    check "and of a measurement" ends 1 "GiB of memory, and this machine has " bench ${sizes%4}900000000 --seq 8
}

# StarPU's folder, which it would abort at: new and used by several at once, half written, without room.
check_homes() {
    home=${STARPU_HOME-}
    STARPU_HOME=$work/home
    export STARPU_HOME
    mkdir "$STARPU_HOME"
    pids=
    for i in 1 2 3 4 5 6; do
        "$program" $train --workers 1 >out$i 2>err$i &
        pids="$pids $!"
    done
    for run in $pids; do
        wait $run
        check "one of six runs that begin at once in a new home" [ $? -eq 0 ]
    done
    for file in "$STARPU_HOME"/.starpu/sampling/bus/*; do
        : >"$file"
        check "$(basename "$file") left empty by a crash" ends 0 "a file ends within a line; StarPU measures again" $train
        check "it is whole again" ends 0 "" $train
        check "and stays so" [ "$(grep -c measures err)" -eq 0 ]
    done
    rm -rf "$STARPU_HOME"
    mkdir "$STARPU_HOME"
    for command in "$train" "info --no-rates --workers 1"; do
        { (ulimit -f 0 && exec "$program" $command) 2>&1
            echo $? >code; } | cat >err
        check "no room for StarPU's files, $command" [ "$(cat code)" -eq 1 ]
        check "it is told" grep -q "StarPU needs a folder to write to: .* takes no file" err
    done
    check "nothing half-made stays" nothing_left
    STARPU_HOME=$home
}

# --- replacing files and folders ---

mode() {
    stat -c %a "$1"
}

eval_reads() {
    ends 0 "" eval --model "$1" --data text
}

check_modes() {
    "$paragraph" train --data text $sizes --steps 3 --tokenizer "$tokens" --out private >out 2>err
    chmod 700 private
    chmod 600 private/*
    "$paragraph" train --data text --batch 4 --steps 5 --reschedule --resume private --out private >out 2>err
    check "a folder keeps its mode" [ "$(mode private)" = 700 ]
    for file in config.json model.safetensors optimizer.safetensors trainer.json vocab.json merges.txt; do
        check "$file keeps its mode" [ "$(mode private/$file)" = 600 ]
    done
    if [ "$(id -u)" -eq 0 ]; then
        chown 65534:65534 private private/*
        "$paragraph" train --data text --batch 4 --steps 6 --reschedule --resume private --out private >out 2>err
        check "a folder keeps its owner" [ "$(stat -c %u:%g private)" = 65534:65534 ]
        check "so do files" [ "$(stat -c %u:%g private/model.safetensors)" = 65534:65534 ]
    fi
    for file in dump.txt ids.tok16 logits.npy profile.json; do
        : >$file
        chmod 640 $file
        ln -s $file link-$file
    done
    mv ids.tok16 ids && mv link-ids.tok16 ids.tok16 && ln -sf ids ids.tok16
    "$paragraph" dump $sizes -o link-dump.txt >out 2>err
    "$paragraph" tokenize --tokenizer "$tokens" --data text -o ids.tok16 >out 2>err
    "$paragraph" eval --model private --data text --logits link-logits.npy >out 2>err
    "$paragraph" train --data text $sizes --steps 2 --profile link-profile.json >out 2>err
    for file in dump.txt ids logits.npy profile.json; do
        check "$file is written" [ -s $file ]
        check "$file keeps its mode" [ "$(mode $file)" = 640 ]
    done
    check "links stay" [ -L link-dump.txt -a -L ids.tok16 -a -L link-logits.npy -a -L link-profile.json ]
    for file in kept.gguf kept.bin; do
        : >$file
        chmod 640 $file
        ln -s $file link-$file
        check "a link to $file is followed" ends 0 "" convert --model private --out link-$file --overwrite
        check "it is written" [ -s $file ]
        check "it keeps its mode" [ "$(mode $file)" = 640 ]
        check "the link stays" [ -L link-$file ]
    done
    ln -s pointed.gguf dangling.gguf
    check "a link to what isn't there yet is written through" ends 0 "" convert --model private --out dangling.gguf
    check "it is there now" eval_reads pointed.gguf
    mkfifo pipe.gguf
    cat pipe.gguf >piped.gguf &
    check "a pipe is written to" ends 0 "" convert --model private --out pipe.gguf --overwrite
    wait $!
    check "by all of the model" cmp piped.gguf kept.gguf
    check "and stays one" [ -p pipe.gguf ]
}

check_two_runs() {
    rm -rf steps shared
    mkdir shared
    "$paragraph" train --data text $sizes --steps 200000 --json --out shared/m >steps 2>err &
    run=$!
    waits_for steps 3
    for name in shared/m ./shared/m/ shared/../shared/m; do
        check "a second run is refused by the first's name" ends 1 "--out: process $run saves in $name" \
            train --data text $sizes --steps 3 --out $name --overwrite
    done
    check "so for --best" ends 1 "--best: process $run saves in shared/m" \
        train --data text $sizes --steps 3 --best shared/m --val text
    for command in "convert --model none" "train-tokenizer --data text"; do
        check "so for $command" ends 1 "--out: process $run saves in shared/m" $command --out shared/m --overwrite
    done
    kill -s KILL $run
    wait $run 2>/dev/null
    check "a run that was killed holds nothing" ends 0 "saved in shared/m" \
        train --data text $sizes --steps 3 --out shared/m
    check "nothing stays beside the folder" [ "$(ls shared)" = m ]
    for i in 1 2 3 4 5 6 7 8; do
        "$paragraph" dump --layers 9 --train -o both.json --format json >out 2>err &
        "$paragraph" dump $sizes --train -o both.json --format json >out2 2>err2
        wait $!
        check "two dumps to one file" [ $? -eq 0 ]
        check "leave one of them" ends 0 "" plan --graph both.json
    done
    check "and nothing else" nothing_left
}

# Another file system in the place of a folder's lower layer, of a folder, of a file.
check_mounts() {
    mkdir lower upper scratch merged
    "$paragraph" train --data text $sizes --steps 3 --out lower/m >out 2>err
    if ! mount -t overlay -o "lowerdir=$work/lower,upperdir=$work/upper,workdir=$work/scratch" overlay merged 2>/dev/null
    then
        echo "skipped: mounts: none can be made here (it takes root)"
        return
    fi
    mounted=$work/merged
    check "a folder in a lower layer is replaced" ends 0 "saved in merged/m" \
        train --data text --steps 5 --reschedule --resume merged/m --out merged/m --save-every 1
    check "it is the new one" grep -q '"step": 5' merged/m/trainer.json
    check "nothing else is there" [ "$(ls merged)" = m ]
    umount merged && mounted=
    mkdir point
    mount -t tmpfs paragraph-test point && mounted=$work/point
    for steps in 3 5; do
        check "a mount point is replaced" ends 0 "saved in point" \
            train --data text $sizes --steps $steps --out point --overwrite
        check "it is the new one" grep -q "\"step\": $steps" point/trainer.json
    done
    check "nothing else is there" nothing_left
    umount point && mounted=
    echo old >one && echo old >other && mount --bind other one && mounted=$work/one
    check "a file at a mount point is replaced" ends 0 "" dump $sizes -o one
    check "by what was written" [ "$(wc -l <other)" -gt 10 ]
    umount one && mounted=
    : >one && : >other && mount --bind other one && mounted=$work/one && ln -s one one.gguf
    check "a model's file at a mount point is replaced" ends 0 "" convert --model lower/m --out one.gguf --overwrite
    check "nothing else is left" nothing_left
    umount one && mounted=
    mv other other.gguf
    check "it is whole" eval_reads other.gguf
    if mknod null.gguf c 1 3 2>/dev/null; then
        check "a device is written to" ends 0 "" convert --model lower/m --out null.gguf --overwrite
        check "and stays one" [ -c null.gguf ]
    fi
    mkdir tiny && mount -t tmpfs -o size=200k paragraph-test tiny && mounted=$work/tiny
    check "a tokenizer" ends 0 "" train-tokenizer --data text --out tiny/words
    cp -r tiny/words before
    check "one for which there is no room" ends 1 "No space left on device" \
        train-tokenizer --data "$top/README.md" "$top/NEWS" "$top/doc/design.md" --vocab 9000 --out tiny/words --overwrite
    check "leaves the old one" diff -r before tiny/words
    check "and nothing else" [ "$(ls tiny)" = words ]
    umount tiny && mounted=
}

# --- numbers that aren't finite ---

# json FILE: each of its lines is JSON, as Python takes it without NaN and Infinity, or as a pattern sees it.
json() {
    [ -s "$1" ] || return 1
    if command -v python3 >/dev/null; then
        python3 -c '
import json, sys
def refuse(word):
    raise ValueError(word + " is no JSON number")
for line in open(sys.argv[1], encoding="utf-8"):
    json.loads(line, parse_constant=refuse)' "$1"
    else
        ! grep -qiE '[:,[]-?(nan|inf)' "$1"
    fi
}

check_numbers() {
    wild="--data text $sizes --lr 1e4 --clip 0 --val-fraction 0.2 --eval-every 1 --json"
    "$paragraph" train $wild --steps 3 --best b --out o >out 2>err
    check "a run that explodes ends with 1" [ $? -eq 1 ]
    check "its lines are JSON" json out
    check "it says why" grep -qE "(loss is|gradients' norm) (nan|inf)" err
    check "not by its last file" [ "$(grep -c trainer.json err)" -eq 0 ]
    check "nothing is saved of it" [ ! -e o ]
    check "what stays as the best has a finite loss" [ ! -e b -o "$(grep -c null b/trainer.json 2>/dev/null)" = 0 ]
    check "nothing is left" nothing_left
    "$paragraph" train --data text $sizes --steps 1000 --schedule constant --lr 1e6 --clip 0 --warmup 0 --save-every 1 \
        --out lastgood --json --split batch=2 >out 2>err
    check "one that explodes in training ends with 1" [ $? -eq 1 ]
    check "its lines are JSON, too" json out
    check "it names the node" grep -q "the first node with a result that isn't finite is .*, op " err
    check "it was saved before" grep -q "\"step\": $(wc -l <out)," lastgood/trainer.json
    first=$(grep "the first node" err)
    "$paragraph" train --data text --resume lastgood --json --split batch=2 >out 2>err
    check "going on from there comes to the same node" [ "$(grep "the first node" err)" = "$first" ]
    check "at the same step" [ ! -s out ]
    "$paragraph" train --data text $sizes --steps 3 --out finite --json >out 2>err
    check "numbers are as short as they can be" grep -q '"lr":0.001,' out
    printf 'cat\nmat\n' >labels
    file=finite/model.safetensors
    cp -r finite unfit
    printf '\000\000\300\177' | dd of=$file conv=notrunc bs=1 seek=$(($(wc -c <$file) - 4)) 2>/dev/null # a NaN
    file=unfit/model.safetensors # three vectors stand at its end, before them a matrix
    printf '\000\000\300\177' | dd of=$file conv=notrunc bs=1 seek=$(($(wc -c <$file) - 4 * 49)) 2>/dev/null
    "$paragraph" eval --model finite --data text --json >out 2>err
    check "eval of a model without a finite loss ends with 1" [ $? -eq 1 ]
    check "with JSON" json out
    check "null stands for it" grep -q '"loss":null,"perplexity":null' out
    check "and a message" grep -q "the loss is" err
    check "weights that can't be quantized are the model's fault" \
        ends 1 "c_proj.weight\" has elements that i8 can't hold" eval --model unfit --data text --weights int8
    check "whose tensor is named, and no option" grep -q '^paragraph: unfit/model.safetensors: tensor "' err
    check "they are written as they are" \
        ends 0 "what isn't finite is written as it is" convert --model finite --out finite.gguf
    check "the model is named where it labels" ends 1 "finite: gives line 1 of text the log-probability nan" \
        classify --model finite --data text --labels labels
    "$paragraph" train --data text $sizes --lr 20 --clip 0 --warmup 0 --steps 1 --out large >out 2>err
    check "a loss of thousands is one" ends 0 "the perplexity, the exponential of the loss" \
        eval --model large --data text --json
    check "its line is JSON, too" json out
    check "of which null is the perplexity alone" grep -q '"loss":[0-9].*,"perplexity":null' out
}

# --- a machine that isn't all ours ---

# value KEY FILE: of a line of JSON.
value() {
    sed -nE "s/.*\"$1\":([^,}]*).*/\1/p" "$2"
}

# bound CPU WORKERS: the workers' threads of a running process may run on this processor alone.
bound() {
    found=$(grep -h '^Cpus_allowed_list' /proc/$run/task/*/status | sort | uniq -c)
    [ "$(echo "$found" | awk -v cpu="$1" '$3 != cpu' | wc -l)" -eq 0 ] || { echo "$found"; return 1; }
}

check_machine() {
    if ! command -v taskset >/dev/null || [ "$(nproc)" -lt 2 ]; then
        echo "skipped: a machine that isn't all ours: no taskset, or one processor"
        return
    fi
    for cpu in 0 1; do
        taskset -c $cpu "$paragraph" info --no-rates --json >info 2>err
        check "a process tied to one processor has one worker" [ "$(value workers info)" = 1 ]
        check "and one core" [ "$(value cores info)" = 1 ]
        check "nothing is wrong with that" [ ! -s err ]
        : >steps
        taskset -c $cpu "$paragraph" train --data text $sizes --steps 1000000 --schedule constant --json --workers 2 \
            >steps 2>err &
        run=$!
        waits_for steps 3
        check "its workers are tied to it, too, however many" bound $cpu
        kill -s KILL $run
        wait $run 2>/dev/null
        taskset -c $cpu "$paragraph" plan $sizes --json >plan 2>err
        check "plan counts as train does" [ "$(value workers plan)" = 1 ]
    done
    STARPU_NCPU=1 "$paragraph" info --no-rates --json >info 2>err
    check "STARPU_NCPU counts" [ "$(value workers info)" = 1 ]
    check "and is named" grep -q "1 worker instead of $(value cores info): STARPU_NCPU is 1" err
    STARPU_NCPU=1 "$paragraph" plan $sizes --json >plan 2>err
    check "plan knows it" [ "$(value workers plan)" = 1 ]
    for number in 0 -1 x; do
        STARPU_NCPU=$number "$paragraph" info --no-rates --json >info 2>err
        check "STARPU_NCPU=$number is no number of workers" [ "$(value workers info)" -ge 1 ]
        check "it is told" grep -q "STARPU_NCPU is \"$number\", which is no number of workers" err
    done
    STARPU_NCPU=0 "$paragraph" plan $sizes --json >plan 2>err
    check "nor for plan" [ "$(value workers plan)" -ge 1 ]
    check_quota
}

# A group of one processor's time and 1 GiB, for real: version 1 or 2, where one can be made.
check_quota() {
    group=/sys/fs/cgroup/cpu/paragraph-test memory=/sys/fs/cgroup/memory/paragraph-test
    [ ! -e /sys/fs/cgroup/cgroup.controllers ] || group=/sys/fs/cgroup/paragraph-test memory=$group
    if ! mkdir $group 2>/dev/null; then
        echo "skipped: a quota: no control group can be made here (it takes root)"
        return
    fi
    [ -d $memory ] || mkdir $memory
    if echo 100000 >$group/cpu.cfs_quota_us || echo "100000 100000" >$group/cpu.max; then
        echo 1073741824 >$memory/memory.limit_in_bytes || echo 1073741824 >$memory/memory.max
        sh -c "echo \$\$ >$group/cgroup.procs; echo \$\$ >$memory/cgroup.procs; exec '$paragraph' info --json" >info 2>err
        check "a quota of one processor gives one worker" [ "$(value workers info)" = 1 ]
        check "the cores are all there" [ "$(value cores info)" -gt 1 ]
        check "the memory is what the group may have" [ "$(value ram_bytes info)" = 1073741824 ]
        sh -c "echo \$\$ >$memory/cgroup.procs; exec '$paragraph' train --data text ${sizes%4}100000" >out 2>err
        check "what the group can't have is refused" [ $? -eq 1 ]
        check "saying so" grep -q "GiB of memory, and its control group has 1.000" err
    fi 2>/dev/null
    rmdir $group
    [ ! -d $memory ] || rmdir $memory
}

# --- variables and limits of libraries ---

# starts CODE TEXT VARIABLE=VALUE...: what comes of StarPU's variables.
starts() {
    code=$1 text=$2
    shift 2
    env "$@" "$paragraph" info --no-rates --workers 2 >info 2>err
    found=$?
    [ "$found" -eq "$code" ] || { echo "exit code $found, expected $code"; return 1; }
    [ -z "$text" ] || grep -qF -- "$text" err || { echo "no \"$text\" on standard error"; return 1; }
}

# What StarPU aborts at, or crashes, is an error that names it, whatever that is in a version; a folder that it can't
# write to is another one.
check_variables() {
    refused=0
    for variable in STARPU_MAIN_THREAD_CPUID=99 STARPU_MAX_PRIO=-5 STARPU_NCPUS=x STARPU_SILENT=many STARPU_SILENT=1x \
        STARPU_WORKERS_NOBIND=many STARPU_LIMIT_CPU_MEM=many STARPU_WORKERS_CPUID=x STARPU_NTHREADS_PER_CORE=5 \
        STARPU_HOSTNAME=a/b STARPU_RESERVE_NCPU=9999; do
        env $variable "$paragraph" info --no-rates --workers 2 >info 2>err
        code=$?
        check "$variable" [ $code -le 1 ]
        [ $code -eq 0 ] || check "it is named" grep -q "^paragraph: StarPU .* its variables.*: $variable" err
        refused=$((refused + code))
    done
    check "some are refused" [ $refused -ge 3 ]
    check "StarPU's other variables are its own" starts 0 "" STARPU_MAX_PRIO=3 STARPU_PREFETCH=1
    for folder in /dev/null /proc/1; do
        check "STARPU_HOME=$folder" starts 0 "" STARPU_HOME=$folder
        check "XDG_CACHE_HOME=$folder" env -u STARPU_HOME XDG_CACHE_HOME=$folder "$paragraph" info --no-rates >info 2>err
    done
    mkdir cache house
    check "XDG_CACHE_HOME is where StarPU's files go" env -u STARPU_HOME XDG_CACHE_HOME="$work/cache" \
        HOME="$work/house" "$paragraph" info --no-rates >info 2>err
    check "they are there" [ -s "cache/.starpu/sampling/bus/$(uname -n).config" ]
    rm -r cache/.starpu
    check "STARPU_HOME comes before it" starts 0 "" STARPU_HOME="$work/house" XDG_CACHE_HOME="$work/cache"
    check "nothing goes elsewhere" [ ! -e cache/.starpu ]
    if [ -z "$large${PARA_EMULATED-}" ]; then
        (ulimit -s 64 && exec "$program" info --no-rates) >info 2>err
        check "a small stack is an error" [ $? -eq 1 ]
        check "that says so" grep -q "the stack may have 64 KiB, expected at least 512 (see ulimit -s)" err
    fi
    check "nothing is left of it all" nothing_left
}

# --- streams in place of files, long paths ---

# piped FILE ARGUMENT...: paragraph reads FILE through a pipe, under whatever name of its kind, as it reads the file.
piped() {
    file=$1
    shift
    rm -f pipe "pipe.${file##*.}"
    pipe=pipe.${file##*.}
    mkfifo $pipe
    "$paragraph" "$@" "$file" >out2 2>err || return 1
    cat "$file" >$pipe &
    "$paragraph" "$@" $pipe >out 2>err || return 1
    wait
    sed 's/,"tokens_per_s".*//' out >left
    sed 's/,"tokens_per_s".*//' out2 | cmp -s left -
}

check_streams() {
    "$paragraph" train --data text $sizes --steps 3 --out plain >out 2>err
    "$paragraph" dump $sizes --format json -o graph.json >out 2>err
    cp text text.txt
    "$paragraph" tokenize --tokenizer "$tokens" --data text -o text.tok16 >out 2>err
    check "plan reads a graph from a pipe" piped graph.json plan --json --graph
    check "so does dump" piped graph.json dump --format json --graph
    check "train reads a text" piped text.txt train $sizes --steps 2 --json --data
    check "a text by a tokenizer" piped text.txt train $sizes --steps 2 --json --tokenizer "$tokens" --data
    check "ids" piped text.tok16 train $sizes --steps 2 --json --tokenizer "$tokens" --data
    check "eval reads a text" piped text.txt eval --model plain --json --data
    check "train reads a text held out" piped text.txt train --data text $sizes --steps 2 --json --val
    "$paragraph" dump $sizes --format json 2>err | "$paragraph" plan --json --graph /dev/stdin >out 2>err
    check "standard input" [ $? -eq 0 ]
    "$paragraph" plan --json --graph graph.json >out2 2>err
    check "gives the same" cmp out out2
    mkfifo tokenized.txt
    cat text >tokenized.txt &
    "$paragraph" tokenize --tokenizer "$tokens" --data tokenized.txt -o piped.tok16 >out 2>err
    check "tokenize reads a pipe" cmp text.tok16 piped.tok16
    mkdir weights vocabulary
    cp plain/config.json weights
    mkfifo weights/model.safetensors
    check "weights, which are mapped, say why they can't be a pipe" ends 1 "model.safetensors: isn't a regular file" \
        eval --model weights --data text
    cp "$tokens/merges.txt" vocabulary
    mkfifo vocabulary/vocab.json
    cat "$tokens/vocab.json" >vocabulary/vocab.json &
    "$paragraph" tokenize --tokenizer vocabulary --data text -o piped.tok16 >out 2>err
    check "a vocabulary may be a pipe" cmp text.tok16 piped.tok16
    mkdir graph.d folder.tok16 && mkdir weights/trainer.json
    for command in "plan --graph graph.d" "dump --graph graph.d" "train $sizes --data graph.d" \
        "train $sizes --data text --val folder.tok16" "eval --model plain --data graph.d" \
        "tokenize --tokenizer $tokens --data graph.d -o x.tok16" "train --data graph.d $sizes --tokenizer $tokens"; do
        check "a folder in place of a file" ends 1 "Is a directory" $command
    done
    check "nothing at all" ends 1 "not a graph that dump --format json wrote" plan --graph /dev/null
}

check_messages() {
    strange=$(printf 'a\033[31m\nb')
    check "control characters of names don't reach the terminal" \
        ends 1 'a\x1b[31m\x0ab: can'"'"'t open: No such file' train --data "$strange" $sizes
    check "a message is one line" [ "$(wc -l <err)" -eq 1 ]
    STARPU_PERF_MODEL_DIR=models
    export STARPU_PERF_MODEL_DIR
    check "a folder of models that isn't one" ends 1 'STARPU_PERF_MODEL_DIR is "models", expected' \
        train --data text $sizes --steps 1
    unset STARPU_PERF_MODEL_DIR
    STARPU_SILENT=1
    export STARPU_SILENT
    "$paragraph" train --data text $sizes --steps 2 --out spoken >out 2>err
    check "logits on a full disk" ends 1 "/dev/full: can't be written: No space left" \
        eval --model spoken --data text --logits /dev/full
    for folders in "--out o1 --best o1/b" "--out b1/o --best b1" "--out spoken/a --best spoken --overwrite"; do
        check "$folders" ends 2 "lie one in the other" train --data text --val text $sizes --steps 2 $folders
    done
    check "a pipe that is closed to generate's reading" ends 1 "standard input: can't be read: Bad file descriptor" \
        generate --model spoken --chat chatml <&-
    "$paragraph" train --data text $sizes --steps 20 --json --out full >/dev/full 2>err
    check "lines on a full disk end a run" [ $? -eq 1 ]
    check "their cause is told, once" [ "$(grep -c "standard output can't be written: No space left on device" err)" -eq 1 ]
    check "the run is saved where it stopped" grep -q "stopped after step 1 of 20; --resume full goes on" err
    check "and goes on from there" ends 0 "saved in full" train --data text --resume full --steps 20 --out full
    "$paragraph" train --data text $sizes --steps 20 --json >&- 2>err
    check "nor does it go on without standard output" grep -q "stopped after step 1 of 20; nothing is saved" err
    yes a | head -n 200 >many
    "$paragraph" generate --model spoken --prompts many -n 2 --json >/dev/full 2>err
    check "texts on a full disk end" [ "$(grep -c "standard output can't be written: No space left" err)" -eq 1 ]
    "$paragraph" generate --model spoken --prompt a -n 100 --stream >/dev/full 2>err
    check "so does a text that is streamed" [ "$(grep -c "standard output can't be written: No space left" err)" -eq 1 ]
    "$paragraph" dump $sizes --format json -o a.json >out 2>err
    check "a comparison on a full disk names its file" ends 2 "/dev/full: writing the comparison: No space left" \
        compare --html a.json a.json -o /dev/full
    ln -s /dev/full full.tok16
    yes 'the cat sat on the mat.' | head -c 100000 >longer
    check "ids on a full disk name theirs" ends 1 "full.tok16: can't be written: No space left on device" \
        tokenize --tokenizer "$tokens" --data longer -o full.tok16
    check "a model that isn't there" ends 1 "nothere.gguf: is no folder: No such file or directory" \
        eval --model nothere.gguf --data text
    check "one that is no model" ends 1 "text: is no folder" eval --model text --data text
    ln -s nowhere dangling && ln -s loop loop
    check "a folder behind a link that leads nowhere" ends 1 "dangling: is a link that leads nowhere: No such file" \
        train --data text $sizes --steps 2 --out dangling
    check "or in a circle" ends 1 "loop: is a link that leads nowhere: Too many levels" \
        train --data text $sizes --steps 2 --out loop
    check "- is no folder's name" ends 2 '--out: "-" can'"'"'t be replaced' train --data text $sizes --steps 2 --out -
    for command in "convert --model spoken" "train-tokenizer --data text"; do
        check "- is no folder's name, $command" ends 2 '"-" can'"'"'t be replaced' $command --out -
    done
    "$paragraph" dump $sizes >there 2>err
    check "- is standard output" ends 0 "" dump $sizes -o -
    check "with all that is written" cmp out there
    check "so for a page" ends 0 "" view $sizes -o -
    check "which is all there" grep -q "</html>" out
    check "no file has that name" [ ! -e - ]
    deep=$(printf '%0100d/%0100d/%0100d/%0150d' 1 2 3 4)
    check "the reason of a long path's error is told" ends 1 ": is no folder" eval --model $deep --data text
    check "it begins as the path does" grep -q "^paragraph: 0000" err
    mkdir -p $deep
    check "in a folder that is there, too" ends 1 "config.json: can't open: No such file or directory" \
        eval --model $deep --data text
    echo '{"model_type": "gpt2", "n_layer": 0}' >$deep/config.json
    check "and in a file" ends 1 '"n_layer" is 0, expected a whole number from 1' eval --model $deep --data text
    check "data's" ends 1 "can't open: No such file or directory" train --data $deep/none $sizes
    check "a tokenizer's" ends 1 "vocab.json: can't open: No such file or directory" \
        train --data text $sizes --tokenizer $deep
    check "an output's" ends 1 "can't be opened: Is a directory" dump $sizes -o $deep
    cp -r spoken whole && cp text same && ln -s same other
    check "a profile isn't written over data" ends 2 "--profile and --data are one file, same" \
        train --data text same $sizes --steps 2 --profile same
    check "whatever its name" ends 2 "--logits and --data are one file, other" \
        eval --model spoken --data same --logits other
    check "nor logits over weights" ends 2 "--logits is spoken/model.safetensors, a part of --model spoken" \
        eval --model spoken --data text --logits spoken/model.safetensors
    check "nor a dump over what it shows" ends 2 "-o is spoken/config.json, a part of --model spoken" \
        dump --model spoken -o spoken/config.json
    check "nor a comparison" ends 2 "-o and an operand are one file, a.json" compare a.json a.json -o a.json
    check "all is as it was" cmp text same
    check "so is the model" diff -r whole spoken
    check "another file beside them may be" ends 0 "" eval --model spoken --data text --profile spoken/p.json
    check "and again" ends 0 "" eval --model spoken --data text --profile spoken/p.json
    long=$(printf '%05000d' 1)
    for command in "eval --model $long --data text" "train --data $long $sizes" "plan --graph $long" \
        "train --data text $sizes --out $long" "train --data text $sizes --steps 2 --profile $long"; do
        "$paragraph" $command >out 2>err
        code=$?
        check "a path that is too long fails" [ $code -eq 1 -o $code -eq 2 ]
        check "saying so" grep -qE "too long|is no folder" err
    done
}

# is_read COMMAND: the command does with a folder that other programs wrote what it does with ours.
is_read() {
    ends 0 "" "$@" && cmp -s other.tok16 own.tok16
}

# Marks before texts, line ends, pointers, and other forms of the same.
# What is long in an argument is cut in its middle; what it is about and why is always told.
check_arguments() {
    long=$(printf 'x%.0s' $(seq 5000))
    for arguments in "$long" "train --data text --layers $long" "train --data text --$long" "dump $long" \
        "train --data text --preset $long" "dump --format $long" "train --data text --split $long" "train --data $long"; do
        "$paragraph" $arguments >out 2>err
        check "a long argument is refused" [ $? -ne 0 ]
        check "in a line that isn't" [ "$(wc -L <err)" -lt 1100 ]
    done
    check "with the reason" ends 2 'x", expected a whole number from 1 to 10000' train --data text --layers "$long"
    "$paragraph" train --data text --val text $sizes --steps 2 --out told >out 2>err
    cp text told.txt && ln -s told.txt told.tok16
    check "ids don't take the place of their text" ends 2 "-o and --data are one file, told.tok16" \
        tokenize --tokenizer "$tokens" --data told.txt -o told.tok16
    check "which is there" cmp text told.txt
    name=$(printf 'n%.0s' $(seq 249))
    check "a file of a name that leaves no room for a suffix" ends 0 "" dump $sizes -o $name
    check "is there" [ -s $name ]
    check "and replaced" ends 0 "" tokenize --tokenizer "$tokens" --data text -o $name.tok16
    rm $name
    check "nothing is left of it" nothing_left
    for command in "train --data text $sizes --steps 2 --out" "train --data text --val text $sizes --steps 2 --best" \
        "convert --model told --out" "train-tokenizer --data text --vocab 300 --out"; do
        check "$command -" ends 2 '"-" can'"'"'t be replaced: expected the name of a folder to make' $command -
    done
    for command in "dump $sizes -o" "view $sizes -o" "eval --model told --data text --logits" \
        "train --data text $sizes --steps 2 --profile" "bench $sizes --seq 8 --steps 1 --repeat 1 --profile"; do
        "$paragraph" $command - 2>err >&-
        check "$command - that is closed" [ $? -eq 1 ]
        check "it is named" grep -q "standard output: can't be opened: Bad file descriptor" err
        "$paragraph" $command - 2>err >/dev/full
        check "$command - that is full" [ $? -eq 1 ]
        check "it is named, too" grep -q "standard output.*: No space left on device" err
    done
    check "a tokenizer that isn't there" ends 1 "nothere: can't open: No such file" \
        convert --model told --out told.gguf --tokenizer nothere
    check "a folder in place of a graph" ends 2 "told: can't be read: Is a directory" compare told told
    check "a folder in place of a profile" ends 1 "told: can't be read: Is a directory" dump --profile told
    printf 'no\n%s\n' "$long" >labels
    check "a long label is told by its line" ends 1 "labels:2: the label, with what the template has after it, takes 5" \
        classify --model told --data text --labels labels
}

check_writers() {
    "$paragraph" train --data text $sizes --steps 3 --out written >out 2>err
    "$paragraph" tokenize --tokenizer "$tokens" --data text -o own.tok16 >out 2>err
    cp -r written foreign
    printf '\357\273\277' | cat - written/config.json >foreign/config.json
    check "a mark before config.json" ends 0 "" eval --model foreign --data text
    printf '\357\273x' | cat - written/config.json >foreign/config.json
    check "half a mark is none" ends 1 "config.json:1:1: " eval --model foreign --data text
    sed 's/"n_layer": 2/"n_layer": 2.0/' written/config.json >foreign/config.json
    check "a number with a point is shown with it" ends 1 '"n_layer" is 2.0, expected a whole number' \
        eval --model foreign --data text
    cp written/config.json foreign
    printf 'version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 548105171\n' >foreign/model.safetensors
    check "a pointer in place of weights" ends 1 'is a pointer of Git LFS, not the file; "git lfs pull" gets it' \
        eval --model foreign --data text
    mv foreign/model.safetensors foreign/pytorch_model.bin
    check "weights of another form" ends 1 "foreign/pytorch_model.bin: can't be read, expected weights as model.safetensors" \
        eval --model foreign --data text
    rm foreign/pytorch_model.bin
    check "no weights" ends 1 "foreign/model.safetensors: can't open: No such file" eval --model foreign --data text
    mkdir words
    sed 's/$/\r/' "$tokens/merges.txt" | { printf '\357\273\277' && cat; } >words/merges.txt
    { printf '\357\273\277' && cat "$tokens/vocab.json"; } >words/vocab.json
    check "marks and line ends of a tokenizer" is_read tokenize --tokenizer words --data text -o other.tok16
    echo '{"<|user|>": 5000}' >words/added_tokens.json
    check "an added token's id beyond is told of its file" ends 1 'words/added_tokens.json: entry "<|user|>" has id 5000' \
        tokenize --tokenizer words --data text -o other.tok16
    rm words/vocab.json words/added_tokens.json
    echo '{}' >words/tokenizer.json
    check "a tokenizer of another form" ends 1 "words/tokenizer.json: model type \"(none)\" is not supported" \
        tokenize --tokenizer words --data text -o other.tok16
}

check_words() {
    "$paragraph" train --data text $sizes --steps 3 --tokenizer bytes --out plainly >out 2>err
    check "bytes is a tokenizer's name" [ $? -eq 0 ]
    check "it is none" [ ! -e plainly/vocab.json ]
    check "eval takes it" ends 0 "" eval --model plainly --data text --tokenizer bytes
    check "generate takes it" ends 0 "" generate --model plainly --prompt a -n 2 --tokenizer bytes
    check "training without --out says that nothing is saved" ends 0 "nothing is saved: there is no --out" \
        train --data text $sizes --steps 2
    check "so does going on" ends 0 "nothing is saved: there is no --out, as with the folder of --resume, --out plainly" \
        train --data text --steps 5 --reschedule --resume plainly
}

for part in ${TESTS_OF_SYSTEM:-descriptors signals leftovers limits room memory modes two_runs mounts numbers machine variables streams messages arguments writers words}; do
    check_$part
done
echo "$checks checks, $wrong failed"
[ "$wrong" -eq 0 ]
