# The Raft library beside its floor and beside etcd (raftlog/bench/README.md); eight minutes at most, on a
# machine that does nothing else. DIR: where the logs go, on the disk in question.
DIR ?= /var/tmp
ROUNDS ?= 5

.PHONY: bench-raft
bench-raft: deps
	@cmake -S . -B $(BUILD) $(CMAKE_FLAGS) >/dev/null
	cmake --build $(BUILD) --parallel $(JOBS) --target raft_bench transport_etcd_load transport_raft_load
	@$(BUILD)/raftlog/bench/raft_bench --directory=$(DIR) --rounds=$(ROUNDS) \
		--etcd-load=$(BUILD)/bgworkers/transport/transport_etcd_load \
		--raft-load=$(BUILD)/bgworkers/transport/transport_raft_load
