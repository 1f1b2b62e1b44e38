// The functions of the AVX-512 tables. See kernels.h for what each does.
#pragma once

#if defined(__x86_64__)

#include "plugins/backends/cpu/kernels.h"

namespace apr::cpu::avx512 {

void dot_f32(const std::byte* rows, Size row_bytes, Size count, Size columns, const float* x,
             float* y) noexcept;
void dot_f16(const std::byte* rows, Size row_bytes, Size count, Size columns, const float* x,
             float* y) noexcept;
void dot_bf16(const std::byte* rows, Size row_bytes, Size count, Size columns, const float* x,
              float* y) noexcept;
void dot_q8_0(const std::byte* rows, Size row_bytes, Size count, Size columns, const float* x,
              float* y) noexcept;
void dot_q4_0(const std::byte* rows, Size row_bytes, Size count, Size columns, const float* x,
              float* y) noexcept;
void dot_panel(const float* weights, Size count, Size columns, const float* x, Size x_stride,
               Size tokens, float* y, Size y_stride) noexcept;

void dot_vnni_q8_0(const std::byte* rows, Size row_bytes, Size count, const RoundedRows& x,
                   Size tokens, float* y, Size y_stride) noexcept;
void dot_vnni_q4_0(const std::byte* rows, Size row_bytes, Size count, const RoundedRows& x,
                   Size tokens, float* y, Size y_stride) noexcept;

}  // namespace apr::cpu::avx512

#endif
