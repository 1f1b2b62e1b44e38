find_package(Threads REQUIRED)
target_link_libraries(unit_platform PRIVATE $<TARGET_OBJECTS:apr_base> $<TARGET_OBJECTS:apr_platform>
                                            Threads::Threads)
