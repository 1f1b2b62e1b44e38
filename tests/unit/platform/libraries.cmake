find_package(Threads REQUIRED)
target_link_libraries(unit_platform PRIVATE apr_base apr_platform Threads::Threads)
target_compile_options(unit_platform PRIVATE -fexceptions)
