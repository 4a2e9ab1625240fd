# Models as graph builders.
if IO
libinternal_la_SOURCES += models/gpt2-names.c
libinternal_la_SOURCES += models/gpt2.c
endif
