/* Binary files written as words. */
#include "tests/words.h"
#include "tests/support.h"

#include <stdlib.h>
#include <string.h>

void put_number(struct bytes *b, uint64_t number, int bytes)
{
    for (int i = 0; i < bytes; i++)
        b->data[b->count++] = (unsigned char)(number >> 8 * i);
}

static const char *put_word(struct bytes *b, const char *word)
{
    char *end = NULL;
    if (*word == '|') {
        while (b->count % 32)
            put_number(b, 0, 1);
        return word + 1;
    }
    if (*word == '\'') {
        size_t length = strcspn(word + 1, "'");
        put_number(b, length, 8);
        memcpy(b->data + b->count, word + 1, length);
        b->count += length;
        return word + length + 2;
    }
    if (*word == 'G') {
        memcpy(b->data + b->count, word, 4);
        b->count += 4;
        return word + 4;
    }
    uint64_t number = strtoull(word, &end, 0);
    if (*end == '*') {
        for (uint64_t n = strtoull(end + 1, &end, 0); n > 0; n--)
            put_number(b, number, 1);
        return end;
    }
    assert_int_equal(*end, '/');
    put_number(b, number, (int)strtol(end + 1, &end, 10));
    return end;
}

void put_words(struct bytes *b, const char *words)
{
    while (*words)
        words = *words == ' ' ? words + 1 : put_word(b, words);
}

void write_bytes(const char *path, const struct bytes *b, size_t count)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(b->data, 1, count, f), count);
    assert_int_equal(fclose(f), 0);
}
