# apr_add_plugin(NAME SOURCES ...): one plugin, two linkages.
#
# NAME is the C identifier given to APR_PLUGIN. Makes the object library apr_plugin_NAME_objects (compiled
# once), the module <build>/lib/apr/plugins/libapr_NAME.so with its manifest beside it, and registers NAME so
# that apr_static_plugins() can link the objects into a static program.
define_property(GLOBAL PROPERTY APR_PLUGINS BRIEF_DOCS "plugins" FULL_DOCS "names of all plugins of this build")

function(apr_add_plugin name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LIBRARIES" ${ARGN})
  set(objects apr_plugin_${name}_objects)
  add_library(${objects} OBJECT ${ARG_SOURCES})
  target_link_libraries(${objects} PUBLIC apr_closure_flags)
  target_link_libraries(${objects} PRIVATE ${ARG_LIBRARIES})
  set_property(GLOBAL APPEND PROPERTY APR_PLUGINS ${name})
  if(APR_RUNTIME_ONLY)
    return()
  endif()
  set(module apr_plugin_${name})
  add_library(${module} MODULE)
  target_link_libraries(${module} PRIVATE ${objects} apr_shared ${ARG_LIBRARIES})
  set_target_properties(${module} PROPERTIES
    OUTPUT_NAME apr_${name}
    LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/lib/apr/plugins
    INSTALL_RPATH "$ORIGIN/../..")
  add_custom_command(TARGET ${module} POST_BUILD
    COMMAND apr_plugin_manifest ${name} $<TARGET_FILE:${module}>
    VERBATIM)
  add_dependencies(${module} apr_plugin_manifest)
  install(TARGETS ${module} LIBRARY DESTINATION lib/apr/plugins)
  install(FILES ${PROJECT_BINARY_DIR}/lib/apr/plugins/libapr_${name}.json DESTINATION lib/apr/plugins)
endfunction()

# apr_static_plugins(TARGET NAMES...): links plugins into a program and defines apr::static_plugins().
function(apr_static_plugins target)
  set(declarations "")
  set(entries "")
  foreach(name ${ARGN})
    string(APPEND declarations "extern \"C\" const apr::PluginDescriptor* apr_plugin_${name}_v1();\n")
    string(APPEND entries "    &apr_plugin_${name}_v1,\n")
    target_link_libraries(${target} PRIVATE apr_plugin_${name}_objects)
  endforeach()
  set(source ${CMAKE_CURRENT_BINARY_DIR}/${target}_plugins.cpp)
  file(CONFIGURE OUTPUT ${source} CONTENT
"// Generated: the plugins linked into ${target}.
#include \"core/plugin/static_plugins.h\"

${declarations}
namespace apr {
std::span<const PluginEntry> static_plugins() {
  static constexpr PluginEntry entries[] = {
${entries}  };
  return entries;
}
}  // namespace apr
" @ONLY)
  target_sources(${target} PRIVATE ${source})
endfunction()
