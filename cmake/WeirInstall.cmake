# The installed tree can be moved: the CMake package and the .pc files find their prefix from where they
# lie. Each library has two install components (weir_components): what programs need to run, and what one
# needs to build them. A component of the CMake package is a file weir-<component>-targets.cmake.
include(CMakePackageConfigHelpers)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/weir)

# The libraries beside libweir, by what follows weir- in their names. Each has one header of that name.
set(companions testing)
if(WEIR_HAS_CURL)
    list(APPEND companions curl)
endif()
if(WEIR_HAS_REDIS)
    list(APPEND companions redis)
endif()

install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/weir DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
        COMPONENT development
        FILES_MATCHING PATTERN "*.h" PATTERN testing.h EXCLUDE PATTERN curl.h EXCLUDE PATTERN redis.h EXCLUDE)
install(FILES ${PROJECT_SOURCE_DIR}/docs/man/weir.7 DESTINATION ${CMAKE_INSTALL_MANDIR}/man7
        COMPONENT development)
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/weir-config.cmake.in
    ${PROJECT_BINARY_DIR}/weir-config.cmake INSTALL_DESTINATION ${package_dir})
# Before 1.0 a minor version may break its users.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/weir-config-version.cmake
    COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/weir-config.cmake ${PROJECT_BINARY_DIR}/weir-config-version.cmake
        DESTINATION ${package_dir} COMPONENT development)
foreach(companion IN LISTS companions)
    install(FILES ${PROJECT_SOURCE_DIR}/include/weir/${companion}.h
            DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/weir COMPONENT ${companion}-development)
endforeach()

# Below the prefix, also where the directories were given as absolute ones.
file(RELATIVE_PATH libdir_in_pc ${CMAKE_INSTALL_PREFIX} ${CMAKE_INSTALL_FULL_LIBDIR})
file(RELATIVE_PATH includedir_in_pc ${CMAKE_INSTALL_PREFIX} ${CMAKE_INSTALL_FULL_INCLUDEDIR})
list(TRANSFORM companions PREPEND weir- OUTPUT_VARIABLE libraries)
list(PREPEND libraries weir)
foreach(library IN LISTS libraries)
    weir_components(${library} runtime development)
    install(EXPORT ${library}-targets NAMESPACE weir:: DESTINATION ${package_dir}
            COMPONENT ${development})
    file(RELATIVE_PATH prefix_from_pc
         ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
    configure_file(${PROJECT_SOURCE_DIR}/cmake/${library}.pc.in ${PROJECT_BINARY_DIR}/${library}.pc @ONLY)
    install(FILES ${PROJECT_BINARY_DIR}/${library}.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig
            COMPONENT ${development})
endforeach()

if(WEIR_DEB)
    include(WeirDeb)
endif()
