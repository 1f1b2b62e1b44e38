add_library(unit_text_rooms STATIC $<TARGET_OBJECTS:apr_base> $<TARGET_OBJECTS:apr_text>)
target_link_libraries(unit_text PRIVATE unit_text_rooms)
