# Turn text files into C: an array of lines for each name=... before files. Comments that have lines of their own or end
# one, indentation and empty lines are left out.
# Usage: awk -f embed.awk name=para_page_style page.css name=para_page_script a.js b.js
BEGIN {
    print "/* Made by view/embed.awk. */"
    print "#include \"view/page.h\""
}
FNR == 1 && name != last {
    if (last)
        print "    0};"
    printf "\nconst char *const %s[] = {\n", name
    last = name
}
/^[ \t]*\/\*/ { comment = 1 }
comment {
    comment = !/\*\//
    next
}
/^[ \t]*$/ { next }
{
    sub(/^[ \t]+/, "")
    sub(/[ \t]*\/\*[^*]*\*\/$/, "")
    gsub(/[\\"?]/, "\\\\&")
    print "    \"" $0 "\\n\","
}
END { print "    0};" }
