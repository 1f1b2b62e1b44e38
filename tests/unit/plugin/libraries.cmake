# The host lives in libapr.so only. The fixtures are small plugins: a sound one, one built for another API
# number, one that fails to register, one that calls itself something else than its file says.
target_link_libraries(unit_plugin PRIVATE apr_shared)
set(APR_PLUGIN_FIXTURES ${CMAKE_CURRENT_BINARY_DIR}/plugin_fixtures)
function(apr_plugin_fixture file)
  add_library(fixture_${file} MODULE ${CMAKE_CURRENT_SOURCE_DIR}/plugin/fixtures/${file}.cc)
  set_source_files_properties(${CMAKE_CURRENT_SOURCE_DIR}/plugin/fixtures/${file}.cc PROPERTIES LANGUAGE CXX)
  target_link_libraries(fixture_${file} PRIVATE apr_flags apr_shared)
  target_compile_definitions(fixture_${file} PRIVATE ${ARGN})
  set_target_properties(fixture_${file} PROPERTIES
    PREFIX lib OUTPUT_NAME ${file} LINKER_LANGUAGE CXX LIBRARY_OUTPUT_DIRECTORY ${APR_PLUGIN_FIXTURES})
  add_dependencies(unit_plugin fixture_${file})
endfunction()
apr_plugin_fixture(fixture_sound)
apr_plugin_fixture(fixture_other_api APR_TEST_PLUGIN_API=7)
apr_plugin_fixture(fixture_fails)
apr_plugin_fixture(fixture_no_symbol)
target_compile_definitions(unit_plugin PRIVATE APR_PLUGIN_FIXTURES="${APR_PLUGIN_FIXTURES}")
