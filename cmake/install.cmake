# What `cmake --install` lays down: the rooms' libraries and headers, and the package file that find_package reads.
include(CMakePackageConfigHelpers)
set(rooms ptxgen policies kernels)
set(targets ptxgen ptxgen_policies ptxgen_kernels)
if(PTXGEN_RUNTIME)
  list(APPEND rooms runtime)
  list(APPEND targets ptxgen_runtime)
endif()

install(TARGETS ${targets} EXPORT ptxgen-targets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
foreach(room ${rooms})
  install(DIRECTORY ${room} DESTINATION ${PTXGEN_INSTALL_INCLUDEDIR}
    FILES_MATCHING PATTERN "*.hpp" PATTERN "*.inc")
endforeach()

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/ptxgen)
install(EXPORT ptxgen-targets NAMESPACE ptxgen:: DESTINATION ${package_dir})
configure_package_config_file(cmake/ptxgen-config.cmake.in ${PROJECT_BINARY_DIR}/ptxgen-config.cmake
  INSTALL_DESTINATION ${package_dir} NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/ptxgen-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/ptxgen-config.cmake ${PROJECT_BINARY_DIR}/ptxgen-config-version.cmake
  cmake/FindPcre2.cmake DESTINATION ${package_dir})
