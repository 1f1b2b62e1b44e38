# apr_add_plugin(NAME SOURCES ... [LIBRARIES ...]): one plugin, two linkages.
#
# NAME is the C identifier given to APR_PLUGIN. Makes the object library apr_plugin_NAME_objects (compiled
# once) and the module libapr_NAME.so with its manifest libapr_NAME.json beside it. Works inside the project
# and, after find_package(apr), in anybody's:
#
#   inside    the module goes to <build>/lib/apr/plugins, and apr_static_plugins() can link the objects into a
#             static program
#   outside   the module goes to <build folder of the directory>/plugins: give that folder to --plugin-path,
#             or install it; `cmake --install` puts both files into lib/apr/plugins of the prefix
define_property(GLOBAL PROPERTY APR_PLUGINS BRIEF_DOCS "plugins" FULL_DOCS "names of all plugins of this build")

function(apr_add_plugin name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LIBRARIES" ${ARGN})
  if(NOT name MATCHES "^[a-z_][a-z0-9_]*$")
    message(FATAL_ERROR "apr_add_plugin: '${name}' is not a lower-case C identifier")
  endif()
  if(NOT ARG_SOURCES)
    message(FATAL_ERROR "apr_add_plugin(${name}): no SOURCES")
  endif()
  set(objects apr_plugin_${name}_objects)
  add_library(${objects} OBJECT ${ARG_SOURCES})
  target_link_libraries(${objects} PRIVATE ${ARG_LIBRARIES})
  if(TARGET apr_closure_flags)
    # PRIVATE: a program that links the objects may use exceptions itself.
    target_link_libraries(${objects} PUBLIC apr_flags PRIVATE apr_closure_flags)
    set(library apr_shared)
    set(manifest_tool apr_plugin_manifest)
    set(folder ${PROJECT_BINARY_DIR}/lib/apr/plugins)
  else()
    target_link_libraries(${objects} PRIVATE apr::apr)
    target_compile_options(${objects} PRIVATE -ffp-contract=off)
    set_target_properties(${objects} PROPERTIES
      POSITION_INDEPENDENT_CODE ON CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON)
    set(library apr::apr)
    set(manifest_tool apr::plugin_manifest)
    set(folder ${CMAKE_CURRENT_BINARY_DIR}/plugins)
  endif()
  set_property(GLOBAL APPEND PROPERTY APR_PLUGINS ${name})
  if(APR_RUNTIME_ONLY)
    return()
  endif()
  set(module apr_plugin_${name})
  add_library(${module} MODULE)
  target_link_libraries(${module} PRIVATE ${objects} ${library} ${ARG_LIBRARIES})
  set_target_properties(${module} PROPERTIES
    OUTPUT_NAME apr_${name}
    LINKER_LANGUAGE CXX
    LIBRARY_OUTPUT_DIRECTORY ${folder}
    # The manifest holds the library's digest, so installing must not edit the library: it is linked with the run
    # path it will have, which fits the build tree too. (The program has loaded libapr.so by then anyway.)
    BUILD_WITH_INSTALL_RPATH ON
    INSTALL_RPATH "$ORIGIN/../..")
  add_custom_command(TARGET ${module} POST_BUILD
    COMMAND ${manifest_tool} ${name} $<TARGET_FILE:${module}>
    VERBATIM)
  add_dependencies(${module} ${manifest_tool})
  install(TARGETS ${module} LIBRARY DESTINATION lib/apr/plugins)
  install(FILES ${folder}/libapr_${name}.json DESTINATION lib/apr/plugins)
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
