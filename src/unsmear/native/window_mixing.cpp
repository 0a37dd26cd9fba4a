// The middle of W-LeFF while training: GELU, depthwise 3x3, GELU on windows of 8 x 8 tokens, and the
// gradients of the three. What lies between input and output is computed again on the way back, a
// window's kLanes channels at a time, so that it never leaves the first cache.

#include "window_filter.h"

extern "C" {

// Windows [count, 64, channels]; taps [9, channels] and bias [channels] are float32.
struct Mixing {
  int64_t count, channels;
  int64_t threads;
  const float *taps, *bias;
};
}

namespace {

// Windows that one thread takes at once. Their gradients of taps and bias are added up in the same
// order whatever the number of threads.
constexpr int64_t kGroup = 16;

int64_t groups(const Mixing& m) { return (m.count + kGroup - 1) / kGroup; }

// Do(first place in memory, first channel) for every piece of kLanes channels of a group's windows.
template <class Do>
INLINE void each_piece(const Mixing& m, int64_t group, Do what) {
  const int64_t end = std::min(m.count, (group + 1) * kGroup);
  for (int64_t window = group * kGroup; window < end; ++window)
    for (int64_t c = 0; c < m.channels; c += kLanes)
      what(window * kTokens * m.channels + c, c);
}

INLINE void load_taps(const Mixing& m, int64_t channel, Vec (&tap)[9]) {
  UNROLL for (int i = 0; i < 9; ++i) tap[i] = load(m.taps + i * m.channels + channel);
}

template <class Math, class Number>
INLINE void activate(const Number* x, int64_t stride, float* out) {
  for (int token = 0; token < kTokens; ++token)
    store(out + token * kLanes, Math::gelu(load(x + token * stride)));
}

template <class Math, class Number>
void mix(const Mixing& m, const Number* x, Number* out) {
  share(m.threads, groups(m), [&](auto& next) {
    alignas(64) float active[kTokens * kLanes];
    for (int64_t group; (group = next++) < groups(m);)
      each_piece(m, group, [&](int64_t place, int64_t channel) ALWAYS {
        Vec tap[9];
        load_taps(m, channel, tap);
        activate<Math>(x + place, m.channels, active);
        filter_window(active, kLanes, tap, load(m.bias + channel), [&](int token, Vec v) ALWAYS {
          store(out + place + token * m.channels, Math::gelu(v));
        });
      });
  });
}

// Add to `totals`, of the nine taps and the bias, `stride` apart, what the filter's `slopes` earn.
INLINE void add_tap_slopes(const float* active, const float* slopes, int64_t stride,
                           float* totals) {
  Vec total[10];
  UNROLL for (int i = 0; i < 10; ++i) total[i] = load(totals + i * stride);
  for (int y = 0; y < kSide; ++y)
    UNROLL for (int x = 0; x < kSide; ++x) {
      const Vec slope = load(slopes + (y * kSide + x) * kLanes);
      UNROLL for (int i = 0; i < 9; ++i)
        total[i] += slope * load(active + (kNear[y + i / 3] * kSide + kNear[x + i % 3]) * kLanes);
      total[9] += slope;
    }
  UNROLL for (int i = 0; i < 10; ++i) store(totals + i * stride, total[i]);
}

// The filter's own gradient: done(token, slope) from the slopes of its results.
template <class Done>
INLINE void filter_back(const float* slopes, const Vec (&tap)[9], Done done) {
  for (int row = 0; row < kSide; ++row) {
    Vec sum[kSide] = {};
    for (int i = 0; i < 3; ++i)
      for (int y = 0; y < kSide; ++y) {
        if (kNear[y + i] != row) continue;  // this row of results did not read `row` by these taps
        const Vec left = tap[3 * i], middle = tap[3 * i + 1], right = tap[3 * i + 2];
        UNROLL for (int x = 0; x < kSide; ++x) {
          const Vec slope = load(slopes + (y * kSide + x) * kLanes);
          sum[kNear[x]] += left * slope;
          sum[x] += middle * slope;
          sum[kNear[x + 2]] += right * slope;
        }
      }
    UNROLL for (int x = 0; x < kSide; ++x) done(row * kSide + x, sum[x]);
  }
}

template <class Math, class Number>
void mix_back(const Mixing& m, const Number* x, const Number* slope, Number* x_slope,
              float* tap_slopes) {
  share(m.threads, groups(m), [&](auto& next) {
    alignas(64) float active[kTokens * kLanes], slopes[kTokens * kLanes];
    for (int64_t group; (group = next++) < groups(m);) {
      float* totals = tap_slopes + group * 10 * m.channels;
      std::fill_n(totals, 10 * m.channels, 0.0f);
      each_piece(m, group, [&](int64_t place, int64_t channel) ALWAYS {
        Vec tap[9];
        load_taps(m, channel, tap);
        activate<Math>(x + place, m.channels, active);
        filter_window(active, kLanes, tap, load(m.bias + channel), [&](int token, Vec v) ALWAYS {
          const Vec given = load(slope + place + token * m.channels);
          store(slopes + token * kLanes, given * Math::gelu_slope(v));
        });
        add_tap_slopes(active, slopes, m.channels, totals + channel);
        filter_back(slopes, tap, [&](int token, Vec v) ALWAYS {
          const int64_t at = place + token * m.channels;
          store(x_slope + at, v * Math::gelu_slope(load(x + at)));
        });
      });
    }
  });
}

}  // namespace

extern "C" {

// Parts of `tap_slopes` [parts, 10, channels], the last of ten the bias's; their sum is the gradient.
int64_t parts_of_tap_slopes(const Mixing* mixing) { return groups(*mixing); }

void mix_float32(const Mixing* mixing, const float* x, float* out) {
  mix<Float32>(*mixing, x, out);
}
void mix_back_float32(const Mixing* mixing, const float* x, const float* slope, float* x_slope,
                      float* tap_slopes) {
  mix_back<Float32>(*mixing, x, slope, x_slope, tap_slopes);
}

void mix_bfloat16(const Mixing* mixing, const uint16_t* x, uint16_t* out) {
  mix<Short>(*mixing, x, out);
}
void mix_back_bfloat16(const Mixing* mixing, const uint16_t* x, const uint16_t* slope,
                       uint16_t* x_slope, float* tap_slopes) {
  mix_back<Short>(*mixing, x, slope, x_slope, tap_slopes);
}
}
