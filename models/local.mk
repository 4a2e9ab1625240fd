# Models as graph builders: a file per family, and what families share.
libinternal_la_SOURCES += models/builder.c
libinternal_la_SOURCES += models/builder.h
libinternal_la_SOURCES += models/family.h
libinternal_la_SOURCES += models/gpt2.c
libinternal_la_SOURCES += models/list.h
libinternal_la_SOURCES += models/llama.c
libinternal_la_SOURCES += models/lora.c
libinternal_la_SOURCES += models/model.c
