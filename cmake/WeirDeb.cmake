# Debian packages by CPack, two for each library, as in Debian itself: lib<name>0 is what programs need to run,
# lib<name>-dev what one needs to build them. So a program depends on what it links, libweir0 on the C library
# only, and libweir-dev on libweir0 only. tools/package/make builds them with WEIR_DEB; nothing else sets it.
set(tools ${PROJECT_SOURCE_DIR}/tools/package)
# Nobody reads mail for packages that are built from the sources at hand: an address that cannot exist.
set(maintainer "The weir authors <weir@weir.invalid>")
# One SONAME for all of 0.x, but a minor version may break its users: programs depend on theirs.
math(EXPR next_minor "${PROJECT_VERSION_MINOR} + 1")
set(next "${PROJECT_VERSION_MAJOR}.${next_minor}~")

set(staged ${PROJECT_BINARY_DIR}/deb)
file(MAKE_DIRECTORY ${staged})
execute_process(
    COMMAND ${tools}/changelog ${PROJECT_SOURCE_DIR}/CHANGELOG.md ${PROJECT_VERSION} ${maintainer}
    COMMAND gzip -9n
    OUTPUT_FILE ${staged}/changelog.gz
    RESULTS_VARIABLE results)
if(NOT results STREQUAL "0;0")
    message(FATAL_ERROR "${tools}/changelog failed")
endif()
file(WRITE ${staged}/triggers "activate-noawait ldconfig\n")

set(CPACK_GENERATOR DEB)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_COMPONENTS_GROUPING IGNORE)
set(CPACK_COMPONENTS_ALL "")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "") # each package has its own
set(CPACK_STRIP_FILES ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
    OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_PRE_BUILD_SCRIPTS ${PROJECT_SOURCE_DIR}/cmake/WeirDebStage.cmake)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_COMPRESSION_TYPE xz)
set(CPACK_DEBIAN_PACKAGE_SOURCE weir)
set(CPACK_DEBIAN_PACKAGE_MAINTAINER ${maintainer})
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)

# weir_deb(<component> <package> <section> <depends> <description>): one package of an install component.
macro(weir_deb component package section depends description)
    string(TOUPPER ${component} key)
    list(APPEND CPACK_COMPONENTS_ALL ${component})
    set(CPACK_DEBIAN_${key}_PACKAGE_NAME ${package})
    # This CMake knows no variable for Multi-Arch; the field follows that of the section.
    set(CPACK_DEBIAN_${key}_PACKAGE_SECTION "${section}\nMulti-Arch: same")
    set(CPACK_DEBIAN_${key}_PACKAGE_DEPENDS "${depends}")
    set(CPACK_COMPONENT_${key}_DESCRIPTION "${description}")
    install(FILES ${tools}/copyright ${staged}/changelog.gz
            DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/${package} COMPONENT ${component})
endmacro()

# weir_debs(<library> <what> <more> [<needs>...]): the two packages of a library; more: what it does beside libweir;
# needs: of its headers. What the shared library needs of others WeirDebStage.cmake adds, by its file.
macro(weir_debs library what more)
    weir_components(${library} runtime development)
    set(same "(= ${PROJECT_VERSION})")
    set(libweir "")
    set(needs "lib${library}0 ${same}")
    if(NOT ${library} STREQUAL weir)
        set(libweir "libweir0 ${same}")
        list(APPEND needs "libweir-dev ${same}")
    endif()
    list(APPEND needs ${ARGN})
    list(JOIN needs ", " needs)
    file(READ ${tools}/description text)
    if(NOT "${more}" STREQUAL "")
        string(APPEND text "\n${more}\n")
    endif()
    weir_deb(${runtime} lib${library}0 libs "${libweir}"
             "${what} (shared library)\n${text}")
    weir_deb(${development} lib${library}-dev libdevel "${needs}"
             "${what} (development files)\n${text}")
    string(TOUPPER ${runtime} key)
    file(WRITE ${staged}/${library}/shlibs
         "lib${library} ${PROJECT_VERSION_MAJOR} lib${library}0 (>= ${PROJECT_VERSION}), lib${library}0 (<< ${next})\n")
    set(CPACK_DEBIAN_${key}_PACKAGE_CONTROL_EXTRA ${staged}/triggers ${staged}/${library}/shlibs)
endmacro()

weir_debs(weir "circuit breakers, retries and deadlines for C" "")
weir_debs(weir-testing "test kit of the C resilience library weir"
          "The test kit has a virtual clock, scripted callees and forced outcomes.")
weir_debs(weir-curl "HTTP through libcurl, guarded by weir"
          "The adapter runs libcurl's transfers through such a pipeline."
          "libcurl4-openssl-dev | libcurl-dev")
weir_debs(weir-redis "limits and locks of a fleet through Redis, by weir"
          "The transport keeps in Redis what processes share, off the path of calls."
          "libhiredis-dev")
include(CPack)
