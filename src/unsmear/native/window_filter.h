// W-LeFF's depthwise 3x3 on windows of 8 x 8 tokens, reflected at the window's border.

#pragma once

#include "vectors.h"

namespace {

constexpr int kSide = 8;
// Of the places -1 to 8, the ones that stand for them inside the window.
constexpr int kNear[kSide + 2] = {1, 0, 1, 2, 3, 4, 5, 6, 7, 6};

// Filter kLanes channels of a window's 64 tokens, which lie `stride` apart. done(token, sums).
template <class Done>
INLINE void filter_window(const float* tokens, int64_t stride, const Vec (&tap)[9], Vec start,
                          Done done) {
  for (int y = 0; y < kSide; ++y) {
    Vec sum[kSide];  // a row at a time: each sum is a chain, and they overlap
    UNROLL for (int x = 0; x < kSide; ++x) sum[x] = start;
    UNROLL for (int i = 0; i < 9; ++i) {
      const float* row = tokens + kNear[y + i / 3] * kSide * stride;
      UNROLL for (int x = 0; x < kSide; ++x)
        sum[x] += tap[i] * load(row + kNear[x + i % 3] * stride);
    }
    UNROLL for (int x = 0; x < kSide; ++x) done(y * kSide + x, sum[x]);
  }
}

}  // namespace
