# What the libraries export and need; a part of `make check-unit`.
.PHONY: check-exports
check-exports: all
	@scripts/check-exports-selftest $(PG_CONFIG)
	@scripts/check-exports $(BUILD) $(PG_CONFIG)

check-unit: check-exports
