# Every backend is held to the same suite; other programs take the helpers from here too.
target_link_libraries(unit_backends PRIVATE apr_static)
apr_static_plugins(unit_backends backend_cpu backend_reference arch_qwen2 arch_llama arch_mistral arch_gpt2 arch_bert arch_whisper)
