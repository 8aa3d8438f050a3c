# Fusion tables beside heap tables, on a machine that does nothing else. SCALE: of pgbench; PROFILE=yes: where the
# time goes (perf).
SCALE ?= 10

.PHONY: bench-fusion
bench-fusion: temp-install
	@/usr/bin/python3 bench/fusion.py $(BUILD) --scale $(SCALE) --rounds $(RUNS) $(if $(PROFILE),--profile)
