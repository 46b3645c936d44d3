# Runs in CPack when each component lies in a tree of its own: what a package needs and an installed tree does not.
# The man pages are compressed. And dpkg-shlibdeps says what the shared libraries need; CPack would ask it itself,
# but would then also write maintainer scripts that call ldconfig, where the trigger does.
file(GLOB pages ${CPACK_TEMPORARY_DIRECTORY}/*/usr/share/man/man*/*)
foreach(page IN LISTS pages)
    execute_process(COMMAND gzip -9n ${page} COMMAND_ERROR_IS_FATAL ANY)
endforeach()

# dpkg-shlibdeps wants to stand beside a debian/control. libweir0 is not installed here: that a companion needs it
# WeirDeb.cmake says.
set(here ${CPACK_TEMPORARY_DIRECTORY}/../shlibdeps)
file(WRITE ${here}/debian/control "")
file(GLOB libweir_dir ${CPACK_TEMPORARY_DIRECTORY}/runtime/usr/lib/*)
foreach(component IN LISTS CPACK_COMPONENTS_ALL)
    file(GLOB libraries ${CPACK_TEMPORARY_DIRECTORY}/${component}/usr/lib/*/*.so.*.*.*)
    if(libraries)
        execute_process(
            COMMAND dpkg-shlibdeps --ignore-missing-info -l${libweir_dir} -O ${libraries}
            WORKING_DIRECTORY ${here}
            OUTPUT_VARIABLE needed OUTPUT_STRIP_TRAILING_WHITESPACE
            ERROR_VARIABLE complaint RESULT_VARIABLE status)
        if(NOT status EQUAL 0 OR NOT needed MATCHES "^shlibs:Depends=(.+)$")
            message(FATAL_ERROR "dpkg-shlibdeps ${libraries}: ${needed} ${complaint}")
        endif()
        string(TOUPPER ${component} key)
        list(APPEND CPACK_DEBIAN_${key}_PACKAGE_DEPENDS ${CMAKE_MATCH_1})
        list(JOIN CPACK_DEBIAN_${key}_PACKAGE_DEPENDS ", " CPACK_DEBIAN_${key}_PACKAGE_DEPENDS)
    endif()
endforeach()
