# Objects are linked as files: as libraries they would bring the closure's -fno-exceptions.
target_link_libraries(unit_speech PRIVATE apr_static)
