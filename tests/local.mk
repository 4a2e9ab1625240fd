# Tests: a program per module, and scripts for what no program can see; those take longest, and so begin first.
LDADD = libsupport.la libinternal.la $(CMOCKA_LIBS)
TESTS = $(dist_check_SCRIPTS) $(check_PROGRAMS)
dist_check_SCRIPTS += scripts/check-includes
dist_check_SCRIPTS += tests/check-symbols
if IO
dist_check_SCRIPTS += tests/sweep-faults.sh
dist_check_SCRIPTS += tests/sweep-kills.sh
dist_check_SCRIPTS += tests/test-bad-input.sh
dist_check_SCRIPTS += tests/test-browser.sh
dist_check_SCRIPTS += tests/test-cli.sh
dist_check_SCRIPTS += tests/test-parallel.sh
dist_check_SCRIPTS += tests/test-system.sh
endif

# Tests find their files by $srcdir, and big data by $PARA_DATA; without it they skip. StarPU keeps its files here.
# hwloc's search for PCI devices, which no test needs, leaks.
AM_TESTS_ENVIRONMENT = \
	STARPU_HOME='$(abs_top_builddir)/tests/starpu'; export STARPU_HOME; $(MKDIR_P) "$$STARPU_HOME"; \
	STARPU_SILENT=1; export STARPU_SILENT; \
	HWLOC_COMPONENTS=-pci; export HWLOC_COMPONENTS; \
	OPENBLAS_NUM_THREADS=1; export OPENBLAS_NUM_THREADS; \
	PARAGRAPH='$(abs_top_builddir)/paragraph$(EXEEXT)'; export PARAGRAPH; \
	BUILD_CC='$(CC) $(CMOCKA_CFLAGS) $(AM_CFLAGS) $(CFLAGS) $(AM_LDFLAGS) $(LDFLAGS)'; export BUILD_CC; \
	CMOCKA_LIBS='$(CMOCKA_LIBS)'; export CMOCKA_LIBS; \
	LSAN_OPTIONS='suppressions=$(abs_top_srcdir)/tests/leaks.txt:print_suppressions=0'; export LSAN_OPTIONS; \
	UBSAN_OPTIONS=print_stacktrace=1; export UBSAN_OPTIONS; \
	SWEEP_STRIDE="$${SWEEP_STRIDE:-40}"; export SWEEP_STRIDE;

# make list-tests: a line for each.
list-tests:
	@printf '%s\n' $(TESTS)

# make check-faults: every call that can fail, and every moment at which a save can be killed.
check-faults:
	SWEEP_STRIDE=1 $(MAKE) check TESTS='tests/sweep-faults.sh tests/sweep-kills.sh' VERBOSE=1
EXTRA_DIST += scripts/fuzz
EXTRA_DIST += tests/command.sh
EXTRA_DIST += tests/browser/chromium.py
EXTRA_DIST += tests/browser/test_page.py
EXTRA_DIST += tests/browser/perfetto.py
EXTRA_DIST += tests/compare-layouts.js
EXTRA_DIST += tests/corpus
EXTRA_DIST += tests/leaks.txt
EXTRA_DIST += tests/ops
EXTRA_DIST += tests/golden/gpt2-small.safetensors
EXTRA_DIST += tests/golden/hf-bf16/config.json
EXTRA_DIST += tests/golden/hf-bf16/model.safetensors
EXTRA_DIST += tests/golden/hf-expected.safetensors
EXTRA_DIST += tests/golden/hf-f16/config.json
EXTRA_DIST += tests/golden/hf-f16/model.safetensors
EXTRA_DIST += tests/golden/hf-f32/config.json
EXTRA_DIST += tests/golden/hf-f32/model.safetensors
EXTRA_DIST += tests/golden/hf-f32.gguf
EXTRA_DIST += tests/golden/hf-kin-expected.safetensors
EXTRA_DIST += tests/golden/hf-llama/config.json
EXTRA_DIST += tests/golden/hf-llama/model.safetensors
EXTRA_DIST += tests/golden/hf-llama.gguf
EXTRA_DIST += tests/golden/hf-mistral/config.json
EXTRA_DIST += tests/golden/hf-mistral/model.safetensors
EXTRA_DIST += tests/golden/hf-qwen2/config.json
EXTRA_DIST += tests/golden/hf-qwen2/model.safetensors
EXTRA_DIST += tests/golden/hf-qwen3/config.json
EXTRA_DIST += tests/golden/hf-qwen3/model-00001-of-00003.safetensors
EXTRA_DIST += tests/golden/hf-qwen3/model-00002-of-00003.safetensors
EXTRA_DIST += tests/golden/hf-qwen3/model-00003-of-00003.safetensors
EXTRA_DIST += tests/golden/hf-qwen3/model.safetensors.index.json
EXTRA_DIST += tests/golden/hf-qwen3.gguf
EXTRA_DIST += tests/golden/hf-sharded/config.json
EXTRA_DIST += tests/golden/hf-sharded/model-00001-of-00004.safetensors
EXTRA_DIST += tests/golden/hf-sharded/model-00002-of-00004.safetensors
EXTRA_DIST += tests/golden/hf-sharded/model-00003-of-00004.safetensors
EXTRA_DIST += tests/golden/hf-sharded/model-00004-of-00004.safetensors
EXTRA_DIST += tests/golden/hf-sharded/model.safetensors.index.json
EXTRA_DIST += tests/golden/make-golden.py
EXTRA_DIST += tests/golden/make-tokenizer-golden.py
EXTRA_DIST += tests/golden/ops.safetensors
EXTRA_DIST += tests/golden/tokenizer-gpt2-invalid.bin
EXTRA_DIST += tests/golden/tokenizer-gpt2-plain.bin
EXTRA_DIST += tests/golden/tokenizer-gpt2-special.bin
EXTRA_DIST += tests/golden/tokenizer-invalid.bin
EXTRA_DIST += tests/golden/tokenizer-nasty.txt
EXTRA_DIST += tests/golden/tokenizer-shakespeare.txt
EXTRA_DIST += tests/golden/tokenizer-small-invalid.bin
EXTRA_DIST += tests/golden/tokenizer-small-plain.bin
EXTRA_DIST += tests/golden/tokenizer-small-special.bin
EXTRA_DIST += tests/golden/tokenizer-small/merges.txt
EXTRA_DIST += tests/golden/tokenizer-small/vocab.json
EXTRA_DIST += tests/interop/compare-adapters.py
EXTRA_DIST += tests/interop/compare-chat.py
EXTRA_DIST += tests/interop/compare-gguf-tokenizers.py
EXTRA_DIST += tests/interop/compare-gguf.py
EXTRA_DIST += tests/interop/compare-models.py
EXTRA_DIST += tests/interop/compare-tokenizer-json.py
EXTRA_DIST += tests/interop/compare-tokenizers.py
EXTRA_DIST += tests/interop/compare-trainers.py
EXTRA_DIST += tests/interop/convert-hf.py
EXTRA_DIST += tests/interop/folders.py
EXTRA_DIST += tests/interop/graph-schema.py
EXTRA_DIST += tests/interop/llama.py
EXTRA_DIST += tests/interop/make-golden.py
EXTRA_DIST += tests/interop/paragraph_library.py
EXTRA_DIST += tests/interop/run

# make installcheck, after make install (with the same DESTDIR): a program built by pkg-config alone, and what else must
# be there.
EXTRA_DIST += tests/test-install.sh
if IO
installed_io = yes
else
installed_io = no
endif
installcheck-local:
	$(AM_V_at)$(AM_TESTS_ENVIRONMENT) srcdir='$(srcdir)' prefix='$(prefix)' bindir='$(bindir)' libdir='$(libdir)' \
		mandir='$(mandir)' docdir='$(docdir)' datadir='$(datadir)' DESTDIR='$(DESTDIR)' CC='$(CC) $(SANITIZER_FLAGS)' \
		PKG_CONFIG='$(PKG_CONFIG)' VERSION='$(PACKAGE_VERSION)' IO=$(installed_io) \
		$(SHELL) $(srcdir)/tests/test-install.sh

clean-local:
	rm -rf tests/starpu doc/html

if TESTS_BUILT
check_LTLIBRARIES = libsupport.la
libsupport_la_SOURCES =
libsupport_la_SOURCES += tests/conflicts.c
libsupport_la_SOURCES += tests/conflicts.h
libsupport_la_SOURCES += tests/drawings.c
libsupport_la_SOURCES += tests/drawings.h
libsupport_la_SOURCES += tests/dumps.c
libsupport_la_SOURCES += tests/dumps.h
libsupport_la_SOURCES += tests/graph-text.c
libsupport_la_SOURCES += tests/graph-text.h
libsupport_la_SOURCES += tests/model-graphs.c
libsupport_la_SOURCES += tests/model-graphs.h
libsupport_la_SOURCES += tests/op-cases.c
libsupport_la_SOURCES += tests/op-cases.h
libsupport_la_SOURCES += tests/profiles.c
libsupport_la_SOURCES += tests/profiles.h
libsupport_la_SOURCES += tests/random-graph.c
libsupport_la_SOURCES += tests/random-graph.h
libsupport_la_SOURCES += tests/replay.c
libsupport_la_SOURCES += tests/replay.h
libsupport_la_SOURCES += tests/support.c
libsupport_la_SOURCES += tests/support.h
libsupport_la_SOURCES += tests/training.c
libsupport_la_SOURCES += tests/training.h

check_PROGRAMS += tests/test-attend
check_PROGRAMS += tests/test-accumulate
check_PROGRAMS += tests/test-autodiff
check_PROGRAMS += tests/test-base
check_PROGRAMS += tests/test-blocks
check_PROGRAMS += tests/test-build
check_PROGRAMS += tests/test-cached
check_PROGRAMS += tests/test-cluster
check_PROGRAMS += tests/test-crew
check_PROGRAMS += tests/test-codelets
check_PROGRAMS += tests/test-compare
check_PROGRAMS += tests/test-deps
check_PROGRAMS += tests/test-gpt2
check_PROGRAMS += tests/test-gpu
check_PROGRAMS += tests/test-layout
check_PROGRAMS += tests/test-limits
check_PROGRAMS += tests/test-lora
check_PROGRAMS += tests/test-liveness
check_PROGRAMS += tests/test-machine
check_PROGRAMS += tests/test-model
check_PROGRAMS += tests/test-nonfinite
check_PROGRAMS += tests/test-ops
check_PROGRAMS += tests/test-page
check_PROGRAMS += tests/test-outline
check_PROGRAMS += tests/test-place
check_PROGRAMS += tests/test-precision
check_PROGRAMS += tests/test-profile
check_PROGRAMS += tests/test-profile-dumps
check_PROGRAMS += tests/test-profile-file
check_PROGRAMS += tests/test-reach
check_PROGRAMS += tests/test-real-splits
check_PROGRAMS += tests/test-recompute
check_PROGRAMS += tests/test-replicate
check_PROGRAMS += tests/test-rewrite
check_PROGRAMS += tests/test-session
check_PROGRAMS += tests/test-signature
check_PROGRAMS += tests/test-skinny
check_PROGRAMS += tests/test-split
check_PROGRAMS += tests/test-spread
check_PROGRAMS += tests/test-store
check_PROGRAMS += tests/test-svg
check_PROGRAMS += tests/test-tiling
check_PROGRAMS += tests/test-timeline
check_PROGRAMS += tests/test-training
check_PROGRAMS += tests/test-verify
check_PROGRAMS += tests/test-weights
dist_check_SCRIPTS += tests/test-repeat.sh
dist_check_SCRIPTS += tests/test-tutorial.sh

# A program that test-repeat.sh runs, and no test itself.
EXTRA_PROGRAMS += tests/train-digest
check_DATA = tests/train-digest$(EXEEXT)
CLEANFILES += tests/train-digest$(EXEEXT)

# make check-gpu: what needs a GPU; without one it says why it skips.
check-gpu: tests/test-gpu$(EXEEXT) tests/test-ops$(EXEEXT)
	$(AM_V_at)$(AM_TESTS_ENVIRONMENT) srcdir='$(srcdir)'; export srcdir; tests/test-gpu$(EXEEXT); \
	case $$? in 0) PARA_TEST_DEVICES=cuda:0 tests/test-ops$(EXEEXT) ;; 77) ;; *) false ;; esac

# Calls of the allocator fail.
short_memory = tests/short-memory.c tests/short-memory.h
tests_test_rewrite_SOURCES = tests/test-rewrite.c $(short_memory)
tests_test_page_SOURCES = tests/test-page.c $(short_memory)
tests_test_svg_SOURCES = tests/test-svg.c $(short_memory)
tests_test_rewrite_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=free
tests_test_page_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=free
tests_test_svg_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=free

# Calls of the allocator are counted, and StarPU is made to refuse tasks.
tests_test_session_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=aligned_alloc \
	-Wl,--wrap=starpu_task_submit
if IO
libsupport_la_SOURCES += tests/checkpoint.c
libsupport_la_SOURCES += tests/checkpoint.h
libsupport_la_SOURCES += tests/words.c
libsupport_la_SOURCES += tests/words.h
# A library to preload; sweeps of make check try one of so many calls, make check-faults all.
check_LTLIBRARIES += tests/fail-calls.la
tests_fail_calls_la_SOURCES = tests/fail-calls.c
tests_fail_calls_la_CPPFLAGS =
tests_fail_calls_la_LDFLAGS = -module -avoid-version -rpath /nowhere
tests_fail_calls_la_LIBADD = -ldl
check_PROGRAMS += tests/fuzz-adapter tests/fuzz-config tests/fuzz-gguf tests/fuzz-graph tests/fuzz-profile \
	tests/fuzz-safetensors tests/fuzz-tok16 tests/fuzz-tokenizer tests/fuzz-tokenizer-json
fuzz_driver = tests/fuzz-replay.c tests/fuzz-support.c tests/fuzz.h
tests_fuzz_adapter_SOURCES = tests/fuzz-adapter.c $(fuzz_driver)
tests_fuzz_config_SOURCES = tests/fuzz-config.c $(fuzz_driver)
tests_fuzz_gguf_SOURCES = tests/fuzz-gguf.c $(fuzz_driver)
tests_fuzz_graph_SOURCES = tests/fuzz-graph.c $(fuzz_driver)
tests_fuzz_profile_SOURCES = tests/fuzz-profile.c $(fuzz_driver)
tests_fuzz_safetensors_SOURCES = tests/fuzz-safetensors.c $(fuzz_driver)
tests_fuzz_tok16_SOURCES = tests/fuzz-tok16.c $(fuzz_driver)
tests_fuzz_tokenizer_SOURCES = tests/fuzz-tokenizer.c $(fuzz_driver)
tests_fuzz_tokenizer_json_SOURCES = tests/fuzz-tokenizer-json.c $(fuzz_driver)
check_PROGRAMS += tests/test-adapter
check_PROGRAMS += tests/test-answers
check_PROGRAMS += tests/test-checkpoint
check_PROGRAMS += tests/test-choices
check_PROGRAMS += tests/test-config
check_PROGRAMS += tests/test-convert
check_PROGRAMS += tests/test-dataset
check_PROGRAMS += tests/test-dump
check_PROGRAMS += tests/test-folder
tests_test_folder_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=rename,--wrap=renameat2
check_PROGRAMS += tests/test-gemm
check_PROGRAMS += tests/test-generate
check_PROGRAMS += tests/test-gguf
check_PROGRAMS += tests/test-gguf-model
check_PROGRAMS += tests/test-gguf-tokens
check_PROGRAMS += tests/test-golden
check_PROGRAMS += tests/test-graph-file
check_PROGRAMS += tests/test-hf
check_PROGRAMS += tests/test-lend
check_PROGRAMS += tests/test-llama
check_PROGRAMS += tests/test-pretoken
check_PROGRAMS += tests/test-safetensors
check_PROGRAMS += tests/test-sampler
check_PROGRAMS += tests/test-scorer
check_PROGRAMS += tests/test-tokenizer
check_PROGRAMS += tests/test-tokenizer-gguf
check_PROGRAMS += tests/test-tokenizer-json
check_PROGRAMS += tests/test-tokenizer-train
check_PROGRAMS += tests/test-vocabulary
check_PROGRAMS += tests/test-writers
endif
endif
