// What attention inside a window of 64 tokens needs around its products of matrices.

#pragma once

#include "vectors.h"

namespace {

constexpr float kLog2E = 1.44269504f;
constexpr int64_t kWeights = kTokens + kPanel;  // from row to row of attention weights

// Turn k [64 tokens, units] into panels of 16 tokens, [64 / 16, units, 16].
void transpose_keys(const float* k, int64_t ldk, int64_t units, float* panels) {
  for (int token = 0; token < kTokens; token += kLanes)
    for (int64_t u = 0; u < units; u += kLanes) {
      Vec block[kLanes];
      UNROLL for (int i = 0; i < kLanes; ++i) block[i] = load(k + (token + i) * ldk + u);
      transpose(block);
      float* to = panels + (token / kPanel * units + u) * kPanel + token % kPanel;
      for (int j = 0; j < std::min<int64_t>(kLanes, units - u); ++j)
        store(to + j * kPanel, block[j]);
    }
}

// Put v [64 tokens, columns] into panels whose units run over tokens, [columns / 16, units, 16].
template <class Math>
void pack_values(const float* v, int64_t columns, float* panels) {
  constexpr int kUnits = kTokens / Math::kDepth;
  for (int u = 0; u < kUnits; ++u)
    for (int64_t c = 0; c < columns; c += kLanes) {
      const float* from = v + u * Math::kDepth * columns + c;
      Vec unit = load(from);
      if constexpr (Math::kDepth == 2)
        unit = (Vec)(((rounded(unit) >> 16) & 0xffff) | (rounded(load(from + columns)) & ~0xffff));
      store(panels + (c / kPanel * kUnits + u) * kPanel + c % kPanel, unit);
    }
}

// Softmax over the rows of logits [64, 64], but for the division: `inverse` is one over each sum.
template <class Math>
void soften(const float* logits, float* weights, float (&inverse)[kTokens]) {
  for (int row = 0; row < kTokens; row += kLanes) {
    Vec part[kLanes];
    for (int i = 0; i < kLanes; ++i) {
      const float* from = logits + (row + i) * kTokens;
      part[i] = load(from);
      for (int t = kLanes; t < kTokens; t += kLanes) part[i] = larger(part[i], load(from + t));
    }
    Vec top = maxima(part);
    for (int i = 0; i < kLanes; ++i) {
      const float* from = logits + (row + i) * kTokens;
      part[i] = Vec{};
      UNROLL for (int t = 0; t < kTokens; t += kLanes) {
        Vec weight = Math::exp2(load(from + t) - top[i]);
        part[i] += weight;
        Math::put(weights + (row + i) * kWeights, t, weight);
      }
    }
    store(inverse + row, 1.0f / sums(part));
  }
}

}  // namespace
