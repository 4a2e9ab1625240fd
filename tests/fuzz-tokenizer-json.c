/* tokenizer.json, a text and, from a byte 255 before a brace on, tokenizer_config.json, with a byte 255 between. What a
 * tokenizer makes of a text doesn't depend on how it comes in blocks, and all of it can be decoded. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* memmem */
#endif
#include "tests/fuzz.h"

#include <paragraph/tokenizer.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char fuzz_corpus[] = "tokenizer-json";

/* Whether these are the next of `expected`. */
static int same(const int32_t *ids, int64_t count, const int32_t *expected, int64_t left)
{
    return count <= left && (count == 0 || memcmp(ids, expected, (size_t)count * sizeof *ids) == 0);
}

static void in_blocks(const para_tokenizer *t, const uint8_t *text, size_t bytes, int specials, const int32_t *expected,
                      int64_t count)
{
    para_encoder *e;
    para_error err;
    const int32_t *ids = NULL;
    int64_t more = 0, at = 0;
    fuzz_assert(para_encoder_new(&e, t, specials, &err) == 0, "no encoder");
    for (size_t begin = 0; begin < bytes; begin += 7) {
        size_t block = bytes - begin < 7 ? bytes - begin : 7;
        if (para_encoder_feed(e, text + begin, block, &ids, &more, &err) < 0)
            more = 0;
        fuzz_assert(same(ids, more, expected + at, count - at), "blocks give other ids");
        at += more;
    }
    fuzz_assert(para_encoder_finish(e, &ids, &more, &err) == 0, "a text can't be ended");
    fuzz_assert(same(ids, more, expected + at, count - at) && at + more == count, "blocks give other ids at the end");
    para_encoder_free(e);
}

static void decode(const para_tokenizer *t, const int32_t *ids, int64_t count)
{
    para_decoder *d;
    para_error err;
    const char *piece;
    size_t bytes;
    fuzz_assert(para_decoder_new(&d, t, &err) == 0, "no decoder");
    for (int64_t i = 0; i < count; i++) {
        fuzz_assert(para_decoder_feed(d, ids[i], &piece, &bytes, &err) == 0, "an id that is none");
        fuzz_use(piece, bytes);
    }
    para_decoder_finish(d, &piece, &bytes);
    fuzz_use(piece, bytes);
    para_decoder_free(d);
}

static void encode(const para_tokenizer *t, const uint8_t *text, size_t bytes, int specials)
{
    static const int32_t none[1];
    int32_t *ids = NULL;
    int64_t count = 0;
    para_error err;
    if (para_tokenizer_encode(t, text, bytes, specials, &ids, &count, &err) < 0)
        return;
    in_blocks(t, text, bytes, specials, ids ? ids : none, count);
    decode(t, ids, count);
    para_tokens_free(ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    para_tokenizer *t;
    para_error err;
    const uint8_t *stop = bytes ? memchr(data, 255, bytes) : NULL;
    size_t json = stop ? (size_t)(stop - data) : bytes, text = stop ? bytes - json - 1 : 0;
    const uint8_t *config = text ? memmem(stop + 1, text, "\xff{", 2) : NULL;
    fuzz_file("tokenizer.json", data, json);
    const char *path = fuzz_file("tokenizer_config.json", data, 0);
    if (config) {
        text = (size_t)(config - stop) - 1;
        fuzz_file("tokenizer_config.json", config + 1, bytes - json - text - 2);
    } else {
        unlink(path);
    }
    if (para_tokenizer_open(&t, fuzz_file(NULL, NULL, 0), &err) < 0) {
        fuzz_use(err.message, strlen(err.message));
        return 0;
    }
    if (stop)
        for (int specials = 0; specials < 2; specials++)
            encode(t, stop + 1, text, specials);
    para_tokenizer_free(t);
    return 0;
}
