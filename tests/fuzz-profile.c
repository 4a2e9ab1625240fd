/* Profiles: an accepted one is written, read and written again as the same bytes, and shown in all ways. */
#include "tests/fuzz.h"

#include <paragraph.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char fuzz_corpus[] = "profile";

static char *save(const para_profile *p, size_t *bytes)
{
    char *text = NULL;
    para_error err;
    FILE *out = open_memstream(&text, bytes);
    fuzz_assert(out && para_profile_save(p, out, &err) == 0, "a profile can't be written");
    fclose(out);
    return text;
}

static int load(para_profile **p, const void *data, size_t bytes)
{
    para_error err;
    FILE *in = bytes ? fmemopen((void *)(uintptr_t)data, bytes, "r") : NULL;
    int status = in ? para_profile_load(p, in, "input", &err) : -1;
    if (in && status < 0)
        fuzz_use(err.message, strlen(err.message));
    if (in)
        fclose(in);
    return status;
}

static void show(const para_profile *p)
{
    para_error err;
    FILE *out = fopen("/dev/null", "w");
    fuzz_assert(out && para_profile_dump_html(p, out, &err) == 0, "a profile can't be shown as a page");
    fuzz_assert(para_profile_dump_text(p, out, 1, &err) == 0, "a profile can't be told");
    fuzz_assert(para_profile_dump_svg(p, out, 0, &err) == 0, "a profile can't be drawn on its graph");
    fuzz_assert(para_profile_dump_timeline(p, out, &err) == 0, "a profile can't be drawn over time");
    fuzz_assert(para_profile_dump_trace(p, out, &err) == 0, "a profile can't be traced");
    fclose(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    para_profile *p, *again;
    if (load(&p, data, bytes) < 0)
        return 0;
    size_t first, second;
    char *text = save(p, &first);
    fuzz_assert(load(&again, text, first) == 0, "what was written can't be read");
    char *other = save(again, &second);
    fuzz_assert(first == second && memcmp(text, other, first) == 0, "what was written is another profile");
    show(again);
    para_profile_free(again);
    para_profile_free(p);
    free(text);
    free(other);
    return 0;
}
