# Programs against the public headers alone, linked with the library as its users get it.
noinst_PROGRAMS += examples/linear-regression examples/small-dag examples/train-gpt2
examples_linear_regression_LDADD = libparagraph.la
examples_small_dag_LDADD = libparagraph.la
examples_train_gpt2_LDADD = libparagraph.la
dist_check_SCRIPTS += tests/test-examples.sh
if IO
noinst_PROGRAMS += examples/likeliest examples/many-texts
examples_likeliest_LDADD = libparagraph.la
examples_many_texts_LDADD = libparagraph.la
endif

# They are installed as documentation.
examplesdir = $(docdir)/examples
dist_examples_DATA = examples/likeliest.c examples/linear-regression.c examples/many-texts.c examples/small-dag.c examples/train-gpt2.c

# The program that README.md shows is compiled as it stands there.
check_PROGRAMS += examples/readme
nodist_examples_readme_SOURCES = examples/readme.c
examples_readme_LDADD = libparagraph.la
CLEANFILES += examples/readme.c
examples/readme.c: $(top_srcdir)/README.md
	$(AM_V_GEN)$(MKDIR_P) examples && sed -n '/^```c$$/,/^```$$/p' $(top_srcdir)/README.md | sed '/^```/d' >$@
dist_check_SCRIPTS += tests/test-readme.sh
