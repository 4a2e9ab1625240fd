#!/bin/sh
# What README.md shows is so: its program, compiled as it stands there, prints what the next block says, and the
# files and folders it names exist. Run by make check, in the build folder.
top=${srcdir:-.}
readme=$top/README.md
failed=0

expected=$(awk '/^```c$/ { program = 1 } program && /^```$/ { program = 0; after = 1; next }
    after && /^```/ { if (inside) exit; inside = 1; next } inside' "$readme")
printed=$(examples/readme 2>&1) || failed=1
if [ -z "$expected" ] || [ "$printed" != "$expected" ]; then
    printf 'FAILED: the program prints\n%s\nand README.md says\n%s\n' "$printed" "$expected"
    failed=1
fi

# Every `path/` and `path/file` in backquotes.
named=$(grep -oE '`[a-z.]+/[a-zA-Z0-9./_-]*`' "$readme" | tr -d '`' | sort -u)
for path in $named; do
    case $path in build/* | build-*) continue ;; esac
    if [ ! -e "$top/$path" ]; then
        echo "FAILED: README.md names $path, which isn't there"
        failed=1
    fi
done
echo "$(echo "$named" | wc -l) paths named"
exit "$failed"
