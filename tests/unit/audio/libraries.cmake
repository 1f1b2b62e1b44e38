target_link_libraries(unit_audio PRIVATE apr_orchestrator ${APR_SNDFILE_LIBRARY})
target_include_directories(unit_audio PRIVATE ${APR_SNDFILE_INCLUDE})
