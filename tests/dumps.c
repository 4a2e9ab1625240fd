#define _POSIX_C_SOURCE 200809L /* open_memstream */
#include "tests/dumps.h"

#include <stdlib.h>
#include <string.h>

char *dump(const para_graph *g, enum format format, int fold)
{
    para_error err = {0};
    char *bytes = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&bytes, &size);
    assert_non_null(out);
    if (format == TEXT)
        must(para_graph_dump_text(g, out, fold, &err), err);
    else if (format == DOT)
        must(para_graph_dump_dot(g, out, fold, &err), err);
    else if (format == SVG)
        must(para_graph_dump_svg(g, out, fold, &err), err);
    else if (format == HTML)
        must(para_graph_dump_html(g, out, &err), err);
    else
        must(para_graph_dump_json(g, out, &err), err);
    fclose(out);
    return bytes;
}

int load(para_graph **out, const char *json, size_t bytes, para_error *err)
{
    FILE *in = tmpfile();
    assert_non_null(in);
    fwrite(json, 1, bytes, in);
    rewind(in);
    int status = para_graph_load_json(out, in, "g.json", err);
    fclose(in);
    return status;
}

void assert_has(const char *text, const char *part)
{
    if (strstr(text, part))
        return;
    print_error("expected \"%s\" in:\n%s\n", part, text);
    fail();
}
