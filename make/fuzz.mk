# Every fuzzer for FUZZ_SECONDS, under ASan and UBSan; needs clang. `make check` gives each a fixed sample.
FUZZ_SECONDS ?= 60

.PHONY: fuzz
fuzz: deps
	@cmake -S . -B $(BUILD)-fuzz -G Ninja -DPGQUORUM_PURE_ONLY=ON -DPGQUORUM_FUZZ=ON \
		-DPGQUORUM_SANITIZE=address,undefined -DCMAKE_C_COMPILER=clang -DCMAKE_CXX_COMPILER=clang++ >/dev/null
	cmake --build $(BUILD)-fuzz --parallel $(JOBS)
	@set -e; for fuzzer in $$(find $(BUILD)-fuzz -type f -executable -name '*_fuzzer'); do \
		echo "== $$fuzzer"; "$$fuzzer" -max_total_time=$(FUZZ_SECONDS) -print_final_stats=1; done
