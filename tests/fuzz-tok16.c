/* Token ids: a file is all its ids, each within the vocabulary, however many bytes the data take for one; text by a
 * tokenizer of bytes is its bytes. */
#include "tests/fuzz.h"

#include <paragraph/data.h>

#include <string.h>

const char fuzz_corpus[] = "tok16";

enum { VOCAB = 300, LARGE_VOCAB = 70000, BATCH = 2, SEQ = 3, READ = 64 };

/* Data that were read have `count` ids below `vocab`. */
static void use(const para_dataset *d, int64_t count, int64_t vocab, int64_t step)
{
    int32_t tokens[BATCH * SEQ], targets[BATCH * SEQ], all[READ];
    para_dataset *part;
    para_error err;
    fuzz_assert(para_dataset_tokens(d) == count, "a file has another number of ids");
    for (int sequential = 0; sequential < 2; sequential++)
        if (para_dataset_batch(d, BATCH, SEQ, step, 1, sequential, tokens, targets, &err) == 0)
            for (int i = 0; i < BATCH * SEQ; i++)
                fuzz_assert(tokens[i] >= 0 && tokens[i] < vocab && targets[i] < vocab,
                            "an id is beyond the vocabulary");
    if (para_dataset_part(&part, d, count / 3, count / 2, &err) == 0) {
        int64_t some = count / 2 - count / 3;
        fuzz_assert(para_dataset_tokens(part) == some, "a part has another number of ids");
        fuzz_assert(some > READ || para_dataset_read(part, 0, some, all, &err) == 0, "a part can't be read");
        fuzz_assert(para_dataset_read(part, 1, some, all, &err) < 0, "a part is read beyond its end");
        para_dataset_free(part);
    }
    fuzz_assert(para_dataset_part(&part, d, 0, count + 1, &err) < 0, "a part is larger than the whole");
}

static void read_ids(const uint8_t *data, size_t bytes, int64_t vocab)
{
    const char *path = fuzz_file("x.tok16", data, bytes);
    para_dataset *d;
    para_error err;
    if (para_dataset_open(&d, &path, 1, vocab, &err) < 0) {
        fuzz_use(err.message, strlen(err.message));
        return;
    }
    use(d, (int64_t)bytes / 2, vocab, (int64_t)bytes);
    para_dataset_free(d);
}

static void read_text(const uint8_t *data, size_t bytes)
{
    const char *path = fuzz_file("x.txt", data, bytes);
    para_tokenizer *t;
    para_dataset *d;
    para_error err;
    fuzz_assert(para_tokenizer_open(&t, NULL, &err) == 0, "no tokenizer of bytes");
    fuzz_assert(para_dataset_encode(&d, &path, 1, t, 256, &err) == 0, "a text isn't read");
    use(d, (int64_t)bytes, 256, 0);
    for (int64_t i = 0; i < (int64_t)bytes; i++) {
        int32_t id;
        fuzz_assert(para_dataset_read(d, i, 1, &id, &err) == 0 && id == data[i], "a byte is another id");
    }
    para_dataset_free(d);
    para_tokenizer_free(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    read_ids(data, bytes, VOCAB);
    read_ids(data, bytes, LARGE_VOCAB);
    read_text(data, bytes);
    return 0;
}
