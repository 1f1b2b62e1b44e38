target_link_libraries(unit_${area} PRIVATE apr_base apr_platform apr_text)
