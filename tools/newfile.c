/* Files written whole. */
#include "tools/newfile.h"
#include "tools/common.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char SUFFIX[] = ".paragraph-new";

int new_file_open(struct new_file *f, const char *path)
{
    struct stat status;
    size_t bytes = strlen(path) + sizeof SUFFIX;
    *f = (struct new_file){.path = path};
    if (lstat(path, &status) != 0 || S_ISREG(status.st_mode)) {
        f->temporary = malloc(bytes);
        if (!f->temporary)
            return out_of_memory("a file's name", (double)bytes);
        snprintf(f->temporary, bytes, "%s%s", path, SUFFIX);
    }
    f->stream = fopen(f->temporary ? f->temporary : path, "wb");
    if (f->stream)
        return EXIT_DONE;
    free(f->temporary);
    return failed("%s: can't be opened: %s", path, strerror(errno));
}

int new_file_close(struct new_file *f, int code)
{
    if (!f->stream)
        return code;
    errno = 0;
    bool whole = !ferror(f->stream);
    whole = fclose(f->stream) == 0 && whole;
    if (code == EXIT_DONE && whole && f->temporary)
        whole = rename(f->temporary, f->path) == 0;
    if (code == EXIT_DONE && !whole)
        code = failed("%s: can't be written%s%s", f->path, errno ? ": " : "", errno ? strerror(errno) : "");
    if (code != EXIT_DONE && f->temporary)
        remove(f->temporary);
    free(f->temporary);
    f->stream = NULL;
    return code;
}
