find_package(TBB REQUIRED)
target_link_libraries(unit_comparison PRIVATE apr_orchestrator TBB::tbb)
