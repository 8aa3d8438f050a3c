# Code from the registries: settings, SQLSTATEs, the extension's SQL. Included before all rooms, so that
# every target can depend on it.
set(GENERATED ${CMAKE_BINARY_DIR}/generated)
file(GLOB REGISTRY CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/registry/settings/*.toml
     ${CMAKE_SOURCE_DIR}/registry/sqlstates/*.txt ${CMAKE_SOURCE_DIR}/sql/install/*.sql)
add_custom_command(
  OUTPUT ${GENERATED}/.stamp
  # Files that do not change keep their time; the build must look at them again all the same.
  BYPRODUCTS ${GENERATED}/settings.h ${GENERATED}/settings_calls.inc ${GENERATED}/settings_definitions.inc
             ${GENERATED}/sqlstates.h
  COMMAND ${CMAKE_SOURCE_DIR}/scripts/generate code ${GENERATED}
  COMMAND ${CMAKE_COMMAND} -E touch ${GENERATED}/.stamp
  DEPENDS ${REGISTRY} ${CMAKE_SOURCE_DIR}/scripts/generate
  COMMENT "Generating code from the registries")
add_custom_target(pgquorum_generated DEPENDS ${GENERATED}/.stamp)
