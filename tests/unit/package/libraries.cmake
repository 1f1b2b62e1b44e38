target_link_libraries(unit_package PRIVATE apr_static apr_plugin_importer_safetensors_objects
                                           apr_plugin_exporter_safetensors_objects)
target_compile_options(unit_package PRIVATE -fexceptions)  # the objects above bring -fno-exceptions
