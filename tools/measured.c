/* Profiles that are read. */
#include "tools/measured.h"

#include <errno.h>
#include <string.h>

static int load(para_profile **out, const char *path)
{
    para_error err;
    FILE *file = fopen(path, "r");
    if (!file)
        return failed("%s: can't be opened: %s", path, strerror(errno));
    int status = para_profile_load(out, file, path, &err);
    fclose(file);
    return status < 0 ? broken(&err) : EXIT_DONE;
}

static bool graph_is_given(const struct options_given *given)
{
    for (int group = 1; group < OPTION_GROUPS; group++)
        if (given->rows[group])
            return true;
    return false;
}

/* Refuse a profile of another graph than the options describe. */
static int check_digest(const para_profile *p, const char *path, const struct source_options *source)
{
    para_error err;
    para_graph *g;
    char digest[PARA_DIGEST_TEXT];
    TRY(source_graph(&g, source, 0, NULL));
    int status = para_graph_digest(g, digest, &err);
    para_graph_free(g);
    if (status < 0)
        return broken(&err);
    return strcmp(digest, para_profile_digest(p)) == 0
               ? EXIT_DONE
               : failed("%s: is the profile of another graph: it ran the one of digest %.12s, and the one given has "
                        "%.12s; without a graph it shows its own",
                        path, para_profile_digest(p), digest);
}

int measured_load(para_profile **out, const char *path, const struct source_options *source,
                  const struct options_given *given)
{
    para_profile *p;
    TRY(load(&p, path));
    int code = graph_is_given(given) ? check_digest(p, path, source) : EXIT_DONE;
    if (code == EXIT_DONE)
        *out = p;
    else
        para_profile_free(p);
    return code;
}
