/* A graph's digest: SHA-256 of its JSON, so that `sha256sum` of a graph file gives the same. */
#define _POSIX_C_SOURCE 200809L /* open_memstream */
#include "base/fail.h"
#include "base/sha256.h"
#include "graph/ir.h"

#include <stdlib.h>

int para_graph_digest(const para_graph *g, char digest[PARA_DIGEST_TEXT], para_error *err)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    if (!out)
        return para_fail_memory(err, "a graph's digest");
    int status = para_graph_dump_json(g, out, err);
    if (fclose(out) != 0 && status == 0)
        status = para_fail_memory(err, "a graph's digest");
    if (status == 0)
        para_sha256(text, bytes, digest);
    free(text);
    return status;
}
