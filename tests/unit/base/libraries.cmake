target_link_libraries(unit_base PRIVATE apr_base)
target_compile_options(unit_base PRIVATE -fexceptions)
