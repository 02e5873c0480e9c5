# cairn_library(<name> [PCH <header>] SRCS ... HDRS ... DEPS ...)  ->  target cairn::<name>
#
# One library per folder. DEPS spells out every library that its headers or sources include, so a call
# in the wrong direction is a link error. Sources are listed, never globbed.
function(cairn_library name)
  cmake_parse_arguments(ARG "" "" "SRCS;HDRS;DEPS" ${ARGN})
  if(ARG_UNPARSED_ARGUMENTS)
    message(SEND_ERROR "cairn_library(${name}): unknown ${ARG_UNPARSED_ARGUMENTS}")
  endif()
  if(ARG_SRCS)
    add_library(cairn_${name} STATIC ${ARG_SRCS})
    set(scope PUBLIC)
    target_link_libraries(cairn_${name} PUBLIC ${ARG_DEPS})
    cairn_compile_options(cairn_${name})
  else()
    add_library(cairn_${name} INTERFACE)
    set(scope INTERFACE)
    target_link_libraries(cairn_${name} INTERFACE ${ARG_DEPS})
  endif()
  add_library(cairn::${name} ALIAS cairn_${name})
  target_include_directories(cairn_${name} ${scope} $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}>)
  if(ARG_HDRS)
    target_sources(cairn_${name} ${scope} FILE_SET HEADERS BASE_DIRS ${PROJECT_SOURCE_DIR} FILES ${ARG_HDRS})
  endif()
endfunction()

# Warnings for our own code; clang also checks the lock annotations and fails the build on a mistake.
# GCC 12 sees overlaps and uninitialised members in the standard library's own strings and variants when it optimises;
# both warnings say nothing about our code there.
function(cairn_compile_options target)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wno-missing-field-initializers -Wshadow -Wnon-virtual-dtor -Werror=return-type
    "$<$<CXX_COMPILER_ID:Clang>:-Wthread-safety;-Werror=thread-safety>"
    "$<$<AND:$<CXX_COMPILER_ID:GNU>,$<CONFIG:Release>>:-Wno-restrict;-Wno-maybe-uninitialized>")
endfunction()

# cairn_executable(<name> SRCS ... DEPS ...)
function(cairn_executable name)
  cmake_parse_arguments(ARG "" "" "SRCS;DEPS" ${ARGN})
  if(ARG_UNPARSED_ARGUMENTS)
    message(SEND_ERROR "cairn_executable(${name}): unknown ${ARG_UNPARSED_ARGUMENTS}")
  endif()
  add_executable(${name} ${ARG_SRCS})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR})
  target_link_libraries(${name} PRIVATE ${ARG_DEPS})
  cairn_compile_options(${name})
endfunction()

# cairn_program(<name> SRCS ... DEPS ...): an executable that is installed; in the build tree it lies in bin/.
function(cairn_program name)
  cairn_executable(${name} ${ARGN})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin)
  install(TARGETS ${name} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT runtime)
endfunction()

# cairn_test(<name> LABELS <unit|contract|integration|crash> SRCS ... DEPS ... [DATA ...])
#
# One binary; each of its cases may be run alone with --gtest_filter. Runs in the build tree; test data is
# found through the compile definition CAIRN_SOURCE_DIR.
function(cairn_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT" "LABELS;SRCS;DEPS;ENV" ${ARGN})
  if(ARG_UNPARSED_ARGUMENTS)
    message(SEND_ERROR "cairn_test(${name}): unknown ${ARG_UNPARSED_ARGUMENTS}")
  endif()
  if(NOT CAIRN_BUILD_TESTS)
    return()
  endif()
  if(NOT CAIRN_BUILD_UNIT_TESTS AND ARG_LABELS MATCHES "^(unit|contract|concurrent|;)+$")
    return()
  endif()
  cairn_executable(${name} SRCS ${ARG_SRCS} DEPS ${ARG_DEPS} cairn::testing GTest::gmock GTest::gtest_main)
  target_compile_definitions(${name} PRIVATE CAIRN_SOURCE_DIR="${PROJECT_SOURCE_DIR}"
    CAIRN_BINARY_DIR="${PROJECT_BINARY_DIR}")
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 300)
  endif()
  add_test(NAME ${name} COMMAND ${name})
  # So that a sanitizer preset builds no more than what it runs.
  foreach(group unit_and_contract_tests concurrent_tests)
    if(NOT TARGET ${group})
      add_custom_target(${group})
    endif()
  endforeach()
  if("unit" IN_LIST ARG_LABELS OR "contract" IN_LIST ARG_LABELS)
    add_dependencies(unit_and_contract_tests ${name})
  endif()
  if("concurrent" IN_LIST ARG_LABELS)
    add_dependencies(concurrent_tests ${name})
  endif()
  set_tests_properties(${name} PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT ${ARG_TIMEOUT} ENVIRONMENT "${ARG_ENV}")
endfunction()

# cairn_fuzz_target(<name> SRCS ... DEPS ... [SEEDS dir ...])
#
# A libFuzzer target: ten lines that call one public function. Its test runs the seeds and then some seconds of new
# inputs, the same each time (-seed): what it finds is found before a change lands. New ones are looked for by hand.
function(cairn_fuzz_target name)
  cmake_parse_arguments(ARG "" "" "SRCS;DEPS;SEEDS" ${ARGN})
  if(ARG_UNPARSED_ARGUMENTS)
    message(SEND_ERROR "cairn_fuzz_target(${name}): unknown ${ARG_UNPARSED_ARGUMENTS}")
  endif()
  if(NOT CAIRN_BUILD_FUZZERS)
    return()
  endif()
  cairn_executable(${name} SRCS ${ARG_SRCS} DEPS ${ARG_DEPS})
  target_compile_options(${name} PRIVATE -fsanitize=fuzzer)
  target_link_options(${name} PRIVATE -fsanitize=fuzzer)
  add_dependencies(fuzz_and_lock_analysis ${name})
  set(found ${CMAKE_CURRENT_BINARY_DIR}/corpus/${name})
  file(MAKE_DIRECTORY ${found})
  add_test(NAME ${name}
    COMMAND ${name} -seed=1 -max_total_time=8 -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 ${found} ${ARG_SEEDS})
  set_tests_properties(${name} PROPERTIES LABELS fuzz TIMEOUT 120)
endfunction()
