#!/bin/sh
# shellcheck disable=SC2086 # lists of options stand in variables
# Check texts that paragraph generate makes side by side: each is what it is alone, and one that can't be made harms no
# other. Run by make check, in the build folder.
. "${srcdir:-.}/tests/command.sh"
prefix="generate --model model"
cd "$work" || exit 1

# generate FILE ARGUMENT...: what is printed goes to FILE.
generate() {
    file=$1
    shift
    "$paragraph" generate --model model "$@" >"$file" 2>err
}

# Texts and tokens alone, of lines of JSON.
texts() {
    sed 's/^{"[a-z]*":[0-9]*,//; s/,"tokens_per_s":.*//' "$1"
}

# A line's text.
text_of() {
    grep "^{\"[a-z]*\":$2," "$1" | texts /dev/stdin
}

"$paragraph" train --data "$top/README.md" --layers 2 --heads 2 --embd 32 --context 48 --steps 200 --batch 8 \
    --lr 1e-2 --out model >out 2>err
check "a model to try" [ -s model/model.safetensors ]

many="The graph
A
int main(void) {
The paragraph command has options that are listed by its help, and each of them
  spaces before and after  
0123456789
Name an axis, split it; name a layer, place it.
x"

check_prompts() {
    printf '%s\n' "$many" >many
    check "prompts" generate all --prompts many -n 30 --seed 4 --json
    check "one line each" [ "$(wc -l <all)" -eq 8 ]
    check "in the file's order" [ "$(sed 's/^{"line":\([0-9]*\),.*/\1/' all | tr -d '\n')" = 12345678 ]
    number=0
    while IFS= read -r line; do
        number=$((number + 1))
        check "line $number alone" generate one --prompt "$line" -n 30 --seed 4 --json
        check "line $number is what it is alone" [ "$(texts one)" = "$(text_of all $number)" ]
    done <many
    for how in "--rows 3" "--rows 1 --workers 1" "--split batch=2,heads=2 --workers 2" "--rows 4 --split rows=2,heads=2"; do
        check "prompts, $how" generate two --prompts many -n 30 --seed 4 --json $how
        case $how in
        *split*) check "and one, split alike" generate all --prompts many -n 30 --seed 4 --json --rows 1 --split heads=2 ;;
        esac
        check "prompts, $how, are the same" [ "$(texts two)" = "$(texts all)" ]
    done
    check "prompts as text" generate out --prompts many -n 5
    check "each begins with its prompt" grep -q "^0123456789" out
    check "and has its number" grep -q "^--- line 8 ---$" out
    check "standard input" generate two --prompts - -n 30 --seed 4 --json --rows 1 --split heads=2 <many
    check "is as good as a file" [ "$(texts two)" = "$(texts all)" ]
    sed 's/.*/{"prompt": "&", "more": 1}/' many >many.jsonl
    check "prompts as JSON" generate two --prompts many.jsonl -n 30 --seed 4 --json --rows 1 --split heads=2
    check "are the same" [ "$(texts two)" = "$(texts all)" ]
}

# A mark of UTF-8 isn't part of the first line, and blank lines of JSON are none; lines keep their numbers.
check_marks() {
    printf '\357\273\277{"prompt": "A"}\n\n \t\r\n{"prompt": "x"}\n\n' >marked.jsonl
    check "a mark and blank lines" generate two --prompts marked.jsonl -n 3 --json
    check "are passed over" [ "$(sed 's/^{"line":\([0-9]*\),"text".*/\1/' two | tr -d '\n')" = 14 ]
    printf '\357\273\277A\n' >marked
    check "a mark before text" generate one --prompts marked -n 3 --json
    check "is passed over" [ "$(text_of one 1)" = "$(text_of two 1)" ]
    printf '\n\n' >blank.jsonl
    refuses 1 "blank.jsonl: has no lines" --prompts blank.jsonl
    check "an empty line" ends 1 "standard input:2: an empty prompt" --prompts - -n 3 <hostile
    refuses 1 "standard input: has no lines" --prompts - </dev/null
}

# Under one split a text is the same for any number of workers; 4 of them are on a machine that hwloc makes up.
check_workers() {
    split="--split heads=2,ff=4,vocab=2 -n 30 --seed 4 --json"
    check "one worker" generate one --prompts many $split --workers 1
    check "two workers" generate two --prompts many $split --workers 2
    check "make the same texts" [ "$(texts one)" = "$(texts two)" ]
    (
        HWLOC_SYNTHETIC='Core:4 PU:1' STARPU_WORKERS_NOBIND=1
        export HWLOC_SYNTHETIC STARPU_WORKERS_NOBIND
        unset HWLOC_COMPONENTS
        generate two --prompts many $split --workers 4
    )
    check "four workers" [ $? -eq 0 ]
    check "make them too" [ "$(texts one)" = "$(texts two)" ]
}

# With --as-done a text that ends at its first token overtakes one before it, which has no such token.
check_as_done() {
    check "a text" generate two --prompt "The graph" -n 12 --temperature 2 --json
    overtakes=
    for other in A B C D E F G H I J K L M N O P Q R S T U V W X Y Z a b c d e f g h i j k l m n o p q r s t u v w x y z; do
        generate out --prompt $other -n 1 --temperature 2 --json
        first=$(sed 's/.*"tokens":.\([0-9]*\).*/\1/' out)
        grep -q "\"tokens\":.*[[,]$first[],]" two || { overtakes=$other; break; }
    done
    check "there is a letter whose first token the text hasn't" [ "$overtakes" ]
    [ "$overtakes" ] || return
    sed -i "s/\"eos_token_id\": [a-z0-9]*/\"eos_token_id\": $first/" model/config.json
    printf 'The graph\n%s\n' $other >pair
    check "as done" generate out --prompts pair -n 12 --temperature 2 --json --as-done
    check "the one that ends comes first" [ "$(head -n 1 out | sed 's/,.*//')" = '{"line":2' ]
    check "it has no token" grep -q '"line":2,"text":"","tokens":\[\],"finish":"end"' out
    check "in order" generate out --prompts pair -n 12 --temperature 2 --json
    check "it comes second" [ "$(tail -n 1 out | sed 's/,.*//')" = '{"line":2' ]
    check "an end is passed over" generate out --prompts pair -n 12 --temperature 2 --json --ignore-eos
    check "both are whole" [ "$(grep -c '"finish":"length"' out)" -eq 2 ]
    check "the first is what it is" [ "$(text_of out 1)" = "$(texts two)" ]
    sed -i 's/"eos_token_id": [0-9]*/"eos_token_id": null/' model/config.json
}

# A stop of bytes 4 to 6 of a text, each a token; of one that a shell can hold.
check_stops() {
    plain=
    for seed in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        draw="--seed $seed --top-k 3 -n 20"
        check "a text" generate whole --prompt "The graph" $draw
        [ "$(tail -c +10 whole | LC_ALL=C tr -dc ' -~' | wc -c)" -eq 20 ] && plain=$seed && break
    done
    check "there is a seed whose text is 20 characters of ASCII" [ "$plain" ]
    [ "$plain" ] || return
    all=$(tail -c +10 whole)
    stop=$(printf '%s' "$all" | cut -c 4-6)
    check "a stop" generate out --prompt "The graph" $draw --stop "none of it" "$stop"
    check "the text ends before it" [ "$(cat out)" = "The graph${all%%"$stop"*}" ]
    check "told" generate out --prompt "The graph" $draw --stop "$stop" --json
    check "why" grep -q '"finish":"stop"' out
    check "as it grows" generate two --prompt "The graph" $draw --stop "$stop" --stream
    check "no more is shown" [ "$(cat two)" = "The graph${all%%"$stop"*}" ]
    refuses 2 "--stop is empty" --prompt a --stop ""
}

# An empty line, one of a MiB, one that isn't UTF-8, one longer than the context: told or made, beside good ones.
check_hostile() {
    {
        echo "The graph"
        echo
        head -c 1000000 /dev/zero | tr '\0' x
        echo
        printf '\377\376 not UTF-8 \303\n'
        printf 'a zero\000byte\r\n'
        printf '%0200d\n' 7
        printf 'no newline at the end'
    } >hostile
    check "some can't be made" ends 1 "hostile:2: an empty prompt, expected at least one byte" --prompts hostile -n 9 --json
    check "each has its line" [ "$(sed 's/^{"line":\([0-9]*\),.*/\1/' out | tr -d '\n')" = 1234567 ]
    check "the empty one says why" grep -q '^{"line":2,"error":"an empty prompt' out
    check "the others are made" [ "$(grep -c '"finish":"length"' out)" -eq 6 ]
    for line in 1 3 6 7; do
        sed -n "${line}p" hostile >lone
        check "line $line alone" generate one --prompts lone -n 9 --json
        check "line $line is unharmed" [ "$(texts one)" = "$(text_of out $line)" ]
    done
    printf '{"prompt": "good"}\n{"prompt": 3}\n[1]\n{"prompt": "half\nnothing\n{"prompt": ""}\n{"prompt": "a\\u0000b"}\n{"prompt": "a", "n": 0}\n{"prompt": "a", "n": 2}\n' \
        >hostile.jsonl
    check "wrong JSON" ends 1 'hostile.jsonl:2: expected an object with a string "prompt"' --prompts hostile.jsonl -n 3
    for line in 3 4 5 6 8; do
        check "line $line is told" grep -q "hostile.jsonl:$line: " err
    done
    check "good ones are made" [ "$(grep -ac -- '--- line [179] ---' out)" -eq 3 ]
    check "as JSON" ends 1 'hostile.jsonl:2: ' --prompts hostile.jsonl -n 3 --json
    check "by as many tokens as they say" grep -q '^{"line":9,"text":.*,"tokens":.[0-9]*,[0-9]*.,"finish":"length"' out
    : >nothing
    refuses 1 "nothing: has no lines" --prompts nothing
    refuses 1 "missing: can't be opened" --prompts missing
    printf '\n\n' >empty
    check "nothing but empty lines" ends 1 "empty:2: an empty prompt" --prompts empty
    refuses 2 "expected one of --prompt TEXT and --prompts FILE" -n 3
    refuses 2 "expected one of --prompt TEXT and --prompts FILE" --prompt a --prompts many
    refuses 2 "--continuations doesn't go with it" --prompts many --continuations 2
}

# Where a shared prompt and what follows outgrow the context, sharing ends, which is said.
check_sharing() {
    prompt="The graph is the thing that all of them"
    check "within the context" generate all --prompt "$prompt" -n 9 --continuations 3 --json
    check "nothing is said" [ ! -s err ]
    check "beyond it" ends 0 "outgrow the context of 48: there sharing ends" --prompt "$prompt" -n 60 --continuations 3 --json
    check "alone" generate one --prompt "$prompt" -n 60 --first 2 --json
    check "the same text" [ "$(texts one)" = "$(text_of out 2)" ]
    echo "$prompt" >lone
    check "as a line" generate two --prompts lone -n 60 --first 2 --json
    check "the same text" [ "$(texts one)" = "$(texts two)" ]
}

# Without new tokens in between the parts are the prompt: at the first a text stops before its first byte.
joined_is_prompt() {
    "$paragraph" generate --model model --prompt "$1" --divide "$2" -n 1 --json >out 2>err || return 1
    python3 -c '
import json, sys
lines = [json.loads(line) for line in open("out", encoding="utf-8")]
assert "".join(line["prompt"] for line in lines) == sys.argv[1], lines
assert [line["part"] for line in lines] == list(range(int(sys.argv[2]))), lines
sizes = [len(line["prompt"].encode()) for line in lines]
assert max(sizes) - min(sizes) <= int(sys.argv[3]), sizes
' "$1" "$3" "$4"
}

check_divide() {
    text="Name an axis, split it. Name a layer, place it.
What holds for every split: the result is the serial interpreter's!
(A \"quoted?\") Sentence. And 3.14 is none, 。but this。is and more and more
the end"
    if command -v python3 >/dev/null; then
        check "at lines" joined_is_prompt "$text" 2 2 40
        check "the cut is at one" grep -q 'interpreter.s!\\u000a","text"' out
        check "at sentences" joined_is_prompt "$text" 6 6 60
        check "one ends behind what closes it" grep -q 'quoted?\\")","text"' out
        check "at words" joined_is_prompt "$text" 12 12 12
        check "at all of them" joined_is_prompt "a b c" 3 3 1
        check "in one" joined_is_prompt "a b c" 1 1 0
        check "there are no more" joined_is_prompt "a b c" 9 3 1
        check "which is told" grep -q -- "--divide 9: the prompt has 2 ends of lines, sentences and words within" err
    fi
    check "the parts" generate all --prompt "$text" --divide 4 -n 12 --seed 3 --join list
    sed 's/"prompt":.*,"text":/"text":/' all >told
    check "side by side" [ "$(wc -l <all)" -eq 4 ]
    check "the first alone" generate one --prompt "Name an axis, split it. Name a layer, place it.
" -n 12 --seed 3 --json
    check "is what it is alone" [ "$(texts one)" = "$(text_of told 0)" ]
    check "put together" generate out --prompt "a b" --divide 2 -n 2 --greedy
    check "the parts' texts" generate two --prompt "a" -n 2 --greedy
    check "the other's" generate one --prompt " b" -n 2 --greedy
    check "one after another" [ "$(cat out)" = "$(tr -d '\n' <two)$(cat one)" ]
    refuses 2 "--prompts and --continuations don't go with it" --prompts many --divide 2
    refuses 2 "--prompts and --continuations don't go with it" --prompt a --divide 2 --continuations 2
}

# The winner by the tokens of the continuations themselves: byte 33 to 126, of as many votes who came first.
check_vote() {
    draw="--seed 5 --temperature 3 -n 1 --continuations 40"
    check "continuations" generate all --prompt "The graph" $draw --json
    winner=$(sed 's/.*"tokens":.\([0-9]*\).*/\1/' all | awk '$1 >= 33 && $1 <= 126 {
        n[$1]++; if (!($1 in first)) first[$1] = NR }
        END { for (t in n) if (!best || n[t] > n[best] || (n[t] == n[best] && first[t] < first[best])) best = t
            printf "%c %d %d", best + 0, n[best], first[best] - 1 }')
    check "a vote" generate out --prompt "The graph" $draw --vote --vote-on '^([!-~])'
    check "its winner" [ "$(cat out)" = "${winner%% *}" ]
    check "its votes" grep -qF "$(echo "$winner" | sed 's/\(.\) \(.*\) \(.*\)/\2 of 40 say "\1", continuation \3 first/')" err
    check "as JSON" generate out --prompt "The graph" $draw --vote --vote-on '^[!-~]' --json
    check "all votes are there" awk -F'"votes":' '{ split($0, part, /"abstained":/); n = part[2] + 0
        for (i = 3; i <= NF; i++) n += $i + 0; exit n != 40 }' out
    check "answers that begin alike" generate out --prompt "The graph" --seed 5 -n 2 --continuations 40 --vote \
        --vote-on '^[a-z ]*' --json
    check "are told once each" [ -z "$(grep -o '{"answer":"[^"]*","votes"' out | sort | uniq -d)" ]
    check "most votes first, and 40 in all" awk -F'"votes":' '{ last = 40
        for (i = 3; i <= NF; i++) { n += $i + 0; if ($i + 0 > last) exit 1; last = $i + 0 }
        exit n != 40 || NF < 5 }' out
    refuses 1 "--vote-on matches no continuation, so all 40 abstain" --prompt a $draw --vote --vote-on 'nothing like it'
    check "nothing wins" [ ! -s out ]
    refuses 2 "--vote-on a(: at byte 2: " --prompt a --vote --vote-on 'a('
    refuses 2 "expected both" --prompt a --vote
    refuses 2 "expected both" --prompt a --vote-on a
    refuses 2 "--divide and --prompts don't go with it" --prompt a --vote --vote-on a --divide 2
}

check_prompts
check_divide
check_vote
check_as_done
check_stops
check_hostile
check_marks
check_workers
check_sharing
echo "$checks checks, $wrong failed"
[ "$wrong" -eq 0 ]
