EXTRA_DIST += bench/RESULTS.md
EXTRA_DIST += bench/bench-tokenizer.py
EXTRA_DIST += bench/compare-llama-cpp.py
EXTRA_DIST += bench/compare-torch.py
EXTRA_DIST += bench/gpu
EXTRA_DIST += bench/gpu-check
EXTRA_DIST += bench/gpu-decode
EXTRA_DIST += bench/parallel.py
EXTRA_DIST += bench/run
EXTRA_DIST += bench/two-gpus
EXTRA_DIST += bench/viewer.py
EXTRA_DIST += bench/viewers.py
EXTRA_DIST += bench/vote.py

# How time and memory grow with a graph; built with the rest, run by hand.
noinst_PROGRAMS += bench/growth
bench_growth_LDADD = libparagraph.la

# Of the library's inner parts, as tests are. make bench builds and runs bench-replay; bench-products is for those who
# compare kernels.
EXTRA_PROGRAMS += tests/bench-products
tests_bench_products_LDADD = libinternal.la
EXTRA_PROGRAMS += tests/bench-replay
tests_bench_replay_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=para_clusters_new
tests_bench_replay_LDADD = libinternal.la
CLEANFILES += tests/bench-products$(EXEEXT) tests/bench-replay$(EXEEXT)

# make bench: some minutes of work against the measured floors of this machine; bench/results.jsonl has the numbers.
if IO
bench: paragraph$(EXEEXT) tests/bench-replay$(EXEEXT)
	@command -v python3 >/dev/null || { echo "make bench: needs python3" >&2; exit 1; }
	@$(MKDIR_P) bench
	$(srcdir)/bench/run --out bench/results.jsonl ./paragraph$(EXEEXT) tests/bench-replay$(EXEEXT)
else
bench:
	@echo "make bench: needs the paragraph command, which --without-io leaves out" >&2; exit 1
endif
CLEANFILES += bench/results.jsonl
