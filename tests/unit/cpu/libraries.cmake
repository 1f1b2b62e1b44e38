# The suite that every backend is held to comes from tests/unit/backends.
target_sources(unit_cpu PRIVATE backends/models.cpp backends/golden.cpp backends/properties.cpp)
target_link_libraries(unit_cpu PRIVATE apr_static)
apr_static_plugins(unit_cpu backend_cpu backend_reference arch_qwen2 arch_llama quantizer_block)

# Everything once more with each lower table (the level is chosen once per process; a level that this
# processor lacks falls back to its best).
foreach(level scalar avx2 avx512)
  add_test(NAME "cpu: all, ${level} kernels" COMMAND unit_cpu)
  set_tests_properties("cpu: all, ${level} kernels" PROPERTIES ENVIRONMENT APR_CPU=${level})
endforeach()
