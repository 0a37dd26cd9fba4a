// Attention between the tokens of windows of 8 x 8, without the linear layers around it, while
// training: forward and backward. Logits and weights exist for one head of one window at a time; on
// the way back they are computed again.

#include "attention.h"

extern "C" {

// Queries [count, 64, heads * size], and keys beside values [count, 64, 2 * heads * size].
struct Attention {
  int64_t count, heads, size;
  int64_t threads;
  float scale;            // of the logits
  const float* bias;      // [heads, 64, 64], of the logits of every window
  const float* seams;     // [kinds, 64, 64], the same of every head; or none
  const int64_t* kinds;   // [count], of each window
};
}

namespace {

constexpr int64_t kLogits = kTokens * kTokens;

// Windows that one thread takes at once. Their gradients of the bias are added up in the same order
// whatever the number of threads.
constexpr int64_t kGroup = 16;

int64_t groups(const Attention& a) { return (a.count + kGroup - 1) / kGroup; }

// What is read of one head of a window, in the forms in which products take it.
struct Operand {
  float* numbers;  // [64, size], float32
  float* rows;     // [64, size] of Math, the left side of a product
  float* keys;     // panels of 16 tokens: the right side, transposed
  float* values;   // panels of 16 columns whose units run over tokens: the right side

  // Each in the forms that are asked for.
  template <class Math, class Number>
  void read(const Number* from, int64_t stride, int64_t size, bool as_keys, bool as_values) {
    const int64_t narrow = size + kPanel, units = size / Math::kDepth;
    for (int token = 0; token < kTokens; ++token)
      for (int64_t c = 0; c < size; c += kLanes) {
        const Vec v = load(from + token * stride + c);
        store(numbers + token * size + c, v);
        Math::put(rows + token * narrow, c, v);
      }
    if (as_keys) transpose_keys(rows, narrow, units, keys);
    if (as_values) pack_values<Math>(numbers, size, values);
  }
};

// What a thread keeps of one head of a window.
struct Scratch {
  Operand q, k, v, slope;  // `slope`: the gradient of what attention gives
  float *logits, *weights, *slopes, *turned;
  Memory memory;

  explicit Scratch(const Attention& a) : Scratch(a.size, a.size + kPanel) {}

 private:
  Scratch(int64_t size, int64_t narrow)
      : memory({{&q.numbers, size}, {&q.rows, narrow}, {&q.keys, size}, {&q.values, size},
                {&k.numbers, size}, {&k.rows, narrow}, {&k.keys, size}, {&k.values, size},
                {&v.numbers, size}, {&v.rows, narrow}, {&v.keys, size}, {&v.values, size},
                {&slope.numbers, size}, {&slope.rows, narrow}, {&slope.keys, size},
                {&slope.values, size}, {&logits, kTokens}, {&weights, kWeights},
                {&slopes, kTokens}, {&turned, kWeights}}) {}
};

// Products of 64 rows of Math with an operand's panels.
template <class Math, class Done>
INLINE void times_keys(const float* rows, const float* keys, int64_t size, Done done) {
  const int64_t units = size / Math::kDepth;
  multiply<Math>(rows, size + kPanel, keys, units * kPanel, units, kTokens, done);
}
template <class Math, class Done>
INLINE void times_values(const float* rows, const float* values, int64_t size, Done done) {
  constexpr int kUnits = kTokens / Math::kDepth;
  multiply<Math>(rows, kWeights, values, kUnits * kPanel, kUnits, size, done);
}

// Read q, k and v of a head; leave what softmax makes of the logits in `weights`, but for the
// division by their sums.
template <class Math, class Number>
void weigh(const Attention& a, int64_t window, int64_t head, const Number* q, const Number* kv,
           bool back, Scratch& s, float (&inverse)[kTokens]) {
  const int64_t channels = a.heads * a.size;
  q += window * kTokens * channels + head * a.size;
  kv += window * kTokens * 2 * channels + head * a.size;
  s.q.read<Math>(q, channels, a.size, false, back);
  s.k.read<Math>(kv, 2 * channels, a.size, true, back);
  s.v.read<Math>(kv + channels, 2 * channels, a.size, back, !back);
  const float* bias = a.bias + head * kLogits;
  const float* seam = a.seams == nullptr ? nullptr : a.seams + a.kinds[window] * kLogits;
  const float scale = a.scale * kLog2E;
  times_keys<Math>(s.q.rows, s.k.keys, a.size, [&](int row, int64_t c, Vec v) ALWAYS {
    const int64_t place = row * kTokens + c;
    Vec added = load(bias + place);
    if (seam != nullptr) added += load(seam + place);
    store(s.logits + place, v * scale + added * kLog2E);
  });
  soften<Math>(s.logits, s.weights, inverse);
}

template <class Math, class Number>
void attend(const Attention& a, const Number* q, const Number* kv, Number* out) {
  share(a.threads, groups(a), [&](auto& next) {
    Scratch s(a);
    alignas(64) float inverse[kTokens];
    for (int64_t group; (group = next++) < groups(a);)
      for (int64_t window = group * kGroup; window < std::min(a.count, (group + 1) * kGroup);
           ++window)
        for (int64_t head = 0; head < a.heads; ++head) {
          weigh<Math>(a, window, head, q, kv, false, s, inverse);
          Number* to = out + (window * kTokens * a.heads + head) * a.size;
          times_values<Math>(s.weights, s.v.values, a.size, [&](int row, int64_t c, Vec v) ALWAYS {
            store(to + row * a.heads * a.size + c, v * inverse[row]);
          });
        }
  });
}

// Turn [64, 64] numbers into rows of Math, columns first.
template <class Math>
void turn(const float* numbers, float* rows) {
  for (int row = 0; row < kTokens; row += kLanes)
    for (int column = 0; column < kTokens; column += kLanes) {
      Vec block[kLanes];
      UNROLL for (int i = 0; i < kLanes; ++i)
        block[i] = load(numbers + (row + i) * kTokens + column);
      transpose(block);
      UNROLL for (int i = 0; i < kLanes; ++i)
        Math::put(rows + (column + i) * kWeights, row, block[i]);
    }
}

// From the weights' own gradients in `slopes` to those of the logits, through softmax, as numbers
// in place and as rows in `rows`. `weights` are numbers [64, 64].
template <class Math>
void soften_back(const float* weights, float* slopes, float* rows) {
  for (int row = 0; row < kTokens; row += kLanes) {
    Vec part[kLanes];
    for (int i = 0; i < kLanes; ++i) {
      part[i] = Vec{};
      UNROLL for (int t = 0; t < kTokens; t += kLanes) {
        const int place = (row + i) * kTokens + t;
        part[i] += load(weights + place) * load(slopes + place);
      }
    }
    const Vec mean = sums(part);
    for (int i = 0; i < kLanes; ++i)
      UNROLL for (int t = 0; t < kTokens; t += kLanes) {
        const int place = (row + i) * kTokens + t;
        const Vec slope = load(weights + place) * (load(slopes + place) - mean[i]);
        store(slopes + place, slope);
        Math::put(rows + (row + i) * kWeights, t, slope);
      }
  }
}

template <class Math, class Number>
void attend_back(const Attention& a, const Number* q, const Number* kv, const Number* slope,
                 Number* q_slope, Number* kv_slope, float* bias_slopes) {
  const int64_t channels = a.heads * a.size;
  share(a.threads, groups(a), [&](auto& next) {
    Scratch s(a);
    alignas(64) float inverse[kTokens];
    for (int64_t group; (group = next++) < groups(a);) {
      float* totals = bias_slopes + group * a.heads * kLogits;
      std::fill_n(totals, a.heads * kLogits, 0.0f);
      for (int64_t window = group * kGroup; window < std::min(a.count, (group + 1) * kGroup);
           ++window)
        for (int64_t head = 0; head < a.heads; ++head) {
          const int64_t place = window * kTokens * channels + head * a.size;
          weigh<Math>(a, window, head, q, kv, true, s, inverse);
          for (int row = 0; row < kTokens; ++row)
            UNROLL for (int t = 0; t < kTokens; t += kLanes)
              store(s.logits + row * kTokens + t,
                    Math::get(s.weights + row * kWeights, t) * inverse[row]);
          const float* weights = s.logits;  // now that they are divided
          s.slope.read<Math>(slope + place, channels, a.size, false, true);
          auto keep = [&](Number* to, int64_t stride, float scale) {
            return [=](int row, int64_t c, Vec v) ALWAYS { store(to + row * stride + c, v * scale); };
          };
          Number* k_slope = kv_slope + window * kTokens * 2 * channels + head * a.size;
          turn<Math>(weights, s.turned);
          times_values<Math>(s.turned, s.slope.values, a.size,
                             keep(k_slope + channels, 2 * channels, 1.0f));
          times_keys<Math>(s.slope.rows, s.v.keys, a.size, [&](int row, int64_t c, Vec v) ALWAYS {
            store(s.slopes + row * kTokens + c, v);
          });
          soften_back<Math>(weights, s.slopes, s.weights);
          float* total = totals + head * kLogits;
          for (int64_t i = 0; i < kLogits; i += kLanes)
            store(total + i, load(total + i) + load(s.slopes + i));
          times_values<Math>(s.weights, s.k.values, a.size, keep(q_slope + place, channels, a.scale));
          turn<Math>(s.slopes, s.turned);
          times_values<Math>(s.turned, s.q.values, a.size, keep(k_slope, 2 * channels, a.scale));
        }
    }
  });
}

}  // namespace

extern "C" {

// Parts of `bias_slopes` [parts, heads, 64, 64]; their sum is the gradient.
int64_t parts_of_bias_slopes(const Attention* attention) { return groups(*attention); }

void attend_float32(const Attention* a, const float* q, const float* kv, float* out) {
  attend<Float32>(*a, q, kv, out);
}
void attend_back_float32(const Attention* a, const float* q, const float* kv, const float* slope,
                         float* q_slope, float* kv_slope, float* bias_slopes) {
  attend_back<Float32>(*a, q, kv, slope, q_slope, kv_slope, bias_slopes);
}

void attend_bfloat16(const Attention* a, const uint16_t* q, const uint16_t* kv, uint16_t* out) {
  attend<Short>(*a, q, kv, out);
}
void attend_back_bfloat16(const Attention* a, const uint16_t* q, const uint16_t* kv,
                          const uint16_t* slope, uint16_t* q_slope, uint16_t* kv_slope,
                          float* bias_slopes) {
  attend_back<Short>(*a, q, kv, slope, q_slope, kv_slope, bias_slopes);
}
}
