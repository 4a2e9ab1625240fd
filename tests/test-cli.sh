#!/bin/sh
# shellcheck disable=SC2086 # lists of options stand in variables
# Check the paragraph command from the outside: usage, messages, exit codes, a small training run and what follows it.
# Run by make check, in the build folder.
. "${srcdir:-.}/tests/command.sh"
cd "$work" || exit 1

# Every line must be a JSON object with the keys of one of the lists given ("step loss").
json_lines() {
    file=$1
    shift
    [ -s "$file" ] || return 1
    if command -v python3 >/dev/null; then
        python3 -c '
import json, math, sys
kinds = [set(keys.split()) for keys in sys.argv[2:]]
def refuse(word):
    raise ValueError(word + " is no JSON number")
for line in open(sys.argv[1], encoding="utf-8"):
    value = json.loads(line, parse_constant=refuse)
    assert set(value) in kinds, line
' "$file" "$@"
    elif command -v jq >/dev/null; then
        for keys in "$@"; do
            printf '%s\n' "$keys" | tr ' ' '\n' | LC_ALL=C sort | paste -sd' '
        done >kinds
        jq -er 'keys | join(" ")' "$file" >found && ! grep -vxFf kinds found
    else
        ! grep -avE '^\{"[a-z_]+":("([^"\\]|\\.)*"|[^"{}])*\}$' "$file" # braces within strings alone
    fi
}

# python_or_skip PROGRAM: run it where there is a python3.
python_or_skip() {
    ! command -v python3 >/dev/null || python3 -c "$1"
}

# Values of a key in order, one a line.
values() {
    sed -nE "s/.*\"$1\":([^,}]*).*/\1/p" "$2"
}

# The losses of two files must agree within 1e-5.
close() {
    values loss "$1" >left
    values loss "$2" >right
    [ -s left ] && [ "$(wc -l <left)" -eq "$(wc -l <right)" ] &&
        paste left right | awk '{ d = $1 - $2; if (d > 1e-5 || d < -1e-5) exit 1 }'
}

# Two numbers must agree within 1e-5.
same_value() {
    awk -v a="$1" -v b="$2" 'BEGIN { d = a - b; exit !(a > 0 && d < 1e-5 && d > -1e-5) }'
}

same_losses() {
    values loss "$1" >left
    values loss "$2" >right
    [ -s left ] && cmp left right
}

# --- usage ---

check_usage() {
    refuses 2 "usage: paragraph COMMAND"
    refuses 2 'no command is called "trian"; did you mean train? there are info' trian
    refuses 2 "there is no option --hed" dump --hed 2
    refuses 2 "there is no option --stepz; did you mean --steps?" train --data text --stepz=2
    refuses 2 "there is no option --hep; did you mean --help?" dump --hep
    refuses 2 '--layers is "10001", expected a whole number from 1 to 10000' dump --layers 10001
    refuses 2 '--layers is "x", expected a whole number from 1' dump --layers x
    refuses 2 '--layers is "0", expected a whole number from 1' dump --layers=0
    refuses 2 '--layers is "99999999999999999999", expected' dump --layers 99999999999999999999
    refuses 2 '--format is "tex", expected one of text|dot|svg|html|json' dump --format tex
    refuses 2 "--format lacks its value" dump --format
    refuses 2 "--train takes no value" dump --train=yes
    refuses 2 "--batch is given twice" dump --batch 1 --batch 2
    refuses 2 '"word" belongs to no option' dump word
    refuses 2 "train needs --data FILE" train
    refuses 2 "--data lacks its value" train --data --json
    refuses 2 '--lr is "nan", expected a number' train --data text --lr nan
    refuses 2 "--init begins a run and --resume goes on" train --data text --init a --resume b
    refuses 2 "--best needs --val" train --data text --best b
    refuses 2 "--out and --best are both b" train --data text --val text --out b --best b
    refuses 2 "--eval-every needs --val" train --data text --eval-every 2
    refuses 2 "--save-every needs --out" train --data text --save-every 2
    refuses 2 "--warmup is 9, expected less than --steps, 9" train --data text --warmup 9 --steps 9
    refuses 2 'no preset is called "huge"; there are tiny' dump --preset huge
    presets=$("$paragraph" dump --preset huge 2>&1 | sed 's/.*there are //')
    "$paragraph" dump --help | tr -s ' \n' ' ' >help
    check "--help lists the presets" grep -q "a model by name: $presets;" help
    refuses 2 "embd is 10, expected a multiple of heads, 4" dump --embd 10
    refuses 2 "seq is 65, expected 1 to the context's 64" dump --seq 65
    refuses 2 '--split head: no axis is called "head"' dump --split head=2
    refuses 2 "--stages 99" dump --stages 99
    refuses 2 '--spread head: no axis is called "head"' dump --spread head
    refuses 2 "--spread heads=2: \"heads\" isn't split, and it is parts that are spread; splits: none" \
        dump --spread heads=2
    refuses 2 "--spread heads=3: 3 devices, expected at most 2" dump --split heads=2 --spread heads=3
    refuses 2 '"heads=x" is no list of axes' plan --split heads=2 --spread heads=x
    refuses 2 "--graph FILE is a graph already" dump --graph g --train
    refuses 2 "--fold is for text, dot and svg" dump --fold 1 --format json
    refuses 2 "chosen in the browser" dump --fold 1 --format html
    refuses 2 "--recompute: the graph has no backward part" dump --recompute layers
    refuses 2 '--recompute is "all", expected one of none|cheap|layers' dump --train --recompute all
    refuses 2 "--explain is for reading" plan --explain --json
    refuses 2 "--prompt is empty" generate --model m --prompt ""
    refuses 2 "--greedy takes the likeliest" generate --model m --prompt a --greedy --top-k 3
    refuses 2 "--greedy takes the likeliest" generate --model m --prompt a --temperature 0
    refuses 2 "--greedy takes the likeliest" generate --model m --prompt a --greedy --min-p 0.1
    refuses 2 '--min-p is "1.5", expected a number from 0 to 1' generate --model m --prompt a --min-p 1.5
    refuses 2 '--repetition-penalty is "0", expected' generate --model m --prompt a --repetition-penalty 0
    refuses 2 "--logprobs tells in JSON" generate --model m --prompt a --logprobs 3
    refuses 2 "--stream writes one text" generate --model m --prompt a --stream --continuations 2
    refuses 2 "expected a name that ends in .tok16" tokenize --tokenizer tokens --data text -o ids
    refuses 1 "none: can't open" tokenize --tokenizer "$tokens" --data none -o ids.tok16
    check "nothing half-written is left" [ -z "$(ls ids* 2>/dev/null)" ]
    refuses 1 "vocab.json" tokenize --tokenizer wide --data text -o ids.tok16
    refuses 1 "none: can't open" train --data none
    refuses 1 "none: is no folder" eval --model none --data text
    refuses 1 "none: is no folder" generate --model none --prompt a
    refuses 1 "none: can't be opened" dump --graph none
    refuses 1 "text: not a graph that dump --format json wrote" plan --graph text
    refuses 1 "there is no tokenizer" generate --model wide --prompt a
    refuses 1 "none/out.paragraph-new: can't make the folder" train --data text --out none/out
    refuses 1 "text: exists and isn't a folder" train --data text --out text
    refuses 2 '--out: "" can'"'"'t be replaced' train --data text --out ""
    refuses 2 '--out: "./" can'"'"'t be replaced' train --data text --out ./
    mkdir -p full/sub
    refuses 2 'holds a folder, "sub"' train --data text --out full
    refuses 1 "short: is read as bytes" eval --model wide --data short
    refuses 1 "the training data have 3 tokens, expected at least 9" train --data short --seq 8
    printf '{"format": 3' >bad.json
    refuses 1 "bad.json" dump --graph bad.json
    if [ -w /dev/full ]; then
        "$paragraph" --man >/dev/full 2>err
        check "a full disk is a failure" [ $? -eq 1 ]
    fi
}

check_help() {
    "$paragraph" --help >out 2>err
    check "--help" grep -q "usage: paragraph COMMAND" out
    check "--help says nothing on standard error" [ ! -s err ]
    check "--version" grep -qE '^paragraph [0-9]+\.[0-9]+' <<VERSION
$("$paragraph" --version)
VERSION
    commands=$(sed -nE 's/^  ([a-z-]+) .*/\1/p' out)
    check "thirteen commands are listed" [ "$(echo "$commands" | wc -l)" -eq 13 ]
    for command in $commands; do
        "$paragraph" "$command" --help >out 2>err
        check "$command --help succeeds" [ $? -eq 0 ]
        check "$command --help says how it is used" grep -q "^usage: paragraph $command" out
        check "$command --help fits 80 columns" awk 'length > 80 { exit 1 }' out
        "$paragraph" help "$command" >out2 2>err
        check "help $command is $command --help" cmp out out2
    done
    "$paragraph" --man >page 2>err
    check "doc/man/paragraph.1 is what paragraph --man prints" cmp "$top/doc/man/paragraph.1" page
    # scripts/write-pages writes them.
    for command in $commands; do
        "$paragraph" --man "$command" >page 2>err
        check "doc/man/paragraph-$command.1 is what paragraph --man $command prints" \
            cmp "$top/doc/man/paragraph-$command.1" page
        check "paragraph.1 names it" grep -q "^.BR paragraph..$command (1)" "$top/doc/man/paragraph.1"
    done
    refuses 2 'no command is called "trian"' --man trian
    "$paragraph" --completion >completion 2>err
    check "doc/completion/paragraph is what paragraph --completion prints" \
        cmp "$top/doc/completion/paragraph" completion
}

# completes WORDS LINE...: bash completes the last word of the line to these words; ":default" and ":dirnames" stand
# for names of files and of folders.
completes() {
    expected=$1
    shift
    found=$(bash -c '
        . ./completion
        compopt() { [ "$1" = -o ] && COMPREPLY+=(":$2"); }
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
        _paragraph paragraph "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
        echo "${COMPREPLY[*]}"' bash "$@") || return 1
    [ "$found" = "$expected" ] || { echo "\"$*\" gives \"$found\", expected \"$expected\""; return 1; }
}

check_completion() {
    if ! command -v bash >/dev/null; then
        echo "skipped: no bash to check completion with"
        return
    fi
    check "commands" completes "tokenize train-tokenizer train" paragraph t
    check "all commands" completes "$(echo $commands) help --help --version" paragraph ""
    check "commands after help" completes "dump" paragraph help d
    check "options" completes "--schedule --scheduler" paragraph train --sch
    check "a file to write" completes ":default" paragraph tokenize -o ""
    check "words of a choice" completes "random sequential" paragraph train --order ""
    check "words of a choice after =" completes "linear" paragraph train --schedule = li
    check "nothing for a number" completes "" paragraph train --steps ""
    check "folders" completes ":dirnames" paragraph train --resume ""
    check "folders and files" completes ":default" paragraph eval --model ""
    check "files" completes ":default" paragraph plan --graph ""
    check "many files" completes ":default" paragraph train --data a b ""
    check "an option after many files" completes "--order" paragraph train --data a b --or
    check "no command, no words" completes "" paragraph trian --
}

# --- a model of 2 layers, 16 wide ---

sizes="--layers 2 --heads 2 --embd 16 --context 8"
steps="--data text --batch 4 --schedule constant --warmup 2 --dropout 0.1 --seed 7 --json"
model=model

# train FILE ARGUMENT...: train; its JSON goes to FILE.
train() {
    file=$1
    shift
    "$paragraph" train $steps "$@" >"$file" 2>err
}

# stopped FILE ARGUMENT...: train, tell it by SIGTERM to stop once it has done some steps, and return how it exits. Its
# JSON goes to FILE, its messages to FILE.err.
stopped() {
    file=$1
    shift
    : >"$file"
    "$paragraph" train $steps $sizes --steps 1000000 "$@" >"$file" 2>"$file.err" &
    run=$!
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30; do
        [ "$(wc -l <"$file")" -lt 3 ] || break
        sleep 1
    done
    kill -TERM "$run"
    wait "$run"
}

# A run that is killed by SIGTERM after some steps, and goes on to have the losses of one that was not.
check_kill() {
    stopped unsaved
    check "a run that was told to stop exits with 1" [ $? -eq 1 ]
    check "it says where, and that nothing is saved" \
        grep -q "stopped after step $(wc -l <unsaved) of 1000000; nothing is saved" unsaved.err
    stopped before --out killed
    check "a run that was told to stop exits with 1" [ $? -eq 1 ]
    check "it says how to go on" grep -q -- "--resume killed goes on" before.err
    done_steps=$(wc -l <before)
    all=$((done_steps + 4))
    check "going on" train after --resume killed --steps $all
    check "it says what it takes" grep -q "goes on, given its data again" before.err
    check "the rest of the steps" [ "$(wc -l <after)" -eq 4 ]
    check "the whole run" train whole $sizes --steps $all
    cat before after >parts
    check "a resumed run has the losses of one never stopped, bit by bit" same_losses parts whole
    check "going on under another number of workers" train other --resume killed --steps $all --workers 1
    check "it has the same losses, bit by bit" same_losses other after
    check "going on under another split" train other --resume killed --steps $all --split batch=2,heads=2,vocab=3
    check "it has the same losses within 1e-5" close other after
    check "going on in stages" train other --resume killed --steps $all --split batch=2 --stages 2
    check "it has the same losses within 1e-5" close other after
    check "going on spread" train other --resume killed --steps $all --split batch=2 --spread batch
    check "it says so" grep -q "splits batch=2, spread batch=2, 1 stage" err
    check "it has the same losses within 1e-5" close other after
    refuses 2 "--seed is 8, but the run in killed began with 7" train --data text --batch 4 --resume killed \
        --steps $all --seed 8
}

check_training() {
    check "training" train run --out model --val-fraction 0.2 --eval-every 4 --steps 8 $sizes
    check "its lines are JSON" json_lines run "step loss lr grad_norm tokens_per_s" "step val_loss"
    check "a line per step and per evaluation" [ "$(wc -l <run)" -eq 10 ]
    check "progress is on standard error" grep -q "step 8 of 8" err
    check "the last loss is below the first" awk -v first="$(values loss run | head -n 1)" \
        -v last="$(values loss run | tail -n 1)" 'BEGIN { exit !(last < first) }'
    for file in config.json model.safetensors optimizer.safetensors trainer.json; do
        check "the checkpoint has $file" [ -s "model/$file" ]
    done
    check "its output folder is refused to another run" ends 2 \
        "model holds a model of 8 steps; --resume model goes on, --overwrite replaces it" train $steps --out model
    check "sizes that differ from the folder's" ends 2 \
        "the model comes from --resume model: 2 layers, 2 heads, 16 wide" train --data text --resume model --layers 3
    check "sizes that say the same" train same --resume model --steps 9 $sizes
    check "the parameters are shared with the evaluation" ends 0 "" eval --model model --data held --json
    check "its loss is the run's" same_value "$(values loss out)" "$(values val_loss run | tail -n 1)"
    check "the best model" train again --out model --overwrite --best best --val held --eval-every 2 --steps 8 $sizes
    least=$(values val_loss again | LC_ALL=C sort -g | head -n 1)
    check "it is evaluated" ends 0 "" eval --model best --data held --json
    check "its loss is the least" same_value "$(values loss out)" "$least"
    check "training in another order" train sequential --order sequential --steps 8 $sizes
    check "other windows give other losses" [ "$(values loss sequential)" != "$(values loss run)" ]
    check "beginning with a model" train begun --init model --steps 3
    check "its loss is below that of a new one" awk -v new="$(values loss run | head -n 1)" \
        -v begun="$(values loss begun | head -n 1)" 'BEGIN { exit !(begun < new) }'
}

check_eval() {
    "$paragraph" eval --model model --data text --json >eval 2>err
    check "eval" [ $? -eq 0 ]
    check "its line is JSON" json_lines eval "loss perplexity bits_per_byte tokens bytes"
    windows=$((($(wc -c <text) - 1) / 8))
    check "whole windows are counted" [ "$(values tokens eval)" -eq $((windows * 8)) ]
    "$paragraph" eval --model model --data text --json --batch 5 --split vocab=2 --logits logits.npy >eval5 2>err
    check "eval with an odd batch, split" [ $? -eq 0 ]
    check "the last, partial batch counts as much as it has" close eval eval5
    check "logits have a header and a row of 256 per token" \
        [ "$(wc -c <logits.npy)" -eq $((128 + windows * 8 * 256 * 4)) ]
    check "the header has the shape" grep -qaF "'shape': ($((windows * 8)), 256)" logits.npy
    "$paragraph" eval --model model --data short --logits none.npy >out 2>err
    check "a text too short fails" [ $? -eq 1 ]
    check "no file of logits is left" [ ! -e none.npy ]
    check "perplexity is the loss's exponential" awk -v l="$(values loss eval)" -v p="$(values perplexity eval)" \
        'BEGIN { d = exp(l) / p - 1; exit !(d < 1e-9 && d > -1e-9) }'
}

# nats SEQ FILE: the loss of a file that is one window, times its tokens.
nats() {
    "$paragraph" eval --model model --data "$2" --seq "$1" --json >out 2>err || return 1
    values loss out | awk -v n="$1" '{ printf "%.9f\n", n * $1 }'
}

# Windows that overlap score each token but the first once, given all that fits. 10 tokens at stride 1 are a window of 8
# and one more token, whose score is that of its window less that of the seven before it in there.
check_stride() {
    head -c 10 text >ten
    head -c 9 ten >first
    tail -c 9 ten >second
    head -c 8 second >before
    expected=$(echo "$(nats 8 first) $(nats 8 second) $(nats 7 before)" | awk '{ print ($1 + $2 - $3) / 9 }')
    check "a stride of 1" ends 0 "" eval --model model --data ten --stride 1 --json
    check "its line is JSON" json_lines out "loss perplexity bits_per_byte tokens bytes"
    check "each token but the first is scored once" [ "$(values tokens out)" -eq 9 ]
    check "given all before it" same_value "$(values loss out)" "$expected"
    check "bits per byte, where a token is one" same_value "$(values bits_per_byte out)" \
        "$(values loss out | awk '{ print $1 / log(2) }')"
    check "windows of one batch or of many" ends 0 "" eval --model model --data ten --stride 1 --batch 1 --json
    check "give the same loss" same_value "$(values loss out)" "$expected"
    check "a whole text by one worker" ends 0 "" eval --model model --data text --stride 3 --workers 1 --json
    mv out one
    check "by two, in other batches" ends 0 "" eval --model model --data text --stride 3 --workers 2 --batch 5 --json
    check "the same to the bit" cmp one out
    check "of which one token isn't scored" [ "$(values tokens one)" -eq $(($(wc -c <text) - 1)) ]
    check "under another split" ends 0 "" eval --model model --data text --stride 3 --split vocab=2,heads=2 --json
    check "the loss is the same within 1e-5" close one out
    check "a stride of a window scores the text's end, too" ends 0 "" eval --model model --data ten --stride 8 --json
    check "once" [ "$(values tokens out)" -eq 9 ]
    check "a text shorter than a window" ends 0 "" eval --model model --data short --stride 8 --json --logits short.npy
    check "has its tokens" [ "$(values tokens out)" -eq 2 ]
    check "and logits of as many" [ "$(wc -c <short.npy)" -eq $((128 + 2 * 256 * 4)) ]
    check "a stride that leaves tokens out" ends 2 "--stride is 9, expected at most the 8 tokens of a window" \
        eval --model model --data text --stride 9
    printf a >letter
    check "a text of one token" ends 1 "the text has 1 tokens, expected at least 2" \
        eval --model model --data letter --stride 1
}

# An ending's score is what the text with it has more than the text alone.
check_choices() {
    printf '%s\n' '{"ctx": "The", "endings": ["old", "zq"], "label": 0}' \
        '{"prompt": "The old\n", "endings": ["x", "grap", "e"], "label": "1"}' >choices.jsonl
    check "questions" ends 0 "choices.jsonl: 1 of 2 texts are longer than the context of 8 tokens with their endings" \
        eval --model model --choices choices.jsonl --json
    check "their lines are JSON" json_lines out "line label choice choice_norm scores tokens" \
        "items accuracy accuracy_norm shortened"
    mv out asked
    printf 'The' >alone
    for ending in old zq; do
        printf 'The %s' "$ending" >both
        echo "$(nats 2 alone) $(nats $((${#ending} + 3)) both)" | awk '{ printf "%.5f\n", $2 - $1 }'
    done >expected
    head -n 1 asked | sed 's/.*"scores":.//; s/].*//' | tr , '\n' | awk '{ printf "%.5f\n", -$1 }' >found
    check "an ending's score is its own" awk 'NR == FNR { e[FNR] = $1; next }
        { d = $1 - e[FNR]; bad += d > 2e-5 || d < -2e-5 } END { exit !(FNR == 2 && !bad) }' expected found
    check "a space goes between, where there is none" grep -q '^{"line":1,.*"tokens":\[4,3\]' asked
    check "a blank at the text's end is the endings'" grep -q '^{"line":2,.*"tokens":\[2,5,2\]' asked
    for how in "--workers 1" "--batch 2" "--batch 100"; do
        check "questions $how" ends 0 "" eval --model model --choices choices.jsonl --json $how
        check "have the same scores to the bit" cmp asked out
    done
    check "as text" ends 0 "" eval --model model --choices choices.jsonl
    check "it tells both accuracies" grep -qE "^accuracy [01].[0-9]+  by mean [01].[0-9]+  questions 2$" out
    echo '{"ctx": "a", "endings": ["b", "c"], "label": 2}' >>choices.jsonl
    refuses 1 'choices.jsonl:3: "label" is something else' eval --model model --choices choices.jsonl
    check "nothing is printed" [ ! -s out ]
    echo '{"ctx": "a", "endings": ["b", "more than there is"], "label": 0}' >choices.jsonl
    refuses 1 "choices.jsonl:1: a continuation has 19 tokens, expected at most the context's 8" \
        eval --model model --choices choices.jsonl
    echo '{"ctx": " ", "endings": ["b", "c"], "label": 0}' >choices.jsonl
    refuses 1 "choices.jsonl:1: nothing but white space stands before" eval --model model --choices choices.jsonl
    refuses 2 "--choices asks questions of their own lengths" eval --model model --choices choices.jsonl --data text
    refuses 2 "eval needs --data FILE or --choices FILE" eval --model model
    refuses 2 "--logits and --profile are both o.npy" eval --model model --data text --logits o.npy --profile o.npy
    refuses 1 "none: can't open" eval --model model --choices none
}

# answers ARGUMENT...: classify; what it prints goes to out.
answers() {
    "$paragraph" classify "$@" >out 2>err
}

# A label's score is that of its tokens, and of what follows it, given what stands before.
check_classify() {
    printf 'The\r\n\377\376\n' >texts
    printf 'of\r\nzq\n' >labels
    check "labels" answers --model model --labels labels --data texts --template "{text} {label}"
    check "one for each text" [ "$(wc -l <out)" -eq 2 ]
    check "which are labels" [ "$(grep -cxE 'of|zq' out)" -eq 2 ]
    check "in JSON" answers --model model --labels labels --data texts --template "{text} {label}" --json
    check "their lines are JSON" json_lines out "line label votes scores"
    mv out one
    printf 'The' >alone
    for label in of zq; do
        printf 'The %s' "$label" >both
        echo "$(nats 2 alone) $(nats 5 both)" | awk '{ printf "%.5f\n", $2 - $1 }'
    done >expected
    head -n 1 one | sed 's/.*"scores":.//; s/].*//' | tr , '\n' | awk '{ printf "%.5f\n", -$1 }' >found
    check "a label's score is its own" awk 'NR == FNR { e[FNR] = $1; next }
        { d = $1 - e[FNR]; bad += d > 2e-5 || d < -2e-5 } END { exit !(FNR == 2 && !bad) }' expected found
    "$paragraph" classify --model model --labels labels --template "{text} {label}" --json --workers 1 <texts >out 2>err
    check "texts of standard input, by one worker, have the same to the bit" cmp one out
    check "two votes" answers --model model best --labels labels --data texts --json \
        --template "{text} {label}" "a {text}: {label}!"
    check "of two models each" [ "$(grep -c '"votes":\[[0-4],[0-4]\]' out)" -eq 2 ]
    check "are four" [ "$(sed 's/.*"votes":.//; s/].*//' out | awk -F, 'NR == 1 { print $1 + $2 }')" -eq 4 ]
    check "of equal votes the greater sum decides" python_or_skip '
import json, sys
for line in open("out"):
    r = json.loads(line)
    best = max(range(2), key=lambda i: (r["votes"][i], r["scores"][i], -i))
    assert r["label"] == ["of", "zq"][best]'
    check "a text longer than the context" ends 0 "2 times a text with its labels was longer than the context" \
        classify --model model --labels labels --data texts --template "{text} and more than fits {label}"
    printf 'a\n \nb\n' >blank
    refuses 1 "blank:2: nothing but white space stands before" classify --model model --labels labels --data blank \
        --template "{text} {label}"
    check "nothing is printed" [ ! -s out ]
    check "white space in a template that has more is read" answers --model model --labels labels --data blank
    check "no texts" answers --model model --labels labels --data /dev/null
    check "have no labels" [ ! -s out ]
    printf 'a\nb\na\n' >twice
    refuses 1 "twice:3: the label is that of line 1" classify --model model --labels twice --data texts
    printf 'a\n\nb\n' >twice
    refuses 1 "twice:2: the line is empty, expected a label" classify --model model --labels twice --data texts
    printf 'a\n' >twice
    refuses 1 "twice: has 1 labels, expected 2 to 10000" classify --model model --labels twice --data texts
    refuses 2 '--template is "{text}", expected {text} and {label} in it' classify --model model --labels labels \
        --data texts --template "{text}"
    refuses 1 "none: can't be opened" classify --model model --labels none --data texts
    refuses 1 "none: can't be opened" classify --model model --labels labels --data none
    refuses 2 "--labels and --data are both standard input, expected a file for one of them" \
        classify --model model --labels - <texts
    refuses 2 "--labels and --data are both standard input" classify --model model --labels - --data - <texts
    refuses 1 "none: is no folder" classify --model model none --labels labels --data texts
}

# nearly WEIGHTS PART: the perplexity of $model with weights of fewer bits is within a part of what it is with all.
nearly() {
    "$paragraph" eval --model $model --data text --json >eval4 2>err || return 1
    "$paragraph" eval --model $model --data text --json --weights "$1" >eval5 2>err || return 1
    awk -v few="$(values perplexity eval5)" -v all="$(values perplexity eval4)" -v part="$2" \
        'BEGIN { d = few / all - 1; exit !(d != 0 && d < part && d > -part) }'
}

# Texts of $model with weights of fewer bits.
check_texts_with() {
    check "generate with $1 weights" generate one -n 20 --greedy --weights $1 --json
    check "the same side by side" generate all -n 20 --greedy --weights $1 --json --continuations 3
    check "texts are what they are alone" [ "$(texts one)" = "$(texts all | head -n 1)" ]
    check "one worker" generate two -n 20 --greedy --weights $1 --json --workers 1 --split vocab=2,heads=2,ff=2
    check "two workers" generate one -n 20 --greedy --weights $1 --json --split vocab=2,heads=2,ff=2
    check "give the same text" [ "$(texts one)" = "$(texts two)" ]
}

# Blocks are 32 elements.
check_weights() {
    check "bfloat16 weights change the perplexity by less than 0.1 %" nearly bf16 0.001
    check "int8 weights change it by less than 1 %" nearly int8 0.01
    check_texts_with bf16
    check_texts_with int8
    refuses 2 '--weights is "i8", expected one of f32|bf16|int8|q8_0|q4_0' eval --model model --data text --weights i8
    refuses 2 "--weights q8_0: gpt2's embd is 16 and ff 64, expected multiples of 32" eval --model model --data text \
        --weights q8_0
    check "training a wider model" train run2 --out model32 --steps 8 --layers 2 --heads 2 --embd 32 --context 8
    model=model32
    check "q8_0 weights change the perplexity by less than 0.5 %" nearly q8_0 0.005
    check "q4_0 weights change it by less than 5 %" nearly q4_0 0.05
    check_texts_with q8_0
    check_texts_with q4_0
    model=model
}

# generate FILE ARGUMENT...: continue a prompt with the model; what is printed goes to FILE.
generate() {
    file=$1
    shift
    "$paragraph" generate --model $model --prompt "The graph" "$@" >"$file" 2>err
}

# Numbers, texts and tokens alone, of lines of JSON.
texts() {
    sed 's/,"tokens_per_s":.*//' "$1"
}

check_generate() {
    check "generate" generate one -n 20 --seed 3
    check "the prompt, 20 bytes and a newline" [ "$(wc -c <one)" -eq 30 ]
    check "the prompt comes first" [ "$(head -c 9 one)" = "The graph" ]
    check "one worker" generate two -n 20 --seed 3 --workers 1
    check "the same seed gives the same text on one worker" cmp one two
    check "a stream" generate two -n 20 --seed 3 --stream
    check "a stream has the same text" cmp one two
    check "another seed" generate two -n 20 --seed 4
    check "another seed gives another text" sh -c '! cmp -s one two'
    check "greedy" generate one -n 20 --greedy
    check "the likeliest of one" generate two -n 20 --top-k 1 --seed 9
    check "the likeliest of one is the greedy choice" cmp one two
    check "the fewest tokens" generate two -n 20 --top-p 0 --temperature 2
    check "the fewest tokens are the greedy choice" cmp one two
    check "the fewest of some" generate two -n 20 --top-p 0 --top-k 5 --temperature 2
    check "the fewest of some are the greedy choice" cmp one two
    check "those with the likeliest's probability" generate two -n 20 --min-p 1 --temperature 2
    check "those with the likeliest's probability are the greedy choice" cmp one two
    check "a penalty on what the text has" generate two -n 20 --greedy --repetition-penalty 100
    check "it changes the text" sh -c '! cmp -s one two'
    check "splits and stages" generate two -n 20 --greedy --split heads=2,ff=3,vocab=3 --stages 2
    check "spread" generate two -n 20 --greedy --split heads=2,ff=3,vocab=3 --spread heads,ff,vocab=2
    check "rows can't be spread" ends 2 "\"batch\" isn't split" generate --model model --prompt a --spread batch=2
    "$paragraph" generate --model model --prompt "xxxxxxxxxxxxThe graph" -n 20 --greedy >two 2>err
    check "tokens past the context don't count" [ "$(tail -c 21 one)" = "$(tail -c 21 two)" ]
    check "batch is 1" ends 2 "--split batch=2" generate --model model --prompt a --split batch=2
}

# likelihoods_hold FILE: each token's bytes are its text's; of the alternatives the first is the greedy choice, they are
# in order, and all of them are a whole vocabulary's, whose probabilities sum to 1.
likelihoods_hold() {
    python3 -c '
import json, math, sys
for line in open(sys.argv[1], encoding="utf-8"):
    r = json.loads(line)
    assert [t["id"] for t in r["logprobs"]] == r["tokens"]
    assert b"".join(bytes(t["bytes"]) for t in r["logprobs"]).decode("utf-8", "replace") == r["text"]
    for t in r["logprobs"]:
        top = [a["logprob"] for a in t["top"]]
        assert top == sorted(top, reverse=True) and t["id"] == t["top"][0]["id"] and t["logprob"] == top[0]
        assert abs(sum(math.exp(p) for p in top) - 1) < 1e-9
        assert sorted(a["id"] for a in t["top"]) == list(range(len(top)))
' "$1"
}

check_likelihoods() {
    check "log-probabilities" generate all -n 12 --greedy --json --logprobs 256 --continuations 2
    check "their lines are JSON" json_lines all "continuation text tokens logprobs finish tokens_per_s"
    check "one alone" generate one -n 12 --greedy --json --logprobs 256
    check "they are what they are alone" [ "$(sed 's/,"tokens_per_s.*//' one)" = "$(sed 's/,"tokens_per_s.*//;q' all)" ]
    if command -v python3 >/dev/null; then
        check "they are a distribution" likelihoods_hold one
    fi
    check "of the chosen alone" generate two -n 12 --seed 3 --json --logprobs 0
    check "there is one for each" [ "$(grep -o '"top":\[\]' two | wc -l)" -eq 12 ]
    check "more than there are" ends 2 "--logprobs is 257, expected no more than the vocabulary, 256" \
        generate --model model --prompt a --json --logprobs 257
}

# 18 continuations, 16 of them side by side and then 2, of a text that outgrows the context of 8 tokens.
check_continuations() {
    check "18 continuations" generate all -n 20 --continuations 18 --seed 5 --top-p 0.9 --json
    check "a line for each" [ "$(wc -l <all)" -eq 18 ]
    check "its lines are JSON" json_lines all "continuation text tokens finish tokens_per_s"
    for number in 0 1 15 16 17; do
        check "continuation $number alone" generate alone -n 20 --first $number --seed 5 --top-p 0.9 --json
        check "continuation $number is the text that it is alone" \
            [ "$(texts alone)" = "$(texts all | sed -n $((number + 1))p)" ]
    done
    check "no two are the same" [ "$(sed 's/^[^,]*,//' all | texts /dev/stdin | sort -u | wc -l)" -eq 18 ]
    check "without a number it is number 0" generate one -n 20 --seed 5 --top-p 0.9 --json
    check "it is number 0" [ "$(texts one)" = "$(texts all | head -n 1)" ]
    check "as text" generate two -n 20 --seed 5 --top-p 0.9 --continuations 2
    check "each has its number" [ "$(grep -ac -- "--- continuation [01] ---" two)" -eq 2 ]
}

# Conversations: what is said becomes a prompt, as a family has it, and the answer alone is told.
check_chat() {
    cat >talk.jsonl <<'LINES'
{"messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]}
{"prompt": "d"}
{"messages": [{"role": "assistant", "content": "a"}]}
LINES
    "$paragraph" generate --model model --chat zephyr --prompts talk.jsonl -n 3 --json 2>err |
        sed 's/\\u000a/@/g' >talk
    check "a conversation that begins with an answer is refused" grep -q "talk.jsonl:3: expected \"messages\" of a" err
    check "turns are written as the family has them" \
        grep -qF '"prompt":"<|system|>@S</s>@<|user|>@a</s>@<|assistant|>@b</s>@<|user|>@c</s>@<|assistant|>@"' talk
    check "a prompt is what a user says" grep -qF '"prompt":"<|user|>@d</s>@<|assistant|>@"' talk
    "$paragraph" generate --model model --chat chatml --system Short --prompt ab --greedy -n 5 >one 2>err
    check "an answer" [ $? -eq 0 ]
    check "a question isn't repeated" [ "$(wc -c <one)" -eq 6 ]
    printf 'ab\n\ncd\n' | "$paragraph" generate --model model --chat chatml --greedy -n 5 >lines 2>err
    check "lines are answered" [ $? -eq 0 ]
    check "as many answers as lines that say something" [ "$(wc -c <lines)" -eq 12 ]
    mkdir own && cp model/* own
    echo '{"chat_template": "{{ [INST] <<SYS>> }}"}' >own/tokenizer_config.json
    "$paragraph" generate --model own --chat chatml --prompt a -n 1 >out 2>err
    check "another family's template is told" grep -q "own: its own chat template looks like llama2's; chatml's is used" err
    "$paragraph" generate --model own --chat auto --prompt a -n 1 >out 2>err
    check "a template that may say something else is told" grep -q "of llama2's kind, but isn't known to say the same" err
    refuses 1 "it has no chat template of its own; expected one of auto|chatml" generate --model model --chat auto --prompt a
    refuses 2 "expected --chat beside it" generate --model model --system a --prompt b
    refuses 2 "doesn't go with it" generate --model model --chat chatml --divide 2 --prompt b
}

# A model that reads by a tokenizer, which stays beside it.
check_tokenizer() {
    "$paragraph" tokenize --tokenizer "$tokens" --data text text -o text.tok16 --json >counts 2>err
    check "tokenize" [ $? -eq 0 ]
    check "its line is JSON" json_lines counts "files bytes tokens seconds bytes_per_s"
    check "all bytes are read" [ "$(values bytes counts)" -eq $((2 * $(wc -c <text))) ]
    check "two bytes for a token" [ "$(wc -c <text.tok16)" -eq $((2 * $(values tokens counts))) ]
    check "fewer tokens than bytes" [ "$(values tokens counts)" -lt "$(values bytes counts)" ]
    "$paragraph" train-tokenizer --data text --out trained --vocab 300 --json >counts 2>err
    check "train-tokenizer" [ $? -eq 0 ]
    check "its line is JSON" json_lines counts "tokens seconds"
    check "as many tokens as asked for" [ "$(values tokens counts)" -eq 300 ]
    cp -r trained trained-before
    check "a tokenizer there stays" ends 2 "trained holds a tokenizer; --overwrite replaces it" \
        train-tokenizer --data text --out trained
    check "so does that of a model" ends 2 "model holds a model; --overwrite replaces its tokenizer" \
        train-tokenizer --data text --out model
    check "all of it" diff -r trained-before trained
    echo '{}' >trained/added_tokens.json
    echo mine >trained/notes
    check "unless told otherwise" ends 0 "" train-tokenizer --data text --out trained --vocab 300 --overwrite
    check "then no file of the old one is left, and what is none of it stays" [ "$(ls trained | tr '\n' ' ')" = \
        "generation_config.json merges.txt notes tokenizer.json tokenizer_config.json vocab.json " ]
    rm trained/notes
    check "a tokenizer that was trained is read" \
        ends 0 "" tokenize --tokenizer trained --data text -o trained.tok16
    check "training by it" train encoded $sizes --tokenizer trained --steps 4 --out by-trained
    check "tokenizer.json goes along" cmp trained/tokenizer.json by-trained/tokenizer.json
    check "so does what ends a text" cmp trained/generation_config.json by-trained/generation_config.json
    "$paragraph" convert --model by-trained --out by-trained.gguf >/dev/null 2>err
    check "training from a GGUF file" train encoded --init by-trained.gguf --steps 3 --seq 8 --out from-gguf
    "$paragraph" tokenize --tokenizer from-gguf --data text -o from-gguf.tok16 >/dev/null 2>err
    check "its tokenizer goes along" cmp trained.tok16 from-gguf.tok16
    check "so does what ends a text there" grep -q '"eos_token_id"' from-gguf/generation_config.json
    printf '<|endoftext|>' >special
    "$paragraph" tokenize --tokenizer "$tokens" --data special -o special.tok16 --specials >out 2>err
    check "a special token is one" [ "$(wc -c <special.tok16)" -eq 2 ]
    check "training by a tokenizer" train encoded $sizes --tokenizer "$tokens" --steps 4 --out bpe
    check "the model has the tokenizer's vocabulary" grep -q '"vocab_size": 600' bpe/config.json
    check "vocab.json goes along" cmp "$tokens/vocab.json" bpe/vocab.json
    check "merges.txt goes along" cmp "$tokens/merges.txt" bpe/merges.txt
    "$paragraph" tokenize --tokenizer "$tokens" --data text -o text.tok16 >out 2>err
    "$paragraph" train --batch 4 --schedule constant --warmup 2 --dropout 0.1 --seed 7 --json $sizes \
        --tokenizer "$tokens" --data text.tok16 --steps 4 >ids 2>err
    check "ids of a file and ids of a text are the same data" same_losses encoded ids
    check "going on finds the tokenizer" train on --resume bpe --steps 6
    check "going on" [ "$(wc -l <on)" -eq 2 ]
    check "eval finds the tokenizer" ends 0 "" eval --model bpe --data text --json
    cp out evaluated
    check "eval of ids" ends 0 "" eval --model bpe --data text.tok16 --json
    check "ids and text have the same loss" cmp out evaluated
    "$paragraph" generate --model bpe --prompt "The graph" -n 5 --json >out 2>err
    check "generate finds it" [ $? -eq 0 ]
    check "as many tokens as asked for" [ "$(sed 's/.*"tokens":.//; s/].*//' out | tr , '\n' | wc -l)" -eq 5 ]
    check "a tokenizer with more tokens than the model" ends 1 \
        "the tokenizer has 600 tokens, the model a vocabulary of 256" eval --model model --data text --tokenizer "$tokens"
}

# A model that goes from form to form says the same in each.
check_convert() {
    "$paragraph" eval --model model --data text --json >of_folder 2>err
    check "to a GGUF file" ends 0 "" convert --model model --out model.gguf
    "$paragraph" eval --model model.gguf --data text --json >of_gguf 2>err
    check "which is as good" cmp of_folder of_gguf
    check "to a file of llm.c" ends 0 "" convert --model model.gguf --out model.bin
    check "back to a folder" ends 0 "" convert --model model.bin --out unpacked
    check "with the same weights" [ "$("$paragraph" eval --model unpacked --data text --json 2>err)" = "$(cat of_folder)" ]
    check "a file there stays" ends 2 "model.gguf is there already; --overwrite replaces it" \
        convert --model model --out model.gguf
    check "so does a model" ends 2 "unpacked holds a model; --overwrite replaces it" convert --model model --out unpacked
    check "unless told otherwise" ends 0 "" convert --model model --out model.gguf --overwrite --weights f16
    check "nothing half-written is left" [ -z "$(ls | grep paragraph-new)" ]
    check "smaller" [ "$(wc -c <model.gguf)" -lt "$(wc -c <model.bin)" ]
    check "text from a GGUF file" ends 0 "" generate --model model.gguf --prompt "The" -n 4
    check "going on from one" train begun --init model.gguf --steps 4
    check "its graph" ends 0 "" dump --model model.gguf
    check "the same place" ends 2 "expected another place" convert --model model --out model --overwrite
    check "no model" ends 1 "none: is no folder" convert --model none --out none.gguf
    check "no GGUF file" ends 1 "isn't a GGUF file" convert --model text.gguf --out none.gguf
    check "no place" ends 1 "none/x.gguf" convert --model model --out none/x.gguf
    check "a word that is no type" ends 2 "expected one of f32|f16|bf16|q8_0|q4_0" \
        convert --model model --out none.gguf --weights q5
    check "blocks for a folder" ends 1 "weights of q8_0, expected f32, f16, bf16" \
        convert --model model --out none --weights q8_0
    check "a tokenizer goes along" ends 0 "" convert --model bpe --out bpe.gguf
    check "and back" ends 0 "" convert --model bpe.gguf --out unpacked --overwrite
    check "as tokenizer.json" [ -s unpacked/tokenizer.json ]
}

check_dump() {
    "$paragraph" dump $sizes --seq 8 --train --split batch=2 --format json -o graph.json 2>err
    check "dump as JSON" [ -s graph.json ]
    "$paragraph" dump --graph graph.json --format json >again.json 2>err
    check "a graph file loads and dumps to the same bytes" cmp graph.json again.json
    "$paragraph" dump $sizes --seq 8 --format json >graph8.json 2>err
    "$paragraph" dump --model model --seq 8 --format json >again.json 2>err
    check "a folder's model gives the same graph" cmp graph8.json again.json
    "$paragraph" dump $sizes --seq 8 --train --split batch=2 >text.txt 2>err
    check "dump as text names parts" grep -q "batch=1" text.txt
    "$paragraph" dump $sizes --seq 8 --fold 1 >folded.txt 2>err
    check "folding makes it shorter" [ "$(wc -l <folded.txt)" -lt "$(wc -l <text.txt)" ]
    "$paragraph" dump $sizes --seq 8 --format dot >graph.dot 2>err
    check "dump as DOT" grep -q "^digraph" graph.dot
    "$paragraph" dump $sizes --seq 8 --format svg -o graph.svg 2>err
    check "dump as SVG" grep -q "^<svg" graph.svg
    "$paragraph" dump $sizes --seq 8 --format html -o graph.html 2>err
    check "dump as a page" grep -q "^<!DOCTYPE html>" graph.html
    (umask 022 && BROWSER='cp -t opened' && export BROWSER && mkdir opened && "$paragraph" view $sizes --seq 8 2>err)
    page=$(sed -n 's/^paragraph: the page is //p' err)
    check "view says where its page is" grep -q "^paragraph-view-[0-9a-f]\{12\}\.html$" <<-END
		$page
	END
    check "view's page is private" [ "$(stat -c %a "$page")" = 600 ]
    check "view's page is the dump's" cmp "$page" graph.html
    for _ in 1 2 3 4 5 6 7 8 9 10; do [ -s "opened/$page" ] || sleep 0.2; done
    check "view opens it with BROWSER" [ -s "opened/$page" ]
    BROWSER='cp -t opened' "$paragraph" view $sizes --seq 8 --write-only -o page.html 2>err
    check "view -o --write-only" cmp page.html graph.html
    mkdir runs && "$paragraph" bench $sizes --seq 8 --steps 1 --repeat 1 --profile 'runs/a run.json' >out.txt 2>err
    "$paragraph" view --profile 'runs/a run.json' --write-only 2>err
    check "view names a run's page by its file" grep -q "page is paragraph-view-[0-9a-f]\{12\}-arun\.html$" err
    check "view --write-only opens nothing" [ ! -e opened/page.html ]
    (unset BROWSER DISPLAY WAYLAND_DISPLAY; "$paragraph" view $sizes --seq 8 -o page.html 2>err)
    check "view without a browser" grep -q "open it in a browser" err
    BROWSER='nothere -x' "$paragraph" view $sizes --seq 8 -o page.html 2>err
    check "a browser that isn't there" grep -q 'no browser could be started by "nothere -x": No such file' err
    if ! command -v xdg-open >/dev/null; then
        (unset BROWSER; DISPLAY=:0 "$paragraph" view $sizes --seq 8 -o page.html 2>err)
        check "a display without xdg-open" grep -q 'no browser could be started by "xdg-open": No such file' err
    fi
    "$paragraph" dump $sizes --seq 8 --format svg --fold 1 >folded.svg 2>err
    check "a folded drawing is smaller" [ "$(wc -l <folded.svg)" -lt "$(wc -l <graph.svg)" ]
    "$paragraph" dump $sizes --seq 8 --train --recompute layers --split batch=2 --format json >graph2.json 2>err
    "$paragraph" dump --graph graph2.json --format json >again.json 2>err
    check "a graph that recomputes loads and dumps to the same bytes" cmp graph2.json again.json
    "$paragraph" dump $sizes --seq 8 --train --recompute layers >text.txt 2>err
    check "dump as text says what repeated nodes wait for" grep -q "ln_1.again .*; after " text.txt
    "$paragraph" dump $sizes --seq 8 --train --recompute layers --format dot >graph.dot 2>err
    check "so does DOT" grep -q "style=dashed.*3060b0" graph.dot
    "$paragraph" plan $sizes --seq 8 --train --workers 3 --path --json >plan 2>err
    check "plan" [ $? -eq 0 ]
    check "its lines are JSON" json_lines plan "node op name part begin_ns cost_ns" \
        "splits workers tasks edges buffers parameter_bytes state_bytes input_bytes intermediate_bytes \
intermediate_bytes_live intermediate_bytes_unshared scratch_bytes peak_bytes resident_bytes flops bytes work_ns critical_ns bound_ns average_width peak_width \
path_length"
    check "a line per node on the path" [ "$(values path_length plan)" -eq $(($(wc -l <plan) - 1)) ]
    "$paragraph" plan --graph graph.json --json >plan 2>err
    check "plan of a graph file tells the splits that it has" grep -q '^{"splits":"batch=2",' plan
    "$paragraph" plan $sizes --seq 8 --workers 65536 >plan 2>err
    check "plan for more workers than the rule of splits knows" grep -q "lower bound on 65536 workers" plan
    "$paragraph" plan --graph graph.json --explain >explain 2>err
    check "plan --explain names the critical path" grep -q "critical path" explain
}

bench_keys="preset work weights batch seq position splits workers devices step_ms floor_ms ratio tokens_per_s peak_rss_bytes \
idle_rss_bytes predicted_bytes sgemm_gflops memory_gbs read_gbs phases phase_task_ms phase_span_ms phase_floor_ms ops \
op_ms op_gflops op_gbs op_peak_share wall_ms task_ms idle_ms runtime_ms"

# FLOPs of a step's attention to caches that hold so many tokens before: its time times its rate.
cached_flops() {
    "$paragraph" bench --preset tiny --decode --position "$1" --steps 2 --repeat 1 --json 2>err |
        sed 's/[]"[]//g; s/:/,/g' | awk -F, '{
            for (i = 1; i <= NF; i++) at[$i] = i
            n = at["attention_cached forward"] - at["ops"]
            printf "%.0f\n", $(at["op_ms"] + n) * $(at["op_gflops"] + n) * 1e6 }'
}

check_measures() {
    PARA_GEMM=own STARPU_SCHED=lws "$paragraph" info --no-rates --json --scheduler eager --workers 1 >info 2>err
    check "PARA_GEMM says who computes products" grep -q '"gemm":"own"' info
    check "--scheduler comes before STARPU_SCHED" grep -q '"scheduler":"eager"' info
    PARA_GEMM=openblas STARPU_SCHED=lws "$paragraph" info --no-rates --json --workers 1 >info 2>err
    check "the other one too" grep -q '"gemm":"openblas"' info
    check "--no-rates measures nothing" [ "$(grep -c sgemm_gflops info)" -eq 0 ]
    check "without it STARPU_SCHED counts" grep -q '"scheduler":"lws"' info
    STARPU_NCPU=1 "$paragraph" info --no-rates --json --workers 2 >info 2>err
    check "--workers comes before STARPU_NCPU" grep -q '"workers":2,' info
    STARPU_SCHED=nonesuch "$paragraph" info >info 2>err
    check "a STARPU_SCHED that StarPU doesn't know is refused" grep -q 'no scheduler "nonesuch"' err
    PARA_GEMM=mkl "$paragraph" info >info 2>err
    check "another PARA_GEMM is refused" grep -q 'PARA_GEMM is "mkl", expected "own" or "openblas"' err
    "$paragraph" info --json >info 2>err
    check "info's line is JSON" json_lines info "version cpu cores workers memories ram_bytes starpu scheduler blas \
gemm sgemm_gflops memory_gbs read_gbs triad_gbs cuda devices gpus"
    refuses 1 'devices "cuda:999": no GPU' info --devices cuda:999
    refuses 1 'devices "gpu": "gpu" is none; expected cpu, cuda' info --devices gpu
    "$paragraph" bench --preset tiny $sizes --seq 8 --steps 2 --repeat 1 --json >bench 2>err
    check "bench's line is JSON" json_lines bench "$bench_keys"
    check "its ratio is that of step and floor" awk -v s="$(values step_ms bench)" -v f="$(values floor_ms bench)" \
        -v r="$(values ratio bench)" 'BEGIN { d = s / f / r - 1; exit !(r > 0 && d < 1e-9 && d > -1e-9) }'
    "$paragraph" bench $sizes --seq 8 --steps 2 --repeat 1 >bench 2>err
    check "bench lists ops" grep -q "^matmul  *forward " bench
    check "bench lists phases" [ "$(grep -cE "^(forward|backward|optimizer) " bench)" -eq 3 ]
    check "a worker's task, idle and runtime are its wall time" \
        awk '/^[0-9]+ / { n++; d = ($2 + $3 + $4) / $5 - 1; bad += d > 0.01 || d < -0.01 } END { exit !n || bad }' bench
    check "bench names the sizes that change its preset" grep -q "^gpt2-124m, layers 2, heads 2, embd 16," bench
    "$paragraph" bench --preset tiny --decode --weights int8 --batch 2 --steps 2 --repeat 1 --json >bench 2>err
    check "bench times a token" json_lines bench "$bench_keys"
    check "its line says so" grep -q '"work":"decode","weights":"int8","batch":2,"seq":1,"position":63,' bench
    "$paragraph" bench --preset tiny --prompt 40 --steps 2 --repeat 1 --json >bench 2>err
    check "bench times a prompt" json_lines bench "$bench_keys"
    check "its line says so, too" grep -q '"work":"prompt","weights":"f32","batch":1,"seq":40,"position":0,' bench
    first=$(cached_flops 0)
    check "bench counts what caches hold" [ "${first:-0}" -gt 0 ]
    check "and no more" [ "$(cached_flops 63)" -eq $((64 * first)) ]
    "$paragraph" dump $sizes --seq 8 --train --format json -o written.json 2>err
    check "a graph dumped as written can be split" "$paragraph" plan --graph written.json --split batch=2
    check "a token and a prompt at once" ends 2 "give one of them" bench --decode --prompt 4
    check "a prompt beyond the context" ends 2 "the context is 64" bench --preset tiny --prompt 65
}

# profile_adds_up FILE: it is JSON; each node stands in it once, in order, at times that follow one another; and its
# workers' tasks, idle and runtime are their wall time within 1 %, the tasks those of the nodes.
profile_adds_up() {
    if command -v python3 >/dev/null; then
        python3 -c 'import json, sys; json.load(open(sys.argv[1], encoding="utf-8"))' "$1" || return 1
    elif command -v jq >/dev/null; then
        jq -e . "$1" >/dev/null || return 1
    fi
    awk '
        function number(key) {
            if (!match($0, "\"" key "\":[^,}]*"))
                return -1
            return substr($0, RSTART + length(key) + 3, RLENGTH - length(key) - 3) + 0
        }
        function near(a, b) { return a - b <= 0.01 * b && b - a <= 0.01 * b }
        /^\{"format":"paragraph-profile","version":2,/ { wall = number("wall_ns") }
        /^\{"worker":/ {
            bad += number("worker") != workers++
            times += number("task_ns") + number("idle_ns") + number("runtime_ns")
            tasks += number("task_ns")
        }
        /^\{"node":/ {
            bad += number("node") != nodes++ || number("worker") < 0 || number("worker") >= workers
            bad += number("submit_ns") < 0 || number("ready_ns") < number("submit_ns")
            bad += number("start_ns") < number("ready_ns") || number("end_ns") < number("start_ns")
            bad += number("end_ns") > wall
            bad += number("task") < 0 || number("bytes") < 0 || number("flops") < 0
            kernels += number("end_ns") - number("start_ns")
        }
        END { exit !(wall > 0 && nodes && !bad && near(times, wall * workers) && near(kernels, tasks)) }' "$1"
}

check_profile() {
    check "training with a profile" train profiled $sizes --steps 3 --recompute cheap --workers 2 \
        --split batch=2,ff=2 --profile profile.json
    check "its profile adds up" profile_adds_up profile.json
    check "it has the nodes of the graph" \
        grep -q "graph: $(grep -c '^{"node":' profile.json) nodes, splits batch=2,ff=2" err
    check "it says what was trained" grep -q '"version":2,"command":"train","model":"tiny, layers 2, ' profile.json
    check "and how" grep -q '"recompute":"cheap","run":3,' profile.json
    check "it has the graph" grep -q '^{"format":"paragraph-graph","version":1,"splits":"batch=2,ff=2",' profile.json
    "$paragraph" dump --profile profile.json --format json -o graph.json 2>err
    if command -v sha256sum >/dev/null; then
        digest=$(sha256sum <graph.json) && digest=${digest%% *}
        check "its digest is SHA-256 of the graph file" grep -q "\"graph_digest\":\"$digest\"" profile.json
    fi
    check "dump draws it alone" "$paragraph" dump --profile profile.json --format svg -o profile.svg
    check "dump's page shows it" "$paragraph" dump --profile profile.json --format html -o profile.html
    check "the run is in it" grep -q '^"run":{"command":' profile.html
    check "view shows it" "$paragraph" view --profile profile.json --write-only -o again.html
    check "alike" cmp profile.html again.html
    check "view refuses that of another graph" ends 1 "profile.json: is the profile of another graph" \
        view --profile profile.json --preset tiny --write-only
    check "its graph may be given too" "$paragraph" dump --profile profile.json --graph graph.json --format svg -o again.svg
    check "which changes nothing" cmp profile.svg again.svg
    "$paragraph" dump --profile profile.json >report 2>err
    check "as text it says what bounds the step" grep -qE "^(What bounds this step most is|This run was disturbed)" report
    check "and has the critical path" grep -q "^measured critical path: " report
    for format in timeline trace; do
        check "as $format" "$paragraph" dump --profile profile.json --format $format -o drawn
        check "which needs a profile" ends 2 "it takes --profile FILE" dump --format $format
        check "and folds nothing" ends 2 "a $format has every node" dump --profile profile.json --format $format --fold 1
    done
    check "a run is the same as itself" "$paragraph" compare profile.json profile.json >out
    "$paragraph" dump $sizes --seq 8 --format json -o forward.json
    check "so is a graph" "$paragraph" compare graph.json graph.json --changed >out
    check "so is a set of runs" "$paragraph" compare profile.json,profile.json profile.json >out
    "$paragraph" compare graph.json forward.json --changed --json >differences 2>err
    check "graphs that differ are told by 1" [ $? -eq 1 ]
    check "and nothing else" [ ! -s err ]
    check "as JSON" json_lines differences "sign name op scope a b change" "sign name value change" "of same changed only_a only_b"
    check "a comparison as a page" ends 1 "" compare graph.json forward.json --html -o compared.html
    check "it is a page" grep -q '"compare":{' compared.html
    check "a page of lines" ends 2 "choose one" compare graph.json graph.json --html --json
    check "a graph and a run" ends 2 "expected two graphs, or runs on both sides" compare graph.json profile.json
    check "two graphs on one side" ends 2 "is a second graph" compare graph.json,graph.json graph.json
    check "a file that isn't there" ends 2 "none.json: can't be opened" compare graph.json none.json
    check "one file" ends 2 "compare needs A B" compare graph.json
    check "three files" ends 2 "belongs to no option" compare graph.json graph.json graph.json
    check "that of another graph is refused" ends 1 "profile.json: is the profile of another graph" \
        dump --profile profile.json --preset tiny
    check "a graph is no profile" ends 1 'graph.json: line 1: format: is "paragraph-graph"' dump --profile graph.json
    check "a profile is no graph" ends 1 "profile.json: line 1: " dump --graph profile.json
    check "one that isn't there" ends 1 "none.json: can't be opened" dump --profile none.json
    check "nodes have names, ops, scopes and parts" \
        grep -qE '"name":"layer.1.mlp.*","op":"matmul","scope":"layer.1","part":"batch=1,ff=0",' profile.json
    check "training without one" train plain $sizes --steps 3 --recompute cheap --workers 2 --split batch=2,ff=2
    check "has the same losses, bit by bit" same_losses profiled plain
    check "generate with a profile" generate out -n 4 --continuations 2 --profile profile.json
    check "its profile adds up" profile_adds_up profile.json
    check "it is of the runs for a token" grep -q '"command":"generate","model":"model",.*"run":2,' profile.json
    "$paragraph" eval --model model --data text --seq 8 --profile profile.json >out 2>err
    check "eval with a profile" profile_adds_up profile.json
    check "it is of the last batch" grep -q '"command":"eval","model":"model",' profile.json
    "$paragraph" bench --preset tiny --decode --steps 2 --repeat 1 --json --profile profile.json >bench 2>err
    check "bench with a profile" profile_adds_up profile.json
    check "it is of the last step" grep -q '"command":"bench","model":"tiny",.*"run":4,' profile.json
    check "standard output has its own JSON alone" json_lines bench "$bench_keys"
    for command in "train --data text" "generate --model model --prompt a" "eval --model model --data text" bench; do
        refuses 1 "none/profile.json: can't be opened" $command --profile none/profile.json
        check "nothing is done before" [ ! -s out ]
    done
    refuses 1 "the training data have 3 tokens" train --data short --seq 8 --profile unmade.json
    check "no profile of a run that failed is left" [ -z "$(ls unmade.json* 2>/dev/null)" ]
    refuses 2 "expected -n 2 or more" generate --model model --prompt a -n 1 --profile unmade.json
}

# goes_on FILE ARGUMENT...: go on from the run in half; its JSON goes to FILE.
goes_on() {
    file=$1
    shift
    "$paragraph" train --data text --resume half --json "$@" >"$file" 2>err
}

# A run that goes on knows its steps and rates; what bends the learning rate must be meant.
check_resuming() {
    run="--data text $sizes --batch 4 --seed 7 --warmup 2 --lr 3e-3 --beta2 0.95 --clip 0.5 --order sequential"
    "$paragraph" train $run --steps 5 --schedule constant --json --out half >half.json 2>err
    for field in '"batch": 4' '"seq": 8' '"order": "sequential"' '"schedule": "constant"' '"steps": 5' '"warmup": 2' \
        '"lr": 0.003' '"clip": 0.5'; do
        check "trainer.json has $field" grep -q "$field" half/trainer.json
    done
    "$paragraph" train $run --steps 9 --schedule constant --json >whole 2>err
    check "steps alone are given" goes_on rest --steps 9
    check "they are told" grep -q -- "--steps is 9 from here on; it was 5" err
    check "nothing else is" [ "$(grep -c "it was" err)" -eq 1 ]
    cat half.json rest >parts
    check "batch, order and rates are the run's" same_losses parts whole
    check "without new steps there is nothing to do" ends 2 "--steps is 5, but half has done 5" \
        train --data text --resume half
    check "another batch is told" goes_on rest --steps 9 --batch 2 --clip 0
    check "as --batch" grep -q -- "--batch is 2 from here on; it was 4" err
    check "and --clip" grep -q -- "--clip is 0 from here on; it was 0.5" err
    check "warm-up that is over may change" goes_on rest --steps 9 --warmup 1
    check "not one that isn't" ends 2 "--warmup is 6, but the run in half has 2" \
        train --data text --resume half --steps 9 --warmup 6
    check "another rate is refused" ends 2 "--lr is 0.001, but the run in half has 0.003" \
        train --data text --resume half --steps 9 --lr 1e-3
    check "another schedule" ends 2 "--schedule is cosine, but the run in half has constant" \
        train --data text --resume half --steps 9 --schedule cosine
    check "unless told" goes_on rest --steps 9 --lr 1e-3 --reschedule
    check "then it counts" grep -q '"lr":0.001,' rest
    check "and is told" grep -q -- "--lr is 0.001 from here on; it was 0.003" err
    check "the word alone" ends 2 "--reschedule needs --resume" train --data text $sizes --reschedule
    "$paragraph" train $run --steps 5 --json --out half --overwrite >half.json 2>err
    check "other steps under a cosine" ends 2 "--steps is 9, but the run in half has 5" \
        train --data text --resume half --steps 9
    check "the same in other words" ends 2 "--steps is 5, but half has done 5" train --data text --resume half \
        --steps 5 --lr 0.0030 --warmup 2 --beta2 0.95
    check "more steps if told" goes_on rest --steps 9 --reschedule
    check "they are done" [ "$(wc -l <rest)" -eq 4 ]
    sed -i '/batch\|seq\|order\|schedule\|steps\|warmup\|lr\|beta\|eps\|decay\|clip/d' half/trainer.json
    sed -i 's/"best_loss": null,/"best_loss": null/' half/trainer.json
    check "a folder of earlier versions tells none of it" goes_on rest --steps 6 --batch 4
    printf '{"step": 5, "seed": 7, "best_loss": null, "batch": 0}' >half/trainer.json
    check "half of it" ends 1 'half/trainer.json: "order" is missing, expected "random" or "sequential"' \
        train --data text --resume half
}

# tunes FILE ARGUMENT...: train adapters of model; the JSON goes to FILE.
tunes() {
    file=$1
    shift
    "$paragraph" train --batch 4 --seq 8 --seed 7 --schedule constant --warmup 0 --lr 1e-2 --json "$@" >"$file" 2>err
}

# Adapters are trained, gone on with bit by bit, and added to their model; answers alone are counted.
check_adapters() {
    check "adapters" tunes whole --data text --init model --lora-r 2 --lora-alpha 4 --steps 6 --out tuned
    check "the model stays as it is" grep -q "adapters: r 2, alpha 4, targets all-linear" err
    check "a folder of PEFT's" grep -q '"peft_type": "LORA"' tuned/adapter_config.json
    check "without the model" [ ! -e tuned/model.safetensors ]
    check "half of it" tunes first --data text --init model --lora-r 2 --lora-alpha 4 --steps 3 --out parted
    check "the rest" tunes rest --data text --resume parted --steps 6 --out parted --reschedule
    cat first rest >parts
    check "a resumed run has the losses of one never stopped" same_losses parts whole
    check "and its adapter" cmp tuned/adapter_model.safetensors parted/adapter_model.safetensors
    check "the model may be elsewhere" tunes rest --data text --resume parted --init model --steps 7 --val held
    check "which is evaluated with its adapter" grep -q val_loss rest
    sed -i 's/"base_model_name_or_path": "model"/"base_model_name_or_path": "gone"/' parted/adapter_config.json
    check "or nowhere" ends 1 'its model is "gone", which isn'"'"'t there; --init DIR' train --data text --resume parted --steps 8
    "$paragraph" eval --model model --adapter tuned --data held --json >apart 2>err
    check "a model as a folder with it" ends 0 "" convert --model model --adapter tuned --out merged
    "$paragraph" eval --model merged --data held --json >merged.json 2>err
    check "has the loss of both" close apart merged.json
    "$paragraph" generate --model model --adapter tuned --prompt a -n 4 --greedy >left 2>err
    "$paragraph" generate --model merged --prompt a -n 4 --greedy >right 2>err
    check "and their texts" cmp left right
    refuses 2 'gpt2 has no target "q_proj"; there are c_attn, c_proj, c_fc' train --data text --init model --lora-r 2 \
        --lora-targets q_proj
    refuses 2 "--lora-alpha says how adapters are made, expected --lora-r" train --data text --init model --lora-alpha 2
    refuses 2 "expected --init DIR beside it" train --data text --lora-r 2
    refuses 2 "tuned says how its adapters are made" train --data text --resume tuned --steps 9 --lora-r 2
    refuses 2 "tuned holds a model of 6 steps" train --data text --init model --lora-r 2 --out tuned
    refuses 2 "expected --train beside it" plan --preset tiny --lora-r 2
    check "a plan" ends 0 "" plan --preset tiny --train --lora-r 2
    printf '{"prompt": "%s", "answer": "%s"}\n' ab cd abc d a bcde >answers
    check "answers" tunes out --answers answers --init model --steps 4 --order sequential --val answers
    check "each line is a row" grep -q "answers: 3, without a token that ends them; rows of 8 tokens" err
    check "with adapters" tunes out --answers answers --init model --lora-r 2 --steps 4 --val-fraction 0.3
    check "without a model" ends 0 "rows of 4 tokens" train --answers answers $sizes --steps 2
    echo '{"prompt": "a", "answer": ""}' >>answers
    refuses 1 'answers:4: "answer" is something else, expected a string' train --answers answers --init model
    refuses 2 "give one of them" train --data text --answers answers --init model
}

# What a run must not lose, nor leave behind.
check_keeping() {
    check "going on beside the best model" train more --resume model --best best --val held --steps 10
    check "steps that are done" ends 2 "--steps is 8, but model has done" train $steps --resume model --steps 8
    check "the best model of another run" ends 2 "best holds a model of" train $steps --best best --val held
    check "a run that judges no model" train unjudged.json --out unjudged --steps 3 $sizes
    cp -r unjudged another
    check "the model of another run that judged none" ends 2 "another holds a model of 3 steps" \
        train --data text --resume unjudged --steps 4 --best another --val held
    mkdir -p sharded
    : >sharded/model.safetensors.index.json
    check "a model in shards" ends 2 "sharded holds a model; --overwrite replaces it" train $steps --out sharded
    mkdir -p crashed.paragraph-next
    cp model/* crashed.paragraph-next
    check "what a crash left of a model" ends 2 "crashed holds a model" train $steps --out crashed
    mkdir kept
    : >kept/a
    ln -s "$PWD/kept" linked.paragraph-new
    check "a link in the way" train out --out linked --steps 3 $sizes
    check "what it leads to stays" [ -e kept/a ]
    refuses 2 "hold token ids already" tokenize --tokenizer "$tokens" --data text.tok16 -o other.tok16
    check "a model by bytes in the place of one by tokens" train out --out bpe --overwrite --steps 3 $sizes
    check "has no tokenizer" [ ! -e bpe/vocab.json ]
    "$paragraph" generate --model bpe --prompt a -n 4 >out 2>err
    check "makes text" [ $? -eq 0 ]
}

cat "$top/LICENSE" "$top/LICENSE" >text
tail -c +$((8 * $(wc -c <text) / 10 + 1)) text >held
printf abc >short
cp text text.gguf
tokens=$top/tests/golden/tokenizer-small
mkdir wide
cat >wide/config.json <<'CONFIG'
{"model_type": "gpt2", "n_layer": 1, "n_head": 1, "n_embd": 4, "n_positions": 8, "vocab_size": 300}
CONFIG

check_usage
check_help
check_completion
check_training
check_kill
check_eval
check_stride
check_choices
check_classify
check_generate
check_likelihoods
check_continuations
check_weights
check_chat
check_tokenizer
check_convert
check_keeping
check_resuming
check_adapters
check_dump
# Floors take hundreds of GFLOP, which are hours by an emulator.
if [ -n "${PARA_EMULATED-}" ]; then
    echo "what measures the machine is left out: PARA_EMULATED is set"
else
    check_measures
fi
check_profile
echo "$checks checks, $wrong failed"
[ "$wrong" -eq 0 ]
