# Models as graph builders.
libinternal_la_SOURCES += models/gpt2-names.c
libinternal_la_SOURCES += models/gpt2.c
