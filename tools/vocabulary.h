/* Text as token ids: which tokenizer a command reads by, data files, the tokenizer's files beside a model. */
#ifndef TOOLS_VOCABULARY_H
#define TOOLS_VOCABULARY_H

#include "tools/common.h"
#include "tools/newfile.h"

#include <paragraph/tokenizer.h>

/* A tokenizer and the folder that it came from; `folder` NULL: its ids are the 256 bytes. */
struct vocabulary {
    para_tokenizer *tokenizer;
    const char *folder;
};

/* Open the tokenizer of `given`, or, where that is NULL, that of the model folder `folder` if it has one, else bytes.
 */
int vocabulary_open(struct vocabulary *v, const char *given, const char *folder);
void vocabulary_close(struct vocabulary *v);
/* Check that the model, which was read from `folder`, has all of the tokenizer's ids. */
int vocabulary_check(const struct vocabulary *v, const para_model *model, const char *folder);
/* Put copies of tokenizer.json, vocab.json, merges.txt and what else a tokenizer has into a folder, unless they came
 * from there; without a tokenizer, remove those that are there. */
int vocabulary_copy(const struct vocabulary *v, const char *folder);

/* How much text became how many ids. */
struct encoding {
    int64_t bytes, tokens;
};

/* Encode a file, writing its ids as little-endian uint16; adds to *sum. */
int vocabulary_encode(const struct vocabulary *v, const char *path, bool specials, const struct new_file *out,
                      struct encoding *sum);

/* Open files as one sequence of ids: *.tok16 as they are, others encoded. */
int data_open(para_dataset **out, const struct option_files *files, const struct vocabulary *v,
              const para_model *model);
bool data_is_ids(const char *path);

/* Whether two paths lead to one folder. */
bool same_folder(const char *a, const char *b);

#endif
