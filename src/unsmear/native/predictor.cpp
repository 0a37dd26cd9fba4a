// A confidence predictor of LMD-ViT, fused: a map is read once and its scores are written once;
// between them lies only what the mean over the whole map must wait for. `FoldedPredictor` has the
// formula.

#include "vectors.h"

extern "C" {

// A packed predictor; `PackedPredictor` in predictor.py fills it. Widths are multiples of 16, filled
// up with zeros; biases and score_weight are float32.
struct Predictor {
  int64_t channels, judged, hidden;
  float eps;
  const float *embed_weight, *embed_bias, *judge_weight;
  const float *hidden_weight, *hidden_bias;
  const float *score_weight, *score_bias;  // [2, hidden], [2]
};

// An image's tokens; `judged` and `scores` have room for as many rows as 64 divides.
struct Image {
  int64_t tokens, threads;
};
}

namespace {

// Tokens that a thread takes at a time, and whose features it sums: sums do not depend on threads.
constexpr int64_t kGroup = 32 * kTokens;

int64_t groups(const Image& image) { return (image.tokens + kGroup - 1) / kGroup; }

// First half: `judged` but for the part that comes from the mean, and the sums of the features.
template <class Math, class Number>
void embed(const Predictor& p, const Image& image, const Number* x, Number* judged, float* totals,
           std::atomic<int64_t>& next) {
  const int64_t channels = p.channels, wide = channels + kPanel, units = channels / Math::kDepth;
  float *tokens, *features, *normed;
  Memory memory({{&tokens, wide}, {&features, channels}, {&normed, wide}});
  for (int64_t group; (group = next++) < groups(image);) {
    float* total = totals + group * channels;
    std::fill(total, total + channels, 0.0f);
    const int64_t end = std::min(image.tokens, (group + 1) * kGroup);
    for (int64_t start = group * kGroup; start < end; start += kTokens) {
      const int64_t count = std::min<int64_t>(kTokens, end - start);
      const Number* from = x + start * channels;
      for (int64_t row = 0; row < kTokens; ++row)
        for (int64_t c = 0; c < channels; c += kLanes)
          Math::put(tokens + row * wide, c, row < count ? load(from + row * channels + c) : Vec{});
      multiply<Math>(tokens, wide, p.embed_weight, units * kPanel, units, channels,
                     [&](int row, int64_t c, Vec v) ALWAYS {
                       store(features + row * channels + c, Math::gelu(v + load(p.embed_bias + c)));
                     });
      normalise<Math>(features, channels, p.eps, normed, wide);
      for (int64_t c = 0; c < channels; c += kLanes) {
        Vec sum = load(total + c);
        for (int64_t row = 0; row < count; ++row) sum += Math::get(normed + row * wide, c);
        store(total + c, sum);
      }
      Number* to = judged + start * p.judged;
      multiply<Math>(normed, wide, p.judge_weight, units * kPanel, units, p.judged,
                     [&](int row, int64_t c, Vec v) ALWAYS { store(to + row * p.judged + c, v); });
    }
  }
}

// Second half: `bias` [judged] is the part that comes from the mean; scores [tokens, 2].
template <class Math, class Number>
void judge(const Predictor& p, const Image& image, const Number* judged, const float* bias,
           float* scores, std::atomic<int64_t>& next) {
  const int64_t wide = p.judged + kPanel, units = p.judged / Math::kDepth;
  float *first, *second;
  Memory memory({{&first, wide}, {&second, p.hidden}});
  for (int64_t group; (group = next++) < groups(image);) {
    const int64_t end = std::min(image.tokens, (group + 1) * kGroup);
    for (int64_t start = group * kGroup; start < end; start += kTokens) {
      const Number* from = judged + start * p.judged;
      for (int row = 0; row < kTokens; ++row)
        for (int64_t c = 0; c < p.judged; c += kLanes)
          Math::put(first + row * wide, c,
                    Math::gelu(load(from + row * p.judged + c) + load(bias + c)));
      multiply<Math>(first, wide, p.hidden_weight, units * kPanel, units, p.hidden,
                     [&](int row, int64_t c, Vec v) ALWAYS {
                       store(second + row * p.hidden + c, Math::gelu(v + load(p.hidden_bias + c)));
                     });
      for (int row = 0; row < kTokens; row += kLanes)
        for (int which = 0; which < 2; ++which) {
          const float* weight = p.score_weight + which * p.hidden;
          Vec part[kLanes];
          for (int i = 0; i < kLanes; ++i) {
            part[i] = Vec{};
            for (int64_t c = 0; c < p.hidden; c += kLanes)
              part[i] += load(second + (row + i) * p.hidden + c) * load(weight + c);
          }
          const Vec score = sums(part) + p.score_bias[which];
          float* to = scores + (start + row) * 2 + which;
          for (int i = 0; i < kLanes; ++i) to[2 * i] = score[i];
        }
    }
  }
}

template <class Math, class Number>
void run_embed(const Predictor& p, const Image& image, const Number* x, Number* judged,
               float* totals) {
  share(image.threads, groups(image),
        [&](auto& next) { embed<Math>(p, image, x, judged, totals, next); });
}

template <class Math, class Number>
void run_judge(const Predictor& p, const Image& image, const Number* judged, const float* bias,
               float* scores) {
  share(image.threads, groups(image),
        [&](auto& next) { judge<Math>(p, image, judged, bias, scores, next); });
}

}  // namespace

extern "C" {

// Rows of `totals` [rows, channels], all of which `embed` writes; their sum is that of the features.
int64_t rows_of_totals(const Image* image) { return groups(*image); }

void embed_float32(const Predictor* p, const Image* image, const float* x, float* judged,
                   float* totals) {
  run_embed<Float32>(*p, *image, x, judged, totals);
}
void judge_float32(const Predictor* p, const Image* image, const float* judged, const float* bias,
                   float* scores) {
  run_judge<Float32>(*p, *image, judged, bias, scores);
}

// The same on bfloat16. Weights are in pairs where the instruction set multiplies pairs.
void embed_bfloat16(const Predictor* p, const Image* image, const uint16_t* x, uint16_t* judged,
                    float* totals) {
  run_embed<Short>(*p, *image, x, judged, totals);
}
void judge_bfloat16(const Predictor* p, const Image* image, const uint16_t* judged,
                    const float* bias, float* scores) {
  run_judge<Short>(*p, *image, judged, bias, scores);
}
}
