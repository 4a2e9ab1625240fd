/* Files of a header and tensors' data. */
#include "io/stream.h"

#include "base/checked.h"
#include "base/fail.h"
#include "io/file.h"

#include <stdlib.h>
#include <string.h>

static int append_data(struct para_new_file *f, size_t alignment, const para_entry *entries, int count,
                       para_entry_fetch fetch, void *user, para_error *err)
{
    size_t largest = 0;
    for (int i = 0; i < count; i++)
        largest = entries[i].bytes > largest ? entries[i].bytes : largest;
    char *buffer = malloc(largest + alignment);
    int status = buffer ? 0 : para_fail_memory(err, f->path);
    for (int i = 0; i < count && status == 0; i++) {
        size_t bytes = entries[i].bytes, padding = (alignment - bytes % alignment) % alignment;
        memset(buffer + bytes, 0, padding);
        if (fetch)
            status = fetch(user, i, buffer, err);
        if (status == 0)
            status = para_new_file_append(f, fetch ? buffer : entries[i].data, bytes, err);
        if (status == 0)
            status = para_new_file_append(f, buffer + bytes, padding, err);
    }
    free(buffer);
    return status;
}

int para_stream_entries(const char *path, const void *header, size_t header_bytes, size_t alignment,
                        const para_entry *entries, int count, para_entry_fetch fetch, void *user, para_error *err)
{
    struct para_new_file f;
    PARA_TRY(para_new_file_begin(&f, path, err));
    int status = para_new_file_append(&f, header, header_bytes, err);
    if (status == 0)
        status = append_data(&f, alignment, entries, count, fetch, user, err);
    return para_new_file_end(&f, status, err);
}
