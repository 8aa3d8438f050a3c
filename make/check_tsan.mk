# The classes with threads under ThreadSanitizer; a part of `make check`.
TSAN_TESTS = raft_host_test raft_log_threads_test raft_stream_test transport_door_test

.PHONY: check-tsan
check-tsan: deps
	@cmake -S . -B $(BUILD)-tsan $(CMAKE_FLAGS) -DPGQUORUM_PURE_ONLY=ON -DPGQUORUM_SANITIZE=thread >/dev/null
	cmake --build $(BUILD)-tsan --parallel $(JOBS) --target $(TSAN_TESTS)
	@scripts/run-ctest $(BUILD)-tsan tsan '^($(subst $(eval ) ,|,$(TSAN_TESTS)))$$'
