target_sources(unit_${area} PRIVATE backends/models.cpp)
target_link_libraries(unit_${area} PRIVATE apr_static)
apr_static_plugins(unit_${area} backend_reference arch_qwen2 arch_llama)
