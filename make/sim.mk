# The simulators. `make sim SEEDS=100000` runs that many seeds of each; `make sim SIM=fusion SEED=17`
# replays one with a trace (SIM is raft, failover, fusion or multimaster).
SIM ?= raft failover fusion multimaster
SIM_PROGRAM_raft = $(BUILD)-sim/raftlog/sim/raft_sim
SIM_PROGRAM_failover = $(BUILD)-sim/bgworkers/failover/sim/failover_sim
SIM_PROGRAM_multimaster = $(BUILD)-sim/bgworkers/replication/core/sim/multimaster_sim
SIM_PROGRAM_fusion = $(BUILD)-sim/cachefusion/sim/fusion_sim

.PHONY: sim
sim: deps
	@cmake -S . -B $(BUILD)-sim $(CMAKE_FLAGS) -DPGQUORUM_PURE_ONLY=ON >/dev/null
	cmake --build $(BUILD)-sim --parallel $(JOBS) --target $(addsuffix _sim,$(SIM))
	@set -e; $(foreach sim,$(SIM),echo "== $(sim)"; \
	$(SIM_PROGRAM_$(sim)) $(if $(SEED),--seed $(SEED) --trace,--seeds $(SEEDS));)

# The full counts: `make check`, and 100,000 seeds of each simulator.
.PHONY: check-long
check-long: check
	@$(MAKE) --no-print-directory sim SEEDS=100000
