# Install tree: bin/, lib/, lib/apr/plugins/, include/apr/, lib/cmake/apr/. Plugins install themselves
# (AprPlugin.cmake). `#include "core/…"` works for others because include/apr is the include root.
include(CMakePackageConfigHelpers)

set_target_properties(apr_shared PROPERTIES INSTALL_RPATH "$ORIGIN")
foreach(library apr_shared apr_static)
  target_compile_features(${library} INTERFACE cxx_std_20)
  target_include_directories(${library} INTERFACE $<INSTALL_INTERFACE:include/apr>)
endforeach()

install(TARGETS apr_shared apr_static apr_plugin_manifest EXPORT aprTargets
  RUNTIME DESTINATION bin LIBRARY DESTINATION lib ARCHIVE DESTINATION lib)
foreach(program apr apr-pipeline)
  if(TARGET ${program})
    install(TARGETS ${program} RUNTIME DESTINATION bin)
  endif()
endforeach()
install(DIRECTORY core DESTINATION include/apr FILES_MATCHING PATTERN "*.h" PATTERN "host_*.h" EXCLUDE)
install(FILES LICENSE README.md DESTINATION share/doc/apr)

configure_package_config_file(cmake/aprConfig.cmake.in ${PROJECT_BINARY_DIR}/cmake/aprConfig.cmake
  INSTALL_DESTINATION lib/cmake/apr)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/cmake/aprConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)  # whether a plugin fits is decided by API number and build tag
install(FILES ${PROJECT_BINARY_DIR}/cmake/aprConfig.cmake ${PROJECT_BINARY_DIR}/cmake/aprConfigVersion.cmake
  cmake/AprPlugin.cmake DESTINATION lib/cmake/apr)
install(EXPORT aprTargets NAMESPACE apr:: DESTINATION lib/cmake/apr)
