/* Lines of a file. */
#include "tools/lines.h"
#include "tools/common.h"

#include <errno.h>
#include <stdlib.h>

enum { READ_BYTES = 1 << 16 };

/* Read all there is; *bytes is freed by the caller, also after a failure. */
static int read_all(FILE *in, const char *path, char **bytes, size_t *count)
{
    size_t room = 0, got = READ_BYTES;
    while (got == READ_BYTES) {
        if (*count + READ_BYTES > room) {
            room = 2 * room + READ_BYTES;
            char *more = realloc(*bytes, room);
            if (!more)
                return out_of_memory(path, (double)room);
            *bytes = more;
        }
        errno = 0;
        got = fread(*bytes + *count, 1, READ_BYTES, in);
        *count += got;
        if (ferror(in))
            return failed("%s: can't be read: %s", path, strerror(errno));
    }
    return EXIT_DONE;
}

/* The line that begins at `at`, without its end; *at moves on to the next. */
static struct span next_line(const char *bytes, size_t count, size_t *at)
{
    const char *line = bytes + *at, *end = memchr(line, '\n', count - *at);
    size_t length = end ? (size_t)(end - line) : count - *at;
    *at += length + 1;
    return (struct span){line, length - (length > 0 && line[length - 1] == '\r')};
}

static int cut(struct lines *l, size_t count)
{
    size_t begin = count >= 3 && memcmp(l->bytes, "\xef\xbb\xbf", 3) == 0 ? 3 : 0, lines = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (size_t at = begin; at < count; lines += pass == 0) {
            struct span line = next_line(l->bytes, count, &at);
            if (pass == 1)
                l->of[l->count++] = line;
        }
        if (pass == 0 && !(l->of = malloc((lines + 1) * sizeof *l->of)))
            return out_of_memory("lines", (double)lines * sizeof *l->of);
    }
    return EXIT_DONE;
}

static bool is_standard(const char *path)
{
    return strcmp(path, "-") == 0;
}

const char *lines_name(const char *path)
{
    return is_standard(path) ? "standard input" : path;
}

int lines_read(struct lines *out, const char *path)
{
    size_t count = 0;
    bool standard = is_standard(path);
    *out = (struct lines){0};
    FILE *in = standard ? stdin : fopen(path, "rb");
    if (!in)
        return failed("%s: can't be opened: %s", path, strerror(errno));
    int code = read_all(in, lines_name(path), &out->bytes, &count);
    if (!standard)
        fclose(in);
    return code ? code : cut(out, count);
}

void lines_free(struct lines *l)
{
    free(l->bytes);
    free(l->of);
    *l = (struct lines){0};
}
