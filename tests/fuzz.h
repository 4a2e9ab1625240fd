/* Targets for fuzzing: a parser each, given whatever bytes. tests/fuzz-replay.c runs one over its corpus, in make
 * check; scripts/fuzz makes it a libFuzzer program. */
#ifndef PARA_TESTS_FUZZ_H
#define PARA_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* The folder below tests/corpus. */
extern const char fuzz_corpus[];
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* Write the bytes to a file of that name in this process's temporary folder, and return its path, which lives until the
 * next call; NULL for `name`: the folder's own path. */
const char *fuzz_file(const char *name, const uint8_t *data, size_t bytes);
/* Use a value, so that reading it isn't optimized away. */
void fuzz_use(const void *data, size_t bytes);
/* Stop, as at a crash, unless the condition holds. */
void fuzz_assert(int condition, const char *what);

#endif
