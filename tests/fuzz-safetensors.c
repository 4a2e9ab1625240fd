/* Safetensors files: the tensors of an accepted one are all its bytes behind the header, each once, in their order, and
 * as many as types and shapes say. */
#include "tests/fuzz.h"

#include "io/safetensors.h"

#include <paragraph/data.h>

#include <stdlib.h>
#include <string.h>

const char fuzz_corpus[] = "safetensors";

static int by_place(const void *left, const void *right)
{
    const para_entry *a = left, *b = right;
    if (a->data != b->data)
        return (uintptr_t)a->data < (uintptr_t)b->data ? -1 : 1;
    return (a->bytes > b->bytes) - (a->bytes < b->bytes);
}

static void check_size(const para_entry *e)
{
    double elements = 1;
    for (int d = 0; d < e->rank; d++) {
        fuzz_assert(e->shape[d] >= 0, "a size is negative");
        elements *= (double)e->shape[d];
    }
    fuzz_assert(elements * (double)para_dtype_bytes(e->dtype) == (double)e->bytes, "a tensor has other bytes");
}

static void check_all(const para_entry *entries, int count, const uint8_t *data, size_t bytes)
{
    uint64_t length = 0;
    for (int i = 0; i < PARA_SAFETENSORS_PREFIX && bytes >= PARA_SAFETENSORS_PREFIX; i++)
        length |= (uint64_t)data[i] << 8 * i;
    fuzz_assert(bytes >= PARA_SAFETENSORS_PREFIX && length <= bytes - PARA_SAFETENSORS_PREFIX, "a header is cut off");
    const uint8_t *next = data + PARA_SAFETENSORS_PREFIX + length;
    size_t left = bytes - PARA_SAFETENSORS_PREFIX - (size_t)length;
    for (int i = 0; i < count; i++) {
        const para_entry *e = &entries[i];
        fuzz_assert(e->bytes <= left && memcmp(e->data, next, e->bytes) == 0, "a tensor has other data");
        fuzz_assert(i == 0 || (const char *)e->data == (const char *)e[-1].data + e[-1].bytes, "tensors lie apart");
        next += e->bytes;
        left -= e->bytes;
    }
    fuzz_assert(left == 0, "bytes belong to no tensor");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    para_safetensors *f;
    para_error err;
    if (para_safetensors_open(&f, fuzz_file("x.safetensors", data, bytes), &err) < 0) {
        fuzz_use(err.message, strlen(err.message));
        return 0;
    }
    int count = para_safetensors_count(f), others = para_safetensors_other_count(f);
    para_entry *all = calloc((size_t)(count + others) + 1, sizeof *all);
    fuzz_assert(all != NULL, "no memory");
    for (int i = 0; i < count; i++) {
        all[i] = para_safetensors_entry(f, i);
        check_size(&all[i]);
        fuzz_assert(para_safetensors_find(f, all[i].name) == i, "a tensor isn't found by its name");
    }
    for (int i = 0; i < others; i++)
        all[count + i] = para_safetensors_other(f, i)->entry;
    qsort(all, (size_t)(count + others), sizeof *all, by_place);
    check_all(all, count + others, data, bytes);
    free(all);
    para_safetensors_close(f);
    return 0;
}
