# How a test is declared. A test program links the library's own objects, so that it may also include the
# private headers of lib/ ("policy/breaker.h").
if(NOT WEIR_SANITIZE MATCHES "thread")
    pkg_check_modules(CRITERION IMPORTED_TARGET criterion)
    if(NOT CRITERION_FOUND)
        message(FATAL_ERROR "the tests need Criterion: install the Debian package libcriterion-dev, "
                            "or turn the tests off by -DWEIR_TESTS=OFF")
    endif()
endif()

set(WEIR_RUN_SANITIZED ${PROJECT_SOURCE_DIR}/tests/support/run-sanitized)

# What test.h stands on: Criterion, or the runner without fork.
function(weir_support_library name inproc)
    add_library(${name} STATIC ${PROJECT_SOURCE_DIR}/tests/support/check.c)
    target_include_directories(${name} PUBLIC ${PROJECT_SOURCE_DIR}/tests)
    target_link_libraries(${name} PRIVATE weir-options)
    if(inproc)
        target_compile_definitions(${name} PUBLIC WEIR_INPROC)
        target_sources(${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests/support/inproc.c)
    else()
        target_sources(${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests/support/criterion.c)
        target_link_libraries(${name} PUBLIC PkgConfig::CRITERION)
    endif()
endfunction()

if(WEIR_SANITIZE MATCHES "thread")
    weir_support_library(weir-test-support ON)
else()
    weir_support_library(weir-test-support OFF)
endif()

# weir_test(<name> <source>... [LABEL unit] [TIMEOUT 60] [ARGS ...] [LIBRARIES ...] [DEFINES ...]
#           [MAIN] [SERIAL])
#
# Builds the program test-<name> and registers it as the test <name>. LABEL says what kind of test it is:
# unit, property, sim, explorer, stress, misuse, alloc, fuzz, ... ./dev test runs every label plainly and
# all of them but those named there under the sanitizers. MAIN: the sources bring their own main(), and
# test.h is not linked. SERIAL: nothing else may run beside it (tests of real time).
function(weir_test name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "MAIN;SERIAL" "LABEL;TIMEOUT" "ARGS;LIBRARIES;DEFINES")
    if(NOT arg_LABEL)
        set(arg_LABEL unit)
    endif()
    if(NOT arg_TIMEOUT)
        set(arg_TIMEOUT 60)
    endif()
    if(WEIR_COVERAGE) # counting makes them slow
        math(EXPR arg_TIMEOUT "4 * ${arg_TIMEOUT}")
    endif()
    add_executable(test-${name} ${arg_UNPARSED_ARGUMENTS})
    target_include_directories(test-${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests ${PROJECT_SOURCE_DIR}/lib)
    target_include_directories(test-${name} SYSTEM PRIVATE ${CK_INCLUDE_DIRS})
    target_compile_definitions(test-${name} PRIVATE ${arg_DEFINES})
    target_link_libraries(test-${name} PRIVATE weir-options ${arg_LIBRARIES} weir::testing-static
                          weir::static)
    if(NOT arg_MAIN)
        target_link_libraries(test-${name} PRIVATE weir-test-support)
        if(NOT WEIR_SANITIZE MATCHES "thread")
            list(PREPEND arg_ARGS -j1) # ctest runs tests side by side, not Criterion within one
        endif()
    endif()
    add_test(NAME ${name} COMMAND ${WEIR_RUN_SANITIZED} $<TARGET_FILE:test-${name}> ${arg_ARGS})
    set_tests_properties(${name} PROPERTIES LABELS ${arg_LABEL} TIMEOUT ${arg_TIMEOUT})
    if(arg_SERIAL)
        set_tests_properties(${name} PROPERTIES RUN_SERIAL ON)
    endif()
endfunction()

# weir_fuzz(<name> <source>... [CORPUS <directory>] [LIBRARIES ...] [DEFINES ...])
#
# Sources with an LLVMFuzzerTestOneInput. With WEIR_FUZZ the program fuzz-<name> is a libFuzzer; without,
# it replays the files and directories it is given, and the test fuzz-<name> replays the corpus.
function(weir_fuzz name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "CORPUS" "LIBRARIES;DEFINES")
    add_executable(fuzz-${name} ${arg_UNPARSED_ARGUMENTS})
    target_include_directories(fuzz-${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests ${PROJECT_SOURCE_DIR}/lib)
    target_include_directories(fuzz-${name} SYSTEM PRIVATE ${CK_INCLUDE_DIRS})
    target_compile_definitions(fuzz-${name} PRIVATE ${arg_DEFINES})
    target_link_libraries(fuzz-${name} PRIVATE weir-options ${arg_LIBRARIES} weir::testing-static
                          weir::static)
    if(WEIR_FUZZ)
        target_link_options(fuzz-${name} PRIVATE -fsanitize=fuzzer)
    else()
        target_sources(fuzz-${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests/support/replay.c)
    endif()
    if(arg_CORPUS)
        if(WEIR_FUZZ)
            list(PREPEND arg_CORPUS -runs=0)
        endif()
        add_test(NAME fuzz-${name} COMMAND ${WEIR_RUN_SANITIZED} $<TARGET_FILE:fuzz-${name}> ${arg_CORPUS}
                 WORKING_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR})
        set_tests_properties(fuzz-${name} PROPERTIES LABELS fuzz TIMEOUT 60)
    endif()
endfunction()

# weir_library_again(<target> <definition>...): libweir's objects compiled once more with other
# definitions, for tests that put something under the library (the interleaving explorer, mutants).
function(weir_library_again target)
    get_target_property(sources weir-objects SOURCES)
    add_library(${target} OBJECT)
    foreach(source IN LISTS sources)
        cmake_path(ABSOLUTE_PATH source BASE_DIRECTORY ${PROJECT_SOURCE_DIR}/lib)
        target_sources(${target} PRIVATE ${source})
    endforeach()
    target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR}/lib)
    target_include_directories(${target} SYSTEM PRIVATE ${CK_INCLUDE_DIRS} ${XXHASH_INCLUDE_DIRS})
    target_compile_definitions(${target} PRIVATE ${ARGN})
    target_link_libraries(${target} PRIVATE weir-options Threads::Threads)
endfunction()
