# Three writable sites, conflicting writes through a cut, agreement.
.PHONY: demo-multimaster
demo-multimaster: temp-install
	@scripts/demo-multimaster $(BUILD)
