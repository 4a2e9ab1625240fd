#!/bin/sh
# shellcheck disable=SC2086 # lists stand in variables
# Whatever is wrong with what it is given, paragraph exits with 1 or 2 and a message, never by a signal, and files that
# were there stay as they were. Run by make check, in the build folder.
. "${srcdir:-.}/tests/command.sh"
mounted=
trap '[ -z "$mounted" ] || umount "$work/disk"; chmod -R u+w "$work"; rm -rf "$work"' EXIT
cd "$work" || exit 1

failed() {
    wrong=$((wrong + 1))
    echo "failed: $what: $*"
    sed 's/^/    /' err
}

# Every file and what it holds.
state() {
    find "$@" -type f -exec cksum {} + | LC_ALL=C sort
}

# refuses TEXT ARGUMENT...: exit code 1 or 2, TEXT on standard error, and the model's files as they were. $as, if set,
# is a command to run it under.
refuses() {
    text=$1
    shift
    what="paragraph $*"
    checks=$((checks + 1))
    state $kept >before
    $as "$paragraph" "$@" >out 2>err
    code=$?
    state $kept >after
    if [ "$code" -ne 1 ] && [ "$code" -ne 2 ]; then
        failed "exit code $code, expected 1 or 2"
    elif ! grep -qF -- "$text" err; then
        failed "no \"$text\" on standard error"
    elif ! cmp -s before after; then
        failed "files that were there are others now"
    fi
}

# A folder like the model's, to be broken.
broken() {
    rm -rf broken
    cp -r model broken
    weights=broken/model.safetensors
}

# A little-endian number of 8 bytes in place of the header's length.
set_length() {
    printf %b "$1" | dd of=$weights bs=1 count=8 conv=notrunc 2>/dev/null
}

# Replace a part of the header by one of the same length.
replace() {
    LC_ALL=C sed "s/$1/$2/" $weights >changed
    what="replacing $1"
    ! cmp -s changed $weights || failed "it isn't there"
    mv changed $weights
}

eval_broken() {
    refuses "$1" eval --model broken --data ids.tok16
}

check_weights() {
    broken; : >$weights
    eval_broken "has 0 bytes, expected a safetensors file"
    broken; head -c 100 model/model.safetensors >$weights
    eval_broken "this isn't a safetensors file, or it is cut off"
    broken; head -c 9000 model/model.safetensors >$weights
    eval_broken "expected offsets in order within the file's"
    broken; set_length '\0377\0377\0377\0377\0377\0377\0377\0377'
    eval_broken "the header says that it has 18446744073709551615 bytes"
    broken; set_length '\0020\0\0\0\0\0\0\0'
    eval_broken "of the header"
    broken; replace '"F32"' '"F31"'
    eval_broken "has dtype F31, expected one of the format's"
    broken; replace '"F32"' '"F16"'
    eval_broken "bytes of data, expected"
    broken; replace '"data_offsets":\[0,' '"data_offsets":[4,'
    eval_broken "bytes of data, expected"
    broken; replace 'transformer.h.1.ln_2.bias' 'transformer.h.1.ln_3.bias'
    eval_broken 'has no tensor "transformer.h.1.ln_2.bias"'
    broken; replace 'transformer.h.1.ln_2.bias' 'transformer.h.1.ln_1.bias'
    eval_broken "duplicate"
    broken; replace '\[16,48\]' '[48,16]'
    eval_broken "has shape (48, 16), expected (16, 48) = (embd, 3 x heads x head_dim)"
    broken; rm $weights
    eval_broken "model.safetensors: can't open"
    broken; rm $weights; mkdir $weights
    eval_broken "model.safetensors: isn't a regular file"
}

# set_field NAME VALUE: in config.json.
set_field() {
    broken
    sed -E "s/\"$1\": [^,]*/\"$1\": $2/" model/config.json >broken/config.json
}

check_config() {
    broken; : >broken/config.json
    eval_broken "config.json:1:0"
    broken; head -c 100 model/config.json >broken/config.json
    eval_broken "config.json:"
    broken; rm broken/config.json
    eval_broken "config.json: can't open"
    for size in n_layer n_head n_embd n_inner vocab_size n_positions; do
        set_field $size -1
        eval_broken "\"$size\" is -1, expected a whole number from 1"
        set_field $size 2147483647
        eval_broken ", expected"
        set_field $size 99999999999999999999
        eval_broken "too big integer"
    done
    set_field activation_function '"relu"'
    eval_broken '"activation_function" is "relu", expected "gelu_new"'
}

check_data() {
    : >empty
    : >empty.tok16
    printf 'abc' >odd.tok16
    printf '\0\0\0\001\0\0\0\0\0\0\0\0\0\0\0\0\0\0' >past.tok16
    for file in empty empty.tok16; do
        refuses "the text has 0 tokens, expected at least 9" eval --model model --data $file
        refuses "the training data have 0 tokens, expected at least 9" train --init model --data $file
    done
    refuses "odd.tok16: " eval --model model --data odd.tok16
    refuses "past.tok16: token 1 is 256, expected less than the vocabulary's 256" eval --model model --data past.tok16
    refuses "past.tok16: token 1 is 256" train --init model --data past.tok16 --out model --overwrite
}

resume_broken() {
    refuses "$1" train --resume broken --data ids.tok16 --steps 4 --reschedule --out broken
}

check_run() {
    kept="model broken"
    broken; rm broken/trainer.json
    resume_broken "trainer.json: can't open"
    broken; printf '{"step": 2' >broken/trainer.json
    resume_broken "trainer.json:1:"
    broken; printf '{"step": -2, "seed": 1, "best_loss": null}' >broken/trainer.json
    resume_broken '"step" is -2, expected a whole number of at least 0'
    broken; head -c 500 model/optimizer.safetensors >broken/optimizer.safetensors
    resume_broken "optimizer.safetensors: the header says"
    broken; cp model/model.safetensors broken/optimizer.safetensors
    resume_broken "optimizer.safetensors: has no tensor"
    kept=model
}

save_to() {
    refuses "$1" train --init model --data ids.tok16 --lr 1 --steps 2 --overwrite --out "$2"
}

check_unwritable() {
    mkdir closed
    cp -r model closed/model
    chmod a-w closed closed/model
    kept="model closed"
    if [ "$(id -u)" -eq 0 ]; then
        if command -v setpriv >/dev/null && setpriv --reuid 65534 --regid 65534 --clear-groups true; then
            as="setpriv --reuid 65534 --regid 65534 --clear-groups env STARPU_HOME=$work/nobody"
            mkdir nobody
            chmod a+rwx . nobody
            chmod -R a+rX model closed ids.tok16
        else
            echo "skipped: an unwritable folder: root may write everywhere, and setpriv is missing"
            return
        fi
    fi
    if $as "$paragraph" --version >/dev/null 2>&1; then
        save_to "closed/model.paragraph-new: can't make the folder: Permission denied" closed/model
        save_to "closed/new.paragraph-new: can't make the folder: Permission denied" closed/new
    else
        echo "skipped: an unwritable folder: another user than root can't run $paragraph"
    fi
    as='' kept=model
}

# The disk has room for the model that is on it, but not for another beside it.
check_full_disk() {
    mkdir disk
    room=$(($(du -sk model | cut -f 1) + 32))
    if ! mount -t tmpfs -o size=${room}k paragraph-test disk 2>err; then
        echo "skipped: a full disk: no small tmpfs can be mounted here (it takes root)"
        return
    fi
    mounted=yes
    cp -r model disk/model
    kept="model disk"
    save_to "No space left on device" disk/model
    save_to "No space left on device" disk/other
    refuses "can't be written" eval --model model --data ids.tok16 --logits disk/logits.npy
    checks=$((checks + 1)) what="after a full disk"
    [ "$(ls disk)" = model ] || failed "more is left than was there: $(ls disk)"
    umount disk && mounted=''
    kept=model
}

as='' kept=model
i=0
while [ $i -lt 150 ]; do
    printf '\012\0\101\0\0\0\377\0'
    i=$((i + 1))
done >ids.tok16
if ! "$paragraph" train --data ids.tok16 --layers 2 --heads 2 --embd 16 --context 8 --steps 2 --out model >out 2>err; then
    cat err
    echo "failed: making a model"
    exit 1
fi
check_weights
check_config
check_data
check_run
check_unwritable
check_full_disk
echo "$checks checks, $wrong failed"
[ "$wrong" -eq 0 ]
