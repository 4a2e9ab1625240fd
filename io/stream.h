/* Files that are a header and the data of tensors, as safetensors and GGUF have them, written one tensor at a time. */
#ifndef PARA_IO_STREAM_H
#define PARA_IO_STREAM_H

#include <paragraph/data.h>

/* Fill a buffer with the data of entry i. */
typedef int (*para_entry_fetch)(void *user, int i, void *buffer, para_error *err);

/* Write a file whole: the header; then each entry's data, zeros up to a multiple of `alignment` bytes behind it. The
 * entries' own `data` is read where `fetch` is NULL alone. */
int para_stream_entries(const char *path, const void *header, size_t header_bytes, size_t alignment,
                        const para_entry *entries, int count, para_entry_fetch fetch, void *user, para_error *err);

#endif
