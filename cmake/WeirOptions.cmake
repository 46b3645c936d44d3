# weir-options: the warnings of everything weir builds. It is linked PRIVATE and never exported: a
# consumer compiles by its own rules. -Wpedantic is for the public headers (tests/headers): the library
# itself counts in 128 bits.
add_library(weir-options INTERFACE)
target_compile_definitions(weir-options INTERFACE _GNU_SOURCE)
target_compile_options(weir-options INTERFACE
    -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes
    -Wundef -Wcast-align -Wwrite-strings -Wvla -Wformat=2 -Wno-missing-field-initializers
    $<$<BOOL:${WEIR_WERROR}>:-Werror>)

# What must hold for every object and every link line of a build stands in the directory's options, so
# that no target can miss it.
if(WEIR_FUZZ)
    if(NOT CMAKE_C_COMPILER_ID MATCHES "Clang")
        message(FATAL_ERROR "WEIR_FUZZ needs clang: cmake --preset fuzz")
    elseif(WEIR_SANITIZE)
        message(FATAL_ERROR "WEIR_FUZZ brings its own sanitizers: leave WEIR_SANITIZE empty")
    endif()
    set(instrument -fsanitize=fuzzer-no-link,address,undefined)
elseif(WEIR_SANITIZE)
    set(instrument -fsanitize=${WEIR_SANITIZE})
endif()
if(instrument)
    add_compile_options(${instrument} -fno-sanitize-recover=all -fno-omit-frame-pointer)
    add_link_options(${instrument})
endif()
if(WEIR_COVERAGE)
    include(CheckCCompilerFlag)
    set(CMAKE_REQUIRED_LINK_OPTIONS -fprofile-instr-generate)
    check_c_compiler_flag("-fprofile-instr-generate -fcoverage-mapping -fcoverage-mcdc" WEIR_HAS_MCDC)
    unset(CMAKE_REQUIRED_LINK_OPTIONS)
    if(NOT WEIR_HAS_MCDC)
        message(FATAL_ERROR "WEIR_COVERAGE needs clang 19: cmake --preset coverage "
                            "(Debian packages clang-19 llvm-19 libclang-rt-19-dev)")
    endif()
    add_compile_options(-fprofile-instr-generate -fcoverage-mapping -fcoverage-mcdc)
    add_link_options(-fprofile-instr-generate)
endif()
