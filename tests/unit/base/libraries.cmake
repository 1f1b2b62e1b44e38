# Objects are linked as files: as libraries they would bring the closure's -fno-exceptions.
target_link_libraries(unit_base PRIVATE $<TARGET_OBJECTS:apr_base>)
