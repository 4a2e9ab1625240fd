/* GGUF files: an accepted one has all its values and tensors within the file. */
#include "tests/fuzz.h"

#include "io/gguf.h"

#include <paragraph/tokenizer.h>

#include <stdlib.h>
#include <string.h>

const char fuzz_corpus[] = "gguf";

/* Each element as what a reader would want it as. */
static void use_value(const struct para_gguf *f, const struct para_gguf_value *v)
{
    const struct para_gguf_value *found;
    fuzz_assert(para_gguf_find(f, v->key) == v, "a value isn't found by its key");
    bool text = v->type == PARA_GGUF_TEXT;
    int (*need)(const struct para_gguf_value **, const struct para_gguf *, const char *, enum para_gguf_want,
                para_error *) = v->list ? para_gguf_need_list : para_gguf_need;
    fuzz_assert(text == (need(&found, f, v->key, PARA_GGUF_STRING, NULL) == 0), "a text isn't one");
    for (int64_t i = 0; i < v->count; i++) {
        struct para_gguf_text t = text ? para_gguf_text(v, i) : (struct para_gguf_text){"", 0};
        double real = text ? 0 : para_gguf_real(v, i);
        fuzz_use(t.data, t.bytes);
        fuzz_use(&real, sizeof real);
    }
}

static void use_tensor(const struct para_gguf *f, const struct para_gguf_tensor *t)
{
    fuzz_assert(para_gguf_find_tensor(f, t->name) == t, "a tensor isn't found by its name");
    fuzz_use(t->data, t->bytes);
    if (!t->type->widen || t->elements > 1 << 20)
        return;
    float *x = malloc(((size_t)t->elements + 1) * sizeof *x);
    fuzz_assert(x != NULL, "no memory");
    para_blocks_widen(x, t->type, t->data, t->elements);
    fuzz_use(x, (size_t)t->elements * sizeof *x);
    free(x);
}

/* A tokenizer's keys, where they are there. */
static void read_tokenizer(const char *path)
{
    para_tokenizer *t;
    para_error err;
    int32_t *ids = NULL;
    int64_t count = 0;
    if (para_tokenizer_open(&t, path, &err) < 0) {
        fuzz_use(err.message, strlen(err.message));
        return;
    }
    if (para_tokenizer_encode(t, path, strlen(path), true, &ids, &count, &err) == 0)
        fuzz_use(ids, (size_t)count * sizeof *ids);
    para_tokens_free(ids);
    para_tokenizer_free(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct para_gguf *f;
    para_error err;
    const char *path = fuzz_file("x.gguf", data, bytes);
    read_tokenizer(path);
    if (para_gguf_open(&f, path, &err) < 0) {
        fuzz_use(err.message, strlen(err.message));
        return 0;
    }
    for (int64_t i = 0; i < para_gguf_value_count(f); i++)
        use_value(f, para_gguf_value(f, i));
    for (int64_t i = 0; i < para_gguf_tensor_count(f); i++)
        use_tensor(f, para_gguf_tensor(f, i));
    para_gguf_close(f);
    return 0;
}
