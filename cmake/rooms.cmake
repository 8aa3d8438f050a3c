# The kinds of target a room may define. Each takes its name and its sources.
find_package(Threads REQUIRED)
find_package(GTest REQUIRED)

set(PGQUORUM_WARNINGS -Wall -Wextra -Wold-style-cast -Wshadow -Wconversion)
if(PGQUORUM_WERROR)
  list(APPEND PGQUORUM_WARNINGS -Werror)
endif()

function(pgquorum_common target)
  target_include_directories(${target} PRIVATE ${CMAKE_SOURCE_DIR} ${CMAKE_BINARY_DIR}/generated)
  target_compile_options(${target} PRIVATE ${PGQUORUM_WARNINGS})
endfunction()

# A static library without PostgreSQL, Protobuf or gRPC. LIBS names other pure libraries.
function(pgquorum_pure_library target)
  cmake_parse_arguments(ARG "" "" "LIBS" ${ARGN})
  add_library(${target} STATIC ${ARG_UNPARSED_ARGUMENTS})
  pgquorum_common(${target})
  target_link_libraries(${target} PUBLIC ${ARG_LIBS})
endfunction()

# A GoogleTest program, run by `make check-unit` (and under sanitizers by `make check-asan`).
function(pgquorum_test target)
  cmake_parse_arguments(ARG "" "TIMEOUT" "LIBS" ${ARGN})
  add_executable(${target} ${ARG_UNPARSED_ARGUMENTS})
  pgquorum_common(${target})
  target_compile_definitions(${target} PRIVATE PGQUORUM_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
  target_link_libraries(${target} PRIVATE ${ARG_LIBS} GTest::gtest GTest::gtest_main Threads::Threads)
  add_test(NAME ${target} COMMAND ${target} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 300)
  endif()
  set_tests_properties(${target} PROPERTIES TIMEOUT ${ARG_TIMEOUT})
endfunction()

# A program that is built with everything but run by a verb of its own (simulators, benchmarks).
function(pgquorum_program target)
  cmake_parse_arguments(ARG "" "" "LIBS" ${ARGN})
  add_executable(${target} ${ARG_UNPARSED_ARGUMENTS})
  pgquorum_common(${target})
  target_link_libraries(${target} PRIVATE ${ARG_LIBS} Threads::Threads)
endfunction()

# A libFuzzer target: with -DPGQUORUM_FUZZ=ON and clang the fuzzer itself (`make fuzz` runs them all), else a
# unit test that gives it a fixed sample of inputs.
function(pgquorum_fuzzer target)
  cmake_parse_arguments(ARG "" "" "LIBS" ${ARGN})
  if(NOT PGQUORUM_FUZZ)
    add_executable(${target}_sample ${ARG_UNPARSED_ARGUMENTS} ${CMAKE_SOURCE_DIR}/cmake/fuzz_sample.cpp)
    pgquorum_common(${target}_sample)
    target_link_libraries(${target}_sample PRIVATE ${ARG_LIBS})
    add_test(NAME ${target}_sample COMMAND ${target}_sample)
    return()
  endif()
  add_executable(${target} ${ARG_UNPARSED_ARGUMENTS})
  pgquorum_common(${target})
  target_compile_options(${target} PRIVATE -fsanitize=fuzzer)
  target_link_options(${target} PRIVATE -fsanitize=fuzzer)
  target_link_libraries(${target} PRIVATE ${ARG_LIBS})
  set_property(GLOBAL APPEND PROPERTY PGQUORUM_FUZZERS ${target})
endfunction()

if(NOT PGQUORUM_PURE_ONLY)
  execute_process(COMMAND ${PG_CONFIG} --includedir-server OUTPUT_VARIABLE PG_INCLUDE_SERVER
                  OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
  execute_process(COMMAND ${PG_CONFIG} --includedir OUTPUT_VARIABLE PG_INCLUDE
                  OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
endif()

# Code that includes postgres.h. PostgreSQL's headers are system headers here: no warnings of theirs.
function(pgquorum_pg_common target)
  pgquorum_common(${target})
  target_include_directories(${target} SYSTEM PRIVATE ${PG_INCLUDE_SERVER} ${PG_INCLUDE})
  target_compile_definitions(${target} PRIVATE _GNU_SOURCE)
  # Defined by extension/, which comes after some of the modules; the order of generation is all the same.
  add_dependencies(${target} pgquorum_generated)
endfunction()

# A shared object that the server loads. Everything is hidden but what PGQUORUM_FUNCTION exports.
function(pgquorum_pg_module target)
  cmake_parse_arguments(ARG "" "" "LIBS" ${ARGN})
  add_library(${target} MODULE ${ARG_UNPARSED_ARGUMENTS})
  pgquorum_pg_common(${target})
  set_target_properties(${target} PROPERTIES PREFIX "" OUTPUT_NAME ${target}
                        LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/modules)
  target_link_options(${target} PRIVATE -Wl,--exclude-libs,ALL -Wl,-z,defs,-z,now -Wl,--unresolved-symbols=ignore-all
                      -Wl,--version-script=${CMAKE_SOURCE_DIR}/cmake/exports.map)
  set_target_properties(${target} PROPERTIES LINK_DEPENDS ${CMAKE_SOURCE_DIR}/cmake/exports.map)
  target_link_libraries(${target} PRIVATE ${ARG_LIBS})
endfunction()
