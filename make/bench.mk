# Benchmarks on real servers. RUNS: repetitions of each scenario; ONLY: a list of them; SATURATE: how long
# ONLY=saturation lasts.
RUNS ?= 3

.PHONY: bench-failover
bench-failover: temp-install
	@/usr/bin/python3 bench/failover.py $(BUILD) --runs $(RUNS) $(if $(ONLY),--only $(ONLY)) $(if $(SATURATE),--saturate $(SATURATE))

.PHONY: bench-throughput
bench-throughput: temp-install
	@/usr/bin/python3 bench/throughput.py $(BUILD) --rounds $(RUNS)
