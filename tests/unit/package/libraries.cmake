# Objects are linked as files: as libraries they would bring the closure's -fno-exceptions.
target_link_libraries(unit_package PRIVATE apr_static
                      $<TARGET_OBJECTS:apr_plugin_importer_safetensors_objects>
                      $<TARGET_OBJECTS:apr_plugin_exporter_safetensors_objects>)
