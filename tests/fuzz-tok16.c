/* Token ids: a file is all its ids, each within the vocabulary. */
#include "tests/fuzz.h"

#include <paragraph/data.h>

#include <string.h>

const char fuzz_corpus[] = "tok16";

enum { VOCAB = 300, BATCH = 2, SEQ = 3 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    const char *path = fuzz_file("x.tok16", data, bytes);
    int32_t tokens[BATCH * SEQ], targets[BATCH * SEQ];
    para_dataset *d, *part;
    para_error err;
    if (para_dataset_open(&d, &path, 1, VOCAB, &err) < 0) {
        fuzz_use(err.message, strlen(err.message));
        return 0;
    }
    int64_t count = para_dataset_tokens(d);
    fuzz_assert(count == (int64_t)bytes / 2, "a file has another number of ids");
    for (int sequential = 0; sequential < 2; sequential++)
        if (para_dataset_batch(d, BATCH, SEQ, (int64_t)bytes, 1, sequential, tokens, targets, &err) == 0)
            for (int i = 0; i < BATCH * SEQ; i++)
                fuzz_assert(tokens[i] >= 0 && tokens[i] < VOCAB && targets[i] < VOCAB,
                            "an id is beyond the vocabulary");
    if (para_dataset_part(&part, d, count / 3, count / 2, &err) == 0) {
        fuzz_assert(para_dataset_tokens(part) == count / 2 - count / 3, "a part has another number of ids");
        para_dataset_free(part);
    }
    fuzz_assert(para_dataset_part(&part, d, 0, count + 1, &err) < 0, "a part is larger than the whole");
    para_dataset_free(d);
    return 0;
}
