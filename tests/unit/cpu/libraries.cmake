# The suite that every backend is held to comes from tests/unit/backends.
target_sources(unit_cpu PRIVATE backends/models.cpp backends/golden.cpp backends/properties.cpp)
target_link_libraries(unit_cpu PRIVATE apr_static)
apr_static_plugins(unit_cpu backend_cpu backend_reference arch_qwen2 arch_llama quantizer_block)

# Everything once more with the scalar table (the level is chosen once per process).
add_test(NAME "cpu: all, scalar kernels" COMMAND unit_cpu)
set_tests_properties("cpu: all, scalar kernels" PROPERTIES ENVIRONMENT APR_CPU=scalar)
