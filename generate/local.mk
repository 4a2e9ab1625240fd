# Making text: choosing tokens, many texts side by side; and how likely texts are.
if IO
libinternal_la_SOURCES += generate/engine.c
libinternal_la_SOURCES += generate/engine.h
libinternal_la_SOURCES += generate/generator.c
libops_la_SOURCES += generate/sampler.c
libinternal_la_SOURCES += generate/sampler.h
libinternal_la_SOURCES += generate/scorer.c
libinternal_la_SOURCES += generate/sequence.c
libinternal_la_SOURCES += generate/sequence.h
endif
