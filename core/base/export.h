// Symbol visibility: everything is hidden unless it carries APR_API.
#pragma once

#if defined(_WIN32) || defined(__wasm__)
#define APR_API
#else
#define APR_API __attribute__((visibility("default")))
#endif
