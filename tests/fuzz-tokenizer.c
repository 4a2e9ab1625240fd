/* Tokenizers' files: vocab.json, merges.txt, a text and, if it goes on, added_tokens.json, with bytes 255 between. What
 * a tokenizer makes of any text decodes to the same bytes. */
#include "tests/fuzz.h"

#include <paragraph/tokenizer.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char fuzz_corpus[] = "tokenizer";

static void encode(const para_tokenizer *t, const uint8_t *text, size_t bytes, int specials)
{
    int32_t *ids = NULL;
    int64_t count = 0;
    size_t at = 0, more = 0;
    para_error err;
    if (para_tokenizer_encode(t, text, bytes, specials, &ids, &count, &err) < 0)
        return;
    for (int64_t i = 0; i < count; i++) {
        const void *token = para_tokenizer_token(t, ids[i], &more);
        fuzz_assert(token && more <= bytes - at && memcmp(token, text + at, more) == 0, "a text decodes to another");
        at += more;
    }
    fuzz_assert(at == bytes, "a text decodes to a part of it");
    para_tokens_free(ids);
}

/* Write a part of the input, up to a byte 255, to a file, and return what follows that byte; NULL: nothing does, or
 * there was no part at all, and no file is made. */
static const uint8_t *write_part(const char *name, const uint8_t *part, const uint8_t *end)
{
    const char *path = fuzz_file(name, part ? part : end, 0);
    const uint8_t *stop = part && part < end ? memchr(part, 255, (size_t)(end - part)) : NULL;
    if (part)
        fuzz_file(name, part, (size_t)((stop ? stop : end) - part));
    else
        unlink(path);
    return stop ? stop + 1 : NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static const uint8_t nothing[1];
    para_tokenizer *t;
    para_error err;
    const uint8_t *end = bytes ? data + bytes : nothing;
    const uint8_t *merges = write_part("vocab.json", bytes ? data : end, end);
    const uint8_t *text = write_part("merges.txt", merges ? merges : end, end);
    const uint8_t *stop = text && text < end ? memchr(text, 255, (size_t)(end - text)) : NULL;
    write_part("added_tokens.json", stop ? stop + 1 : NULL, end);
    if (para_tokenizer_open(&t, fuzz_file(NULL, NULL, 0), &err) < 0) {
        fuzz_use(err.message, strlen(err.message));
        return 0;
    }
    size_t length = text ? (size_t)((stop ? stop : end) - text) : 0;
    encode(t, text ? text : end, length, 0);
    encode(t, text ? text : end, length, 1);
    para_tokenizer_free(t);
    return 0;
}
