// The functions of the AVX2 table, which higher levels take over where wider vectors do not pay.
// See kernels.h for what each does.
#pragma once

#if defined(__x86_64__)

#include "plugins/backends/cpu/kernels.h"

namespace apr::cpu::avx2 {

void decode_f32(const std::byte* row, Size columns, float* out) noexcept;
void decode_f16(const std::byte* row, Size columns, float* out) noexcept;
void decode_bf16(const std::byte* row, Size columns, float* out) noexcept;
void decode_q8_0(const std::byte* row, Size columns, float* out) noexcept;
void decode_q4_0(const std::byte* row, Size columns, float* out) noexcept;

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

void dot_rounded_q8_0(const std::byte* rows, Size row_bytes, Size count, const RoundedRows& x,
                      Size tokens, float* y, Size y_stride) noexcept;
void dot_rounded_q4_0(const std::byte* rows, Size row_bytes, Size count, const RoundedRows& x,
                      Size tokens, float* y, Size y_stride) noexcept;

void round_row(const float* x, Size columns, std::int8_t* q, float* d,
               std::int32_t* minus_sums) noexcept;
void rms_norm(const float* x, const float* weight, Size n, float epsilon, float* out) noexcept;
void layer_norm(const float* x, const float* weight, const float* bias, Size n, float epsilon,
                float* out) noexcept;
void gelu_erf(const float* x, Size n, float* out) noexcept;
void gelu_tanh(const float* x, Size n, float* out) noexcept;
void tanh(const float* x, Size n, float* out) noexcept;
void silu_mul(const float* gate, const float* up, Size n, float* out) noexcept;
void add(const float* a, const float* b, Size n, float* out) noexcept;
void rope_halves(const float* x, const float* cosines, const float* sines, Size pairs,
                 float* out) noexcept;
void scores(const float* q, Size q_stride, Size queries, const float* keys, Size count, Size dim,
            float scale, float* out, Size out_stride) noexcept;
float exponentials(float* x, Size n) noexcept;
void weighted_sums(const float* weights, Size weights_stride, Size queries, const float* values,
                   Size count, Size dim, float* out, Size out_stride) noexcept;

}  // namespace apr::cpu::avx2

#endif
