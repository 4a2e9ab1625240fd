# Files: safetensors, tokenizers, token data, checkpoints.
if IO
libinternal_la_SOURCES += io/blocks.c
libinternal_la_SOURCES += io/blocks.h
libinternal_la_SOURCES += io/bpe.c
libinternal_la_SOURCES += io/bpe.h
libinternal_la_SOURCES += io/checkpoint.c
libinternal_la_SOURCES += io/choices.c
libinternal_la_SOURCES += io/config.c
libinternal_la_SOURCES += io/config.h
libinternal_la_SOURCES += io/dataset.c
libinternal_la_SOURCES += io/encoder.c
libinternal_la_SOURCES += io/encoder.h
libinternal_la_SOURCES += io/file.c
libinternal_la_SOURCES += io/file.h
libinternal_la_SOURCES += io/folder.c
libinternal_la_SOURCES += io/folder.h
libinternal_la_SOURCES += io/gguf.c
libinternal_la_SOURCES += io/gguf.h
libinternal_la_SOURCES += io/pretoken.c
libinternal_la_SOURCES += io/pretoken.h
libinternal_la_SOURCES += io/rope.c
libinternal_la_SOURCES += io/rope.h
libinternal_la_SOURCES += io/safetensors-read.c
libinternal_la_SOURCES += io/safetensors-write.c
libinternal_la_SOURCES += io/safetensors.h
libinternal_la_SOURCES += io/tokenizer.c
libinternal_la_SOURCES += io/values.c
libinternal_la_SOURCES += io/values.h
libinternal_la_SOURCES += io/vocabulary.c
libinternal_la_SOURCES += io/vocabulary.h
libinternal_la_SOURCES += io/weights.c
libinternal_la_SOURCES += io/weights.h
endif
