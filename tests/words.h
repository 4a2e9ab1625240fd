/* Binary files written as words: N/W is the number N in W bytes, N*C as many bytes N as C says, 'text' a text behind
 * its length in 8 bytes, | zeros up to a multiple of 32, GGUF itself. */
#ifndef PARA_TESTS_WORDS_H
#define PARA_TESTS_WORDS_H

#include <stddef.h>
#include <stdint.h>

struct bytes {
    unsigned char data[65536];
    size_t count;
};

/* Add a number, and what words say. */
void put_number(struct bytes *b, uint64_t number, int bytes);
void put_words(struct bytes *b, const char *words);
/* Write the first bytes to a file. */
void write_bytes(const char *path, const struct bytes *b, size_t count);

#endif
