# Making text: choosing tokens, and many texts side by side.
if IO
libinternal_la_SOURCES += generate/engine.c
libinternal_la_SOURCES += generate/engine.h
libinternal_la_SOURCES += generate/generator.c
libinternal_la_SOURCES += generate/sampler.c
libinternal_la_SOURCES += generate/sampler.h
libinternal_la_SOURCES += generate/sequence.c
libinternal_la_SOURCES += generate/sequence.h
endif
