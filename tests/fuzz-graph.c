/* Graphs in JSON: an accepted one is written, read and written again as the same bytes, and can be planned. */
#include "tests/fuzz.h"

#include <paragraph.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char fuzz_corpus[] = "graph";

enum { MOST_NODES = 200 };

static char *dump(const para_graph *g, size_t *bytes)
{
    char *text = NULL;
    para_error err;
    FILE *out = open_memstream(&text, bytes);
    fuzz_assert(out && para_graph_dump_json(g, out, &err) == 0, "a graph can't be written");
    fclose(out);
    return text;
}

static int load(para_graph **g, const void *data, size_t bytes)
{
    para_error err;
    FILE *in = bytes ? fmemopen((void *)(uintptr_t)data, bytes, "r") : NULL;
    int status = in ? para_graph_load_json(g, in, "input", &err) : -1;
    if (in && status < 0)
        fuzz_use(err.message, strlen(err.message));
    if (in)
        fclose(in);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    para_graph *g, *again;
    para_plan *plan;
    if (load(&g, data, bytes) < 0)
        return 0;
    size_t first, second;
    char *text = dump(g, &first);
    fuzz_assert(load(&again, text, first) == 0, "what was written can't be read");
    char *other = dump(again, &second);
    fuzz_assert(first == second && memcmp(text, other, first) == 0, "what was written is another graph");
    if (para_graph_node_count(g) <= MOST_NODES && para_plan_new(&plan, g, 2, NULL) == 0)
        para_plan_free(plan);
    para_graph_free(again);
    para_graph_free(g);
    free(text);
    free(other);
    return 0;
}
