# The kinds of target a room may define. Each takes its name and its sources.
find_package(Threads REQUIRED)
find_package(GTest REQUIRED)

set(PGQUORUM_WARNINGS -Wall -Wextra -Wold-style-cast -Wshadow -Wconversion)
if(PGQUORUM_WERROR)
  list(APPEND PGQUORUM_WARNINGS -Werror)
endif()

# Parsing the standard library and GoogleTest is a third of what a test costs to compile. A precompiled header
# serves only code that is compiled the same way: programs and libraries alike, with the same macros.
set(CMAKE_CXX_COMPILE_OPTIONS_PIE ${CMAKE_CXX_COMPILE_OPTIONS_PIC})
add_compile_definitions(GTEST_HAS_PTHREAD=1)
function(pgquorum_precompile target level)
  add_library(${target} STATIC ${CMAKE_SOURCE_DIR}/cmake/precompiled.cpp)
  target_compile_options(${target} PRIVATE ${level})
  target_precompile_headers(${target} PRIVATE ${CMAKE_SOURCE_DIR}/cmake/precompiled.h)
endfunction()
pgquorum_precompile(pgquorum_precompiled -O1)
if(PGQUORUM_SANITIZE)
  pgquorum_precompile(pgquorum_precompiled_tests -O0)
endif()

# Code that only tests run: what it costs is compiling, more than running. The ordinary build of what ships goes
# without a precompiled header, so a file that lacks an include does not compile there. In such a header the standard
# library is no system header any more, so g++ 12 sees overruns in moves of strings that are not there.
function(pgquorum_compile_quickly target)
  target_compile_options(${target} PRIVATE -O1)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    target_compile_options(${target} PRIVATE -Wno-array-bounds -Wno-stringop-overread -Wno-stringop-overflow -Wno-restrict)
  endif()
  target_precompile_headers(${target} REUSE_FROM pgquorum_precompiled)
endfunction()

# Several files at a time, for libraries that only tests run: a sanitizer build's, and the simulators' defective
# twins.
function(pgquorum_compile_together target)
  pgquorum_compile_quickly(${target})
  set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 6)
endfunction()

function(pgquorum_common target)
  target_include_directories(${target} PRIVATE ${CMAKE_SOURCE_DIR} ${CMAKE_BINARY_DIR}/generated)
  target_compile_options(${target} PRIVATE ${PGQUORUM_WARNINGS})
endfunction()

# A static library without PostgreSQL, Protobuf or gRPC. LIBS names other pure libraries.
function(pgquorum_pure_library target)
  cmake_parse_arguments(ARG "" "" "LIBS" ${ARGN})
  add_library(${target} STATIC ${ARG_UNPARSED_ARGUMENTS})
  pgquorum_common(${target})
  if(PGQUORUM_SANITIZE)
    pgquorum_compile_together(${target})
  endif()
  target_link_libraries(${target} PUBLIC ${ARG_LIBS})
endfunction()

# The twin of a pure library and its simulator with deliberate defects compiled in, switched by `macro` (the room's
# bug.h). Called in the folder of the simulator: CORE lists the library's sources, relative to the folder above.
function(pgquorum_defective_twin target macro)
  cmake_parse_arguments(ARG "" "" "CORE;LIBS" ${ARGN})
  list(TRANSFORM ARG_CORE PREPEND ../)
  pgquorum_pure_library(${target} ${ARG_UNPARSED_ARGUMENTS} ${ARG_CORE} LIBS ${ARG_LIBS})
  target_compile_definitions(${target} PUBLIC ${macro})
  pgquorum_compile_together(${target})
endfunction()

# A GoogleTest program, run by `make check-unit` (and under sanitizers by `make check-asan`).
function(pgquorum_test target)
  cmake_parse_arguments(ARG "" "TIMEOUT" "LIBS" ${ARGN})
  add_executable(${target} ${ARG_UNPARSED_ARGUMENTS})
  pgquorum_common(${target})
  if(PGQUORUM_SANITIZE)
    # Optimizing what a sanitizer has put in costs as much as all the rest of compiling a test, and what takes time when it
    # runs is the libraries.
    target_compile_options(${target} PRIVATE -O0)
    target_precompile_headers(${target} REUSE_FROM pgquorum_precompiled_tests)
  else()
    pgquorum_compile_quickly(${target})
  endif()
  target_compile_definitions(${target} PRIVATE PGQUORUM_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
  target_link_libraries(${target} PRIVATE ${ARG_LIBS} GTest::gtest GTest::gtest_main Threads::Threads)
  add_test(NAME ${target} COMMAND ${target} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 600)
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

# What is installed, and what tests on servers load: without unit tests, simulators and benchmarks.
add_custom_target(pgquorum_product)

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
  add_dependencies(pgquorum_product ${target})
endfunction()
