/* Tokenizers and data files. */
#include "tools/vocabulary.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BYTES_VOCAB = 256, IDS_OF_16_BITS = 65536, READ_BYTES = 1 << 20 };

/* A tokenizer's files, of which a folder has some. */
static const char *const FILES[] = {"tokenizer.json",
                                    "vocab.json",
                                    "merges.txt",
                                    "added_tokens.json",
                                    "special_tokens_map.json",
                                    "tokenizer_config.json",
                                    "chat_template.jinja",
                                    "generation_config.json"};
enum { FILE_COUNT = sizeof FILES / sizeof FILES[0] };

/* FOLDER/NAME, to be freed; NULL when memory runs out. */
static char *join(const char *folder, const char *name)
{
    size_t bytes = strlen(folder) + strlen(name) + 2;
    char *path = malloc(bytes);
    if (path)
        snprintf(path, bytes, "%s/%s", folder, name);
    return path;
}

int vocabulary_open(struct vocabulary *v, const char *given, const char *folder)
{
    para_error err;
    bool bytes = given && strcmp(given, "bytes") == 0 && access(given, F_OK) != 0;
    *v = (struct vocabulary){.folder = bytes                                     ? NULL
                                       : given                                   ? given
                                       : folder && para_tokenizer_exists(folder) ? folder
                                                                                 : NULL};
    return para_tokenizer_open(&v->tokenizer, v->folder, &err) < 0 ? broken(&err) : EXIT_DONE;
}

void vocabulary_close(struct vocabulary *v)
{
    para_tokenizer_free(v->tokenizer);
    *v = (struct vocabulary){0};
}

int vocabulary_check(const struct vocabulary *v, const para_model *model, const char *folder)
{
    long long has = para_tokenizer_vocab(v->tokenizer), vocab = para_model_measure(model).vocab;
    if (v->folder && has > vocab)
        return failed("%s: the tokenizer has %lld tokens, the model a vocabulary of %lld; expected no more than that",
                      v->folder, has, vocab);
    if (!v->folder && vocab != BYTES_VOCAB)
        return failed("%s: the model's vocabulary is %lld and there is no tokenizer (tokenizer.json, or vocab.json and "
                      "merges.txt); expected one, or a vocabulary of %d for bytes",
                      folder, vocab, BYTES_VOCAB);
    return EXIT_DONE;
}

static int copy_stream(FILE *in, FILE *out, const char *from)
{
    char block[1 << 16];
    size_t bytes;
    while ((bytes = fread(block, 1, sizeof block, in)) > 0)
        fwrite(block, 1, bytes, out);
    return ferror(in) ? failed("%s: can't be read: %s", from, strerror(errno)) : EXIT_DONE;
}

static int copy_file(const char *from, const char *to)
{
    struct new_file file;
    FILE *in = fopen(from, "rb");
    if (!in)
        return failed("%s: can't be opened: %s", from, strerror(errno));
    int code = new_file_open(&file, to);
    if (code == EXIT_DONE)
        code = new_file_close(&file, copy_stream(in, file.stream, from));
    fclose(in);
    return code;
}

/* A model that goes without a tokenizer must not find that of the model before it in its folder. */
static int drop_file(const char *path)
{
    if (unlink(path) == 0 || errno == ENOENT)
        return EXIT_DONE;
    return failed("%s: can't be removed: %s", path, strerror(errno));
}

int vocabulary_copy(const struct vocabulary *v, const char *folder)
{
    struct stat about;
    para_error err;
    int code = EXIT_DONE;
    if (v->folder && same_folder(v->folder, folder))
        return EXIT_DONE;
    bool is_file = v->folder && stat(v->folder, &about) == 0 && S_ISREG(about.st_mode);
    for (int i = 0; i < FILE_COUNT && code == EXIT_DONE; i++) {
        char *from = v->folder ? join(v->folder, FILES[i]) : NULL, *to = join(folder, FILES[i]);
        if (!to || (v->folder && !from))
            code = out_of_memory("a file's name", 0);
        else
            code = from && access(from, F_OK) == 0 ? copy_file(from, to) : drop_file(to);
        free(from);
        free(to);
    }
    if (code == EXIT_DONE && is_file && para_tokenizer_unpack(v->folder, folder, &err) < 0)
        code = broken(&err);
    return code;
}

static bool write_ids(FILE *out, const int32_t *ids, int64_t count)
{
    bool written = true;
    for (int64_t i = 0; i < count && written; i++)
        written = putc(ids[i] & 255, out) != EOF && putc(ids[i] >> 8, out) != EOF;
    return written;
}

/* Feed the file block by block; the last call of the loop, with no bytes left, ends the text. */
static int encode_stream(para_encoder *e, FILE *in, char *block, const char *path, const struct new_file *out,
                         struct encoding *sum)
{
    para_error err;
    size_t bytes;
    do {
        const int32_t *ids = NULL;
        int64_t count = 0;
        bytes = fread(block, 1, READ_BYTES, in);
        if (ferror(in))
            return failed("%s: can't be read: %s", path, strerror(errno));
        int status = bytes > 0 ? para_encoder_feed(e, block, bytes, &ids, &count, &err)
                               : para_encoder_finish(e, &ids, &count, &err);
        if (status < 0)
            return failed("%s: %s", path, err.message);
        if (!write_ids(out->stream, ids, count))
            return failed("%s: can't be written: %s", out->path, strerror(errno));
        sum->bytes += (int64_t)bytes;
        sum->tokens += count;
    } while (bytes > 0);
    return EXIT_DONE;
}

int vocabulary_encode(const struct vocabulary *v, const char *path, bool specials, const struct new_file *out,
                      struct encoding *sum)
{
    para_error err;
    para_encoder *e = NULL;
    if (para_tokenizer_vocab(v->tokenizer) > IDS_OF_16_BITS)
        return failed("%s: the tokenizer has %lld tokens, expected at most %d, ids of 16 bits", v->folder,
                      (long long)para_tokenizer_vocab(v->tokenizer), IDS_OF_16_BITS);
    FILE *in = fopen(path, "rb");
    if (!in)
        return failed("%s: can't open: %s", path, strerror(errno));
    char *block = malloc(READ_BYTES);
    int code = block ? EXIT_DONE : out_of_memory("a block of text", READ_BYTES);
    if (block && para_encoder_new(&e, v->tokenizer, specials, &err) < 0)
        code = broken(&err);
    code = code ? code : encode_stream(e, in, block, path, out, sum);
    para_encoder_free(e);
    free(block);
    fclose(in);
    return code;
}

/* --- data --- */

bool data_is_ids(const char *path)
{
    size_t length = strlen(path);
    return length >= 6 && strcmp(path + length - 6, ".tok16") == 0;
}

int data_open(para_dataset **out, const struct option_files *files, const struct vocabulary *v, const para_model *model)
{
    para_error err;
    int64_t vocab = para_model_measure(model).vocab;
    if (v->folder && para_dataset_encode(out, files->paths, files->count, v->tokenizer, vocab, &err) < 0)
        return broken(&err);
    if (v->folder)
        return EXIT_DONE;
    for (int i = 0; i < files->count; i++)
        if (!data_is_ids(files->paths[i]) && vocab != BYTES_VOCAB)
            return failed("%s: is read as bytes, for which the model's vocabulary is %lld, expected %d (or --tokenizer "
                          "DIR, or token ids in a file named *.tok16)",
                          files->paths[i], (long long)vocab, BYTES_VOCAB);
    return para_dataset_open(out, files->paths, files->count, vocab, &err) < 0 ? broken(&err) : EXIT_DONE;
}

bool same_folder(const char *a, const char *b)
{
    struct stat left, right;
    return stat(a, &left) == 0 && stat(b, &right) == 0 && left.st_dev == right.st_dev && left.st_ino == right.st_ino;
}
