# Three Raft processes and kill -9, for as long as KILLS says; a short sample is a unit test.
KILLS ?= 200

.PHONY: check-raft-kills
check-raft-kills: all
	PGQUORUM_RAFT_KILLS=$(KILLS) $(BUILD)/raftlog/runtime/raft_process_test --gtest_filter='*KillNine'

check-long: check-raft-kills
