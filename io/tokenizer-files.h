/* Reading tokenizers from files, each into one that is empty. What is read of one that fails is freed with it. */
#ifndef PARA_IO_TOKENIZER_FILES_H
#define PARA_IO_TOKENIZER_FILES_H

#include "io/encoder.h"
#include "io/file.h"

#define PARA_ADDED_TOKENS "added_tokens.json"
#define PARA_TOKENIZER_JSON "tokenizer.json"
/* All that make a folder's tokenizer, or go with it: how conversations are written, and what ends a text. */
#define PARA_TOKENIZER_FILES                                                                                           \
    "vocab.json", "merges.txt", PARA_ADDED_TOKENS, "special_tokens_map.json", "tokenizer_config.json",                 \
        PARA_TOKENIZER_JSON, "tokenizer.model", "chat_template.jinja", "generation_config.json"

/* vocab.json and merges.txt of a folder, with their companions. */
int para_tokenizer_load_gpt2(para_tokenizer *t, const char *dir, para_error *err);
/* tokenizer.json of a folder, with its companions. */
int para_tokenizer_load_json(para_tokenizer *t, const char *dir, para_error *err);
/* The metadata of a GGUF file. */
int para_tokenizer_load_gguf(para_tokenizer *t, const char *path, para_error *err);
/* Whether a GGUF file names one. */
bool para_tokenizer_in_gguf(const char *path);

/* The parts of tokenizer.json that say how text is cut (io/tokenizer-steps.c), and what tokens stand for. */
int para_tokenizer_read_normalizer(para_tokenizer *t, const char *path, const json_t *part, para_error *err);
int para_tokenizer_read_pre_tokenizer(para_tokenizer *t, const char *path, const json_t *part, bool *letters,
                                      para_error *err);
int para_tokenizer_read_post_processor(para_tokenizer *t, const char *path, const json_t *part, para_error *err);
/* `is_text` tells of each token whether it is text as it is written; else the decoder says what it stands for, and
 * where there is none, its letters, if it is spelled in such. */
int para_tokenizer_read_decoder(para_tokenizer *t, const char *path, const json_t *part, const bool *is_text,
                                bool letters, para_error *err);
/* Where no merge makes a token that has the character which stands for spaces behind another one, words may begin
 * there: cut there, so that they are short. */
int para_tokenizer_cut_at_spaces(para_tokenizer *t, para_error *err);

#endif
