target_link_libraries(unit_formats PRIVATE $<TARGET_OBJECTS:apr_base> $<TARGET_OBJECTS:apr_tensor>
                                           $<TARGET_OBJECTS:apr_formats>)
