/* Safetensors files: an accepted one has all its data within the file. */
#include "tests/fuzz.h"

#include <paragraph/data.h>

#include <string.h>

const char fuzz_corpus[] = "safetensors";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    para_safetensors *f;
    para_error err;
    if (para_safetensors_open(&f, fuzz_file("x.safetensors", data, bytes), &err) < 0) {
        fuzz_use(err.message, strlen(err.message));
        return 0;
    }
    for (int i = 0; i < para_safetensors_count(f); i++) {
        para_entry e = para_safetensors_entry(f, i);
        fuzz_use(e.data, e.bytes);
        fuzz_assert(para_safetensors_find(f, e.name) == i, "a tensor isn't found by its name");
    }
    para_safetensors_close(f);
    return 0;
}
