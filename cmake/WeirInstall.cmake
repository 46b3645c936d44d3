# The installed tree can be moved: the CMake package and the .pc files find their prefix from where they
# lie. A component of the package is a file weir-<component>-targets.cmake.
include(CMakePackageConfigHelpers)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/weir)

set(target_sets weir-targets weir-testing-targets)
set(pc_files weir weir-testing)
set(left_out PATTERN curl.h EXCLUDE)
if(WEIR_HAS_CURL)
    list(APPEND target_sets weir-curl-targets)
    list(APPEND pc_files weir-curl)
    unset(left_out)
endif()

install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/weir DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
        FILES_MATCHING PATTERN "*.h" ${left_out})
foreach(set IN LISTS target_sets)
    install(EXPORT ${set} NAMESPACE weir:: DESTINATION ${package_dir})
endforeach()
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/weir-config.cmake.in
    ${PROJECT_BINARY_DIR}/weir-config.cmake INSTALL_DESTINATION ${package_dir})
# Before 1.0 a minor version may break its users.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/weir-config-version.cmake
    COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/weir-config.cmake ${PROJECT_BINARY_DIR}/weir-config-version.cmake
        DESTINATION ${package_dir})

foreach(file IN LISTS pc_files)
    file(RELATIVE_PATH prefix_from_pc
         ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
    configure_file(${PROJECT_SOURCE_DIR}/cmake/${file}.pc.in ${PROJECT_BINARY_DIR}/${file}.pc @ONLY)
    install(FILES ${PROJECT_BINARY_DIR}/${file}.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endforeach()
