find_package(TBB REQUIRED)
target_link_libraries(unit_pipeline PRIVATE apr_orchestrator TBB::tbb)
