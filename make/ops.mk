# The consensus worker's operations on its own server (bgworkers/consensus/postgres_*.h), in a worker of real
# servers. The files go to a directory that the servers' account can read.
.PHONY: check-ops
check-ops: deps
	@cmake -S . -B $(BUILD)-dev $(CMAKE_FLAGS) -DPGQUORUM_DEV_TESTS=ON >/dev/null
	cmake --build $(BUILD)-dev --parallel $(JOBS) --target pgquorum_ops_test
	@dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && chmod 755 "$$dir" && \
	install -m 755 $(BUILD)-dev/modules/pgquorum_ops_test.so $(wildcard bgworkers/consensus/test/*.py) "$$dir" && \
	scripts/as-owner "$$dir/ops_servers.py" "$$dir/pgquorum_ops_test.so" $(bindir)
