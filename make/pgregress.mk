# PostgreSQL 15's own regression tests and isolation specs on fusion tables (regress/postgresql/README.md).
# PGSRC: an unpacked source tree of PostgreSQL 15. SUITE: core or isolation, AM: another access method,
# UPDATE=yes: writes the lists anew, KEEP: where the results go.
.PHONY: check-pgregress
check-pgregress: $(TEMP_INSTALL)
	@test -n "$(PGSRC)" || { echo "PGSRC=DIR names an unpacked source tree of PostgreSQL 15" >&2; exit 1; }
	@scripts/check-pgregress $(BUILD) $(PGSRC) $(if $(SUITE),--suite $(SUITE)) $(if $(AM),--am $(AM)) \
		$(if $(UPDATE),--update) $(if $(KEEP),--keep $(KEEP))
